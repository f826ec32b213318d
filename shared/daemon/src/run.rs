//! The loop around a driver: poll, post, run effects, listen to the user. Decides nothing.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tarefa_ledger::milestone::Coordinator;
use tarefa_protocol::{LedgerId, LedgerSeconds, TaskId};
use tarefa_tangle::backoff::Backoff;
use tarefa_tangle::poller::{Cursor, Network, PollError, Poller};
use tarefa_tangle::poster::Chain;
use tarefa_tangle::{NodeError, Tangle};
use tokio::sync::{mpsc, watch};

use crate::driver::{Driver, Ledger, Post, PostKey, StoredCursor};
use crate::role::{Answer, Role, RunGuest};
use crate::store::{EventRow, StoreError};
use crate::{keys::Keys, store::Store};

/// Asked this often per milestone interval: a milestone is noticed after a twentieth of it on average.
const POLLS_PER_MILESTONE: u32 = 10;
/// Bounds of the polling pause; the first suits milestones of 50 ms, the second those of 10 s.
const POLL_FASTEST: Duration = Duration::from_millis(5);
const POLL_SLOWEST: Duration = Duration::from_millis(500);
/// A longer pause says nothing about the pace: the node was away.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Assumed interval before one was observed.
const FIRST_INTERVAL: Duration = Duration::from_millis(250);
/// Commands and answers that may wait for the driver; more senders wait themselves.
const QUEUE: usize = 256;

/// The loop cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The ledger has a gap, was reset, or does not prove.
    #[error(transparent)]
    Poll(#[from] PollError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node cannot be used.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The store belongs to another ledger.
    #[error(
        "this data directory belongs to ledger {stored}, the node serves {found}: point --node at the right \
         network, or use a new --data-dir"
    )]
    OtherLedger {
        /// In the store.
        stored: LedgerId,
        /// Of the node.
        found: LedgerId,
    },
    /// A new store needs milestone 1 once.
    #[error(
        "the node has pruned its milestones up to {pruned}, and milestone 1 names the ledger: point --node at one with \
         the whole history once; afterwards any node will do"
    )]
    NoOrigin {
        /// Newest pruned milestone.
        pruned: u32,
    },
}

/// Runs effects that happen once. An executor has a sandbox behind it; a submitter has nothing to run.
pub trait Perform: Send + Sync + 'static {
    /// Runs the guest to its end.
    fn run(&self, guest: RunGuest, submit: Vec<u8>) -> Pin<Box<dyn Future<Output = Answer> + Send>>;
    /// Ends the guest of this task.
    fn stop(&self, task: TaskId);
}

/// A party that runs nothing.
#[derive(Debug, Clone, Copy)]
pub struct Nothing;

impl Perform for Nothing {
    fn run(&self, _: RunGuest, _: Vec<u8>) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(async { Answer::Interrupted })
    }

    fn stop(&self, _: TaskId) {}
}

type Command<R> = Box<dyn FnOnce(&mut Driver<R>) + Send>;

/// Talks to a running loop.
pub struct Handle<R> {
    commands: mpsc::Sender<Command<R>>,
    shutdown: watch::Sender<bool>,
}

impl<R> Clone for Handle<R> {
    fn clone(&self) -> Self {
        Self { commands: self.commands.clone(), shutdown: self.shutdown.clone() }
    }
}

impl<R: Role> Handle<R> {
    /// Runs `wish` with the driver between two inputs. `None` if the loop has ended.
    pub async fn with<T: Send + 'static>(&self, wish: impl FnOnce(&mut Driver<R>) -> T + Send + 'static) -> Option<T> {
        let (send, receive) = tokio::sync::oneshot::channel();
        let command: Command<R> = Box::new(move |driver| {
            // The asker may have gone; its wish is carried out all the same.
            let _ = send.send(wish(driver));
        });
        self.commands.send(command).await.ok()?;
        receive.await.ok()
    }

    /// Asks the loop to end after what it is doing.
    pub fn stop(&self) {
        self.shutdown.send_replace(true);
    }
}

enum Happened {
    Posted { key: PostKey, done: bool },
    Answered(i64, TaskId, Answer),
}

/// A driver with its node.
pub struct Runner<T, R, P> {
    tangle: Arc<T>,
    driver: Driver<R>,
    poller: Poller<T>,
    perform: Arc<P>,
    commands: mpsc::Receiver<Command<R>>,
    happened: (mpsc::Sender<Happened>, mpsc::Receiver<Happened>),
    posts: Option<mpsc::UnboundedSender<Vec<Post>>>,
    events: mpsc::UnboundedSender<EventRow>,
    shutdown: watch::Receiver<bool>,
    caught_up: watch::Sender<bool>,
    interval: Duration,
    last_milestone: Option<Instant>,
}

/// What [`start`] gives besides the loop.
pub struct Started<T, R, P> {
    /// The loop; await [`Runner::run`].
    pub runner: Runner<T, R, P>,
    /// To talk to it.
    pub handle: Handle<R>,
    /// What happens, as it is committed.
    pub events: mpsc::UnboundedReceiver<EventRow>,
    /// Whether everything the node has confirmed is read.
    pub caught_up: watch::Receiver<bool>,
}

/// Which part of the ledger a new store reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartAt {
    /// So many milestones before the newest.
    pub back: u32,
    /// Go on after a gap of pruned milestones.
    pub accept_gap: bool,
}

const LEDGER: &str = "ledger";

/// Binds a store to the ledger it met first. Pins the coordinator's keys at that moment.
///
/// A bound store may meet a node that has pruned milestone 1: the pinned keys and the id of the last milestone read
/// still tell its ledger from any other.
fn bind(store: &mut Store, network: &Network) -> Result<(LedgerId, Coordinator), RunError> {
    let stored: Option<(LedgerId, Vec<[u8; 32]>)> = store.read(|tx| tx.get(LEDGER))?;
    match (stored, &network.origin) {
        (Some((stored, _)), Some((coordinator, first))) if stored != LedgerId::of(&coordinator.keys, first) => {
            Err(RunError::OtherLedger { stored, found: LedgerId::of(&coordinator.keys, first) })
        }
        (Some((stored, keys)), _) => Ok((stored, Coordinator { threshold: keys.len(), keys })),
        (None, Some((coordinator, first))) => {
            let found = LedgerId::of(&coordinator.keys, first);
            store.commit(|tx| tx.set(LEDGER, &(found, &coordinator.keys)))?;
            Ok((found, coordinator.clone()))
        }
        (None, None) => Err(RunError::NoOrigin { pruned: network.pruned }),
    }
}

/// Opens the driver on the network behind `tangle`.
pub async fn start<T: Tangle, R: Role, P: Perform>(
    tangle: Arc<T>,
    mut store: Store,
    role: R,
    keys: Keys,
    perform: P,
    at: StartAt,
) -> Result<Started<T, R, P>, RunError> {
    let network = tarefa_tangle::poller::meet(&*tangle).await?;
    let (id, coordinator) = bind(&mut store, &network)?;
    let params = network.params.clone();
    let next = network.confirmed.saturating_sub(at.back).max(network.pruned + 1).max(1);
    let first = StoredCursor { next, previous: None, born: network.confirmed, time: LedgerSeconds(0) };
    let entropy = Box::new(|| {
        let mut seed = [0u8; 32];
        getrandom::fill(&mut seed).expect("the operating system gives random bytes");
        seed
    });
    let driver = Driver::open(store, role, keys, Ledger { id, params: params.clone() }, first, entropy)?;
    let cursor = Cursor { next: driver.cursor().next, previous: driver.previous() };
    let mut poller = Poller::new(tangle.clone(), coordinator, params, cursor);
    if at.accept_gap && cursor.next <= network.pruned {
        tracing::warn!(
            from = cursor.next,
            to = network.pruned,
            "messages of pruned milestones are lost (--accept-gap)"
        );
        poller.skip_to(network.pruned + 1);
    }
    let (commands, commands_in) = mpsc::channel(QUEUE);
    let (events, events_in) = mpsc::unbounded_channel();
    let (shutdown, shutdown_in) = watch::channel(false);
    let (caught_up, caught_up_in) = watch::channel(false);
    let runner = Runner {
        tangle,
        driver,
        poller,
        perform: Arc::new(perform),
        commands: commands_in,
        happened: mpsc::channel(QUEUE),
        posts: None,
        events,
        shutdown: shutdown_in,
        caught_up,
        interval: FIRST_INTERVAL,
        last_milestone: None,
    };
    Ok(Started { runner, handle: Handle { commands, shutdown }, events: events_in, caught_up: caught_up_in })
}

impl<T: Tangle, R: Role, P: Perform> Runner<T, R, P> {
    /// Runs until asked to stop, or until something happens that needs a person.
    pub async fn run(mut self) -> Result<(), RunError> {
        let (posts, posts_in) = mpsc::unbounded_channel();
        self.posts = Some(posts);
        let poster = tokio::spawn(post_all(self.tangle.clone(), posts_in, self.happened.0.clone()));
        let result = self.turn().await;
        drop(self.posts.take());
        poster.abort();
        result
    }

    async fn turn(&mut self) -> Result<(), RunError> {
        let mut backoff = Backoff::default();
        // A point in time, not a pause: commands that keep coming must not put the next poll off.
        let mut next_poll = tokio::time::Instant::now();
        let mut shutdown = self.shutdown.clone();
        loop {
            self.carry_out()?;
            tokio::select! {
                () = until_set(&mut shutdown) => return Ok(()),
                Some(command) = self.commands.recv() => command(&mut self.driver),
                Some(happened) = self.happened.1.recv() => match happened {
                    Happened::Posted { key, done } => self.driver.posted(key, done),
                    Happened::Answered(id, task, answer) => self.driver.answer(id, task, answer)?,
                },
                () = tokio::time::sleep_until(next_poll) => match self.poll().await {
                    Ok(true) => {
                        backoff.succeeded();
                        next_poll = tokio::time::Instant::now();
                    }
                    Ok(false) => {
                        backoff.succeeded();
                        let pause = (self.interval / POLLS_PER_MILESTONE).clamp(POLL_FASTEST, POLL_SLOWEST);
                        next_poll = tokio::time::Instant::now() + pause;
                    }
                    Err(RunError::Poll(error)) if error.is_passing() => {
                        let pause = backoff.failed();
                        next_poll = tokio::time::Instant::now() + pause;
                        tracing::warn!(%error, wait_ms = pause.as_millis() as u64, "polling failed, trying again");
                    }
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// Reads the next milestone; `false` if there is none.
    async fn poll(&mut self) -> Result<bool, RunError> {
        let Some(confirmed) = self.poller.next().await? else {
            self.caught_up.send_if_modified(|caught_up| !std::mem::replace(caught_up, true));
            return Ok(false);
        };
        if self.poller.is_caught_up()
            && let Some(last) = self.last_milestone.replace(Instant::now())
        {
            self.interval = (self.interval * 3 + last.elapsed().min(INTERVAL_MAX)) / 4;
        }
        self.driver.milestone(&confirmed)?;
        Ok(!self.poller.is_caught_up())
    }

    fn carry_out(&mut self) -> Result<(), RunError> {
        // While reading up, what we posted before may yet turn out to be referenced.
        if self.poller.is_caught_up() {
            let posts = self.driver.take_posts()?;
            if !posts.is_empty()
                && let Some(sender) = &self.posts
            {
                // The poster lives as long as this loop.
                let _ = sender.send(posts);
            }
        }
        let due = self.driver.take_due();
        for event in due.events {
            // Nobody may be listening.
            let _ = self.events.send(event);
        }
        for task in due.stops {
            self.perform.stop(task);
        }
        for row in due.once {
            let guest: RunGuest = tarefa_protocol::codec::decode(&row.body).map_err(StoreError::from)?;
            let submit = self.driver.store().read(|tx| tx.blob(&guest.submit))?.unwrap_or_default();
            let (perform, sender) = (self.perform.clone(), self.happened.0.clone());
            tokio::spawn(async move {
                let answer = perform.run(guest, submit).await;
                // The loop may have ended: the next start reports an interruption.
                let _ = sender.send(Happened::Answered(row.id, row.task, answer)).await;
            });
        }
        Ok(())
    }
}

/// Posts what it is given: transactions first, the parts of messages as one chain in their order.
async fn post_all<T: Tangle>(
    tangle: Arc<T>,
    mut posts: mpsc::UnboundedReceiver<Vec<Post>>,
    said: mpsc::Sender<Happened>,
) {
    let mut backoff = Backoff::default();
    let mut chain = Chain::default();
    let mut waiting: VecDeque<Post> = VecDeque::new();
    let mut failed = false;
    loop {
        if waiting.is_empty() {
            chain = Chain::default();
            let Some(batch) = posts.recv().await else { return };
            waiting.extend(batch);
        }
        // A payment must not wait behind the parts of a large upload; one that the node refused just now must not keep
        // them waiting for ever.
        while let Ok(batch) = posts.try_recv() {
            let (money, parts) = batch.into_iter().partition::<Vec<_>, _>(Post::is_transaction);
            waiting.extend(parts);
            if failed {
                waiting.extend(money);
            } else {
                money.into_iter().rev().for_each(|post| waiting.push_front(post));
            }
        }
        let Some(post) = waiting.pop_front() else { continue };
        let result = chain.post(&*tangle, post.payload).await;
        failed = result.is_err();
        if said.send(Happened::Posted { key: post.key, done: result.is_ok() }).await.is_err() {
            return;
        }
        match result {
            Ok(_) => backoff.succeeded(),
            Err(error) => {
                tracing::warn!(%error, "a block was not posted, trying again");
                tokio::time::sleep(backoff.failed()).await;
            }
        }
    }
}

/// Resolves when the flag is set, or nobody is left to set it. The guard of the flag must not live across an await.
async fn until_set(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|set| *set).await;
}
