//! A person's laptop: a home with a key, folders, and the real programs: swarm-pack, git, ssh-keygen.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

/// One laptop.
pub struct World {
    root: TempDir,
}

/// What a program said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl World {
    /// A home with an ed25519 key that git knows.
    pub fn new() -> Self {
        let world = Self {
            root: tempfile::tempdir().expect("a temporary folder"),
        };
        fs::create_dir_all(world.home().join(".ssh")).expect("a home");
        world.keygen("home/.ssh/id_ed25519", "ed25519");
        world.git(".", &["config", "--global", "user.name", "Alice"]);
        world.git(
            ".",
            &["config", "--global", "user.email", "alice@example.org"],
        );
        world
    }

    /// A home with a deploy repository in `deploy/`.
    pub fn with_repository() -> Self {
        let world = Self::new();
        fs::create_dir(world.path("deploy")).expect("a folder");
        world.pack("deploy", &["init"]).ok();
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn home(&self) -> PathBuf {
        self.path("home")
    }

    pub fn keygen(&self, name: &str, kind: &str) {
        let made = self
            .command("ssh-keygen", ".")
            .args(["-q", "-t", kind, "-N", "", "-C", "test", "-f"])
            .arg(self.path(name))
            .output();
        assert!(
            made.expect("ssh-keygen is needed: apt-get install openssh-client")
                .status
                .success()
        );
    }

    fn command(&self, program: &str, folder: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path(folder))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("HOME", self.home())
            .env("USER", "alice")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, program: &str, folder: &str, args: &[&str], input: &[u8]) -> Said {
        let mut command = self.command(program, folder);
        let mut child = command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect(program);
        child.stdin.take().expect("a pipe").write_all(input).ok();
        Said::of(child.wait_with_output().expect(program))
    }

    pub fn pack(&self, folder: &str, args: &[&str]) -> Said {
        self.run(env!("CARGO_BIN_EXE_swarm-pack"), folder, args, b"")
    }

    pub fn git(&self, folder: &str, args: &[&str]) -> String {
        self.run("git", folder, args, b"").ok().out
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it lies somewhere")).expect("folders");
        fs::write(path, text).expect("a file");
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn make_executable(&self, name: &str) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    pub fn link(&self, target: &str, name: &str) {
        std::os::unix::fs::symlink(target, self.path(name)).expect("a link");
    }

    /// A small bundle.
    pub fn bundle(&self, folder: &str, name: &str, version: &str) {
        self.write(&format!("{folder}/bundle.toml"), format!("# ours\nname = \"{name}\"\nversion = \"{version}\" # raised by up\nengine = \"sh\"\nentry = \"main.sh\"\n"));
        self.write(&format!("{folder}/main.sh"), "echo hello\n");
    }
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// It must have succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// It must have ended with this code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout: {}\nstderr: {}",
            self.out, self.err
        );
        self
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }

    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(
            self.err.contains(words),
            "{words:?} is not in: {}",
            self.err
        );
        self
    }
}

/// The files of a folder with their bytes, sorted.
pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path));
        } else {
            found.push(path.to_string_lossy().into_owned());
        }
    }
    found.sort();
    found
}
