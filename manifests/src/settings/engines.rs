//! The engines that are built in, as data. Pure.
//!
//! In a command `{entry}` is the absolute path of the bundle's entry on the box, `{bundle}` that of the bundle itself, and the word
//! `{args}` the arguments of manifest or bundle; without it they follow at the end.
//!
//! | engine | entry | arguments |
//! | --- | --- | --- |
//! | `exec` | an executable file | as they are |
//! | `sh` | a POSIX shell script | `$1` … |
//! | `node`, `python` | a script | the script's |
//! | `java` | a jar with a main class | the program's |
//! | `accessor` | the file of a composite accessor; the host is the bundle's own `@accessors-hosts/node` | the host's options, such as `-timeout`, `6000` |
//! | `beam` | the start script of a release, `bin/app` | its command: `["start"]` |

use super::Engine;
use crate::name::Name;
use std::collections::BTreeMap;

/// Name, command, version probe.
type BuiltIn = (
    &'static str,
    &'static [&'static str],
    Option<&'static [&'static str]>,
);

/// A release brings its own runtime, so that a box without Erlang runs it as well: its `engine.beam` is 0.
const BEAM: &str = "erl -noshell -eval 'io:put_chars(erlang:system_info(otp_release)), halt().' 2>/dev/null || echo 0.0";

const BUILT_IN: [BuiltIn; 7] = [
    ("exec", &["{entry}"], None),
    ("sh", &["/bin/sh", "{entry}"], None),
    ("node", &["node", "{entry}"], Some(&["node", "--version"])),
    (
        "accessor",
        &[
            "node",
            "{bundle}/node_modules/@accessors-hosts/node/nodeHostInvoke.js",
            "{args}",
            "{entry}",
        ],
        Some(&["node", "--version"]),
    ),
    // Unbuffered: what it prints is in the log at once.
    (
        "python",
        &["python3", "-u", "{entry}"],
        Some(&["python3", "--version"]),
    ),
    (
        "java",
        &["java", "-jar", "{entry}"],
        Some(&["java", "-version"]),
    ),
    ("beam", &["{entry}"], Some(&["/bin/sh", "-c", BEAM])),
];

/// `exec`, `sh`, `node`, `accessor`, `python`, `java`, `beam`.
#[allow(clippy::missing_panics_doc)] // the names are above
pub fn built_in_engines() -> BTreeMap<Name, Engine> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_string()).collect();
    BUILT_IN
        .into_iter()
        .map(|(name, command, version)| {
            let name = Name::new(name).expect("the built-in engines have names of a-z");
            (
                name,
                Engine {
                    command: words(command),
                    version: version.map(words),
                },
            )
        })
        .collect()
}
