//! Encrypted backups: key, settings and store of a client in one file, opened by a passphrase.
//!
//! A backup is older than the channel it restores, and whoever goes on from an old state loses: so a restored client first asks the hub
//! where the channel stands, and signs nothing before (rule 14).

use std::path::Path;

use argon2::Argon2;
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::anchor::Anchor;
use crate::fault::ClientFault;
use crate::settings::{Settings, write_secret};
use crate::store::{Row, Store};

/// What a backup begins with: name and version. It is authenticated with the rest.
const HEAD: &[u8; 16] = b"tarefa-channel-1";

/// Bytes of salt and of nonce.
const SALT: usize = 16;
const NONCE: usize = 12;

/// The least length of a passphrase: below, its guessing is a matter of days whatever the derivation.
const PASSPHRASE: usize = 12;

#[derive(Serialize, Deserialize)]
struct Contents {
    settings: Settings,
    secret: [u8; 32],
    rows: Vec<Row>,
}

fn failed(words: impl std::fmt::Display) -> ClientFault {
    ClientFault::asked(format!("the backup: {words}"))
}

fn cipher(passphrase: &str, salt: &[u8]) -> Result<ChaCha20Poly1305, ClientFault> {
    if passphrase.len() < PASSPHRASE {
        return Err(failed(format!("its passphrase has fewer than {PASSPHRASE} characters")));
    }
    let mut key = Zeroizing::new([0; 32]);
    // Argon2id with the crate's defaults, which are OWASP's: 19 MiB, two passes.
    Argon2::default().hash_password_into(passphrase.as_bytes(), salt, key.as_mut_slice()).map_err(failed)?;
    Ok(ChaCha20Poly1305::new(&(*key).into()))
}

/// Makes a backup of a client's directory. Its daemon may run.
///
/// # Errors
/// Where something cannot be read, or the passphrase is short.
pub fn make(dir: &Path, passphrase: &str) -> Result<Vec<u8>, ClientFault> {
    let store = Store::open(&dir.join("channel.sqlite"))?;
    let rows = store.read(|tx| tx.all())?;
    let mut contents = Contents { settings: Settings::read(dir)?, secret: *Settings::secret(dir)?, rows };
    let plain = serde_json::to_vec(&contents).map(Zeroizing::new).map_err(failed);
    contents.secret.zeroize();
    let (mut salt, mut nonce) = ([0; SALT], [0; NONCE]);
    getrandom::fill(&mut salt).and_then(|()| getrandom::fill(&mut nonce)).map_err(failed)?;
    let payload = Payload { msg: &plain?, aad: HEAD };
    let sealed = cipher(passphrase, &salt)?.encrypt(&nonce.into(), payload).map_err(failed)?;
    Ok([HEAD.as_slice(), &salt, &nonce, &sealed].concat())
}

/// Restores a backup into a directory that has no channel. `anchor`: what was noted of the newest state since; a hub that shows less hides
/// something, and nothing is signed on what it shows.
///
/// # Errors
/// Where it is none, the passphrase is another, or the directory is in use.
pub fn restore(dir: &Path, backup: &[u8], passphrase: &str, anchor: Option<&Anchor>) -> Result<(), ClientFault> {
    let body = backup.strip_prefix(HEAD).filter(|body| body.len() > SALT + NONCE);
    let body = body.ok_or_else(|| failed("it is none of a channel, or of another version"))?;
    let (salt, body) = body.split_at(SALT);
    let (nonce, sealed) = body.split_first_chunk::<NONCE>().ok_or_else(|| failed("it is cut short"))?;
    let opened = cipher(passphrase, salt)?.decrypt(&(*nonce).into(), Payload { msg: sealed, aad: HEAD });
    let plain = Zeroizing::new(opened.map_err(|_| failed("the passphrase is another, or the file is damaged"))?);
    let mut contents: Contents = serde_json::from_slice(&plain).map_err(failed)?;
    let secret = Zeroizing::new(contents.secret);
    contents.secret.zeroize();
    let path = dir.join("channel.sqlite");
    if path.exists() {
        return Err(failed(format!("{} is there already: choose another directory", path.display())));
    }
    // The store with its marker first, the settings last, without which no daemon starts: one that began with an empty store, or with one that
    // has no marker, would sign numbers again.
    let new = dir.join("channel.sqlite.new");
    for left in ["", "-wal", "-shm"] {
        let left = dir.join(format!("channel.sqlite.new{left}"));
        if left.exists() {
            std::fs::remove_file(left).map_err(failed)?;
        }
    }
    let store = Store::open(&new)?;
    store.commit(|tx| {
        contents.rows.iter().try_for_each(|(table, key, body)| tx.put_back(table, key, body))?;
        anchor.map_or(Ok(()), |anchor| tx.set_anchor(anchor))?;
        tx.set_restoring(true)
    })?;
    drop(store);
    Settings::keep_secret(dir, &secret)?;
    std::fs::rename(&new, &path).map_err(failed)?;
    contents.settings.write(dir)
}

/// Writes a backup to a file, whole or not at all.
///
/// # Errors
/// Where it cannot be written.
pub fn write(path: &Path, backup: &[u8]) -> Result<(), ClientFault> {
    write_secret(path, backup)
}
