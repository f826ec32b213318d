//! The world: one ledger, two executors, some submitters, and dice that decide what happens next.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use ed25519_dalek::{Signer as _, SigningKey};
use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::payload::Payload;
use tarefa_daemon::driver::Ledger;
use tarefa_executor::{Config, ExecutorRole};
use tarefa_ledger::build::{self, Signer, Spend};
use tarefa_ledger::engine::{Engine, Genesis};
use tarefa_ledger::milestone::Coordinator;
use tarefa_ledger::{OutputId, TransactionId, address_of, network};
use tarefa_protocol::codec::Bytes;
use tarefa_protocol::limits::MESSAGE_LIFE_S;
use tarefa_protocol::message::Manifest;
use tarefa_protocol::offer::rank;
use tarefa_protocol::{BaseUnits, LedgerId, TaskId};
use tarefa_submitter::{Draft, SubmitterRole};
use tarefa_tangle::failing::{Failing, Faults};
use tarefa_tangle::memory::Memory;
use tokio::runtime::Runtime;

use crate::Dice;
use crate::invariants::{self, Observer};
use crate::party::{Network, Party};

/// An executor of the world.
pub type Executor = Party<ExecutorRole>;
/// A submitter of the world.
pub type Submitter = Party<SubmitterRole>;

/// Ledger time of the first milestone.
const START: u32 = 1_800_000_000;
/// Funding of each submitter: so many coins of so many base units.
const COINS: usize = 3;
const COIN: u64 = 50_000_000;
/// Rounds without faults within which every task must have ended.
const QUIET_ROUNDS_MAX: u32 = 4_000;
/// Once nothing moves, time jumps by this much per milestone, so that expiries come.
const JUMP_S: u32 = 120;

/// What a world is to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// Submitters; the tasks are spread over them.
    pub submitters: u32,
    /// Tasks, all placed early so that they run at once.
    pub tasks: u32,
    /// Steps with faults.
    pub steps: u32,
    /// How the nodes fail.
    pub faults: Faults,
    /// Chance of a crash per step, in per mille.
    pub crashes: u32,
}

impl Plan {
    /// The plan that the tests use.
    pub fn standard(seed: u64) -> Self {
        let faults = Faults { error: 40, lost: 40, delayed: 40, duplicated: 40, orphaned: 30, unanswered: 30 };
        Self { seed, submitters: 4, tasks: 24, steps: 1_200, faults, crashes: 15 }
    }
}

/// What happened in a world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Tasks placed.
    pub tasks: u32,
    /// Of these with their result in hand.
    pub done: u32,
    /// Of these ended otherwise.
    pub failed: u32,
    /// Crashes.
    pub crashes: u32,
    /// Milestones.
    pub milestones: u32,
    /// Most tasks that were under way at once.
    pub at_once: u32,
}

/// The world.
pub struct World {
    plan: Plan,
    dice: Dice,
    runtime: Runtime,
    /// The ledger behind all nodes.
    pub memory: Arc<Memory>,
    nodes: Vec<Arc<Failing>>,
    /// Two of them.
    pub executors: Vec<Executor>,
    /// Those who pay.
    pub submitters: Vec<Submitter>,
    /// Outputs from before the first milestone.
    pub genesis: Vec<OutputId>,
    pub(crate) observer: Observer,
    coordinator: Vec<SigningKey>,
    faucet: SigningKey,
    now: u32,
    placed: u32,
    report: Report,
}

struct OneKey<'a>(&'a SigningKey);

impl Signer for OneKey<'_> {
    fn sign(&self, _: u32, message: &[u8]) -> ([u8; 32], [u8; 64]) {
        (self.0.verifying_key().to_bytes(), self.0.sign(message).to_bytes())
    }
}

fn role() -> Result<ExecutorRole> {
    let config = Config { slots: 3, ..Config::default() };
    Ok(ExecutorRole::new(config.settle(network::plain_output_minimum(&network::private()))?, vec!["simulated".into()]))
}

impl World {
    /// A world before its first step.
    pub fn new(plan: Plan) -> Result<Self> {
        let mut dice = Dice::new(plan.seed);
        let faucet = SigningKey::from_bytes(&dice.bytes());
        let coordinator = vec![SigningKey::from_bytes(&dice.bytes()), SigningKey::from_bytes(&dice.bytes())];
        let address = address_of(&faucet.verifying_key().to_bytes());
        let genesis = Genesis { address, amount: network::PRIVATE_SUPPLY };
        let mut engine = Engine::new(network::private(), &[genesis]);
        engine.issue(START, &coordinator)?;
        let first = engine.milestone(1).context("no first milestone")?;
        let known = Coordinator::of(&first.payload);
        let network = Network {
            ledger: Ledger { id: LedgerId::of(&known.keys, &first.id), params: network::private() },
            coordinator: known,
        };
        let memory = Arc::new(Memory::new(engine));
        let mut nodes = vec![];
        let mut node = |dice: &mut Dice| {
            let seed = u64::from(dice.below(u32::MAX)) << 16;
            let node = Arc::new(Failing::new(memory.clone(), seed, Faults::NONE));
            nodes.push(node.clone());
            (seed, node)
        };
        let (mut executors, mut submitters) = (vec![], vec![]);
        for n in 0..2 {
            let (seed, node) = node(&mut dice);
            executors.push(Party::new(&format!("executor {n}"), seed + 1, role()?, node, network.clone())?);
        }
        for n in 0..plan.submitters {
            let (seed, node) = node(&mut dice);
            submitters.push(Party::new(&format!("submitter {n}"), seed + 2, SubmitterRole, node, network.clone())?);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let genesis = vec![OutputId::new(TransactionId::new([0; 32]), 0).map_err(|error| anyhow::anyhow!("{error}"))?];
        let mut world = Self {
            plan,
            dice,
            runtime,
            memory,
            nodes,
            executors,
            submitters,
            genesis,
            observer: Observer::default(),
            coordinator,
            faucet,
            now: START,
            placed: 0,
            report: Report::default(),
        };
        world.fund()?;
        Ok(world)
    }

    fn fund(&mut self) -> Result<()> {
        let mut outputs = vec![];
        for submitter in &mut self.submitters {
            for _ in 0..COINS {
                let (_, address) = submitter.driver()?.command(|_, desk| desk.fresh_address("faucet", None))?;
                outputs.push((address.0, COIN));
            }
        }
        let address = address_of(&self.faucet.verifying_key().to_bytes());
        let spent: u64 = outputs.iter().map(|(_, amount)| amount).sum();
        outputs.push((address, network::PRIVATE_SUPPLY - spent));
        let coin = Spend { id: self.genesis[0], amount: network::PRIVATE_SUPPLY, address, index: 0, packed: None };
        let text = |error| anyhow::anyhow!("{error}");
        let transaction =
            build::transaction(&[coin], &outputs, None, &OneKey(&self.faucet), &network::private()).map_err(text)?;
        let tips = self.memory.engine().tips();
        let block = build::block(tips, Some(Payload::from(transaction))).map_err(text)?;
        self.memory.engine().submit(&block.pack_to_vec())?;
        self.milestone(1)
    }

    /// Takes some steps of the plan, without faults unless the nodes were told to fail.
    pub fn take_steps(&mut self, steps: u32) -> Result<()> {
        (0..steps).try_for_each(|_| self.step())
    }

    /// One party of the world reads everything there is.
    pub fn read_all(&self, party: &mut Submitter) -> Result<()> {
        while party.poll(&self.runtime)? {}
        Ok(())
    }

    /// Runs the plan to its end; the error names the seed and the step.
    pub fn run(mut self) -> Result<Report> {
        let seed = self.plan.seed;
        for node in &self.nodes {
            node.set(self.plan.faults);
        }
        for step in 0..self.plan.steps {
            self.step()
                .and_then(|()| invariants::check(&mut self))
                .with_context(|| format!("seed {seed}, step {step}"))?;
        }
        for node in &self.nodes {
            node.set(Faults::NONE);
        }
        self.settle().with_context(|| format!("seed {seed}, after the faults"))?;
        self.count()?;
        Ok(self.report)
    }

    fn step(&mut self) -> Result<()> {
        if self.dice.below(1_000) < self.plan.crashes {
            self.crash()?;
        }
        match self.dice.below(20) {
            // Everybody gets to act a few times per milestone, as on a real network.
            0 => self.milestone(1)?,
            4 => self.nodes.iter().for_each(|node| node.release_delayed()),
            5 => self.stranger()?,
            6..=8 => {
                let at = self.dice.below(self.executors.len() as u32) as usize;
                self.executors[at].end_guest(&mut self.dice)?;
            }
            9 => self.place()?,
            _ => {
                let at = self.dice.below((self.executors.len() + self.submitters.len()) as u32) as usize;
                self.turn(at)?;
            }
        }
        Ok(())
    }

    /// One party reads and posts.
    fn turn(&mut self, at: usize) -> Result<()> {
        let executors = self.executors.len();
        while self.read(at)? {}
        if at < executors {
            self.executors[at].post(&self.runtime)
        } else {
            self.submitters[at - executors].post(&self.runtime)
        }
    }

    fn crash(&mut self) -> Result<()> {
        self.report.crashes += 1;
        let executors = self.executors.len();
        let at = self.dice.below((executors + self.submitters.len()) as u32) as usize;
        if at < executors {
            self.executors[at].crash(role()?)
        } else {
            self.submitters[at - executors].crash(SubmitterRole)
        }
    }

    fn milestone(&mut self, seconds: u32) -> Result<()> {
        self.now += seconds;
        self.memory.engine().issue(self.now, &self.coordinator)?;
        Ok(())
    }

    /// Somebody posts a payload again that was on the Tangle before: in a new block, at any time.
    fn stranger(&mut self) -> Result<()> {
        let mut engine = self.memory.engine();
        let index = 1 + self.dice.below(engine.confirmed());
        let Some(milestone) = engine.milestone(index) else { return Ok(()) };
        if milestone.order.is_empty() {
            return Ok(());
        }
        let id = milestone.order[self.dice.below(milestone.order.len() as u32) as usize];
        let Some(record) = engine.block(&id) else { return Ok(()) };
        let Some(block) = build::parse_block(&record.raw, engine.params()) else { return Ok(()) };
        let payload = match block.payload() {
            Some(Payload::Milestone(_)) | None => return Ok(()),
            Some(payload) => payload.clone(),
        };
        let again = build::block(engine.tips(), Some(payload)).map_err(|error| anyhow::anyhow!("{error}"))?;
        engine.submit(&again.pack_to_vec())?;
        Ok(())
    }

    /// A submitter places a task with the best or another offer it knows.
    fn place(&mut self) -> Result<()> {
        if self.placed >= self.plan.tasks {
            return Ok(());
        }
        let at = self.dice.below(self.submitters.len() as u32) as usize;
        let choice = self.dice.below(2);
        let batch = 1 + self.dice.below(6);
        let driver = self.submitters[at].driver()?;
        let now = driver.now().time;
        let mut offers = driver.store().read(|tx| tx.offers(now))?;
        rank(&mut offers);
        let Some(offer) = offers.get(choice as usize % offers.len().max(1)).cloned() else { return Ok(()) };
        for _ in 0..batch.min(self.plan.tasks - self.placed) {
            let (offer, name) = (offer.clone(), self.placed.to_string());
            let manifest = Manifest { args: vec![name], ..Manifest::default() };
            let draft = Draft { module: Bytes(b"\0asm simulated".to_vec()), manifest };
            let _: TaskId = driver.command(|role, desk| role.submit(desk, &draft, offer, BaseUnits(10_000_000)))?;
            self.placed += 1;
        }
        self.submitters[at].collect()?;
        self.report.at_once = self.report.at_once.max(self.under_way()?);
        Ok(())
    }

    fn under_way(&self) -> Result<u32> {
        let mut count = 0;
        for submitter in &self.submitters {
            count += submitter
                .look()?
                .store()
                .read(|tx| tx.count_tasks(&["sent", "accepted", "quoted", "paying", "paid"]))?;
        }
        Ok(count)
    }

    /// Without faults every task ends.
    fn settle(&mut self) -> Result<()> {
        for node in &self.nodes {
            node.release_delayed();
        }
        while self.placed < self.plan.tasks {
            self.place()?;
            self.round(1)?;
            invariants::check(self)?;
        }
        for round in 0..QUIET_ROUNDS_MAX {
            // Time passes slowly while something moves, then in jumps, so that even a day's expiry comes.
            self.round(if round < 200 { 1 } else { JUMP_S })?;
            invariants::check(self).with_context(|| format!("quiet round {round}"))?;
            if invariants::check_end(self).is_ok() {
                return Ok(());
            }
        }
        invariants::check_end(self)?;
        bail!("not everything ended within {} s", QUIET_ROUNDS_MAX * JUMP_S / MESSAGE_LIFE_S)
    }

    fn round(&mut self, seconds: u32) -> Result<()> {
        self.milestone(seconds)?;
        for at in 0..self.executors.len() + self.submitters.len() {
            self.turn(at)?;
        }
        for at in 0..self.executors.len() {
            while self.executors[at].end_guest(&mut self.dice)? {}
            self.turn(at)?;
        }
        Ok(())
    }

    fn read(&mut self, at: usize) -> Result<bool> {
        let executors = self.executors.len();
        if at < executors {
            self.executors[at].poll(&self.runtime)
        } else {
            self.submitters[at - executors].poll(&self.runtime)
        }
    }

    fn count(&mut self) -> Result<()> {
        self.report.tasks = self.placed;
        self.report.milestones = self.memory.engine().confirmed();
        for submitter in &self.submitters {
            let store = submitter.look()?.store();
            self.report.done += store.read(|tx| tx.count_tasks(&["done"]))?;
            self.report.failed += store.read(|tx| tx.count_tasks(&["failed"]))?;
        }
        Ok(())
    }
}
