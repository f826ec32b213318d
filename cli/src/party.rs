//! A party's data directory: lock, keys, store.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tarefa_daemon::Store;
use tarefa_daemon::home::Home;
use tarefa_daemon::keys::{Keys, new_mnemonic};

const MNEMONIC: &str = "mnemonic";
const STORE: &str = "store.sqlite";
const ACCOUNT: &str = "account";
const ROLE: &str = "role";
/// BIP-44 accounts are hardened: 31 bits.
const ACCOUNT_MASK: u32 = 0x7fff_ffff;

/// An opened data directory.
pub struct Opened {
    /// Its lock.
    pub home: Home,
    /// Its store.
    pub store: Store,
    /// Its keys.
    pub keys: Keys,
    /// Whether the keys were made just now.
    pub is_new: bool,
}

/// The user's data directory for this role.
pub fn default_dir(role: &str) -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_DATA_HOME") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => match std::env::var_os("HOME") {
            Some(home) => PathBuf::from(home).join(".local/share"),
            None => bail!("neither XDG_DATA_HOME nor HOME is set: give --data-dir"),
        },
    };
    Ok(base.join("tarefa").join(role))
}

/// Opens the data directory of this role, with new keys if it has none.
pub fn open(dir: Option<&Path>, role: &str) -> Result<Opened> {
    let dir = match dir {
        Some(dir) => dir.to_owned(),
        None => default_dir(role)?,
    };
    open_with(&dir, role, None)
}

/// As [`open`]; a mnemonic may be given for a directory that has none.
pub fn open_with(dir: &Path, role: &str, mnemonic: Option<&str>) -> Result<Opened> {
    let home = Home::lock(dir)?;
    let path = home.file(MNEMONIC);
    let is_new = !path.exists();
    if is_new {
        match mnemonic {
            Some(words) => {
                Keys::from_mnemonic(words, 0)?;
                home.write_secret(MNEMONIC, words.trim().as_bytes())?;
            }
            None => home.write_secret(MNEMONIC, new_mnemonic(&random()).as_bytes())?,
        }
    } else if mnemonic.is_some() {
        bail!("{} has keys already: choose another --data-dir", dir.display());
    }
    let words = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let words = zeroize::Zeroizing::new(words);
    let mut store = Store::open(&home.file(STORE))?;
    let account = store.commit(|tx| {
        let stored: Option<u32> = tx.get(ACCOUNT)?;
        let account = stored.unwrap_or_else(|| u32::from_le_bytes(random()) & ACCOUNT_MASK);
        tx.set(ACCOUNT, &account)?;
        match tx.get::<String>(ROLE)? {
            Some(other) if other != role => Err(tarefa_daemon::StoreError::Rule(format!(
                "{} is the data directory of an {other}, not of a {role}: give --data-dir another directory",
                dir.display()
            ))),
            _ => {
                tx.set(ROLE, &role.to_owned())?;
                Ok(account)
            }
        }
    })?;
    let keys = Keys::from_mnemonic(&words, account)?;
    Ok(Opened { home, store, keys, is_new })
}

/// Opens the store of any role, to read.
pub fn open_to_read(dir: &Path) -> Result<(Home, Store)> {
    if !dir.join(STORE).exists() {
        bail!("{} is no data directory of tarefa", dir.display());
    }
    let home = Home::lock(dir)?;
    let store = Store::open(&home.file(STORE))?;
    Ok((home, store))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
