//! The wallet inside a commit: its effects become calls of the role, rows, and posts.

use std::cell::RefCell;

use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::payload::Payload;
use tarefa_ledger::ProtocolParameters;
use tarefa_ledger::confirmed::Confirmed;
use tarefa_ledger::wallet::{Ctx, Effect, Input, Wallet};
use tarefa_protocol::limits::PAYMENT_MARGIN_MILESTONES;
use tarefa_protocol::{LedgerSeconds, TaskId};

use super::guard::guarded;
use crate::desk::{Desk, WalletCommand};
use crate::role::Role;
use crate::store::StoreError;

/// Calls between wallet and role settle within this many rounds, or something is wrong.
const ROUNDS_MAX: usize = 1_000;

/// What the wallet changed in a commit.
#[derive(Default)]
pub(super) struct Outcome {
    pub wallet: Option<Wallet>,
    pub posted: Vec<(u64, [u8; 32], Vec<u8>)>,
    pub dropped: Vec<[u8; 32]>,
}

/// The wallet during one commit; copied only when something happens to it.
pub(super) struct Till<'a> {
    before: &'a Wallet,
    params: &'a ProtocolParameters,
    outcome: Outcome,
}

impl<'a> Till<'a> {
    pub fn new(before: &'a Wallet, params: &'a ProtocolParameters) -> Self {
        Self { before, params, outcome: Outcome::default() }
    }

    pub fn changed(&self) -> Option<&Wallet> {
        self.outcome.wallet.as_ref()
    }

    pub fn into_outcome(self) -> Outcome {
        self.outcome
    }

    /// Books a milestone, if it concerns us.
    pub fn confirmed<R: Role>(
        &mut self,
        confirmed: &Confirmed,
        role: &mut R,
        desk: &mut Desk<'_>,
    ) -> Result<(), StoreError> {
        let tx = desk.tx;
        if !self.before.is_concerned(confirmed, &|hash| tx.index_of_address(hash).unwrap_or(Some(0))) {
            return Ok(());
        }
        let effects = self.handle(Input::Confirmed(confirmed), desk)?;
        self.carry_out(effects, role, desk)?;
        self.settle(role, desk)
    }

    /// Carries out what the role ordered, and what that causes.
    pub fn settle<R: Role>(&mut self, role: &mut R, desk: &mut Desk<'_>) -> Result<(), StoreError> {
        for _ in 0..ROUNDS_MAX {
            if desk.queue.wallet.is_empty() {
                return Ok(());
            }
            for command in std::mem::take(&mut desk.queue.wallet) {
                let input = match command {
                    WalletCommand::Order(order) => Input::Order(order),
                    WalletCommand::GiveUp(name) => Input::GiveUp(name),
                    WalletCommand::Watch(index) => Input::Watch(index),
                    WalletCommand::Unwatch(index) => Input::Unwatch(index),
                };
                let effects = self.handle(input, desk)?;
                self.carry_out(effects, role, desk)?;
            }
        }
        Err(StoreError::Rule("wallet and role call each other without end".into()))
    }

    fn handle(&mut self, input: Input<'_>, desk: &Desk<'_>) -> Result<Vec<Effect>, StoreError> {
        let wallet = self.outcome.wallet.get_or_insert_with(|| self.before.clone());
        let failed = RefCell::new(None);
        let mut fresh = || match desk.fresh_address("change", None) {
            Ok((index, address)) => (index, address.0),
            Err(error) => {
                failed.replace(Some(error));
                (u32::MAX, [0; 32])
            }
        };
        let tx = desk.tx;
        let mut ctx = Ctx {
            params: self.params,
            now: desk.now.time.0,
            margin: desk.now.milestones(PAYMENT_MARGIN_MILESTONES),
            signer: desk.keys,
            fresh: &mut fresh,
            own: &|hash| {
                tx.index_of_address(hash).unwrap_or_else(|error| {
                    failed.replace(Some(error));
                    None
                })
            },
        };
        let effects = wallet.handle(input, &mut ctx)?;
        // The commit fails, and with it a transaction that pays change to nobody, or a payment not seen.
        match failed.into_inner() {
            Some(error) => Err(error),
            None => Ok(effects),
        }
    }

    fn carry_out<R: Role>(
        &mut self,
        effects: Vec<Effect>,
        role: &mut R,
        desk: &mut Desk<'_>,
    ) -> Result<(), StoreError> {
        for effect in effects {
            match effect {
                Effect::Post { id, serial, payload } => {
                    self.outcome.dropped.retain(|dropped| *dropped != id);
                    self.outcome.posted.push((serial, id, payload));
                }
                Effect::Drop(id) => {
                    self.outcome.posted.retain(|(_, posted, _)| *posted != id);
                    self.outcome.dropped.push(id);
                }
                Effect::Settled { name, amount, booked, transaction } => {
                    desk.tx.add_history(LedgerSeconds(booked), "out", amount, &transaction, &name)?;
                    guarded(role, desk, "a payment", |role, desk| role.settled(desk, &name, booked))?;
                }
                Effect::Returned { name } => {
                    guarded(role, desk, "a returned payment", |role, desk| role.returned(desk, &name))?;
                }
                Effect::Received { index, amount, booked, transaction } => {
                    let task = desk.tx.task_of_address(index)?;
                    let note = task.map_or(String::from("received"), |task| format!("task:{task}"));
                    desk.tx.add_history(LedgerSeconds(booked), "in", amount, &transaction, &note)?;
                    if let Some(task) = task {
                        guarded(role, desk, "a received payment", |role, desk| {
                            role.received(desk, task, amount, booked)
                        })?;
                    }
                }
                Effect::Insufficient { name, need, have } => {
                    let task = task_of_order(&name).unwrap_or(TaskId([0; 16]));
                    desk.event(&task, &serde_json::json!({"event": "insufficient_funds", "need": need, "have": have}))?;
                }
                Effect::Surplus { name, amount } => {
                    let task = task_of_order(&name).unwrap_or(TaskId([0; 16]));
                    desk.event(&task, &serde_json::json!({"event": "surplus", "amount": amount}))?;
                }
            }
        }
        Ok(())
    }
}

/// Name of the one payment of a task.
pub fn order_of_task(task: &TaskId) -> String {
    format!("task:{task}")
}

/// The task an order pays, if it pays one.
pub fn task_of_order(name: &str) -> Option<TaskId> {
    name.strip_prefix("task:")?.parse().ok()
}

pub(super) fn unpack(payload: &[u8], params: &ProtocolParameters) -> Option<Payload> {
    Payload::unpack_verified(payload, params).ok()
}
