//! What a map is told: command line and map.toml, checked and brought together. Reads the files that they name.

use crate::cli::ServeArgs;
use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use swarm_manifests::{
    id::{Digest, Oid},
    settings::Trust,
    units::parse_duration,
};
use swarm_wire::remote::Options;

/// Options that do not fit: what was typed is wrong, nothing was tried. Exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

fn usage<T>(what: impl Into<String>) -> Result<T> {
    Err(Usage(what.into()).into())
}

/// What a map is told, checked.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Settings {
    pub listen: String,
    pub store: PathBuf,
    /// By which URLs it is reached; none: loopback only.
    pub urls: Vec<String>,
    pub public_read: bool,
    pub heartbeat: Duration,
    pub webhook_secrets: Vec<String>,
    /// Certificate chain and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    pub mirror: Option<Mirror>,
    /// The most connections at a time.
    pub connections: usize,
    /// How long a handshake or a body may take.
    pub patience: Duration,
}

/// What [`Settings::patience`] is.
const PATIENCE: Duration = Duration::from_secs(20);

/// The repository that the map mirrors, and where trust in it begins.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Mirror {
    /// Tried in order.
    pub urls: Vec<String>,
    pub options: Options,
    pub branch: String,
    pub trust: Trust,
    pub poll: Duration,
    /// Where the mirror lies.
    pub folder: PathBuf,
    /// Where the map's own key lies.
    pub key: PathBuf,
}

/// map.toml as it is written.
#[allow(clippy::struct_field_names, reason = "named as the keys are")]
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    listen: Option<String>,
    store: Option<String>,
    #[serde(default)]
    url: OneOrMany,
    public_read: Option<bool>,
    heartbeat: Option<String>,
    webhook_secret_file: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    connections: Option<usize>,
    repository: Option<FileRepository>,
    trust: Option<FileTrust>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FileRepository {
    url: OneOrMany,
    branch: Option<String>,
    poll: Option<String>,
    credentials_file: Option<PathBuf>,
    known_hosts: Option<PathBuf>,
    identity_file: Option<PathBuf>,
    ca: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FileTrust {
    introduction: Oid,
    policy_sha256: String,
    #[serde(default)]
    position: u64,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(vec![])
    }
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// Checks the text of a map.toml without looking at any file that it names.
pub fn check(text: &str) -> Result<()> {
    parse(text).map(drop)
}

fn parse(text: &str) -> Result<File> {
    Ok(toml::from_str(text)?)
}

/// Brings command line and file together; what the command line says wins.
pub fn read(args: ServeArgs) -> Result<Settings> {
    let file = match &args.config {
        Some(path) => {
            let text = bounded(path).or_else(|error| usage(format!("{error:#}")))?;
            parse(&text).or_else(|error| usage(format!("in {}: {error:#}", path.display())))?
        }
        None => File::default(),
    };
    let listen = args
        .listen
        .or(file.listen)
        .unwrap_or_else(|| "127.0.0.1:7700".into());
    let store = args
        .store
        .or(file.store)
        .map_or_else(|| usage("where is the store? --store sqlite:map.db"), Ok)?;
    let store = sqlite(&store)?;
    let heartbeat = args.heartbeat.or(file.heartbeat);
    let heartbeat = duration("heartbeat", heartbeat.as_deref().unwrap_or("15s"))?;
    if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&heartbeat) {
        return usage("heartbeat is from 1s to 1h");
    }
    let tls = match (
        args.tls_cert.or(file.tls_cert),
        args.tls_key.or(file.tls_key),
    ) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => return usage("--tls-cert and --tls-key go together"),
    };
    let urls = if args.url.is_empty() {
        file.url.into_vec()
    } else {
        args.url
    };
    let urls = urls
        .into_iter()
        .map(|url| plain_url(&url))
        .collect::<Result<Vec<_>>>()?;
    if urls.is_empty() && !is_loopback(&listen) {
        return usage(
            "--url is needed where others than this machine reach the map: boxes sign it, so that nobody can pass their answers on to another map",
        );
    }
    let webhook_secrets = match args.webhook_secret_file.or(file.webhook_secret_file) {
        Some(path) => {
            let secrets = swarm_wire::hook::secrets(&bounded(&path)?);
            if secrets.is_empty() {
                anyhow::bail!("{} has no secret in it", path.display());
            }
            secrets
        }
        None => vec![],
    };
    let wanted = MirrorArgs {
        url: args.repository,
        introduction: args.introduction,
        policy: args.policy_sha256,
    };
    let mirror = mirror(wanted, file.repository, file.trust, &store)?;
    let connections = args
        .connections
        .or(file.connections)
        .unwrap_or(10_000)
        .max(1);
    Ok(Settings {
        listen,
        store,
        urls,
        public_read: args.public_read || file.public_read.unwrap_or(false),
        heartbeat,
        webhook_secrets,
        tls,
        mirror,
        connections,
        patience: PATIENCE,
    })
}

/// What `--repository`, `--introduction` and `--policy-sha256` say.
struct MirrorArgs {
    url: Option<String>,
    introduction: Option<String>,
    policy: Option<String>,
}

fn mirror(
    args: MirrorArgs,
    repository: Option<FileRepository>,
    trust: Option<FileTrust>,
    store: &Path,
) -> Result<Option<Mirror>> {
    let introduction = match args.introduction {
        Some(text) => match text.parse::<Oid>() {
            Ok(id) => Some(id),
            Err(error) => return usage(format!("--introduction: {error}")),
        },
        None => trust.as_ref().map(|trust| trust.introduction),
    };
    let policy = args
        .policy
        .or_else(|| trust.as_ref().map(|trust| trust.policy_sha256.clone()));
    let policy = policy
        .map(|text| {
            Digest::from_hex(text.strip_prefix("sha256:").unwrap_or(&text))
                .or_else(|error| usage(format!("policy-sha256: {error}")))
        })
        .transpose()?;
    let position = trust.map_or(0, |trust| trust.position);
    let repository = repository.unwrap_or_default();
    let poll = duration("poll", repository.poll.as_deref().unwrap_or("60s"))?;
    let urls = args
        .url
        .map_or_else(|| repository.url.into_vec(), |url| vec![url]);
    match (urls.is_empty(), introduction, policy) {
        (true, None, None) => Ok(None),
        (false, Some(introduction), Some(policy)) => Ok(Some(Mirror {
            urls,
            options: Options {
                credentials_file: repository.credentials_file,
                known_hosts: repository.known_hosts,
                identity_file: repository.identity_file,
                ca: repository.ca,
                run_dir: None,
            },
            branch: repository.branch.unwrap_or_else(|| "main".into()),
            trust: Trust {
                introduction,
                policy,
                position,
            },
            poll: poll.max(Duration::from_secs(1)),
            folder: beside(store),
            key: crate::key::beside(store),
        })),
        _ => usage(
            "--repository, --introduction and --policy-sha256 go together: swarm-pack init prints the last two",
        ),
    }
}

/// `map.db.mirror`, beside `map.db`.
fn beside(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".mirror");
    PathBuf::from(name)
}

/// The file that `sqlite:…` means.
pub fn sqlite(store: &str) -> Result<PathBuf> {
    if store.starts_with("postgres://") || store.starts_with("postgresql://") {
        return usage("not built yet: PostgreSQL [S-FILE-10]; use --store sqlite:map.db");
    }
    match store.strip_prefix("sqlite:") {
        Some(path) if !path.is_empty() => {
            Ok(PathBuf::from(path.strip_prefix("//").unwrap_or(path)))
        }
        _ => usage(format!("a store is sqlite:FILE, not {store:?}")),
    }
}

fn duration(what: &str, text: &str) -> Result<Duration> {
    parse_duration(text).or_else(|error| usage(format!("{what}: {error}")))
}

fn plain_url(url: &str) -> Result<String> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let Some(host) = rest else {
        return usage(format!(
            "--url begins with https:// or http://, not {url:?}"
        ));
    };
    if host.is_empty()
        || host.contains(|c: char| {
            c.is_whitespace() || c.is_control() || c == '@' || c == '?' || c == '#'
        })
    {
        return usage(format!(
            "--url is how boxes reach the map, such as https://map.example:7700, not {url:?}"
        ));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn is_loopback(listen: &str) -> bool {
    let address = listen.parse::<SocketAddr>().map(|address| address.ip());
    address.is_ok_and(|ip: IpAddr| ip.is_loopback()) || listen.starts_with("localhost:")
}

/// A file that people write: 1 MiB at most.
fn bounded(path: &Path) -> Result<String> {
    use std::io::Read as _;
    let file = std::fs::File::open(path).with_context(|| format!("{}", path.display()))?;
    let mut text = String::new();
    file.take((1 << 20) + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("{}", path.display()))?;
    if text.len() > 1 << 20 {
        anyhow::bail!("{} has more than 1 MiB", path.display());
    }
    Ok(text)
}
