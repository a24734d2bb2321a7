//! `[metrics]`: what a box tells whoever scrapes it, read by the parser of Prometheus' own client.

use anyhow::{Context, Result};
use serde_json::Value;
use std::{net::TcpStream, process::Command};
use swarm_tests::{Deploy, SwarmBox, World, process, reserve::free_port, until};

/// Reads the text as scrapers do, strictly; gives `[[name, labels, value], …]`, and names of families with their types.
const PARSE: &str = r#"
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(sys.stdin.read()))
print(json.dumps({
    "types": {family.name: family.type for family in families},
    "samples": [[s.name, s.labels, s.value] for family in families for s in family.samples],
}))
"#;

fn scrape(port: u16, path: &str) -> Result<(String, String)> {
    let url = format!("http://127.0.0.1:{port}{path}");
    let head = "%{http_code} %{content_type}";
    let said = process::run(Command::new(process::program("curl", "curl")?).args([
        "-sS",
        "--max-time",
        "60",
        "-w",
        &format!("\n{head}"),
        &url,
    ]))?;
    let (body, head) = said.trim_end().rsplit_once('\n').context("a head")?;
    Ok((head.to_owned(), body.to_owned()))
}

fn parsed(text: &str) -> Result<Value> {
    // The system's own Python has the package.
    let mut python = Command::new("/usr/bin/python3");
    let said = process::feed(python.args(["-c", PARSE]), text.as_bytes())
        .context("prometheus_client is needed: apt-get install python3-prometheus-client")?;
    Ok(serde_json::from_str(&said)?)
}

/// The value of the sample of this name whose labels are among the others.
fn value(parsed: &Value, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let samples = parsed["samples"].as_array()?.iter();
    let mut fitting = samples.filter(|sample| {
        sample[0] == name && labels.iter().all(|(key, value)| sample[1][*key] == *value)
    });
    fitting.next()?[2].as_f64()
}

#[test]
fn a_box_tells_its_figures_to_whoever_scrapes_them() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let busy = "i=0\nwhile [ $i -lt 20000 ]; do i=$((i+1)); done\necho counted\nwhile :; do sleep 1; done\n";
    deploy.publish_sh("busy", "1.0.0", busy)?;
    deploy.publish_sh("ends", "1.0.0", "exit 3\n")?;
    for (name, mode) in [("busy", "daemon"), ("ends", "once")] {
        let text = format!("version = \"1.0.0\"\n[on]\nall = true\n[run]\nmode = \"{mode}\"\n");
        deploy.manifest(name, &text)?;
    }
    deploy.push()?;
    let port = free_port()?;
    let url = deploy.remote().display().to_string();
    let tail = format!("[metrics]\nlisten = \"127.0.0.1:{port}\"\n");
    let mut here = SwarmBox::new(&world, "box-1", &deploy, &url, "poll = \"1s\"\n", &tail)?;
    here.run()?;
    here.until_printed("busy", "counted")?;
    here.until_state("ends", swarm_manifests::status::State::Failed)?;
    until("the endpoint", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    })?;
    let (head, text) = scrape(port, "/metrics")?;
    assert_eq!(
        head,
        "200 application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let figures = parsed(&text)?;
    let of = |workflow| [("workflow", workflow), ("instance", "0")];
    for (workflow, state) in [("busy", "running"), ("ends", "failed")] {
        let labels = [
            ("workflow", workflow),
            ("state", state),
            ("version", "1.0.0"),
        ];
        assert_eq!(
            value(&figures, "swarm_instance_state", &labels),
            Some(1.0),
            "{text}"
        );
    }
    for (name, at_least) in [
        ("swarm_instance_memory_bytes", 1.0),
        ("swarm_instance_cpu_seconds_total", 0.000_001),
        ("swarm_instance_restarts_total", 0.0),
        ("swarm_instance_read_bytes_total", 0.0),
        ("swarm_instance_written_bytes_total", 0.0),
    ] {
        let found = value(&figures, name, &of("busy"));
        assert!(
            found.is_some_and(|found| found >= at_least),
            "{name}: {found:?}\n{text}"
        );
    }
    for step in ["fetch", "verify", "plan"] {
        for (name, at_least) in [("count", 1.0), ("sum", 0.000_000_001)] {
            let found = value(
                &figures,
                &format!("swarm_walk_seconds_{name}"),
                &[("step", step)],
            );
            assert!(
                found.is_some_and(|found| found >= at_least),
                "{step} {name}: {found:?}\n{text}"
            );
        }
    }
    for queue in ["orders", "journaled", "supervisor", "events"] {
        assert!(
            value(&figures, "swarm_queue_length", &[("queue", queue)]).is_some(),
            "{queue}"
        );
    }
    assert_eq!(figures["types"]["swarm_instance_cpu_seconds"], "counter");
    let (head, _) = scrape(port, "/")?;
    assert_eq!(head.trim(), "404");
    Ok(())
}
