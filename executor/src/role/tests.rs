//! The executor's role at a real driver and store: what two submitters can do to each other.

use tarefa_daemon::driver::{Driver, Ledger, StoredCursor};
use tarefa_daemon::keys::{Keys, new_mnemonic};
use tarefa_daemon::store::Store;
use tarefa_protocol::codec::Bytes;
use tarefa_protocol::message::Manifest;
use tarefa_protocol::seal::SealingSecret;
use tarefa_protocol::{Address, BaseUnits, LedgerId, MessageId};

use super::*;

const NOW: LedgerSeconds = LedgerSeconds(1_000);
const LEDGER: LedgerId = LedgerId([9; 32]);

fn driver() -> Driver<ExecutorRole> {
    let config = Config { slots: 1, ..Config::default() }.settle(213_000).expect("valid");
    let ledger = Ledger { id: LEDGER, params: tarefa_ledger::network::private() };
    let keys = Keys::from_mnemonic(&new_mnemonic(&[1; 32]), 0).expect("a valid mnemonic");
    let start = StoredCursor { next: 10, previous: None, born: 9, time: NOW };
    let mut count = 0u8;
    let entropy = Box::new(move || {
        count += 1;
        [count; 32]
    });
    let role = ExecutorRole::new(config, vec![]);
    Driver::open(Store::in_memory().expect("a store"), role, keys, ledger, start, entropy).expect("opens")
}

fn offer_of(driver: &mut Driver<ExecutorRole>) -> Digest {
    // Any commit gives the role its tick, and with it the first offer.
    driver.command(|_, _| Ok(())).expect("commits");
    driver.store().read(|tx| tx.offers(NOW)).expect("readable").first().expect("an offer").id
}

fn hear(driver: &mut Driver<ExecutorRole>, from: u8, id: TaskId, body: Body) {
    let header = Header {
        ledger: LEDGER,
        sender: PartyId([from; 32]),
        recipient: None,
        message: MessageId([from; 16]),
        not_after: NOW,
    };
    driver.command(|role, desk| role.opened(desk, &header, Letter { task: id, body })).expect("handled");
}

fn submit(offer: Digest, driver_entropy: u8) -> Body {
    let reply_key =
        SealingSecret::generate(&mut tarefa_protocol::rng::Entropy::from_seed([driver_entropy; 32])).public();
    Body::Submit(Box::new(Submit {
        offer,
        manifest: Manifest::default(),
        module: Bytes(b"\0asm".to_vec()),
        reply_key,
        reply_tag: Tag([driver_entropy; 16]),
        max_price: BaseUnits(10_000_000),
        deadline: LedgerSeconds(2_000),
        refund: Address([driver_entropy; 32]),
    }))
}

fn tasks(driver: &Driver<ExecutorRole>) -> Vec<TaskRow<Stored>> {
    driver.store().read(|tx| tx.tasks(None)).expect("readable")
}

#[test]
fn a_task_id_taken_by_somebody_else_keeps_nobody_out() {
    let mut driver = driver();
    let offer = offer_of(&mut driver);
    let id = TaskId([7; 16]);
    hear(&mut driver, 2, id, submit(offer, 2));
    // The thief also takes the id that the second one would get.
    hear(&mut driver, 2, local_id(id, &PartyId([3; 32]), 1), submit(offer, 2));
    hear(&mut driver, 3, id, submit(offer, 3));
    hear(&mut driver, 3, id, submit(offer, 3));

    let theirs: Vec<_> = tasks(&driver).into_iter().filter(|row| row.party == PartyId([3; 32])).collect();
    assert_eq!(theirs.len(), 1, "accepted, once");
    assert_ne!(theirs[0].id, id, "kept under an id of ours");
    assert_eq!(theirs[0].state.task.id, id, "answers carry the submitter's own");
}

#[test]
fn a_cancel_ends_the_senders_task_and_no_other() {
    let mut driver = driver();
    let offer = offer_of(&mut driver);
    let id = TaskId([7; 16]);
    for party in [2, 3, 4] {
        hear(&mut driver, party, id, submit(offer, party));
    }
    hear(&mut driver, 3, id, Body::Cancel);
    hear(&mut driver, 5, id, Body::Cancel);
    let ended: Vec<_> = tasks(&driver).iter().filter(|row| row.phase == "closed").map(|row| row.party).collect();
    assert_eq!(ended, [PartyId([3; 32])]);
}
