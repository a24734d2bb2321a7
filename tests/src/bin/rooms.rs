//! Prints the list of rooms for ARCHITECTURE.md: every source file, and the first sentence of its own page.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

const CRATES: [&str; 7] = [
    "manifests",
    "repository",
    "wire",
    "supervisor",
    "agent",
    "packager",
    "map",
];

fn main() -> io::Result<()> {
    println!(
        "## The rooms\n\nEach line is the first sentence of the room's own page; `cargo run -p swarm-tests --bin rooms` prints them."
    );
    for krate in CRATES {
        println!("\n### {krate}\n\n| room | what |\n| --- | --- |");
        let top = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(krate)
            .join("src");
        let mut rooms = Vec::new();
        collect(&top, &mut rooms)?;
        rooms.sort();
        for room in rooms {
            let name = room.strip_prefix(&top).unwrap_or(&room).with_extension("");
            let name = name.display().to_string();
            let last = name.rsplit('/').next().unwrap_or_default();
            if matches!(name.as_str(), "lib" | "main") || matches!(last, "tests" | "mod") {
                continue;
            }
            println!(
                "| `{krate}/{name}` | {} |",
                first_sentence(&fs::read_to_string(&room)?)
            );
        }
    }
    Ok(())
}

fn collect(folder: &Path, rooms: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, rooms)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            rooms.push(path);
        }
    }
    Ok(())
}

/// Of the `//!` lines at the top, up to the first full stop or colon that ends a word.
fn first_sentence(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let page = lines
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let end = [". ", ": "]
        .iter()
        .filter_map(|stop| page.find(stop))
        .min()
        .unwrap_or(page.len());
    page[..end].trim_end_matches(['.', ':']).replace('|', "\\|")
}
