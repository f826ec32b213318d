//! The table of review findings: every tag is there, and every test it names.

use std::path::Path;

use anyhow::{Context, Result};

/// Where it is.
const TABLE: &str = "docs/protocol/review.md";
/// Tags of the specification, and exceptions of the seed.
const TAGS: u32 = 31;
const EXCEPTIONS: u32 = 9;
/// Lines before a function of Rust in which its attribute is.
const ATTRIBUTE: usize = 3;

/// What is wrong with the table.
pub fn faults(root: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join(TABLE)).with_context(|| format!("cannot read {TABLE}"))?;
    let mut rows: Vec<[&str; 3]> = vec![];
    for line in text.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`')).collect();
        if let [tag, _, file, test] = cells[..] {
            rows.push([tag, file, test]);
        }
    }
    let wanted = (1..=TAGS).map(|tag| format!("1.{tag}")).chain((1..=EXCEPTIONS).map(|number| format!("E{number}")));
    let mut faults = vec![];
    for tag in wanted {
        if !rows.iter().any(|[found, ..]| *found == tag) {
            faults.push(format!("{TABLE}: {tag} has no row"));
        }
    }
    let tags = rows.iter().filter(|[tag, ..]| tag.starts_with("1.") || tag.starts_with('E'));
    for [tag, file, test] in tags.filter(|[tag, ..]| tag.ends_with(|last: char| last.is_ascii_digit())) {
        let found = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        if !has_test(&found, test) {
            faults.push(format!("{TABLE}: {tag} names {test}, which is no test of {file}"));
        }
    }
    Ok(faults)
}

/// Whether a text has this test: a function of Rust with the attribute, or one that forge runs by its name.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(place, line)| {
        if line.starts_with(&format!("function {name}(")) {
            return name.starts_with("test");
        }
        let is = line.starts_with(&format!("fn {name}(")) || line.starts_with(&format!("async fn {name}("));
        is && lines[place.saturating_sub(ATTRIBUTE)..place]
            .iter()
            .any(|before| before.starts_with("#[test") || before.starts_with("#[tokio::test"))
    })
}
