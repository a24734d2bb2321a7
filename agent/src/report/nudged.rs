//! The map's nudges: a request held open, whose every line means "look", or "a request waits: come and get it", and nothing else.
//!
//! Touches the network.

use super::{LAST_RETRY, MapState, bearer, post::TIME};
use crate::{chance, settings::Config, trigger::Wake};
use anyhow::bail;
use std::{rc::Rc, time::Duration};
use swarm_manifests::settings::Map;
use swarm_wire::http::{Client, Method, header};
use tokio::{sync::watch, time::Instant};

/// Holds `GET /v1/boxes/{box}/watch` open and looks at each line; what the line says makes no difference.
pub async fn watch_map(
    config: watch::Receiver<Rc<Config>>,
    mut state: watch::Receiver<MapState>,
    sessions: watch::Receiver<Option<String>>,
    wake: Wake,
    called: watch::Sender<u64>,
) {
    let mut failures: u32 = 0;
    loop {
        // Where the map cannot be told anything, it can tell nothing.
        if state
            .wait_for(|state| state.state == "reporting")
            .await
            .is_err()
        {
            return;
        }
        let (map, name) = {
            let config = config.borrow();
            (config.settings.map.clone(), config.name.clone())
        };
        let session = sessions.borrow().clone();
        if let (Some(map), Some(session)) = (map, session) {
            match hold(&map, name.as_str(), &session, (&wake, &called)).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    tracing::debug!(error = format!("{error:#}"), "the map's nudges");
                    failures = failures.saturating_add(1);
                }
            }
        }
        let pause = Duration::from_secs(1)
            .saturating_mul(1 << failures.min(7))
            .min(LAST_RETRY);
        tokio::time::sleep(pause.mul_f64(0.5 + chance::dice() / 2.0)).await;
    }
}

async fn hold(
    map: &Map,
    name: &str,
    session: &str,
    (wake, called): (&Wake, &watch::Sender<u64>),
) -> anyhow::Result<()> {
    /// The map sends an empty line at each heartbeat, which is ten minutes at most: silence for longer is a dead connection.
    const SILENCE: Duration = Duration::from_secs(660);
    /// A line that says nothing more than "look" is short.
    const MAX_PART: usize = 64 << 10;
    let mut client = Client::new(&map.url, map.ca.as_deref())?;
    let headers = [(header::AUTHORIZATION, bearer(session)?)];
    let mut lines = client
        .open(
            Method::GET,
            &format!("/v1/boxes/{name}/watch"),
            &headers,
            swarm_wire::http::Bytes::default(),
            TIME,
        )
        .await?;
    if !lines.status.is_success() {
        bail!("the map answers {}", lines.status);
    }
    while let Some(part) = lines.chunk(Instant::now() + SILENCE).await? {
        if part.len() > MAX_PART {
            bail!("the map sends too much at once");
        }
        let says = |word: &[u8]| part.windows(word.len()).any(|found| found == word);
        if says(b"look") {
            wake.promise("map", None);
        }
        if says(b"request") {
            called.send_modify(|calls| *calls += 1);
        }
    }
    Ok(())
}
