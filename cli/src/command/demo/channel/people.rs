//! Who takes part: the hub, Alice, Bob, Mallory, and Carol who only has an address.

use std::path::{Path, PathBuf};
use std::time::Instant;

use alloy_primitives::keccak256;
use tarefa_chain::Sender;
use tarefa_channel::contract::{Call, Owner};
use tarefa_channel::sign::Signer as _;
use tarefa_client::{Settings, rpc};

use super::{
    Address, Context as _, Duration, FEE, FulgurHub, GRACE, HUB, Key, ON_FEE, OPENING, PATIENCE, PURSE, Part, Request,
    Result, Rpc, Ui, Value, ask, bail, ensure, json, part_ready,
};

/// How often it is looked whether something has come about.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The most that the demo pays for gas, wei.
const CEILING: u128 = 200_000_000_000;

/// A client with its daemon.
pub struct Person {
    pub name: &'static str,
    pub address: Address,
    dir: PathBuf,
    rpc: rpc::Address,
    daemon: Option<Part>,
}

/// Everybody.
pub struct People {
    pub alice: Person,
    pub bob: Person,
    pub mallory: Person,
    pub carol: Address,
    pub treasury: Address,
    pub contract: Address,
    pub rpc: Rpc,
    node: String,
    hub_dir: PathBuf,
    hub_url: String,
    hub: Option<Part>,
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not valid UTF-8", path.display()))
}

impl Person {
    async fn begin(name: &'static str, base: &Path, hub: &str, node: &str) -> Result<Self> {
        let dir = base.join(name.to_lowercase());
        let data = path(&dir)?;
        let init = [
            "channel",
            "init",
            "--hub",
            hub,
            "--rpc",
            node,
            "--dev-money",
            PURSE,
            "--attach-above",
            "1eth",
            "--data-dir",
            data,
            "--json",
        ];
        let initialised = ask(name, &init).await?;
        let address = serde_json::from_value(initialised["address"].clone()).context("no address")?;
        let run = ["channel", "run", "--look", "200ms", "--data-dir", data, "--json"];
        let (daemon, _) = part_ready(Part::start(name, &run)?).await?;
        let rpc = rpc::Address::read(&dir)?;
        Ok(Self { name, address, dir, rpc, daemon: Some(daemon) })
    }

    /// Asks the daemon.
    pub async fn ask(&self, request: &Request) -> Result<Value> {
        self.rpc.ask(request).await.with_context(|| format!("{}: {request:?}", self.name))
    }

    /// Waits until its status is as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.ask(&Request::Status).await?;
            if wanted(&status) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{}: not in {} s: {what}; status: {status}", self.name, PATIENCE.as_secs());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What its transactions have cost, wei, and how many they were.
    pub async fn spent(&self) -> Result<(u128, usize)> {
        let history = self.ask(&Request::History).await?;
        let entries = history.as_array().context("no history")?;
        let mined = entries.iter().filter(|entry| entry["what"] == "mined");
        let costs = mined.map(|entry| entry["facts"]["wei"].as_str().unwrap_or_default().parse::<u128>());
        let costs: Vec<u128> = costs.collect::<Result<_, _>>().context("a cost")?;
        Ok((costs.iter().sum(), costs.len()))
    }
}

impl People {
    /// A new contract, its hub, and three clients.
    pub async fn begin(ui: &Ui, base: &Path, node: &str) -> Result<Self> {
        let hub_dir = base.join("hub");
        let (hub, fee, on_fee, opening) = (HUB.to_string(), FEE.to_string(), ON_FEE.to_string(), OPENING.to_string());
        let deploy = [
            "hub",
            "deploy",
            "--rpc",
            node,
            "--data-dir",
            path(&hub_dir)?,
            "--grace",
            GRACE,
            "--inclusion",
            "1",
            "--reorg",
            "1",
            "--token-life",
            "600",
            "--patience",
            "3",
            "--fee",
            &fee,
            "--on-fee",
            &on_fee,
            "--opening-fee",
            &opening,
            "--deposit",
            &hub,
            "--dev-money",
            "100eth",
            "--json",
        ];
        let mut part = Part::start("the hub's deployment", &deploy)?;
        let deployed = part.stage("deployed").await?;
        while part.line(PATIENCE).await?.is_some() {}
        part.ended().await?;
        let field = |name: &str| serde_json::from_value(deployed[name].clone()).with_context(|| format!("no {name}"));
        let (contract, treasury) = (field("contract")?, field("treasury")?);
        ui.stage("deployed", &format!("contract {contract}, grace period {GRACE} s"), deployed);
        let (hub, hub_url) = run_hub(&hub_dir, "127.0.0.1:0").await?;
        ui.stage("hub", &hub_url, json!({ "hub": hub_url }));
        let begin = |name| Person::begin(name, base, &hub_url, node);
        let (alice, bob, mallory) = (begin("Alice").await?, begin("Bob").await?, begin("Mallory").await?);
        let carol = Key::new(keccak256("Carol of the demo").0)?.address();
        let rpc = Rpc::connect(node).await?;
        let (node, hub) = (node.to_owned(), Some(hub));
        Ok(Self { alice, bob, mallory, carol, treasury, contract, rpc, node, hub_dir, hub_url, hub })
    }

    /// An on-chain balance, wei.
    pub async fn on_chain(&self, party: Address) -> Result<u128> {
        Ok(self.rpc.read(self.contract, &FulgurHub::balanceOfCall { party, asset: Address::ZERO }).await?)
    }

    /// Waits until something is so.
    pub async fn until<F: Future<Output = Result<bool>>>(&self, what: &str, wanted: impl Fn() -> F) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !wanted().await? {
            if Instant::now() > deadline {
                bail!("not in {} s: {what}", PATIENCE.as_secs());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Mallory's daemon is honest, so Mallory ends it and closes with the key alone, at the state that the contract knows: the first one.
    pub async fn mallory_cheats(&mut self) -> Result<()> {
        if let Some(daemon) = self.mallory.daemon.take() {
            daemon.kill().await?;
        }
        let key = Key::new(*Settings::secret(&self.mallory.dir)?)?;
        let mut sender = Sender::new(Rpc::connect(&self.node).await?, key, CEILING).await?;
        let owner = Owner { client: self.mallory.address, asset: Address::ZERO };
        sender.call(self.contract, &Call::Close { owner, signed: None }).await?;
        Ok(())
    }

    /// The hub is gone, without a word.
    pub async fn kill_hub(&mut self) -> Result<()> {
        self.hub.take().context("the hub is gone already")?.kill().await
    }

    /// It is back, where it was.
    pub async fn start_hub(&mut self) -> Result<()> {
        let listen = self.hub_url.trim_start_matches("http://").to_owned();
        let (hub, url) = run_hub(&self.hub_dir, &listen).await?;
        ensure!(url == self.hub_url, "the hub is at {url} now");
        self.hub = Some(hub);
        Ok(())
    }

    /// Ends everything.
    pub async fn stop(self) -> Result<()> {
        for daemon in [self.alice.daemon, self.bob.daemon, self.mallory.daemon, self.hub].into_iter().flatten() {
            daemon.stop().await?;
        }
        Ok(())
    }
}

async fn run_hub(dir: &Path, listen: &str) -> Result<(Part, String)> {
    let run = ["hub", "run", "--data-dir", path(dir)?, "--listen", listen, "--look", "200ms", "--json"];
    let (part, ready) = part_ready(Part::start("the hub", &run)?).await?;
    let url = ready["hub"].as_str().context("no URL")?.to_owned();
    Ok((part, url))
}
