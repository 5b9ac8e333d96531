//! The configuration reference, docs/configuration.md, made of config/larder.toml: each key, its default, its variable and
//! its flag. `UPDATE_DOCS=1 cargo test --test reference` writes it anew.
//!
//! That the file has every key, and each with the default of the code, tests/config.rs sees to.

use larder::config::{Flags, KEYS};
use std::fmt::Write as _;
use std::path::Path;

/// One key of the file.
struct Entry {
    name: String,
    default: String,
    text: String,
}

/// One table of the file.
#[derive(Default)]
struct Section {
    name: String,
    repeated: bool,
    text: String,
    entries: Vec<Entry>,
}

/// Reads the file: a table's own words stand before its first key, a key's words stand before it.
fn sections(file: &str) -> Vec<Section> {
    let mut all = Vec::new();
    let mut section = Section::default();
    let mut words = String::new();
    for line in file.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let table = bare.strip_prefix('[').and_then(|rest| {
            let name = rest.trim_start_matches('[').split(']').next()?;
            Some((name.to_owned(), rest.starts_with('[')))
        });
        if let Some((name, repeated)) = table {
            let text = if repeated {
                std::mem::take(&mut words)
            } else {
                String::new()
            };
            words.clear();
            all.push(std::mem::replace(
                &mut section,
                Section {
                    name,
                    repeated,
                    text,
                    entries: Vec::new(),
                },
            ));
        } else if let Some((name, default)) = key(line) {
            section.entries.push(Entry {
                name,
                default,
                text: std::mem::take(&mut words),
            });
        } else if let Some(text) = line.strip_prefix('#') {
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(text.trim());
        } else if line.is_empty() && section.entries.is_empty() && !section.name.is_empty() {
            section.text.push_str(&std::mem::take(&mut words));
        }
    }
    all.push(section);
    all.retain(|section| !section.name.is_empty());
    all
}

/// `# name = value`
fn key(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("# ")?.split_once(" = ")?;
    let plain = |c: char| c.is_ascii_lowercase() || c == '_';
    name.chars()
        .all(plain)
        .then(|| (name.to_owned(), value.to_owned()))
}

/// The flag of a key, as `larder --help` names it.
fn flag(key: &str) -> Option<&'static str> {
    Some(match key {
        "upstream.url" => "--upstream",
        "listen.address" | "listen.unix" => "--listen",
        "admin.address" => "--admin",
        "cache.mode" => "--mode",
        "cache.ttl" => "--ttl",
        "cache.memory" => "--memory",
        "server.drain" => "--drain",
        "server.workers" => "--workers",
        "log.format" => "--log-format",
        "log.level" => "--log-level",
        _ => return None,
    })
}

const HEAD: &str = "\
# Configuration

Defaults, then a file (`larder.toml` in the working directory, or `--config`), then variables, then flags: what comes later wins.
Unknown keys, variables and bad values stop the start, with the nearest name that exists. The file with everything in it:
[config/larder.toml](../config/larder.toml).

This page is made of that file: `UPDATE_DOCS=1 cargo test --test reference`.
";

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/larder.toml");
    let file = std::fs::read_to_string(path).expect("the file");
    let mut page = HEAD.to_owned();
    for section in sections(&file) {
        let brackets = if section.repeated {
            format!("[[{}]]", section.name)
        } else {
            format!("[{}]", section.name)
        };
        let _ = write!(page, "\n## `{brackets}`\n");
        if !section.text.is_empty() {
            let _ = write!(page, "\n{}\n", section.text);
        }
        for entry in &section.entries {
            let text = entry.text.replace('<', "&lt;");
            let _ = write!(page, "\n### `{}`\n\n{text}\n\n", entry.name);
            let word = if section.repeated || is_example(entry) {
                "Example"
            } else {
                "Default"
            };
            let _ = writeln!(page, "* {word}: `{}`", entry.default);
            let key = format!("{}.{}", section.name, entry.name);
            if !section.repeated {
                let variable = key.replace('.', "__").to_uppercase();
                let _ = writeln!(page, "* Variable: `LARDER_{variable}`");
            }
            if let Some(flag) = flag(&key) {
                let _ = writeln!(page, "* Flag: `{flag}`");
            }
        }
    }
    page
}

/// Whether what the file shows is not what holds without it: an address, a path, a name.
fn is_example(entry: &Entry) -> bool {
    let told = entry.text.contains("Default:");
    told || entry.name == "url"
        || ["/etc/", "/run/", "SELECT ", "\"app\""]
            .iter()
            .any(|word| entry.default.contains(word))
}

#[test]
fn the_reference_says_what_the_code_says() {
    let page = page();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs/configuration.md");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/configuration.md is not what config/larder.toml says: UPDATE_DOCS=1 cargo test --test reference"
    );
}

#[test]
fn every_key_is_in_the_reference() {
    let page = page();
    for key in KEYS.iter().filter(|key| key.contains('.')) {
        let variable = key.replace('.', "__").to_uppercase();
        let line = format!("`LARDER_{variable}`");
        assert!(
            page.contains(&line),
            "{key} is not in docs/configuration.md"
        );
    }
}

#[test]
fn every_flag_belongs_to_a_key() {
    let flags: Vec<_> = KEYS.iter().filter_map(|key| flag(key)).collect();
    let command = <Flags as clap::Args>::augment_args(clap::Command::new("larder"));
    for argument in command.get_arguments() {
        let Some(long) = argument.get_long().filter(|long| *long != "config") else {
            continue;
        };
        assert!(
            flags.contains(&&*format!("--{long}")),
            "--{long}: which key is it?"
        );
    }
}
