//! `tarefa init`: keys of a party.

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::args::Init;
use crate::party;
use crate::ui::Ui;

pub fn run(args: &Init) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    let dir = match &args.data_dir {
        Some(dir) => dir.clone(),
        None => party::default_dir(&args.role)?,
    };
    let mnemonic = match &args.mnemonic_file {
        Some(path) => {
            let words = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Some(zeroize::Zeroizing::new(words))
        }
        None => None,
    };
    let opened = party::open_with(&dir, &args.role, mnemonic.as_deref().map(String::as_str))?;
    if !opened.is_new {
        bail!("{} has keys already; nothing was changed", dir.display());
    }
    let party = opened.keys.party_id();
    let text = format!(
        "party      {party}\ndirectory  {}\nmnemonic   {} (24 words, mode 0600: back it up, show it to nobody)",
        dir.display(),
        opened.home.file("mnemonic").display()
    );
    ui.answer(&json!({ "party": party, "role": args.role, "data_dir": dir }), &text);
    Ok(0)
}
