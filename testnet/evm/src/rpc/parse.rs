//! Parameters of JSON-RPC, with errors that name them.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Fault;
use crate::chain::DevChain;
use crate::execute::{BLOCK_GAS, Request};
use crate::filter::Filter;

/// The parameter at a place.
pub fn param<'a>(params: &'a [Value], place: usize, what: &str) -> Result<&'a Value, Fault> {
    params.get(place).ok_or_else(|| Fault::params(format!("parameter {} is missing: {what}", place + 1)))
}

/// A parameter in the form that its type has in JSON.
pub fn typed<T: DeserializeOwned>(params: &[Value], place: usize, what: &str) -> Result<T, Fault> {
    read(param(params, place, what)?, what)
}

fn read<T: DeserializeOwned>(value: &Value, what: &str) -> Result<T, Fault> {
    serde_json::from_value(value.clone()).map_err(|error| Fault::params(format!("{value} is not {what}: {error}")))
}

/// A number: a hex quantity, or what JSON calls one.
pub fn number(params: &[Value], place: usize, what: &str) -> Result<u64, Fault> {
    let value = param(params, place, what)?;
    if let Some(number) = value.as_u64() {
        return Ok(number);
    }
    let quantity: U256 = read(value, what)?;
    quantity.try_into().map_err(|_| Fault::params(format!("{value} is not {what}: it is too large")))
}

/// The number of the block that a tag or quantity names. The chain has no past states: everything but blocks and events is answered at
/// the newest.
pub fn block(chain: &DevChain, tag: Option<&Value>) -> Result<u64, Fault> {
    let head = chain.head().number;
    match tag {
        None | Some(Value::Null) => Ok(head),
        Some(Value::String(tag)) => match tag.as_str() {
            "latest" | "pending" | "safe" | "finalized" => Ok(head),
            "earliest" => Ok(0),
            _ => number(&[Value::String(tag.clone())], 0, "a block tag or number"),
        },
        // EIP-1898.
        Some(Value::Object(names)) => match (names.get("blockNumber"), names.get("blockHash")) {
            (Some(number), _) => block(chain, Some(number)),
            (None, Some(hash)) => {
                let hash: B256 = read(hash, "a block hash")?;
                let found = chain.block_by_hash(hash).ok_or_else(|| Fault::new(-32000, "no block has this hash"))?;
                Ok(found.number)
            }
            (None, None) => Err(Fault::params("a block is named by number, hash or tag")),
        },
        Some(other) => number(std::slice::from_ref(other), 0, "a block tag or number"),
    }
}

fn field<T: DeserializeOwned>(call: &Value, names: &[&str]) -> Result<Option<T>, Fault> {
    for name in names {
        match call.get(name) {
            None | Some(Value::Null) => {}
            Some(value) => return read(value, &format!("a `{name}`")).map(Some),
        }
    }
    Ok(None)
}

/// What `eth_call` and `eth_estimateGas` are asked for. It pays nothing for gas, so that accounts without money can ask.
pub fn request(params: &[Value]) -> Result<Request, Fault> {
    let call = param(params, 0, "a call object")?;
    let gas: Option<U256> = field(call, &["gas"])?;
    Ok(Request {
        from: field(call, &["from"])?.unwrap_or(Address::ZERO),
        to: field(call, &["to"])?,
        value: field(call, &["value"])?.unwrap_or_default(),
        input: field::<Bytes>(call, &["input", "data"])?.unwrap_or_default(),
        gas: gas.map_or(BLOCK_GAS, |gas| gas.try_into().unwrap_or(BLOCK_GAS).min(BLOCK_GAS)),
        gas_price: None,
        nonce: None,
    })
}

/// One, or any of several.
fn any<T: DeserializeOwned>(value: Option<&Value>, what: &str) -> Result<Vec<T>, Fault> {
    match value {
        None | Some(Value::Null) => Ok(vec![]),
        Some(Value::Array(many)) => many.iter().map(|one| read(one, what)).collect(),
        Some(one) => Ok(vec![read(one, what)?]),
    }
}

/// What `eth_getLogs` is asked for.
pub fn filter(chain: &DevChain, params: &[Value]) -> Result<Filter, Fault> {
    let asked = param(params, 0, "a filter object")?;
    let (from, to) = match asked.get("blockHash") {
        None | Some(Value::Null) => (block(chain, asked.get("fromBlock"))?, block(chain, asked.get("toBlock"))?),
        Some(hash) => {
            let hash: B256 = read(hash, "a block hash")?;
            let found = chain.block_by_hash(hash).ok_or_else(|| Fault::new(-32000, "no block has this hash"))?;
            (found.number, found.number)
        }
    };
    let addresses = any(asked.get("address"), "an address")?;
    let topics = match asked.get("topics") {
        None | Some(Value::Null) => vec![],
        Some(Value::Array(places)) => {
            places.iter().map(|place| any(Some(place), "a topic")).collect::<Result<_, _>>()?
        }
        Some(other) => return Err(Fault::params(format!("{other} is not a list of topics"))),
    };
    Ok(Filter { from, to, addresses, topics })
}
