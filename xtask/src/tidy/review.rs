//! The table of review findings: every tag is there, and every test it names.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

/// Where it is.
const TABLE: &str = "docs/protocol/review.md";
/// Tags of the specification, and exceptions of the seed.
const TAGS: u32 = 31;
const EXCEPTIONS: u32 = 6;

/// What is wrong with the table.
pub fn faults(root: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join(TABLE)).with_context(|| format!("cannot read {TABLE}"))?;
    let mut rows: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`')).collect();
        if let [tag, _, file, test] = cells[..] {
            rows.insert(tag, (file, test));
        }
    }
    let wanted = (1..=TAGS).map(|tag| format!("1.{tag}")).chain((1..=EXCEPTIONS).map(|number| format!("E{number}")));
    let mut faults = vec![];
    for tag in wanted {
        let Some((file, test)) = rows.get(tag.as_str()) else {
            faults.push(format!("{TABLE}: {tag} has no row"));
            continue;
        };
        let found = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        if !found.contains(&format!("fn {test}(")) && !found.contains(&format!("function {test}(")) {
            faults.push(format!("{TABLE}: {tag} names {test}, which is not in {file}"));
        }
    }
    Ok(faults)
}
