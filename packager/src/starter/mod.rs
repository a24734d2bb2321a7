//! Bundles to start from, one for each built-in engine: small, and they run as they are. Pure.

use crate::cli::Engine;
use swarm_manifests::name::Name;

/// A file of a starter.
#[derive(Debug)]
pub struct File {
    /// Relative to the bundle.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Whether it may be executed.
    pub executable: bool,
}

/// What stands in a template: path, text.
type Template = &'static [(&'static str, &'static str)];

const EXEC: Template = &[
    ("bundle.toml", include_str!("exec/bundle.toml")),
    ("run", include_str!("exec/run")),
];
const SH: Template = &[
    ("bundle.toml", include_str!("sh/bundle.toml")),
    ("main.sh", include_str!("sh/main.sh")),
];
const NODE: Template = &[
    ("bundle.toml", include_str!("node/bundle.toml")),
    ("main.js", include_str!("node/main.js")),
];
const PYTHON: Template = &[
    ("bundle.toml", include_str!("python/bundle.toml")),
    ("main.py", include_str!("python/main.py")),
];
const JAVA: Template = &[
    ("bundle.toml", include_str!("java/bundle.toml")),
    ("build.sh", include_str!("java/build.sh")),
    ("Main.java", include_str!("java/Main.java")),
];
const ACCESSOR: Template = &[
    ("bundle.toml", include_str!("accessor/bundle.toml")),
    ("main.js", include_str!("accessor/main.js")),
    ("accessors/Ticker.js", include_str!("accessor/Ticker.js")),
    ("accessors/Printer.js", include_str!("accessor/Printer.js")),
    ("package.json", include_str!("accessor/package.json")),
    (
        "package-lock.json",
        include_str!("accessor/package-lock.json"),
    ),
];
const BEAM: Template = &[
    ("bundle.toml", include_str!("beam/bundle.toml")),
    ("build.sh", include_str!("beam/build.sh")),
    ("mix.exs", include_str!("beam/mix.exs")),
    ("lib/main.ex", include_str!("beam/main.ex")),
];

/// The files of a starter with this name.
pub fn files(engine: Engine, name: &Name) -> Vec<File> {
    let template = match engine {
        Engine::Exec => EXEC,
        Engine::Sh => SH,
        Engine::Node => NODE,
        Engine::Python => PYTHON,
        Engine::Accessor => ACCESSOR,
        Engine::Java => JAVA,
        Engine::Beam => BEAM,
    };
    let fill = |text: &str| {
        text.replace("@NAME@", name.as_str())
            .replace("@APP@", &app(name))
    };
    let readme = format!(
        "# {name}\n\n`swarm-agent local .` runs it here, unsigned; `swarm-pack up .` brings it to every box that its manifest names.\n"
    );
    let filled = |(path, text): &(&str, &str)| File {
        path: (*path).into(),
        text: fill(text),
        executable: *path == "run",
    };
    let readme = File {
        path: "README.md".into(),
        text: readme,
        executable: false,
    };
    template.iter().map(filled).chain([readme]).collect()
}

/// The manifest that goes with it.
pub fn manifest(engine: Engine) -> String {
    let slow = matches!(engine, Engine::Accessor | Engine::Beam | Engine::Java);
    let note = if slow {
        "# The first start on a box takes longer: [install] of bundle.toml runs there once.\n"
    } else {
        ""
    };
    format!(
        "{note}version = \"0.1.0\"\n\n[on]\nall = true                        # or boxes = [\"lab-*\"], or where = 'site == \"berkeley\"'\n\n[run]\nmode = \"daemon\"                   # once | restart | daemon\n"
    )
}

/// A name as Elixir takes it for an application.
fn app(name: &Name) -> String {
    let plain = name.as_str().replace('-', "_");
    if plain.starts_with(|c: char| c.is_ascii_lowercase()) {
        plain
    } else {
        format!("app_{plain}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_manifests::{bundle, manifest};

    #[test]
    fn every_starter_is_a_bundle_and_its_manifest_a_manifest() {
        let name = Name::new("4-tick").expect("a name");
        for engine in [
            Engine::Exec,
            Engine::Sh,
            Engine::Node,
            Engine::Python,
            Engine::Accessor,
            Engine::Java,
            Engine::Beam,
        ] {
            let files = files(engine, &name);
            let text = &files
                .iter()
                .find(|file| file.path == "bundle.toml")
                .expect("it has one")
                .text;
            let (read, problems) = bundle::read("bundle.toml", text.as_bytes());
            assert!(read.is_some(), "{engine:?}: {problems:?}");
            assert!(
                !files
                    .iter()
                    .any(|file| file.text.contains('@') && file.text.contains("@NAME@")),
                "{engine:?}"
            );
            let (read, problems) =
                manifest::read("manifests/4-tick.toml", super::manifest(engine).as_bytes());
            assert!(read.is_some(), "{engine:?}: {problems:?}");
        }
    }
}
