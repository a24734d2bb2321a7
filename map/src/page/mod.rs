//! `GET /`: the page. What is wrong comes first, then the boxes, the workflows, and what happened lately. It is whole without
//! JavaScript; with it, the same address with `fragment=1` is fetched at each change and put in place.

mod audit;
mod boxes;
mod rows;
mod shell;
mod trunk;
mod words;
mod workflows;
mod wrong;

use crate::{
    app::App,
    fleet::{
        BoxView, Fleet,
        select::{self, Filter},
    },
    http::problem::Problem,
    store::audit::{self as log, Entry},
};
use axum::{
    extract::{Query, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// How many lines of the audit the page shows.
const RECENT: u32 = 25;

/// Nothing from elsewhere, no script but ours, no style but the one inside the page.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'self'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// Which part of the fleet is looked at.
#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    #[serde(rename = "box")]
    box_name: Option<String>,
    workflow: Option<String>,
    fragment: Option<String>,
}

/// `GET /page.js`
pub async fn script() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")],
        SCRIPT,
    )
}

/// `GET /`
pub async fn page(State(app): State<App>, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let fleet = app.fleet.borrow().clone();
    let filter = log::Filter {
        box_name: asked.box_name.clone(),
        workflow: asked.workflow.clone(),
        ..log::Filter::default()
    };
    let recent = app
        .store
        .ask(move |ledger| log::page(&ledger.db, &filter, RECENT))
        .await?;
    let look = Look {
        fleet: &fleet,
        recent: &recent,
        now,
    };
    let (title, content) = match (&asked.box_name, &asked.workflow) {
        (Some(name), _) => match fleet.boxes.iter().find(|view| view.name.as_str() == name) {
            Some(view) => (name.clone(), look.one_box(view)),
            None => {
                return Ok(answer(
                    StatusCode::NOT_FOUND,
                    &shell::whole(
                        "Not here",
                        &shell::nothing("No box of this name is known here."),
                    ),
                ));
            }
        },
        (None, Some(name)) => (name.clone(), look.one_workflow(name)),
        (None, None) => ("Swarmlet".to_owned(), look.everything()),
    };
    if asked.fragment.is_some() {
        return Ok(answer(StatusCode::OK, &content));
    }
    Ok(answer(StatusCode::OK, &shell::whole(&title, &content)))
}

/// What a person sees who may not read.
pub fn refused(problem: &Problem) -> Response {
    answer(
        problem.status(),
        &shell::whole("Not open", &shell::nothing(problem.detail())),
    )
}

fn answer(status: StatusCode, markup: &Markup) -> Response {
    (
        status,
        [(header::CONTENT_SECURITY_POLICY, POLICY.as_str())],
        Html(markup.0.clone()),
    )
        .into_response()
}

/// Everything that the page is made of.
struct Look<'a> {
    fleet: &'a Fleet,
    recent: &'a [Entry],
    now: Timestamp,
}

impl Look<'_> {
    fn everything(&self) -> Markup {
        let workflows = select::workflows(self.fleet, &Filter::default());
        html! {
            (shell::summary(self.fleet, workflows.len()))
            (trunk::line(&self.fleet.trunk, self.now))
            (wrong::section(self.fleet))
            (boxes::section(self.fleet, self.now))
            (workflows::section(&workflows))
            (audit::section(self.recent, self.now, ""))
        }
    }

    fn one_box(&self, view: &BoxView) -> Markup {
        let alone = Fleet {
            boxes: vec![view.clone()],
            ..Fleet::default()
        };
        let query = format!("?box={}", view.name);
        html! {
            (shell::way_back(view.name.as_str(), "box"))
            (wrong::section(&alone))
            (boxes::detail(view, self.now))
            (rows::section(view.rows.iter().map(|row| view.by_now(row)), rows::Column::Workflow))
            (audit::section(self.recent, self.now, &query))
        }
    }

    fn one_workflow(&self, name: &str) -> Markup {
        let rows: Vec<_> = self
            .fleet
            .boxes
            .iter()
            .flat_map(|view| view.rows.iter().map(move |row| (view, row)))
            .filter(|(_, row)| row.workflow == name)
            .map(|(view, row)| view.by_now(row))
            .collect();
        // Only a name is ever put into an address.
        let query = if swarm_manifests::name::Name::new(name).is_ok() {
            format!("?workflow={name}")
        } else {
            String::new()
        };
        html! {
            (shell::way_back(name, "workflow"))
            (rows::section(rows.into_iter(), rows::Column::Box))
            (audit::section(self.recent, self.now, &query))
        }
    }
}
