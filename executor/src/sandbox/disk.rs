//! The disk watcher: bytes and inodes of a task directory, with a bounded cost per look.

use rustix::process::Pid;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tarefa_protocol::result::Limit;

/// The limit that `dir` is over, if it is over one; what cannot be counted (too deep a path) counts as too many files.
/// The look ends as soon as a limit is passed, so 100,000 files cost no more than the limit does. Who is over both by
/// then is told about the bytes: a fast guest that fills the disk file by file may pass both between two looks.
pub fn exceeded(dir: &Path, worker: Pid, max_bytes: u64, max_entries: u64) -> Option<Limit> {
    let (mut bytes, mut entries) = (0u64, 0u64);
    let mut linked = HashSet::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(here) = todo.pop() {
        let list = match std::fs::read_dir(&here) {
            Ok(list) => list,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(_) => return Some(Limit::Files),
        };
        for entry in list {
            // `DirEntry::metadata` does not follow symbolic links; a file may be gone by now.
            let Ok(entry) = entry else { return Some(Limit::Files) };
            entries += 1;
            if entries > max_entries {
                return Some(if bytes > max_bytes { Limit::Disk } else { Limit::Files });
            }
            let Ok(meta) = entry.metadata() else { continue };
            if meta.nlink() == 1 || meta.is_dir() || linked.insert(meta.ino()) {
                bytes = bytes.saturating_add(meta.blocks() * 512);
            }
            if meta.is_dir() {
                todo.push(entry.path());
            }
        }
        if bytes > max_bytes {
            return Some(Limit::Disk);
        }
    }
    // A file that was deleted while open still takes room and is in no directory.
    let fds = format!("/proc/{}/fd", worker.as_raw_nonzero());
    for entry in std::fs::read_dir(fds).into_iter().flatten().flatten() {
        if let Ok(meta) = std::fs::metadata(entry.path())
            && meta.is_file()
            && meta.nlink() == 0
        {
            bytes = bytes.saturating_add(meta.blocks() * 512);
        }
    }
    (bytes > max_bytes).then_some(Limit::Disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_of(files: usize, bytes: usize) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        for n in 0..files {
            std::fs::write(dir.path().join(format!("file-{n}")), vec![1; bytes]).expect("written");
        }
        dir
    }

    #[test]
    fn of_two_limits_the_one_that_was_passed_is_told_and_of_both_the_bytes() {
        let look = |dir: &tempfile::TempDir| exceeded(dir.path(), rustix::process::getpid(), 256 << 10, 8);
        assert_eq!(look(&full_of(8, 4 << 10)), None);
        assert_eq!(look(&full_of(9, 4 << 10)), Some(Limit::Files));
        assert_eq!(look(&full_of(5, 64 << 10)), Some(Limit::Disk));
        assert_eq!(look(&full_of(40, 64 << 10)), Some(Limit::Disk));
    }
}
