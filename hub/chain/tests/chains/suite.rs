//! A channel's life through the adapters: every block followed, a reorganisation noticed, a refusal named.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, keccak256};
use serde_json::{Value, json};
use tarefa_chain::abi::FulgurHub;
use tarefa_chain::{
    Ended, Event, Failure, Fate, Key, LOG_RANGE, Outbox, OwnClock, Rpc, Sender, Sent, ViewError, WatchError, Watcher,
    deployment,
};
use tarefa_channel::chain::Chain as _;
use tarefa_channel::contract::{Call, Finalise, HubWord, Owner, Revert, Signed, Status};
use tarefa_channel::eip712::Domain;
use tarefa_channel::id::Digest;
use tarefa_channel::message::{Balances, Batch, ChannelOffer, Message as _, State};
use tarefa_channel::sign::{HubSignature, Signer as _};
use tarefa_channel::transition::Side;
use tarefa_channel::{Amount, ChannelId, Seq, Time};

use crate::faulty;
use crate::places::Place;

const GRACE: u64 = 100;
const DELAY: u64 = 10_000;
/// Seconds after which a block is final here.
pub const MARGIN: u64 = 60;
/// How long a chain that mines at once may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most that anybody here pays for each gas.
pub const CEILING: u128 = 100_000_000_000;
const ETHER: u128 = 1_000_000_000_000_000_000;

pub struct Town {
    pub rpc: Rpc,
    pub contract: Address,
    watcher: Watcher,
    clock: Arc<AtomicU64>,
    pub hub: Sender,
    alice: Sender,
    pub key: Key,
    signer: Key,
    domain: Domain,
}

fn key(name: &str) -> Key {
    Key::new(keccak256(format!("key of {name}")).0).expect("a hash is a key")
}

pub fn own(clock: &Arc<AtomicU64>) -> OwnClock {
    let clock = Arc::clone(clock);
    OwnClock::new(move || Time(clock.load(Ordering::Relaxed)))
}

async fn mined(sender: &Sender, sent: &Sent) -> Fate {
    let settled = async {
        loop {
            match sender.fate(sent).await.expect("a node") {
                Fate::Waiting => tokio::task::yield_now().await,
                fate => return fate,
            }
        }
    };
    let fate = tokio::time::timeout(PATIENCE, settled).await.expect("it is mined in time");
    assert!(matches!(fate, Fate::Mined { .. }), "{fate:?}");
    fate
}

impl Town {
    pub async fn new(place: &Place) -> Self {
        let rpc = Rpc::connect(&place.url).await.expect("a node");
        let (treasury, key, signer) = (key("treasury"), key("alice"), key("hub"));
        for address in [treasury.address(), key.address()] {
            place.fund(address, 1000 * ETHER).await;
        }
        let from = rpc.head().await.expect("a block");
        let code = deployment(treasury.address(), signer.address(), GRACE, DELAY, vec![]);
        let mut hub = Sender::new(rpc.clone(), treasury, CEILING).await.expect("a node");
        let sent = hub.deploy(code).await.expect("it deploys");
        let Fate::Mined { created: Some(contract), .. } = mined(&hub, &sent).await else { panic!("no contract") };
        let domain = Domain::new(rpc.chain_id(), contract);
        let clock = Arc::new(AtomicU64::new(0));
        let watcher = Watcher::new(rpc.clone(), contract, from, MARGIN, own(&clock));
        let alice = Sender::new(rpc.clone(), key.clone(), CEILING).await.expect("a node");
        Self { rpc, contract, watcher, clock, hub, alice, key, signer, domain }
    }

    pub fn owner(&self) -> Owner {
        Owner { client: self.key.address(), asset: Address::ZERO }
    }

    fn hub_signs(&self, digest: Digest) -> HubSignature {
        let root = Batch { root: digest.0 }.digest(&self.domain);
        HubSignature { signature: self.signer.sign(root), proof: vec![] }
    }

    async fn look(&mut self) -> tarefa_chain::News {
        let head = self.rpc.head().await.expect("a block");
        self.clock.store(head.time.0, Ordering::Relaxed);
        self.watcher.look().await.expect("nothing is wrong")
    }

    async fn alice_calls(&mut self, call: &Call) {
        let sent = self.alice.call(self.contract, call).await.expect("it goes through");
        mined(&self.alice, &sent).await;
    }

    pub async fn subscribe(&mut self, deposit: u128) {
        let head = self.rpc.head().await.expect("a block");
        let offer = ChannelOffer {
            client: self.key.address(),
            asset: Address::ZERO,
            epoch: self.watcher.view.row(self.owner()).epoch,
            hub_amount: Amount(500),
            opening_fee: Amount(21),
            valid_until: head.time.after(1000),
        };
        let hub = self.hub_signs(offer.digest(&self.domain));
        self.alice_calls(&Call::Subscribe { offer, hub, deposit: Amount(deposit) }).await;
    }

    fn channel(&self) -> ChannelId {
        let Owner { client, asset } = self.owner();
        let (chain_id, contract) = (self.rpc.chain_id(), self.contract);
        let epoch = self.watcher.view.row(self.owner()).epoch;
        tarefa_channel::id::ChannelKey { chain_id, contract, client, asset, epoch }.id()
    }

    fn state(&self, seq: u64, client: u128) -> Signed {
        let row = self.watcher.view.row(self.owner());
        let balances = Balances {
            client: Amount(client),
            hub: Amount(row.client_in.0 + row.hub_in.0 - client),
            client_in: row.client_in,
            hub_in: row.hub_in,
            ..Balances::default()
        };
        let seq = Seq::new(seq).expect("small");
        let state = State { channel: self.channel(), seq, last: false, balances, ops: vec![] };
        let digest = state.digest(&self.domain);
        Signed { client: self.key.sign(digest), hub: HubWord::State(self.hub_signs(digest)), state }
    }
}

pub async fn run(place: &Place) {
    let mut town = Town::new(place).await;
    let owner = town.owner();
    opens_and_is_followed(&mut town, owner).await;
    refusals_have_names(&mut town, owner).await;
    a_reorganisation_is_noticed(place, &mut town, owner).await;
    closes_and_ends(place, &mut town, owner).await;
    a_view_that_fell_behind_catches_up(&mut town, owner).await;
    a_deep_reorganisation_stops_everything(place, &mut town).await;
}

async fn opens_and_is_followed(town: &mut Town, owner: Owner) {
    let deposit = Call::HubDeposit { asset: Address::ZERO, amount: Amount(10_000) };
    let sent = town.hub.call(town.contract, &deposit).await.expect("it goes through");
    mined(&town.hub, &sent).await;
    town.subscribe(1000).await;
    let news = town.look().await;
    let events: Vec<&Event> = news.blocks.iter().flat_map(|(_, events)| events).collect();
    assert!(matches!(events[0], Event::SignerAnnounced { .. }), "{events:?}");
    assert!(matches!(events[events.len() - 1], Event::Subscribed { .. }), "{events:?}");
    let row = town.watcher.view.row(owner);
    assert_eq!((row.status, row.client_in, row.hub_in), (Status::Open, Amount(1000), Amount(500)));
    // Good news counts once it is final.
    assert_eq!(town.watcher.view.final_row(owner).status, Status::None);
    assert!(town.watcher.view.trusted(town.signer.address()));
    assert!(!town.watcher.view.trusted(town.key.address()));
    assert_eq!(town.watcher.view.owner(town.channel()), Some(owner));
    assert!(town.look().await.blocks.is_empty(), "nothing is told twice");
    let party = town.hub.address();
    let balance = town.rpc.read(town.contract, &FulgurHub::balanceOfCall { party, asset: Address::ZERO }).await;
    assert_eq!(balance.expect("an answer"), 10_000 - 500 + 21);
}

async fn refusals_have_names(town: &mut Town, owner: Owner) {
    let before = town.rpc.nonce(town.alice.address(), true).await.expect("a node");
    let finalise = Call::Finalise(Box::new(Finalise { owner, enforced: None, tokens: vec![] }));
    let fault = town.alice.call(town.contract, &finalise).await.expect_err("it is open");
    assert_eq!(fault.failure(), Some(&Failure::Contract(Revert::NotClosing)));
    let asset = Address::repeat_byte(7);
    let deposit = Call::HubDeposit { asset, amount: Amount(1) };
    let fault = town.alice.call(town.contract, &deposit).await.expect_err("no such asset");
    assert!(fault.to_string().contains("UnknownAsset"), "{fault}");
    let nowhere = FulgurHub::balanceOfCall { party: asset, asset };
    let fault = town.rpc.read(asset, &nowhere).await.expect_err("there is no contract");
    assert!(fault.to_string().contains("does not answer as a FulgurHub"), "{fault}");
    assert_eq!(town.rpc.nonce(town.alice.address(), true).await.expect("a node"), before, "nothing was sent");
    let fault = Rpc::connect("not an address").await.expect_err("no address");
    assert!(fault.to_string().contains("not an http address"), "{fault}");
}

async fn a_reorganisation_is_noticed(place: &Place, town: &mut Town, owner: Owner) {
    let snapshot = place.ask("evm_snapshot", json!([])).await;
    let deposit = Call::Deposit { owner, side: Side::Client, amount: Amount(7), from_balance: false };
    let sent = town.alice.call(town.contract, &deposit).await.expect("it goes through");
    mined(&town.alice, &sent).await;
    town.look().await;
    assert_eq!(town.watcher.view.row(owner).client_in, Amount(1007));
    place.ask("evm_revert", json!([snapshot])).await;
    // The chain goes on elsewhere, and further than it was.
    place.pass(1).await;
    place.pass(1).await;
    let news = town.look().await;
    assert!(news.replaced.is_some(), "{news:?}");
    assert_eq!(town.watcher.view.row(owner).client_in, Amount(1000));
    assert_eq!(town.alice.fate(&sent).await.expect("a node"), Fate::Waiting);
    // The same bytes still count there.
    town.alice.again(&sent).await.expect("the node takes them");
    place.ask("evm_mine", json!([])).await;
    mined(&town.alice, &sent).await;
    town.look().await;
    assert_eq!(town.watcher.view.row(owner).client_in, Amount(1007));
}

async fn closes_and_ends(place: &Place, town: &mut Town, owner: Owner) {
    let (old, new) = (town.state(1, 900), town.state(2, 300));
    town.alice_calls(&Call::Close { owner, signed: Some(old) }).await;
    let fault = town.alice.call(town.contract, &Call::Close { owner, signed: None }).await.expect_err("twice");
    assert_eq!(fault.failure(), Some(&Failure::Contract(Revert::NotOpen)));
    let argue = Call::Argue { owner, signed: new.clone() };
    let sent = town.hub.call(town.contract, &argue).await.expect("it goes through");
    mined(&town.hub, &sent).await;
    town.look().await;
    let row = town.watcher.view.row(owner);
    assert_eq!((row.status, row.seq, row.enforced), (Status::Closing, Seq::new(2).expect("2"), new.state.hash()));
    let enforced = town.watcher.view.enforced(owner);
    assert_eq!(enforced, Some(new.state.opening()), "the event shows all that the end needs");
    place.pass(GRACE).await;
    town.alice_calls(&Call::Finalise(Box::new(Finalise { owner, enforced, tokens: vec![] }))).await;
    town.look().await;
    let row = town.watcher.view.row(owner);
    assert_eq!((row.status, row.epoch), (Status::None, 1));
    town.alice_calls(&Call::Withdraw { asset: Address::ZERO, amount: Amount(300) }).await;
    place.pass(MARGIN).await;
    town.look().await;
    assert_eq!(town.watcher.view.final_row(owner), row, "by now it is final");
}

async fn a_view_that_fell_behind_catches_up(town: &mut Town, owner: Owner) {
    town.subscribe(2000).await;
    let from = town.rpc.block(0).await.expect("a node").expect("a first block");
    let clock = Arc::new(AtomicU64::new(0));
    let mut late = Watcher::new(town.rpc.clone(), town.contract, from, MARGIN, own(&clock));
    late.look().await.expect("nothing is wrong");
    town.look().await;
    assert_eq!(late.view.books(), town.watcher.view.books());
    assert_eq!(late.view.row(owner).client_in, Amount(2000));
    let head = town.rpc.head().await.expect("a block").time;
    for (now, fresh) in [(head, true), (head.after(60), true), (head.after(61), false), (head.before(61), false)] {
        clock.store(now.0, Ordering::Relaxed);
        assert_eq!(late.view.is_fresh(), fresh, "by its own clock, and without looking again");
    }
}

/// More blocks than one look reads, and in all of them nothing.
pub async fn catches_up_with_a_long_silence(place: &Place) {
    let mut town = Town::new(place).await;
    let deposit = Call::HubDeposit { asset: Address::ZERO, amount: Amount(10_000) };
    town.hub.call(town.contract, &deposit).await.expect("it goes through");
    town.subscribe(1000).await;
    place.silence(20 * LOG_RANGE);
    let from = town.rpc.block(0).await.expect("a node").expect("a first block");
    let mut late = Watcher::new(town.rpc.clone(), town.contract, from, MARGIN, own(&town.clock));
    let mut looks = 0;
    while late.look().await.expect("nothing is wrong").more {
        looks += 1;
        assert!(looks < 5, "it does not get beyond block {}", late.view.settled_head().number);
    }
    assert_eq!(late.view.head(), town.rpc.head().await.expect("a block"));
    assert_eq!(late.view.final_row(town.owner()).status, Status::Open);
    // From a node that shows less at once, too.
    let stingy = Rpc::connect(&faulty::stingy(place, 700).await).await.expect("a node");
    let mut slow = Watcher::new(stingy, town.contract, from, MARGIN, own(&town.clock));
    while slow.look().await.expect("nothing is wrong").more {}
    assert_eq!((slow.view.head(), slow.view.books()), (late.view.head(), late.view.books()));
}

async fn a_deep_reorganisation_stops_everything(place: &Place, town: &mut Town) {
    let snapshot = place.ask("evm_snapshot", json!([])).await;
    place.pass(MARGIN + 1).await;
    town.look().await;
    place.pass(MARGIN + 1).await;
    town.look().await;
    let known = town.watcher.view.clone();
    place.ask("evm_revert", json!([snapshot])).await;
    place.pass(1).await;
    let fault = town.watcher.look().await.expect_err("it shows fewer blocks");
    assert!(matches!(fault, WatchError::Behind { .. }), "{fault}");
    place.pass(MARGIN + 7).await;
    let fault = town.watcher.look().await.expect_err("final blocks were replaced");
    assert!(matches!(fault, WatchError::View(ViewError::Deep { .. })), "{fault}");
    assert_eq!(town.watcher.view.books(), known.books());
}

/// Of two calls that were prepared one was never sent and is not known any more, so the other waits for its number.
pub async fn fills_a_number_that_nobody_has(place: &Place) {
    let mut town = Town::new(place).await;
    let deposit = Call::HubDeposit { asset: Address::ZERO, amount: Amount(10_000) };
    town.hub.call(town.contract, &deposit).await.expect("it goes through");
    town.subscribe(1000).await;
    let giver = key("giver");
    place.fund(giver.address(), ETHER).await;
    let mut sender = Sender::new(town.rpc.clone(), giver.clone(), CEILING).await.expect("a node");
    let mut outbox = Outbox::new(sender, town.contract, vec![]);
    let call = |amount| Call::Deposit { owner: town.owner(), side: Side::Client, amount, from_balance: false };
    let lost = outbox.prepare(&call(Amount(1)), false).await.expect("it would go through");
    sender = Sender::new(town.rpc.clone(), giver.clone(), CEILING).await.expect("a node");
    sender.after(&lost.sent);
    let kept = Outbox::new(sender, town.contract, vec![]).prepare(&call(Amount(2)), false).await.expect("it would too");
    assert_eq!(kept.sent.nonce, lost.sent.nonce + 1);

    let sender = Sender::new(town.rpc.clone(), giver.clone(), CEILING).await.expect("a node");
    outbox = Outbox::new(sender, town.contract, vec![kept.clone()]);
    let begun = Instant::now();
    let mut ended = vec![];
    while !outbox.flights().is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{:?} are still on their way", outbox.flights());
        tokio::time::sleep(Duration::from_millis(20)).await;
        place.pass(1).await;
        let shown = town.rpc.head().await.expect("a block").number;
        ended.extend(outbox.look(shown, shown.saturating_sub(3)).await);
    }
    let calls = ended.iter().filter(|one| one.flight.call == kept.call).collect::<Vec<_>>();
    assert!(matches!(calls[..], [Ended { fate: Fate::Mined { .. }, .. }]), "{ended:?}");
    assert_eq!(ended.len(), 2, "and what fills the number");
    assert_eq!(town.rpc.nonce(giver.address(), true).await.expect("a node"), kept.sent.nonce + 1);
}

/// Only where transactions can wait.
pub async fn raises_the_price_of_what_waits(place: &Place) {
    let rpc = Rpc::connect(&place.url).await.expect("a node");
    let payer = key("payer");
    place.fund(payer.address(), ETHER).await;
    let code = deployment(payer.address(), payer.address(), GRACE, DELAY, vec![]);
    let mut sender = Sender::new(rpc.clone(), payer.clone(), CEILING).await.expect("a node");
    place.ask("evm_setAutomine", json!([false])).await;
    let mut sent = sender.deploy(code).await.expect("the node takes it");
    assert_eq!(sender.fate(&sent).await.expect("a node"), Fate::Waiting);
    sender.again(&sent).await.expect("it is known already");
    sender.raise(&mut sent).await.expect("the node takes the better one");
    assert_eq!(sent.hashes.len(), 2);
    place.ask("evm_mine", json!([])).await;
    mined(&sender, &sent).await;
    let waiting = place.ask("eth_getTransactionReceipt", json!([sent.hashes[0]])).await;
    assert_eq!(waiting, Value::Null, "one of the two was mined");
    let Fate::Mined { created: Some(contract), .. } = mined(&sender, &sent).await else { panic!("no contract") };
    // One behind another, in one block: the second could not be estimated before the first is mined.
    let first = Call::HubDeposit { asset: Address::ZERO, amount: Amount(5) };
    let second = Call::Transfer { to: Address::repeat_byte(9), asset: Address::ZERO, amount: Amount(5) };
    let first = sender.call(contract, &first).await.expect("the node takes it");
    assert!(sender.call(contract, &second).await.is_err(), "there is no balance yet");
    let second = sender.call_behind(contract, &second).await.expect("the node takes it");
    place.ask("evm_mine", json!([])).await;
    let (first_fate, second_fate) = (mined(&sender, &first).await, mined(&sender, &second).await);
    let block = |fate: &Fate| if let Fate::Mined { block, .. } = fate { *block } else { 0 };
    assert_eq!(block(&first_fate), block(&second_fate));
    // After a restart a kept transaction is known again, and a ceiling is one.
    let text = serde_json::to_string(&second).expect("it has a form");
    let kept: Sent = serde_json::from_str(&text).expect("its own form");
    assert_eq!(kept, second);
    let mut poor = Sender::new(rpc.clone(), payer, 200_000_000).await.expect("a node");
    poor.after(&kept);
    let deposit = Call::HubDeposit { asset: Address::ZERO, amount: Amount(1) };
    let mut waits = poor.call(contract, &deposit).await.expect("the node takes it");
    let mut fault = None;
    while fault.is_none() {
        fault = poor.raise(&mut waits).await.err();
    }
    let words = fault.expect("the ceiling").to_string();
    assert!(words.contains("is not mined at 200000000 wei"), "{words}");
    place.ask("evm_setAutomine", json!([true])).await;
}
