//! The guests that come with the binary, built from `tasks/` by `cargo xtask guests`.

/// Prefix of their names on the command line.
pub const PREFIX: &str = "demo:";

/// Counts words of a file.
pub const WORDCOUNT: &[u8] = include_bytes!("../../tasks/prebuilt/wordcount.wasm");

/// A guest by its name.
pub fn by_name(name: &str) -> Option<&'static [u8]> {
    match name {
        "wordcount" => Some(WORDCOUNT),
        "primes" => Some(include_bytes!("../../tasks/prebuilt/primes.wasm")),
        "exit3" => Some(include_bytes!("../../tasks/prebuilt/exit3.wasm")),
        "spin" => Some(include_bytes!("../../tasks/prebuilt/spin.wasm")),
        _ => None,
    }
}
