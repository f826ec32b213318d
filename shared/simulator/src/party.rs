//! One party of the world: a real driver with its store, its own view of the Tangle, and nothing asynchronous.

use std::sync::Arc;

use anyhow::{Context, Result};
use tarefa_daemon::driver::{Driver, Ledger, StoredCursor};
use tarefa_daemon::keys::{Keys, new_mnemonic};
use tarefa_daemon::role::{Answer, Role, RunGuest};
use tarefa_daemon::store::{OutboxRow, Store};
use tarefa_ledger::milestone::Coordinator;
use tarefa_protocol::codec::{self, Bytes};
use tarefa_protocol::executor::Execution;
use tarefa_protocol::result::{Outcome, TaskResult};
use tarefa_protocol::{LedgerSeconds, Millis};
use tarefa_tangle::failing::Failing;
use tarefa_tangle::poller::{Cursor, Poller};
use tarefa_tangle::poster::Chain;
use tokio::runtime::Runtime;

use crate::Dice;

/// What every party of a world knows of the network.
#[derive(Clone)]
pub struct Network {
    /// Ledger id and parameters.
    pub ledger: Ledger,
    /// Who signs milestones.
    pub coordinator: Coordinator,
}

/// A party.
pub struct Party<R> {
    /// Its name in reports.
    pub name: String,
    mnemonic: String,
    network: Network,
    node: Arc<Failing>,
    driver: Option<Driver<R>>,
    poller: Poller<Failing>,
    chain: Chain,
    /// Guests that run.
    pub guests: Vec<OutboxRow>,
    seed: u64,
    lives: u64,
}

fn entropy(seed: u64) -> Box<dyn FnMut() -> [u8; 32] + Send> {
    let mut dice = Dice::new(seed);
    Box::new(move || dice.bytes())
}

const FIRST: StoredCursor = StoredCursor { next: 1, previous: None, born: 0, time: LedgerSeconds(0) };

impl<R: Role> Party<R> {
    /// A new party at the beginning of the ledger.
    pub fn new(name: &str, seed: u64, role: R, node: Arc<Failing>, network: Network) -> Result<Self> {
        let mnemonic = new_mnemonic(&Dice::new(seed).bytes()).to_string();
        let poller = poller(&network, &node, FIRST);
        let mut party = Self {
            name: name.to_owned(),
            mnemonic,
            network,
            node,
            driver: None,
            poller,
            chain: Chain::default(),
            guests: vec![],
            seed,
            lives: 0,
        };
        party.live(Store::in_memory()?, role)?;
        Ok(party)
    }

    /// A second instance: the same keys with a store of its own, which must not happen and must be noticed.
    pub fn twin(&self, role: R) -> Result<Self> {
        Self::new(&format!("{}, again", self.name), self.seed, role, self.node.clone(), self.network.clone())
    }

    fn live(&mut self, store: Store, role: R) -> Result<()> {
        self.lives += 1;
        let keys = Keys::from_mnemonic(&self.mnemonic, 0)?;
        let entropy = entropy(self.seed ^ (self.lives << 32));
        let driver = Driver::open(store, role, keys, self.network.ledger.clone(), FIRST, entropy)?;
        self.poller = poller(&self.network, &self.node, driver.cursor());
        self.chain = Chain::default();
        self.guests.clear();
        self.driver = Some(driver);
        Ok(())
    }

    /// Everything in memory is lost; the store is what was committed.
    pub fn crash(&mut self, role: R) -> Result<()> {
        let store = self.driver.take().context("a party without a driver")?.into_store();
        self.live(store, role)
    }

    /// The driver.
    pub fn driver(&mut self) -> Result<&mut Driver<R>> {
        self.driver.as_mut().context("a party without a driver")
    }

    /// The driver, to look at.
    pub fn look(&self) -> Result<&Driver<R>> {
        self.driver.as_ref().context("a party without a driver")
    }

    /// Reads the next milestone, if the node answers; whether there was one.
    pub fn poll(&mut self, runtime: &Runtime) -> Result<bool> {
        match runtime.block_on(self.poller.next()) {
            Ok(Some(confirmed)) => {
                self.driver()?.milestone(&confirmed)?;
                self.collect()?;
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) if error.is_passing() => Ok(false),
            Err(error) => Err(error).with_context(|| format!("{} cannot go on", self.name)),
        }
    }

    /// Posts what is due, as far as the node takes it.
    pub fn post(&mut self, runtime: &Runtime) -> Result<()> {
        if !self.poller.is_caught_up() {
            return Ok(());
        }
        for post in self.driver()?.take_posts()? {
            let done = runtime.block_on(self.chain.post(&*self.node, post.payload)).is_ok();
            self.driver()?.posted(post.key, done);
        }
        Ok(())
    }

    /// Takes over guests to run.
    pub fn collect(&mut self) -> Result<()> {
        let due = self.driver()?.take_due();
        self.guests.extend(due.once);
        Ok(())
    }

    /// One of the running guests ends: its output names its task, so that results cannot be mixed up unseen.
    pub fn end_guest(&mut self, dice: &mut Dice) -> Result<bool> {
        if self.guests.is_empty() {
            return Ok(false);
        }
        let at = dice.below(self.guests.len() as u32) as usize;
        let row = self.guests.swap_remove(at);
        let guest: RunGuest = codec::decode(&row.body)?;
        let answer = match dice.below(20) {
            0 => Answer::Interrupted,
            1 => Answer::BadModule("refused by the simulation".into()),
            n => {
                let outcome = Outcome::Exited(u8::from(n == 2));
                let result = TaskResult {
                    outcome: outcome.clone(),
                    stdout: Bytes(guest.task.0.to_vec()),
                    stderr: Bytes::default(),
                    files: vec![],
                    salt: [7; 16],
                };
                Answer::Executed(Box::new(Execution {
                    outcome,
                    metered: Millis(u64::from(dice.below(3_000))),
                    cpu: Millis(1),
                    compile: Millis(1),
                    result: Bytes(codec::encode(&result)),
                    runtime: "simulation".into(),
                }))
            }
        };
        self.driver()?.answer(row.id, row.task, answer)?;
        self.collect()?;
        Ok(true)
    }
}

fn poller(network: &Network, node: &Arc<Failing>, cursor: StoredCursor) -> Poller<Failing> {
    let previous = cursor.previous.map(tarefa_ledger::MilestoneId::new);
    let cursor = Cursor { next: cursor.next, previous };
    Poller::new(node.clone(), network.coordinator.clone(), network.ledger.params.clone(), cursor)
}
