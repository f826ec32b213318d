//! The node: ledger, log, coordinator, faucet and REST put together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::payload::Payload;
use tarefa_ledger::engine::{ApplyError, Engine, Genesis, Mark, Refusal, RewindError, Taken};
use tarefa_ledger::{Block, BlockId, network};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::controls::{self, ControlError, Controls, Fate};
use crate::coordinator;
use crate::explorer::Offers;
use crate::faucet::Faucet;
use crate::http::{self, Server};
use crate::keys::NetworkKeys;
use crate::mqtt::{self, Feeds, Hub};
use crate::store::{Kind, Reader, Store, StoreError};

/// Shortest milestone interval: below it a slow machine spends its time on milestones.
pub const INTERVAL_MIN: Duration = Duration::from_millis(50);
/// Longest: real clients take a node without milestones for minutes as out of sync.
pub const INTERVAL_MAX: Duration = Duration::from_secs(120);

/// Milestones pruned under one lock.
const PRUNE_STEP: u32 = 2;
/// Parties whose offers the explorer remembers: more than a test network has.
const OFFERS_MAX: usize = 10_000;

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
    /// Directory for the ledger; `None` keeps everything in memory.
    pub data_dir: Option<PathBuf>,
    /// Seed of the network's keys where a new network is made.
    pub seed: [u8; 32],
    /// Addresses that hold [`RICH`] each from the start of a new network.
    pub rich: Vec<[u8; 32]>,
    /// Milestones that are kept; older ones are pruned by themselves. `None` keeps all.
    pub keep: Option<u32>,
}

/// Base units of an address that is rich from the start.
pub const RICH: u64 = 1_000_000_000_000;
/// Most of them.
pub const RICH_MAX: usize = 100;

impl Default for Config {
    /// A free loopback port, a milestone every second, in memory.
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 0).into(),
            faucet: None,
            mqtt: None,
            interval: Duration::from_secs(1),
            data_dir: None,
            seed: [0; 32],
            rich: vec![],
            keep: None,
        }
    }
}

/// The node cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The disk fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored ledger does not replay.
    #[error("the stored ledger does not replay at block {sequence}: {reason}. Use a new --data-dir")]
    Replay {
        /// Number of the block.
        sequence: u64,
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
    /// It is not possible to go back to there.
    #[error(transparent)]
    Rewind(#[from] RewindError),
    /// A setting makes no sense.
    #[error(transparent)]
    Setting(#[from] ControlError),
    /// The system says no.
    #[error("the data directory: {0}")]
    Io(#[from] std::io::Error),
}

/// A block that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The ledger refuses it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It cannot be kept.
    #[error("the database cannot be written")]
    Unkept,
}

/// What the parts of the node share.
pub struct Node {
    engine: Mutex<Engine>,
    store: Option<Arc<Store>>,
    /// A write failed: nothing more is taken.
    unwritable: AtomicBool,
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
    offers: Mutex<Offers>,
    /// Held while a milestone is made.
    pub turn: Mutex<()>,
    /// Whether this process has made a milestone: before, a payment of the faucet's may wait from another one.
    pub settled: AtomicBool,
    /// What a test has asked for.
    pub controls: Controls,
    keep_milestones: Option<u32>,
    /// Whether the control API answers: on loopback addresses only.
    pub controllable: bool,
}

impl Node {
    /// A node before its first milestone that keeps nothing.
    pub fn in_memory(seed: [u8; 32], rich: &[[u8; 32]]) -> Self {
        let keys = NetworkKeys::from_seed(&seed);
        let engine = Self::genesis(&keys, rich);
        Self::with(None, keys, engine)
    }

    fn set_up(mut self, config: &Config) -> Self {
        self.controls = Controls::new(config.interval);
        self.keep_milestones = config.keep;
        self.controllable = config.listen.ip().is_loopback();
        self
    }

    /// A node as its store has it.
    fn stored(store: Arc<Store>, config: &Config) -> Result<Self, NodeError> {
        let keys = NetworkKeys::from_seed(&store.seed(config.seed)?);
        let archive = Box::new(Reader(store.clone()));
        let mut engine = match store.checkpoint()? {
            Some(checkpoint) => Engine::restored(network::private(), archive, checkpoint, store.unspent()?.into_iter()),
            None => Self::genesis(&keys, &config.rich).with_archive(archive),
        };
        // A checkpoint whose milestone is gone would make a ledger without one.
        let confirmed = engine.confirmed();
        if confirmed > 0 && engine.milestone(confirmed).is_none() {
            return Err(StoreError::Damaged("its newest milestone").into());
        }
        let from = engine.next_sequence();
        store.replay(from, |sequence, kind, raw| {
            let expected = engine.next_sequence();
            let reason = match replay(&mut engine, kind, raw) {
                Ok(()) if expected == sequence => return Ok(()),
                Ok(()) => format!("block {expected} was expected"),
                Err(reason) => reason,
            };
            Err(NodeError::Replay { sequence, reason })
        })?;
        let node = Self::with(Some(store), keys, engine);
        node.archive()?;
        Ok(node)
    }

    fn genesis(keys: &NetworkKeys, rich: &[[u8; 32]]) -> Engine {
        let rich = &rich[..rich.len().min(RICH_MAX)];
        let left = network::PRIVATE_SUPPLY - RICH * rich.len() as u64;
        let mut genesis = vec![Genesis { address: keys.faucet_address(), amount: left }];
        genesis.extend(rich.iter().map(|address| Genesis { address: *address, amount: RICH }));
        Engine::new(network::private(), &genesis)
    }

    fn with(store: Option<Arc<Store>>, keys: NetworkKeys, engine: Engine) -> Self {
        Self {
            milestones: watch::channel(engine.confirmed()).0,
            faucet: Mutex::new(Faucet::new(keys.faucet_address())),
            engine: Mutex::new(engine),
            store,
            unwritable: AtomicBool::new(false),
            keys,
            started: Instant::now(),
            hub: Hub::default(),
            feeds: Feeds::default(),
            offers: Mutex::default(),
            turn: Mutex::default(),
            settled: AtomicBool::new(false),
            controls: Controls::new(INTERVAL_MIN),
            keep_milestones: None,
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

    /// Who has been seen to offer, for the explorer.
    pub(crate) fn offers(&self) -> Offers {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes who offers; past the limit, nobody new.
    pub(crate) fn learn(&self, offers: Offers) {
        if offers.len() <= OFFERS_MAX {
            *self.offers.lock().unwrap_or_else(PoisonError::into_inner) = offers;
        }
    }

    /// Takes a block. When this returns, it survives the end of the process.
    pub fn submit(&self, raw: &[u8]) -> Result<BlockId, PostError> {
        self.take(raw, Kind::Block)
    }

    /// As [`Self::submit`], with the fate that a test has chosen for the next block.
    pub fn post(self: &Arc<Self>, raw: &[u8]) -> Result<BlockId, PostError> {
        let later = match self.controls.fate(raw) {
            Fate::Taken => return self.take(raw, Kind::Block),
            Fate::Orphaned => return self.take(raw, Kind::Orphan),
            Fate::Dropped => None,
            Fate::Delayed(time) => Some(time),
        };
        if let Some(time) = later {
            let (node, raw) = (self.clone(), raw.to_vec());
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                if let Err(error) = node.take(&raw, Kind::Block) {
                    tracing::warn!(%error, "a delayed block was refused when its time came");
                }
            });
        }
        Ok(BlockId::new(tarefa_ledger::blake2b(raw)))
    }

    fn take(&self, raw: &[u8], kind: Kind) -> Result<BlockId, PostError> {
        if self.is_broken() {
            return Err(PostError::Unkept);
        }
        // One lock for both, so that the store has the ledger's order.
        let mut engine = self.engine();
        let Taken { id, new } = if kind == Kind::Orphan { engine.submit_orphan(raw)? } else { engine.submit(raw)? };
        if let Some(sequence) = new {
            self.keep(sequence, kind, raw).map_err(|_| PostError::Unkept)?;
            self.feeds.block(&self.hub, &engine, id);
        }
        Ok(id)
    }

    fn keep(&self, sequence: u64, kind: Kind, raw: &[u8]) -> Result<(), StoreError> {
        let Some(store) = &self.store else { return Ok(()) };
        store.append(sequence, kind, raw).inspect_err(|error| {
            tracing::error!(%error, "the node cannot write its ledger: nothing is taken or confirmed any more");
            self.unwritable.store(true, Ordering::Release);
        })
    }

    fn is_broken(&self) -> bool {
        self.unwritable.load(Ordering::Acquire) || self.store.as_ref().is_some_and(|store| store.is_broken())
    }

    /// Makes the next milestone and keeps it with the blocks that tie its tips together. Callers hold the turn.
    pub fn issue(&self, now: u32) -> Result<u32, NodeError> {
        self.sound()?;
        let index = {
            let mut engine = self.engine();
            let ties = engine.issue(now, &self.keys.coordinator)?;
            for id in ties {
                if let Some(block) = engine.block(&id) {
                    self.keep(block.meta.sequence, Kind::Block, &block.raw)?;
                }
                self.feeds.block(&self.hub, &engine, id);
            }
            let index = engine.confirmed();
            if let Some(milestone) = engine.milestone(index)
                && let Some(block) = engine.block(&milestone.block)
            {
                self.keep(block.meta.sequence, Kind::Milestone, &block.raw)?;
                self.feeds.block(&self.hub, &engine, milestone.block);
            }
            self.feeds.milestone(&self.hub, &engine, index);
            index
        };
        if let Some(keep) = self.keep_milestones {
            let mut engine = self.engine();
            // One more than comes, until it has caught up.
            let target = index.saturating_sub(keep).min(engine.pruned() + PRUNE_STEP);
            engine.prune(target);
        }
        self.archive()?;
        self.settled.store(true, Ordering::Release);
        self.milestones.send_replace(index);
        Ok(index)
    }

    /// Hands what changed to the store. Posts go on meanwhile.
    fn archive(&self) -> Result<(), StoreError> {
        let Some(store) = &self.store else { return Ok(()) };
        let changes = self.engine().take_changes();
        self.sound()?;
        store.commit(&changes).inspect_err(|_| self.unwritable.store(true, Ordering::Release))?;
        self.engine().archived(&changes);
        Ok(())
    }

    /// Goes back to an earlier state; the newest milestone then.
    pub fn rewind(&self, mark: Mark) -> Result<u32, NodeError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.sound()?;
        // Nothing may be posted between the step back and its commit: it would take a number that is still in use.
        let mut engine = self.engine();
        engine.rewind(mark)?;
        if let Some(store) = &self.store {
            let changes = engine.take_changes();
            // What could not be read must not be written as gone.
            self.sound()?;
            store.commit(&changes).inspect_err(|_| self.unwritable.store(true, Ordering::Release))?;
            engine.archived(&changes);
        }
        self.milestones.send_replace(mark.confirmed);
        Ok(engine.confirmed())
    }

    /// Forgets milestones up to this one; the newest one forgotten.
    pub fn prune(&self, target: u32) -> Result<u32, NodeError> {
        loop {
            // A few at a time: posts and milestones go on in between.
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            self.sound()?;
            let (before, pruned) = {
                let mut engine = self.engine();
                let before = engine.pruned();
                (before, engine.prune(target.min(before + PRUNE_STEP)))
            };
            self.archive()?;
            if pruned == before || pruned >= target {
                return Ok(pruned);
            }
        }
    }

    /// Refuses to go on where something could not be read or written.
    fn sound(&self) -> Result<(), StoreError> {
        if self.is_broken() { Err(StoreError::Damaged("it could not be read or written")) } else { Ok(()) }
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
    let Some(dir) = &config.data_dir else { return Ok(Node::in_memory(config.seed, &config.rich)) };
    std::fs::create_dir_all(dir)?;
    Node::stored(Store::open(dir)?, config)
}

fn replay(engine: &mut Engine, kind: Kind, raw: &[u8]) -> Result<(), String> {
    if kind != Kind::Milestone {
        return engine.replay(raw, kind == Kind::Orphan).map(drop).map_err(|error| error.to_string());
    }
    let block = Block::unpack_verified(raw, engine.params()).map_err(|error| format!("{error:?}"))?;
    let Some(Payload::Milestone(milestone)) = block.payload() else { return Err("not a milestone".into()) };
    engine.apply(milestone).map_err(|error| error.to_string())
}
