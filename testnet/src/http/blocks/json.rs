//! A block in JSON, made into bytes without judging it: what it breaks, the bytes will show.
//!
//! Errors are those of the original's decoder, of which the inner words (Go's own) are not imitated.

use iota_sdk::packable::PackableExt;
use iota_sdk::types::TryFromDto;
use iota_sdk::types::block::output::Output;
use iota_sdk::types::block::output::dto::OutputDto;
use iota_sdk::types::block::payload::Payload;
use iota_sdk::types::block::payload::dto::PayloadDto;
use iota_sdk::types::block::unlock::Unlock;
use iota_sdk::types::block::unlock::dto::UnlockDto;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::super::params;

const TAGGED_DATA: u64 = 5;
const TRANSACTION: u64 = 6;
const MILESTONE: u64 = 7;
/// Most bytes of a tag that one byte can count.
const TAG_MAX: usize = 64;
/// Parents are kept and counted in one byte.
const PARENTS_COUNTED: usize = 255;

/// Why there are no bytes.
pub enum JsonError {
    /// Not a block in JSON.
    Decode(String),
    /// A block whose parts have no bytes.
    Attach(String),
    /// What the original does not survive.
    Crash,
}

type Result<T> = std::result::Result<T, JsonError>;

fn decode<T>(what: impl Into<String>) -> Result<T> {
    Err(JsonError::Decode(what.into()))
}

/// The bytes of a block in JSON; without parents they say so, as raw bytes may.
pub fn encode(body: &[u8]) -> Result<Vec<u8>> {
    // Text after the value is ignored, and an empty body is an empty block.
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    let block = match values.next() {
        None | Some(Ok(Value::Null)) => Map::new(),
        Some(Ok(Value::Object(block))) => block,
        Some(Ok(other)) => return mismatch("iotago.jsonBlock", &other, ""),
        Some(Err(error)) if error.is_eof() => return decode("unexpected EOF"),
        Some(Err(error)) => return decode(error.to_string()),
    };
    // The SDK's hex parser panics on other characters; nothing in a block has any.
    if block.values().any(has_foreign_text) {
        return decode("encoding/hex: invalid byte");
    }
    let version = match field(&block, "protocolVersion") {
        None => 0,
        Some(value) => match value.as_u64() {
            Some(version) => u8::try_from(version).unwrap_or(0),
            None => return mismatch("int", value, "protocolVersion"),
        },
    };
    let mut bytes = vec![version];
    let parents = parents(&block)?;
    bytes.push(u8::try_from(parents.len().min(PARENTS_COUNTED)).unwrap_or(u8::MAX));
    parents.iter().take(PARENTS_COUNTED).for_each(|parent| bytes.extend_from_slice(parent));
    let payload = match field(&block, "payload") {
        None => vec![],
        Some(value) => payload(value)?,
    };
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&payload);
    bytes.extend_from_slice(&nonce(&block)?.to_le_bytes());
    Ok(bytes)
}

fn has_foreign_text(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_ascii(),
        Value::Array(items) => items.iter().any(has_foreign_text),
        Value::Object(fields) => fields.values().any(has_foreign_text),
        _ => false,
    }
}

fn field<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

/// The original's words for a value of the wrong type; its offset is Go's own and not imitated.
fn mismatch<T>(expected: &str, value: &Value, field: &str) -> Result<T> {
    let got = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    decode(format!("Unmarshal type error: expected={expected}, got={got}, field={field}"))
}

fn parents(block: &Map<String, Value>) -> Result<Vec<[u8; 32]>> {
    let list = match field(block, "parents") {
        None => return Ok(vec![]),
        Some(Value::Array(list)) => list,
        Some(other) => return mismatch("[]string", other, "parents"),
    };
    let parent = |(index, value): (usize, &Value)| {
        let Some(text) = value.as_str() else { return mismatch("string", value, "parents") };
        match params::hex(text) {
            Ok(bytes) => Ok(params::fit(&bytes)),
            Err(why) => decode(format!("unable to decode hex parent {} from JSON: {why}", index + 1)),
        }
    };
    list.iter().enumerate().map(parent).collect()
}

fn nonce(block: &Map<String, Value>) -> Result<u64> {
    let text = match field(block, "nonce") {
        None => return Ok(0),
        Some(Value::String(text)) if text.is_empty() => return Ok(0),
        Some(Value::String(text)) => text,
        Some(other) => return mismatch("string", other, "nonce"),
    };
    params::unsigned::<u64>(text).or_else(|why| decode(format!("unable to parse block nonce from JSON: {why}")))
}

fn payload(value: &Value) -> Result<Vec<u8>> {
    let Value::Object(payload) = value else { return mismatch("iotago.JSONObjectEnvelope", value, "") };
    let kind = match payload.get("type") {
        None => 0,
        Some(value) => match value.as_u64() {
            Some(kind) => kind,
            None => return mismatch("int", value, "type"),
        },
    };
    match kind {
        TAGGED_DATA => tagged_data(payload),
        TRANSACTION => transaction(payload),
        MILESTONE => {
            let dto: PayloadDto = parsed(value, "unable to decode milestone from JSON")?;
            let payload = Payload::try_from_dto(dto);
            payload.map(|payload| payload.pack_to_vec()).or_else(|error| decode(error.to_string()))
        }
        _ => decode("unable to decode payload type from JSON: unknown payload type"),
    }
}

fn parsed<T: DeserializeOwned>(value: &Value, what: &str) -> Result<T> {
    T::deserialize(value).or_else(|error| decode(format!("{what}: {error}")))
}

fn tagged_data(payload: &Map<String, Value>) -> Result<Vec<u8>> {
    let part = |key: &str| match field(payload, key) {
        None => Ok(vec![]),
        Some(Value::String(text)) if text.is_empty() => Ok(vec![]),
        Some(Value::String(text)) => params::hex(text)
            .or_else(|why| decode(format!("unable to decode {key} from JSON for tagged data payload: {why}"))),
        Some(other) => mismatch("string", other, key),
    };
    let (tag, data) = (part("tag")?, part("data")?);
    if tag.len() > TAG_MAX {
        // The blank at the end is the original's.
        return Err(JsonError::Attach(format!(
            "unable to serialize block inner payload: unable to serialize payload: unable to serialize tagged data \
             tag: slice length is too long: slice (len {}) exceeds max length of {TAG_MAX} ",
            tag.len()
        )));
    }
    let mut bytes = (TAGGED_DATA as u32).to_le_bytes().to_vec();
    bytes.push(tag.len() as u8);
    bytes.extend_from_slice(&tag);
    bytes.extend_from_slice(&(data.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&data);
    Ok(bytes)
}

fn transaction(payload: &Map<String, Value>) -> Result<Vec<u8>> {
    let Some(essence) = field(payload, "essence") else { return Err(JsonError::Crash) };
    let Value::Object(essence) = essence else { return mismatch("iotago.jsonTransactionEssence", essence, "") };
    let mut bytes = (TRANSACTION as u32).to_le_bytes().to_vec();
    bytes.push(essence.get("type").and_then(Value::as_u64).and_then(|kind| u8::try_from(kind).ok()).unwrap_or(0));
    bytes.extend_from_slice(&network(essence)?.to_le_bytes());
    let list = |key: &str| field(essence, key).and_then(Value::as_array).cloned().unwrap_or_default();
    let inputs = list("inputs");
    bytes.extend_from_slice(&(inputs.len() as u16).to_le_bytes());
    for value in &inputs {
        input(value, &mut bytes)?;
    }
    let commitment = match field(essence, "inputsCommitment").and_then(Value::as_str) {
        Some(text) => {
            params::hex(text).or_else(|why| decode(format!("unable to decode inputs commitment from JSON: {why}")))?
        }
        None => vec![],
    };
    bytes.extend_from_slice(&params::fit::<32>(&commitment));
    let outputs = list("outputs");
    bytes.extend_from_slice(&(outputs.len() as u16).to_le_bytes());
    for (position, value) in outputs.iter().enumerate() {
        output(position, value, &mut bytes)?;
    }
    let note = match field(essence, "payload") {
        None => vec![],
        Some(Value::Object(note)) => tagged_data(note)?,
        Some(other) => return mismatch("iotago.JSONObjectEnvelope", other, "payload"),
    };
    bytes.extend_from_slice(&(note.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&note);
    let unlocks = field(payload, "unlocks").and_then(Value::as_array).cloned().unwrap_or_default();
    bytes.extend_from_slice(&(unlocks.len() as u16).to_le_bytes());
    for value in &unlocks {
        let dto: UnlockDto = parsed(value, "unable to decode unlock type from JSON")?;
        let unlock = Unlock::try_from(dto)
            .or_else(|error| decode(format!("unable to decode unlock type from JSON: {error}")))?;
        bytes.extend_from_slice(&unlock.pack_to_vec());
    }
    Ok(bytes)
}

fn network(essence: &Map<String, Value>) -> Result<u64> {
    match field(essence, "networkId") {
        None => Ok(0),
        Some(Value::String(text)) => params::unsigned::<u64>(text)
            .or_else(|why| decode(format!("unable to decode transaction essence from JSON: {why}"))),
        Some(_) => decode(
            "unable to decode transaction essence from JSON: json: cannot unmarshal number into Go struct field \
             jsonTransactionEssence.networkId of type string",
        ),
    }
}

fn input(value: &Value, bytes: &mut Vec<u8>) -> Result<()> {
    let kind = value["type"].as_u64().unwrap_or(0);
    bytes.push(u8::try_from(kind).unwrap_or(u8::MAX));
    let id = params::hex(value["transactionId"].as_str().unwrap_or_default())
        .or_else(|why| decode(format!("unable to decode transaction ID from JSON: {why}")))?;
    bytes.extend_from_slice(&params::fit::<32>(&id));
    let index = value["transactionOutputIndex"].as_u64().unwrap_or(0);
    bytes.extend_from_slice(&u16::try_from(index).unwrap_or(u16::MAX).to_le_bytes());
    Ok(())
}

fn output(position: usize, value: &Value, bytes: &mut Vec<u8>) -> Result<()> {
    let what = format!("unable to decode output type from JSON, pos {position}");
    if !matches!(value["type"].as_u64(), Some(3..=6)) {
        return decode(format!("{what}: unable to decode output type from JSON: unknown output type"));
    }
    if !value["amount"].is_string() {
        return decode(format!(
            "{what}: json: cannot unmarshal number into Go struct field jsonExtendedOutput.amount of type string"
        ));
    }
    let dto: OutputDto = parsed(value, &what)?;
    let output = Output::try_from_dto(dto).or_else(|error| decode(format!("{what}: {error}")))?;
    bytes.extend_from_slice(&output.pack_to_vec());
    Ok(())
}
