//! What may be typed: the command line of `swarm-agent` (SPEC §6). Pure.

#![allow(
    clippy::doc_markdown,
    reason = "these comments are the help that people read"
)]

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Runs signed workflows on this box, as the deploy repository says.
#[derive(Debug, Parser)]
#[command(
    name = "swarm-agent",
    version,
    max_term_width = 100,
    propagate_version = true
)]
pub struct Cli {
    /// The box's configuration [default: $SWARM_CONFIG, or /etc/swarm/agent.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// Which boxes are meant.
#[derive(Debug, Clone, Args)]
pub struct Fleet {
    /// Ask the map instead of this box (default: `[map] url`, then `$SWARM_MAP`)
    #[arg(long, value_name = "URL", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub map: Option<String>,
    /// Only this box of the fleet; implies --map
    #[arg(long = "box", value_name = "BOX")]
    pub only: Option<String>,
    /// Only the boxes that this selector chooses; goes with --map
    #[arg(long = "where", value_name = "EXPR")]
    pub selector: Option<String>,
    /// Sign what is asked of the map with this key (default: git's user.signingkey, then the usual ones)
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
}

impl Fleet {
    /// Whether the map is meant at all.
    pub fn is_asked_for(&self) -> bool {
        self.map.is_some() || self.only.is_some() || self.selector.is_some()
    }
}

/// A workflow, and why something is done to it.
#[derive(Debug, Clone, Args)]
pub struct Act {
    /// The workflow
    pub name: String,
    /// Why; stands in the journal and on the map
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Where
    #[command(flatten)]
    pub fleet: Fleet,
}

/// Every command there is.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the agent in the foreground
    Run {
        /// When told to end, stop the workflows too, instead of leaving them to the next agent
        #[arg(long)]
        stop_workflows: bool,
    },
    /// The workflows here, a row an instance
    List {
        /// Where
        #[command(flatten)]
        fleet: Fleet,
    },
    /// End a workflow's whole process tree, and keep it ended
    Kill {
        /// Which, and why
        #[command(flatten)]
        act: Act,
        /// Keep it ended over new revisions too, until `start`
        #[arg(long)]
        hold: bool,
    },
    /// Lift a kill, or run a finished workflow again
    Start {
        /// Which, and why
        #[command(flatten)]
        act: Act,
    },
    /// Stop, then start
    Restart {
        /// Which, and why
        #[command(flatten)]
        act: Act,
    },
    /// What a workflow prints, both streams
    Logs {
        /// The workflow
        name: String,
        /// Go on as it prints more
        #[arg(short, long)]
        follow: bool,
        /// Only the last so many lines
        #[arg(short = 'n', long, value_name = "N")]
        lines: Option<usize>,
        /// Only what is newer: a duration ("10m") or an RFC 3339 time
        #[arg(long, value_name = "WHEN")]
        since: Option<String>,
        /// Where
        #[command(flatten)]
        fleet: Fleet,
    },
    /// Why a workflow runs, or does not
    Why {
        /// The workflow
        name: String,
        /// Where
        #[command(flatten)]
        fleet: Fleet,
    },
    /// This box: trusted commit, remote, map, facts, protections, refusals
    Status {
        /// Where
        #[command(flatten)]
        fleet: Fleet,
    },
    /// Look at the repository now, and wait until what changed has settled
    Sync {
        /// Wait no longer than this
        #[arg(long, value_name = "DURATION", default_value = "60s")]
        timeout: String,
    },
    /// The journal of this box, newest first
    History {
        /// Only this workflow
        name: Option<String>,
        /// Check the hash chain
        #[arg(long)]
        verify: bool,
        /// Where
        #[command(flatten)]
        fleet: Fleet,
    },
    /// What a sync would do, without doing it
    Plan,
    /// Remove a removed workflow's state folder now
    Purge {
        /// The workflow
        name: String,
    },
    /// Run everything from a plain folder, unsigned, reacting to each save: for development
    Local {
        /// A deploy repository, or one bundle
        dir: PathBuf,
    },
    /// A map, three boxes and a deploy repository on this machine, with a tour
    Demo {
        /// Go through the tour without waiting for anybody, then end
        #[arg(long)]
        tour: bool,
        /// Leave the page's address at this port [default: a free one]
        #[arg(long, value_name = "PORT")]
        port: Option<u16>,
    },
    /// The effective configuration, or what is wrong with it
    CheckConfig,
    /// What a rule means, and what to do
    Explain {
        /// The rule, such as S-TRUNK-03
        id: String,
    },
    /// Completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Enrol this box by hand
    Join {
        /// Whatever comes
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        rest: Vec<String>,
    },
    /// Prove who you are to a map
    Login {
        /// Which map [default: `[map] url`, then `$SWARM_MAP`]
        #[arg(long, value_name = "URL")]
        map: Option<String>,
        /// Your SSH key [default: git's user.signingkey, then ~/.ssh/id_ed25519 and the like]
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Print a link that opens the page in your browser, once
        #[arg(long)]
        web: bool,
    },
    /// Replace the running agent in place: every workflow goes on
    Upgrade {
        /// The new program [default: the one that is installed where the running one came from]
        #[arg(long, value_name = "PATH")]
        binary: Option<PathBuf>,
    },
    /// Find boxes on the local network
    Discover {
        /// Whatever comes
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        rest: Vec<String>,
    },
    /// Find what is wrong, and say what to do
    Doctor {
        /// Whatever comes
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        rest: Vec<String>,
    },
}
