//! A node that keeps its ledger on disk shows the same as one that keeps it in memory, whatever happens in between.

use std::path::Path;
use std::time::Duration;

use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::payload::Payload;
use tarefa_ledger::build;
use tarefa_ledger::engine::{Engine, Mark};
use tarefa_testnet::controls::Faults;
use tarefa_testnet::keys::FaucetSigner;
use tarefa_testnet::node::NodeError;
use tarefa_testnet::{Config, Node, Running, start};

/// No milestone comes by itself while a test runs.
const NEVER: Duration = Duration::from_secs(120);

async fn node(data_dir: Option<&Path>) -> Running {
    let data_dir = data_dir.map(Path::to_owned);
    let config = Config { interval: NEVER, data_dir, seed: [3; 32], ..Config::default() };
    start(config).await.expect("a node")
}

/// All that can be seen of a ledger. Times are left out: they are the clock's.
fn picture(engine: &Engine) -> String {
    let mut lines = vec![format!("{:?} {} {:?}", engine.here(), engine.pruned(), engine.tips().len())];
    for sequence in engine.sequences(0..u64::MAX, usize::MAX) {
        let (_, record) = engine.at(sequence).expect("kept");
        lines.push(format!("{:?} {}", record.meta, record.parents.len()));
    }
    for index in 0..=engine.confirmed() {
        let milestone = engine.milestone(index);
        let counts = milestone.map(|it| (it.sequence, it.order.len(), it.created.len(), it.consumed.len()));
        lines.push(format!("{index} {counts:?}"));
    }
    lines.push(format!("{} unspent", engine.unspent().of_kind(3).count()));
    lines.join("\n")
}

/// A gift of the faucet.
const GIFT: u64 = 1_000_000;

/// Gives something away, from the faucet's one coin.
fn transaction(node: &Node) -> Vec<u8> {
    let engine = node.engine();
    let address = node.keys.faucet_address();
    let id = *engine.plain_of(&address).next().expect("a coin");
    let amount = engine.output(&id).expect("there").output.amount();
    let coin = build::Spend { id, amount, address, index: 0, packed: None };
    let outputs = [([7; 32], GIFT), (address, amount - GIFT)];
    let signer = FaucetSigner(&node.keys.faucet);
    let payload = build::transaction(&[coin], &outputs, None, &signer, engine.params()).expect("valid");
    build::block(engine.tips(), Some(Payload::from(payload))).expect("valid").pack_to_vec()
}

fn data(node: &Node, number: u64) -> Vec<u8> {
    let payload = build::tagged(b"t", &number.to_le_bytes()).expect("fits");
    build::block(node.engine().tips(), Some(payload)).expect("valid").pack_to_vec()
}

/// One step of a history, chosen by a number.
fn step(running: &Running, number: u64, marks: &mut Vec<Mark>) {
    let node = &running.node;
    match number % 16 {
        0..=6 => drop(node.post(&data(node, number)).expect("taken")),
        7 => {
            node.controls.set_faults(Faults { orphan: 1, ..Faults::default() }).expect("valid");
            node.post(&data(node, number)).expect("taken");
        }
        8 | 9 => drop(node.post(&transaction(node)).expect("taken")),
        10 => marks.push(node.engine().here()),
        11 if number.is_multiple_of(3) => {
            let Some(mark) = marks.pop() else { return };
            match node.rewind(mark) {
                Ok(index) => assert_eq!(index, mark.confirmed),
                Err(NodeError::Rewind(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        12 if number.is_multiple_of(5) => {
            let target = node.engine().confirmed().saturating_sub(22);
            node.prune(target).expect("pruned");
        }
        _ => drop(tarefa_testnet::coordinator::step(node).expect("a milestone")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_on_disk_is_that_in_memory_also_after_every_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let memory = node(None).await;
    let mut disk = node(Some(dir.path())).await;
    let (mut marks, mut marks_on_disk) = (vec![], vec![]);
    let mut random = 88_172_645_463_325_252_u64;
    for round in 0..600 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        step(&memory, random, &mut marks);
        step(&disk, random, &mut marks_on_disk);
        assert_eq!(marks, marks_on_disk);
        if round % 7 == 0 {
            let before = picture(&disk.node.engine());
            assert_eq!(picture(&memory.node.engine()), before, "round {round}");
            // What is in memory only is lost here, as with kill -9: nothing is written at the end.
            disk.stop().await;
            disk = node(Some(dir.path())).await;
            assert_eq!(picture(&disk.node.engine()), before, "round {round}, after a restart");
        }
    }
    let here = memory.node.engine().here();
    let pruned = memory.node.engine().pruned();
    assert!(here.confirmed > 60 && pruned > 0, "{here:?} {pruned}");
    let held = disk.node.engine().held();
    let all = memory.node.engine().held();
    assert!(held * 3 < all, "{held} of {all} blocks stay in memory");
    memory.stop().await;
    disk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_of_the_first_format_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("ledger.sqlite"), b"").expect("written");
    let data_dir = Some(dir.path().to_owned());
    let config = Config { interval: NEVER, data_dir, seed: [3; 32], ..Config::default() };
    let error = start(config).await.map(|_| ()).expect_err("not readable").to_string();
    assert!(error.contains("format 1") && error.contains("--data-dir"), "{error}");
}
