//! The store keeps what was committed, undoes what was not, and never burns an address twice.

use tarefa_protocol::codec::Bytes;
use tarefa_protocol::envelope::Header;
use tarefa_protocol::parts::Part;
use tarefa_protocol::{LedgerId, LedgerSeconds, MessageId, PartyId, TaskId};

use super::*;

fn store() -> Store {
    Store::in_memory().expect("opened")
}

fn part(message: u8, index: u32, total: u32) -> Part {
    let header = Header {
        ledger: LedgerId([0; 32]),
        sender: PartyId([1; 32]),
        recipient: None,
        message: MessageId([message; 16]),
        not_after: LedgerSeconds(100),
    };
    Part { header, index, total, chunk: Bytes(vec![index as u8; 3]) }
}

fn commit<R>(store: &mut Store, change: impl FnOnce(&Tx<'_>) -> Result<R, StoreError>) -> R {
    store.commit(change).expect("committed")
}

#[test]
fn a_failed_commit_leaves_nothing() {
    let mut store = store();
    let failed = store.commit(|tx| {
        tx.set("x", &1u32)?;
        Err::<(), _>(StoreError::Rule("no".into()))
    });
    assert!(failed.is_err());
    assert_eq!(store.read(|tx| tx.get::<u32>("x")).expect("readable"), None);
    assert_eq!(store.commits(), 0);
}

#[test]
fn a_failed_savepoint_undoes_only_itself() {
    let mut store = store();
    commit(&mut store, |tx| {
        tx.set("kept", &1u32)?;
        let undone = tx.savepoint(|| {
            tx.set("lost", &2u32)?;
            Err::<(), StoreError>(StoreError::Rule("bad input".into()))
        })?;
        assert!(undone.is_err());
        tx.set("after", &3u32)
    });
    let get = |key: &str| store.read(|tx| tx.get::<u32>(key)).expect("readable");
    assert_eq!((get("kept"), get("lost"), get("after")), (Some(1), None, Some(3)));
}

#[test]
fn an_address_index_is_burnt_once() {
    let mut store = store();
    commit(&mut store, |tx| tx.burn_address(0, &[1; 32], "quote", None));
    assert_eq!(store.read(|tx| tx.next_address()).expect("readable"), 1);
    store.commit(|tx| tx.burn_address(0, &[2; 32], "quote", None)).expect_err("the index is burnt");
    store.commit(|tx| tx.burn_address(1, &[1; 32], "quote", None)).expect_err("the address was shown");
}

#[test]
fn parts_make_a_message_in_any_order_and_only_once() {
    let mut store = store();
    let mut take = |part: &Part| commit(&mut store, |tx| tx.part_in(part));
    assert_eq!(take(&part(1, 2, 3)), Incoming::Partial);
    assert_eq!(take(&part(1, 2, 3)), Incoming::Old);
    assert_eq!(take(&part(2, 0, 2)), Incoming::Partial);
    assert_eq!(take(&part(1, 0, 3)), Incoming::Partial);
    assert_eq!(take(&part(1, 1, 3)), Incoming::Whole(vec![0, 0, 0, 1, 1, 1, 2, 2, 2]));
    commit(&mut store, |tx| tx.acted_on(&PartyId([1; 32]), &MessageId([1; 16]), LedgerSeconds(100)));
    assert_eq!(commit(&mut store, |tx| tx.part_in(&part(1, 1, 3))), Incoming::Old);
    assert_eq!(commit(&mut store, |tx| tx.part_in(&part(2, 1, 2))), Incoming::Whole(vec![0, 0, 0, 1, 1, 1]));
}

#[test]
fn the_sender_that_holds_most_is_evicted_and_payers_last() {
    let mut store = store();
    let mut payer = part(1, 0, 5);
    payer.chunk = Bytes(vec![0; 100]);
    let mut stranger = part(2, 0, 5);
    stranger.header.sender = PartyId([2; 32]);
    commit(&mut store, |tx| {
        tx.count_paid(&PartyId([1; 32]))?;
        tx.part_in(&payer)?;
        tx.part_in(&stranger)
    });
    assert_eq!(commit(&mut store, |tx| tx.evict_largest(false)), Some(PartyId([2; 32])));
    let room = store.read(|tx| tx.room(&PartyId([1; 32]))).expect("readable");
    assert_eq!((room.of_sender, room.total, room.known), (100, 100, true));
    assert_eq!(commit(&mut store, |tx| tx.evict_largest(false)), None, "a stranger evicts no payer");
    assert_eq!(commit(&mut store, |tx| tx.evict_largest(true)), Some(PartyId([1; 32])));
}

#[test]
fn timers_are_taken_once_when_due() {
    let mut store = store();
    let task = TaskId([1; 16]);
    commit(&mut store, |tx| {
        tx.add_timer(&task, LedgerSeconds(10))?;
        tx.add_timer(&task, LedgerSeconds(5))
    });
    assert_eq!(store.read(|tx| tx.next_timer()).expect("readable"), Some(LedgerSeconds(5)));
    assert_eq!(commit(&mut store, |tx| tx.take_timers(LedgerSeconds(7))), [task]);
    assert_eq!(commit(&mut store, |tx| tx.take_timers(LedgerSeconds(7))), []);
    assert_eq!(commit(&mut store, |tx| tx.take_timers(LedgerSeconds(10))), [task]);
}

#[test]
fn an_effect_is_answered_once() {
    let mut store = store();
    let row = commit(&mut store, |tx| tx.add_once(&TaskId([1; 16]), &7u32));
    assert!(commit(&mut store, |tx| tx.answered(row.id)));
    assert!(!commit(&mut store, |tx| tx.answered(row.id)));
}

#[test]
fn what_has_no_use_any_more_is_forgotten() {
    let mut store = store();
    commit(&mut store, |tx| {
        tx.part_in(&part(1, 0, 2))?;
        tx.acted_on(&PartyId([1; 32]), &MessageId([9; 16]), LedgerSeconds(50))?;
        tx.forget_before(LedgerSeconds(101))
    });
    assert_eq!(store.read(|tx| tx.room(&PartyId([1; 32]))).expect("readable").total, 0);
}

#[test]
fn a_store_survives_its_process_and_a_newer_one_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("store.sqlite");
    commit(&mut Store::open(&path).expect("created"), |tx| tx.set("x", &1u32));
    let store = Store::open(&path).expect("opened");
    assert_eq!(store.read(|tx| tx.get::<u32>("x")).expect("readable"), Some(1));
    store.connection.pragma_update(None, "user_version", 999).expect("set");
    drop(store);
    let error = Store::open(&path).expect_err("too new");
    assert!(matches!(error, StoreError::Version { found: 999, known: 1 }), "{error}");
}
