//! What the box itself allows: a spec comes in, a tightened spec or the refusal goes out. Pure.
//!
//! The agent has held the spec against the policy's ceiling already; this is the box's own, applied by who starts the process.

use crate::{machine::Trouble, protocol::RunSpec};
use swarm_manifests::{
    bundle::{LinePattern, Network, Probe, Workdir},
    manifest::Mode,
    path::check_path,
    policy::Ceiling,
    rules::{self, Rule},
};

/// Tightens what can be tightened, and refuses what the box does not allow.
pub fn apply(spec: RunSpec, ceiling: &Ceiling) -> Result<RunSpec, Trouble> {
    let mut spec = spec;
    if spec
        .user
        .as_deref()
        .is_some_and(|user| user == "root" || user.trim_start_matches('0').is_empty())
    {
        return Err(refusal(
            &rules::run::USER,
            "it asks for the user root, and no workflow runs as root".into(),
        ));
    }
    let (Workdir::Bundle(path) | Workdir::State(path)) = &spec.workdir;
    if !path.is_empty()
        && let Err(wrong) = check_path(path)
    {
        let reason = format!("its workdir {path:?} is not taken: {}", wrong.reason);
        return Err(refusal(&rules::file::BAD_VALUE, reason));
    }
    if let Some(health) = spec.health.as_ref().filter(|h| {
        matches!(
            h.probe,
            Probe::Log(_) | Probe::LogRegex(_) | Probe::After(_)
        )
    }) {
        let reason = format!("[health] by {} is not built yet", kind(&health.probe));
        return Err(refusal(&rules::file::NOT_BUILT, reason));
    }
    if let Some(Probe::LogRegex(pattern)) = spec.ready.as_ref().map(|ready| &ready.probe)
        && let Err(what) = LinePattern::new(pattern)
    {
        let reason = format!("[ready] log-regex {pattern:?} {what}");
        return Err(refusal(&rules::file::BAD_VALUE, reason));
    }
    covered(
        "device",
        &spec.sandbox.devices,
        ceiling.devices.as_deref(),
        glob,
    )?;
    covered(
        "group",
        &spec.sandbox.groups,
        ceiling.groups.as_deref(),
        |allowed, asked| allowed == asked,
    )?;
    covered(
        "read path",
        &spec.sandbox.read,
        ceiling.read.as_deref(),
        below,
    )?;
    covered(
        "write path",
        &spec.sandbox.write,
        ceiling.write.as_deref(),
        below,
    )?;
    spec.limits = spec.limits.tightest(&ceiling.limits);
    if ceiling.network == Some(Network::None) {
        spec.sandbox.network = Network::None;
    }
    if spec.mode == Mode::Once {
        spec.time_limit = spec
            .time_limit
            .into_iter()
            .chain(ceiling.once_time_limit)
            .min();
    }
    Ok(spec)
}

fn covered(
    what: &str,
    asked: &[String],
    allowed: Option<&[String]>,
    covers: impl Fn(&str, &str) -> bool,
) -> Result<(), Trouble> {
    let allowed = allowed.unwrap_or_default();
    match asked
        .iter()
        .find(|asked| !allowed.iter().any(|allowed| covers(allowed, asked)))
    {
        None => Ok(()),
        Some(asked) => Err(refusal(
            &rules::run::CEILING,
            format!(
                "it asks for the {what} {asked:?}, which this box's own [ceiling] does not allow"
            ),
        )),
    }
}

fn refusal(rule: &Rule, reason: String) -> Trouble {
    Trouble {
        reason,
        rule: Some(rule.id.into()),
        tried: false,
    }
}

/// Whether `asked` is `allowed` or lies below it.
fn below(allowed: &str, asked: &str) -> bool {
    let allowed = allowed.trim_end_matches('/');
    let inside = asked
        .strip_prefix(allowed)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    inside && !asked.split('/').any(|part| part == "..")
}

/// Whether everything that `asked` matches is matched by `allowed`; `*` is any run of characters but `/`.
fn glob(allowed: &str, asked: &str) -> bool {
    if asked.split('/').any(|part| part == "..") {
        return false;
    }
    match allowed.split_once('*') {
        None => allowed == asked,
        Some((head, tail)) => asked.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len())
                .filter(|at| rest.is_char_boundary(*at) && !rest[..*at].contains('/'))
                .any(|at| glob(tail, &rest[at..]))
        }),
    }
}

fn kind(probe: &Probe) -> &'static str {
    match probe {
        Probe::Notify => "notify",
        Probe::Tcp(_) => "tcp",
        Probe::Http(_) => "http",
        Probe::Exec(_) => "exec",
        Probe::Log(_) => "log",
        Probe::LogRegex(_) => "log-regex",
        Probe::After(_) => "after",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sample;
    use std::time::Duration;
    use swarm_manifests::{
        bundle::{Health, Ready},
        units::ByteSize,
    };

    fn refused(change: impl FnOnce(&mut RunSpec), ceiling: &Ceiling) -> Option<String> {
        let mut spec = sample::spec("ramp", 1, Mode::Daemon);
        change(&mut spec);
        apply(spec, ceiling).err().and_then(|trouble| trouble.rule)
    }

    #[test]
    fn limits_and_network_are_tightened() {
        let mut ceiling = Ceiling {
            network: Some(Network::None),
            once_time_limit: Some(Duration::from_secs(5)),
            ..Ceiling::default()
        };
        ceiling.limits.memory = Some(ByteSize(64));
        let mut spec = sample::spec("ramp", 1, Mode::Once);
        spec.limits.memory = Some(ByteSize(128));
        let spec = apply(spec, &ceiling).expect("allowed");
        assert_eq!(spec.limits.memory, Some(ByteSize(64)));
        assert_eq!(spec.sandbox.network, Network::None);
        assert_eq!(spec.time_limit, Some(Duration::from_secs(5)));
    }

    #[test]
    fn a_pattern_that_cannot_be_read_and_a_probe_that_is_not_built_are_refused() {
        let allowed = Ceiling::default();
        let ready = |pattern: &str| Ready {
            probe: Probe::LogRegex(pattern.into()),
            timeout: Duration::from_secs(1),
        };
        for (pattern, rule) in [
            ("serving [0-9]+", None),
            ("serving [0-9", Some("S-FILE-05")),
            ("(x{1000}){1000}", Some("S-FILE-05")),
        ] {
            let found = refused(|spec| spec.ready = Some(ready(pattern)), &allowed);
            assert_eq!(found.as_deref(), rule, "{pattern}");
        }
        let health = Health {
            probe: Probe::After(Duration::from_secs(1)),
            every: Duration::from_secs(1),
            failures: 3,
        };
        let found = refused(|spec| spec.health = Some(health), &allowed);
        assert_eq!(found.as_deref(), Some("S-FILE-10"));
    }

    #[test]
    fn a_workdir_that_leads_elsewhere_is_refused_whatever_the_agent_says() {
        for (path, rule) in [
            ("../../../../etc", Some("S-FILE-05")),
            ("a/../..", Some("S-FILE-05")),
            ("/etc", Some("S-FILE-05")),
            ("a/b", None),
            ("", None),
        ] {
            let state = refused(
                |spec| spec.workdir = Workdir::State(path.into()),
                &Ceiling::default(),
            );
            let bundle = refused(
                |spec| spec.workdir = Workdir::Bundle(path.into()),
                &Ceiling::default(),
            );
            assert_eq!(state.as_deref(), rule, "{path}");
            assert_eq!(bundle.as_deref(), rule, "{path}");
        }
    }

    #[test]
    fn root_is_refused_by_any_name() {
        for user in ["root", "0", "00"] {
            assert_eq!(
                refused(|spec| spec.user = Some(user.into()), &Ceiling::default()).as_deref(),
                Some("S-RUN-07"),
                "{user}"
            );
        }
    }

    #[test]
    fn what_the_box_does_not_name_is_refused() {
        let ceiling = Ceiling {
            devices: Some(vec!["/dev/ttyUSB*".into()]),
            read: Some(vec!["/etc/ssl".into()]),
            ..Ceiling::default()
        };
        for (asked, allowed) in [
            ("/dev/ttyUSB0", true),
            ("/dev/ttyUSB*", true),
            ("/dev/ttyS0", false),
            ("/dev/tty*", false),
            ("/dev/ttyUSB/../mem", false),
        ] {
            let rule = refused(|spec| spec.sandbox.devices = vec![asked.into()], &ceiling);
            assert_eq!(rule.is_none(), allowed, "{asked}");
        }
        for (asked, allowed) in [
            ("/etc/ssl/certs", true),
            ("/etc/ssl", true),
            ("/etc/sslx", false),
            ("/etc/ssl/../shadow", false),
            ("/", false),
        ] {
            let rule = refused(|spec| spec.sandbox.read = vec![asked.into()], &ceiling);
            assert_eq!(rule.is_none(), allowed, "{asked}");
        }
        assert_eq!(
            refused(|spec| spec.sandbox.write = vec!["/srv".into()], &ceiling).as_deref(),
            Some("S-RUN-06")
        );
        assert_eq!(
            refused(
                |spec| spec.sandbox.groups = vec!["dialout".into()],
                &ceiling
            )
            .as_deref(),
            Some("S-RUN-06")
        );
    }
}
