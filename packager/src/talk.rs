//! What people see: talk goes to stderr, data to stdout. Touches both, `NO_COLOR`, `COLUMNS` and the terminal's width.
//!
//! What stands in files, commits and names is data: no escape sequence of theirs reaches the terminal.

use crate::{
    excerpt::excerpt,
    failure::{Failure, Finding},
};
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
};
use std::{
    fmt,
    io::{self, IsTerminal, Write},
    ops::Range,
    sync::OnceLock,
};
use swarm_manifests::problem::Problem;

/// Narrower than this, a drawing of the line helps nobody.
const NARROWEST: usize = 60;

/// Writes a line of talk. A reader that went away (`2>&1 | head`) is no error of ours, and no reason to panic.
fn line(text: impl fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Says something to the person.
pub fn say(text: impl fmt::Display) {
    line(shown(&text.to_string()));
}

/// Says that something may be wrong.
pub fn warn(text: impl fmt::Display) {
    line(format_args!(
        "{} {}",
        paint("33", "warning:"),
        shown(&text.to_string())
    ));
}

/// Prints a line of data.
pub fn data(text: impl fmt::Display) {
    raw(&(shown(&text.to_string()) + "\n"));
}

/// Prints data as it is, such as a file that another program will read.
pub fn raw(text: &str) {
    note(std::io::stdout().write_all(text.as_bytes()));
}

/// Why stdout could not be written, the first time. One for the process, as stdout is: every command would otherwise hand on what
/// only the exit code has to say.
static UNWRITTEN: OnceLock<String> = OnceLock::new();

fn note(written: io::Result<()>) {
    match written {
        // A reader that has seen enough (`| head`) is no error of ours.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            UNWRITTEN.get_or_init(|| error.to_string());
        }
        _ => {}
    }
}

/// Writes what is still held back; why data got lost on its way to stdout, where it did.
pub fn unwritten() -> Option<&'static str> {
    note(std::io::stdout().flush());
    UNWRITTEN.get().map(String::as_str)
}

/// Prints JSON.
pub fn json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => raw(&(text + "\n")),
        Err(error) => warn(format!("this cannot be written as JSON: {error}")),
    }
}

/// Shows a failure: each finding with its place, then the whole.
pub fn failure(failure: &Failure) {
    for finding in &failure.findings {
        self::finding(finding);
    }
    if !failure.message.is_empty() {
        let rule = failure
            .rule
            .map(|rule| format!(" [{}]", rule.id))
            .unwrap_or_default();
        line(format_args!(
            "{} {}{rule}",
            paint("31", "error:"),
            shown(&failure.message)
        ));
    }
    if let Some(hint) = &failure.hint {
        line(format_args!("  {} {}", paint("36", "hint:"), shown(hint)));
    }
}

/// Shows one problem with the line and the mark under it: drawn on a wide terminal, in plain characters elsewhere.
pub fn finding(finding: &Finding) {
    let mut finding = finding.clone();
    // A path is a word: one with a line's end in it must not begin another line.
    finding.problem.file = finding.problem.file.replace('\n', "\\n");
    let finding = &finding;
    let drawn = columns()
        .filter(|columns| *columns >= NARROWEST)
        .and_then(|columns| draw(finding, columns));
    match drawn {
        Some(text) => line(text),
        None => line(shown(&written(finding))),
    }
}

fn written(finding: &Finding) -> String {
    let Problem { span, line, .. } = &finding.problem;
    let excerpt = finding
        .text
        .as_deref()
        .zip(span.clone())
        .filter(|_| *line > 0)
        .and_then(|(text, span)| excerpt(text, span, *line));
    let Some(excerpt) = excerpt else {
        return finding.problem.to_string();
    };
    let bare = Problem {
        hint: None,
        ..finding.problem.clone()
    };
    let hint = finding.problem.hint.as_ref();
    let hint = hint.map_or(String::new(), |hint| format!("\n  hint: {hint}"));
    format!("{bare}\n{excerpt}{hint}")
}

fn draw(finding: &Finding, columns: usize) -> Option<String> {
    let span = finding.problem.span.clone()?;
    let text = finding.text.as_deref()?;
    let drawing = Drawing::new(&finding.problem, text, span);
    let theme = if colour() {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let mut out = String::new();
    GraphicalReportHandler::new_themed(theme)
        .with_width(columns)
        .render_report(&mut out, &drawing)
        .ok()?;
    Some(out)
}

/// A problem as miette draws it.
#[derive(Debug)]
struct Drawing {
    message: String,
    code: &'static str,
    hint: Option<String>,
    label: LabeledSpan,
    source: NamedSource<String>,
}

impl Drawing {
    fn new(problem: &Problem, text: &str, span: Range<usize>) -> Self {
        let end = span.end.min(text.len());
        let start = span.start.min(end);
        Self {
            message: shown(&problem.message),
            code: problem.rule.id,
            hint: problem.hint.as_deref().map(shown),
            label: LabeledSpan::underline(start..end.max(start + 1).min(text.len())),
            source: NamedSource::new(shown(&problem.file), same_length(text)),
        }
    }
}

impl fmt::Display for Drawing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Drawing {}

impl Diagnostic for Drawing {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.hint
            .as_ref()
            .map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(self.label.clone())))
    }
}

/// Characters that could move the cursor, recolour the screen or turn the direction of reading.
fn is_harmful(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}')
}

/// The text with harmful characters shown instead of obeyed.
pub fn shown(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, c| {
            if is_harmful(c) {
                out.extend(c.escape_unicode());
            } else {
                out.push(c);
            }
            out
        })
}

/// The same, but every character keeps its length in bytes, so that spans stay true.
fn same_length(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let (with, times) = if is_harmful(c) {
                ('?', c.len_utf8())
            } else {
                (c, 1)
            };
            std::iter::repeat_n(with, times)
        })
        .collect()
}

fn columns() -> Option<usize> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let told = std::env::var("COLUMNS")
        .ok()
        .and_then(|text| text.parse().ok());
    told.or_else(|| {
        terminal_size::terminal_size_of(std::io::stderr()).map(|(width, _)| usize::from(width.0))
    })
}

fn colour() -> bool {
    std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn paint(code: &str, text: &str) -> String {
    if colour() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.into()
    }
}

/// Prints rows under their headings, columns aligned.
pub fn table(headings: &[&str], rows: &[Vec<String>]) {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            row.iter()
                .map(|cell| shown(cell).replace('\n', " "))
                .collect()
        })
        .collect();
    let width = |at: usize| {
        rows.iter()
            .map(|row| row[at].chars().count())
            .chain([headings[at].len()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let row = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = cells
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        data(cells.join("  ").trim_end());
    };
    row(&mut headings.iter().copied());
    for cells in &rows {
        row(&mut cells.iter().map(String::as_str));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_manifests::rules::file::UNKNOWN_KEY;

    #[test]
    fn an_escape_sequence_in_a_file_is_shown_and_not_obeyed() {
        assert_eq!(shown("a\x1b[2Jb\u{202e}c\n"), "a\\u{1b}[2Jb\\u{202e}c\n");
        assert_eq!(same_length("\u{202e}x").len(), "\u{202e}x".len());
    }

    #[test]
    fn the_line_is_drawn_with_a_mark_under_the_words() {
        let text = "name = \"a\"\nengin = \"sh\"\n";
        let problem = Problem::at(
            "bundle.toml",
            text,
            11..16,
            &UNKNOWN_KEY,
            "unknown key \"engin\"",
        )
        .hint("engine?");
        let drawn = draw(
            &Finding {
                problem,
                text: Some(text.into()),
            },
            80,
        )
        .expect("it has a place");
        assert!(
            drawn.contains("engin = \"sh\"")
                && drawn.contains("──")
                && drawn.contains("engine?")
                && drawn.contains(":2:1"),
            "{drawn}"
        );
    }
}
