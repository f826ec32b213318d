//! A data directory: one driver at a time, files that only their owner reads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A data directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Another process has it.
    #[error(
        "the data directory {} is in use by another tarefa (lock file held): stop that one, or give \
         --data-dir another directory", .0.display()
    )]
    Busy(PathBuf),
    /// The file system refuses.
    #[error("the data directory {}: {}: {reason}", .path.display(), .what)]
    Io {
        /// Path concerned.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system says.
        reason: io::Error,
    },
}

/// A data directory locked for this process; the lock goes with the value, or with the process.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    _lock: File,
}

impl Home {
    /// Creates the directory if needed (mode 0700) and locks it.
    pub fn lock(path: &Path) -> Result<Self, HomeError> {
        let failed = |what: &'static str| {
            let path = path.to_owned();
            move |reason| HomeError::Io { path, what, reason }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("cannot be created"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(failed("the lock file cannot be opened"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(HomeError::Busy(path.to_owned())),
            Err(fs::TryLockError::Error(reason)) => Err(failed("cannot be locked")(reason)),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file that only the owner reads, whole or not at all.
    pub fn write_secret(&self, name: &str, bytes: &[u8]) -> Result<(), HomeError> {
        let path = self.file(name);
        let failed = |reason| HomeError::Io { path: path.clone(), what: "cannot be written", reason };
        let new = self.file(&format!("{name}.new"));
        let write = || {
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_has_one_holder() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = Home::lock(dir.path()).expect("free");
        let error = Home::lock(dir.path()).expect_err("held");
        assert!(error.to_string().contains("in use by another tarefa"), "{error}");
        drop(first);
        Home::lock(dir.path()).expect("free again");
    }

    #[test]
    fn secrets_are_readable_by_the_owner_only() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let home = Home::lock(dir.path()).expect("free");
        home.write_secret("key", b"x").expect("writable");
        let mode = fs::metadata(home.file("key")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
