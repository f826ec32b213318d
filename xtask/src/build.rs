//! Paths and builds that several commands need.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The repository's root.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Cargo: the one that runs this, or, where this runs by itself, the one of the path, which chooses the toolchain for all that it calls.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Builds the binary and returns its path. With everything else, as the tests do: alone, its dependencies would be built once more with
/// fewer features.
pub fn tarefa() -> Result<PathBuf> {
    let args = ["build", "--quiet", "--workspace", "--all-targets", "--locked"];
    let status = cargo().args(args).current_dir(root()).status()?;
    ensure!(status.success(), "the binary does not build");
    let path = target().join("debug/tarefa");
    path.canonicalize().with_context(|| format!("{} is not there", path.display()))
}
