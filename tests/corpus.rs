//! Every kept input of every fuzz target, through the same functions.
//!
//! What a fuzzer once found stays found; that a target has a corpus, and a corpus a target, is checked, too.

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_kept_input_of_every_fuzz_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let kept: BTreeSet<String> = fs::read_dir(&corpus)
        .expect("fuzz/corpus")
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .collect();
    let known: BTreeSet<String> = targets::TARGETS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(
        kept, known,
        "a directory of fuzz/corpus for every target, and no other"
    );
    for (name, target) in targets::TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(corpus.join(name)).expect("corpus") {
            let path = entry.expect("entry").path();
            let data = fs::read(&path).expect("input");
            let result = std::panic::catch_unwind(|| target(&data));
            assert!(result.is_ok(), "{} fails", path.display());
            inputs += 1;
        }
        assert!(inputs > 0, "the corpus of {name} is empty");
        // every prefix of nothing is still something a reader may be handed
        target(&[]);
    }
}

#[test]
fn every_target_has_a_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("fuzz/Cargo.toml");
    for (name, _) in targets::TARGETS {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} is missing in fuzz/Cargo.toml"
        );
        assert!(
            root.join(format!("fuzz_targets/{name}.rs")).exists(),
            "{name} has no program"
        );
    }
}
