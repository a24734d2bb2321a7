//! The git program, run in one working tree. Touches processes; what is wanted of git is said in arguments, never through a shell.

use crate::failure::{Failure, Outcome};
use anyhow::Context;
use std::{
    ffi::OsStr,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A working tree.
#[derive(Debug, Clone)]
pub struct Git {
    top: PathBuf,
    settings: Vec<String>,
    /// The folder of objects that a push brought and that are not taken in yet.
    quarantine: Option<PathBuf>,
    /// Another index than the clone's own.
    index: Option<PathBuf>,
}

/// Variables of a git that calls us (from a hook): they would lead the git that we call to another repository.
const LOCAL: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
];

impl Git {
    /// Git in this folder, whatever it is.
    pub fn at(folder: &Path) -> Self {
        Self {
            top: folder.into(),
            settings: Vec::new(),
            quarantine: None,
            index: None,
        }
    }

    /// The same with an index of its own, so that the person's stays as it is.
    #[must_use]
    pub fn with_index(mut self, index: &Path) -> Self {
        self.index = Some(index.into());
        self
    }

    /// Git in the server's repository that runs us as its pre-receive hook: it sees what the push brought, too.
    pub fn receiving() -> Outcome<Self> {
        let folder = std::env::var_os("GIT_DIR").unwrap_or_else(|| ".".into());
        let folder = PathBuf::from(folder)
            .canonicalize()
            .context("the repository of this push cannot be found")?;
        let objects = std::env::var_os("GIT_OBJECT_DIRECTORY").map(PathBuf::from);
        Ok(Self {
            quarantine: objects.map(|objects| folder.join(objects)),
            ..Self::at(&folder)
        })
    }

    /// Where the objects of the push lie that is being received.
    pub fn quarantine(&self) -> Option<&Path> {
        self.quarantine.as_deref()
    }

    /// The working tree that the folder lies in; none where there is none.
    pub fn find(folder: &Path) -> Outcome<Option<Self>> {
        let output = Self::at(folder).output(["rev-parse", "--show-toplevel"])?;
        let top = String::from_utf8_lossy(&output.stdout)
            .trim_end_matches('\n')
            .to_string();
        Ok((output.status.success() && !top.is_empty()).then(|| Self::at(Path::new(&top))))
    }

    /// The top folder of the working tree.
    pub fn top(&self) -> &Path {
        &self.top
    }

    /// The same with a setting for each call, as `git -c KEY=VALUE`.
    #[must_use]
    pub fn with_setting(mut self, key: &str, value: &str) -> Self {
        self.settings.push(format!("{key}={value}"));
        self
    }

    fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new("git");
        for name in LOCAL {
            command.env_remove(name);
        }
        if let Some(objects) = &self.quarantine {
            let known = self.top.join("objects");
            command
                .env("GIT_OBJECT_DIRECTORY", objects)
                .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", known);
        }
        if let Some(index) = &self.index {
            command.env("GIT_INDEX_FILE", index);
        }
        command.arg("-C").arg(&self.top);
        for setting in &self.settings {
            command.arg("-c").arg(setting);
        }
        command
            .args(args)
            .env("LC_ALL", "C")
            .env("GIT_LITERAL_PATHSPECS", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .stdin(Stdio::null());
        command
    }

    /// Runs git and gives back whatever came of it.
    pub fn output<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome<Output> {
        Ok(self
            .command(args)
            .output()
            .context("git could not be run; is it installed?")?)
    }

    /// Runs git, which must succeed; its stdout.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome<Vec<u8>> {
        let command = self.command(args);
        let shown = words(&command);
        let mut command = command;
        let output = command
            .output()
            .context("git could not be run; is it installed?")?;
        succeeded(&shown, output)
    }

    /// Runs git, which must succeed; its stdout as one line of text.
    pub fn line<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome<String> {
        Ok(String::from_utf8_lossy(&self.run(args)?)
            .trim_end_matches('\n')
            .to_string())
    }

    /// Runs git and gives its stdout where it succeeds, none where it fails.
    pub fn ask<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Outcome<Option<String>> {
        let output = self.output(args)?;
        let text = String::from_utf8_lossy(&output.stdout)
            .trim_end_matches('\n')
            .to_string();
        Ok(output.status.success().then_some(text))
    }

    /// Runs git with this on its stdin; its stdout.
    pub fn feed<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Outcome<Vec<u8>> {
        let mut command = self.command(args);
        let shown = words(&command);
        command.stderr(Stdio::piped());
        feed(&mut command, input).and_then(|output| succeeded(&shown, output))
    }

    /// A setting, as git finds it in all its files.
    pub fn config(&self, key: &str) -> Outcome<Option<String>> {
        Ok(self
            .ask(["config", "--get", key])?
            .filter(|value| !value.is_empty()))
    }

    /// A setting that is a path, `~` resolved.
    pub fn config_path(&self, key: &str) -> Outcome<Option<String>> {
        Ok(self
            .ask(["config", "--type=path", "--get", key])?
            .filter(|value| !value.is_empty()))
    }

    /// A setting of this clone.
    pub fn set_config(&self, key: &str, value: &str) -> Outcome {
        self.run(["config", "--local", key, value]).map(drop)
    }

    /// The commit that HEAD is at; none on an unborn branch.
    pub fn head(&self) -> Outcome<Option<String>> {
        self.ask(["rev-parse", "-q", "--verify", "HEAD^{commit}"])
    }

    /// Whether one commit is another one, or before it.
    pub fn contains(&self, holder: &str, held: &str) -> Outcome<bool> {
        let words = ["merge-base", "--is-ancestor", held, holder];
        Ok(self.ask(words)?.is_some())
    }

    /// A path below the git directory, where git keeps it (hooks, index, …).
    pub fn git_path(&self, name: &str) -> Outcome<PathBuf> {
        Ok(self.top.join(self.line(["rev-parse", "--git-path", name])?))
    }

    /// The bytes of `REVISION:PATH`; none where there is no such file.
    pub fn file(&self, revision: &str, path: &str) -> Outcome<Option<Vec<u8>>> {
        let output = self.output(["cat-file", "blob", &format!("{revision}:{path}")])?;
        Ok(output.status.success().then_some(output.stdout))
    }
}

/// Runs a command with this on its stdin; what it says on stderr the caller decides.
pub fn feed(command: &mut Command, input: &[u8]) -> Outcome<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{name} could not be run; is it installed?"))?;
    let pipe = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // A thread of its own: a child that answers while it still reads would otherwise wait for us, and we for it.
        scope.spawn(move || pipe.map(|mut pipe| pipe.write_all(input)));
        child.wait_with_output()
    });
    Ok(output.with_context(|| format!("{name} was cut off"))?)
}

fn words(command: &Command) -> String {
    let words = command
        .get_args()
        .skip(2)
        .map(|word| word.to_string_lossy().into_owned());
    format!("git {}", words.collect::<Vec<_>>().join(" "))
}

fn succeeded(shown: &str, output: Output) -> Outcome<Vec<u8>> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_string();
    let said = if said.is_empty() {
        format!("it ended with {}", output.status)
    } else {
        said
    };
    Err(Failure::new(format!("{shown} failed: {said}")))
}
