//! The statements written by hand: files of `statements/`, one kind a file.
//!
//! * A statement ends with `;` at the end of a line. `«a|b»` stands for each of its words in turn (`||` separates
//!   nothing), and several of them for every combination: one line may be a family.
//! * `--! path a, b` sets the search path from there on, `--! from 16` names the first version that knows the next
//!   statement, `--! alone` says that the next one cannot stand in a view.
//!
//! Not here: what is asked of them.

use std::fs;
use std::path::Path;

/// One statement.
#[derive(Clone, Debug)]
pub struct Written {
    pub file: String,
    pub text: String,
    pub path: Vec<String>,
    /// The first major version that knows it.
    pub from: u32,
    /// It cannot stand in a view.
    pub alone: bool,
}

/// All of them, in order.
pub fn all() -> Vec<Written> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/statements");
    let mut files: Vec<_> = fs::read_dir(&directory)
        .expect("statements")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
        .iter()
        .flat_map(|file| {
            let name = file.file_stem().expect("a name").to_string_lossy();
            of_file(&name, &fs::read_to_string(file).expect("a file"))
        })
        .collect()
}

fn of_file(file: &str, content: &str) -> Vec<Written> {
    let (mut all, mut text) = (Vec::new(), String::new());
    let (mut path, mut from, mut alone) = (vec!["public".to_owned()], 0, false);
    for line in content.lines() {
        if let Some(word) = line.strip_prefix("--! ") {
            match word.split_once(' ') {
                Some(("path", names)) => {
                    path = names.split(',').map(|n| n.trim().to_owned()).collect();
                }
                Some(("from", version)) => from = version.parse().expect("a version"),
                _ if word == "alone" => alone = true,
                _ => panic!("{file}: {line}"),
            }
            continue;
        }
        if text.is_empty() && (line.is_empty() || line.starts_with("-- ")) {
            continue;
        }
        text.push_str(line);
        if let Some(whole) = text.strip_suffix(';') {
            for text in family(whole) {
                let file = file.to_owned();
                let path = path.clone();
                all.push(Written {
                    file,
                    text,
                    path,
                    from,
                    alone,
                });
            }
            text.clear();
            (from, alone) = (0, false);
        } else {
            text.push('\n');
        }
    }
    assert!(text.is_empty(), "{file}: {text} does not end");
    all
}

/// Every combination of the words in `«…|…»`.
fn family(text: &str) -> Vec<String> {
    let Some((before, rest)) = text.split_once('«') else {
        return vec![text.to_owned()];
    };
    let (words, after) = rest.split_once('»').expect("an end of «");
    let tails = family(after);
    let words = words.replace("||", "\0");
    let each = words.split('|').map(|word| word.replace('\0', "||"));
    each.flat_map(|word| {
        tails
            .iter()
            .map(move |tail| format!("{before}{word}{tail}"))
    })
    .collect()
}

#[test]
fn a_family_is_every_combination() {
    let all = of_file(
        "f",
        "-- note\n--! from 16\nSELECT «1|2 || 3»,\n«a|b»;\n--! path x, y\nTABLE t;\n",
    );
    let texts: Vec<&str> = all.iter().map(|w| w.text.as_str()).collect();
    let expected = [
        "SELECT 1,\na",
        "SELECT 1,\nb",
        "SELECT 2 || 3,\na",
        "SELECT 2 || 3,\nb",
        "TABLE t",
    ];
    assert_eq!(texts, expected);
    assert_eq!((all[0].from, all[4].from), (16, 0));
    assert_eq!(all[4].path, ["x", "y"]);
}
