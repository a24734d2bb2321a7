//! A browser with one page open that a test may ask: Chromium, through its own debugging pipes.
//!
//! Starts Chromium and talks to it through two named pipes, a JSON text ended by a NUL each way (`--remote-debugging-pipe`).

use crate::{
    World,
    process::{Running, program, run, until},
};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// `O_NONBLOCK`
const NONBLOCK: i32 = 0o4000;

/// What every start of Chromium in a test says.
pub const QUIET: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// An open page.
#[derive(Debug)]
pub struct Page {
    commands: File,
    answers: File,
    /// What was read and not taken yet.
    read: Vec<u8>,
    number: u64,
    session: Option<String>,
    _browser: Running,
    _profile: tempfile::TempDir,
}

impl Page {
    /// Opens this address in a browser of its own.
    pub fn open(world: &World, url: &str) -> Result<Self> {
        let chromium = program("chromium", "chromium")?;
        let profile = tempfile::tempdir_in(world.path(""))?;
        let [commands, answers] = ["commands", "answers"].map(|name| profile.path().join(name));
        run(world.command("mkfifo").args([&commands, &answers]))?;
        let mut shell = world.command("sh");
        shell.args([
            "-c",
            "exec \"$@\" 3<\"$COMMANDS\" 4>\"$ANSWERS\"",
            "browser",
        ]);
        shell
            .arg(chromium)
            .args(QUIET)
            .arg("--remote-debugging-pipe");
        shell.arg(format!("--user-data-dir={}", profile.path().display()));
        shell.env("COMMANDS", &commands).env("ANSWERS", &answers);
        let browser = Running::start("browser", &mut shell, &world.path("logs/browser"))?;
        let open = |path: &Path| {
            // Without waiting for the other side, or a browser that does not start would hold the test.
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(NONBLOCK)
                .open(path)
        };
        let mut page = Self {
            commands: open(&commands)?,
            answers: open(&answers)?,
            read: Vec::new(),
            number: 0,
            session: None,
            _browser: browser,
            _profile: profile,
        };
        let made = page.call("Target.createTarget", &json!({ "url": url }))?;
        let attached = page.call(
            "Target.attachToTarget",
            &json!({ "targetId": made["targetId"], "flatten": true }),
        )?;
        let session = attached["sessionId"].as_str().context("a session")?;
        page.session = Some(session.to_owned());
        Ok(page)
    }

    /// What this JavaScript expression gives, waited for where it is a promise.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let done = self.call(
            "Runtime.evaluate",
            &json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }),
        )?;
        ensure!(done["exceptionDetails"].is_null(), "{expression}: {done}");
        Ok(done["result"]["value"].clone())
    }

    /// Waits until some cell of a table says this.
    pub fn until_cell(&mut self, text: &str) -> Result<()> {
        let cells = "[...document.querySelectorAll('td')].map(cell => cell.innerText)";
        let found = until(&format!("a cell that says {text}"), || {
            let all = self.evaluate(cells).ok()?;
            all.as_array()?
                .iter()
                .any(|cell| cell == text)
                .then_some(())
        });
        found.with_context(|| format!("the page says {:?}", self.text()))
    }

    /// Waits until what a person reads on the page is as wanted.
    pub fn until_text(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let found = until(what, || {
            let is_so = wanted(&self.text().ok()?);
            is_so.then_some(())
        });
        found.with_context(|| format!("the page says {:?}", self.text()))
    }

    /// What a person reads on the page.
    pub fn text(&mut self) -> Result<String> {
        let text = self.evaluate("document.body ? document.body.innerText : ''")?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.number += 1;
        let mut call = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            call["sessionId"] = json!(session);
        }
        self.commands.write_all(format!("{call}\0").as_bytes())?;
        let number = self.number;
        let answer = until(&format!("the browser's answer to {method}"), || {
            self.answer(number)
        })?;
        ensure!(answer["error"].is_null(), "{method}: {answer}");
        Ok(answer["result"].clone())
    }

    /// The answer with this number, where it has come. Events are passed over.
    fn answer(&mut self, number: u64) -> Option<Value> {
        let mut part = [0; 8 << 10];
        while let Ok(count @ 1..) = self.answers.read(&mut part) {
            self.read.extend_from_slice(&part[..count]);
        }
        while let Some(end) = self.read.iter().position(|byte| *byte == 0) {
            let text: Vec<u8> = self.read.drain(..=end).collect();
            let said: Value = serde_json::from_slice(&text[..end]).ok()?;
            if said["id"] == number {
                return Some(said);
            }
        }
        None
    }
}
