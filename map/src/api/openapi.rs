//! `GET /openapi.json`: the routes, from the very table that the router is made of.

use crate::http::{auth::Access, routes::routes};
use axum::Json;
use serde_json::{Map, Value, json};

/// `OpenAPI` 3.1 of every route. Pure.
pub async fn openapi() -> Json<Value> {
    let mut paths = Map::new();
    for route in routes() {
        let path = route.path.replace("{*", "{");
        let parameters: Vec<_> = path
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split('}').next())
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
            .collect();
        let security = match route.access {
            Access::Public | Access::Proof => json!([]),
            Access::Reader | Access::OwnBox | Access::Person => json!([{ "session": [] }]),
        };
        let operation = json!({
            "summary": route.does,
            "parameters": parameters,
            "security": security,
            "responses": {
                "default": { "description": "a problem (RFC 9457)", "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } } },
                "200": { "description": "as docs/reference/map-api.md says" },
            },
        });
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[route.method.as_str().to_ascii_lowercase()] = operation;
    }
    Json(json!({
        "openapi": "3.1.0",
        "info": { "title": "Swarmlet map", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": {
            "securitySchemes": { "session": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Problem": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": { "type": "string" }, "title": { "type": "string" }, "status": { "type": "integer" }, "detail": { "type": "string" },
                    "rule": { "type": "string" },
                },
            } },
        },
    }))
}
