//! The same questions, asked of the map (`--map`, `--box`, `--where`).

use super::{Context, Failure, ask, text};
use crate::cli::Fleet;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{collections::BTreeSet, time::Duration};
use swarm_manifests::{selector::Selector, status::Row};
use swarm_wire::{
    http::{self, Bytes, HeaderValue, Method, header},
    sessions,
};

/// The largest page that is read, in bytes.
const MAX_PAGE: usize = 64 << 20;
/// How long one answer may take.
const TIME: Duration = Duration::from_secs(30);

/// The rows of the fleet.
pub fn rows(context: &Context, narrowed: &Fleet) -> Result<Vec<Row>, Failure> {
    let map = Map::of(context, narrowed)?;
    let mut rows = Vec::new();
    for name in names(&map.boxes(narrowed)?) {
        let body = map.get(&format!("/v1/boxes/{}", encoded(&name)))?;
        let found = body.get("rows").cloned().unwrap_or_default();
        rows.extend(serde_json::from_value::<Vec<Row>>(found).map_err(anyhow::Error::from)?);
    }
    Ok(rows)
}

/// The boxes of the fleet, as the map sees them.
pub fn boxes(context: &Context, narrowed: &Fleet) -> Result<Value, Failure> {
    Map::of(context, narrowed)?
        .boxes(narrowed)
        .map(Value::Array)
}

/// One workflow of the fleet, on the boxes that are meant.
pub fn workflow(context: &Context, name: &str, narrowed: &Fleet) -> Result<Value, Failure> {
    let map = Map::of(context, narrowed)?;
    let mut found = map.get(&format!("/v1/workflows/{}", encoded(name)))?;
    if let Some(meant) = map.meant(narrowed)?
        && let Some(Value::Array(rows)) = found.get_mut("boxes")
    {
        rows.retain(|row| is_on(row, &meant));
        if rows.is_empty() {
            return Err(
                Failure::with(3, format!("no box that is meant has a workflow {name:?}")).hint(
                    format!("swarm-agent why {name} --map shows every box that has it"),
                ),
            );
        }
    }
    Ok(found)
}

/// The audit, of the boxes that are meant.
pub fn audit(
    context: &Context,
    workflow: Option<&str>,
    narrowed: &Fleet,
) -> Result<Vec<Value>, Failure> {
    let map = Map::of(context, narrowed)?;
    let meant = map.meant(narrowed)?;
    let filters = [("workflow", workflow), ("box", narrowed.only.as_deref())];
    let mut records = map.all("/v1/audit", &filters)?;
    if let Some(meant) = meant {
        records.retain(|record| is_on(record, &meant));
    }
    Ok(records)
}

fn names(boxes: &[Value]) -> BTreeSet<String> {
    let name = |one: &Value| one.get("box").and_then(Value::as_str).map(str::to_owned);
    boxes.iter().filter_map(name).collect()
}

fn is_on(row: &Value, meant: &BTreeSet<String>) -> bool {
    row.get("box")
        .and_then(Value::as_str)
        .is_some_and(|name| meant.contains(name))
}

/// A map, and who asks it.
pub struct Map {
    url: String,
    ca: Option<std::path::PathBuf>,
    /// What `swarm-agent login` got.
    pub session: Option<String>,
}

impl Map {
    /// `--map=URL`, else `[map] url`, else `$SWARM_MAP`.
    pub fn of(context: &Context, narrowed: &Fleet) -> Result<Self, Failure> {
        let at = |url: String, ca| {
            if !["https://", "http://"]
                .iter()
                .any(|scheme| url.starts_with(scheme))
            {
                return Err(Failure::with(2, format!("{url} is no address of a map"))
                    .hint("it begins with https://, or with http:// on loopback"));
            }
            Ok(Self {
                session: sessions::find(&url),
                url,
                ca,
            })
        };
        if let Some(url) = narrowed.map.clone().filter(|url| !url.is_empty()) {
            return at(url, None);
        }
        if (context.config_was_named || context.config.exists())
            && let Some(map) = ask::settings(context)?.map
        {
            return at(map.url, map.ca);
        }
        let url = std::env::var("SWARM_MAP").map_err(|_| {
            Failure::with(2, "no map is known")
                .hint("say --map=URL, or set [map] url in agent.toml, or $SWARM_MAP")
        })?;
        at(url, None)
    }

    /// Without a slash at its end: as it is signed.
    pub fn url(&self) -> &str {
        self.url.trim_end_matches('/')
    }

    /// Posts JSON and reads JSON.
    pub fn post<A: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<A, Failure> {
        let body = serde_json::to_vec(body).map_err(anyhow::Error::from)?;
        let answer = self.ask(Method::POST, path, body.into())?;
        serde_json::from_value(answer)
            .map_err(|error| Failure::with(1, format!("the map's answer to {path}: {error}")))
    }

    /// The boxes that are meant; an error where one was named that there is not.
    fn boxes(&self, narrowed: &Fleet) -> Result<Vec<Value>, Failure> {
        if let Some(text) = &narrowed.selector {
            Selector::parse(text).map_err(|error| {
                let mark = " ".repeat(text[..error.span.start.min(text.len())].chars().count());
                Failure::with(
                    2,
                    format!("--where: {}\n  {text}\n  {mark}^", error.message),
                )
            })?;
        }
        let filters = [
            ("where", narrowed.selector.as_deref()),
            ("box", narrowed.only.as_deref()),
        ];
        let found = self.all("/v1/boxes", &filters)?;
        match &narrowed.only {
            Some(name) if found.is_empty() && narrowed.selector.is_none() => {
                Err(Failure::with(3, format!("the map knows no box {name:?}"))
                    .hint("swarm-agent status --map shows them all"))
            }
            _ => Ok(found),
        }
    }

    /// Their names, where not all are meant.
    fn meant(&self, narrowed: &Fleet) -> Result<Option<BTreeSet<String>>, Failure> {
        if narrowed.only.is_none() && narrowed.selector.is_none() {
            return Ok(None);
        }
        Ok(Some(names(&self.boxes(narrowed)?)))
    }

    /// Reads JSON.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, Bytes::new())
    }

    fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Value, Failure> {
        let unreachable = |error: String| {
            Failure::with(
                5,
                format!("the map {} cannot be reached: {error}", self.url),
            )
        };
        let mut headers = Vec::new();
        if method == Method::POST {
            let json = HeaderValue::from_static("application/json");
            headers.push((header::CONTENT_TYPE, json));
        }
        if let Some(session) = &self.session {
            headers.push((header::AUTHORIZATION, crate::report::bearer(session)?));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let answer = runtime.block_on(async {
            let mut client = http::Client::new(&self.url, self.ca.as_deref())
                .map_err(|error| unreachable(error.to_string()))?;
            client
                .request(method, path, &headers, body, MAX_PAGE, TIME)
                .await
                .map_err(|error| unreachable(error.to_string()))
        })?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status.is_success() {
            return Ok(body);
        }
        let detail = body
            .get("detail")
            .or_else(|| body.get("title"))
            .and_then(Value::as_str)
            .unwrap_or("no reason given");
        let exit = match answer.status.as_u16() {
            401 | 403 => 4,
            404 => 3,
            _ => 1,
        };
        Err(Failure::with(
            exit,
            format!(
                "the map {} answered {}: {}",
                self.url,
                answer.status,
                text::one_line(detail)
            ),
        ))
    }

    /// Every page of a list.
    fn all(&self, path: &str, filters: &[(&str, Option<&str>)]) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let at = [("cursor", cursor.as_deref())];
            let given = filters.iter().chain(&at);
            let query: Vec<String> = given
                .filter_map(|(key, value)| Some(format!("{key}={}", encoded((*value)?))))
                .collect();
            let separator = if query.is_empty() { "" } else { "?" };
            let mut page = self.get(&format!("{path}{separator}{}", query.join("&")))?;
            if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
                items.extend(more);
            }
            match page.get("next").and_then(Value::as_str) {
                Some(next) => cursor = Some(next.to_string()),
                None => return Ok(items),
            }
        }
    }
}

/// Percent-encoded for a path or a query.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
