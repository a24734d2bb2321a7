//! Editing what people wrote as a careful person would: comments, order and layout stay. Pure.

use crate::failure::{Failure, Finding, Outcome};
use std::str::FromStr;
use swarm_manifests::{
    manifest,
    name::{Name, Pattern},
    problem::Problem,
};
use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value, value};

/// Where a workflow is to run, as `--on` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    /// `all`
    All,
    /// `box-1,lab-*`
    Boxes(Vec<String>),
    /// `where:EXPR`
    Where(String),
}

impl FromStr for On {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(expression) = text.strip_prefix("where:") {
            return Ok(Self::Where(expression.trim().into()));
        }
        if text == "all" {
            return Ok(Self::All);
        }
        let boxes: Vec<String> = text
            .split(',')
            .map(|part| part.trim().to_string())
            .collect();
        match boxes
            .iter()
            .find_map(|part| Pattern::new(part).err().map(|error| (part, error)))
        {
            Some((part, error)) => Err(format!(
                "{part:?} is no pattern of box names ({error}); --on takes all, box-1,lab-* or where:EXPR"
            )),
            None => Ok(Self::Boxes(boxes)),
        }
    }
}

/// What is to be set in a manifest.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// The bundle, where it is not called as the workflow.
    pub bundle: Option<Name>,
    /// The version.
    pub version: Option<String>,
    /// Where.
    pub on: Option<On>,
    /// `once`, `restart`, `daemon`
    pub mode: Option<String>,
    /// `6s`
    pub time_limit: Option<String>,
    /// Variables to set.
    pub env: Vec<(String, String)>,
    /// Arguments instead of the bundle's; none: leave them.
    pub args: Option<Vec<String>>,
}

/// Sets the wish in a manifest's text, or makes the text; it is checked by the real reader before it is given back.
pub fn manifest(file: &str, workflow: &Name, text: Option<&str>, wish: &Wish) -> Outcome<String> {
    let mut document = match text {
        Some(text) => parse(file, text)?,
        None => DocumentMut::new(),
    };
    if text.is_none() && wish.on.is_none() {
        return Err(Failure::usage(format!(
            "{file} does not exist yet, so it must be said where {workflow} is to run"
        ))
        .hint("--on all, --on box-1,lab-*, or --on 'where:site == \"berkeley\"'"));
    }
    let bundle = wish
        .bundle
        .as_ref()
        .filter(|bundle| text.is_some() || *bundle != workflow);
    if let Some(bundle) = bundle {
        set(document.as_table_mut(), "bundle", bundle.as_str().into());
    }
    if let Some(version) = &wish.version {
        set(document.as_table_mut(), "version", version.as_str().into());
    }
    if let Some(args) = &wish.args {
        set(
            document.as_table_mut(),
            "args",
            Value::Array(args.iter().collect::<Array>()),
        );
    }
    if let Some(on) = &wish.on {
        set_on(table(&mut document, file, "on")?, on);
    }
    let mode = wish.mode.as_deref().or(text.is_none().then_some("daemon"));
    for (key, wished) in [("mode", mode), ("time-limit", wish.time_limit.as_deref())] {
        if let Some(wished) = wished {
            set(table(&mut document, file, "run")?, key, wished.into());
        }
    }
    for (name, wished) in &wish.env {
        set(
            table(&mut document, file, "env")?,
            name,
            wished.as_str().into(),
        );
    }
    let edited = document.to_string();
    match manifest::read(file, edited.as_bytes()) {
        (Some(_), _) => Ok(edited),
        (None, problems) => Err(Failure::findings(Finding::of(problems, edited.as_bytes()))),
    }
}

/// The bundle.toml with another version.
pub fn bundle_version(file: &str, text: &str, version: &str) -> Outcome<String> {
    let mut document = parse(file, text)?;
    set(document.as_table_mut(), "version", version.into());
    Ok(document.to_string())
}

fn parse(file: &str, text: &str) -> Outcome<DocumentMut> {
    parse_with(file, text, |text| manifest::read(file, text).1)
}

/// Reads the text as TOML; where it is none, `problems` says so with places.
pub fn parse_with(
    file: &str,
    text: &str,
    problems: impl Fn(&[u8]) -> Vec<Problem>,
) -> Outcome<DocumentMut> {
    DocumentMut::from_str(text).map_err(|error| {
        let found = problems(text.as_bytes());
        if found.is_empty() {
            return Failure::new(format!("{file}: {error}"));
        }
        Failure::findings(Finding::of(found, text.as_bytes()))
    })
}

/// Adds a value at the end of a list, laid out as the one before it.
pub fn append(list: &mut Array, item: &str) {
    let prefix = list
        .iter()
        .last()
        .and_then(|last| last.decor().prefix()?.as_str().map(ToString::to_string));
    let mut item = Value::from(item);
    match prefix {
        // A line of its own, indented alike; comments of others are not said again.
        Some(prefix) if prefix.contains('\n') => {
            let indent = prefix.rsplit('\n').next().unwrap_or_default();
            // A comment behind the last value belongs to it: with a comma after the value, it stays on its line.
            item.decor_mut()
                .set_prefix(format!("{}\n{indent}", comment(list)));
            list.push_formatted(item);
            list.set_trailing("\n");
            list.set_trailing_comma(true);
        }
        _ => list.push(item),
    }
}

/// The comment behind the last value of a list, taken out of the list's end.
fn comment(list: &mut Array) -> String {
    let trailing = list.trailing().as_str().unwrap_or_default().to_string();
    trailing.trim_end().to_string()
}

/// Sets a value; a comment beside the old one stays.
pub fn set(table: &mut dyn TableLike, key: &str, mut wished: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *wished.decor_mut() = old.decor().clone();
            *old = wished;
        }
        None => {
            table.insert(key, value(wished));
        }
    }
}

fn set_on(on: &mut dyn TableLike, wished: &On) {
    let (key, wished) = match wished {
        On::All => ("all", Value::from(true)),
        On::Boxes(boxes) => ("boxes", Value::Array(boxes.iter().collect::<Array>())),
        On::Where(expression) => ("where", Value::from(expression.as_str())),
    };
    for other in ["all", "boxes", "where"]
        .into_iter()
        .filter(|other| *other != key)
    {
        on.remove(other);
    }
    set(on, key, wished);
}

/// A table of the document's root, made where it is not there.
pub fn table<'a>(
    document: &'a mut DocumentMut,
    file: &str,
    name: &str,
) -> Outcome<&'a mut dyn TableLike> {
    let item = document
        .entry(name)
        .or_insert_with(|| Item::Table(Table::new()));
    item.as_table_like_mut().ok_or_else(|| {
        Failure::new(format!("{file}: {name} is not a table")).hint(format!("write it as [{name}]"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    #[test]
    fn comments_and_layout_survive_a_new_version() {
        let text = "# ours\nversion = \"1.0.0\"   # pinned\n\n[on]\nall = true # everywhere\n[run]\nmode = \"daemon\"\n";
        let wish = Wish {
            version: Some("1.0.1".into()),
            ..Wish::default()
        };
        let made =
            manifest("manifests/ramp.toml", &name("ramp"), Some(text), &wish).expect("it is well");
        assert_eq!(made, text.replace("1.0.0", "1.0.1"));
    }

    #[test]
    fn a_new_manifest_says_where_and_how() {
        let wish = Wish {
            bundle: Some(name("ramp")),
            version: Some("1.0.0".into()),
            on: Some(On::All),
            ..Wish::default()
        };
        let made = manifest("manifests/ramp.toml", &name("ramp"), None, &wish).expect("it is well");
        assert_eq!(
            made,
            "version = \"1.0.0\"\n\n[on]\nall = true\n\n[run]\nmode = \"daemon\"\n"
        );
    }

    #[test]
    fn where_to_run_must_be_said_once() {
        let wish = Wish {
            version: Some("1.0.0".into()),
            ..Wish::default()
        };
        let failure = manifest("manifests/ramp.toml", &name("ramp"), None, &wish)
            .expect_err("nobody said where");
        assert!(failure.message.contains("where"), "{}", failure.message);
    }

    #[test]
    fn choosing_boxes_takes_the_old_choice_away() {
        let text = "version = \"1.0.0\"\n[on]\nall = true\ncount = 2\n[run]\nmode = \"once\"\n";
        let wish = Wish {
            on: Some("lab-1,lab-2*".parse().expect("two patterns")),
            ..Wish::default()
        };
        let made =
            manifest("manifests/ramp.toml", &name("ramp"), Some(text), &wish).expect("it is well");
        assert!(
            made.contains("boxes = [\"lab-1\", \"lab-2*\"]")
                && made.contains("count = 2")
                && !made.contains("all"),
            "{made}"
        );
    }

    #[test]
    fn a_wish_that_no_manifest_takes_is_refused_before_it_is_written() {
        let wish = Wish {
            version: Some("1.0".into()),
            on: Some(On::All),
            ..Wish::default()
        };
        assert!(
            !manifest("manifests/ramp.toml", &name("ramp"), None, &wish)
                .expect_err("no SemVer")
                .findings
                .is_empty()
        );
    }
}
