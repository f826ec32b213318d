//! Rust against `vectors/vectors.json`, which ethers v6 writes (`vectors/generate.mjs`) and Rust never does.

mod read;
#[allow(dead_code, reason = "the vectors need its signatures only")]
mod town;

use read::{bytes, field, list, name, number, word};
use serde_json::Value;
use tarefa_channel::eip712::{Domain, Words};
use tarefa_channel::id::{ChannelKey, Digest, StateHash};
use tarefa_channel::message::{Balances, Message, State};
use tarefa_channel::sign::{HubSignature, Recover, Signature};
use tarefa_channel::{Address, Amount, B256, Seq, TokenId, limits, price, tree};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/vectors.json")).expect("vectors.json is JSON")
}

fn domain(vectors: &Value) -> Domain {
    let domain = field(vectors, "domain");
    Domain::new(number(domain, "chainId") as u64, read::address(domain, "verifyingContract"))
}

/// Recovers, and signs nothing.
struct Secp;

impl Recover for Secp {
    fn recover(&self, digest: Digest, signature: &Signature) -> Option<Address> {
        town::recover(digest, signature)
    }
}

fn signature(value: &Value, key: &str) -> Signature {
    Signature(bytes(value, key).try_into().expect("64 bytes"))
}

#[test]
fn the_domain_and_the_channels() {
    let vectors = vectors();
    assert_eq!(domain(&vectors).separator(), word(field(&vectors, "domain"), "separator"));
    let channels = list(&vectors, "channels");
    assert!(channels.len() >= 3);
    for channel in channels {
        let key = ChannelKey {
            chain_id: number(channel, "chainId") as u64,
            contract: read::address(channel, "contract"),
            client: read::address(channel, "client"),
            asset: read::address(channel, "asset"),
            epoch: u32::try_from(number(channel, "epoch")).expect("32 bits"),
        };
        assert_eq!(key.id().0, word(channel, "id"));
    }
}

#[test]
fn every_message_hashes_and_is_signed_as_ethers_does_it() {
    let vectors = vectors();
    let domain = domain(&vectors);
    let mut seen = std::collections::BTreeMap::<&str, u32>::new();
    for vector in list(&vectors, "messages") {
        let message = read::message(name(vector, "type"), field(vector, "value"));
        assert_eq!(message.struct_hash(), word(vector, "structHash"), "{}", name(vector, "name"));
        let digest = message.digest(&domain);
        assert_eq!(digest.0, word(vector, "digest"), "{}", name(vector, "name"));
        let signer = Secp.recover(digest, &signature(vector, "signature"));
        assert_eq!(signer, Some(read::address(vector, "signer")), "{}", name(vector, "name"));
        *seen.entry(name(vector, "type")).or_default() += 1;
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
    assert!(seen.values().all(|&count| count >= 2), "{seen:?}");
}

#[test]
fn receipts_open_states_without_their_balances() {
    let vectors = vectors();
    let domain = domain(&vectors);
    let states: Vec<State> = list(&vectors, "messages")
        .iter()
        .filter(|vector| name(vector, "type") == "State")
        .map(|vector| read::state(field(vector, "value")))
        .collect();
    let receipts = list(&vectors, "receipts");
    assert_eq!(receipts.len(), states.len());
    let mut attached = 0;
    for (vector, state) in receipts.iter().zip(states) {
        let receipt = state.receipt();
        assert_eq!(receipt.balances, word(vector, "balances"));
        let ops: Vec<B256> = receipt.ops.iter().map(Message::struct_hash).collect();
        assert_eq!(ops, list(vector, "ops").iter().map(read::as_word).collect::<Vec<_>>());
        assert_eq!(Words::array(ops.into_iter()), word(vector, "opsHash"));
        assert_eq!(receipt.state_digest(&domain).0, word(vector, "digest"));
        assert_eq!(receipt.state_digest(&domain), state.digest(&domain));
        for entry in list(vector, "attached") {
            assert_eq!(receipt.attached(TokenId(word(entry, "token"))), Some(Amount(number(entry, "amount"))));
            attached += 1;
        }
        assert_eq!(receipt.attached(TokenId(B256::repeat_byte(9))), None);
    }
    assert!(attached >= 2, "{attached}");
}

#[test]
fn trees_of_pending_tokens() {
    let vectors = vectors();
    for vector in list(&vectors, "trees") {
        let ids: Vec<TokenId> = list(vector, "ids").iter().map(read::as_word).map(TokenId).collect();
        let root = word(vector, "root");
        assert!(tree::is_sorted(&ids));
        assert_eq!(tree::pending_root(&ids), root, "{} leaves", ids.len());
        for (index, expected) in list(vector, "proofs").iter().enumerate() {
            let expected: Vec<B256> = expected.as_array().expect("a list").iter().map(read::as_word).collect();
            assert_eq!(tree::pending_proof(&ids, index), expected);
            assert!(tree::pending_proves(root, ids[index], index, ids.len(), &expected));
        }
    }
}

#[test]
fn batches_and_the_signature_over_their_root() {
    let vectors = vectors();
    let domain = domain(&vectors);
    for vector in list(&vectors, "batches") {
        let count = number(vector, "count");
        let digest = |i: u128| Digest(alloy_primitives::keccak256(format!("tarefa {} {i}", name(vector, "seed"))));
        let digests: Vec<Digest> = (0..count).map(digest).collect();
        let batch = tree::Batches::new(&digests).expect("1 to 1024");
        assert_eq!(batch.root(), word(vector, "root"));
        for entry in list(vector, "proofs") {
            let index = usize::try_from(number(entry, "index")).expect("small");
            let proof: Vec<B256> = list(entry, "proof").iter().map(read::as_word).collect();
            assert_eq!(digests[index].0, word(entry, "digest"));
            assert_eq!(batch.proof(index), proof);
            let hub = HubSignature { signature: signature(vector, "signature"), proof };
            assert_eq!(hub.signer(&domain, digests[index], &Secp), Some(read::address(vector, "signer")));
        }
    }
    assert!(tree::Batches::new(&[]).is_err());
    assert!(tree::Batches::new(&vec![Digest::default(); 1025]).is_err());
}

#[test]
fn what_must_be_refused_is_refused_for_the_right_reason() {
    let vectors = vectors();
    let mut reasons = std::collections::BTreeMap::<&str, u32>::new();
    for vector in list(&vectors, "negatives") {
        let case = name(vector, "name");
        let reason = name(vector, "reason");
        match (reason, vector.get("tree").and_then(Value::as_str)) {
            ("signature", _) => assert_eq!(
                Secp.recover(Digest(word(vector, "digest")), &signature(vector, "signature")),
                None,
                "{case}"
            ),
            ("signer", _) => {
                let found = Secp.recover(Digest(word(vector, "digest")), &signature(vector, "signature"));
                assert!(found.is_some(), "{case}: the signature itself is sound");
                assert_ne!(found, Some(read::address(vector, "signer")), "{case}");
            }
            ("proof", Some("pending")) => {
                let proof: Vec<B256> = list(vector, "proof").iter().map(read::as_word).collect();
                let (index, count) = (number(vector, "index") as usize, number(vector, "count") as usize);
                let id = TokenId(word(vector, "id"));
                assert!(!tree::pending_proves(word(vector, "root"), id, index, count, &proof), "{case}");
            }
            ("proof", _) => {
                let proof: Vec<B256> = list(vector, "proof").iter().map(read::as_word).collect();
                let found = tree::batch_root(Digest(word(vector, "digest")), &proof);
                assert_ne!(found, Some(word(vector, "root")), "{case}");
                assert_eq!(found.is_none(), proof.len() > limits::BATCH_DEPTH, "{case}");
            }
            ("width", _) => {
                assert_eq!(Seq::new(number(vector, "seq") as u64), None, "{case}");
                assert!(Seq::new(number(vector, "truncated") as u64).is_some(), "{case}: what it would have become");
            }
            _ => panic!("{case}: unknown reason {reason}"),
        }
        *reasons.entry(reason).or_default() += 1;
    }
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), [("proof", 7), ("signature", 2), ("signer", 4), ("width", 1)]);
}

#[test]
fn prices_round_once() {
    let vectors = vectors();
    let mut too_much = 0;
    for vector in list(&vectors, "prices") {
        let cost = price::session_cost(Amount(number(vector, "pricePerSecond")), number(vector, "totalMs") as u64);
        match field(vector, "cost") {
            Value::Null => {
                assert!(cost.is_err(), "{vector}");
                too_much += 1;
            }
            _ => assert_eq!(cost, Ok(Amount(number(vector, "cost"))), "{vector}"),
        }
    }
    assert_eq!(too_much, 1);
}

#[test]
fn the_hash_of_a_state_is_its_struct_hash_and_no_digest() {
    let state =
        State { channel: Default::default(), seq: Seq::ZERO, last: false, balances: Balances::default(), ops: vec![] };
    assert_eq!(state.hash(), StateHash(state.struct_hash()));
    assert_ne!(state.hash().0, state.digest(&domain(&vectors())).0);
}
