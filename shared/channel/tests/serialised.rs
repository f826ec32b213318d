//! What is stored and sent: the same after a way through JSON, amounts as text, and nothing that cannot be.

use alloy_primitives::{Address, B256, U256};
use tarefa_channel::contract::{HubWord, Signed};
use tarefa_channel::hub::Proposal;
use tarefa_channel::message::{Balances, Grant, Op, OpKind, State, Token, TokenKind};
use tarefa_channel::sign::{HubSignature, Signature};
use tarefa_channel::{Amount, ChannelId, Seq, StateHash, Time, TokenId};

fn token() -> Token {
    Token {
        payer_channel: ChannelId(B256::repeat_byte(1)),
        payer_seq: Seq::new(7).expect("small"),
        index: 2,
        payee: B256::repeat_byte(3),
        kind: TokenKind::Metered,
        value: Amount(u128::MAX),
        fee: Amount(0),
        attach_by: Time(10),
        redeem_by: Time(20),
        claim_by: Time(30),
        condition: B256::ZERO,
        voucher_key: Address::repeat_byte(4),
        invoice: B256::repeat_byte(5),
    }
}

fn proposal() -> Proposal {
    let balances = Balances { client: Amount(1 << 100), window: U256::MAX, ..Balances::default() };
    let ops = vec![Op::on(OpKind::Detach, token().id(), Amount(5))];
    let seq = Seq::new((1 << 48) - 1).expect("48 bits");
    let state = State { channel: ChannelId(B256::repeat_byte(1)), seq, last: false, balances, ops };
    let preimages = vec![(TokenId(B256::repeat_byte(8)), B256::repeat_byte(9))];
    Proposal { state, client: Signature([6; 64]), tokens: vec![token()], vouchers: vec![], preimages }
}

#[test]
fn a_proposal_is_the_same_after_json() {
    let text = serde_json::to_string(&proposal()).expect("it has a form");
    assert_eq!(serde_json::from_str::<Proposal>(&text).expect("its own form"), proposal());
    // No reader of JSON loses a digit, and names are those of the typed data.
    assert!(text.contains(r#""value":"340282366920938463463374607431768211455""#), "{text}");
    assert!(text.contains(r#""payerChannel":"0x0101"#) && text.contains(r#""kind":"metered""#), "{text}");
    assert!(text.contains(r#""client":"0x0606"#), "signatures are hex: {text}");
}

#[test]
fn both_forms_of_the_hubs_word_are_the_same_after_json() {
    let hub = HubSignature { signature: Signature([1; 64]), proof: vec![B256::repeat_byte(2)] };
    let grant = Grant { token: token().id(), payee_seq: Seq::ZERO, payer_state: StateHash(B256::ZERO) };
    for word in [HubWord::State(hub.clone()), HubWord::Grant(grant, hub)] {
        let signed = Signed { state: proposal().state, client: Signature([3; 64]), hub: word };
        let text = serde_json::to_string(&signed).expect("it has a form");
        assert_eq!(serde_json::from_str::<Signed>(&text).expect("its own form"), signed);
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let refused = |text: &str, words: &str| {
        let error = serde_json::from_str::<Token>(text).expect_err("it cannot be").to_string();
        assert!(error.contains(words), "{error}");
    };
    let text = serde_json::to_string(&token()).expect("it has a form");
    refused(&text.replace(r#""payerSeq":7"#, r#""payerSeq":281474976710656"#), "above 48 bits");
    refused(&text.replace(r#""fee":"0""#, r#""fee":"-1""#), "is not an amount");
    refused(&text.replace(r#""fee":"0""#, r#""fee":"+1""#), "is not an amount");
    refused(&text.replace(r#""fee":"0""#, r#""fee":"""#), "is not an amount");
    refused(&text.replace(r#""fee":"0""#, r#""fee":"340282366920938463463374607431768211456""#), "is not an amount");
    refused(&text.replace(r#""fee":"0""#, r#""fee":0"#), "expected a string");
    refused(&text.replace("metered", "free"), "unknown variant");
    refused(&text.replace(r#""invoice":"0x05"#, r#""invoice":"0x"#), "string length");
}
