//! The house rules, checked: floors, sizes, names, headers, links, and documents that say what the code says.
//!
//! Deliberately not here: what rustfmt and clippy check.

use larder::why::Why;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Modules that hold each other up: an arrow from a floor only points to the same module or a lower floor.
const FLOORS: &[(&str, u8)] = &[
    ("app", 5),
    ("proxy", 4),
    ("watch", 4),
    ("admin", 4),
    ("net", 3),
    ("session", 2),
    ("cache", 1),
    ("wire", 0),
    ("sql", 0),
    ("why", 0),
    ("guard", 0),
    ("config", 0),
    ("metrics", 0),
    ("logging", 0),
];

/// `main.rs` and `lib.rs` know every module.
const EXEMPT: &[&str] = &["main.rs", "lib.rs"];

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;
const STRUCT_FIELDS: usize = 12;
/// One field for each table of the configuration file, of which there are as many as there are.
const OF_TABLES: &[&str] = &["Config", "Tables"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn walk(directory: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for path in entries.map(|e| e.path()) {
        let hidden = path
            .file_name()
            .is_some_and(|n| n == "target" || n.to_string_lossy().starts_with('.'));
        if path.is_dir() && !hidden {
            walk(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
}

fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(&root().join(directory), extension, &mut found);
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn judge(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// Rust source with comments, strings and characters blanked out, line for line.
fn code(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let skip = if rest.starts_with(b"//") {
            rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            block_comment(rest)
        } else if let Some(len) = literal(rest, at.checked_sub(1).map(|i| bytes[i])) {
            len
        } else {
            out.push(bytes[at]);
            at += 1;
            continue;
        };
        out.extend(
            rest[..skip]
                .iter()
                .map(|b| if *b == b'\n' { b'\n' } else { b' ' }),
        );
        at += skip;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The length of the string or character literal that begins here.
fn literal(rest: &[u8], before: Option<u8>) -> Option<usize> {
    let word = before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    let prefix = rest
        .iter()
        .take_while(|b| matches!(b, b'b' | b'c' | b'r'))
        .count();
    let raw = rest[..prefix].contains(&b'r');
    if raw && !word {
        let hashes = rest[prefix..].iter().take_while(|b| **b == b'#').count();
        if rest.get(prefix + hashes) == Some(&b'"') {
            let end = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
            let body = prefix + hashes + 1;
            let close = rest[body..]
                .windows(end.len())
                .position(|w| w == end)
                .unwrap_or(rest.len() - body - end.len());
            return Some(body + close + end.len());
        }
    }
    match rest[0] {
        b'"' => Some(quoted(rest, b'"')),
        // A lifetime has no closing quote right behind its first character.
        b'\'' if rest.get(1) == Some(&b'\\') => Some(quoted(rest, b'\'')),
        b'\'' => {
            let text = String::from_utf8_lossy(&rest[1..rest.len().min(6)]).into_owned();
            let first = text.chars().next()?.len_utf8();
            (rest.get(1 + first) == Some(&b'\'')).then_some(first + 2)
        }
        _ => None,
    }
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// Code without the tests beside it: modules behind `#[cfg(test)]` blanked out.
fn without_tests(code: &str) -> String {
    let mut rest = code.to_owned();
    while let Some(at) = rest.find("#[cfg(test)]") {
        let tail = &rest[at..];
        let semicolon = tail.find(';').unwrap_or(tail.len());
        let end = match tail.find('{') {
            Some(open) if open < semicolon => at + matching(tail, open) + 1,
            _ => at + semicolon + 1,
        };
        let end = end.min(rest.len());
        let blank: String = rest[at..end]
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect();
        rest.replace_range(at..end, &blank);
    }
    rest
}

/// Where the brace that opens at `open` closes.
fn matching(code: &str, open: usize) -> usize {
    let mut depth = 0i32;
    for (at, c) in code[open..].char_indices() {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        if depth == 0 {
            return open + at;
        }
    }
    code.len() - 1
}

/// Whether a file holds tests alone, so that it is not counted.
fn is_test_file(path: &Path) -> bool {
    path.file_stem()
        .is_some_and(|s| s == "tests" || s.to_string_lossy().ends_with("_tests"))
}

fn sources() -> Vec<(PathBuf, String)> {
    let files = files("src", "rs").into_iter();
    files
        .map(|path| {
            let code = code(&read(&path));
            (path, code)
        })
        .collect()
}

/// Words that follow `keyword`, as (offset, word).
fn words_after<'a>(code: &'a str, keyword: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    code.match_indices(keyword)
        .filter(|(at, _)| {
            let before = code[..*at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
        })
        .map(|(at, _)| {
            let rest = &code[at + keyword.len()..];
            let end = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            (at, &rest[..end])
        })
}

#[test]
fn arrows_only_point_down() {
    let floors: BTreeMap<_, _> = FLOORS.iter().copied().collect();
    let mut broken = Vec::new();
    for (path, code) in sources() {
        let inside = path
            .strip_prefix(root().join("src"))
            .expect("a source file");
        let first = inside.components().next().expect("a name");
        let module = first
            .as_os_str()
            .to_string_lossy()
            .trim_end_matches(".rs")
            .to_owned();
        if EXEMPT.contains(&&*inside.to_string_lossy()) {
            continue;
        }
        let Some(own) = floors.get(&*module) else {
            broken.push(format!("{}: `{module}` has no floor", name(&path)));
            continue;
        };
        for used in uses(&without_tests(&code)) {
            match floors.get(&*used) {
                Some(floor) if *floor < *own || used == module => {}
                Some(_) if *own == 0 && floors[&*used] == 0 => {}
                Some(floor) => broken.push(format!(
                    "{}: floor {own} uses `{used}` on floor {floor}",
                    name(&path)
                )),
                None => broken.push(format!("{}: `{used}` has no floor", name(&path))),
            }
        }
    }
    judge("a module may use itself and lower floors only", broken);
}

/// The modules named behind `crate::`, one by one or in braces.
fn uses(code: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for (at, word) in words_after(code, "crate::") {
        if !word.is_empty() {
            modules.push(word.to_owned());
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest
            .strip_prefix('{')
            .map(|r| &r[..matching(rest, 0).saturating_sub(1)])
        else {
            continue;
        };
        let mut depth = 0;
        for part in group.split_inclusive([',', '{', '}']) {
            if depth == 0 {
                let word: String = part
                    .trim()
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if !word.is_empty() {
                    modules.push(word);
                }
            }
            depth += i32::from(part.ends_with('{')) - i32::from(part.ends_with('}'));
        }
    }
    modules
}

#[test]
fn files_functions_and_structs_stay_small() {
    let mut broken = Vec::new();
    for (path, code) in sources() {
        if is_test_file(&path) {
            continue;
        }
        let code = without_tests(&code);
        let lines = code.lines().filter(|l| !l.trim().is_empty()).count();
        if lines > FILE_LINES {
            broken.push(format!("{}: {lines} lines of code", name(&path)));
        }
        for (at, function) in words_after(&code, "fn ").filter(|(_, word)| !word.is_empty()) {
            let Some(lines) = body(&code[at..]).map(|b| b.lines().count()) else {
                continue;
            };
            if lines > FUNCTION_LINES {
                broken.push(format!("{}: fn {function} has {lines} lines", name(&path)));
            }
        }
        // A test's model of a server may know as much as a server.
        let model = path.components().any(|part| part.as_os_str() == "tests");
        for (at, structure) in words_after(&code, "struct ").filter(|(_, word)| !word.is_empty()) {
            let fields = body(&code[at..]).map_or(0, fields);
            if fields > STRUCT_FIELDS && !model && !OF_TABLES.contains(&structure) {
                broken.push(format!(
                    "{}: struct {structure} has {fields} fields",
                    name(&path)
                ));
            }
        }
    }
    judge(
        "500 lines of code a file, 70 a function, 12 fields a struct",
        broken,
    );
}

/// From an item's keyword to the end of its braces, if it has any.
fn body(item: &str) -> Option<&str> {
    let mut depth = 0;
    for (at, c) in item.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ';' if depth == 0 => return None,
            '{' if depth == 0 => return Some(&item[..=matching(item, at)]),
            _ => {}
        }
    }
    None
}

fn fields(body: &str) -> usize {
    let open = body.find('{').expect("a body");
    let mut depth = 0;
    let mut colons = 0;
    let inner = &body[open + 1..];
    for (at, c) in inner.char_indices() {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            ')' | ']' | '}' | '>' if !inner[..at].ends_with('-') => depth -= 1,
            ':' if depth == 0 => {
                let pair = inner[at + 1..].starts_with(':') || at > 0 && inner[..at].ends_with(':');
                colons += usize::from(!pair);
            }
            _ => {}
        }
    }
    colons
}

#[test]
fn files_have_names_and_headers() {
    let mut broken = Vec::new();
    let mut seen = BTreeMap::new();
    for path in files("src", "rs") {
        let file = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if file == "mod.rs" {
            broken.push(format!("{}: foo.rs beside foo/, no mod.rs", name(&path)));
        }
        // `tests.rs` beside its module is the one name that may come again.
        if !is_test_file(&path)
            && let Some(other) = seen.insert(file, path.clone())
        {
            broken.push(format!("{} has the name of {}", name(&path), name(&other)));
        }
    }
    let all = files("src", "rs").into_iter().chain(files("tests", "rs"));
    for path in all.filter(|p| !is_test_file(p)) {
        let text = read(&path);
        let first = text.lines().next().unwrap_or_default();
        if !first.starts_with("//! ") || first.len() < 12 {
            broken.push(format!(
                "{}: the first line is not `//! ` and a phrase",
                name(&path)
            ));
        }
    }
    judge("names and headers", broken);
}

#[test]
fn nothing_is_unsafe_or_unfinished() {
    let mut broken = Vec::new();
    let marks = ["TO", "FIX", "XX"].map(|m| {
        m.to_owned()
            + match m {
                "TO" => "DO",
                "FIX" => "ME",
                _ => "X",
            }
    });
    let macros = ["unimplemented!", "todo!"];
    for (path, code) in sources() {
        if words_after(&code, "unsafe ").next().is_some() || code.contains("unsafe{") {
            broken.push(format!("{}: unsafe", name(&path)));
        }
        if macros.iter().any(|m| code.contains(m)) {
            broken.push(format!("{}: an unfinished macro", name(&path)));
        }
    }
    let all = ["src", "tests", "scripts", "docs", "benches", "fuzz"];
    let kinds = ["rs", "sh", "md", "py", "toml"];
    for path in all
        .iter()
        .flat_map(|d| kinds.iter().flat_map(|k| files(d, k)))
    {
        let text = read(&path);
        for (number, line) in text.lines().enumerate() {
            let marked = marks.iter().any(|mark| {
                line.split(|c: char| !c.is_alphanumeric())
                    .any(|word| word == mark)
            });
            if marked {
                broken.push(format!("{}:{}: {}", name(&path), number + 1, line.trim()));
            }
        }
    }
    judge("no unsafe, nothing left for later", broken);
    assert!(read(&root().join("src/lib.rs")).contains("forbid(unsafe_code)"));
}

/// Heading → the anchor that Markdown viewers make of it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase().replace(
        |c: char| !c.is_alphanumeric() && c != ' ' && c != '-' && c != '_',
        "",
    );
    kept.replace(' ', "-")
}

fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|l| l.starts_with('#'));
    headings
        .map(|l| anchor(l.trim_start_matches('#')))
        .collect()
}

fn documents() -> Vec<PathBuf> {
    files("", "md")
        .into_iter()
        .filter(|p| !name(p).starts_with("target"))
        .collect()
}

#[test]
fn links_resolve() {
    let mut broken = Vec::new();
    for path in documents() {
        let text = read(&path);
        for (at, _) in text.match_indices("](") {
            let rest = &text[at + 2..];
            let target = &rest[..rest.find(')').unwrap_or(0)];
            if target.contains("://") || target.starts_with("mailto:") || target.is_empty() {
                continue;
            }
            let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
            let there = if file.is_empty() {
                path.clone()
            } else {
                path.parent().expect("a directory").join(file)
            };
            if !there.exists() {
                broken.push(format!("{}: {target}", name(&path)));
            } else if !fragment.is_empty() && !anchors(&read(&there)).contains(&fragment.to_owned())
            {
                broken.push(format!("{}: no heading for {target}", name(&path)));
            }
        }
    }
    judge("links between documents", broken);
}

/// Every `--flag` behind `larder` in a document's code is one the program has.
#[test]
fn every_page_is_in_the_book() {
    let summary = read(&root().join("docs/SUMMARY.md"));
    let pages = files("docs", "md").into_iter().map(|page| name(&page));
    let missing = |page: &String| {
        let path = page.trim_start_matches("docs/");
        path != "SUMMARY.md" && !summary.contains(&format!("({path})"))
    };
    judge(
        "pages that docs/SUMMARY.md does not list",
        pages.filter(missing).collect(),
    );
}

#[test]
fn documents_name_only_flags_that_exist() {
    let help = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_larder"))
            .args(arguments)
            .output()
            .expect("larder");
        assert!(output.status.success(), "larder {arguments:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let mut known = help(&["--help"]);
    for command in ["serve", "health"] {
        known += &help(&[command, "--help"]);
    }
    let mut broken = Vec::new();
    let mut seen = 0;
    for path in documents() {
        let text = read(&path).replace("\\\n", " ");
        for line in text
            .lines()
            .filter(|l| l.contains("larder serve") || l.contains("larder health"))
        {
            let flags = line
                .split(|c: char| !c.is_alphanumeric() && c != '-')
                .filter(|w| w.starts_with("--") && w.len() > 2);
            for flag in flags {
                seen += 1;
                if !known
                    .split(|c: char| !c.is_alphanumeric() && c != '-')
                    .any(|w| w == flag)
                {
                    broken.push(format!("{}: {flag}", name(&path)));
                }
            }
        }
    }
    judge("flags", broken);
    assert!(seen > 0, "no document shows how to start Larder");
}

/// Every promise test that a document names exists.
#[test]
fn documents_name_only_tests_that_exist() {
    let tests: String = files("tests", "rs")
        .iter()
        .chain(&files("src", "rs"))
        .map(|p| read(p))
        .collect();
    let mut broken = Vec::new();
    for path in documents() {
        for word in read(&path).split('`') {
            let is_test = word.len() > 3
                && word.starts_with('p')
                && word[1..2].chars().all(|c| c.is_ascii_digit())
                && word[2..].starts_with('_')
                && !word.contains([' ', '…']);
            if is_test && !tests.contains(&format!("fn {word}(")) {
                broken.push(format!("{}: {word}", name(&path)));
            }
        }
    }
    judge("tests", broken);
}

/// The ways in which a cache can be wrong are numbered to here.
const HAZARDS: usize = 84;

/// Every one of them has one row in the table, which names a test that exists or says why there is none.
#[test]
fn every_hazard_has_a_test_or_a_reason() {
    let tests: String = files("tests", "rs")
        .iter()
        .chain(&files("src", "rs"))
        .map(|p| read(p))
        .collect();
    let document = read(&root().join("docs/consistency.md"));
    let section = document.split("\n## Hazard and test\n").nth(1);
    let section = section.and_then(|rest| rest.split("\n## ").next());
    let rows = section.unwrap_or_default().lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.splitn(3, " | ");
        let number: usize = cells.next()?.parse().ok()?;
        Some((number, cells.next()?, cells.next()?))
    });
    let mut seen = vec![0; HAZARDS + 1];
    let mut broken = Vec::new();
    for (number, what, caught) in rows {
        match seen.get_mut(number) {
            Some(times) if number > 0 => *times += 1,
            _ => broken.push(format!("{number} is no hazard")),
        }
        if what.trim().is_empty() || caught.trim_end_matches('|').trim().is_empty() {
            broken.push(format!("{number} says nothing"));
        }
        for word in caught.split('`').skip(1).step_by(2) {
            let is_name = word.contains('_')
                && !word.contains(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            if is_name && !tests.contains(&format!("fn {word}(")) {
                broken.push(format!("{number}: no test is called {word}"));
            }
        }
    }
    let wrong = seen
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(_, times)| **times != 1);
    broken.extend(wrong.map(|(number, times)| format!("{number} has {times} rows")));
    judge("hazards", broken);
}

/// `docs/reasons.md` is the list in `src/why.rs`; `UPDATE_DOCS=1` writes it.
#[test]
fn the_table_of_reasons_is_the_codes() {
    let mut table = String::from(
        "# Why a statement was not answered from memory\n\n\
         The word is what `SHOW larder.last` says behind `bypass: `, the label `reason` of `larder_bypass_total`, and the\n\
         field of the log. This page is written from `src/why.rs`.\n\n\
         | reason | why |\n|---|---|\n",
    );
    for why in Why::ALL {
        table += &format!("| `{}` | {} |\n", why.label(), why.text());
    }
    let path = root().join("docs/reasons.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &table).expect("docs/reasons.md");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == table,
        "docs/reasons.md is not what src/why.rs says: run `UPDATE_DOCS=1 cargo test --test tidy`"
    );
}

#[test]
fn the_reader_of_code_reads_code() {
    let source = "fn a() { /* crate::x */ \"crate::y { \"; 'c'; '\\''; r#\"crate::z\"#; } // crate::w\nuse crate::{p::{q, r}, s};";
    assert_eq!(uses(&code(source)), ["p", "s"]);
    assert_eq!(
        body(&code(source)).map(str::len),
        Some(source.find(" //").unwrap())
    );
    assert_eq!(
        fields("struct A { a: Vec<B<C, D>>, b: fn(x: u8) -> u8, c: std::io::Error, }"),
        3
    );
    assert_eq!(
        without_tests("a #[cfg(test)] mod t { x { } } b").replace(' ', ""),
        "ab"
    );
    assert_eq!(code("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
    assert_eq!(anchor(" What is `this`, then?"), "what-is-this-then");
}
