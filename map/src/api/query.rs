//! Queries of reads: filters and portions, each checked, unknown ones refused. Pure.

use crate::{
    fleet::{BoxState, select::Filter},
    http::problem::Problem,
};
use serde::Deserialize;
use swarm_manifests::{name::Pattern, selector::Selector, status::State};

/// How many items a portion has where nobody says.
const DEFAULT: usize = 200;
/// The most that may be asked for.
const MOST: usize = 1000;

/// What may stand behind the `?` of a read.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Query {
    #[serde(rename = "where")]
    pub selector: Option<String>,
    pub state: Option<String>,
    pub mode: Option<String>,
    #[serde(rename = "box")]
    pub box_name: Option<String>,
    pub workflow: Option<String>,
    pub action: Option<String>,
    pub by: Option<String>,
    pub limit: Option<String>,
    pub cursor: Option<String>,
}

/// Which filters a read takes; one that it does not take is refused, never ignored.
pub struct Takes(pub &'static [&'static str]);

impl Query {
    /// Refuses the filters that are not in the list.
    pub fn only(&self, takes: &Takes) -> Result<(), Problem> {
        let Self {
            selector,
            state,
            mode,
            box_name,
            workflow,
            action,
            by,
            limit: _,
            cursor: _,
        } = self;
        let given = [
            ("where", selector),
            ("state", state),
            ("mode", mode),
            ("box", box_name),
            ("workflow", workflow),
            ("action", action),
            ("by", by),
        ];
        match given
            .into_iter()
            .find(|(name, value)| value.is_some() && !takes.0.contains(name))
        {
            Some((name, _)) => Err(Problem::malformed(format!(
                "{name}= is no filter here; there are: {}, limit, cursor",
                takes.0.join(", ")
            ))),
            None => Ok(()),
        }
    }

    /// How many items are asked for.
    pub fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = &self.limit else {
            return Ok(DEFAULT);
        };
        let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
        limit.ok_or_else(|| Problem::malformed(format!("limit is a number from 1 to {MOST}")))
    }

    /// The filter over boxes and rows; `state=` is a box's state for boxes, a row's for workflows.
    pub fn filter(&self, of_boxes: bool) -> Result<Filter, Problem> {
        let selector = self.selector.as_deref().map(|text| {
            Selector::parse(text).map_err(|error| {
                Problem::malformed(format!("where: {error}"))
                    .with("span", vec![error.span.start, error.span.end])
            })
        });
        let box_name = self.box_name.as_deref().map(|text| {
            Pattern::new(text).map_err(|error| Problem::malformed(format!("box: {error}")))
        });
        let (mut box_state, mut row_state) = (None, None);
        if let Some(text) = &self.state {
            let unknown = || {
                Problem::malformed(format!(
                    "state: there is no state {:?}",
                    text.chars().take(40).collect::<String>()
                ))
            };
            if of_boxes {
                box_state = Some(BoxState::parse(text).ok_or_else(unknown)?);
            } else {
                row_state = Some(row(text).ok_or_else(unknown)?);
            }
        }
        if let Some(mode) = &self.mode
            && !["once", "restart", "daemon"].contains(&mode.as_str())
        {
            return Err(Problem::malformed("mode is once, restart or daemon"));
        }
        Ok(Filter {
            selector: selector.transpose()?,
            box_name: box_name.transpose()?,
            box_state,
            row_state,
            mode: self.mode.clone(),
        })
    }
}

fn row(text: &str) -> Option<State> {
    serde_json::from_value(serde_json::Value::from(text)).ok()
}
