//! A party behind a node that does wrong, which is killed now and then, on a chain that is reorganised: each call is mined once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tarefa_chain::{Event, Flight, Outbox, Rpc, Sender, Watcher};
use tarefa_channel::Amount;
use tarefa_channel::chain::Chain as _;
use tarefa_channel::contract::Call;
use tarefa_channel::sign::Signer as _;
use tarefa_channel::transition::Side;

use crate::faulty;
use crate::places::Place;
use crate::suite::{CEILING, MARGIN, Town, own};

/// Deposits, each twice the one before: their sum says which there were.
const DEPOSITS: u32 = 16;

/// Before which of them the place remembers itself, and after which it goes back there.
const REORGANISED: (u32, u32) = (9, 13);

/// One of so many calls is stored, and then whoever would send it is killed.
const KILLED: u32 = 6;

/// Tries of anything: of five questions of one, each goes wrong one in seven times.
const TRIES: u32 = 400;

/// Looks until nothing is on its way: what a reorganisation has dropped is sent again one after the other, at most once a second each.
const LOOKS: u32 = 4000;

/// Between two tries, so that a bounded number of them takes a bounded time.
const REST: Duration = Duration::from_millis(20);

struct Party<'a> {
    town: &'a Town,
    url: String,
    outbox: Outbox,
    /// As the party's store has them.
    stored: Vec<Flight>,
    watcher: Watcher,
    clock: Arc<AtomicU64>,
}

/// Tries until it succeeds.
async fn insist<T, E: std::fmt::Display>(what: &str, mut try_it: impl AsyncFnMut() -> Result<T, E>) -> T {
    let mut last = None;
    for _ in 0..TRIES {
        match try_it().await {
            Ok(done) => return done,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(REST).await;
    }
    panic!("{what}: {}", last.expect("it was tried"))
}

async fn outbox(town: &Town, url: &str, stored: Vec<Flight>) -> Outbox {
    let sender = insist("a sender", async || {
        let rpc = Rpc::connect(url).await?;
        Sender::new(rpc, town.key.clone(), CEILING).await
    });
    Outbox::new(sender.await, town.contract, stored)
}

impl<'a> Party<'a> {
    async fn new(town: &'a Town, url: String) -> Self {
        let rpc = insist("a node", async || Rpc::connect(&url).await).await;
        let from = town.rpc.block(0).await.expect("a node").expect("a first block");
        let clock = Arc::new(AtomicU64::new(0));
        let watcher = Watcher::new(rpc, town.contract, from, MARGIN, own(&clock));
        let outbox = outbox(town, &url, vec![]).await;
        Self { town, url, outbox, stored: vec![], watcher, clock }
    }

    /// The process is killed, and another one goes on from its store.
    async fn killed(&mut self) {
        self.outbox = outbox(self.town, &self.url, self.stored.clone()).await;
    }

    /// As daemons do at each block. What the node does not say now, it says at the next look.
    async fn look(&mut self) {
        let head = self.town.rpc.head().await.expect("the place itself is sound");
        self.clock.store(head.time.0, Ordering::Relaxed);
        self.watcher.look().await.ok();
        let view = &self.watcher.view;
        self.outbox.look(view.head().number, view.settled_head().number).await;
        self.stored = self.outbox.flights();
    }

    /// Stores a call and sends it, again where the node has refused it.
    async fn sends(&mut self, call: &Call, is_killed: bool) {
        for _ in 0..TRIES {
            self.look().await;
            if let Ok(flight) = self.outbox.prepare(call, false).await {
                self.stored.push(flight.clone());
                if is_killed {
                    return self.killed().await;
                }
                let sent = self.outbox.submit(flight).await;
                self.stored = self.outbox.flights();
                if sent.is_ok() {
                    return;
                }
            }
            tokio::time::sleep(REST).await;
        }
        panic!("{} is never taken", call.function());
    }
}

pub async fn every_call_is_mined_once(place: &Place, seed: u64) {
    let mut town = Town::new(place).await;
    let deposit = Call::HubDeposit { asset: alloy_primitives::Address::ZERO, amount: Amount(10_000) };
    town.hub.call(town.contract, &deposit).await.expect("it goes through");
    town.subscribe(1000).await;
    let owner = town.owner();
    let before = town.rpc.nonce(town.key.address(), true).await.expect("a node");
    let mut party = Party::new(&town, faulty::before(place, seed).await).await;
    let mut snapshot = None;
    for number in 0..DEPOSITS {
        if number == REORGANISED.0 {
            snapshot = Some(place.ask("evm_snapshot", json!([])).await);
        }
        let call = Call::Deposit { owner, side: Side::Client, amount: Amount(1 << number), from_balance: false };
        party.sends(&call, number % KILLED == KILLED - 1).await;
        if number == REORGANISED.1 {
            place.ask("evm_revert", json!([snapshot.take()])).await;
            // Elsewhere, and further than it was.
            for _ in REORGANISED.0..=REORGANISED.1 + 1 {
                place.pass(1).await;
            }
        }
    }
    let mut looks = 0;
    while !party.stored.is_empty() {
        assert!(looks < LOOKS, "{} calls are still on their way", party.stored.len());
        looks += 1;
        place.pass(MARGIN / 4).await;
        party.look().await;
        tokio::time::sleep(REST).await;
    }
    let head = town.rpc.head().await.expect("a node");
    insist("the view", async || {
        party.look().await;
        if party.watcher.view.head() == head { Ok(()) } else { Err("is behind") }
    })
    .await;
    let sound = town.rpc.events(town.contract, 0, head.number).await.expect("a node");
    let all = sound.iter().flat_map(|(_, events)| events);
    let deposits = all.filter(|event| matches!(event, Event::Deposited { .. })).count();
    assert_eq!(deposits, DEPOSITS as usize, "each once");
    let all = u128::from(2_u32.pow(DEPOSITS) - 1);
    assert_eq!(party.watcher.view.row(owner).client_in, Amount(1000 + all));
    let after = town.rpc.nonce(town.key.address(), true).await.expect("a node");
    // More where the node has told a number of the branch that was left: the one below it was filled.
    assert!(after - before >= u64::from(DEPOSITS));
}
