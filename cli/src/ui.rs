//! What the user sees: stages on stderr for people, or JSON lines on stdout for programs.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

/// Log lines go to stderr; RUST_LOG wins over `-v`.
pub fn start_logging(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let default = format!(
        "error,tarefa={level},tarefa_daemon={level},tarefa_executor={level},tarefa_tangle={level},tarefa_testnet={level}"
    );
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// How one command reports.
pub struct Ui {
    json: bool,
    bar: Option<ProgressBar>,
}

impl Ui {
    /// Reports as JSON lines, or for people.
    pub fn new(json: bool) -> Self {
        let bar = (!json && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { json, bar }
    }

    /// Whether programs read it.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Something is done. `facts` is an object; the stage's name is added to it.
    pub fn stage(&self, name: &str, text: &str, facts: Value) {
        if self.json {
            let mut line = json!({ "stage": name });
            if let (Some(line), Value::Object(facts)) = (line.as_object_mut(), facts) {
                line.extend(facts);
            }
            print_line(&line.to_string());
            return;
        }
        let line = format!("{name:>10}  {text}");
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }

    /// What is being waited for.
    pub fn waiting(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    /// A line for people only.
    pub fn say(&self, text: &str) {
        if self.json {
            return;
        }
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    /// The answer to a question: JSON, or lines on stdout.
    pub fn answer(&self, value: &Value, text: &str) {
        self.done();
        if self.json {
            print_line(&value.to_string());
        } else {
            print_line(text);
        }
    }

    /// Removes what moves.
    pub fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A closed pipe is the reader's choice, not an error.
pub fn print_line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Base units for people.
pub fn money(amount: u64) -> String {
    tarefa_protocol::BaseUnits(amount).to_string()
}

/// A long hex id, cut for people.
pub fn short(id: &impl ToString) -> String {
    let text = id.to_string();
    match text.get(..12) {
        Some(start) if text.len() > 16 => format!("{start}…"),
        _ => text,
    }
}
