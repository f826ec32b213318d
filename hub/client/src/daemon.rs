//! The daemon of one channel: everything that arrives (requests, answers, letters, words, blocks) goes through one loop, is decided by the
//! channel's machine, stored, and only then acted on.

mod chain;
mod choose;
mod letters;
mod linger;
mod orders;
mod propose;
mod request;
mod seat;
mod wait;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use serde_json::Value;
use tarefa_chain::{Fate, Key, Outbox, OwnClock, Rpc, Sender, View, Watcher};
use tarefa_channel::chain::Ctx;
use tarefa_channel::client::{Client, ClientError, Half};
use tarefa_channel::contract::Owner;
use tarefa_channel::eip712::Domain;
use tarefa_channel::message::OpKind;
use tarefa_channel::rules::Every;
use tarefa_channel::sign::{Signature, Signer as _};
use tarefa_channel::{Amount, Seq, StateHash, Time, TokenId};
use tarefa_hub::{Mailbox, Promise, Word};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

pub use request::Request;

use crate::anchor::Anchor;
use crate::fault::ClientFault;
use crate::keys::Keys;
use crate::link::{Link, LinkFault};
use crate::settings::Settings;
use crate::store::{Store, Tx};
use linger::Linger;
use orders::Ordered;
use request::Reply;
use seat::Seat;
use wait::Waiter;

/// Requests that wait for the loop: more than a person or a program of this machine has at once.
const WAITING: usize = 256;

/// What became of the last calls: enough for whoever waits for one.
const FATES: usize = 64;

/// Words on their way at a time: beyond, acknowledgements are dropped and asked for again.
const SPEAKING: usize = 16;

/// How fast the daemon goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How often it looks at the chain and at what is due.
    pub look: Duration,
    /// How long a request waits for what it has begun.
    pub wait: Duration,
    /// How long each message to or from the hub takes besides: for measuring.
    pub delay: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { look: Duration::from_millis(500), wait: Duration::from_secs(60), delay: Duration::ZERO }
    }
}

/// What a payment passes on its way, as the daemon of one side sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A state is proposed.
    Proposed,
    /// The hub has signed it.
    Signed,
    /// The payee counts on a token.
    Promised,
    /// The payer has a receipt.
    Paid,
}

/// Whoever asked.
type Tell = oneshot::Sender<Result<Value, ClientFault>>;

/// What arrives.
enum Input {
    Request(Request, Tell),
    /// The hub's answer to a proposal.
    Answer(StateHash, Result<tarefa_channel::hub::Answer, LinkFault>),
    Mailbox(Mailbox),
    Word(Word),
    /// The hub knows the channel.
    Seated,
    /// Where the channel stands, asked after a restore.
    Standing(Box<tarefa_hub::Standing>),
    /// What the hub says to somebody's request.
    Reply(Box<Reply>, Tell),
}

/// The way to a daemon.
#[derive(Clone, Debug)]
pub struct Door(mpsc::Sender<Input>);

impl Door {
    /// Asks for something and waits for what comes of it.
    ///
    /// # Errors
    /// Why not.
    pub async fn ask(&self, request: Request) -> Result<Value, ClientFault> {
        let (tell, told) = oneshot::channel();
        self.0.send(Input::Request(request, tell)).await.map_err(|_| ClientFault::Closed)?;
        told.await.unwrap_or(Err(ClientFault::Closed))
    }
}

/// The daemon of one channel.
pub struct Daemon {
    store: Store,
    secret: Zeroizing<[u8; 32]>,
    key: Arc<Keys>,
    settings: Settings,
    domain: Domain,
    pace: Pace,
    link: Link,
    watcher: Watcher,
    outbox: Outbox,
    /// What became of calls, the newest last.
    fates: VecDeque<(B256, Fate)>,
    client: Option<Client>,
    /// Before anything else is done the hub must say where the channel stands.
    restoring: bool,
    /// When it was asked last.
    asked_at: Option<Instant>,
    /// Tokens for invoices that nobody here knows are left alone until then: they may be of before a restore.
    lenient_until: Time,
    seat: Option<Seat>,
    /// The hub knows the channel: it has opened a session for it.
    seated: bool,
    /// The proposal on its way, by its signature.
    posting: Option<(Signature, JoinHandle<()>)>,
    orders: VecDeque<Ordered>,
    /// Orders of the proposal under way.
    ordered: Vec<Ordered>,
    /// When the last payment was made or arrived: what is left to settle waits a little for the next one to ride with.
    busy_at: Instant,
    /// What the next state waits for.
    linger: Linger,
    /// Nothing is wished for before: the hub has refused it just now.
    patient_until: Instant,
    /// The last state attached something: the next one takes the orders that wait.
    attached: bool,
    /// A payment was refused: the next state, be it empty, sees to it that it stays so.
    clears: bool,
    /// The chain was seen at the last look.
    sees: bool,
    /// Refusals in a row.
    refusals: u32,
    /// Words that may be on their way at a time.
    speaking: Arc<Semaphore>,
    waiters: Vec<Waiter>,
    acknowledged: BTreeMap<TokenId, Amount>,
    /// Tokens offered to a client that takes them only when told to.
    offered: BTreeMap<TokenId, Promise>,
    inbox: mpsc::Receiver<Input>,
    tell_loop: mpsc::Sender<Input>,
    steps: Option<mpsc::UnboundedSender<(Step, Instant)>>,
}

impl Daemon {
    /// The daemon of a data directory, and the way to it.
    ///
    /// # Errors
    /// Where the directory has no channel, the contract is not what was agreed to, or the node does not answer.
    pub async fn open(dir: &Path, pace: Pace) -> Result<(Self, Door), ClientFault> {
        let settings = Settings::read(dir)?;
        let secret = Settings::secret(dir)?;
        let store = Store::open(&dir.join("channel.sqlite"))?;
        Self::new(settings, secret, store, pace).await
    }

    /// The daemon over a store.
    ///
    /// # Errors
    /// As [`Daemon::open`].
    pub async fn new(
        settings: Settings,
        secret: Zeroizing<[u8; 32]>,
        store: Store,
        pace: Pace,
    ) -> Result<(Self, Door), ClientFault> {
        let key = Keys::new(*secret)?;
        let deployment = &settings.deployment;
        let rpc = Rpc::connect(&settings.rpc).await?;
        settings.check(&rpc).await?;
        let (contract, terms) = (deployment.contract, deployment.terms);
        let domain = Domain::new(deployment.chain_id, contract);
        let watcher = Watcher::new(rpc.clone(), contract, deployment.from, terms.reorg, OwnClock::system());
        let sender = Sender::new(rpc, Key::clone(&key), settings.gas_ceiling).await?;
        let (client, flights, restoring, lenient_until) =
            store.read(|tx| Ok((tx.channel()?, tx.flights()?, tx.is_restoring()?, tx.lenient_until()?)))?;
        let pays = |half: &Half| half.proposal.state.ops.iter().any(|op| op.kind == OpKind::Detach);
        let clears = client.as_ref().is_some_and(|client| client.refused.iter().any(pays));
        let outbox = Outbox::new(sender, contract, flights);
        let link = Link::new(&settings.hubs)?.delayed(pace.delay);
        let (tell_loop, inbox) = mpsc::channel(WAITING);
        let door = Door(tell_loop.clone());
        let now = Instant::now();
        let daemon = Self {
            store,
            secret,
            key: Arc::new(key),
            settings,
            domain,
            pace,
            link,
            watcher,
            outbox,
            fates: VecDeque::new(),
            client,
            restoring,
            asked_at: None,
            lenient_until,
            seat: None,
            seated: false,
            posting: None,
            orders: VecDeque::new(),
            ordered: vec![],
            busy_at: now,
            linger: Linger::default(),
            patient_until: now,
            attached: false,
            clears,
            sees: false,
            refusals: 0,
            speaking: Arc::new(Semaphore::new(SPEAKING)),
            waiters: vec![],
            acknowledged: BTreeMap::new(),
            offered: BTreeMap::new(),
            inbox,
            tell_loop,
            steps: None,
        };
        Ok((daemon, door))
    }

    /// Tells of each step from now on, at once and before it is flushed: for measuring.
    pub fn tell_steps(&mut self, steps: mpsc::UnboundedSender<(Step, Instant)>) {
        self.steps = Some(steps);
    }

    fn passed(&self, step: Step) {
        if let Some(steps) = &self.steps {
            // Whoever measures may have ended.
            steps.send((step, Instant::now())).ok();
        }
    }

    /// Who this is, in what.
    fn owner(&self) -> Owner {
        Owner { client: self.key.address(), asset: self.settings.asset }
    }

    fn view(&self) -> &View {
        &self.watcher.view
    }

    fn now(&self) -> Time {
        self.view().head().time
    }

    fn ctx(&self) -> Ctx<'_, View, Keys> {
        let terms = &self.settings.deployment.terms;
        Ctx { chain: self.view(), keys: &self.key, terms, domain: &self.domain, rules: Every }
    }

    /// The channel.
    fn channel(&self) -> Result<&Client, ClientFault> {
        self.client.as_ref().ok_or_else(|| ClientFault::asked("there is no channel yet: `subscribe` opens one"))
    }

    /// Changes the channel, and stores it with whatever else belongs to the change. Where the machine refuses or the store fails, nothing
    /// has changed.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Client, &Ctx<'_, View, Keys>) -> Result<T, ClientError>,
        also: impl FnOnce(&Tx<'_>, &Client) -> Result<(), ClientFault>,
    ) -> Result<T, ClientFault> {
        let before = self.channel()?;
        let mut client = before.clone();
        let done = change(&mut client, &self.ctx())?;
        self.store.commit(|tx| {
            tx.put_channel(&client)?;
            ended(tx, before, &client)?;
            also(tx, &client)
        })?;
        self.client = Some(client);
        Ok(done)
    }

    /// Runs until `stop` is done. What fails is told and tried again; only a store that fails ends it.
    ///
    /// # Errors
    /// The store's: nothing may be sent that is not stored.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), ClientFault> {
        tokio::pin!(stop);
        // Nobody is answered by a view that knows nothing yet.
        self.look().await?;
        let mut tick = tokio::time::interval(self.pace.look);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = tick.tick() => self.look().await?,
                () = self.linger.is_over() => {}
                input = self.inbox.recv() => if let Some(input) = input { self.take(input).await? },
            }
            self.push()?;
            self.settle_waiters();
        }
        if let Some((_, posting)) = &self.posting {
            posting.abort();
        }
        Ok(())
    }

    async fn take(&mut self, input: Input) -> Result<(), ClientFault> {
        // What these change and the state that is proposed because of it become durable together, before that is sent and anybody is told. Of a
        // refusal somebody is told at once.
        if matches!(input, Input::Answer(_, Ok(_)) | Input::Mailbox(_)) {
            self.store.hold();
        }
        let taken = match input {
            Input::Request(request, tell) => {
                self.serve(request, tell).await;
                return Ok(());
            }
            Input::Answer(state, answer) => self.answered(state, answer),
            Input::Seated => {
                self.seated = true;
                Ok(())
            }
            Input::Mailbox(mailbox) => self.letters(mailbox),
            Input::Word(word) => self.heard(&word),
            // Another replica may show what counts: one that has another key, say.
            Input::Standing(standing) => self.restored(&standing).inspect_err(|_| self.link.turn()),
            Input::Reply(reply, tell) => {
                self.replied(*reply, tell).await;
                return Ok(());
            }
        };
        match taken {
            Err(ClientFault::Store(error)) => Err(ClientFault::Store(error)),
            Err(fault) => {
                tracing::warn!(%fault, "the channel");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// The hub has said where the channel stands: the restore is over.
    fn restored(&mut self, standing: &tarefa_hub::Standing) -> Result<(), ClientFault> {
        if !self.restoring {
            return Ok(());
        }
        let facts = serde_json::json!({ "seq": standing.newest.as_ref().map_or(Seq::ZERO, |signed| signed.state.seq) });
        let now = self.now();
        let lenient = now.after(self.settings.deployment.terms.max_token_life);
        let noted = self.store.read(|tx| tx.anchor())?;
        self.change(
            |client, ctx| client.restored(standing.newest.as_ref(), standing.acknowledged, &standing.paying, ctx),
            |tx, client| {
                if let Some(noted) = noted.filter(|noted| !noted.is_reached_by(client)) {
                    let shown = Anchor::of(client).map_or_else(|| "none".to_owned(), |shown| shown.to_string());
                    return Err(ClientFault::asked(format!(
                        "the hub hides states: it shows {shown}, but {noted} was signed. Nothing is signed on that; `close` leaves the hub"
                    )));
                }
                tx.set_restoring(false)?;
                tx.set_lenient_until(lenient)?;
                tx.note(now, "restored", &facts)
            },
        )?;
        self.restoring = false;
        self.lenient_until = lenient;
        Ok(())
    }
}

/// Keeps what a newly doubly-signed state says of payments of which there is no receipt.
fn ended(tx: &Tx<'_>, before: &Client, client: &Client) -> Result<(), ClientFault> {
    let Some(newest) = client.newest.as_ref().filter(|newest| newest.seq > before.seq()) else { return Ok(()) };
    for op in &newest.ops {
        let token = TokenId(op.token);
        match op.kind {
            OpKind::Refund => tx.put_ended(token, Amount::ZERO)?,
            OpKind::Settle if tx.receipt(token)?.is_none() => tx.put_ended(token, op.amount)?,
            _ => {}
        }
    }
    Ok(())
}
