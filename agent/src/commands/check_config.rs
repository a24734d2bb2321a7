//! `check-config`: the effective configuration, or everything that is wrong with it.

use super::{Context, Failure, Outcome, out};
use crate::settings::Config;
use serde_json::Value;
use std::{fs, io::ErrorKind};
use swarm_manifests::{
    policy::Ceiling, problem::Problem, rules::file::NO_FILE, settings, units::format_duration,
};

/// Prints what holds, defaults included; exit code 1 where something is wrong.
pub fn check_config(context: &Context) -> Outcome {
    let path = context.config.display().to_string();
    let bytes = fs::read(&context.config).map_err(|error| {
        Failure::with(2, format!("{path}: {error}"))
            .hint("name the file with --config FILE or $SWARM_CONFIG")
    })?;
    let (_, mut problems) = settings::read(&path, &bytes);
    let text = String::from_utf8_lossy(&bytes);
    if problems.is_empty() {
        problems = missing(&path, &text);
    }
    if !problems.is_empty() {
        if context.json {
            out::json(&problems)?;
        } else {
            crate::diagnose::print(&text, &problems);
        }
        return Ok(1);
    }
    let config = Config::load(&context.config)?;
    let settings = &config.settings;
    let control = super::ask::control_path(context)?;
    let repository = settings.repository.as_ref();
    let body = serde_json::json!({
        "file": path,
        "box": config.name,
        "labels": settings.labels,
        "location": settings.location,
        "state": settings.state,
        "control": control,
        "repository": repository.map(|r| serde_json::json!({
            "url": r.urls.iter().map(|url| shown(url)).collect::<Vec<_>>(),
            "branch": r.branch,
            "poll": format_duration(r.poll),
            "credentials-file": r.credentials_file,
            "known-hosts": r.known_hosts,
            "identity-file": r.identity_file,
            "ca": r.ca,
        })),
        "trust": settings.trust.as_ref().map(|t| serde_json::json!({
            "introduction": t.introduction, "policy-sha256": t.policy.hex(), "position": t.position,
        })),
        "map": settings.map.as_ref().map(|m| serde_json::json!({"url": m.url, "ca": m.ca, "token-file": m.token_file})),
        "webhook": settings.webhook.as_ref().map(|w| serde_json::json!({"listen": w.listen, "secret-file": w.secret_file})),
        "metrics": settings.metrics.as_ref().map(|listen| serde_json::json!({"listen": listen})),
        "logs": settings.logs.as_ref().map(|l| serde_json::json!({"forward": l.forward.as_str(), "socket": l.socket})),
        "ceiling": ceiling(&settings.ceiling),
        "engines": config.engines,
        "users": {"range": [settings.users.0, settings.users.1], "agent": settings.agent_user, "switch": settings.switch_users},
        "keep-state": format_duration(settings.keep_state),
    });
    out::json(&body)?;
    Ok(0)
}

/// The files that it names and that are not there. What is closed to whoever asks may be there.
fn missing(path: &str, text: &str) -> Vec<Problem> {
    let named = settings::files(text).into_iter();
    let missing = named.filter(|file| {
        fs::metadata(&file.path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
    });
    missing
        .map(|file| {
            let message = format!("{}: {} is not there", file.key, file.path.display());
            Problem::at(path, text, file.span, &NO_FILE, message).hint(NO_FILE.remedy)
        })
        .collect()
}

/// A url without user and password.
fn shown(url: &str) -> String {
    swarm_wire::remote::Remote::new(url, &swarm_wire::remote::Options::default()).map_or_else(
        |refusal| refusal.reason,
        |remote| remote.shown_url().to_string(),
    )
}

/// Keys and values as they are written in the file.
fn ceiling(ceiling: &Ceiling) -> Value {
    let Ceiling {
        limits,
        network,
        devices,
        groups,
        read,
        write,
        once_time_limit,
    } = ceiling;
    serde_json::json!({
        "memory": limits.memory.map(|size| size.to_string()),
        "cpu": limits.cpu.map(|percent| format!("{percent}%")),
        "pids": limits.pids,
        "open-files": limits.open_files,
        "log": limits.log.map(|size| size.to_string()),
        "network": network,
        "devices": devices,
        "groups": groups,
        "read": read,
        "write": write,
        "once-time-limit": once_time_limit.map(format_duration),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_told_with_its_line() {
        let text = "[webhook]\nlisten = \"127.0.0.1:7701\"\nsecret-file = \"/nonexistent/secret\"\n\n[map]\nurl = \"https://map\"\nca = \"/\"\n";
        let found = missing("agent.toml", text);
        let told: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "agent.toml:3:15: [webhook] secret-file: /nonexistent/secret is not there [S-FILE-15]\n  hint: Put the file there, or correct the path."
            ]
        );
    }

    #[test]
    fn a_ceiling_is_shown_as_it_is_written() {
        let text = "[ceiling]\nmemory = \"512M\"\ncpu = \"50%\"\nonce-time-limit = \"1h\"\n";
        let (settings, problems) = settings::read("agent.toml", text.as_bytes());
        let settings = settings.unwrap_or_else(|| panic!("{problems:?}"));
        let shown = ceiling(&settings.ceiling);
        assert_eq!(shown["memory"], "512M");
        assert_eq!(shown["cpu"], "50%");
        assert_eq!(shown["once-time-limit"], "1h");
        assert!(shown["pids"].is_null());
    }
}
