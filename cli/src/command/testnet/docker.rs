//! `tarefa testnet up --docker`: the official private Tangle in containers, with keys made here and kept beside it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ed25519_dalek::SigningKey;
use iota_sdk::types::block::address::{Address, Ed25519Address, ToBech32Ext};
use serde_json::json;
use tarefa_ledger::{address_of, network};
use tarefa_tangle::Tangle;
use tarefa_tangle::rest::Rest;
use tokio::process::Command;

use crate::args::TestnetDown;
use crate::party;
use crate::ui::Ui;

const COMPOSE: &str = include_str!("../../../../testnet/docker/official/docker-compose.yml");
const PARAMETERS: &str = include_str!("../../../../testnet/docker/official/protocol_parameters.json");

/// Name of the project: one network per machine, since its ports are fixed.
const PROJECT: &str = "tarefa-private-tangle";
const NODE: &str = "http://127.0.0.1:14265";
const FAUCET: &str = "http://127.0.0.1:8091";
/// Pulling five images may take minutes, a node some seconds.
const START_MAX: Duration = Duration::from_secs(900);
/// Time between two looks whether the node is there.
const EVERY: Duration = Duration::from_secs(1);
/// Says that the genesis was made: making it again fails.
const GENESIS: &str = "genesis-made";
/// Says that the coordinator has begun: beginning again fails.
const BEGUN: &str = "coordinator-begun";

fn directory(given: Option<PathBuf>) -> Result<PathBuf> {
    given.map_or_else(|| party::default_dir("private-tangle"), Ok)
}

/// Writes files and keys, and unless only that is wanted, starts the network in its order.
pub async fn up(given: Option<PathBuf>, only_prepare: bool, ui: &Ui) -> Result<u8> {
    let dir = directory(given)?;
    prepare(&dir)?;
    ui.stage("prepared", &format!("files and keys in {}", dir.display()), json!({ "data_dir": dir }));
    if only_prepare {
        return Ok(0);
    }
    if !dir.join(GENESIS).exists() {
        compose(&dir, &["--profile", "genesis", "run", "--rm", "genesis"], false).await?;
        fs::write(dir.join(GENESIS), "")?;
    }
    let is_new = !dir.join(BEGUN).exists();
    compose(&dir, &["up", "-d"], is_new).await?;
    ui.waiting("the node and its first milestone");
    wait_for(async |node| node.info().await.is_ok_and(|info| info.confirmed > 0)).await?;
    fs::write(dir.join(BEGUN), "")?;
    ui.waiting("its indexer");
    let lists = |routes: Vec<String>| routes.iter().any(|route| route == "indexer/v1");
    wait_for(async |node| node.routes().await.is_ok_and(lists)).await?;
    // Only now the faucet (hornet#1923), and a coordinator that does not start over when it is restarted.
    compose(&dir, &["--profile", "faucet", "up", "-d"], false).await?;
    let facts = json!({ "node": NODE, "faucet": FAUCET, "mqtt": "mqtt://127.0.0.1:1883", "data_dir": dir });
    ui.stage(
        "ready",
        &format!("private Tangle at {NODE}, faucet at {FAUCET}; stop it with tarefa testnet down"),
        facts,
    );
    ui.done();
    Ok(0)
}

/// Stops the network, and with `--volumes` forgets its ledger.
pub async fn down(args: TestnetDown) -> Result<u8> {
    let dir = directory(args.data_dir)?;
    ensure!(dir.join("docker-compose.yml").exists(), "no private Tangle was started from {}", dir.display());
    let mut command = vec!["--profile", "faucet", "down"];
    if args.volumes {
        command.push("--volumes");
    }
    compose(&dir, &command, false).await?;
    if args.volumes {
        // Absent if the network never came up.
        let _ = fs::remove_file(dir.join(GENESIS));
        let _ = fs::remove_file(dir.join(BEGUN));
    }
    Ok(0)
}

fn prepare(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("docker-compose.yml"), COMPOSE)?;
    fs::write(dir.join("protocol_parameters.json"), PARAMETERS)?;
    // Keys of an existing network stay: its genesis names them.
    let options = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.join(".env"));
    match options {
        Ok(mut file) => Ok(file.write_all(keys().as_bytes())?),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).context("the keys cannot be written"),
    }
}

/// New keys in the forms that the images read.
fn keys() -> String {
    let new = || {
        let mut seed = [0u8; 32];
        getrandom::fill(&mut seed).expect("the operating system gives random bytes");
        SigningKey::from_bytes(&seed)
    };
    let [first, second, faucet, one, two] = [new(), new(), new(), new(), new()];
    let pair = |key: &SigningKey| hex::encode(key.to_keypair_bytes());
    let public = |key: &SigningKey| hex::encode(key.verifying_key().to_bytes());
    let address = Address::from(Ed25519Address::new(address_of(&faucet.verifying_key().to_bytes())));
    let hrp = *network::private().bech32_hrp();
    let lines = [
        ("COO_PRV_KEYS", format!("{},{}", pair(&first), pair(&second))),
        ("COO_PUBLIC_1", public(&first)),
        ("COO_PUBLIC_2", public(&second)),
        ("FAUCET_PRV_KEY", pair(&faucet)),
        ("FAUCET_ADDRESS", address.to_bech32(hrp).to_string()),
        ("NODE_1_KEY", pair(&one)),
        ("NODE_1_ID", peer_id(&one)),
        ("NODE_2_KEY", pair(&two)),
        ("NODE_2_ID", peer_id(&two)),
    ];
    lines.map(|(name, value)| format!("{name}={value}\n")).concat()
}

/// The libp2p id of a node: base58 of an identity multihash over the protobuf of its Ed25519 public key.
fn peer_id(key: &SigningKey) -> String {
    const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
    bs58::encode([&PREFIX[..], &key.verifying_key().to_bytes()].concat()).into_string()
}

async fn compose(dir: &Path, arguments: &[&str], bootstrap: bool) -> Result<()> {
    // The plug-in of newer engines, else the program of older ones.
    let plugin =
        Command::new("docker").args(["compose", "version"]).output().await.is_ok_and(|out| out.status.success());
    let mut command = if plugin { Command::new("docker") } else { Command::new("docker-compose") };
    if plugin {
        command.arg("compose");
    }
    command.args(["-p", PROJECT]).args(arguments).current_dir(dir).env("COO_BOOTSTRAP", bootstrap.to_string());
    let status =
        command.status().await.context("neither `docker compose` nor docker-compose can be started: install Docker")?;
    ensure!(status.success(), "docker compose {} failed in {}", arguments.join(" "), dir.display());
    Ok(())
}

async fn wait_for(is_so: impl AsyncFn(&Rest) -> bool) -> Result<()> {
    let node = Rest::new(NODE)?;
    let begun = Instant::now();
    while begun.elapsed() < START_MAX {
        if is_so(&node).await {
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
    }
    bail!("the node did not get ready within {} s: look at `docker compose logs`", START_MAX.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_are_those_of_the_recorded_network() {
        let parameters: serde_json::Value = serde_json::from_str(PARAMETERS).expect("JSON");
        let ours = network::private();
        let rent = ours.rent_structure();
        assert_eq!(parameters["version"], ours.protocol_version());
        assert_eq!(parameters["networkName"], ours.network_name());
        assert_eq!(parameters["bech32HRP"], ours.bech32_hrp().to_string());
        assert_eq!(parameters["minPoWScore"], ours.min_pow_score());
        assert_eq!(parameters["belowMaxDepth"], ours.below_max_depth());
        assert_eq!(parameters["rentStructure"]["vByteCost"], rent.byte_cost());
        assert_eq!(parameters["rentStructure"]["vByteFactorData"], rent.byte_factor_data());
        assert_eq!(parameters["rentStructure"]["vByteFactorKey"], rent.byte_factor_key());
        assert_eq!(parameters["tokenSupply"], ours.token_supply().to_string());
        for option in ["--coordinator.interval=1s", "--faucet.amount=100000000000", "--faucet.smallAmount=10000000000"]
        {
            assert!(COMPOSE.contains(option), "{option}");
        }
    }

    #[test]
    fn every_variable_of_the_file_has_a_key() {
        let keys = keys();
        for part in COMPOSE.split("${").skip(1) {
            let name: String =
                part.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_' || c.is_ascii_digit()).collect();
            assert!(name == "COO_BOOTSTRAP" || keys.contains(&format!("{name}=")), "{name}");
        }
    }

    #[test]
    fn peer_ids_have_the_known_form() {
        // An Ed25519 key in an identity multihash always begins so, in 52 characters.
        let id = peer_id(&SigningKey::from_bytes(&[1; 32]));
        assert!(id.starts_with("12D3KooW") && id.len() == 52, "{id}");
    }
}
