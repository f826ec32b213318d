//! The ledger as a node needs it: what it refuses, how it confirms.

use super::*;
use crate::milestone::Coordinator;

fn keys() -> Vec<SigningKey> {
    vec![SigningKey::from_bytes(&[2; 32]), SigningKey::from_bytes(&[1; 32])]
}

fn ledger() -> Engine {
    let mut engine = Engine::new(crate::network::private(), &[Genesis { address: [9; 32], amount: 1_000_000_000 }]);
    engine.issue(100, &keys()).expect("the first milestone");
    engine
}

fn data(engine: &Engine, parents: Vec<BlockId>, text: &str) -> Vec<u8> {
    let parents = if parents.is_empty() { engine.tips() } else { parents };
    let payload = build::tagged(b"test", text.as_bytes()).expect("small");
    build::block(parents, Some(payload)).expect("valid").pack_to_vec()
}

#[test]
fn everything_posted_is_referenced_by_the_next_milestone() {
    let mut engine = ledger();
    let tips = engine.tips();
    let ids: Vec<BlockId> = (0..50)
        .map(|n| {
            let raw = data(&engine, tips.clone(), &n.to_string());
            engine.submit(&raw).expect("valid").id
        })
        .collect();
    let ties = engine.issue(101, &keys()).expect("a milestone");
    assert!(!ties.is_empty(), "50 tips do not fit one block");
    for id in ids {
        let inclusion = engine.block(&id).and_then(|block| block.meta.inclusion).expect("referenced");
        assert_eq!((inclusion.milestone, inclusion.state), (2, InclusionState::NoTransaction));
    }
}

#[test]
fn milestones_are_signed_and_chained_and_time_never_falls() {
    let mut engine = ledger();
    engine.issue(50, &keys()).expect("a milestone");
    let (first, second) = (engine.milestone(1).expect("there"), engine.milestone(2).expect("there"));
    assert_eq!(second.timestamp, 100);
    let coordinator = Coordinator::of(&first.payload);
    coordinator.verify(&second.payload, Some(&first.id)).expect("signed by the same keys, in order");
    let other = Coordinator { keys: vec![[7; 32]], threshold: 1 };
    other.verify(&second.payload, None).expect_err("keys nobody knows");
    coordinator.verify(&second.payload, Some(&second.id)).expect_err("not after itself");
}

#[test]
fn unknown_parents_are_not_solid_and_old_ones_below_max_depth() {
    let mut engine = ledger();
    let lost = data(&engine, vec![BlockId::new([5; 32])], "x");
    assert_eq!(engine.submit(&lost), Err(Refusal::NotSolid));
    let old = engine.tips();
    for n in 0..BELOW_MAX_DEPTH {
        engine.issue(200 + n, &keys()).expect("a milestone");
    }
    let raw = data(&engine, old.clone(), "still young enough");
    engine.submit(&raw).expect("just above the limit");
    for n in 0..2 {
        engine.issue(300 + n, &keys()).expect("a milestone");
    }
    let raw = data(&engine, old, "too old");
    assert_eq!(engine.submit(&raw), Err(Refusal::BelowMaxDepth));
}

#[test]
fn the_same_block_twice_is_one_block() {
    let mut engine = ledger();
    let raw = data(&engine, vec![], "twice");
    let (first, second) = (engine.submit(&raw).expect("valid"), engine.submit(&raw).expect("known"));
    assert_eq!((first.id, first.new, second.new), (second.id, Some(2), None));
    assert_eq!(engine.held(), 2);
}

#[test]
fn garbage_is_refused_with_a_reason() {
    let mut engine = ledger();
    assert!(matches!(engine.submit(b"garbage"), Err(Refusal::Unreadable(_))));
    assert!(matches!(engine.submit(&[0; 40_000]), Err(Refusal::Unreadable(text)) if text.contains("40000")));
}

#[test]
fn an_orphan_stays_unreferenced_and_asks_to_be_posted_again() {
    let mut engine = ledger();
    let raw = data(&engine, vec![], "orphan");
    let id = engine.submit_orphan(&raw).expect("valid").id;
    let mut seen = vec![];
    for n in 0..16 {
        engine.issue(200 + n, &keys()).expect("a milestone");
        let record = engine.block(&id).expect("kept");
        assert_eq!(record.meta.inclusion, None);
        seen.push(engine.hints(&record.meta));
    }
    assert_eq!(seen.first(), Some(&(false, false)));
    assert!(seen.contains(&(true, false)), "{seen:?}");
    assert_eq!(seen.last(), Some(&(false, true)));
}

fn spend(engine: &Engine, note: &str) -> Vec<u8> {
    struct One;
    impl build::Signer for One {
        fn sign(&self, _: u32, message: &[u8]) -> ([u8; 32], [u8; 64]) {
            use ed25519_dalek::Signer as _;
            let key = SigningKey::from_bytes(&[3; 32]);
            (key.verifying_key().to_bytes(), key.sign(message).to_bytes())
        }
    }
    let address = crate::address_of(&SigningKey::from_bytes(&[3; 32]).verifying_key().to_bytes());
    let id = *engine.plain_of(&address).next().expect("funds");
    let amount = engine.output(&id).expect("there").output.amount();
    let coin = build::Spend { id, amount, address, index: 0, packed: None };
    let payload =
        build::transaction(&[coin], &[(address, amount)], Some((b"n", note.as_bytes())), &One, engine.params());
    build::block(engine.tips(), Some(Payload::from(payload.expect("valid")))).expect("valid").pack_to_vec()
}

fn rich_ledger() -> Engine {
    let address = crate::address_of(&SigningKey::from_bytes(&[3; 32]).verifying_key().to_bytes());
    let mut engine = Engine::new(crate::network::private(), &[Genesis { address, amount: 1_000_000_000 }]);
    engine.issue(100, &keys()).expect("the first milestone");
    engine
}

/// All that can be seen of a ledger.
fn picture(engine: &Engine) -> String {
    let blocks: Vec<_> = engine.sequences(0..u64::MAX, usize::MAX).into_iter().filter_map(|n| engine.at(n)).collect();
    let milestones: Vec<_> = (1..=engine.confirmed()).map(|index| engine.milestone(index)).collect();
    let unspent: Vec<_> = engine.unspent().of_kind(3).map(|(at, id)| (at, engine.output(id))).collect();
    format!("{blocks:?} {milestones:?} {unspent:?} {:?} {:?}", engine.tips(), engine.here())
}

#[test]
fn going_back_undoes_all_that_came_later_and_history_can_take_another_way() {
    let mut engine = rich_ledger();
    let raw = spend(&engine, "kept");
    engine.submit(&raw).expect("valid");
    engine.issue(101, &keys()).expect("a milestone");
    let waiting = spend(&engine, "waiting");
    let waiting = engine.submit(&waiting).expect("valid").id;
    let (mark, before) = (engine.here(), picture(&engine));
    for n in 0..3 {
        let raw = spend(&engine, &format!("undone {n}"));
        engine.submit(&raw).expect("valid");
        engine.issue(102 + n, &keys()).expect("a milestone");
    }
    assert_ne!(picture(&engine), before);
    engine.rewind(mark).expect("kept");
    assert_eq!(picture(&engine), before);
    engine.issue(200, &keys()).expect("a milestone");
    let inclusion = engine.block(&waiting).and_then(|block| block.meta.inclusion).expect("referenced again");
    assert_eq!((inclusion.milestone, inclusion.state), (3, InclusionState::Included));
    engine.rewind(Mark { confirmed: 9, next: 99 }).expect_err("never reached");
}

#[test]
fn nobody_goes_back_to_where_what_waited_may_rest_on_what_was_pruned() {
    let mut engine = rich_ledger();
    for n in 0..9 {
        engine.issue(101 + n, &keys()).expect("a milestone");
    }
    let old = engine.milestone(8).expect("kept").block;
    let raw = data(&engine, vec![old], "waits");
    engine.submit(&raw).expect("young enough");
    let mark = engine.here();
    for n in 0..40 {
        engine.issue(200 + n, &keys()).expect("a milestone");
    }
    engine.prune(9);
    assert_eq!(engine.rewind(mark), Err(RewindError::Unknown(10)));
    engine.issue(300, &keys()).expect("it goes on");
    let later = Mark { confirmed: 9 + BELOW_MAX_DEPTH + 1, next: engine.next_sequence() };
    engine.rewind(later).expect("far enough");
    engine.issue(301, &keys()).expect("and on");
}

#[test]
fn pruning_forgets_what_nobody_needs_and_keeps_the_money() {
    let mut engine = rich_ledger();
    let mut first = None;
    for n in 0..40 {
        let raw = spend(&engine, &n.to_string());
        let id = engine.submit(&raw).expect("valid").id;
        first.get_or_insert(id);
        engine.issue(101 + n, &keys()).expect("a milestone");
    }
    assert_eq!(engine.prune(1_000), 41 - KEPT);
    assert_eq!(engine.prune(5), 41 - KEPT, "what is gone stays gone");
    assert!(engine.block(&first.expect("posted")).is_none() && engine.milestone(41 - KEPT).is_none());
    assert!(engine.milestone(42 - KEPT).is_some());
    assert_eq!(engine.unspent().of_kind(3).count(), 1);
    let raw = spend(&engine, "still works");
    let id = engine.submit(&raw).expect("valid").id;
    engine.issue(200, &keys()).expect("a milestone");
    let state = engine.block(&id).and_then(|block| block.meta.inclusion).map(|inclusion| inclusion.state);
    assert_eq!(state, Some(InclusionState::Included));
}
