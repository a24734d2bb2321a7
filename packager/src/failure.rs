//! How a command ends where it does not do what was asked: an exit code, and words that help. Pure.

use swarm_manifests::{
    problem::{Problem, Refusal},
    rules::Rule,
};

/// The exit codes of SPEC §6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Failed or refused.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// No such workflow or box.
    Unknown = 3,
    /// Not allowed.
    NotAllowed = 4,
    /// A remote or a map that cannot be reached.
    Unreachable = 5,
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What went wrong, and where; empty where the problems say it all.
    pub message: String,
    /// The rule that it breaks, where there is one.
    pub rule: Option<&'static Rule>,
    /// What to do.
    pub hint: Option<String>,
    /// Every single thing that is wrong, each with its place and the text of its file.
    pub findings: Vec<Finding>,
}

/// A problem, and the text of the file that it is in, so that the line can be shown.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What is wrong.
    pub problem: Problem,
    /// The file's text; none where the problem has no place in a text.
    pub text: Option<String>,
}

/// What a command gives back.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// Failed or refused.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            message: message.into(),
            rule: None,
            hint: None,
            findings: Vec::new(),
        }
    }

    /// Called in a way that cannot be meant.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            ..Self::new(message)
        }
    }

    /// Refused by a rule.
    pub fn rule(rule: &'static Rule, message: impl Into<String>) -> Self {
        Self {
            rule: Some(rule),
            ..Self::new(message)
        }
    }

    /// Everything that is wrong with some files.
    pub fn findings(findings: Vec<Finding>) -> Self {
        Self {
            findings,
            ..Self::new("")
        }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with another exit code.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self {
            rule: Some(refusal.rule),
            hint: refusal.hint,
            ..Self::new(refusal.reason)
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(format!("{error:#}"))
    }
}

impl From<swarm_repository::objects::ObjectError> for Failure {
    fn from(error: swarm_repository::objects::ObjectError) -> Self {
        Self::new(error.to_string())
    }
}

impl Finding {
    /// Gives each problem of one file the file's text.
    pub fn of(problems: Vec<Problem>, text: &[u8]) -> Vec<Self> {
        let text = String::from_utf8(text.to_vec()).ok();
        problems
            .into_iter()
            .map(|problem| Self {
                problem,
                text: text.clone(),
            })
            .collect()
    }

    /// One that has no place in a text.
    pub fn bare(problem: Problem) -> Self {
        Self {
            problem,
            text: None,
        }
    }
}
