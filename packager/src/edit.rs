//! Editing what people wrote as a careful person would: comments, order and layout stay. Pure.

use crate::failure::{Failure, Finding, Outcome};
use std::str::FromStr;
use swarm_manifests::{
    manifest,
    name::{Name, Pattern},
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
    DocumentMut::from_str(text).map_err(|_| {
        let (_, problems) = manifest::read(file, text.as_bytes());
        Failure::findings(Finding::of(problems, text.as_bytes()))
    })
}

/// Sets a value; a comment beside the old one stays.
fn set(table: &mut dyn TableLike, key: &str, mut wished: Value) {
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

fn table<'a>(
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
