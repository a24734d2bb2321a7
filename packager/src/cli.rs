//! What may be typed: the command line of `swarm-pack` (SPEC §7). Pure.

mod trust;

pub use trust::{ApproveArgs, EncryptArgs, PolicyArgs, PolicyCommand, VouchArgs, WhoCommand};

use crate::edit::On;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use swarm_manifests::name::Name;

/// Builds, signs, publishes and deploys what Swarmlet's boxes run.
#[derive(Debug, Parser)]
#[command(name = "swarm-pack", version, max_term_width = 100)]
pub struct Cli {
    /// Work as if started in this folder
    #[arg(short = 'C', global = true, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Print JSON on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The key that signs.
#[derive(Debug, Clone, Default, Args)]
pub struct KeyOption {
    /// The SSH key that signs [default: git's user.signingkey, then `~/.ssh/id_ed25519`]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
}

/// What is to be set in a manifest.
#[derive(Debug, Clone, Default, Args)]
pub struct WishOptions {
    /// Where: all, box-1,lab-* or where:EXPR
    #[arg(long, value_name = "WHERE")]
    pub on: Option<String>,
    /// How it runs [default, for a new manifest: daemon]
    #[arg(long)]
    pub mode: Option<Mode>,
    /// How long one process may run, such as 6s
    #[arg(long, value_name = "DURATION")]
    pub time_limit: Option<String>,
    /// Set a variable
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// One argument, instead of the bundle's; may be given several times
    #[arg(long = "arg", value_name = "ARG", allow_hyphen_values = true)]
    pub args: Vec<String>,
}

/// `[run] mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Mode {
    Once,
    Restart,
    Daemon,
}

/// The files that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum SchemaOf {
    Bundle,
    Manifest,
    Policy,
    Agent,
}

/// The built-in engines that have a starter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Engine {
    Exec,
    Sh,
    Node,
    Python,
    Accessor,
    Java,
    Beam,
}

/// Every command there is.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a deploy repository in this folder, with you as its admin
    Init {
        /// Your name in the policy [default: from git's user.name]
        #[arg(long, value_name = "NAME")]
        person: Option<Name>,
        /// The key that signs
        #[command(flatten)]
        key: KeyOption,
    },
    /// Make this clone sign and check; say who you are and what you may
    Setup {
        /// The key that signs
        #[command(flatten)]
        key: KeyOption,
    },
    /// Write a bundle to start from into sources/NAME, and its manifest
    New {
        /// Its name
        name: Name,
        /// What runs it
        #[arg(long)]
        engine: Engine,
    },
    /// From edit to result: build, sign, place, deploy, push, and watch it get ready
    Up {
        /// The bundle's folder
        dir: PathBuf,
        /// The workflow [default: the bundle's name]
        #[arg(long, value_name = "WORKFLOW")]
        name: Option<Name>,
        /// What is to be set in the manifest
        #[command(flatten)]
        wish: WishOptions,
        /// The key that signs
        #[command(flatten)]
        key: KeyOption,
        /// The map to watch it on [default: `$SWARM_MAP`, then git's swarm.map]
        #[arg(long, value_name = "URL")]
        map: Option<String>,
        /// Wait no longer than this for the boxes
        #[arg(long, value_name = "DURATION", default_value = "2m")]
        timeout: String,
    },
    /// Everything a box would check, in a file, a bundle or the whole repository
    Check {
        /// A file or folder [default: the deploy repository]
        path: Option<PathBuf>,
        /// As git's pre-push hook: reads the refs from stdin and checks the commits alone
        #[arg(long, hide = true, value_name = "REMOTE", num_args = 0..=1, default_missing_value = "origin", conflicts_with = "path")]
        pushed: Option<String>,
        /// As the server's pre-receive hook: reads the refs from stdin, looks into git's quarantine
        #[arg(long, hide = true, conflicts_with = "pushed")]
        received: bool,
    },
    /// What each box of the roster would start, stop, replace or refuse, were this pushed
    Plan {
        /// The key that signs what is not committed yet, to see whether boxes take it
        #[command(flatten)]
        key: KeyOption,
    },
    /// Write bundle.lock and print the digest
    Build {
        /// The bundle's folder
        dir: PathBuf,
    },
    /// Write bundle.lock.sig
    Sign {
        /// The bundle's folder
        dir: PathBuf,
        /// The key that signs
        #[command(flatten)]
        key: KeyOption,
    },
    /// Build, sign, place in the deploy repository, and commit
    Publish {
        /// The bundle's folder
        dir: PathBuf,
        /// The deploy repository [default: where you are, then where DIR lies]
        #[arg(long, value_name = "DIR")]
        repo: Option<PathBuf>,
        /// The key that signs
        #[command(flatten)]
        key: KeyOption,
    },
    /// Set the version that a workflow runs, and commit
    Deploy {
        /// The workflow
        name: Name,
        /// The version of its bundle
        version: semver::Version,
        /// The bundle, where it is not called as the workflow
        #[arg(long, value_name = "NAME")]
        bundle: Option<Name>,
        /// What is to be set in the manifest
        #[command(flatten)]
        wish: WishOptions,
        /// The key that signs
        #[command(flatten)]
        key: KeyOption,
    },
    /// Check a bundle's lock, files and signature
    Verify {
        /// The bundle's folder
        dir: PathBuf,
        /// Say whose key it is, and whether they may publish, by this policy.toml
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
    },
    /// What is published, by whom, and what runs it
    Show {
        /// Only this bundle or workflow
        name: Option<Name>,
    },
    /// What a rule means, and what to do
    Explain {
        /// The rule, such as S-TRUNK-03
        id: String,
    },
    /// The JSON Schema of a file
    Schema {
        /// Which file
        of: SchemaOf,
    },
    /// The roster
    Box {
        /// What to do with it
        #[command(subcommand)]
        command: BoxCommand,
    },
    /// Git hooks that run the verifier
    Hook {
        /// What to do
        #[command(subcommand)]
        command: HookCommand,
    },
    /// `allowed_signers` from the policy, for git log --show-signature and ssh-keygen -Y verify
    Signers,
    /// Completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Approve a manifest or policy
    Approve(ApproveArgs),
    /// Mend a stopped trunk
    Vouch(VouchArgs),
    /// Edit the policy
    Policy(PolicyArgs),
    /// Who may do what, who signed what, who can read which secret
    Who {
        /// The question
        #[command(subcommand)]
        command: WhoCommand,
    },
    /// Encrypt a secret to the boxes of a workflow
    Encrypt(EncryptArgs),
}

/// The roster's commands.
#[derive(Debug, Subcommand)]
pub enum BoxCommand {
    /// Write boxes/NAME.toml, and commit
    Add {
        /// The box
        name: Name,
        /// The box's public key, or the file that has it
        #[arg(long = "key", alias = "box-key", value_name = "KEY")]
        box_key: String,
        /// A label
        #[arg(long = "label", value_name = "NAME=VALUE")]
        labels: Vec<String>,
        /// The key that signs the commit
        #[arg(long = "sign-key", value_name = "FILE")]
        sign_key: Option<PathBuf>,
    },
    /// Remove boxes/NAME.toml, commit, and say which secrets are to be rotated
    Remove {
        /// The box
        name: Name,
        /// The key that signs the commit
        #[arg(long = "sign-key", value_name = "FILE")]
        sign_key: Option<PathBuf>,
    },
}

/// The hooks' commands.
#[derive(Debug, Subcommand)]
pub enum HookCommand {
    /// Write the pre-push hook into this clone, or with --server the pre-receive hook of a bare repository
    Install {
        /// As the pre-receive hook of a bare repository on the server
        #[arg(long)]
        server: bool,
        /// With --server: where trust begins [default: the first commit of the branch with a policy.toml]
        #[arg(long, value_name = "COMMIT", requires = "server")]
        introduction: Option<String>,
    },
}

impl Mode {
    /// As a manifest has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Restart => "restart",
            Self::Daemon => "daemon",
        }
    }
}

impl WishOptions {
    /// The wish itself; `local` in `--on` is the caller's.
    pub fn wish(&self) -> Result<crate::edit::Wish, String> {
        let env = self.env.iter().map(|pair| {
            pair.split_once('=')
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .ok_or_else(|| format!("--env takes NAME=VALUE, not {pair:?}"))
        });
        Ok(crate::edit::Wish {
            on: self.on.as_deref().map(str::parse::<On>).transpose()?,
            mode: self.mode.map(|mode| mode.as_str().to_string()),
            time_limit: self.time_limit.clone(),
            env: env.collect::<Result<_, _>>()?,
            args: (!self.args.is_empty()).then(|| self.args.clone()),
            ..crate::edit::Wish::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
