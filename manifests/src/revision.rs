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
/// `[on]`, `[rollout]`, `[restart]`, comments, key order and the file's folder are not part of it.
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
