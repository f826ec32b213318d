//! What must exist on the ledger before the cases can be asked, rebuilt from the recorded transactions with own keys.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use ed25519_dalek::{Signer as _, SigningKey};
use iota_sdk::packable::PackableExt;
use iota_sdk::types::TryFromDto;
use iota_sdk::types::block::address::{Address, AliasAddress, Ed25519Address, NftAddress, ToBech32Ext};
use iota_sdk::types::block::output::dto::OutputDto;
use iota_sdk::types::block::output::{AliasId, NftId, Output, OutputId};
use iota_sdk::types::block::payload::dto::PayloadDto;
use iota_sdk::types::block::payload::{Payload, TransactionPayload};
use serde_json::{Value, json};
use tarefa_ledger::build::{self, Signer, Spend};
use tarefa_ledger::{Block, BlockId, ProtocolParameters, TransactionId, address_of, blake2b, milestone, network};

use crate::cases;
use crate::rewrite::Rewrite;
use crate::{Under, http};

/// "Now" of the recorded fixtures; times in them and in queries are this far away from the node's own.
const RECORDED_NOW: i64 = 1_795_239_923;
const TIMES: [i64; 6] = [-1_000, 0, 1_000_000, 1_500_000, 2_000_000, 2_500_000];
/// Timestamps of the milestones that booked the two recorded transactions, as cursors contain them.
const RECORDED_BOOKED: [u32; 2] = [1_795_239_924, 1_795_239_925];
/// Milestones after which a parent is below max depth, with one to spare.
const AGE: u64 = 17;
/// Raw bytes instead of JSON.
const RAW: &str = "application/vnd.iota.serializer-v1";

/// Owners of the fixtures, by the hash that they had in the recording.
const OWNER: usize = 0;
const PAYER: usize = 1;
const CONTROLLER: usize = 2;
const GOVERNOR: usize = 3;
const NFT_OWNER: usize = 4;
const SCRATCH: usize = 5;
const FRESH: [usize; 2] = [6, 7];

/// The fixtures, as far as the cases need them.
pub struct Fixtures {
    /// For requests and expected answers.
    pub rewrite: Rewrite,
    /// For raw bytes of outputs, where times stand in little-endian.
    pub raw_rewrite: Rewrite,
    /// Raw block of the milestone that booked the first transaction.
    pub milestone_block: Vec<u8>,
}

struct Keys(Vec<SigningKey>);

impl Keys {
    fn new() -> Result<Self> {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let key = |n: u8| SigningKey::from_bytes(&blake2b(format!("conformance {n} {nanos}").as_bytes()));
        Ok(Self((0..8).map(key).collect()))
    }

    fn hash(&self, who: usize) -> [u8; 32] {
        address_of(&self.0[who].verifying_key().to_bytes())
    }
}

impl Signer for Keys {
    fn sign(&self, index: u32, message: &[u8]) -> ([u8; 32], [u8; 64]) {
        let key = &self.0[index as usize];
        (key.verifying_key().to_bytes(), key.sign(message).to_bytes())
    }
}

struct Maker<'a> {
    under: &'a Under,
    params: ProtocolParameters,
    keys: Keys,
    rewrite: Rewrite,
    raw_rewrite: Rewrite,
}

/// Makes everything; takes about half a minute at one milestone per second.
pub async fn make(under: &Under) -> Result<Fixtures> {
    let info = http::get(&under.node, "/api/core/v2/info").await?;
    let name = info["protocol"]["networkName"].as_str().unwrap_or_default();
    if name != network::PRIVATE_NAME {
        bail!("the node is on network `{name}`, the recording was made on `{}`", network::PRIVATE_NAME);
    }
    let mut maker = Maker {
        under,
        params: network::private(),
        keys: Keys::new()?,
        rewrite: Rewrite::default(),
        raw_rewrite: Rewrite::default(),
    };
    maker.owners().await?;
    let funds = maker.fund().await?;
    let now = maker.ledger_time().await?;
    maker.times(now);
    let (milestone, milestone_block) = maker.transactions(funds).await?;
    maker.blocks().await?;
    maker.wait_for_milestone(milestone + AGE).await?;
    let Maker { rewrite, raw_rewrite, .. } = maker;
    Ok(Fixtures { rewrite, raw_rewrite, milestone_block })
}

impl Maker<'_> {
    fn both(&mut self, recorded: &str, own: &str) {
        self.rewrite.hex(recorded, own);
        self.raw_rewrite.hex(recorded, own);
    }

    fn address(&mut self, recorded: Address, own: Address) {
        let text = |address: Address| address.to_bech32_unchecked(network::PRIVATE_HRP).to_string();
        self.rewrite.text(&text(recorded), &text(own));
    }

    /// Keys of our own in the places of the recorded ones.
    async fn owners(&mut self) -> Result<()> {
        let outputs = cases::recorded_essence("get transaction, json")?["outputs"].clone();
        let hash = |output: usize, condition: usize| {
            outputs[output]["unlockConditions"][condition]["address"]["pubKeyHash"].as_str().map(str::to_owned)
        };
        let places = [(OWNER, 0, 0), (PAYER, 18, 0), (CONTROLLER, 15, 0), (GOVERNOR, 15, 1), (NFT_OWNER, 16, 0)];
        for (who, output, condition) in places {
            let recorded = hash(output, condition).context("the recorded fixtures have changed")?;
            let own = self.keys.hash(who);
            self.both(&recorded, &hex::encode(own));
            self.address(ed25519(bytes32(&recorded)?), ed25519(own));
        }
        let faucet = http::get(&self.under.faucet, "/api/info").await?;
        let own = faucet["address"].as_str().context("the faucet says no address")?.to_owned();
        let asked = |case: &str| cases::recorded_request("faucet", case);
        for (who, case) in FRESH.into_iter().zip(["enqueue: ok", "enqueue: unknown extra key"]) {
            let recorded = asked(case)?["body"]["json"]["address"].as_str().unwrap_or_default().to_owned();
            let fresh = ed25519(self.keys.hash(who)).to_bech32_unchecked(network::PRIVATE_HRP).to_string();
            self.rewrite.text(&recorded, &fresh);
        }
        let recorded = asked("enqueue: address with enough funds (the faucet's own)")?;
        self.rewrite.text(recorded["body"]["json"]["address"].as_str().unwrap_or_default(), &own);
        Ok(())
    }

    /// Tokens of the faucet at the payer's address.
    async fn fund(&mut self) -> Result<Spend> {
        let payer = ed25519(self.keys.hash(PAYER)).to_bech32_unchecked(network::PRIVATE_HRP).to_string();
        let body = json!({ "address": payer }).to_string().into_bytes();
        let kind = [("Content-Type".to_owned(), "application/json".to_owned())];
        let answer = http::send(&self.under.faucet, "POST", "/api/enqueue", &kind, Some(body)).await?;
        if answer.status != 202 {
            bail!("the faucet refuses: {}", String::from_utf8_lossy(&answer.body));
        }
        let path = format!("/api/indexer/v1/outputs/basic?address={payer}");
        for _ in 0..120 {
            let found = http::get(&self.under.node, &path).await?;
            if let Some(id) = found["items"][0].as_str() {
                let id: OutputId = id.parse().map_err(|error| anyhow::anyhow!("{id}: {error:?}"))?;
                let output = http::get(&self.under.node, &format!("/api/core/v2/outputs/{id}")).await?;
                let amount = output["output"]["amount"].as_str().unwrap_or_default().parse()?;
                let recorded = &cases::recorded_essence("get transaction, json")?["inputs"][0]["transactionId"];
                self.both(recorded.as_str().unwrap_or_default(), &id.transaction_id().to_string());
                return Ok(Spend { id, amount, address: self.keys.hash(PAYER), index: PAYER as u32, packed: None });
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        bail!("the faucet has not paid within 30 s")
    }

    fn times(&mut self, now: u32) {
        for offset in TIMES {
            let (recorded, own) = (RECORDED_NOW + offset, i64::from(now) + offset);
            self.rewrite.text(&recorded.to_string(), &own.to_string());
            let little = |time: i64| hex::encode((time as u32).to_le_bytes());
            self.raw_rewrite.text(&little(recorded), &little(own));
        }
    }

    /// The two transactions with all kinds of outputs, one that spends, and one that conflicts.
    async fn transactions(&mut self, funds: Spend) -> Result<(u64, Vec<u8>)> {
        let first = self.transaction("get transaction, json", &[funds], Some((b"fx", b"fixture")))?;
        let first_id = first.id();
        let recorded = cases::recorded_request("transactions", "included-block, included, json")?;
        let recorded_first = cases::segment(&recorded, 5)?;
        self.both(&recorded_first, &first_id.to_string());
        let chain = |tx: TransactionId, index| OutputId::new(tx, index).map_err(|e| anyhow::anyhow!("{e:?}"));
        let recorded_first = TransactionId::new(bytes32(&recorded_first)?);
        let (theirs, ours) = (chain(recorded_first, 15)?, chain(first_id, 15)?);
        let aliases = (AliasId::from(&theirs), AliasId::from(&ours));
        self.both(&aliases.0.to_string(), &aliases.1.to_string());
        self.address(AliasAddress::new(aliases.0).into(), AliasAddress::new(aliases.1).into());
        for index in [16, 17] {
            let nfts = (NftId::from(&chain(recorded_first, index)?), NftId::from(&chain(first_id, index)?));
            self.both(&nfts.0.to_string(), &nfts.1.to_string());
            self.address(NftAddress::new(nfts.0).into(), NftAddress::new(nfts.1).into());
        }
        let block = self.post(Some(Payload::from(first.clone()))).await?;
        let (block, booked) = self.referenced(block, "metadata transaction").await?;
        let milestone = booked["referencedByMilestoneIndex"].as_u64().context("not referenced")?;
        if booked["ledgerInclusionState"] != "included" {
            bail!("block {block} with the first transaction: {booked}");
        }
        let raw = self.milestone(milestone).await?;

        let spend = |index: u16, who: usize| self.spend(&first, index, who);
        let inputs = [spend(15, CONTROLLER)?, spend(18, PAYER)?];
        let second = self.transaction("get transaction with foundry and native tokens, json", &inputs, None)?;
        let recorded = cases::recorded_request("outputs", "output: alias")?;
        self.both(&cases::segment(&recorded, 5)?[..66], &second.id().to_string());
        let block = self.post(Some(Payload::from(second))).await?;
        let (block, booked) = self.referenced(block, "metadata transaction with foundry and native tokens").await?;
        if booked["ledgerInclusionState"] != "included" {
            bail!("block {block} with the second transaction: {booked}");
        }
        let second_booked = booked["referencedByMilestoneIndex"].as_u64().context("not referenced")?;
        for (recorded, index) in RECORDED_BOOKED.into_iter().zip([milestone, second_booked]) {
            let path = format!("/api/core/v2/milestones/by-index/{index}");
            let own = http::get(&self.under.node, &path).await?["timestamp"].as_u64().unwrap_or(0);
            self.rewrite.text(&format!("{recorded:08x}"), &format!("{own:08x}"));
        }

        let coin = self.spend(&first, 0, OWNER)?;
        let away = [(self.keys.hash(SCRATCH), coin.amount)];
        let spent =
            build::transaction(std::slice::from_ref(&coin), &away, None, &self.keys, &self.params).map_err(sdk)?;
        let recorded = cases::recorded_answer("outputs", "output metadata: spent")?;
        let recorded = recorded["body"]["json"]["transactionIdSpent"].as_str().unwrap_or_default().to_owned();
        self.both(&recorded, &spent.id().to_string());
        let block = self.post(Some(Payload::from(spent))).await?;
        self.wait_referenced(block).await?;

        let conflicting = self.transaction("get conflicting transaction, json", &[coin], None)?;
        let recorded = cases::recorded_request("transactions", "included-block, conflicting only, json")?;
        self.both(&cases::segment(&recorded, 5)?, &conflicting.id().to_string());
        let block = self.post(Some(Payload::from(conflicting))).await?;
        let (block, booked) = self.referenced(block, "metadata conflicting transaction").await?;
        if booked["conflictReason"] != 1 {
            bail!("block {block} spends a spent output: {booked}");
        }
        Ok((milestone, raw))
    }

    /// A recorded transaction with own keys, inputs and times; its commitment and signatures stand for the recorded ones.
    fn transaction(
        &mut self,
        case: &str,
        inputs: &[Spend],
        note: Option<(&[u8], &[u8])>,
    ) -> Result<TransactionPayload> {
        let recorded = cases::recorded_payload(case)?;
        let outputs: Value = serde_json::from_str(&self.rewrite.apply(&recorded["essence"]["outputs"].to_string()))?;
        let outputs = outputs.as_array().context("no outputs")?.iter().map(|value| {
            let dto: OutputDto = serde_json::from_value(value.clone())?;
            Output::try_from_dto_with_params(dto, &self.params).map_err(sdk)
        });
        let outputs = outputs.collect::<Result<Vec<Output>>>()?;
        let made = build::transaction_of(inputs, outputs, note, &self.keys, &self.params).map_err(sdk)?;
        let own = serde_json::to_value(PayloadDto::from(&Payload::from(made.clone())))?;
        let commitment =
            |payload: &Value| payload["essence"]["inputsCommitment"].as_str().unwrap_or_default().to_owned();
        self.both(&commitment(&recorded), &commitment(&own));
        let unlocks = |payload: &Value| payload["unlocks"].as_array().cloned().unwrap_or_default();
        for (recorded, own) in unlocks(&recorded).iter().zip(unlocks(&own)) {
            for key in ["publicKey", "signature"] {
                let text = |unlock: &Value| unlock["signature"][key].as_str().unwrap_or_default().to_owned();
                if !text(recorded).is_empty() {
                    self.both(&text(recorded), &text(&own));
                }
            }
        }
        Ok(made)
    }

    fn spend(&self, of: &TransactionPayload, index: u16, who: usize) -> Result<Spend> {
        let id = OutputId::new(of.id(), index).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let iota_sdk::types::block::payload::transaction::TransactionEssence::Regular(essence) = of.essence();
        let output = essence.outputs().get(usize::from(index)).context("no such output")?;
        Ok(Spend {
            id,
            amount: output.amount(),
            address: self.keys.hash(who),
            index: who as u32,
            packed: Some(output.pack_to_vec()),
        })
    }

    /// A block with data and one with nothing.
    async fn blocks(&mut self) -> Result<()> {
        let data = build::tagged(b"fixture", b"some data").map_err(sdk)?;
        let block = self.post(Some(data)).await?;
        self.referenced(block, "metadata tagged data").await?;
        let block = self.post(None).await?;
        self.referenced(block, "metadata no payload").await?;
        Ok(())
    }

    async fn post(&self, payload: Option<Payload>) -> Result<Block> {
        let tips = crate::parents::tips(&self.under.node).await?;
        let parents = tips.iter().map(|tip| Ok(BlockId::new(bytes32(tip)?))).collect::<Result<Vec<_>>>()?;
        let block = build::block(parents, payload).map_err(sdk)?;
        let kind = [("Content-Type".to_owned(), RAW.to_owned())];
        let body = Some(block.pack_to_vec());
        let answer = http::send(&self.under.node, "POST", "/api/core/v2/blocks", &kind, body).await?;
        if answer.status != 201 {
            bail!("a fixture was refused: {}", String::from_utf8_lossy(&answer.body));
        }
        Ok(block)
    }

    /// Waits, and puts the block's id in the place of the one in the path of `case`.
    async fn referenced(&mut self, block: Block, case: &str) -> Result<(BlockId, Value)> {
        let (id, metadata) = self.wait_referenced(block).await?;
        let recorded = cases::recorded_request("blocks", case)?;
        self.rewrite.hex(&cases::segment(&recorded, 5)?, &id.to_string());
        Ok((id, metadata))
    }

    /// Waits until a milestone references the block; posts its payload again where a node leaves it behind.
    async fn wait_referenced(&self, mut block: Block) -> Result<(BlockId, Value)> {
        for attempt in 1..=240 {
            let path = format!("/api/core/v2/blocks/{}/metadata", block.id());
            let metadata = http::get(&self.under.node, &path).await?;
            if metadata.get("referencedByMilestoneIndex").is_some() {
                return Ok((block.id(), metadata));
            }
            if attempt % 20 == 0 {
                block = self.post(block.payload().cloned()).await?;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        bail!("block {} was not referenced within a minute", block.id())
    }

    /// The milestone's ids for the recorded ones, and its raw block.
    async fn milestone(&mut self, index: u64) -> Result<Vec<u8>> {
        let path = format!("/api/core/v2/milestones/by-index/{index}");
        let accept = [("Accept".to_owned(), RAW.to_owned())];
        let raw = http::send(&self.under.node, "GET", &path, &accept, None).await?.body;
        let payload = milestone::parse(&raw, index as u32, &self.params)?;
        let parents = payload.essence().parents().iter().copied().collect();
        let block = build::block(parents, Some(Payload::from(payload.clone()))).map_err(sdk)?;
        let recorded = cases::recorded_request("milestones", "by id, json")?;
        self.rewrite.hex(&cases::segment(&recorded, 5)?, &payload.id().to_string());
        let recorded = cases::recorded_request("blocks", "metadata milestone")?;
        self.rewrite.hex(&cases::segment(&recorded, 5)?, &block.id().to_string());
        let recorded = cases::recorded_request("milestones", "by index, json")?;
        let recorded = cases::segment(&recorded, 6)?;
        self.rewrite.text(&format!("by-index/{recorded}"), &format!("by-index/{index}"));
        Ok(block.pack_to_vec())
    }

    async fn ledger_time(&self) -> Result<u32> {
        let info = http::get(&self.under.node, "/api/core/v2/info").await?;
        let time = info["status"]["confirmedMilestone"]["timestamp"].as_u64().context("no milestone yet")?;
        Ok(u32::try_from(time)?)
    }

    async fn wait_for_milestone(&self, index: u64) -> Result<()> {
        for _ in 0..480 {
            let info = http::get(&self.under.node, "/api/core/v2/info").await?;
            if info["status"]["confirmedMilestone"]["index"].as_u64() >= Some(index) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        bail!("milestone {index} has not come within two minutes")
    }
}

fn ed25519(hash: [u8; 32]) -> Address {
    Ed25519Address::new(hash).into()
}

fn bytes32(text: &str) -> Result<[u8; 32]> {
    let bytes = hex::decode(text.trim_start_matches("0x")).with_context(|| text.to_owned())?;
    bytes.try_into().map_err(|_| anyhow::anyhow!("{text} has not 32 bytes"))
}

fn sdk(error: iota_sdk::types::block::Error) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}
