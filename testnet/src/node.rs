//! The node: ledger, log, coordinator, faucet and REST put together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::payload::Payload;
use tarefa_ledger::engine::{ApplyError, Engine, Genesis, Refusal};
use tarefa_ledger::{BlockId, network};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use crate::controls::{self, ControlError, Controls, Fate};
use crate::coordinator;
use crate::faucet::Faucet;
use crate::http::{self, Server};
use crate::keys::NetworkKeys;
use crate::log::{Kind, Log, LogError};
use crate::mqtt::{self, Feeds, Hub};

/// Shortest milestone interval: below it a slow machine spends its time on milestones.
pub const INTERVAL_MIN: Duration = Duration::from_millis(50);
/// Longest: real clients take a node without milestones for minutes as out of sync.
pub const INTERVAL_MAX: Duration = Duration::from_secs(120);

/// Settings of a dev Tangle.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where REST and faucet listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the faucet also listens alone, as it does in the official network.
    pub faucet: Option<SocketAddr>,
    /// Where the event API also listens for plain TCP.
    pub mqtt: Option<SocketAddr>,
    /// Time between milestones.
    pub interval: Duration,
    /// Directory for the log; `None` keeps everything in memory.
    pub data_dir: Option<PathBuf>,
    /// Seed of the network's keys where a new network is made.
    pub seed: [u8; 32],
}

/// The node cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The log fails.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The stored ledger does not replay.
    #[error("the stored ledger does not replay at entry {entry}: {reason}. Use a new --data-dir")]
    Replay {
        /// Which entry.
        entry: usize,
        /// Why.
        reason: String,
    },
    /// No milestone can be made.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The address is taken.
    #[error("cannot listen on {address}: {reason}. Is another node running there? Try --listen 127.0.0.1:0")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        reason: std::io::Error,
    },
    /// A setting makes no sense.
    #[error(transparent)]
    Setting(#[from] ControlError),
    /// The system says no.
    #[error("the data directory: {0}")]
    Io(#[from] std::io::Error),
}

/// What the parts of the node share.
pub struct Node {
    engine: Mutex<Engine>,
    log: Log,
    /// Keys of the network.
    pub keys: NetworkKeys,
    /// The faucet's queue.
    pub faucet: Mutex<Faucet>,
    /// Newest milestone index, for those who wait for the next.
    pub milestones: watch::Sender<u32>,
    /// When this process began.
    pub started: Instant,
    /// Clients of the event API.
    pub hub: Hub,
    /// What they are told.
    pub feeds: Feeds,
    /// Held while a milestone is made.
    pub turn: Mutex<()>,
    /// What a test has asked for.
    pub controls: Controls,
    /// Whether the control API answers: on loopback addresses only.
    pub controllable: bool,
}

impl Node {
    /// A node before its first milestone that keeps nothing.
    pub fn in_memory(seed: [u8; 32]) -> Self {
        let keys = NetworkKeys::from_seed(&seed);
        let engine = Self::genesis(&keys);
        Self::with(Log::none(), keys, engine)
    }

    fn set_up(mut self, config: &Config) -> Self {
        self.controls = Controls::new(config.interval);
        self.controllable = config.listen.ip().is_loopback();
        self
    }

    fn replayed(log: Log, seed: [u8; 32], entries: Vec<(Kind, Vec<u8>)>) -> Result<Self, NodeError> {
        let keys = NetworkKeys::from_seed(&seed);
        let mut engine = Self::genesis(&keys);
        for (entry, (kind, bytes)) in entries.into_iter().enumerate() {
            replay(&mut engine, kind, &bytes).map_err(|reason| NodeError::Replay { entry, reason })?;
        }
        Ok(Self::with(log, keys, engine))
    }

    fn genesis(keys: &NetworkKeys) -> Engine {
        let genesis = [Genesis { address: keys.faucet_address(), amount: network::PRIVATE_SUPPLY }];
        Engine::new(network::private(), &genesis)
    }

    fn with(log: Log, keys: NetworkKeys, engine: Engine) -> Self {
        Self {
            milestones: watch::channel(engine.confirmed()).0,
            faucet: Mutex::new(Faucet::new(keys.faucet_address())),
            engine: Mutex::new(engine),
            log,
            keys,
            started: Instant::now(),
            hub: Hub::default(),
            feeds: Feeds::default(),
            turn: Mutex::default(),
            controls: Controls::new(INTERVAL_MIN),
            controllable: false,
        }
    }

    /// The ledger. No await may happen while the guard lives.
    pub fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The faucet. No await may happen while the guard lives.
    pub fn faucet(&self) -> MutexGuard<'_, Faucet> {
        self.faucet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a block; await the receiver before answering. The log has the ledger's order because both happen
    /// under one lock.
    pub fn submit(&self, raw: &[u8]) -> Result<(BlockId, oneshot::Receiver<()>), Refusal> {
        self.take(raw, false)
    }

    /// As [`Self::submit`], with the fate that a test has chosen for the next block.
    pub fn post(self: &Arc<Self>, raw: &[u8]) -> Result<(BlockId, oneshot::Receiver<()>), Refusal> {
        let later = match self.controls.fate() {
            Fate::Taken => return self.take(raw, false),
            Fate::Orphaned => return self.take(raw, true),
            Fate::Dropped => None,
            Fate::Delayed(time) => Some(time),
        };
        if let Some(time) = later {
            let (node, raw) = (self.clone(), raw.to_vec());
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                if let Err(error) = node.take(&raw, false) {
                    tracing::warn!(%error, "a delayed block was refused when its time came");
                }
            });
        }
        let id = BlockId::new(tarefa_ledger::blake2b(raw));
        Ok((id, Log::none().append(Kind::Block, raw)))
    }

    fn take(&self, raw: &[u8], orphan: bool) -> Result<(BlockId, oneshot::Receiver<()>), Refusal> {
        let mut engine = self.engine();
        let known = engine.block(&BlockId::new(tarefa_ledger::blake2b(raw))).is_some();
        let id = if orphan { engine.submit_orphan(raw)? } else { engine.submit(raw)? };
        if known {
            return Ok((id, Log::none().append(Kind::Block, raw)));
        }
        self.feeds.block(&self.hub, &engine, id);
        let kind = if orphan { Kind::Orphan } else { Kind::Block };
        Ok((id, self.log.append(kind, raw)))
    }

    /// Makes the next milestone and logs it with the blocks that tie its tips together.
    pub fn issue(&self, now: u32) -> Result<u32, ApplyError> {
        let mut engine = self.engine();
        let ties = engine.issue(now, &self.keys.coordinator)?;
        for id in ties {
            if let Some(block) = engine.block(&id) {
                // In order and in the same log as everything else; nobody waits for it.
                drop(self.log.append(Kind::Block, &block.raw));
            }
            self.feeds.block(&self.hub, &engine, id);
        }
        let index = engine.confirmed();
        if let Some(milestone) = engine.milestone(index) {
            drop(self.log.append(Kind::Milestone, &Payload::from(milestone.payload.clone()).pack_to_vec()));
            self.feeds.block(&self.hub, &engine, milestone.block);
        }
        self.feeds.milestone(&self.hub, &engine, index);
        drop(engine);
        self.milestones.send_replace(index);
        Ok(index)
    }
}

/// A node that runs until it is stopped.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where the faucet listens alone, if it does.
    pub faucet: Option<SocketAddr>,
    /// Where the event API listens for plain TCP, if it does.
    pub mqtt: Option<SocketAddr>,
    /// The node itself.
    pub node: Arc<Node>,
    stop: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Running {
    /// Base URL of REST and faucet.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops it and waits until it has stopped.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.node.hub.close_all();
        for task in self.tasks {
            // A part that panicked has said so already.
            let _ = task.await;
        }
    }
}

/// Starts a node and returns once it answers.
pub async fn start(config: Config) -> Result<Running, NodeError> {
    controls::check_interval(config.interval)?;
    let node = Arc::new(open(&config)?.set_up(&config));
    if node.engine().confirmed() == 0 {
        node.issue(coordinator::wall_clock())?;
    }
    let (listener, address) = bind(config.listen).await?;
    let (stop, stopped) = watch::channel(false);
    let mut tasks = vec![
        tokio::spawn(coordinator::run(node.clone(), stopped.clone())),
        tokio::spawn(http::serve(listener, node.clone(), Server::Node, stopped.clone())),
    ];
    let mut faucet = None;
    if let Some(wanted) = config.faucet {
        let (listener, address) = bind(wanted).await?;
        faucet = Some(address);
        tasks.push(tokio::spawn(http::serve(listener, node.clone(), Server::Faucet, stopped.clone())));
    }
    let mut mqtt = None;
    if let Some(wanted) = config.mqtt {
        let (listener, address) = bind(wanted).await?;
        mqtt = Some(address);
        tasks.push(tokio::spawn(mqtt::serve_tcp(listener, node.clone(), stopped)));
    }
    Ok(Running { address, faucet, mqtt, node, stop, tasks })
}

async fn bind(wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), NodeError> {
    let failed = |reason| NodeError::Listen { address: wanted, reason };
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn open(config: &Config) -> Result<Node, NodeError> {
    let Some(dir) = &config.data_dir else { return Ok(Node::in_memory(config.seed)) };
    std::fs::create_dir_all(dir)?;
    let opened = Log::open(&dir.join("ledger.sqlite"), config.seed)?;
    Node::replayed(opened.log, opened.seed, opened.entries)
}

fn replay(engine: &mut Engine, kind: Kind, bytes: &[u8]) -> Result<(), String> {
    match kind {
        Kind::Block => engine.submit(bytes).map(drop).map_err(|error| error.to_string()),
        Kind::Orphan => engine.submit_orphan(bytes).map(drop).map_err(|error| error.to_string()),
        Kind::Milestone => {
            let payload = Payload::unpack_verified(bytes, engine.params()).map_err(|error| format!("{error:?}"))?;
            let Payload::Milestone(milestone) = payload else { return Err("not a milestone".into()) };
            engine.apply(&milestone).map_err(|error| error.to_string())
        }
    }
}
