//! What may be typed: the command line of `swarm-map` (SPEC §8). Pure.

use clap::{Args, Parser, Subcommand};
use std::{path::PathBuf, time::Duration};
use swarm_manifests::{id::Digest, name::Name, units::parse_duration};

/// The map: where boxes report, and people look.
#[derive(Debug, Parser)]
#[command(
    name = "swarm-map",
    version,
    max_term_width = 100,
    propagate_version = true
)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// Every command there is.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Be the map, in the foreground
    Serve(Box<ServeArgs>),
    /// Make a token that lets one box in, once; prints it
    Token {
        /// Where the map keeps everything
        #[command(flatten)]
        store: StoreArg,
        /// For which box
        #[arg(long = "box", value_name = "NAME")]
        name: Name,
        /// It may replace the key of a box that is enrolled already
        #[arg(long)]
        replace: bool,
        /// For how long it is good, at most 30d
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = validity)]
        valid: Duration,
    },
    /// Print the map's own public key: boxes pin it as `[map]` key
    Key {
        /// Where the map keeps everything
        #[command(flatten)]
        store: StoreArg,
    },
    /// Look at the audit
    Audit {
        /// What to do with it
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Write a copy of everything to a file, while the map runs
    Backup {
        /// Where the map keeps everything
        #[command(flatten)]
        store: StoreArg,
        /// The copy; must not be there yet
        file: PathBuf,
    },
    /// Put a copy back where no store is yet
    Restore {
        /// Where the map is to keep everything
        #[command(flatten)]
        store: StoreArg,
        /// The copy
        file: PathBuf,
    },
    /// The boxes as an Ansible inventory, in JSON
    Inventory {
        /// Where the map keeps everything
        #[command(flatten)]
        store: StoreArg,
        /// As Ansible calls an inventory script: everything
        #[arg(long)]
        list: bool,
        /// As Ansible calls an inventory script: one box
        #[arg(long, value_name = "NAME")]
        host: Option<String>,
    },
}

fn validity(text: &str) -> Result<Duration, String> {
    let valid = parse_duration(text).map_err(|error| error.to_string())?;
    if valid.is_zero() || valid > Duration::from_secs(30 * 86400) {
        return Err("it is at most 30d, and not 0s".into());
    }
    Ok(valid)
}

/// `--store`
#[derive(Debug, Clone, Args)]
pub struct StoreArg {
    /// Where the map keeps everything: sqlite:FILE
    #[arg(long, value_name = "STORE")]
    pub store: String,
}

/// What to do with the audit.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Look at every row and at the seal: none changed, removed or reordered
    Verify {
        /// Where the map keeps everything
        #[command(flatten)]
        store: StoreArg,
        /// A head that was printed earlier, and must be among the rows
        #[arg(long, value_name = "HEAD")]
        expect: Option<Digest>,
    },
}

/// How to be the map.
#[derive(Debug, Default, Args)]
pub struct ServeArgs {
    /// map.toml; what stands on the command line wins
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address and port [default: 127.0.0.1:7700]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Where to keep everything: sqlite:FILE
    #[arg(long, value_name = "STORE")]
    pub store: Option<String>,
    /// How boxes reach this map; needed unless it listens on loopback. May stand more than once
    #[arg(long, value_name = "URL")]
    pub url: Vec<String>,
    /// The deploy repository, to know which boxes lag behind
    #[arg(long, value_name = "URL")]
    pub repository: Option<String>,
    /// Its introduction commit
    #[arg(long, value_name = "OID")]
    pub introduction: Option<String>,
    /// The SHA-256 of policy.toml there
    #[arg(long, value_name = "HEX")]
    pub policy_sha256: Option<String>,
    /// Everybody who reaches the map may read
    #[arg(long)]
    pub public_read: bool,
    /// How often boxes report when nothing changes [default: 15s]
    #[arg(long, value_name = "DURATION")]
    pub heartbeat: Option<String>,
    /// Secrets of webhooks, one a line; without it there are no webhooks
    #[arg(long, value_name = "FILE")]
    pub webhook_secret_file: Option<PathBuf>,
    /// Certificate chain, PEM
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// The most connections at a time [default: 10000, and what the limit on open files allows]
    #[arg(long, value_name = "COUNT")]
    pub connections: Option<usize>,
}
