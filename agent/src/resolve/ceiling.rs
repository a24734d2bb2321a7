//! Ceilings (SPEC §3.4): limits are cut down to them, what a sandbox opens beyond them is refused. Pure.

use std::time::Duration;
use swarm_manifests::{
    bundle::{Limits, Network, Sandbox},
    manifest::Mode,
    policy::Ceiling,
    problem::Refusal,
    rules,
};

/// A ceiling, and whose it is: `the policy's`, `this box's`.
pub type Over<'a> = (&'a Ceiling, &'static str);

/// What one ceiling allows of a list; none: it says nothing.
type Allowed<'a> = &'a Option<Vec<String>>;

/// The tightest of what is asked for and every ceiling.
pub fn cut(asked: &Limits, ceilings: &[Over<'_>]) -> Limits {
    ceilings.iter().fold(asked.clone(), |limits, (ceiling, _)| {
        limits.tightest(&ceiling.limits)
    })
}

/// The time limit of a workflow in this mode: a `once` may not go on for longer than the ceilings say.
pub fn time_limit(mode: Mode, asked: Option<Duration>, ceilings: &[Over<'_>]) -> Option<Duration> {
    let most = ceilings
        .iter()
        .filter_map(|(ceiling, _)| ceiling.once_time_limit)
        .filter(|_| mode == Mode::Once);
    asked.into_iter().chain(most).min()
}

/// Refuses what a sandbox opens beyond a ceiling. The policy's ceiling must allow it by name, as must the box's where it says anything.
pub fn check(asked: &Sandbox, policy: &Ceiling, here: &Ceiling) -> Result<(), Refusal> {
    for (ceiling, whose) in [(policy, "the policy's"), (here, "this box's")] {
        if asked.network == Network::Host && ceiling.network == Some(Network::None) {
            return Err(refusal("network = \"host\"", whose, "network = \"none\""));
        }
    }
    let lists: [(&str, &[String], [Allowed<'_>; 2]); 4] = [
        ("devices", &asked.devices, [&policy.devices, &here.devices]),
        ("groups", &asked.groups, [&policy.groups, &here.groups]),
        ("read", &asked.read, [&policy.read, &here.read]),
        ("write", &asked.write, [&policy.write, &here.write]),
    ];
    for (key, wanted, [policy, here]) in lists {
        for item in wanted {
            // A box that says nothing leaves it to the policy: its ceiling tightens, it does not have to repeat.
            let allowed = [
                (policy.as_deref().unwrap_or_default(), "the policy's"),
                (here.as_deref().unwrap_or(wanted), "this box's"),
            ];
            for (list, whose) in allowed {
                if !list.iter().any(|pattern| covers(pattern, item)) {
                    let says = if list.is_empty() {
                        format!("no {key}")
                    } else {
                        format!("{key} = {list:?}")
                    };
                    return Err(refusal(&format!("{key} = [{item:?}]"), whose, &says));
                }
            }
        }
    }
    Ok(())
}

/// Whether a ceiling's entry allows an asked one: the same, a pattern with `*` that matches it (`*` inside the asked one counts as a
/// character that only `*` matches), or a folder above it.
fn covers(pattern: &str, asked: &str) -> bool {
    if asked.split('/').any(|part| part == "..") {
        return pattern == asked;
    }
    if pattern.starts_with('/') && !pattern.contains('*') {
        let rest = asked.strip_prefix(pattern.trim_end_matches('/'));
        return rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    }
    matches(pattern, asked)
}

/// `*` stands for any run of characters but `/`.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            let end = rest.find('/').unwrap_or(rest.len());
            (0..=end)
                .filter(|at| rest.is_char_boundary(*at))
                .any(|at| matches(after, &rest[at..]))
        }),
    }
}

fn refusal(asks: &str, whose: &str, says: &str) -> Refusal {
    Refusal::new(
        &rules::run::CEILING,
        format!("the bundle asks for {asks}, {whose} ceiling says {says}"),
    )
    .hint(format!(
        "ask for less, or raise {}",
        if whose == "this box's" {
            "[ceiling] in agent.toml"
        } else {
            "[ceiling] in policy.toml"
        }
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_opens_only_what_both_ceilings_allow() {
        let asks = |item: &str| Sandbox {
            devices: vec![item.into()],
            ..Sandbox::default()
        };
        for (item, policy, here, allowed) in [
            ("/dev/ttyUSB0", Some(vec!["/dev/ttyUSB*"]), None, true),
            ("/dev/ttyUSB*", Some(vec!["/dev/ttyUSB*"]), None, true),
            ("/dev/ttyUSB*", Some(vec!["/dev/ttyUSB0"]), None, false),
            ("/dev/sda", Some(vec!["/dev/ttyUSB*"]), None, false),
            ("/dev/ttyUSB0", None, None, false),
            ("/dev/ttyUSB0", Some(vec!["/dev"]), Some(vec![]), false),
            ("/dev/../etc/shadow", Some(vec!["/dev"]), None, false),
            ("/devil", Some(vec!["/dev"]), None, false),
        ] {
            let listed =
                |paths: Option<Vec<&str>>| Some(paths?.into_iter().map(Into::into).collect());
            let policy = Ceiling {
                devices: listed(policy),
                ..Ceiling::default()
            };
            let here = Ceiling {
                devices: listed(here),
                ..Ceiling::default()
            };
            assert_eq!(
                check(&asks(item), &policy, &here).is_ok(),
                allowed,
                "{item} under {policy:?} and {here:?}"
            );
        }
    }

    #[test]
    fn a_once_may_not_go_on_longer_than_the_ceiling() {
        let day = Duration::from_secs(86400);
        let ceiling = Ceiling {
            once_time_limit: Some(day),
            ..Ceiling::default()
        };
        let over = [(&ceiling, "the policy's")];
        assert_eq!(time_limit(Mode::Once, None, &over), Some(day));
        assert_eq!(time_limit(Mode::Once, Some(day * 2), &over), Some(day));
        assert_eq!(time_limit(Mode::Daemon, None, &over), None);
    }
}
