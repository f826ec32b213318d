//! What is published on which topic, in the order of the original.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::Block;
use iota_sdk::types::block::address::{Address, ToBech32Ext};
use iota_sdk::types::block::output::unlock_condition::UnlockCondition;
use iota_sdk::types::block::output::{ChainId, Output};
use iota_sdk::types::block::payload::Payload;
use iota_sdk::types::block::payload::transaction::TransactionEssence;
use tarefa_ledger::engine::{Engine, OutputRecord};
use tarefa_ledger::{BlockId, OutputId, TransactionId};

use super::hub::Hub;
use crate::view;

/// A block leaves the pool of tips this long after its first child, and its score is told once more.
const TIP_AFTERLIFE: Duration = Duration::from_secs(3);
/// Blocks followed in the pool; more are forgotten, for the feed is a hint.
const POOL_MAX: usize = 100_000;

/// State of the feeds: the pool of tips as its subscribers are told of it.
#[derive(Debug, Default)]
pub struct Feeds {
    pool: Mutex<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    /// Without a child.
    tips: HashSet<BlockId>,
    /// With one since then.
    leaving: VecDeque<(Instant, BlockId)>,
}

impl Feeds {
    /// A new block was taken. Called under the ledger's lock.
    pub fn block(&self, hub: &Hub, engine: &Engine, id: BlockId) {
        if hub.is_idle() {
            return;
        }
        let Some(record) = engine.block(&id) else { return };
        let raw = || record.raw.to_vec();
        hub.publish("blocks", raw);
        if let Ok(block) = Block::unpack_unverified(&record.raw[..]) {
            kinds(hub, &block, &raw);
        }
        // Of the coordinator's own blocks nothing is said before they are referenced.
        let is_told = record.meta.milestone_index().is_none();
        if is_told && hub.wants_metadata() {
            metadata(hub, engine, id);
        }
        if hub.holds(TIPS) {
            if is_told {
                metadata(hub, engine, id);
            }
            self.pool.lock().unwrap_or_else(PoisonError::into_inner).enter(id, &record.parents);
        }
    }

    /// A milestone was applied. Called under the ledger's lock, after the block that carries it.
    pub fn milestone(&self, hub: &Hub, engine: &Engine, index: u32) {
        if hub.is_idle() {
            return;
        }
        let Some(record) = engine.milestone(index) else { return };
        let short = || view::milestone_info(&record).to_string().into_bytes();
        hub.publish("milestone-info/latest", short);
        hub.publish("milestone-info/confirmed", short);
        if hub.wants_metadata() {
            record.order.iter().for_each(|id| metadata(hub, engine, *id));
        }
        // Not in the order of events: by id, all that was spent and then all that was created.
        let mut spent = record.consumed.clone();
        spent.sort_unstable();
        let mut created = record.created.clone();
        created.sort_unstable();
        for id in &spent {
            if let Some(output) = engine.output(id) {
                let payload = || view::output(engine, id, &output).to_string().into_bytes();
                hub.publish(&format!("outputs/{id}"), payload);
                conditions(hub, engine, &output, "/spent", &payload);
            }
        }
        for id in &created {
            if let Some(output) = engine.output(id) {
                self::created(hub, engine, id, &output);
            }
        }
        self.leave(hub, engine);
    }

    fn leave(&self, hub: &Hub, engine: &Engine) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if !hub.holds(TIPS) {
            *pool = Pool::default();
        }
        while pool.leaving.front().is_some_and(|(since, _)| since.elapsed() >= TIP_AFTERLIFE) {
            if let Some((_, id)) = pool.leaving.pop_front() {
                metadata(hub, engine, id);
            }
        }
    }
}

impl Pool {
    fn enter(&mut self, id: BlockId, parents: &[BlockId]) {
        let now = Instant::now();
        for parent in parents {
            if self.tips.remove(parent) {
                self.leaving.push_back((now, *parent));
            }
        }
        let excess = self.leaving.len().saturating_sub(POOL_MAX);
        self.leaving.drain(..excess);
        if self.tips.len() < POOL_MAX {
            self.tips.insert(id);
        }
    }
}

const TIPS: &str = "tip-score-updates";

fn kinds(hub: &Hub, block: &Block, raw: &dyn Fn() -> Vec<u8>) {
    match block.payload() {
        Some(Payload::Transaction(transaction)) => {
            hub.publish("blocks/transaction", raw);
            let TransactionEssence::Regular(essence) = transaction.essence();
            if let Some(Payload::TaggedData(data)) = essence.payload() {
                tagged(hub, "blocks/transaction/tagged-data", data.tag(), raw);
            }
        }
        Some(Payload::TaggedData(data)) => tagged(hub, "blocks/tagged-data", data.tag(), raw),
        Some(Payload::Milestone(milestone)) => {
            hub.publish("milestones", || Payload::from(milestone.as_ref().clone()).pack_to_vec());
        }
        _ => {}
    }
}

fn tagged(hub: &Hub, topic: &str, tag: &[u8], raw: &dyn Fn() -> Vec<u8>) {
    hub.publish(topic, raw);
    if !tag.is_empty() {
        hub.publish(&format!("{topic}/0x{}", hex::encode(tag)), raw);
    }
}

/// One message about a block, on every topic that is about it.
fn metadata(hub: &Hub, engine: &Engine, id: BlockId) {
    let Some(record) = engine.block(&id) else { return };
    let payload = || view::block_metadata(engine, id, &record, "parentBlockIds").to_string().into_bytes();
    hub.publish(&format!("block-metadata/{id}"), payload);
    if record.meta.inclusion.is_some() {
        hub.publish("block-metadata/referenced", payload);
    }
    hub.publish(TIPS, payload);
}

fn created(hub: &Hub, engine: &Engine, id: &OutputId, record: &OutputRecord) {
    // What it was when it was created, also if it was spent within the same milestone.
    let fresh = OutputRecord { spent: None, ..record.clone() };
    let payload = || view::output(engine, id, &fresh).to_string().into_bytes();
    hub.publish(&format!("outputs/{id}"), payload);
    if id.index() == 0
        && let Some(block) = engine.block(&record.block)
    {
        let topic = format!("transactions/{}/included-block", id.transaction_id());
        hub.publish(&topic, || block.raw.to_vec());
    }
    if let Some(chain) = record.output.chain_id() {
        let kind = match chain {
            ChainId::Alias(_) => "alias",
            ChainId::Foundry(_) => "foundry",
            ChainId::Nft(_) => "nft",
        };
        hub.publish(&format!("outputs/{kind}/{}", chain.or_from_output_id(id)), payload);
    }
    conditions(hub, engine, &fresh, "", &payload);
}

fn conditions(hub: &Hub, engine: &Engine, record: &OutputRecord, suffix: &str, payload: &dyn Fn() -> Vec<u8>) {
    let hrp = *engine.params().bech32_hrp();
    let mut all: Vec<Address> = vec![];
    for (name, address) in named(&record.output) {
        hub.publish(&format!("outputs/unlock/{name}/{}{suffix}", address.to_bech32(hrp)), payload);
        if !all.contains(&address) {
            all.push(address);
        }
    }
    // A topic with this very name: `+` is not a wildcard here.
    for address in all {
        hub.publish(&format!("outputs/unlock/+/{}{suffix}", address.to_bech32(hrp)), payload);
    }
}

fn named(output: &Output) -> Vec<(&'static str, Address)> {
    let conditions = output.unlock_conditions().map(|conditions| conditions.iter());
    conditions
        .into_iter()
        .flatten()
        .filter_map(|condition| match condition {
            UnlockCondition::Address(one) => Some(("address", *one.address())),
            UnlockCondition::StorageDepositReturn(one) => Some(("storage-return", *one.return_address())),
            UnlockCondition::Expiration(one) => Some(("expiration", *one.return_address())),
            UnlockCondition::StateControllerAddress(one) => Some(("state-controller", *one.address())),
            UnlockCondition::GovernorAddress(one) => Some(("governor", *one.address())),
            UnlockCondition::ImmutableAliasAddress(one) => {
                Some(("immutable-alias", Address::Alias(*one.alias_address())))
            }
            UnlockCondition::Timelock(_) => None,
        })
        .collect()
}

/// What a topic is worth at the moment somebody begins to hold it.
pub fn first_value(engine: &Engine, topic: &str) -> Option<Vec<u8>> {
    let rest = |prefix: &str| topic.strip_prefix(prefix);
    if matches!(topic, "milestone-info/latest" | "milestone-info/confirmed") {
        let newest = engine.milestone(engine.confirmed())?;
        return Some(view::milestone_info(&newest).to_string().into_bytes());
    }
    if let Some(id) = rest("block-metadata/") {
        let id: BlockId = view::id(id)?;
        let record = engine.block(&id)?;
        return Some(view::block_metadata(engine, id, &record, "parentBlockIds").to_string().into_bytes());
    }
    if let Some(id) = rest("transactions/").and_then(|rest| rest.strip_suffix("/included-block")) {
        let transaction: TransactionId = view::id(id)?;
        let first = engine.output(&OutputId::new(transaction, 0).ok()?)?;
        let block = engine.block(&first.block)?;
        return first.spent.is_none().then(|| block.raw.to_vec());
    }
    if let Some(id) = rest("outputs/") {
        let id: OutputId = view::id(id)?;
        let record = engine.output(&id).filter(|record| record.spent.is_none())?;
        return Some(view::output(engine, &id, &record).to_string().into_bytes());
    }
    None
}

/// The broker's own figures, the only messages that are kept for later subscribers.
pub fn system((clients, started): (usize, Instant), filter: &str) -> Vec<(String, String)> {
    let uptime = started.elapsed().as_secs();
    let values: [(&str, u64); 17] = [
        ("uptime", uptime),
        ("timestamp", u64::from(crate::coordinator::wall_clock()).saturating_sub(uptime)),
        ("load/bytes/received", 0),
        ("load/bytes/sent", 0),
        ("clients/connected", clients as u64),
        ("clients/disconnected", 0),
        ("clients/maximum", clients as u64),
        ("clients/total", clients as u64),
        ("connections/total", clients as u64),
        ("messages/received", 0),
        ("messages/sent", 0),
        ("messages/inflight", 0),
        ("messages/publish/dropped", 0),
        ("messages/publish/received", 0),
        ("messages/publish/sent", 0),
        ("messages/retained/count", 18),
        ("subscriptions/count", 0),
    ];
    let all = values.map(|(name, value)| (format!("$SYS/broker/{name}"), value.to_string()));
    let version = ("$SYS/broker/version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let wanted = |(topic, _): &(String, String)| filter == "$SYS/#" || filter == "$SYS/broker/#" || filter == topic;
    all.into_iter().chain([version]).filter(wanted).collect()
}
