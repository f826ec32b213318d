//! `tarefa hub`: deploys a contract, and runs the hub behind it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use anyhow::{Context, Error, Result, bail, ensure};
use axum::serve::ListenerExt as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tarefa_chain::{Fate, Key, Outbox, OwnClock, Rpc, Sender, Sent, Watcher, deployment, http_client};
use tarefa_channel::sign::Signer as _;
use tarefa_channel::terms::Terms;
use tarefa_daemon::home::Home;
use tarefa_hub::store::Store;
use tarefa_hub::{Deployment, Hub, Monitor, Policy, http};
use zeroize::Zeroizing;

use crate::args::{HubDeploy, HubRun};
use crate::ui::Ui;
use crate::{party, signals};

pub mod treasury;

/// The files of a hub's directory.
const SETTINGS: &str = "hub.json";
const SIGNER: &str = "signer.key";
const TREASURY: &str = "treasury.key";
const STORE: &str = "hub.sqlite";

/// How long a transaction may take to be mined while somebody waits at the terminal.
const MINED_MAX: Duration = Duration::from_secs(300);
/// How often it is looked whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long requests may take to end.
const GOODBYE: Duration = Duration::from_secs(5);

/// What a hub's directory says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    rpc: String,
    gas_ceiling: u128,
    deployment: Deployment,
    policy: Policy,
}

fn home(dir: Option<PathBuf>) -> Result<PathBuf> {
    dir.map_or_else(|| party::default_dir("hub"), Ok)
}

/// The key in a file.
fn key(dir: &Path, name: &str) -> Result<Key> {
    let path = dir.join(name);
    let text = std::fs::read_to_string(&path).map(Zeroizing::new);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), bytes.as_mut_slice())
        .with_context(|| format!("{} is not a key: 64 digits in hex", path.display()))?;
    Ok(Key::new(*bytes)?)
}

/// The key in a file, made where there is none.
fn own_key(home: &Home, name: &str) -> Result<Key> {
    if !home.file(name).exists() {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice()).context("the operating system gives no random bytes")?;
        Key::new(*bytes)?;
        home.write_secret(name, Zeroizing::new(hex::encode(bytes.as_slice())).as_bytes())?;
    }
    key(home.path(), name)
}

/// Waits until a transaction is in a block; the contract that it made.
async fn mined(sender: &Sender, sent: &Sent, what: &str) -> Result<Option<Address>> {
    let wait = async {
        loop {
            match sender.fate(sent).await? {
                Fate::Waiting => tokio::time::sleep(LOOK_EVERY).await,
                Fate::Mined { created, .. } => return Ok(created),
                fate => bail!("{what} came to nothing: {fate:?}"),
            }
        }
    };
    tokio::time::timeout(MINED_MAX, wait)
        .await
        .with_context(|| format!("{what} is not mined in {} s", MINED_MAX.as_secs()))?
}

/// Test money of a development chain: they all know this method.
pub async fn dev_money(rpc: &str, account: Address, amount: u128) -> Result<()> {
    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "anvil_setBalance", "params": [account, U256::from(amount)] });
    let client = http_client([rpc]).build().context("no client for the chain's node")?;
    let answer = client.post(rpc).timeout(MINED_MAX).json(&body).send().await;
    let answer: serde_json::Value = answer.with_context(|| format!("{rpc} does not answer"))?.json().await?;
    ensure!(
        answer.get("error").is_none(),
        "{rpc} gives no test money (only development chains do): {}",
        answer["error"]["message"]
    );
    Ok(())
}

fn terms(args: &HubDeploy) -> Result<Terms> {
    let terms = Terms {
        grace: args.grace,
        inclusion: args.inclusion,
        reorg: args.reorg,
        max_token_life: args.token_life,
        patience: args.patience,
        live_tokens: args.live_tokens,
        fee: args.fee.0,
        on_fee: args.on_fee.0,
        dust: args.dust().map_err(Error::msg)?,
        unsettled: args.unsettled.0,
    };
    terms.check()?;
    Ok(terms)
}

pub async fn deploy(args: Box<HubDeploy>) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    let (terms, opening_fee) = (terms(&args)?, args.opening_fee().map_err(Error::msg)?);
    let home = Home::lock(&home(args.data_dir.clone())?)?;
    if home.file(SETTINGS).exists() {
        bail!(
            "{} has a contract already: `tarefa hub run` runs it, another --data-dir gets another one",
            home.path().display()
        );
    }
    let (treasury, signer) = (own_key(&home, TREASURY)?, own_key(&home, SIGNER)?);
    let rpc = Rpc::connect(&args.rpc).await?;
    if let Some(amount) = args.dev_money {
        dev_money(&args.rpc, treasury.address(), amount.0.0).await?;
    }
    let held = rpc.balance(treasury.address()).await?;
    ensure!(
        !held.is_zero(),
        "the treasury {} has no money on chain {}: send it some for the deployment",
        treasury.address(),
        rpc.chain_id()
    );
    let from = rpc.head().await?;
    let ceiling = args.gas_ceiling.0.0;
    let mut sender = Sender::new(rpc.clone(), treasury.clone(), ceiling).await?;
    let code =
        deployment(treasury.address(), signer.address(), terms.grace, terms.revocation_delay(), args.asset.clone());
    let sent = sender.deploy(code).await?;
    let contract = mined(&sender, &sent, "the deployment").await?.context("the chain made no contract")?;
    let policy = Policy { collateral: args.collateral.0, opening_fee };
    let deployment = Deployment { chain_id: rpc.chain_id(), contract, from, terms };
    let settings = Settings { rpc: args.rpc.clone(), gas_ceiling: ceiling, deployment, policy };
    home.write_secret(SETTINGS, &serde_json::to_vec_pretty(&settings)?)?;
    let text = format!(
        "contract {contract} on chain {}, treasury {}, signer {}",
        rpc.chain_id(),
        treasury.address(),
        signer.address()
    );
    let facts = json!({ "contract": contract, "chain_id": rpc.chain_id(), "treasury": treasury.address(), "signer": signer.address(), "block": from.number });
    ui.stage("deployed", &text, facts);
    let sent = sender.pay(signer.address(), U256::from(args.gas_money.0.0)).await?;
    mined(&sender, &sent, "the signer's gas money").await?;
    if !args.deposit.0.is_zero() {
        treasury::put_in(&mut sender, contract, Address::ZERO, args.deposit.0, &ui).await?;
    }
    ui.say(&format!("      next: tarefa hub run --data-dir {}", home.path().display()));
    let key = home.file(TREASURY);
    ui.say(&format!("     later: keep {} elsewhere; only `tarefa hub` by its other names needs it", key.display()));
    ui.done();
    Ok(0)
}

fn settings(dir: &Path) -> Result<Settings> {
    let path = dir.join(SETTINGS);
    let bytes =
        std::fs::read(&path).with_context(|| format!("no hub in {}: `tarefa hub deploy` makes one", dir.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} does not read", path.display()))
}

fn random() -> Result<B256> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("the operating system gives no random bytes")?;
    Ok(B256::new(bytes))
}

pub async fn run(args: HubRun) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    let dir = home(args.data_dir)?;
    let settings = settings(&dir)?;
    let Settings { deployment, policy, .. } = settings;
    // A store of its own is one hub's; replicas share theirs, and each has the directory's keys and terms.
    let (store, _home) = match &args.store {
        Some(address) => (Store::shared(address).await?, None),
        None => {
            let home = Home::lock(&dir)?;
            let file = home.file(STORE);
            let store = if args.without_sync { Store::open_without_sync(&file)? } else { Store::open(&file)? };
            (store, Some(home))
        }
    };
    let signer = key(&dir, SIGNER)?;
    let signing = signer.address();
    let rpc = Rpc::connect(&settings.rpc).await?;
    ensure!(
        rpc.chain_id() == deployment.chain_id,
        "{} is a node of chain {}, the contract is on {}",
        settings.rpc,
        rpc.chain_id(),
        deployment.chain_id
    );
    let terms = deployment.terms;
    let watcher = Watcher::new(rpc.clone(), deployment.contract, deployment.from, terms.reorg, OwnClock::system());
    let sender = Sender::new(rpc, signer.clone(), settings.gas_ceiling).await?;
    let outbox = Outbox::new(sender, deployment.contract, vec![]);
    let contract = deployment.contract;
    let hub = Hub::new(store, signer, deployment, policy, watcher.view.clone(), random()?.0).await?;
    let hub = Arc::new(hub);
    let mut monitor = Monitor::new(Arc::clone(&hub), watcher, outbox, random()?);
    monitor.look().await.context("the chain cannot be read")?;
    if hub.metrics().defences() == Some(0) {
        ui.say(&format!(
            "the signing key has not enough money for gas to enforce a channel at its worst: send {signing} more"
        ));
    }
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("the hub cannot listen on {}: choose another --listen", args.listen))?;
    let url = format!("http://{}", listener.local_addr()?);
    // A letter or a voucher is a small packet that nothing follows: the kernel would keep it back until the last one is acknowledged.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "packets of a connection may wait for each other");
        }
    });
    let rate = |number: u32| (number > 0).then_some(number);
    let limits = http::Limits { per_address: rate(args.rate_per_address), per_session: rate(args.rate_per_session) };
    let router = http::router(Arc::clone(&hub), limits).into_make_service_with_connect_info::<SocketAddr>();
    let watching = tokio::spawn(monitor.run(args.look));
    ui.stage("ready", &format!("hub of contract {contract} at {url}"), json!({ "hub": url, "contract": contract }));
    ui.done();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let until = async move {
        stopped.await.ok();
    };
    let served = tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(until).await });
    signals::asked_to_stop().await;
    stop.send(()).ok();
    watching.abort();
    // Streams and long polls stay open for as long as their clients like; nothing is lost with them.
    tokio::time::timeout(GOODBYE, served).await.ok();
    Ok(0)
}
