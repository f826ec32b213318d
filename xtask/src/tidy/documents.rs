//! Paths that documents name must exist.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::build;

/// A word in backticks is a path of this repository when it begins with one of its rooms.
const ROOMS: [&str; 12] = [
    "cli/",
    "docs/",
    "executor/",
    "fuzz/",
    "hub/",
    "shared/",
    "submitter/",
    "tasks/",
    "testnet/",
    "xtask/",
    ".ci/",
    ".cargo/",
];

pub fn check(files: &[PathBuf]) -> Result<Vec<String>> {
    let mut faults = vec![];
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = std::fs::read_to_string(build::root().join(path)).with_context(|| path.display().to_string())?;
        for named in paths(&text) {
            if !exists(&named) {
                faults.push(format!("{}: names `{named}`, which does not exist", path.display()));
            }
        }
    }
    Ok(faults)
}

fn exists(named: &str) -> bool {
    build::root().join(Path::new(named.trim_end_matches('/'))).exists()
}

fn paths(text: &str) -> Vec<String> {
    let in_backticks = text.split('`').skip(1).step_by(2);
    let in_links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    in_backticks
        .chain(in_links)
        .map(|word| word.trim_start_matches("./"))
        .filter(|word| ROOMS.iter().any(|room| word.starts_with(room)))
        .filter(|word| !word.contains([' ', '*', '<', '{', '…', ':', '\n']))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_backticks_and_links_are_found() {
        let text = "see `docs/a.md` and [b](docs/b.md#x), not `cargo run` or `shared/*`";
        assert_eq!(paths(text), ["docs/a.md", "docs/b.md"]);
    }
}
