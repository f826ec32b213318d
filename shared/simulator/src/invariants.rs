//! What must hold after every step of a world, looked up in the stores and the ledger themselves.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use tarefa_executor::role::Stored as ExecutorStored;
use tarefa_ledger::build::plain;
use tarefa_ledger::engine::Engine;
use tarefa_ledger::{OutputId, network};
use tarefa_protocol::executor::State;
use tarefa_protocol::{PartyId, TaskId};

use crate::world::{Executor, Submitter, World};

/// What the observer remembers between steps: crashes must not be able to undo it.
#[derive(Default)]
pub struct Observer {
    shown: HashMap<[u8; 32], (PartyId, Option<TaskId>)>,
    quotes: HashMap<[u8; 32], (TaskId, u64)>,
    paid: HashMap<TaskId, Vec<[u8; 32]>>,
    seen_outputs: usize,
}

/// Checks everything; an error says which invariant broke.
pub fn check(world: &mut World) -> Result<()> {
    let mut observer = std::mem::take(&mut world.observer);
    let result = addresses(world, &mut observer)
        .and_then(|()| money(world, &mut observer))
        .and_then(|()| keys(world, &observer));
    world.observer = observer;
    result
}

/// No address is ever shown twice, to anyone, across crashes.
fn addresses(world: &World, observer: &mut Observer) -> Result<()> {
    for executor in &world.executors {
        let driver = executor.look()?;
        let party = driver.keys().party_id();
        let (rows, tasks) = driver
            .store()
            .read(|tx| Ok::<_, tarefa_daemon::StoreError>((tx.addresses()?, tx.tasks::<ExecutorStored>(None)?)))?;
        for (index, address) in rows {
            let task = driver.store().read(|tx| tx.task_of_address(index))?;
            let before = observer.shown.insert(address, (party, task));
            ensure!(
                before.is_none_or(|before| before == (party, task)),
                "address {index} of {} was shown twice",
                executor.name
            );
        }
        for row in tasks {
            if let State::Quoted(quoted) = &row.state.task.state {
                let fact = (row.id, quoted.quote.price.0);
                let before = observer.quotes.insert(quoted.quote.address.0, fact);
                ensure!(
                    before.is_none_or(|before| before == fact),
                    "one address was quoted for two tasks or two prices"
                );
            }
        }
    }
    Ok(())
}

/// Nothing is paid twice, and no base unit appears or disappears.
fn money(world: &World, observer: &mut Observer) -> Result<()> {
    let engine = world.memory.engine();
    let created: Vec<OutputId> =
        (1..=engine.confirmed()).filter_map(|i| engine.milestone(i)).flat_map(|m| m.created.clone()).collect();
    for id in &created[observer.seen_outputs..] {
        let Some((address, _)) = engine.output(id).and_then(|record| plain(&record.output)) else { continue };
        if let Some((task, _)) = observer.quotes.get(&address) {
            observer.paid.entry(*task).or_default().push(**id.transaction_id());
        }
    }
    observer.seen_outputs = created.len();
    for (task, payments) in &observer.paid {
        ensure!(payments.len() <= 1, "task {task} was paid {} times", payments.len());
    }
    ensure!(supply(&engine, &created, world) == u128::from(network::PRIVATE_SUPPLY), "money was made or lost");
    Ok(())
}

fn supply(engine: &Engine, created: &[OutputId], world: &World) -> u128 {
    let unspent = |id: &OutputId| {
        engine.output(id).filter(|record| record.spent.is_none()).map_or(0, |record| u128::from(record.output.amount()))
    };
    created.iter().map(unspent).sum::<u128>() + world.genesis.iter().map(unspent).sum::<u128>()
}

/// No key goes out before its price is booked.
fn keys(world: &World, observer: &Observer) -> Result<()> {
    for executor in &world.executors {
        for row in executor.look()?.store().read(|tx| tx.tasks::<ExecutorStored>(Some("released")))? {
            ensure!(observer.paid.contains_key(&row.id), "the key of task {} went out unpaid", row.id);
        }
    }
    Ok(())
}

/// At the end: every task has ended, on both sides, and what was paid for was delivered.
pub fn check_end(world: &World) -> Result<()> {
    for submitter in &world.submitters {
        ended_submitter(submitter)?;
    }
    for executor in &world.executors {
        ended_executor(executor)?;
    }
    Ok(())
}

fn ended_submitter(submitter: &Submitter) -> Result<()> {
    use tarefa_protocol::submitter::{Failure, State};
    let rows = submitter.look()?.store().read(|tx| tx.tasks::<tarefa_submitter::Stored>(None))?;
    for row in rows {
        ensure!(
            row.state.task.is_ended(),
            "task {} of {} has not ended: {:?}",
            row.id,
            submitter.name,
            row.state.task.state
        );
        let lost = matches!(row.state.task.state, State::Failed(Failure::NotReleased | Failure::BadResult(_)));
        ensure!(!lost, "task {} was paid and not delivered: {:?}", row.id, row.state.task.state);
        if let Some(result) = row.state.result {
            let bytes = submitter.look()?.store().read(|tx| tx.blob(&result))?.unwrap_or_default();
            let result: tarefa_protocol::result::TaskResult = tarefa_protocol::codec::decode(&bytes)?;
            ensure!(result.stdout.0 == row.id.0, "task {} got the result of another one", row.id);
        }
    }
    let quarantined = submitter.look()?.store().read(|tx| tx.quarantined())?;
    ensure!(quarantined == 0, "{} put {quarantined} messages into quarantine", submitter.name);
    Ok(())
}

fn ended_executor(executor: &Executor) -> Result<()> {
    for row in executor.look()?.store().read(|tx| tx.tasks::<ExecutorStored>(None))? {
        ensure!(
            row.state.task.is_ended(),
            "task {} at {} has not ended: {:?}",
            row.id,
            executor.name,
            row.state.task.state
        );
    }
    let quarantined = executor.look()?.store().read(|tx| tx.quarantined())?;
    ensure!(quarantined == 0, "{} put {quarantined} messages into quarantine", executor.name);
    Ok(())
}
