//! Paths and tests that documents name must exist.

use std::collections::BTreeSet;
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

/// Sources in which a name may be.
const SOURCES: [&str; 5] = ["rs", "sol", "mjs", "go", "py"];

/// A word in backticks with so many underscores is the name of a test, a metric or a key: shorter ones are often another program's.
const UNDERSCORES: usize = 3;

pub fn check(files: &[PathBuf]) -> Result<Vec<String>> {
    let has = |path: &Path, endings: &[&str]| {
        path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| endings.contains(&ending))
    };
    let read =
        |path: &Path| std::fs::read_to_string(build::root().join(path)).with_context(|| path.display().to_string());
    let mut names = BTreeSet::new();
    for path in files.iter().filter(|path| has(path, &SOURCES)) {
        names.extend(
            read(path)?.split(|letter: char| !is_of_name(letter)).filter(|word| is_long(word)).map(str::to_owned),
        );
    }
    let mut faults = vec![];
    for path in files.iter().filter(|path| has(path, &["md"])) {
        let text = read(path)?;
        for named in in_backticks(&text).filter(|word| is_long(word) && !names.contains(*word)) {
            faults.push(format!("{}: names `{named}`, which no source does", path.display()));
        }
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

fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_'
}

/// Whether it is a name that is looked for.
fn is_long(word: &str) -> bool {
    word.chars().all(is_of_name) && word.matches('_').count() >= UNDERSCORES
}

fn paths(text: &str) -> Vec<String> {
    let in_links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    in_backticks(text)
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

    #[test]
    fn names_of_tests_are_looked_for_and_words_of_others_are_not() {
        let text = "`a_test_that_is_there`, `some_key` and `A_CONSTANT_OF_C`, `rule_12_*`";
        let found: Vec<&str> = in_backticks(text).filter(|word| is_long(word)).collect();
        assert_eq!(found, ["a_test_that_is_there"]);
    }
}
