//! The payment rules, on a real ledger (`market.md`). Each rule that a wallet can break is a test with its name.

use std::collections::HashMap;

use ed25519_dalek::{Signer as _, SigningKey};
use iota_sdk::types::block::address::{Address, Ed25519Address};
use iota_sdk::types::block::output::feature::TagFeature;
use iota_sdk::types::block::output::unlock_condition::{AddressUnlockCondition, TimelockUnlockCondition};
use iota_sdk::types::block::output::{BasicOutputBuilder, InputsCommitment, Output};
use iota_sdk::types::block::payload::Payload;
use iota_sdk::types::block::payload::transaction::TransactionEssence;

use super::*;
use crate::engine::{Engine, Genesis};
use crate::{Block, address_of, confirmed};

const COIN: u64 = 10_000_000;

struct Keys;

fn key(index: u32) -> SigningKey {
    SigningKey::from_bytes(&crate::blake2b(&index.to_le_bytes()))
}

fn address(index: u32) -> [u8; 32] {
    address_of(&key(index).verifying_key().to_bytes())
}

impl Signer for Keys {
    fn sign(&self, index: u32, message: &[u8]) -> ([u8; 32], [u8; 64]) {
        (key(index).verifying_key().to_bytes(), key(index).sign(message).to_bytes())
    }
}

/// A wallet on a ledger of its own; genesis output n belongs to address n.
struct World {
    engine: Engine,
    wallet: Wallet,
    own: HashMap<[u8; 32], u32>,
    now: u32,
}

impl World {
    fn new(coins: u32) -> Self {
        let genesis: Vec<Genesis> = (0..coins).map(|n| Genesis { address: address(n), amount: COIN }).collect();
        let mut engine = Engine::new(network::private(), &genesis);
        engine.issue(1_000, &[key(1_000)]).expect("the first milestone");
        let mut wallet = Wallet::default();
        let mut own = HashMap::new();
        for n in 0..coins {
            let mut id = [0u8; 32];
            id[0] = n as u8;
            let id = OutputId::new(TransactionId::new(id), 0).expect("valid");
            let coin =
                Coin { index: n, address: address(n), amount: COIN, reserved: false, stranded: false, packed: None };
            wallet.coins.insert(OutputKey::from(&id), coin);
            own.insert(address(n), n);
        }
        Self { engine, wallet, own, now: 1_000 }
    }

    fn handle(&mut self, input: Input<'_>) -> Vec<Effect> {
        let known = self.own.clone();
        let own = &mut self.own;
        let mut fresh = || {
            let index = own.len() as u32;
            own.insert(address(index), index);
            (index, address(index))
        };
        let mut ctx = Ctx {
            params: &network::private(),
            now: self.now,
            margin: 40,
            signer: &Keys,
            fresh: &mut fresh,
            own: &|hash| known.get(hash).copied(),
        };
        self.wallet.handle(input, &mut ctx).expect("a valid step")
    }

    fn order(&mut self, name: &str, amount: u64) -> Vec<Effect> {
        let order = NewOrder { name: name.into(), to: [7; 32], amount, expires: Some(self.now + 1_000) };
        self.handle(Input::Order(order))
    }

    fn post(&mut self, payload: &[u8]) {
        let payload = Payload::unpack_verified(payload, self.engine.params()).expect("our own payload");
        let block = build::block(self.engine.tips(), Some(payload)).expect("valid");
        self.engine.submit(&block.pack_to_vec()).expect("accepted");
    }

    fn milestone(&mut self) -> Vec<Effect> {
        self.now += 1;
        self.engine.issue(self.now, &[key(1_000)]).expect("a milestone");
        let confirmed = self.newest();
        self.handle(Input::Confirmed(&confirmed))
    }

    fn newest(&self) -> Confirmed {
        let record = self.engine.milestone(self.engine.confirmed()).expect("there");
        let parse = |id: &crate::BlockId| {
            let block: Block =
                build::parse_block(&self.engine.block(id).expect("kept").raw, self.engine.params()).expect("valid");
            (*id, block)
        };
        let applied = record.created.iter().map(|id| *id.transaction_id()).collect();
        confirmed::prove(&record.payload, record.order.iter().map(parse).collect(), &applied).expect("proved")
    }

    fn received_by_7(&self) -> u64 {
        let ids: Vec<OutputId> = self.engine.plain_of(&[7; 32]).copied().collect();
        ids.iter().filter_map(|id| self.engine.output(id)).map(|record| record.output.amount()).sum()
    }
}

fn posted(effects: &[Effect]) -> Vec<u8> {
    effects
        .iter()
        .find_map(|effect| match effect {
            Effect::Post { payload, .. } => Some(payload.clone()),
            _ => None,
        })
        .expect("a transaction to post")
}

fn settled(effects: &[Effect]) -> Vec<&str> {
    effects
        .iter()
        .filter_map(|e| if let Effect::Settled { name, .. } = e { Some(name.as_str()) } else { None })
        .collect()
}

fn returned(effects: &[Effect]) -> Vec<&str> {
    effects.iter().filter_map(|e| if let Effect::Returned { name } = e { Some(name.as_str()) } else { None }).collect()
}

#[test]
fn an_order_is_paid_once_with_change_to_a_fresh_address() {
    let mut world = World::new(1);
    let payload = posted(&world.order("a", 1_000_000));
    world.post(&payload);
    let effects = world.milestone();
    assert_eq!(settled(&effects), ["a"]);
    assert_eq!(world.received_by_7(), 1_000_000);
    assert_eq!(world.wallet.balance().available, COIN - 1_000_000);
    assert_eq!(world.wallet.balance().stranded, 0, "change goes to an address that has not signed");
    assert_eq!(world.order("a", 1_000_000), [], "the same order again is the same order");
    assert_eq!(world.wallet.order_state("a"), Some(OrderState::Settled));
}

#[test]
fn a_conflicting_block_of_a_good_transaction_is_not_a_failure() {
    let mut world = World::new(1);
    let payload = posted(&world.order("a", 1_000_000));
    world.post(&payload);
    assert_eq!(settled(&world.milestone()), ["a"]);
    // The same transaction again, in another block: conflicting there, paid all the same.
    world.post(&payload);
    let effects = world.milestone();
    assert_eq!((settled(&effects), returned(&effects)), (vec![], vec![]));
    assert_eq!(world.wallet.order_state("a"), Some(OrderState::Settled));
    assert_eq!(world.received_by_7(), 1_000_000);
}

#[test]
fn a_stranger_reposts_the_first_transaction_after_a_replacement_was_made() {
    let mut world = World::new(1);
    let first = posted(&world.order("a", 1_000_000));
    let replacement = posted(&world.handle(Input::GiveUp("a".into())));
    // The stranger's block comes first: the payment wins, the replacement dies, nothing is paid twice.
    world.post(&first);
    world.post(&replacement);
    let effects = world.milestone();
    assert_eq!((settled(&effects), returned(&effects)), (vec!["a"], vec![]));
    assert_eq!(world.received_by_7(), 1_000_000);
    world.post(&replacement);
    assert_eq!(world.milestone(), []);
    assert_eq!(world.wallet.balance().total(), COIN - 1_000_000);
}

#[test]
fn a_replacement_that_wins_brings_the_money_back_whoever_reposts_the_first() {
    let mut world = World::new(1);
    let first = posted(&world.order("a", 1_000_000));
    let replacement = posted(&world.handle(Input::GiveUp("a".into())));
    world.post(&replacement);
    world.post(&first);
    let effects = world.milestone();
    assert_eq!((settled(&effects), returned(&effects)), (vec![], vec!["a"]));
    world.post(&first);
    world.milestone();
    assert_eq!(world.received_by_7(), 0);
    assert_eq!(world.wallet.balance().available, COIN);
}

#[test]
fn giving_up_one_order_of_a_transaction_keeps_the_others() {
    let mut world = World::new(1);
    let first = posted(&world.order("a", 1_000_000));
    // No coin is free: the second waits for the change, and both would ride together after a restart.
    assert_eq!(world.order("b", 2_000_000), []);
    world.post(&first);
    let effects = world.milestone();
    assert_eq!(settled(&effects), ["a"]);
    let second = posted(&effects);
    let replacement = posted(&world.handle(Input::GiveUp("b".into())));
    world.post(&second);
    world.post(&replacement);
    assert_eq!(settled(&world.milestone()), ["b"]);
    assert_eq!(world.received_by_7(), 3_000_000);
}

#[test]
fn an_encumbered_payment_counts_nothing() {
    let mut world = World::new(1);
    let owner = AddressUnlockCondition::new(Address::from(Ed25519Address::new(address(0))));
    let timelock = TimelockUnlockCondition::new(2_000_000_000).expect("valid");
    let supply = world.engine.params().token_supply();
    let locked = BasicOutputBuilder::new_with_amount(5_000_000)
        .add_unlock_condition(owner)
        .add_unlock_condition(timelock)
        .finish_output(supply)
        .expect("valid");
    let free = build::plain_output(address(0), 5_000_000, world.engine.params()).expect("valid");
    let noted = BasicOutputBuilder::new_with_amount(6_000_000)
        .add_unlock_condition(owner)
        .add_feature(TagFeature::new(b"invoice 7").expect("valid"))
        .finish_output(supply)
        .expect("valid");
    let mut confirmed = world.newest();
    let id = |n| OutputId::new(TransactionId::new([8; 32]), n).expect("valid");
    confirmed.created = vec![(id(0), locked), (id(1), free), (id(2), noted.clone())];
    let effects = world.handle(Input::Confirmed(&confirmed));
    let amounts: Vec<u64> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Received { amount, .. } => Some(*amount),
            _ => None,
        })
        .collect();
    assert_eq!(amounts, [5_000_000, 6_000_000], "whatever else it says, an address is its only unlock condition");
    assert_eq!(world.wallet.balance().total(), COIN + 11_000_000);
    let payload = posted(&world.order("all", COIN + 11_000_000));
    let payload = Payload::unpack_verified(payload, world.engine.params()).expect("our own payload");
    let Payload::Transaction(transaction) = payload else { panic!("{payload:?}") };
    let TransactionEssence::Regular(essence) = transaction.essence();
    let spent: Vec<Output> = essence
        .inputs()
        .iter()
        .map(|input| match input {
            iota_sdk::types::block::input::Input::Utxo(input) if *input.output_id() == id(2) => noted.clone(),
            iota_sdk::types::block::input::Input::Utxo(input) if *input.output_id() == id(1) => {
                build::plain_output(address(0), 5_000_000, world.engine.params()).expect("valid")
            }
            _ => build::plain_output(address(0), COIN, world.engine.params()).expect("valid"),
        })
        .collect();
    assert_eq!(essence.inputs_commitment(), &InputsCommitment::new(spent.iter()), "it can be spent as it is");
}

#[test]
fn what_was_received_for_an_open_quote_is_not_spent() {
    let mut world = World::new(2);
    world.handle(Input::Watch(1));
    assert_eq!(world.wallet.balance().held, COIN);
    let effects = world.order("a", COIN + 1_000_000);
    assert!(matches!(effects[..], [Effect::Insufficient { .. }]), "{effects:?}");
    posted(&world.handle(Input::Unwatch(1)));
}

#[test]
fn what_arrives_at_an_address_that_has_signed_is_stranded() {
    let mut world = World::new(1);
    let payload = posted(&world.order("a", 1_000_000));
    world.post(&payload);
    world.milestone();
    let late = build::plain_output(address(0), 4_000_000, world.engine.params()).expect("valid");
    let mut confirmed = world.newest();
    confirmed.included.clear();
    confirmed.consumed.clear();
    confirmed.created = vec![(OutputId::new(TransactionId::new([8; 32]), 0).expect("valid"), late)];
    world.handle(Input::Confirmed(&confirmed));
    assert_eq!(world.wallet.balance().stranded, 4_000_000);
}

#[test]
fn an_order_that_cannot_be_paid_does_not_hold_up_the_others() {
    let mut world = World::new(1);
    let effects = world.order("a", 10 * COIN);
    assert!(matches!(effects[..], [Effect::Insufficient { .. }]), "{effects:?}");
    let payload = posted(&world.order("b", 1_000_000));
    world.post(&payload);
    assert_eq!(settled(&world.milestone()), ["b"]);
    assert_eq!(world.order("a", 10 * COIN), [], "said once");
}

#[test]
fn an_order_too_close_to_its_expiry_is_never_posted() {
    let mut world = World::new(1);
    let order = NewOrder { name: "late".into(), to: [7; 32], amount: 1_000_000, expires: Some(world.now + 39) };
    let effects = world.handle(Input::Order(order));
    assert_eq!(effects, [Effect::Returned { name: "late".into() }]);
}

#[test]
fn a_remainder_that_cannot_exist_is_given_as_surplus_and_said() {
    let mut world = World::new(1);
    let effects = world.order("a", COIN - 1_000);
    assert!(effects.contains(&Effect::Surplus { name: "a".into(), amount: 1_000 }), "{effects:?}");
    let payload = posted(&effects);
    world.post(&payload);
    world.milestone();
    assert_eq!(world.received_by_7(), COIN);
}

#[test]
fn an_amount_below_the_storage_deposit_comes_back_and_stops_nothing() {
    let mut world = World::new(1);
    let order = NewOrder { name: "dust".into(), to: [7; 32], amount: 1, expires: None };
    assert_eq!(world.handle(Input::Order(order)), [Effect::Returned { name: "dust".into() }]);
    posted(&world.order("a", 1_000_000));
}
