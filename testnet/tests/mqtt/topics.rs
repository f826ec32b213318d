//! Every recorded topic: what it is worth when somebody subscribes, and what is said on it while the recorded kinds of
//! transactions happen. The ids are those of this ledger; everything else is compared.

use std::collections::BTreeSet;

use ed25519_dalek::{Signer as _, SigningKey};
use futures_util::future::join_all;
use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::Block;
use iota_sdk::types::block::address::{Address, AliasAddress, Ed25519Address, ToBech32Ext};
use iota_sdk::types::block::output::unlock_condition::{
    AddressUnlockCondition, ExpirationUnlockCondition, GovernorAddressUnlockCondition,
    ImmutableAliasAddressUnlockCondition, StateControllerAddressUnlockCondition, StorageDepositReturnUnlockCondition,
};
use iota_sdk::types::block::output::{
    AliasId, AliasOutputBuilder, BasicOutputBuilder, FoundryId, FoundryOutputBuilder, NativeToken, NftId,
    NftOutputBuilder, Output, OutputId, SimpleTokenScheme, TokenId, TokenScheme,
};
use iota_sdk::types::block::payload::Payload;
use iota_sdk::types::block::payload::transaction::TransactionPayload;
use tarefa_ledger::build::{self, Signer, Spend};
use tarefa_ledger::{address_of, network};
use tarefa_testnet::coordinator;
use tarefa_testnet::keys::FaucetSigner;

use super::*;

const MI: u64 = 1_000_000;
/// A block stays in the pool of tips for three seconds after its first child.
const TIP_AFTERLIFE: Duration = Duration::from_millis(3_100);
/// Far beyond the test.
const LATER: u32 = 4_000_000_000;

/// Owners in the recording: of basic outputs, of deposits to return, controller and governor of the alias, of the NFT
/// and of what is spent last.
#[derive(Clone, Copy)]
enum Who {
    Owner,
    Return,
    Controller,
    Governor,
    Nft,
    Last,
    /// Of the money that all this is made of; nobody listens to it.
    Funder,
}

/// Hashes of their public keys in the recording.
const RECORDED: [&str; 6] = [
    "9d62419b749ca4d2e8d1531c99de231b500675c94d01c09382d8a4c81a745b1a",
    "2303804aa16a367cd64e6859970fbf069c721f9613291da67d502a6959218ca9",
    "8be0051a2496f911d0c2e59b3f63490e1ce9156bde320d859e7ec8edf20c9e37",
    "2d2dbc54b4c66e938265f0643dc7e526619ff729507df6b10d994436606cf6f9",
    "710749d6be6588a87180055b30f99847b850d857396210488f25032933e968b1",
    "128da137408f490c9278defc24432ba15a4fcb50b0509b37f3ca27ccbae56bfd",
];
const KNOWN_BLOCK: &str = "4a25073b1fc7ce7d4d9b0b45fbfb3cca563d9a91b961f17f852096ccb67a4ac4";
const NEW_BLOCK: &str = "8d7d07eb6358d4100bc68ff8d7d01d1d5d025ea970c6654862334fee40a42d92";
const FUNDING: &str = "32a7da76cf482703c148d77aa8f3a4cf52fad13431bc6f573410156e68b180dd";
const FIRST: &str = "7619f334fb5f4925d0d2cd83eb3dbb8cb2f83c2f0d2f116351fdbe1e97a8d6b5";
const SPENT: &str = "4b9835e85915847930c2b6971535c0e1048c9bc8b6cfa37fc6b650fe3e0cb3500000";
const ALIAS: &str = "c97eb1f1d045f235116b4b5b169023320032a8cc6094ee9bd804b546328f4a16";
const NFT: &str = "b73db668f900c1496e5a7577b5770c4f99f212a9b3c3804eba64530bcb45ee5c";

struct Keys;

impl Keys {
    fn key(who: usize) -> SigningKey {
        SigningKey::from_bytes(&[who as u8 + 1; 32])
    }

    fn hash(who: Who) -> [u8; 32] {
        address_of(&Self::key(who as usize).verifying_key().to_bytes())
    }

    fn address(who: Who) -> Address {
        Ed25519Address::new(Self::hash(who)).into()
    }
}

impl Signer for Keys {
    fn sign(&self, index: u32, message: &[u8]) -> ([u8; 32], [u8; 64]) {
        let key = Self::key(index as usize);
        (key.verifying_key().to_bytes(), key.sign(message).to_bytes())
    }
}

fn spend(of: &TransactionPayload, index: u16, who: Who) -> Spend {
    let id = OutputId::new(of.id(), index).expect("an index");
    let outputs = tarefa_ledger::semantics::outputs(of);
    let output = &outputs[usize::from(index)].1;
    Spend {
        id,
        amount: output.amount(),
        address: Keys::hash(who),
        index: who as u32,
        packed: Some(output.pack_to_vec()),
    }
}

fn transaction(inputs: &[Spend], outputs: Vec<Output>, note: Option<(&[u8], &[u8])>) -> TransactionPayload {
    build::transaction_of(inputs, outputs, note, &Keys, &network::private()).expect("valid")
}

fn basic(who: Who, amount: u64) -> Output {
    build::plain_output(Keys::hash(who), amount, &network::private()).expect("valid")
}

/// The first recorded transaction: an encumbered output, a new alias, a new NFT, a plain output, and tagged data.
fn first(funding: &TransactionPayload) -> TransactionPayload {
    let supply = network::PRIVATE_SUPPLY;
    let encumbered = BasicOutputBuilder::new_with_amount(4 * MI)
        .add_unlock_condition(AddressUnlockCondition::new(Keys::address(Who::Owner)))
        .add_unlock_condition(
            StorageDepositReturnUnlockCondition::new(Keys::address(Who::Return), MI, supply).expect("fits"),
        )
        .add_unlock_condition(ExpirationUnlockCondition::new(Keys::address(Who::Return), LATER).expect("a time"));
    let nft = NftOutputBuilder::new_with_amount(4 * MI, NftId::null())
        .add_unlock_condition(AddressUnlockCondition::new(Keys::address(Who::Nft)));
    let outputs = vec![
        encumbered.finish_output(supply).expect("valid"),
        alias(AliasId::null(), 0, 0),
        nft.finish_output(supply).expect("valid"),
        basic(Who::Owner, 8 * MI),
    ];
    transaction(&[spend(funding, 0, Who::Funder)], outputs, Some((b"mqtt-tx", b"x")))
}

fn alias(id: AliasId, state: u32, foundries: u32) -> Output {
    AliasOutputBuilder::new_with_amount(4 * MI, id)
        .with_state_index(state)
        .with_foundry_counter(foundries)
        .add_unlock_condition(StateControllerAddressUnlockCondition::new(Keys::address(Who::Controller)))
        .add_unlock_condition(GovernorAddressUnlockCondition::new(Keys::address(Who::Governor)))
        .finish_output(network::PRIVATE_SUPPLY)
        .expect("valid")
}

/// The second: the alias makes a foundry.
fn second(funding: &TransactionPayload, first: &TransactionPayload, alias_id: AliasId) -> TransactionPayload {
    let owner = AliasAddress::new(alias_id);
    let foundry = FoundryId::build(&owner, 1, SimpleTokenScheme::KIND);
    let scheme = SimpleTokenScheme::new(5, 0, 5).expect("valid");
    let output = FoundryOutputBuilder::new_with_amount(20 * MI, 1, TokenScheme::from(scheme))
        .add_native_token(NativeToken::new(TokenId::from(foundry), 5).expect("valid"))
        .add_unlock_condition(ImmutableAliasAddressUnlockCondition::new(owner))
        .finish_output(network::PRIVATE_SUPPLY)
        .expect("valid");
    let inputs = [spend(first, 1, Who::Controller), spend(funding, 1, Who::Funder)];
    transaction(&inputs, vec![alias(alias_id, 1, 1), output], None)
}

/// The third: the plain output is spent, the NFT moves.
fn third(first: &TransactionPayload, nft: NftId) -> TransactionPayload {
    let moved = NftOutputBuilder::new_with_amount(4 * MI, nft)
        .add_unlock_condition(AddressUnlockCondition::new(Keys::address(Who::Owner)))
        .finish_output(network::PRIVATE_SUPPLY)
        .expect("valid");
    let inputs = [spend(first, 3, Who::Owner), spend(first, 2, Who::Nft)];
    transaction(&inputs, vec![basic(Who::Last, 8 * MI), moved], None)
}

fn block(parents: Vec<tarefa_ledger::BlockId>, payload: impl Into<Payload>) -> Block {
    build::block(parents, Some(payload.into())).expect("valid")
}

/// What is to happen, and the names that things have in the recording and here.
struct Scene {
    blocks: Vec<Block>,
    names: Vec<(String, String)>,
}

impl Scene {
    /// Makes what exists before, and builds what happens later.
    fn set(node: &Running) -> Self {
        let faucet = {
            let engine = node.node.engine();
            let address = node.node.keys.faucet_address();
            let id = *engine.plain_of(&address).next().expect("a coin");
            Spend { id, amount: network::PRIVATE_SUPPLY, address, index: 0, packed: None }
        };
        let outputs: Vec<Output> =
            [20 * MI, 20 * MI, network::PRIVATE_SUPPLY - 40 * MI].map(|amount| basic(Who::Funder, amount)).into();
        let signer = FaucetSigner(&node.node.keys.faucet);
        let funding = build::transaction_of(std::slice::from_ref(&faucet), outputs, None, &signer, &network::private())
            .expect("valid");
        let tips = || node.node.engine().tips();
        let funded = block(tips(), funding.clone());
        node.node.submit(&funded.pack_to_vec()).expect("taken");
        coordinator::step(&node.node).expect("a milestone");
        let known = block(tips(), build::tagged(b"known", b"x").expect("fits"));
        node.node.submit(&known.pack_to_vec()).expect("taken");
        coordinator::step(&node.node).expect("a milestone");

        let data = block(tips(), build::tagged(b"mqtt-tag", b"x").expect("fits"));
        let first = first(&funding);
        let alias_id = AliasId::from(&OutputId::new(first.id(), 1).expect("an index"));
        let nft_id = NftId::from(&OutputId::new(first.id(), 2).expect("an index"));
        let conflict = transaction(&[spend(&funding, 0, Who::Funder)], vec![basic(Who::Owner, 20 * MI)], None);
        let mut blocks = vec![data.clone()];
        for payload in [first.clone(), second(&funding, &first, alias_id), third(&first, nft_id), conflict] {
            let parent = blocks[blocks.len() - 1].id();
            blocks.push(block(vec![parent], payload));
        }

        let hex = |bytes: &[u8]| hex::encode(bytes);
        let mut names = vec![
            (KNOWN_BLOCK.to_owned(), hex(known.id().as_ref())),
            (NEW_BLOCK.to_owned(), hex(data.id().as_ref())),
            (SPENT.to_owned(), hex(&faucet.id.pack_to_vec())),
            (FUNDING.to_owned(), hex(funding.id().as_ref())),
            (FIRST.to_owned(), hex(first.id().as_ref())),
            (ALIAS.to_owned(), hex(alias_id.as_ref())),
            (NFT.to_owned(), hex(nft_id.as_ref())),
        ];
        let bech32 = |address: Address| address.to_bech32_unchecked(network::PRIVATE_HRP).to_string();
        let whos = [Who::Owner, Who::Return, Who::Controller, Who::Governor, Who::Nft, Who::Last];
        for (who, recorded) in whos.into_iter().zip(RECORDED) {
            let recorded: [u8; 32] = hex::decode(recorded).expect("hex").try_into().expect("32 bytes");
            names.push((bech32(Ed25519Address::new(recorded).into()), bech32(Keys::address(who))));
        }
        let recorded: [u8; 32] = hex::decode(ALIAS).expect("hex").try_into().expect("32 bytes");
        let alias_address = |id| bech32(AliasAddress::new(id).into());
        names.push((alias_address(AliasId::new(recorded)), alias_address(alias_id)));
        Self { blocks, names }
    }

    /// A recorded topic by the names it has here.
    fn here(&self, recorded: &str) -> String {
        self.names.iter().fold(recorded.to_owned(), |topic, (from, to)| topic.replace(from, to))
    }

    /// The other way round.
    fn there(&self, own: &str) -> String {
        self.names.iter().fold(own.to_owned(), |topic, (to, from)| topic.replace(from, to))
    }
}

/// Every key of a JSON value, with its place.
fn keys(value: &Value, place: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            let place = format!("{place}.{key}");
            found.insert(place.clone());
            keys(value, &place, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| keys(item, place, found)),
        _ => {}
    }
}

fn shape(value: &Value) -> String {
    let mut found = BTreeSet::new();
    keys(value, "", &mut found);
    found.into_iter().collect::<Vec<_>>().join(" ")
}

fn recorded_shape(packet: &Value) -> String {
    let payload = &packet["payload"];
    if packet["packet"] != "PUBLISH" {
        return recorded_line(packet);
    }
    let shape = if payload["json"].is_object() { shape(&payload["json"]) } else { "bytes".into() };
    format!("{} {shape}", recorded_line(packet))
}

fn own_shape(scene: &Scene, bytes: &[u8]) -> String {
    let line = scene.there(&line(bytes));
    if !line.starts_with("PUBLISH") {
        return line;
    }
    let start = bytes.iter().position(|byte| *byte == b'{');
    let json = start.and_then(|at| serde_json::from_slice::<Value>(&bytes[at..]).ok()).filter(Value::is_object);
    format!("{line} {}", json.map_or("bytes".into(), |json| shape(&json)))
}

async fn packets(socket: &mut Socket, scene: &Scene) -> Vec<String> {
    let mut lines = vec![];
    while let Ok(Some(Ok(Message::Binary(bytes)))) = timeout(QUIET, socket.next()).await {
        lines.push(own_shape(scene, &bytes));
    }
    lines
}

/// Topics on which something is said all the time, or on which several topics meet: the order depends on the moment.
fn is_lively(topic: &str) -> bool {
    topic.contains('#')
        || topic.ends_with('+')
        || ["blocks", "milestones", "tip-score-updates", "block-metadata/referenced"].contains(&topic)
        || topic.starts_with("milestone-info")
}

fn set(lines: &[String]) -> BTreeSet<&String> {
    lines.iter().filter(|line| line.starts_with("PUBLISH")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_topics_say_the_same() {
    let config = Config { interval: Duration::from_secs(120), seed: [7; 32], ..Config::default() };
    let node = start(config).await.expect("a node");
    // Held before anything happens, so that the pool of tips is followed from the beginning.
    let early = client(&node, &PLAIN, &[subscribe(&[("tip-score-updates", 1)])]).await;
    sleep(QUIET).await;
    let scene = Scene::set(&node);
    let cases: Vec<Value> = recorded("topics.jsonl").into_iter().skip(1).collect();
    let open = cases.iter().enumerate().map(async |(number, case)| {
        let topic = case["topic"].as_str().expect("a topic");
        let id = format!("client {number}");
        let connect = Connect { id: &id, ..PLAIN };
        let mut socket = client(&node, &connect, &[subscribe(&[(&scene.here(topic), 1)])]).await;
        let mut lines = packets(&mut socket, &scene).await;
        assert_eq!(lines.remove(0), "CONNACK 0 0", "{topic}");
        (topic, case, socket, lines)
    });
    let mut clients = join_all(open).await;
    // The block that was known before leaves the pool of tips.
    sleep(TIP_AFTERLIFE).await;
    for block in &scene.blocks {
        node.node.submit(&block.pack_to_vec()).expect("taken");
    }
    for _ in 0..2 {
        coordinator::step(&node.node).expect("a milestone");
    }
    let mut differ = vec![];
    let mut compared = 0;
    let all_events = join_all(clients.iter_mut().map(|(_, _, socket, _)| packets(socket, &scene))).await;
    for ((topic, case, _, mut before), mut events) in clients.into_iter().zip(all_events) {
        let of =
            |key: &str| -> Vec<String> { case[key].as_array().expect("packets").iter().map(recorded_shape).collect() };
        let (wanted_before, mut wanted) = (of("onSubscribe"), of("onEvents"));
        compared += 1;
        if topic.starts_with("$SYS") {
            assert!(set(&before).len() > 10, "{topic}: {before:?}");
        } else if is_lively(topic) {
            before.append(&mut events);
            // Of many events only the first were recorded.
            let is_cut = case["onEventsCount"].as_u64() > Some(wanted.len() as u64);
            wanted.extend(wanted_before);
            let (ours, theirs) = (set(&before), set(&wanted));
            differ.extend(theirs.difference(&ours).map(|line| format!("{topic}: not said: {line}")));
            if !is_cut {
                differ.extend(ours.difference(&theirs).map(|line| format!("{topic}: said: {line}")));
            }
        } else {
            // Outputs are told by id, which is another here.
            if topic.starts_with("outputs/") {
                events.sort();
                wanted.sort();
            }
            let pairs = [("at first", before, wanted_before), ("later", events, wanted)];
            for (when, ours, theirs) in pairs.into_iter().filter(|(_, ours, theirs)| ours != theirs) {
                differ.push(format!("{topic}, {when}:\n{}\ninstead of\n{}", ours.join("\n"), theirs.join("\n")));
            }
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert_eq!(compared, 57);
    drop(early);
    node.stop().await;
}
