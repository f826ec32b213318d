//! Bringing back the files a task asked for.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use globset::{GlobBuilder, GlobSetBuilder};
use tarefa_protocol::codec::Bytes;
use tarefa_protocol::message::TaskFile;

/// Files below `root` whose path matches one of `patterns`, sorted by path; `None` when they are more than `max`
/// bytes or `count` files. Links are not followed: a guest could point them at anything the executor reads.
pub fn files(root: &Path, patterns: &[String], max: u64, count: u32) -> io::Result<Option<Vec<TaskFile>>> {
    if patterns.is_empty() {
        return Ok(Some(vec![]));
    }
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        // A pattern that is no pattern matches the file of that very name, if anything.
        let glob = GlobBuilder::new(pattern).literal_separator(true).build();
        let glob = glob.or_else(|_| GlobBuilder::new(&escape(pattern)).literal_separator(true).build());
        set.add(glob.map_err(io::Error::other)?);
    }
    let set = set.build().map_err(io::Error::other)?;
    let (mut found, mut bytes) = (vec![], 0u64);
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                todo.push(entry.path());
                continue;
            }
            let path = entry.path();
            let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) else { continue };
            if !kind.is_file() || !set.is_match(name) {
                continue;
            }
            let mut content = vec![];
            File::open(&path)?.take(max.saturating_sub(bytes) + 1).read_to_end(&mut content)?;
            bytes += content.len() as u64;
            found.push(TaskFile { path: name.to_owned(), bytes: Bytes(content) });
            if bytes > max || found.len() > count as usize {
                return Ok(None);
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Some(found))
}

fn escape(text: &str) -> String {
    text.chars().map(|c| if "*?[]{}".contains(c) { format!("[{c}]") } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("out")).expect("made");
        for name in ["a.txt", "b.csv", "out/c.txt"] {
            fs::write(dir.path().join(name), name).expect("written");
        }
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("out/link.txt")).expect("linked");
        dir
    }

    fn paths(patterns: &[&str], max: u64) -> Option<Vec<String>> {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        let files = files(tree().path(), &patterns, max, 100).expect("readable");
        files.map(|files| files.into_iter().map(|file| file.path).collect())
    }

    #[test]
    fn patterns_choose_files_and_never_links() {
        assert_eq!(paths(&["*.txt"], 1_000), Some(vec!["a.txt".into()]));
        assert_eq!(paths(&["out/*", "*.csv"], 1_000), Some(vec!["b.csv".into(), "out/c.txt".into()]));
        assert_eq!(paths(&[], 1_000), Some(vec![]));
    }

    #[test]
    fn a_broken_pattern_is_a_name() {
        assert_eq!(paths(&["a[.txt"], 1_000), Some(vec![]));
    }

    #[test]
    fn more_than_the_limit_is_none() {
        assert_eq!(paths(&["**"], 13), None);
    }
}
