//! `make demo` does what it says and leaves nothing behind.

use std::path::{Path, PathBuf};
use std::process::Command;

fn leftovers(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}

#[test]
fn the_demo_runs_and_leaves_nothing_behind() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = std::env::temp_dir().join(format!("larder-demo-test-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).unwrap();
    // As `mktemp` makes it: whoever the server runs as must get in.
    let mut mode = std::fs::metadata(&scratch).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    std::fs::set_permissions(&scratch, mode).unwrap();
    let output = Command::new("bash")
        .arg(root.join("scripts/demo.sh"))
        .env("DEMO_ONCE", "1")
        .env("DEMO_SECONDS", "1")
        .env("DEMO_SCALE", "1")
        .env("TMPDIR", &scratch)
        .env("DEMO_LARDER", env!("CARGO_BIN_EXE_larder"))
        .output()
        .expect("bash");
    let rest = leftovers(&scratch);
    std::fs::remove_dir_all(&scratch).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{errors}");
    for word in ["direct", "miss", "hit", "hit ratio", "UPDATE"] {
        assert!(said.contains(word), "{word} is not in:\n{said}");
    }
    assert!(rest.is_empty(), "left behind: {rest:?}");
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mark = scratch.display().to_string();
    for process in processes {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        assert!(
            !String::from_utf8_lossy(&line).contains(&mark),
            "still running: {}",
            String::from_utf8_lossy(&line)
        );
    }
}
