//! Git's protocol version 2: capabilities and references out of packets, requests into them. Pure.
//!
//! `gitprotocol-v2(5)`. Every answer to `fetch` that we ask for has one section, `packfile`: we always say `done`.

use crate::pkt;
use swarm_manifests::id::Oid;

/// Which blobs come along with commits and trees, where the server can choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blobs {
    /// None of them.
    Without,
    /// Those with fewer bytes than this.
    Below(u32),
}

/// What a server said it can.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// It said `version 2`.
    version: bool,
    ls_refs: bool,
    fetch: Option<Fetch>,
    object_format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fetch {
    Plain,
    Filtering,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Sha1,
    Other,
}

/// Why a server is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Version 0 or 1, or no git at all.
    #[error("answered, but not with git protocol version 2")]
    Version,
    /// A command is missing.
    #[error("has no {0}")]
    Command(&'static str),
    /// SHA-256.
    #[error("has a repository whose object format is not sha1")]
    ObjectFormat,
}

impl Capabilities {
    /// One line of the advertisement.
    pub fn read(&mut self, line: &[u8]) -> Result<(), Unfit> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if !self.version {
            self.version = line == b"version 2";
            return if self.version {
                Ok(())
            } else {
                Err(Unfit::Version)
            };
        }
        let Ok(line) = std::str::from_utf8(line) else {
            return Ok(());
        };
        match line.split_once('=').unwrap_or((line, "")) {
            ("ls-refs", _) => self.ls_refs = true,
            ("fetch", features) => {
                let filter = features.split(' ').any(|feature| feature == "filter");
                self.fetch = Some(if filter {
                    Fetch::Filtering
                } else {
                    Fetch::Plain
                });
            }
            ("object-format", "sha1") => self.object_format = Some(Format::Sha1),
            ("object-format", _) => self.object_format = Some(Format::Other),
            _ => {}
        }
        Ok(())
    }

    /// The end of the advertisement.
    pub fn check(self) -> Result<(), Unfit> {
        match (self.version, self.ls_refs, self.fetch, self.object_format) {
            (false, ..) => Err(Unfit::Version),
            (.., Some(Format::Other)) => Err(Unfit::ObjectFormat),
            (_, false, ..) => Err(Unfit::Command("ls-refs")),
            (_, _, None, _) => Err(Unfit::Command("fetch")),
            _ => Ok(()),
        }
    }

    /// Whether a fetch can leave blobs out.
    pub fn filters(self) -> bool {
        self.fetch == Some(Fetch::Filtering)
    }

    fn command(self, name: &str) -> Vec<u8> {
        let mut request = Vec::with_capacity(256);
        pkt::line(&mut request, name);
        if self.object_format.is_some() {
            pkt::line(&mut request, "object-format=sha1");
        }
        pkt::delimiter(&mut request);
        request
    }

    /// Asks for one reference (and those whose names begin with its name: the protocol has no better).
    pub fn ls_refs(self, name: &str) -> Vec<u8> {
        let mut request = self.command("command=ls-refs");
        pkt::line(&mut request, &format!("ref-prefix {name}"));
        pkt::flush(&mut request);
        request
    }

    /// Asks for commits, trees and these blobs of `want` without what `have` reaches.
    pub fn fetch(self, want: Oid, have: &[Oid], blobs: Blobs) -> Vec<u8> {
        let mut request = self.fetch_command();
        match blobs {
            _ if !self.filters() => {}
            Blobs::Without => pkt::line(&mut request, "filter blob:none"),
            Blobs::Below(limit) => pkt::line(&mut request, &format!("filter blob:limit={limit}")),
        }
        pkt::line(&mut request, &format!("want {want}"));
        for oid in have {
            pkt::line(&mut request, &format!("have {oid}"));
        }
        pkt::line(&mut request, "done");
        pkt::flush(&mut request);
        request
    }

    /// Asks for exactly these objects. Without a `have`: with one, a server with bitmaps sends an empty pack.
    pub fn fetch_exactly(self, want: &[Oid]) -> Vec<u8> {
        let mut request = self.fetch_command();
        request.reserve(want.len() * 50);
        for oid in want {
            pkt::line(&mut request, &format!("want {oid}"));
        }
        pkt::line(&mut request, "done");
        pkt::flush(&mut request);
        request
    }

    /// Never `thin-pack`: a delta against a blob that the filter left out cannot be resolved.
    fn fetch_command(self) -> Vec<u8> {
        let mut request = self.command("command=fetch");
        pkt::line(&mut request, "no-progress");
        pkt::line(&mut request, "ofs-delta");
        request
    }
}

/// A line of an `ls-refs` answer that names no commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotARef {
    /// It is none.
    #[error("sent a reference that is none")]
    Garbled,
    /// What git says of a reference whose file it cannot read: forty zeros.
    #[error(
        "has lost its branch: the reference is there, and names no commit (an emptied file, as a power cut leaves it)"
    )]
    Broken,
}

/// One line of an `ls-refs` answer: the oid where it is about exactly this name. None: another one, or an unborn one.
pub fn ref_line(line: &[u8], name: &str) -> Result<Option<Oid>, NotARef> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n").unwrap_or(line))
        .map_err(|_| NotARef::Garbled)?;
    let Some((oid, rest)) = line.split_once(' ') else {
        return Err(NotARef::Garbled);
    };
    if rest.split(' ').next() != Some(name) || oid == "unborn" {
        return Ok(None);
    }
    match oid.parse() {
        Ok(Oid(bytes)) if bytes == [0; 20] => Err(NotARef::Broken),
        Ok(oid) => Ok(Some(oid)),
        Err(_) => Err(NotARef::Garbled),
    }
}

/// A branch name that is put into a request: `git-check-ref-format(1)` in short.
pub fn is_branch(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none()
    };
    name.len() <= 255
        && name.split('/').all(part)
        && !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && !name
            .chars()
            .any(|c| c.is_control() || " ~^:?*[\\".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Capabilities, Unfit> {
        let mut capabilities = Capabilities::default();
        for line in lines {
            capabilities.read(line.as_bytes())?;
        }
        capabilities.check().map(|()| capabilities)
    }

    #[test]
    fn a_servers_abilities_are_read() {
        let git = read(&[
            "version 2\n",
            "agent=git/2.47\n",
            "ls-refs=unborn\n",
            "fetch=shallow wait-for-done filter\n",
            "object-format=sha1\n",
        ])
        .unwrap();
        assert!(git.filters());
        let plain = read(&["version 2", "ls-refs", "fetch"]).unwrap();
        assert!(!plain.filters());
        assert!(
            !read(&["version 2", "ls-refs", "fetch=nofilter filters"])
                .unwrap()
                .filters()
        );
    }

    #[test]
    fn a_server_that_lacks_something_is_said_to() {
        assert_eq!(
            read(&["001e# service=git-upload-pack"]),
            Err(Unfit::Version)
        );
        assert_eq!(read(&[]), Err(Unfit::Version));
        assert_eq!(
            read(&["version 2", "fetch"]),
            Err(Unfit::Command("ls-refs"))
        );
        assert_eq!(
            read(&["version 2", "ls-refs"]),
            Err(Unfit::Command("fetch"))
        );
        assert_eq!(
            read(&["version 2", "ls-refs", "fetch", "object-format=sha256"]),
            Err(Unfit::ObjectFormat)
        );
    }

    #[test]
    fn a_filter_is_asked_for_only_where_it_is_offered_and_a_thin_pack_never() {
        let with = read(&["version 2", "ls-refs", "fetch=filter", "object-format=sha1"]).unwrap();
        let without = read(&["version 2", "ls-refs", "fetch"]).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let oid = Oid([7; 20]);
        let (none, few) = (Blobs::Without, Blobs::Below(4096));
        assert!(text(with.fetch(oid, &[oid], few)).contains("filter blob:limit=4096\n"));
        assert!(text(with.fetch(oid, &[oid], none)).contains("filter blob:none\n"));
        assert!(!text(without.fetch(oid, &[oid], none)).contains("filter"));
        assert!(!text(with.fetch_exactly(&[oid])).contains("filter"));
        assert!(!text(with.fetch_exactly(&[oid])).contains("have"));
        assert!(!text(with.fetch(oid, &[], few)).contains("thin"));
        assert_eq!(
            text(without.ls_refs("refs/heads/main")),
            "0014command=ls-refs\n0001001fref-prefix refs/heads/main\n0000"
        );
    }

    #[test]
    fn a_reference_is_found_by_its_exact_name() {
        let oid = Oid([0x1f; 20]);
        let line = |name: &str| ref_line(format!("{oid} {name}\n").as_bytes(), "refs/heads/main");
        assert_eq!(line("refs/heads/main"), Ok(Some(oid)));
        assert_eq!(
            line("refs/heads/main symref-target:refs/heads/x"),
            Ok(Some(oid))
        );
        assert_eq!(line("refs/heads/main2"), Ok(None));
        assert_eq!(
            ref_line(b"unborn refs/heads/main", "refs/heads/main"),
            Ok(None)
        );
        for bad in [
            &b"refs/heads/main"[..],
            b"xyz refs/heads/main",
            b"\xff\xfe x",
            b"",
        ] {
            assert_eq!(ref_line(bad, "refs/heads/main"), Err(NotARef::Garbled));
        }
    }

    #[test]
    fn branch_names_are_gits() {
        for good in ["main", "deploy/prod", "v1.2", "été", "@"] {
            assert!(is_branch(good), "{good}");
        }
        for bad in [
            "", "/a", "a/", "a//b", "-x", "a b", "a\nb", "a..b", "x.lock", ".a", "a.", "a@{1}",
            "a*", "a^", "a:b",
        ] {
            assert!(!is_branch(bad), "{bad}");
        }
    }
}
