//! `vouch [--drop]`: a signed merge that mends a stopped trunk (SPEC §4 rule 6). Its first parent is the last good commit, its
//! second the refused head; it takes over what that brought, or leaves it out. Asks the remote, moves the branch.

use super::here;
use crate::{
    audit::trunk,
    cli::VouchArgs,
    commit,
    deploy_repository::DeployRepository,
    failure::{Failure, Outcome},
    key::Key,
    push::Target,
    talk,
};
use serde_json::json;
use swarm_manifests::problem::Refusal;
use swarm_repository::verifier::Verifier;

/// A trunk that stopped.
struct Stopped {
    /// The last good commit.
    good: String,
    /// The head that boxes refuse.
    head: String,
    /// Why, in words.
    refusal: Refusal,
}

/// Mends it.
pub fn run(args: &VouchArgs, as_json: bool) -> Outcome {
    let repository = here()?;
    let head = newest(&repository)?;
    let Some(stopped) = stopped(&repository, &head)? else {
        talk::say(format!(
            "every box takes {head:.10}: there is nothing to mend"
        ));
        if as_json {
            talk::json(&json!({"commit": null, "good": head, "refused": null}));
        }
        return Ok(());
    };
    talk::say(format!(
        "boxes stay at {:.10}: {}",
        stopped.good, stopped.refusal
    ));
    let key = Key::find(args.key.key.as_deref(), &repository.git)?;
    let taken = if args.drop { "left out" } else { "vouched for" };
    let brought = tell(&repository, &stopped, taken)?;
    let commit = merge(&repository, &key, &stopped, args.drop)?;
    refuse(&repository, &stopped, &commit)?;
    adopt(&repository, &commit)?;
    talk::say(format!(
        "{taken} in {commit:.10}, a merge that boxes take; look at it (git show -m --stat {commit:.10}), then: git push"
    ));
    if as_json {
        talk::json(
            &json!({"commit": commit, "good": stopped.good, "refused": stopped.head, "dropped": args.drop, "files": brought}),
        );
    }
    Ok(())
}

/// The head that the remote has now, or this branch's where there is no remote. Commits that nobody has but this clone must
/// not be lost in between.
fn newest(repository: &DeployRepository) -> Outcome<String> {
    let head = repository.head()?;
    let Some(target) = Target::find(&repository.git)? else {
        return Ok(head);
    };
    let Some(theirs) = target.fetch(&repository.git)? else {
        return Ok(head);
    };
    if !repository.git.contains(&theirs, &head)? {
        return Err(Failure::new("this branch has commits that the remote does not have")
            .hint("git push them, or set them aside (git branch mine, git reset --keep @{u}); then run it again"));
    }
    Ok(theirs)
}

fn stopped(repository: &DeployRepository, head: &str) -> Outcome<Option<Stopped>> {
    let objects = trunk::objects(&repository.git)?;
    let judged = trunk::judge(repository, &objects, &mut Verifier::new(), head)?;
    let Some((_, refusal)) = judged.refusal else {
        return Ok(None);
    };
    match judged.trusted {
        Some(trusted) => Ok(Some(Stopped {
            good: trusted.head.to_string(),
            head: head.into(),
            refusal,
        })),
        None => Err(refusal.into()),
    }
}

/// Says what is between the good commit and the refused head; the files.
fn tell(repository: &DeployRepository, stopped: &Stopped, taken: &str) -> Outcome<Vec<String>> {
    let range = format!("{}..{}", stopped.good, stopped.head);
    let log = repository.git.line([
        "log",
        "--no-show-signature",
        "--format=%h  %an <%ae>  %s",
        &range,
    ])?;
    let changed = [
        "diff",
        "--name-status",
        "--no-renames",
        &stopped.good,
        &stopped.head,
    ];
    let files = repository.git.line(changed)?;
    talk::say(format!("{taken}:"));
    for line in log.lines().chain(files.lines()) {
        talk::say(format!("  {}", line.replace('\t', "  ")));
    }
    Ok(files
        .lines()
        .filter_map(|line| Some(line.split_once('\t')?.1.to_string()))
        .collect())
}

fn merge(
    repository: &DeployRepository,
    key: &Key,
    stopped: &Stopped,
    drop: bool,
) -> Outcome<String> {
    let from = if drop { &stopped.good } else { &stopped.head };
    let tree = repository
        .git
        .line(["rev-parse", &format!("{from}^{{tree}}")])?;
    let verb = if drop { "leave out" } else { "vouch for" };
    let message = format!("{verb} {:.10}\n\n{}", stopped.head, stopped.refusal.reason);
    let parents = [stopped.good.as_str(), stopped.head.as_str()];
    commit::commit_tree(
        &key.in_git(&commit::identified(&repository.git)?),
        &tree,
        &parents,
        &message,
    )
}

/// Whoever may not do what the refused commits do cannot vouch for it either.
fn refuse(repository: &DeployRepository, stopped: &Stopped, commit: &str) -> Outcome {
    let objects = trunk::objects(&repository.git)?;
    let step = (Some(stopped.good.as_str()), commit);
    let judged = trunk::judge_step(repository, &objects, &mut Verifier::new(), step.0, step.1)?;
    let Some((_, refusal)) = judged.refusal else {
        return Ok(());
    };
    Err(Failure::rule(
        refusal.rule,
        format!("boxes would refuse this merge too, and nothing was changed: {}", refusal.reason),
    )
    .hint(format!(
        "have somebody with the right vouch, leave it out (swarm-pack vouch --drop), or reset the branch: git push --force-with-lease origin {:.10}:main",
        stopped.good
    )))
}

/// Moves the branch to the merge. Of the working tree only what differs is touched.
fn adopt(repository: &DeployRepository, commit: &str) -> Outcome {
    let git = &repository.git;
    let head = repository.head()?;
    git.output(["update-index", "-q", "--refresh"])?;
    git.run(["read-tree", "-m", "-u", &head, commit])
        .map_err(|failure| failure.hint("a file that changes is changed here too and not committed: commit or stash it, and run it again"))?;
    git.run([
        "update-ref",
        "-m",
        "swarm-pack: vouch",
        "HEAD",
        commit,
        &head,
    ])
    .map(drop)
}
