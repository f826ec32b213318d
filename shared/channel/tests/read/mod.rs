//! Reads the vectors: JSON into messages, field by field.

use serde_json::Value;
use tarefa_channel::message::{
    Balances, Batch, ChannelOffer, Grant, Message, Op, OpKind, RedeemAuth, State, Token, TokenKind, Voucher,
};
use tarefa_channel::{Address, Amount, B256, ChannelId, Seq, StateHash, Time, TokenId, U256};

pub fn field<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or_else(|| panic!("no {key} in {value}"))
}

pub fn name<'a>(value: &'a Value, key: &str) -> &'a str {
    field(value, key).as_str().unwrap_or_else(|| panic!("{key} is no text"))
}

pub fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    field(value, key).as_array().unwrap_or_else(|| panic!("{key} is no list"))
}

pub fn bytes(value: &Value, key: &str) -> Vec<u8> {
    hex::decode(name(value, key).trim_start_matches("0x")).expect("hex")
}

pub fn as_word(value: &Value) -> B256 {
    value.as_str().expect("text").parse().expect("32 bytes")
}

pub fn word(value: &Value, key: &str) -> B256 {
    as_word(field(value, key))
}

pub fn address(value: &Value, key: &str) -> Address {
    name(value, key).parse().expect("an address")
}

/// A number, or the text of one that JSON cannot hold.
pub fn number(value: &Value, key: &str) -> u128 {
    match field(value, key) {
        Value::String(text) => text.parse().expect("a number"),
        other => other.as_u64().expect("a number").into(),
    }
}

fn amount(value: &Value, key: &str) -> Amount {
    Amount(number(value, key))
}

fn small(value: &Value, key: &str) -> u64 {
    u64::try_from(number(value, key)).expect("64 bits")
}

fn seq(value: &Value, key: &str) -> Seq {
    Seq::new(small(value, key)).expect("48 bits")
}

fn balances(value: &Value) -> Balances {
    Balances {
        client: amount(value, "client"),
        hub: amount(value, "hub"),
        pending: amount(value, "pending"),
        client_in: amount(value, "clientIn"),
        client_out: amount(value, "clientOut"),
        hub_in: amount(value, "hubIn"),
        hub_out: amount(value, "hubOut"),
        on_out: amount(value, "onOut"),
        pending_count: u16::try_from(number(value, "pendingCount")).expect("16 bits"),
        pending_root: word(value, "pendingRoot"),
        floor: seq(value, "floor"),
        window: U256::from_str_radix(name(value, "window"), 10).expect("a number"),
    }
}

fn op(value: &Value) -> Op {
    let kind = OpKind::new(u8::try_from(number(value, "kind")).expect("8 bits")).expect("a kind");
    Op { kind, token: word(value, "token"), amount: amount(value, "amount") }
}

pub fn state(value: &Value) -> State {
    State {
        channel: ChannelId(word(value, "channel")),
        seq: seq(value, "seq"),
        last: field(value, "last").as_bool().expect("a flag"),
        balances: balances(field(value, "balances")),
        ops: list(value, "ops").iter().map(op).collect(),
    }
}

fn token(value: &Value) -> Token {
    Token {
        payer_channel: ChannelId(word(value, "payerChannel")),
        payer_seq: seq(value, "payerSeq"),
        index: u16::try_from(number(value, "index")).expect("16 bits"),
        payee: word(value, "payee"),
        kind: TokenKind::new(u8::try_from(number(value, "kind")).expect("8 bits")).expect("a kind"),
        value: amount(value, "value"),
        fee: amount(value, "fee"),
        attach_by: Time(small(value, "attachBy")),
        redeem_by: Time(small(value, "redeemBy")),
        claim_by: Time(small(value, "claimBy")),
        condition: word(value, "condition"),
        voucher_key: address(value, "voucherKey"),
        invoice: word(value, "invoice"),
    }
}

pub fn message(kind: &str, value: &Value) -> Box<dyn Message> {
    match kind {
        "State" => Box::new(state(value)),
        "Token" => Box::new(token(value)),
        "Balances" => Box::new(balances(value)),
        "Op" => Box::new(op(value)),
        "Grant" => Box::new(Grant {
            token: TokenId(word(value, "token")),
            payee_seq: seq(value, "payeeSeq"),
            payer_state: StateHash(word(value, "payerState")),
        }),
        "Voucher" => Box::new(Voucher {
            token: TokenId(word(value, "token")),
            cumulative: amount(value, "cumulative"),
            usage: word(value, "usage"),
            condition: word(value, "condition"),
        }),
        "RedeemAuth" => Box::new(RedeemAuth {
            token: TokenId(word(value, "token")),
            submitter: address(value, "submitter"),
            until: Time(small(value, "until")),
        }),
        "ChannelOffer" => Box::new(ChannelOffer {
            client: address(value, "client"),
            asset: address(value, "asset"),
            epoch: u32::try_from(number(value, "epoch")).expect("32 bits"),
            hub_amount: amount(value, "hubAmount"),
            opening_fee: amount(value, "openingFee"),
            valid_until: Time(small(value, "validUntil")),
        }),
        "Batch" => Box::new(Batch { root: word(value, "root") }),
        other => panic!("unknown type {other}"),
    }
}
