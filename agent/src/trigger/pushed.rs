//! What a webhook's delivery says was pushed. In: its body. Out: a branch and its new head. Pure.
//!
//! GitHub, GitLab and Gitea say it in the same two fields; others may, too. Nobody believes it: it tells what to fetch ahead.

use serde::Deserialize;
use swarm_manifests::id::Oid;

/// A branch, and where it is said to be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Pushed {
    pub branch: Box<str>,
    pub head: Oid,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(rename = "ref")]
    reference: &'a str,
    after: &'a str,
}

/// What was pushed, where the body says so; a branch that was deleted was not.
pub fn read(body: &[u8]) -> Option<Pushed> {
    let body: Body<'_> = serde_json::from_slice(body).ok()?;
    let head: Oid = body.after.parse().ok()?;
    let branch = body.reference.strip_prefix("refs/heads/")?;
    (head != Oid([0; 20])).then(|| Pushed {
        branch: branch.into(),
        head,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pushed_head_is_read_and_nothing_else() {
        let head = "5cc2a18c3210f75a930beea789301961e1e991d9";
        let body = |reference: &str, after: &str| {
            format!(
                "{{\"before\":\"x\",\"ref\":\"{reference}\",\"after\":\"{after}\",\"commits\":[{{}}]}}"
            )
        };
        let pushed = read(body("refs/heads/deploy/prod", head).as_bytes()).expect("a push");
        assert_eq!(
            (&*pushed.branch, pushed.head.to_string()),
            ("deploy/prod", head.into())
        );
        for nothing in [
            body("refs/tags/v1", head),
            body("refs/heads/main", &"0".repeat(40)),
            body("refs/heads/main", "HEAD"),
            "{\"ref\":\"refs/heads/main\"}".into(),
            "[]".into(),
            "payload=%7B%7D".into(),
        ] {
            assert_eq!(read(nothing.as_bytes()), None, "{nothing}");
        }
    }
}
