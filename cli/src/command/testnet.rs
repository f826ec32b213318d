//! `tarefa testnet up`: the dev Tangle; `ctl`: its controls.

mod docker;
mod evm;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use iota_sdk::types::block::address::{Address, Ed25519Address, ToBech32Ext};
use serde_json::{Map, Value, json};
use tarefa_daemon::home::Home;
use tarefa_daemon::keys::{self, Keys};
use tarefa_protocol::Digest;
use tarefa_tangle::rest::Rest;
use tarefa_tangle::{NodeError, Tangle};
use tarefa_testnet::keys::NetworkKeys;
use tarefa_testnet::{Config, Node, faucet};
use zeroize::Zeroizing;

use crate::args::{TestnetCtl, TestnetPing, TestnetUp};
use crate::ui::Ui;
use crate::{party, signals};

pub use docker::down;

pub async fn up(args: TestnetUp) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    if args.docker {
        return docker::up(args.data_dir, args.prepare, &ui).await;
    }
    let (data_dir, _home) = if args.memory {
        (None, None)
    } else {
        let dir = match args.data_dir {
            Some(dir) => dir,
            None => party::default_dir("testnet")?,
        };
        let home = Home::lock(&dir)?;
        (Some(dir), Some(home))
    };
    let mut seed = [0u8; 32];
    match &args.seed {
        Some(text) => seed = Digest::of("tarefa/testnet-seed", &[text.as_bytes()]).0,
        None => getrandom::fill(&mut seed).expect("the operating system gives random bytes"),
    }
    let config = Config {
        listen: args.listen,
        faucet: args.faucet_listen,
        mqtt: args.mqtt_listen,
        interval: args.interval,
        data_dir: data_dir.clone(),
        seed,
        rich: Rich::of(&NetworkKeys::from_seed(&seed))?.addresses(args.rich),
        keep: args.keep,
    };
    if args.interval.as_millis() < 1_000 {
        ui.say("milestones come faster than once a second: their timestamps, whole seconds, repeat");
    }
    let running = tarefa_testnet::start(config).await?;
    let url = running.url();
    let mqtt = running.mqtt.map(|address| format!("mqtt://{address}"));
    let faucet = running.faucet.map_or_else(|| url.clone(), |address| format!("http://{address}"));
    let kept = data_dir.as_ref().map_or("in memory".to_owned(), |dir| dir.display().to_string());
    ui.stage(
        "ready",
        &format!("dev Tangle at {url}, a milestone every {} ms, kept {kept}", args.interval.as_millis()),
        json!({ "node": url, "faucet": faucet, "mqtt": mqtt, "interval_ms": args.interval.as_millis() as u64, "data_dir": data_dir }),
    );
    let evm = match args.evm_listen {
        Some(listen) => Some(evm::start(listen, args.evm_chain_id, args.evm_interval, &ui).await?),
        None => None,
    };
    // Of the network as it is stored: that may be an older one with a seed of its own.
    Rich::of(&running.node.keys)?.show(args.rich, &running.node, &ui);
    ui.say(&format!("        controls: tarefa testnet ctl --node {url} --help"));
    ui.say(&format!("            next: tarefa executor run --node {url}"));
    ui.say(&format!("            then: tarefa wallet faucet --node {url}"));
    ui.say(&format!("             and: tarefa run demo:primes --node {url} -- 1000000"));
    ui.done();
    signals::asked_to_stop().await;
    running.stop().await;
    if let Some(evm) = evm {
        evm.stop().await?;
    }
    Ok(0)
}

/// Whether a node answers and is healthy: for health checks where there is no curl.
pub async fn ping(args: TestnetPing) -> Result<u8> {
    let node = Rest::new(&args.node)?;
    let info = tokio::time::timeout(PING_MAX, node.info())
        .await
        .with_context(|| format!("{} does not answer", args.node))??;
    Ui::new(args.output.json).answer(&json!({ "confirmed": info.confirmed }), &format!("milestone {}", info.confirmed));
    Ok(0)
}

/// A node that is well answers within milliseconds.
const PING_MAX: Duration = Duration::from_secs(3);

/// The addresses that are rich from the start: the first of one mnemonic, as any wallet derives them.
struct Rich {
    mnemonic: Zeroizing<String>,
    keys: Keys,
}

impl Rich {
    fn of(network: &NetworkKeys) -> Result<Self> {
        let mnemonic = keys::new_mnemonic(&network.rich);
        let keys = Keys::from_mnemonic(&mnemonic, 0)?;
        Ok(Self { mnemonic, keys })
    }

    fn addresses(&self, count: u32) -> Vec<[u8; 32]> {
        (0..count).map(|index| self.keys.address(index)).collect()
    }

    /// Prints what they hold now. Whoever reads it owns it: it is worth nothing outside tests.
    fn show(&self, count: u32, node: &Node, ui: &Ui) {
        let lines: Vec<(String, u64)> = {
            let engine = node.engine();
            let hrp = *engine.params().bech32_hrp();
            let line = |address| {
                let address = Address::from(Ed25519Address::new(address));
                (address.to_bech32(hrp).to_string(), faucet::balance(&engine, &address))
            };
            self.addresses(count).into_iter().map(line).collect()
        };
        let held: Vec<Value> = lines.iter().map(|(to, amount)| json!({ "address": to, "amount": amount })).collect();
        if held.is_empty() {
            return;
        }
        let mut text = format!("keys from the mnemonic (tests only): {}", *self.mnemonic);
        for (address, amount) in &lines {
            text += &format!("\n            {address}  {}", crate::ui::money(*amount));
        }
        ui.stage("rich", &text, json!({ "mnemonic": *self.mnemonic, "addresses": held }));
    }
}

pub async fn ctl(args: TestnetCtl) -> Result<u8> {
    let mut wish = Map::new();
    let millis = |time: Duration| json!(time.as_millis() as u64);
    let mut set = |key: &str, value: Option<Value>| value.map(|value| wish.insert(key.to_owned(), value));
    set("milestones", args.milestones.map(Value::from));
    set("paused", (args.pause || args.resume).then_some(args.pause.into()));
    set("intervalMs", args.interval.map(millis));
    set("timeOffset", args.time_offset.map(Value::from));
    let faults = [
        ("drop", args.drop.map(Value::from)),
        ("delay", args.delay.map(Value::from)),
        ("delayMs", args.delay_for.map(millis)),
        ("orphan", args.orphan.map(Value::from)),
        ("tag", args.tag.map(Value::from)),
    ];
    let faults: Map<String, Value> =
        faults.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    set("snapshot", args.snapshot.then_some(true.into()));
    set("revert", args.revert.map(Value::from));
    set("prune", args.prune.map(Value::from));
    set("faults", (!faults.is_empty()).then_some(faults.into()));
    let wish = (!wish.is_empty()).then(|| Value::from(wish));
    let settings = match Rest::new(&args.node)?.control(wish.as_ref()).await {
        // Any other node than a dev Tangle answers 403, which says only that.
        Err(NodeError::Refused(text)) if text.starts_with("Forbidden") => {
            bail!("{} has no controls: is it a dev Tangle that listens on a loopback address?", args.node)
        }
        other => other?,
    };
    let text = format!(
        "milestone {} ({} pruned), one every {} ms{}, clock {:+} s, {} snapshots, to come: {}",
        settings["confirmed"],
        settings["pruned"],
        settings["intervalMs"],
        if settings["paused"] == true { " (paused)" } else { "" },
        settings["timeOffset"].as_i64().unwrap_or(0),
        settings["snapshots"],
        settings["faults"],
    );
    Ui::new(args.output.json).answer(&settings, &text);
    if settings["timeOffset"] != 0 {
        eprintln!("the ledger's clock differs from the system's: clients may refuse this node");
    }
    Ok(0)
}
