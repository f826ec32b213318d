//! Parents: those in a recorded body are old; blocks of the network under test take their places.

use anyhow::Result;
use serde_json::Value;

use crate::http;
use crate::rewrite::Rewrite;

/// Blocks posted last that may serve as parents; older ones sink below max depth.
const RECENT: usize = 8;
const PARENTS_MAX: usize = 8;

/// Ids that a node gives as parents, sorted.
pub async fn tips(node: &str) -> Result<Vec<String>> {
    let tips = http::get(node, "/api/core/v2/tips").await?;
    let mut ids: Vec<String> =
        tips["tips"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// A supply of parents.
#[derive(Debug, Default)]
pub struct Parents {
    recent: Vec<String>,
}

impl Parents {
    /// Remembers a block that was taken just now.
    pub fn taken(&mut self, id: &str) {
        self.recent.push(id.to_owned());
        if self.recent.len() > RECENT {
            self.recent.remove(0);
        }
    }

    /// Fresh ids, sorted, at least one.
    pub async fn fresh(&self, node: &str) -> Result<Vec<String>> {
        let mut ids = tips(node).await?;
        ids.extend(self.recent.iter().cloned());
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }
}

/// `recorded` (texts with 0x) with fresh ids in the places of stale ones, keeping what is wrong with the list.
pub fn replaced(recorded: &[String], fresh: &[String], rewrite: &Rewrite) -> Vec<String> {
    // Too many of them is what the case is about, not which.
    if recorded.len() > PARENTS_MAX || fresh.is_empty() {
        return recorded.to_vec();
    }
    let mut stale: Vec<String> =
        recorded.iter().filter(|id| is_stale(id, rewrite)).map(|id| id.to_lowercase()).collect();
    stale.sort_unstable();
    stale.dedup();
    let place = |id: &String| match stale.iter().position(|other| *other == id.to_lowercase()) {
        None => Some(rewrite.apply(id)),
        // A shorter list is as good, where the node knows fewer.
        Some(position) => fresh.get(position).map(|own| if is_upper(id) { upper(own) } else { own.clone() }),
    };
    let mut list: Vec<String> = recorded.iter().filter_map(place).collect();
    // Our ids fall in another order: the list must stay sorted, or unsorted, or with one id twice.
    let was_sorted = recorded.windows(2).all(|pair| pair[0] < pair[1]);
    list.sort_unstable();
    if !was_sorted {
        list.reverse();
    }
    list
}

/// A block of the recording that has no counterpart: 32 bytes that are not all the same.
fn is_stale(id: &str, rewrite: &Rewrite) -> bool {
    let Some(digits) = id.strip_prefix("0x") else { return false };
    digits.len() == 64
        && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
        && digits.as_bytes().chunks(2).any(|pair| pair != &digits.as_bytes()[..2])
        && !rewrite.knows(&digits.to_lowercase())
}

fn is_upper(id: &str) -> bool {
    id[2..].bytes().any(|digit| digit.is_ascii_uppercase())
}

fn upper(id: &str) -> String {
    format!("0x{}", id[2..].to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digits: &str) -> String {
        format!("0x{}", digits.repeat(32))
    }

    fn ids(digits: &[&str]) -> Vec<String> {
        // Not all bytes the same: those are the recorder's inventions.
        digits.iter().map(|digits| format!("0x{digits}{}", "12".repeat(31))).collect()
    }

    #[test]
    fn stale_parents_are_replaced_and_what_is_wrong_stays_wrong() {
        let (rewrite, fresh) = (Rewrite::default(), ids(&["77", "88", "99"]));
        let replaced = |recorded: &[String]| replaced(recorded, &fresh, &rewrite);
        assert_eq!(replaced(&ids(&["01", "02"])), ids(&["77", "88"]), "sorted");
        assert_eq!(replaced(&ids(&["02", "01"])), ids(&["88", "77"]), "unsorted");
        assert_eq!(replaced(&ids(&["01", "01"])), ids(&["77", "77"]), "twice");
        assert_eq!(replaced(&[id("ab")]), [id("ab")], "unknown");
        assert_eq!(replaced(&["0xabcd".to_owned()]), ["0xabcd"], "short");
        assert_eq!(replaced(&ids(&["01", "02", "03", "04"])).len(), 3, "as many as there are");
        let nine: Vec<String> = (0..9).map(|n| ids(&[&format!("{n:02}")])[0].clone()).collect();
        assert_eq!(replaced(&nine), nine, "too many");
    }
}
