//! The other judge: git and OpenSSH themselves. Some hundred commits, good and bad, made by the real tools and by hand; each is put
//! before `git verify-commit` with the allowed signers of the policy, and before us. What git rejects, we never accept. Where we
//! reject what git accepts, [`STRICTER`] says why.

mod cases;
#[path = "../world/mod.rs"]
mod world;

use cases::{KINDS, corpus, first_world};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};
use swarm_manifests::id::Oid;
use swarm_repository::{
    objects::Objects,
    trunk::{Advance, Trusted},
    verifier::Verifier,
};
use world::{World, stopped};

/// Where we are stricter than git, by the name of the case, and why.
const STRICTER: &[(&str, &str)] = &[
    (
        "headers: unknown",
        "libgit2 and forges read odd headers differently; git ignores them",
    ),
    (
        "headers: encoding twice",
        "one commit must have one reading",
    ),
    (
        "headers: mergetag twice",
        "an octopus of signed tags is no trunk commit that git makes here; merge the branches",
    ),
    (
        "headers: author and committer swapped",
        "the order of headers is git's own; what reads them by name and what reads them by place must agree",
    ),
    (
        "headers: tree twice",
        "git reads the first one, others might read the last",
    ),
    ("headers: no author", "git commit writes one"),
    ("headers: author twice", "one commit must have one reading"),
    (
        "headers: parent of another",
        "its first parent is not on the trunk: that is no matter of signatures",
    ),
    (
        "headers: no parent",
        "its first parent is not on the trunk: that is no matter of signatures",
    ),
    ("ident: odd date", "a date that git commit does not write"),
    (
        "ident: no address",
        "a person that git commit does not write",
    ),
    (
        "signature: twice",
        "git checks one of them only; nobody can say which one is meant",
    ),
    ("armour: text after", "ssh-keygen stops reading at END"),
    ("armour: empty line", "one signature has one spelling"),
    ("armour: spaces", "ssh-keygen skips white space in base64"),
    (
        "armour: version 0",
        "PROTOCOL.sshsig knows version 1 only; ssh-keygen lets 0 pass",
    ),
];

/// What git says of each commit: all of them in one process.
fn git_accepts(world: &World, ids: &[Oid]) -> Vec<bool> {
    let signers: Vec<String> = KINDS
        .iter()
        .map(|(kind, _)| format!("alice namespaces=\"git\" {}\n", world.public(kind)))
        .collect();
    let file = world.folder.path().join("allowed_signers");
    fs::write(&file, signers.concat()).expect("allowed signers");
    let option = format!("gpg.ssh.allowedSignersFile={}", file.display());
    let accepts = |id: &Oid| {
        let mut git = world.command("git");
        git.args(["-c", &option, "verify-commit", &id.to_string()]);
        git.output().expect("git runs").status.success()
    };
    // Two at a time: each is a process of git's and several of ssh-keygen's.
    let (left, right) = ids.split_at(ids.len() / 2);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| right.iter().map(accepts).collect::<Vec<_>>());
        let mut all: Vec<bool> = left.iter().map(accepts).collect();
        all.extend(other.join().expect("it ends"));
        all
    })
}

/// Whether we take the signature of a commit upon `base`: no rule about signature and form refuses it.
fn ours(
    objects: &Objects,
    verifier: &mut Verifier,
    base: &Trusted,
    id: Oid,
) -> Result<(), &'static str> {
    match verifier.advance(objects, base, id) {
        Ok(Advance::Moved(_)) => Ok(()),
        Ok(Advance::Astray(refusal)) => Err(refusal.rule.id),
        Ok(other) => Err(stopped(other).0),
        Err(_) => Err("objects"),
    }
}

#[test]
fn what_git_rejects_is_never_accepted_and_where_we_are_stricter_a_list_says_why() {
    let world = first_world();
    let cases = corpus(&world);
    assert!(cases.len() >= 300, "only {} cases", cases.len());
    let ids: Vec<Oid> = cases.iter().map(|(_, raw)| world.raw_commit(raw)).collect();
    let theirs = git_accepts(&world, &ids);
    let (objects, base) = (world.objects(), world.introduced());
    let mut verifier = Verifier::new();
    let mut counts = BTreeMap::<(bool, bool), usize>::new();
    let mut wrong = Vec::new();
    let mut unused: BTreeSet<&str> = STRICTER.iter().map(|(case, _)| *case).collect();
    for (((name, _), id), git) in cases.iter().zip(&ids).zip(theirs) {
        let ours = ours(&objects, &mut verifier, &base, *id);
        *counts.entry((git, ours.is_ok())).or_default() += 1;
        let is_listed = STRICTER.iter().any(|(case, _)| case == name);
        match (git, ours) {
            (false, Ok(())) => wrong.push(format!("{name}: git rejects it, we accept it")),
            (true, Err(_)) if is_listed => _ = unused.remove(name.as_str()),
            (true, Err(rule)) => {
                wrong.push(format!(
                    "{name}: git accepts it, we refuse it by {rule}, and no list says why"
                ));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{counts:?}\n{}", wrong.join("\n"));
    assert!(unused.is_empty(), "not stricter there: {unused:?}");
    let both = counts.get(&(true, true)).copied().unwrap_or_default();
    let neither = counts.get(&(false, false)).copied().unwrap_or_default();
    assert!(both >= 25 && neither >= 200, "{counts:?}");
}
