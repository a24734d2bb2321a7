//! The revision: the hash of what runs (SPEC §3.3). Pure.

use crate::{
    bundle::{Bundle, Limits, Workdir},
    id::Digest,
    manifest::{Manifest, Mode, OnLimit, Run},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Hashes bundle digest, args, env, digests of secrets, mode and time limit, limits, user, workdir, instances.
///
/// `[on]`, `[rollout]`, `[restart]`, the schedule, comments, key order and the file's folder are not part of it.
#[allow(clippy::missing_panics_doc)] // the expectation below is proven
pub fn revision(
    manifest: &Manifest,
    bundle: &Bundle,
    digest: Digest,
    secrets: &BTreeMap<String, Digest>,
) -> Digest {
    let Manifest {
        workflow: _,
        bundle: _,
        version: _,
        args,
        on: _,
        run,
        restart: _,
        env,
        secrets: _,
        limits,
    } = manifest;
    let Run {
        mode,
        time_limit,
        on_limit,
        instances,
        schedule: _,
    } = run;
    let mut whole_env = bundle.env.clone();
    whole_env.extend(env.clone());
    let what = What {
        digest: digest.to_string(),
        args: args.as_ref().unwrap_or(&bundle.args),
        env: whole_env,
        secrets,
        mode: *mode,
        time_limit_ms: time_limit.map(|limit| limit.as_millis()),
        on_limit: *on_limit,
        limits: bundle.limits.tightest(limits),
        user: bundle.user.as_deref(),
        workdir: bundle.workdir.as_ref(),
        instances: *instances,
    };
    // JSON of a struct with sorted maps: one text for one value.
    let text =
        serde_json::to_string(&what).expect("strings, numbers and maps with string keys are JSON");
    Digest::of(format!("swarm-revision-v1\n{text}\n").as_bytes())
}

/// What runs. A new field makes new revisions of everything: weigh it.
#[derive(Serialize)]
struct What<'a> {
    digest: String,
    args: &'a [String],
    env: BTreeMap<String, String>,
    secrets: &'a BTreeMap<String, Digest>,
    mode: Mode,
    time_limit_ms: Option<u128>,
    on_limit: OnLimit,
    limits: Limits,
    user: Option<&'a str>,
    workdir: Option<&'a Workdir>,
    instances: u16,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bundle, manifest};

    fn of(manifest: &str, bundle: &str) -> Digest {
        let manifest = manifest::read("manifests/web.toml", manifest.as_bytes())
            .0
            .expect("a manifest");
        let bundle = bundle::read("bundle.toml", bundle.as_bytes())
            .0
            .expect("a bundle");
        revision(&manifest, &bundle, Digest::of(b"lock"), &BTreeMap::new())
    }

    const BUNDLE: &str =
        "name = \"web\"\nversion = \"1.0.0\"\nengine = \"sh\"\nentry = \"a\"\nargs = [\"x\"]\n";
    const MANIFEST: &str = "version = \"1.0.0\"\n[run]\nmode = \"daemon\"\n[on]\nall = true\n";

    #[test]
    fn where_it_runs_and_how_it_is_written_makes_no_new_revision() {
        let other = "# words\nversion = \"1.0.0\"\nbundle = \"web\"\n[on]\nboxes = [\"a\"]\n[restart]\ndelay = \"1s\"\n[run]\nmode = 'daemon'\n";
        assert_eq!(of(MANIFEST, BUNDLE), of(other, BUNDLE));
        assert_eq!(
            of(MANIFEST, BUNDLE),
            of(&format!("args = [\"x\"]\n{MANIFEST}"), BUNDLE),
            "the bundle's arguments said again"
        );
    }

    #[test]
    fn what_runs_makes_a_new_revision() {
        let base = of(MANIFEST, BUNDLE);
        for more in ["[env]\nA = \"1\"\n", "[limits]\npids = 9\n"] {
            assert_ne!(base, of(&format!("{MANIFEST}{more}"), BUNDLE), "{more}");
        }
        assert_ne!(base, of(&format!("args = []\n{MANIFEST}"), BUNDLE));
        assert_ne!(base, of(&MANIFEST.replace("daemon", "restart"), BUNDLE));
        assert_ne!(
            base,
            of(
                &MANIFEST.replace("[on]", "time-limit = \"6s\"\n[on]"),
                BUNDLE
            )
        );
        assert_ne!(
            base,
            of(&MANIFEST.replace("[on]", "instances = 2\n[on]"), BUNDLE)
        );
    }
}
