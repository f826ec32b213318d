//! Sizes, headers and forbidden words of Rust files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::build;

/// Production lines of a file.
const FILE_MAX: usize = 600;
/// Lines of a function.
const FUNCTION_MAX: usize = 70;
/// The one file that may hold unsafe code.
const UNSAFE: &str = "executor/src/sandbox/raw.rs";

pub fn check(files: &[PathBuf]) -> Result<Vec<String>> {
    let mut faults = vec![];
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        let text = std::fs::read_to_string(build::root().join(path)).with_context(|| path.display().to_string())?;
        faults.extend(file(path, &text));
    }
    Ok(faults)
}

fn file(path: &Path, text: &str) -> Vec<String> {
    let shown = path.display();
    let mut faults = vec![];
    if !text.starts_with("//! ") {
        faults.push(format!("{shown}: no //! header that says what it decides"));
    }
    let is_test = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
    let production = production_lines(text);
    if !is_test && production.len() > FILE_MAX {
        faults.push(format!("{shown}: {} production lines, at most {FILE_MAX}", production.len()));
    }
    faults.extend(
        long_functions(&production)
            .into_iter()
            .map(|(line, length)| format!("{shown}:{line}: a function of {length} lines, at most {FUNCTION_MAX}")),
    );
    let allows_unsafe = text.contains(concat!("allow(unsafe", "_code"));
    if allows_unsafe && shown.to_string() != UNSAFE {
        faults.push(format!("{shown}: only {UNSAFE} may hold unsafe code"));
    }
    faults
}

/// Everything before the tests at the end of a file.
fn production_lines(text: &str) -> Vec<&str> {
    text.lines().take_while(|line| *line != "#[cfg(test)]").collect()
}

/// (line, length) of functions that are too long, by the indentation that rustfmt gives.
fn long_functions(lines: &[&str]) -> Vec<(usize, usize)> {
    let mut long = vec![];
    for (at, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let signature = line.trim_start();
        let is_function = ["fn ", "pub fn ", "pub(super) fn ", "pub(crate) fn ", "async fn ", "pub async fn "]
            .iter()
            .any(|start| signature.starts_with(start));
        if !is_function {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(indent));
        if let Some(length) = lines[at..].iter().position(|line| *line == closing)
            && length + 1 > FUNCTION_MAX
        {
            long.push((at + 1, length + 1));
        }
    }
    long
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_header_and_a_long_function_are_faults() {
        let body = "    x();\n".repeat(FUNCTION_MAX);
        let text = format!("fn long() {{\n{body}}}\n");
        let faults = file(Path::new("a.rs"), &text);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[1].contains("a.rs:1: a function of 72 lines"), "{faults:?}");
    }

    #[test]
    fn tests_at_the_end_do_not_count() {
        let text = format!("//! x\nfn a() {{}}\n#[cfg(test)]\n{}", "// line\n".repeat(FILE_MAX));
        assert_eq!(file(Path::new("a.rs"), &text), [] as [String; 0]);
    }

    #[test]
    fn unsafe_code_has_one_place() {
        let text = concat!("//! x\n#![allow(unsafe", "_code, reason = \"\")]\n");
        assert_eq!(file(Path::new("a.rs"), text).len(), 1);
        assert_eq!(file(Path::new(UNSAFE), text), [] as [String; 0]);
    }
}
