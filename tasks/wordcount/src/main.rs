//! Counts words: `wordcount FILE [TOP]` prints lines, words, bytes and the most frequent words.

use std::collections::HashMap;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(path) = args.next() else {
        eprintln!("usage: wordcount FILE [TOP]");
        return ExitCode::from(2);
    };
    let top: usize = args.next().and_then(|text| text.parse().ok()).unwrap_or(5);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("{path}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut counts: HashMap<&[u8], u64> = HashMap::new();
    let mut words = 0u64;
    for word in text.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty()) {
        *counts.entry(word).or_default() += 1;
        words += 1;
    }
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    println!("{lines} lines, {words} words, {} bytes", text.len());
    let mut ranked: Vec<_> = counts.into_iter().collect();
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    for (word, count) in ranked.into_iter().take(top) {
        println!("{count:8} {}", String::from_utf8_lossy(word));
    }
    ExitCode::SUCCESS
}
