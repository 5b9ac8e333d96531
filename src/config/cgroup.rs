//! The memory limit of the control group this process runs in.
//!
//! The smallest limit on the way from the process's own group to the root holds, as the kernel sees it. Inside a
//! container the group's path is often not visible; then what is mounted as the root is the container's own group.
//! No limit is no error.

use std::fs;
use std::path::Path;

/// Above this, cgroup v1 means "no limit" (it writes the largest page-aligned number instead of a word).
const UNLIMITED: u64 = 1 << 60;

/// The limit in bytes, if there is one.
pub fn memory_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limit_under(Path::new("/sys/fs/cgroup"), &groups)
}

fn limit_under(root: &Path, groups: &str) -> Option<u64> {
    let mut limit = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let found = if controllers.is_empty() {
            smallest(root, path, "memory.max")
        } else if controllers.split(',').any(|c| c == "memory") {
            smallest(&root.join("memory"), path, "memory.limit_in_bytes")
        } else {
            None
        };
        limit = least(limit, found);
    }
    limit
}

fn smallest(root: &Path, path: &str, file: &str) -> Option<u64> {
    let mut limit = None;
    for group in Path::new(path.trim_start_matches('/')).ancestors() {
        // A path that climbs out of the mounted root says nothing about us.
        if group
            .components()
            .any(|c| c == std::path::Component::ParentDir)
        {
            continue;
        }
        let text = fs::read_to_string(root.join(group).join(file)).unwrap_or_default();
        limit = least(limit, text.trim().parse().ok().filter(|n| *n < UNLIMITED));
    }
    limit
}

fn least(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
        let root =
            std::env::temp_dir().join(format!("larder-cgroup-{}-{name}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn smallest_limit_on_the_way_up_holds() {
        let root = tree(
            "v2",
            &[
                ("a/memory.max", "4096\n"),
                ("a/b/memory.max", "max\n"),
                ("memory.max", "8192\n"),
            ],
        );
        assert_eq!(limit_under(&root, "0::/a/b\n"), Some(4096));
        assert_eq!(limit_under(&root, "0::/\n"), Some(8192));
        assert_eq!(limit_under(&root, "0::/../elsewhere\n"), Some(8192));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn v1_and_its_word_for_unlimited() {
        let root = tree(
            "v1",
            &[
                ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory/x/memory.limit_in_bytes", "65536\n"),
            ],
        );
        assert_eq!(
            limit_under(&root, "5:cpu,cpuacct:/x\n4:memory:/x\n"),
            Some(65536)
        );
        assert_eq!(
            limit_under(&root, "4:memory:/docker/not-visible-here\n"),
            None
        );
        assert_eq!(limit_under(&root, ""), None);
        fs::remove_dir_all(root).unwrap();
    }
}
