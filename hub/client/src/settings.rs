//! What a client's data directory says: its hub, its chain, its asset, and the terms it has agreed to.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use alloy_primitives::{Address, hex};
use serde::{Deserialize, Serialize};
use tarefa_chain::abi::FulgurHub;
use tarefa_chain::{Key, Rpc, Says, is_genuine};
use tarefa_channel::Amount;
use tarefa_hub::Deployment;
use zeroize::Zeroizing;

use crate::fault::ClientFault;

/// The file of the settings.
const SETTINGS: &str = "channel.json";
/// The file of the key, in hex.
const KEY: &str = "channel.key";

/// A client's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// The hub, by its replicas' addresses.
    pub hubs: Vec<String>,
    /// The chain's node.
    pub rpc: String,
    /// The asset of the channel; zero for the native one.
    pub asset: Address,
    /// Contract and terms, as they were when the client agreed to them.
    pub deployment: Deployment,
    /// What has been earned and not attached before it is attached: at least three times the gas of a redemption (rule 9).
    pub attach_above: Amount,
    /// The most that is paid for each gas, wei.
    pub gas_ceiling: u128,
    /// Attach and settle only when told to.
    pub manual: bool,
}

fn fault(path: &Path) -> impl Fn(std::io::Error) -> ClientFault + '_ {
    move |error| ClientFault::File { path: path.display().to_string(), why: error.to_string() }
}

/// Writes a file that only its owner reads, whole or not at all.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), ClientFault> {
    let new = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().map_err(fault(path))
}

impl Settings {
    /// Reads those of a data directory.
    ///
    /// # Errors
    /// Where there are none, or they do not read.
    pub fn read(dir: &Path) -> Result<Self, ClientFault> {
        let path = dir.join(SETTINGS);
        let bytes = std::fs::read(&path).map_err(fault(&path))?;
        let broken =
            |error: serde_json::Error| ClientFault::File { path: path.display().to_string(), why: error.to_string() };
        serde_json::from_slice(&bytes).map_err(broken)
    }

    /// Writes them.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), ClientFault> {
        let text = serde_json::to_vec_pretty(self).map_err(|error| ClientFault::asked(error.to_string()))?;
        write_secret(&dir.join(SETTINGS), &text)
    }

    /// The client's secret.
    ///
    /// # Errors
    /// Where there is none.
    pub fn secret(dir: &Path) -> Result<Zeroizing<[u8; 32]>, ClientFault> {
        let path = dir.join(KEY);
        let text = Zeroizing::new(std::fs::read_to_string(&path).map_err(fault(&path))?);
        let mut secret = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), secret.as_mut_slice())
            .map_err(|error| ClientFault::File { path: path.display().to_string(), why: error.to_string() })?;
        Ok(secret)
    }

    /// Keeps a secret, where there is none yet.
    ///
    /// # Errors
    /// Where there is one, it is no key, or the file cannot be written.
    pub fn keep_secret(dir: &Path, secret: &[u8; 32]) -> Result<Key, ClientFault> {
        let path = dir.join(KEY);
        if path.exists() {
            return Err(ClientFault::asked(format!(
                "{} is there already: choose another data directory",
                path.display()
            )));
        }
        let key = Key::new(*secret)?;
        write_secret(&path, Zeroizing::new(hex::encode(secret)).as_bytes())?;
        Ok(key)
    }

    /// Whether the contract is what the terms say.
    ///
    /// # Errors
    /// What differs, or the node's own.
    pub async fn check(&self, rpc: &Rpc) -> Result<(), ClientFault> {
        let Deployment { chain_id, contract, terms, .. } = &self.deployment;
        if rpc.chain_id() != *chain_id {
            let words = format!(
                "{} is a node of chain {}, the hub's contract is on chain {chain_id}",
                self.rpc,
                rpc.chain_id()
            );
            return Err(ClientFault::Asked(words));
        }
        // Taking less costs more than it brings, should it come to a redemption (1.21).
        if self.attach_above < terms.dust {
            let words = format!(
                "what has been earned is taken above {}, which is less than three redemptions cost, {}",
                self.attach_above, terms.dust
            );
            return Err(ClientFault::Asked(words));
        }
        terms.check().map_err(|error| ClientFault::asked(format!("the hub's terms are not safe: {error}")))?;
        let grace: u64 = rpc.read(*contract, &FulgurHub::GRACECall {}).await?.to();
        let delay: u64 = rpc.read(*contract, &FulgurHub::REVOCATION_DELAYCall {}).await?.to();
        let treasury = rpc.read(*contract, &FulgurHub::TREASURYCall {}).await?;
        let says = Says { chain_id: *chain_id, contract: *contract, treasury, grace, delay };
        if !is_genuine(&rpc.code(*contract).await?, &says) {
            let words = format!("{contract} is not the contract that this program knows: nothing is put into it");
            return Err(ClientFault::Asked(words));
        }
        if grace != terms.grace || delay < terms.revocation_delay() {
            let words = format!(
                "the contract {contract} has a grace period of {grace} s and a revocation delay of {delay} s; the hub says {} and at least {}",
                terms.grace,
                terms.revocation_delay()
            );
            return Err(ClientFault::Asked(words));
        }
        Ok(())
    }
}
