//! What the map says of the demo's boxes. Touches the network, on loopback.

use super::world::{BOXES, World};
use serde_json::Value;
use std::time::Duration;
use swarm_wire::http::{Bytes, Client, Method, StatusCode};

/// A page of the map, where it answers.
pub async fn get(world: &World, path: &str) -> Option<Value> {
    let mut client = Client::new(&format!("http://127.0.0.1:{}", world.map_port), None).ok()?;
    let answer = client
        .request(
            Method::GET,
            path,
            &[],
            Bytes::new(),
            16 << 20,
            Duration::from_secs(5),
        )
        .await
        .ok()?;
    (answer.status == StatusCode::OK)
        .then(|| serde_json::from_slice(&answer.body).unwrap_or_default())
}

/// The items of a page.
pub fn items(page: &Value) -> Vec<Value> {
    page.get("items")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

/// Every row of every box, as the map has them.
pub async fn rows(world: &World) -> Vec<Value> {
    let mut rows = Vec::new();
    for (name, _) in BOXES {
        let page = get(world, &format!("/v1/boxes/{name}"))
            .await
            .unwrap_or_default();
        rows.extend(
            page.get("rows")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
        );
    }
    rows
}

/// Whether a row is one that runs.
pub fn is_running(row: &Value) -> bool {
    matches!(word(row, "state").as_str(), "running" | "ready")
}

/// A text of a row; empty where there is none.
pub fn word(value: &Value, key: &str) -> String {
    value
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_string()
}
