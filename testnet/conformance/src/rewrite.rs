//! Recorded ids, keys, addresses and times, and what stands in their place on the network under test.

/// Replacements of texts; longer ones are tried first.
#[derive(Debug, Default)]
pub struct Rewrite {
    pairs: Vec<(String, String)>,
}

impl Rewrite {
    /// `recorded` becomes `own` everywhere.
    pub fn text(&mut self, recorded: &str, own: &str) {
        self.pairs.push((recorded.to_owned(), own.to_owned()));
        self.pairs.sort_by_key(|(recorded, _)| std::cmp::Reverse(recorded.len()));
    }

    /// Hex digits, however they are prefixed, in lower and in upper case.
    pub fn hex(&mut self, recorded: &str, own: &str) {
        let (recorded, own) = (recorded.trim_start_matches("0x"), own.trim_start_matches("0x"));
        self.text(recorded, own);
        self.text(&recorded.to_uppercase(), &own.to_uppercase());
    }

    /// A text with everything replaced. What was put in is not looked at again.
    pub fn apply(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        'next: while let Some(first) = rest.chars().next() {
            for (recorded, own) in &self.pairs {
                if let Some(after) = rest.strip_prefix(recorded.as_str()) {
                    out.push_str(own);
                    rest = after;
                    continue 'next;
                }
            }
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
        out
    }

    /// Whether a recorded text contains something that has a counterpart here.
    pub fn knows(&self, text: &str) -> bool {
        self.pairs.iter().any(|(recorded, _)| text.contains(recorded.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_match_wins_and_nothing_is_replaced_twice() {
        let mut rewrite = Rewrite::default();
        rewrite.text("ab", "abc");
        rewrite.text("abcd", "x");
        assert_eq!(rewrite.apply("ab abcd abab"), "abc x abcabc");
        rewrite.hex("0xbeef", "0xcafe");
        assert_eq!(rewrite.apply("0xbeef 0XBEEF"), "0xcafe 0XCAFE");
        assert!(rewrite.knows("0xbeef00") && !rewrite.knows("be"));
    }
}
