//! The demo's input: a text of about 2 MiB, the same every time, with counts known beforehand.

use std::fmt::Write;

/// Words of the text: about 2 MiB of them, dozens of blocks after compression.
const WORDS: u32 = 300_000;
const WORDS_PER_LINE: u32 = 12;

/// A text, and the first line that the word count must print for it.
pub fn make() -> (String, String) {
    let mut text = String::new();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut lines = 0;
    for n in 1..=WORDS {
        // xorshift: the words only have to be many and always the same.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let length = 3 + state % 7;
        for letter in 0..length {
            let offset = (state >> (8 + 5 * letter)) % 26;
            // 0 to 25 past `a` stays in the alphabet.
            text.push(char::from(b'a' + offset as u8));
        }
        if n % WORDS_PER_LINE == 0 {
            text.push('\n');
            lines += 1;
        } else {
            text.push(' ');
        }
    }
    let mut expected = String::new();
    // Writing to a string cannot fail.
    let _ = write!(expected, "{lines} lines, {WORDS} words, {} bytes", text.len());
    (text, expected)
}
