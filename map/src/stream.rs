//! `GET /v1/events`: server-sent events of every change; who comes back says what it saw last.

use crate::{
    app::App,
    feed::{Numbered, Ring},
    http::problem::Problem,
    people::{self, Person},
    store::people::LASTS,
};
use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use futures_util::stream;
use std::{convert::Infallible, fmt::Write as _, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, watch::Receiver},
    time::Instant,
};

/// How often a line goes out where nothing changes.
const KEEPALIVE: Duration = Duration::from_secs(15);

struct Events {
    app: App,
    ring: Receiver<Ring>,
    seen: u64,
    /// What goes out before anything else.
    greeting: Option<String>,
    /// Who listens, where not everybody may: until their session would end, and while the policy knows them.
    listener: Option<(Person, Instant)>,
    _seat: OwnedSemaphorePermit,
}

/// Begins the stream.
pub async fn events(
    State(app): State<App>,
    person: Option<Extension<Person>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let seats = app.seats.streams.clone();
    let seat = seats.try_acquire_owned().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many watch the events already",
        )
    })?;
    let ring = app.feed.watch();
    let newest = ring.borrow().last();
    let epoch = app.feed.epoch;
    let asked = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let resumed = asked
        .and_then(|id| id.split_once('-'))
        .filter(|(run, _)| *run == epoch.to_string())
        .and_then(|(_, number)| number.parse().ok());
    let kept = resumed.filter(|seen| ring.borrow().since(*seen).is_some());
    let greeting = match (asked, kept) {
        (Some(_), None) => reset(epoch, newest),
        _ => format!(
            "retry: 2000\nid: {epoch}-{}\nevent: hello\ndata: {{}}\n\n",
            kept.unwrap_or(newest)
        ),
    };
    let events = Events {
        app,
        ring,
        seen: kept.unwrap_or(newest),
        greeting: Some(greeting),
        listener: person.map(|Extension(person)| (person, Instant::now() + LASTS)),
        _seat: seat,
    };
    let frames = stream::unfold(events, |mut events| async move {
        events
            .frames()
            .await
            .map(|text| (Ok::<_, Infallible>(text), events))
    });
    let mut response = Response::new(Body::from_stream(frames));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    Ok(response)
}

/// Some changes are no longer kept: whoever reads this reads everything anew.
fn reset(epoch: u64, newest: u64) -> String {
    format!("id: {epoch}-{newest}\nevent: reset\ndata: {{}}\n\n")
}

impl Events {
    /// The next text that goes out; none where the map ends.
    async fn frames(&mut self) -> Option<String> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        loop {
            if !self.may_listen() {
                return None;
            }
            if let Some(text) = self.news() {
                return Some(text);
            }
            tokio::select! {
                () = self.app.stop.cancelled() => return None,
                () = tokio::time::sleep(KEEPALIVE) => return Some(":\n\n".into()),
                changed = self.ring.changed() => changed.ok()?,
            }
        }
    }

    fn may_listen(&self) -> bool {
        let Some((person, until)) = &self.listener else {
            return true;
        };
        let trunk = self.app.fleet.borrow().trunk.clone();
        Instant::now() < *until && people::person(&trunk, &person.key).as_ref() == Some(person)
    }

    fn news(&mut self) -> Option<String> {
        let (newest, missed) = {
            let ring = self.ring.borrow_and_update();
            (ring.last(), ring.since(self.seen))
        };
        if newest == self.seen {
            return None;
        }
        self.seen = newest;
        let epoch = self.app.feed.epoch;
        Some(missed.map_or_else(
            || reset(epoch, newest),
            |changes| {
                changes
                    .iter()
                    .fold(String::new(), |text, change| frame(text, epoch, change))
            },
        ))
    }
}

fn frame(mut text: String, epoch: u64, Numbered { number, change }: &Numbered) -> String {
    // JSON on one line: serde_json escapes every newline, so a text cannot end its frame.
    let data = serde_json::to_string(&**change).unwrap_or_else(|_| "{}".into());
    let _ = write!(
        text,
        "id: {epoch}-{number}\nevent: {}\ndata: {data}\n\n",
        change.kind()
    );
    text
}
