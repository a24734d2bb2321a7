//! Everything that was ever found, and what to begin with, once through its target: without libFuzzer, in every test run.

use std::{fs, path::Path};
use swarm_fuzz::TARGETS;

#[test]
fn everything_in_the_corpus_goes_through_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, run) in TARGETS {
        let mut seen = 0;
        for entry in fs::read_dir(corpus.join(name)).expect(name).flatten() {
            let bytes = fs::read(entry.path()).expect("a file of the corpus");
            run(&bytes);
            seen += 1;
        }
        assert!(seen > 0, "{name} has nothing to begin with");
    }
}

#[test]
fn every_folder_of_the_corpus_is_of_a_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(corpus).expect("the corpus").flatten() {
        let name = entry.file_name().into_string().expect("a name");
        assert!(TARGETS.iter().any(|(known, _)| *known == name), "{name}");
    }
}
