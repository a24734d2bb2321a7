//! `local`: everything from a plain folder, unsigned, for development. A deploy repository's working tree, or one bundle.
//!
//! In a deploy repository `sources/<bundle>` counts before `bundles/<bundle>/<version>`: it is what people edit. Touches the folder and
//! the store. What comes out is the same picture as from a trunk, at no commit and by nobody.

mod folder;

use crate::{
    facts::{self, Here, Probed},
    picture::{Contact, Picture},
    resolve::{self, BundleKey, Cleared, NOWHERE, Offer},
    secrets::Secrets,
    settings::Config,
    store::{Parcel, Store, StoreError},
    trigger::Nudges,
    walk::Outlets,
};
use anyhow::Context;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};
use swarm_manifests::{
    bundle,
    id::Digest,
    lock::Lock,
    manifest::{self, workflow_of},
    name::Name,
    policy::{Ceiling, Policy},
    problem::{Problem, Refusal},
    rules,
    shape::MAX_TEXT,
};
use swarm_repository::{
    revoked::Void,
    snapshot::{Backing, Found, Snapshot},
    trusted::Brought,
};
use swarm_wire::pace::Outcome;

/// The walk of a plain folder.
pub struct Local {
    dir: PathBuf,
    config: Rc<Config>,
    here: Rc<Here>,
    probed: Probed,
    store: Store,
    /// What the folder's own bundle.toml said when it could be read last.
    known: Option<BundleKey>,
    out: Outlets,
}

impl Local {
    /// Opens the store.
    pub async fn begin(dir: &Path, config: Rc<Config>, out: Outlets) -> anyhow::Result<Self> {
        let own = config.own();
        crate::trust::own_folder(&own).with_context(|| format!("cannot make {}", own.display()))?;
        let mut probed = Probed::load(&own.join("engines.json"));
        let here = Rc::new(facts::look(&config, &mut probed).await);
        let _ = probed.save(&own.join("engines.json"));
        Ok(Self {
            dir: fs::canonicalize(dir).with_context(|| format!("cannot find {}", dir.display()))?,
            store: Store::open(&config.store())?,
            known: None,
            config,
            here,
            probed,
            out,
        })
    }

    /// Which folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes a new configuration over.
    pub async fn reload(&mut self, config: Rc<Config>) {
        self.here = Rc::new(facts::look(&config, &mut self.probed).await);
        self.config = config;
    }

    /// Reads the whole folder, and shows what should run.
    pub fn walk(&mut self, nudges: &Nudges) -> Outcome {
        let picture = self.picture();
        self.out.picture.send_replace(Rc::new(picture));
        self.out.contact.send_modify(|contact| {
            *contact = Contact {
                served: nudges.all,
                url: Some(self.dir.display().to_string()),
                at: Some(jiff::Timestamp::now()),
                ..Contact::default()
            };
        });
        Outcome::Moved
    }

    /// What the folder says now.
    pub fn picture(&mut self) -> Picture {
        let snapshot = self.snapshot();
        let chosen = resolve::chosen::Chosen::of(&snapshot, &self.here);
        let needed = chosen.bundles();
        let offers: BTreeMap<BundleKey, Offer> = needed
            .into_iter()
            .map(|key| (key.clone(), self.offer(&key)))
            .collect();
        Picture {
            here: self.here.clone(),
            introduction: None,
            resolved: Rc::new(resolve::resolve(
                &snapshot,
                &self.here,
                &chosen,
                &offers,
                &Secrets::default(),
            )),
            offers: Rc::new(offers),
            secrets: Rc::default(),
            snapshot: Some(Rc::new(snapshot)),
            allowances: Rc::new(vec![(u64::MAX, u32::MAX)]),
            trouble: None,
            warnings: Vec::new(),
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        let mut workflows = Vec::new();
        let mut problems = Vec::new();
        if self.dir.join("bundle.toml").is_file() {
            match self.one_bundle() {
                Ok(found) => workflows.push(found.into()),
                Err(wrong) => problems.extend(wrong),
            }
        }
        let mut files = Vec::new();
        let mut pile = vec![self.dir.join("manifests")];
        while let Some(folder) = pile.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let kind = entry.file_type();
                if kind.as_ref().is_ok_and(fs::FileType::is_dir) {
                    pile.push(entry.path());
                } else if kind.is_ok_and(|kind| kind.is_file()) {
                    files.push(entry.path());
                }
            }
        }
        files.sort();
        for file in files {
            let path = file
                .strip_prefix(&self.dir)
                .unwrap_or(&file)
                .to_string_lossy()
                .into_owned();
            let Some(workflow) = workflow_of(&path) else {
                continue;
            };
            match Name::new(workflow) {
                Ok(name) => workflows.push(found(name, &path, &read(&file)).into()),
                Err(error) => problems.push(Problem::whole(
                    &path,
                    &rules::file::BAD_NAME,
                    error.to_string(),
                )),
            }
        }
        if workflows.is_empty() && problems.is_empty() {
            let what =
                "there is neither a bundle.toml nor a manifests/ folder with a manifest here";
            problems.push(
                Problem::whole(&self.dir.to_string_lossy(), &rules::file::MISSING_KEY, what)
                    .hint("swarm-pack new NAME --engine E makes both"),
            );
        }
        Snapshot {
            head: NOWHERE,
            position: 0,
            policy: Arc::new(anything_goes()),
            workflows,
            roster: Arc::default(),
            secrets: BTreeMap::new(),
            void: Void::default(),
            problems,
        }
    }

    /// A bundle without a manifest runs here, again after each failure, as if this stood in one. While its bundle.toml cannot be read it
    /// goes by the name that it had before, or by its folder's, and is refused.
    fn one_bundle(&mut self) -> Result<Found, Vec<Problem>> {
        let (bundle, problems) = bundle::read("bundle.toml", &read(&self.dir.join("bundle.toml")));
        let key = match bundle {
            Some(bundle) => (bundle.name, bundle.version.to_string()),
            None => self
                .known
                .clone()
                .or_else(|| called_after(&self.dir))
                .ok_or(problems)?,
        };
        let (name, version) = self.known.insert(key);
        let text = format!(
            "bundle = \"{name}\"\nversion = \"{version}\"\n[on]\nall = true\n[run]\nmode = \"restart\"\n",
        );
        let file = format!("manifests/{name}.toml");
        Ok(found(name.clone(), &file, text.as_bytes()))
    }

    /// Where a bundle's files are edited, or lie.
    fn folder(&self, (name, version): &BundleKey) -> Option<PathBuf> {
        let is_it = |folder: &PathBuf| {
            let (bundle, _) = bundle::read("bundle.toml", &read(&folder.join("bundle.toml")));
            bundle.is_some_and(|bundle| {
                bundle.name == *name && bundle.version.to_string() == *version
            })
        };
        let places = [
            self.dir.clone(),
            self.dir.join("sources").join(name.as_str()),
            self.dir.join("bundles").join(name.as_str()).join(version),
        ];
        let mut there: Vec<PathBuf> = places
            .into_iter()
            .filter(|folder| folder.join("bundle.toml").is_file())
            .collect();
        // One that does not parse is shown as what is wrong, rather than as a bundle that is not there.
        let at = there.iter().position(is_it).unwrap_or(0);
        (at < there.len()).then(|| there.swap_remove(at))
    }

    fn offer(&self, key: &BundleKey) -> Offer {
        let Some(folder) = self.folder(key) else {
            let (name, version) = key;
            let reason = format!(
                "there is no bundle {name} {version} in sources/{name} or bundles/{name}/{version}"
            );
            return Offer::Refused(Refusal::new(&rules::bundle::MISSING, reason));
        };
        match self.store_folder(&folder, key) {
            Ok(cleared) => Offer::Cleared(Box::new(cleared)),
            Err(StoreError::Refused(refusal)) => Offer::Refused(refusal),
            Err(StoreError::Blocked(refusal)) => Offer::Blocked(refusal),
        }
    }

    fn store_folder(
        &self,
        folder: &Path,
        (name, version): &BundleKey,
    ) -> Result<Cleared, StoreError> {
        let refused = |rule, reason: String| StoreError::Refused(Refusal::new(rule, reason));
        let file = folder.join("bundle.toml");
        let (bundle, problems) = bundle::read(&file.to_string_lossy(), &read(&file));
        let bundle = bundle.ok_or_else(|| {
            refused(
                &rules::bundle::TOML,
                problems
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("; "),
            )
        })?;
        if bundle.name != *name || bundle.version.to_string() != *version {
            return Err(refused(
                &rules::bundle::NAME,
                format!(
                    "{} is {} {}, the manifest wants {name} {version}",
                    file.display(),
                    bundle.name,
                    bundle.version
                ),
            ));
        }
        let (entries, files) = folder::list(folder)?;
        let lock = Lock::new(bundle.name.clone(), bundle.version.clone(), entries)
            .map_err(StoreError::Refused)?;
        let text = lock.text();
        let mut bytes_of = |at: usize| {
            let path = &files[&lock.entries()[at].path];
            folder::bytes(path).map_err(|error| {
                StoreError::Blocked(Refusal::new(
                    &rules::bundle::FILE_DIFFERS,
                    format!("{}: {error}", path.display()),
                ))
            })
        };
        self.store.put(Parcel {
            lock: &lock,
            text: text.as_bytes(),
            signature: None,
            file: &mut bytes_of,
        })?;
        Ok(Cleared {
            bundle,
            digest: Digest::of(text.as_bytes()),
            signed: None,
        })
    }
}

fn found(workflow: Name, path: &str, text: &[u8]) -> Found {
    let (manifest, problems) = manifest::read(path, text);
    let nobody = Name::new("local").expect("it is a name");
    let brought = Brought {
        path: path.into(),
        commit: NOWHERE,
        position: 0,
        by: nobody,
        key: String::new(),
        time: String::new(),
    };
    Found {
        workflow,
        brought: Arc::new(brought),
        manifest: manifest.map(Arc::new).ok_or(problems),
        backing: Backing::default(),
        instead_of: None,
    }
}

/// What a bundle is called that has never said so.
fn called_after(folder: &Path) -> Option<BundleKey> {
    let name = Name::new(folder.file_name()?.to_str()?).ok()?;
    Some((name, "0.0.0".into()))
}

/// The bytes of a small file that a person wrote, and one byte more than is taken; nothing where it cannot be read.
fn read(file: &Path) -> Vec<u8> {
    use io::Read;
    let mut text = Vec::new();
    let _ =
        fs::File::open(file).and_then(|file| file.take(MAX_TEXT as u64 + 1).read_to_end(&mut text));
    text
}

/// On one's own machine there is no policy; agent.toml's ceiling still counts.
fn anything_goes() -> Policy {
    let all = |pattern: &str| Some(vec![pattern.to_string()]);
    Policy {
        repository: String::new(),
        version: 0,
        threshold: 1,
        people: BTreeMap::new(),
        teams: BTreeMap::new(),
        grants: Vec::new(),
        revoked: Vec::new(),
        ceiling: Ceiling {
            devices: all("/"),
            groups: all("*"),
            read: all("/"),
            write: all("/"),
            ..Ceiling::default()
        },
    }
}
