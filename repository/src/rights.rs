//! Who signed a commit, and whether they may change a path (SPEC §4 rules 1 and 3). Pure: text alone decides.

use crate::commit::Commit;
use swarm_manifests::{
    id::Oid,
    policy::{self, Need, NotSigned, Policy, Revocations, Side},
    problem::Refusal,
    rules::trunk as rules,
    signature::{Signature, SignatureError},
};

/// The namespace of git's own signatures.
pub const NAMESPACE: &str = "git";

/// The person who signed a commit, and with which key.
pub use swarm_manifests::policy::SignedBy as Signer;

/// What is still to be asked about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask<'a> {
    /// Nothing: the signer may change it.
    Nothing,
    /// Whether the boxes of this very manifest, old and new, are covered.
    Manifest(&'a str),
    /// Whether the boxes of the manifest of this workflow are covered, wherever it is.
    ManifestOf(&'a str),
}

/// The one person of `policy` (the first parent's) who signed this commit.
pub fn signer(id: Oid, commit: &Commit, policy: &Policy) -> Result<Signer, Refusal> {
    let who = format!(
        "commit {} ({} <{}>)",
        id.short(),
        plain(&commit.committer.name),
        plain(&commit.committer.email)
    );
    let Some(armour) = &commit.signature else {
        return Err(
            Refusal::new(&rules::UNSIGNED, format!("{who} is not signed"))
                .hint("swarm-pack setup makes git sign your commits"),
        );
    };
    let bad = |error: SignatureError| {
        let reason = format!("the signature of {who}: {error}");
        by_a_forge(commit, Refusal::new(&rules::BAD_SIGNATURE, reason))
    };
    let signature = Signature::parse(armour).map_err(bad)?;
    match policy.signed_by(&signature, NAMESPACE, &commit.payload) {
        Ok(signer) => Ok(signer),
        Err(NotSigned::Bad(error)) => Err(bad(error)),
        Err(NotSigned::Unknown(key)) => {
            let reason = format!(
                "{who} is signed with the key {key}, which the policy of its first parent does not know"
            );
            Err(by_a_forge(
                commit,
                Refusal::new(&rules::UNKNOWN_KEY, reason),
            ))
        }
    }
}

/// A merge or squash that a forge made on somebody's click carries the forge's own key, which stands for nobody.
fn by_a_forge(commit: &Commit, refusal: Refusal) -> Refusal {
    let committer = &commit.committer;
    let is_forge = committer.email.starts_with("noreply@") || commit.author != commit.committer;
    if !is_forge {
        return refusal;
    }
    refusal.hint("if a forge made it on a click on Merge, it has the forge's key, which stands for nobody: merge on your own machine (git merge --no-ff, signed), or have CI run swarm-pack vouch after the review")
}

/// Whether the signer's key still counts at this position (rule 8).
pub fn not_revoked(
    id: Oid,
    signer: &Signer,
    revoked: &Revocations,
    position: u64,
) -> Result<(), Refusal> {
    match revoked.why(&signer.key, position) {
        None => Ok(()),
        Some(why) => {
            let reason = format!("{}: {why}", named(id, signer));
            Err(Refusal::new(&rules::REVOKED_KEY, reason))
        }
    }
}

/// Whether the signer may change `path`, as far as the path alone tells.
pub fn may_change<'a>(
    id: Oid,
    policy: &Policy,
    signer: &Signer,
    path: &'a str,
) -> Result<Ask<'a>, Refusal> {
    let anywhere = |workflow| {
        policy
            .may_deploy(&signer.name, workflow, Side::Broken, Side::Broken)
            .is_ok()
    };
    match policy::need(path) {
        Need::AnyPerson => Ok(Ask::Nothing),
        Need::Admin if policy.is_admin(&signer.name) => Ok(Ask::Nothing),
        Need::Admin => Err(no_right(id, signer, path, "only an admin may do")),
        Need::Publish { bundle } if policy.may_publish(&signer.name, bundle) => Ok(Ask::Nothing),
        Need::Publish { bundle } => Err(no_right(
            id,
            signer,
            path,
            &format!("needs the right to publish {}", plain(bundle)),
        )),
        // A grant for every box settles it without reading any manifest.
        Need::Manifest { workflow } | Need::Deploy { workflow } if anywhere(workflow) => {
            Ok(Ask::Nothing)
        }
        Need::Manifest { workflow } => Ok(Ask::Manifest(workflow)),
        Need::Deploy { workflow } => Ok(Ask::ManifestOf(workflow)),
    }
}

/// Whether the signer's grants cover the boxes of both sides of a manifest.
pub fn may_deploy(
    id: Oid,
    policy: &Policy,
    signer: &Signer,
    path: &str,
    workflow: &str,
    sides: (Side<'_>, Side<'_>),
) -> Result<(), Refusal> {
    let refused = policy.may_deploy(&signer.name, workflow, sides.0, sides.1);
    refused.map_err(|why| Refusal {
        reason: format!(
            "{} changes {}: {}",
            named(id, signer),
            plain(path),
            why.reason
        ),
        ..why
    })
}

fn no_right(id: Oid, signer: &Signer, path: &str, needs: &str) -> Refusal {
    Refusal::new(
        &rules::NO_RIGHT,
        format!(
            "{} changes {}, which {needs}",
            named(id, signer),
            plain(path)
        ),
    )
}

/// `commit 0123456789 by alice (SHA256:…)`
pub fn named(id: Oid, signer: &Signer) -> String {
    format!("commit {} by {} ({})", id.short(), signer.name, signer.key)
}

/// Text of somebody else as it may stand in a reason: no control or bidirectional characters, not too long.
pub fn plain(text: &str) -> String {
    let odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .take(200)
        .map(|c| if odd(c) { '\u{fffd}' } else { c })
        .collect()
}
