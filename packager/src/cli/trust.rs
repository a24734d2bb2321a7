//! What may be typed about trust: `policy`, `who`, `approve`, `vouch`, `encrypt`. Pure.

use super::KeyOption;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use swarm_manifests::{
    name::{Name, Pattern},
    policy::Right,
};

/// `policy …`
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// Commit it too, where your signature alone is enough
    #[arg(long, global = true)]
    pub commit: bool,
    /// The key that signs the commit
    #[arg(long = "sign-key", global = true, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,
    /// What to change
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// Changes of the policy.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// What the policy says, in sentences
    Show,
    /// Somebody new
    AddPerson {
        /// Their name
        name: Name,
        /// Their public key, or the file that has it; may be given several times
        #[arg(long = "key", value_name = "KEY", required = true)]
        keys: Vec<String>,
        /// They may approve policies
        #[arg(long)]
        admin: bool,
    },
    /// Somebody leaves, out of every grant and team too
    RemovePerson {
        /// Who
        name: Name,
    },
    /// One more key of somebody
    AddKey {
        /// Whose
        name: Name,
        /// The public key, or the file that has it
        key: String,
    },
    /// Somebody becomes an admin
    Admin {
        /// Who
        name: Name,
        /// They are no admin any more
        #[arg(long)]
        remove: bool,
    },
    /// The right to do something
    Grant {
        /// People and teams
        #[arg(required = true, value_delimiter = ',', value_name = "WHO")]
        people: Vec<Name>,
        /// What: publish, deploy, operate
        #[arg(long, required = true, value_delimiter = ',', value_name = "RIGHT", value_parser = right)]
        may: Vec<Right>,
        /// With which workflows; bundles for publish
        #[arg(long, required = true, value_delimiter = ',', value_name = "PATTERN", value_parser = Pattern::new)]
        workflows: Vec<Pattern>,
        /// On which boxes [default: every box]
        #[arg(long, value_delimiter = ',', value_name = "PATTERN", value_parser = Pattern::new)]
        boxes: Vec<Pattern>,
        /// How many people must stand behind a manifest
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
        approvals: Option<u32>,
    },
    /// A key counts no longer
    Revoke {
        /// The key: its fingerprint, the key or its file, or a person, for every key of theirs
        key: String,
        /// From when on what it brought counts as absent: a trunk position, a commit, or now
        #[arg(long, value_name = "POSITION|COMMIT|now")]
        from: String,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// How many admins must approve the next policy
    Threshold {
        /// How many
        #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
        count: u32,
    },
    /// Who is in a team
    Team {
        /// Its name
        name: Name,
        /// Who comes
        #[arg(value_delimiter = ',', value_name = "PERSON")]
        add: Vec<Name>,
        /// Who goes
        #[arg(long, value_delimiter = ',', value_name = "PERSON")]
        remove: Vec<Name>,
    },
}

/// Questions about people.
#[derive(Debug, Subcommand)]
pub enum WhoCommand {
    /// Who has a right: who can deploy ramp to lab-3, who can publish ramp
    #[command(alias = "may")]
    Can {
        /// publish, deploy or operate
        #[arg(value_parser = right)]
        right: Right,
        /// The workflow; the bundle for publish
        name: Name,
        /// on or to, and the box
        #[arg(num_args = 0..=2, value_name = "to BOX")]
        on: Vec<String>,
    },
    /// Who signed a commit, a bundle (ramp 1.2.0) or a manifest (its workflow or file)
    Signed {
        /// A commit, bundles/NAME/VERSION, a manifest's file, a workflow, or NAME VERSION
        #[arg(required = true, num_args = 1..=2, value_name = "WHAT")]
        what: Vec<String>,
    },
    /// Which secrets a box can read (rotate them when it leaves), or which boxes can read a workflow's
    Reads {
        /// A box, or a workflow
        name: Name,
    },
}

/// `approve FILE`
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// policy.toml, a manifest's file, or its workflow
    pub file: PathBuf,
    /// Print the bytes to sign, and sign nothing
    #[arg(long, conflicts_with_all = ["signature", "commit"])]
    pub print: bool,
    /// Place a signature that was made elsewhere, by ssh-keygen -Y sign
    #[arg(long, value_name = "FILE")]
    pub signature: Option<PathBuf>,
    /// Commit it too, where nobody else has to approve
    #[arg(long)]
    pub commit: bool,
    /// The key that signs
    #[command(flatten)]
    pub key: KeyOption,
}

/// `vouch`
#[derive(Debug, Args)]
pub struct VouchArgs {
    /// Leave out what the refused commits brought
    #[arg(long)]
    pub drop: bool,
    /// The key that signs
    #[command(flatten)]
    pub key: KeyOption,
}

/// `encrypt WORKFLOW NAME`
#[derive(Debug, Args)]
pub struct EncryptArgs {
    /// The workflow that reads it
    pub workflow: Name,
    /// The secret's name
    pub name: Name,
    /// The file that has it [default: standard input]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Commit it too
    #[arg(long)]
    pub commit: bool,
    /// The key that signs the commit
    #[command(flatten)]
    pub key: KeyOption,
}

fn right(word: &str) -> Result<Right, String> {
    match word {
        "publish" => Ok(Right::Publish),
        "deploy" => Ok(Right::Deploy),
        "operate" => Ok(Right::Operate),
        _ => Err("it is publish, deploy or operate".into()),
    }
}
