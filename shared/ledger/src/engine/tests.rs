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
            engine.submit(&raw).expect("valid")
        })
        .collect();
    let ties = engine.issue(101, &keys()).expect("a milestone");
    assert!(!ties.is_empty(), "50 tips do not fit one block");
    for id in ids {
        let inclusion = engine.block(&id).and_then(|block| block.inclusion).expect("referenced");
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
    assert_eq!(engine.submit(&raw), engine.submit(&raw));
    assert_eq!(engine.block_count(), 2);
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
    let id = engine.submit_orphan(&raw).expect("valid");
    let mut seen = vec![];
    for n in 0..16 {
        engine.issue(200 + n, &keys()).expect("a milestone");
        let record = engine.block(&id).expect("kept");
        assert_eq!(record.inclusion, None);
        seen.push(engine.hints(record));
    }
    assert_eq!(seen.first(), Some(&(false, false)));
    assert!(seen.contains(&(true, false)), "{seen:?}");
    assert_eq!(seen.last(), Some(&(false, true)));
}
