//! What the measurement needs: chain, hubs, clients with open channels.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, keccak256};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tarefa_chain::Key;
use tarefa_channel::contract::Owner;
use tarefa_channel::hub::HubChannel;
use tarefa_channel::sign::Signer as _;
use tarefa_channel::{Amount, ChannelId};
use tarefa_client::{ClientFault, Daemon, Door, Link, Pace, Request, Settings, Step, Store};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::report::Reading;
use super::steps::Told;
use crate::args::BenchHub;
use crate::command::demo::evm::Evm;
use crate::command::demo::part::Part;
use crate::command::hub::dev_money;

/// What a payment is worth, base units, and what the hub takes for it.
const VALUE: u128 = 1000;
const FEE: u128 = 1;
/// Test money of each account, wei.
const PURSE: u128 = 1_000_000_000_000_000_000;
/// How long an invoice of the measurement is good for, seconds.
const LIFETIME: u64 = 1800;
/// Seconds that payees have to take a token.
const TOKEN: u64 = 900;
/// Channels that are opened at once, invoices that are registered at once.
const AT_ONCE: usize = 16;
/// How long anything may take to come about.
const PATIENCE: Duration = Duration::from_secs(120);
/// Idle rows in one commit.
const ROWS: usize = 1000;

/// A client with its daemon in this process.
#[derive(Clone)]
pub struct Client {
    pub door: Door,
}

/// What a payer needs to pay.
#[derive(Clone)]
pub struct Invoice {
    payee: ChannelId,
    id: B256,
}

impl Invoice {
    /// The request that pays it.
    pub fn request(&self) -> Request {
        Request::DetachOffChainTokenOffChain {
            payee: self.payee,
            amount: Amount(VALUE),
            invoice: self.id,
            condition: B256::ZERO,
            metered: false,
            lifetime: TOKEN,
        }
    }
}

/// Everything.
pub struct Town {
    chain: Evm,
    hubs: Vec<(Part, String)>,
    pub payers: Vec<Client>,
    payees: Vec<Client>,
    /// Of the first payer and the first payee, where somebody profiles.
    pub told: Option<[Told; 2]>,
    deposit: u128,
    collateral: u128,
    _dir: tempfile::TempDir,
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not valid UTF-8", path.display()))
}

impl Town {
    pub async fn begin(args: &BenchHub) -> Result<Self> {
        let dir = tempfile::tempdir().context("no temporary directory")?;
        let (chain, node) = Evm::embedded().await?;
        let count = args.payees.unwrap_or(args.pairs).clamp(1, args.pairs);
        let each = (args.requests + args.serial + 100) as u128;
        let deposit = each * (VALUE + FEE);
        let collateral = each * VALUE * (args.pairs.div_ceil(count) as u128);
        let hub_dir = dir.path().join("hub");
        deploy(&node, &hub_dir, collateral).await?;
        idle(args, &hub_dir).await?;
        let mut hubs = vec![];
        for _ in 0..args.replicas {
            hubs.push(run_hub(args, &hub_dir).await?);
        }
        let urls: Vec<String> = hubs.iter().map(|(_, url)| url.clone()).collect();
        let (payers, paying) = clients(args, &node, &urls, dir.path(), "payer", args.pairs).await?;
        let (payees, earning) = clients(args, &node, &urls, dir.path(), "payee", count).await?;
        let told = args.profile.then_some([paying, earning]);
        let town = Self { chain, hubs, payers, payees, told, deposit, collateral, _dir: dir };
        town.open().await?;
        Ok(town)
    }

    /// Opens every channel.
    async fn open(&self) -> Result<()> {
        let payers = self.payers.iter().map(|payer| (payer, self.deposit, 0));
        let payees = self.payees.iter().map(|payee| (payee, 0, self.collateral));
        let mut opening = tokio::task::JoinSet::new();
        for (client, deposit, collateral) in payers.chain(payees) {
            let door = client.door.clone();
            let request =
                Request::Subscribe { deposit: Amount(deposit), collateral: Amount(collateral), max_fee: Amount(FEE) };
            opening.spawn(async move { door.ask(request).await });
            if opening.len() >= AT_ONCE {
                opening.join_next().await.context("one is opening")???;
            }
        }
        while let Some(opened) = opening.join_next().await {
            opened??;
        }
        Ok(())
    }

    /// Invoices for the payer at this place, registered with the hub.
    pub async fn invoices(&self, place: usize, count: usize) -> Result<Vec<Invoice>> {
        let payee = &self.payees[place % self.payees.len()];
        let mut asking = tokio::task::JoinSet::new();
        let mut all = vec![];
        let read = |asked: Value| -> Result<Invoice> {
            let payee = serde_json::from_value(asked["payee"].clone()).context("no payee")?;
            Ok(Invoice { payee: ChannelId(payee), id: serde_json::from_value(asked["invoice"].clone())? })
        };
        for _ in 0..count {
            let door = payee.door.clone();
            let request = Request::Invoice { cap: Amount(VALUE), lifetime: LIFETIME, conditional: false };
            asking.spawn(async move { door.ask(request).await });
            if asking.len() >= AT_ONCE {
                all.push(read(asking.join_next().await.context("one is asking")???)?);
            }
        }
        while let Some(asked) = asking.join_next().await {
            all.push(read(asked??)?);
        }
        Ok(all)
    }

    /// What the hubs have spent so far.
    pub async fn measure(&self) -> Result<Vec<Reading>> {
        let mut all = vec![];
        for (part, url) in &self.hubs {
            let process = part.id().context("a hub has ended")?;
            all.push(Reading::of(process, url).await?);
        }
        Ok(all)
    }

    /// One hub is gone, without a word; what it has spent is not counted.
    pub async fn kill_replica(&mut self) -> Result<()> {
        let (part, _) = self.hubs.remove(0);
        part.kill().await
    }

    /// Whether every unit is where it should be, once everything is settled.
    pub async fn conserved(&self, payments: usize) -> Result<bool> {
        let deadline = Instant::now() + PATIENCE;
        let paid = payments as u128;
        loop {
            let (payers, open) = shares(&self.payers).await?;
            let (payees, open_too) = shares(&self.payees).await?;
            if !open && !open_too {
                let (deposits, collateral) =
                    (self.deposit * self.payers.len() as u128, self.collateral * self.payees.len() as u128);
                // The hub gets value and fee from the payers, and gives the value to the payees.
                let from = payers == (deposits - paid * (VALUE + FEE), paid * (VALUE + FEE));
                let to = payees == (paid * VALUE, collateral - paid * VALUE);
                return Ok(from && to);
            }
            ensure!(Instant::now() < deadline, "not everything is settled in {} s", PATIENCE.as_secs());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub async fn stop(self) -> Result<()> {
        for (hub, _) in self.hubs {
            hub.stop().await?;
        }
        self.chain.stop().await
    }
}

/// What clients and hub have in these channels, and whether something is under way.
async fn shares(clients: &[Client]) -> Result<((u128, u128), bool)> {
    let (mut client, mut hub, mut open) = (0, 0, false);
    for one in clients {
        let status = one.door.ask(Request::Status).await?;
        let channel = &status["channel"];
        let amount = |name: &str| channel[name].as_str().unwrap_or_default().parse::<u128>().context("an amount");
        client += amount("client")?;
        hub += amount("hub")?;
        let none = |name: &str| channel[name].as_array().is_some_and(Vec::is_empty);
        open |= channel["underWay"] == true || !none("paying") || !none("earning");
    }
    Ok(((client, hub), open))
}

async fn deploy(node: &str, dir: &Path, collateral: u128) -> Result<()> {
    let collateral = collateral.to_string();
    let args = [
        "hub",
        "deploy",
        "--rpc",
        node,
        "--data-dir",
        text(dir)?,
        "--grace",
        "600",
        "--inclusion",
        "30",
        "--reorg",
        "1",
        "--token-life",
        "86400",
        "--patience",
        "30",
        "--fee",
        "1",
        "--on-fee",
        "1",
        "--gas-price",
        "0",
        "--dust",
        "1",
        "--opening-fee",
        "1",
        "--collateral",
        &collateral,
        "--unsettled",
        "1eth",
        "--deposit",
        "50eth",
        "--dev-money",
        "100eth",
        "--json",
    ];
    let mut part = Part::start("the hub's deployment", &args)?;
    while part.line(PATIENCE).await?.is_some() {}
    part.ended().await
}

/// Rows of channels that do nothing, in the store before the hub begins.
async fn idle(args: &BenchHub, dir: &Path) -> Result<()> {
    if args.channels == 0 {
        return Ok(());
    }
    let store = match &args.store {
        Some(address) => tarefa_hub::store::Store::shared(address).await?,
        None => tarefa_hub::store::Store::open(&dir.join("hub.sqlite"))?,
    };
    let places: Vec<usize> = (0..args.channels).collect();
    for few in places.chunks(ROWS) {
        let rows: Vec<HubChannel> = few
            .iter()
            .map(|place| {
                let id = keccak256(format!("idle channel {place}"));
                let owner = Owner { client: Address::from_word(id), asset: Address::ZERO };
                HubChannel::opened(owner, 0, ChannelId(id), Amount(1000), Amount(1000))
            })
            .collect();
        store
            .transact(move |book| {
                rows.iter().for_each(|row| book.put_channel(row));
                Ok(())
            })
            .await?;
    }
    // The last one to leave moves all of it from the log into the file: that is not part of any payment.
    drop(store);
    let log = dir.join("hub.sqlite-wal");
    let deadline = Instant::now() + PATIENCE;
    while log.exists() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn run_hub(args: &BenchHub, dir: &Path) -> Result<(Part, String)> {
    let mut run = vec!["hub", "run", "--data-dir", text(dir)?, "--listen", "127.0.0.1:0", "--json"];
    run.extend(["--rate-per-address", "0", "--rate-per-session", "0"]);
    if let Some(store) = &args.store {
        run.extend(["--store", store]);
    }
    if !args.durable {
        run.push("--without-sync");
    }
    let mut part = Part::start("the hub", &run)?;
    let url = part.stage("ready").await?["hub"].as_str().context("no URL")?.to_owned();
    Ok((part, url))
}

/// So many of them, and what the first one tells of its steps.
async fn clients(
    args: &BenchHub,
    node: &str,
    hubs: &[String],
    base: &Path,
    role: &str,
    count: usize,
) -> Result<(Vec<Client>, Told)> {
    let (tell, told) = unbounded_channel();
    let mut all = vec![];
    for place in 0..count {
        let steps = (place == 0 && args.profile).then(|| tell.clone());
        all.push(client(args, node, hubs, base, role, place, steps).await?);
    }
    Ok((all, Told::new(told)))
}

async fn client(
    args: &BenchHub,
    node: &str,
    hubs: &[String],
    base: &Path,
    role: &str,
    place: usize,
    steps: Option<UnboundedSender<(Step, Instant)>>,
) -> Result<Client> {
    let secret = Zeroizing::new(keccak256(format!("{role} {place} of a measurement")).0);
    dev_money(node, Key::new(*secret)?.address(), PURSE).await?;
    // Replicas share the clients.
    let mut hubs = hubs.to_vec();
    let turn = place % hubs.len();
    hubs.rotate_left(turn);
    let deployment = Link::new(&hubs)?.terms().await?;
    let settings = Settings {
        hubs,
        rpc: node.to_owned(),
        asset: Address::ZERO,
        deployment,
        attach_above: Amount(u128::MAX),
        gas_ceiling: 100_000_000_000,
        manual: false,
    };
    let path: PathBuf = base.join(format!("{role}-{place}.sqlite"));
    let store = if args.client_durable { Store::open(&path)? } else { Store::in_memory()? };
    // Far apart, so that the load is of payments and not of looks at the chain; once that is open.
    let pace = Pace {
        look: Duration::from_secs(2),
        wait: Duration::from_secs(60),
        delay: Duration::from_millis(args.delay_ms),
    };
    let door = start(format!("{role} {place}"), async move {
        let (mut daemon, door) = Daemon::new(settings, secret, store, pace).await?;
        if let Some(steps) = steps {
            daemon.tell_steps(steps);
        }
        Ok((daemon, door))
    });
    Ok(Client { door: door.await? })
}

/// A daemon in a thread of its own, as `tarefa channel run` has it in a process of its own; the way to it.
async fn start(
    name: String,
    opened: impl Future<Output = Result<(Daemon, Door), ClientFault>> + Send + 'static,
) -> Result<Door> {
    let (tell, told) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name(name.clone());
    let run = async move {
        let (daemon, door) = match opened.await {
            Ok(opened) => opened,
            Err(fault) => return drop(tell.send(Err(fault))),
        };
        tell.send(Ok(door)).ok();
        if let Err(fault) = daemon.run(std::future::pending()).await {
            tracing::error!(name, %fault, "a client of the measurement");
        }
    };
    thread.spawn(move || runtime.block_on(run))?;
    Ok(told.await.context("a client has ended")??)
}
