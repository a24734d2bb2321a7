//! The way to the remote, and the way back where somebody else was faster. Touches git and the network.

use crate::{
    deploy_repository::DeployRepository,
    failure::{Exit, Failure, Outcome},
    git::Git,
};
use std::process::Output;

/// Where the branch is pushed to.
#[derive(Debug, Clone)]
pub struct Target {
    remote: String,
    /// `refs/heads/main`
    to: String,
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// The remote has it.
    Done,
    /// Somebody else pushed in between.
    Raced,
}

/// Words in git's porcelain that mean: the branch moved while we looked away.
const RACES: [&str; 6] = [
    "[rejected]",
    "cannot lock ref",
    "failed to update ref",
    "incorrect old value",
    "reference already exists",
    "failed to lock",
];

impl Target {
    /// The branch's upstream, else a branch of the same name at the only remote, or at origin; none without a remote.
    pub fn find(git: &Git) -> Outcome<Option<Self>> {
        let branch = git
            .ask(["symbolic-ref", "-q", "--short", "HEAD"])?
            .ok_or_else(|| {
                Failure::new("HEAD is at no branch").hint("git switch main, and run it again")
            })?;
        let remotes = git.line(["remote"])?;
        let remotes: Vec<&str> = remotes.lines().collect();
        let configured = git.config(&format!("branch.{branch}.remote"))?;
        let usual = || {
            remotes
                .iter()
                .find(|name| **name == "origin")
                .or(if remotes.len() == 1 {
                    remotes.first()
                } else {
                    None
                })
                .map(ToString::to_string)
        };
        let Some(remote) = configured.or_else(usual) else {
            return match remotes.len() {
                0 => Ok(None),
                _ => Err(
                    Failure::new("it is not clear which remote to push to").hint(format!(
                        "git push -u REMOTE {branch}  says so once and for all"
                    )),
                ),
            };
        };
        let to = git
            .config(&format!("branch.{branch}.merge"))?
            .unwrap_or_else(|| format!("refs/heads/{branch}"));
        Ok(Some(Self { remote, to }))
    }

    /// Pushes HEAD.
    pub fn push(&self, git: &Git) -> Outcome<Pushed> {
        let output = git.output([
            "push",
            "--porcelain",
            "-u",
            &self.remote,
            &format!("HEAD:{}", self.to),
        ])?;
        if output.status.success() {
            return Ok(Pushed::Done);
        }
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        let is_race = RACES.iter().any(|race| said.contains(race));
        if (is_race && !said.contains("hook declined")) || self.has_moved(git) {
            return Ok(Pushed::Raced);
        }
        Err(self.failed("push to", &output))
    }

    /// Whether the remote's branch has what HEAD lacks: then a hook or the remote may have refused for that alone.
    fn has_moved(&self, git: &Git) -> bool {
        let theirs = self.fetch(git).ok().flatten();
        theirs.is_some_and(|theirs| !git.contains("HEAD", &theirs).unwrap_or(true))
    }

    fn failed(&self, what: &str, output: &Output) -> Failure {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_string();
        let said = if said.is_empty() {
            String::from_utf8_lossy(&output.stdout).trim().to_string()
        } else {
            said
        };
        let failure = Failure::new(format!(
            "the {what} {} failed; what is committed stands here: {said}",
            self.remote
        ));
        let is_away = [
            "Could not read from remote",
            "unable to access",
            "Could not resolve",
            "does not appear to be a git repository",
        ];
        if is_away.iter().any(|words| said.contains(words)) {
            return failure
                .exit(Exit::Unreachable)
                .hint("run it again once the remote answers; for a commit that stands, git push is enough");
        }
        failure.hint(
            "mend what it says, then run it again; for a commit that stands, git push is enough",
        )
    }

    /// Fetches the branch; where the remote has it now, none where it has no such branch.
    pub fn fetch(&self, git: &Git) -> Outcome<Option<String>> {
        let branch = self.to.trim_start_matches("refs/heads/");
        let tracking = format!("refs/remotes/{}/{branch}", self.remote);
        let output = git.output([
            "fetch",
            "-q",
            &self.remote,
            &format!("+{}:{tracking}", self.to),
        ])?;
        if !output.status.success() {
            if String::from_utf8_lossy(&output.stderr).contains("couldn't find remote ref") {
                return Ok(None);
            }
            return Err(self.failed("fetch from", &output));
        }
        git.line(["rev-parse", &tracking]).map(Some)
    }

    /// Fetches, takes the commit that did not get through back, and moves the branch to where the remote's is.
    ///
    /// Of the working tree only what differs between the two is touched; the person's other changes stay.
    pub fn step_back(&self, repository: &DeployRepository, ours: Option<&str>) -> Outcome {
        let git = &repository.git;
        let theirs = self
            .fetch(git)?
            .ok_or_else(|| Failure::new(format!("{} has no {}", self.remote, self.to)))?;
        let head = repository.head()?;
        let base = match ours {
            Some(ours) if ours == head => format!("{head}^1"),
            _ => head.clone(),
        };
        if !git.contains(&theirs, &base)? {
            return Err(Failure::new(
                "others pushed meanwhile, and this branch has commits that they do not have",
            )
            .hint("git pull --rebase  puts yours upon theirs; then run it again"));
        }
        // The files were just written: let the index know that they are what it says.
        git.output(["update-index", "-q", "--refresh"])?;
        let moved = git.run(["read-tree", "-m", "-u", &head, &theirs]);
        moved.map_err(|failure| failure.hint("others changed a file that you have changed and not committed: commit or stash it, git pull --rebase, and run it again"))?;
        git.run([
            "update-ref",
            "-m",
            "swarm-pack: others were faster",
            "HEAD",
            &theirs,
            &head,
        ])
        .map(drop)
    }
}
