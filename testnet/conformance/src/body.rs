//! Bodies of requests: the recorded ones, with parents and ids of the network under test.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tarefa_ledger::{build, milestone, network};

use crate::http;
use crate::parents::replaced;
use crate::rewrite::Rewrite;

/// Bytes of a block before its parents: version and their number.
const HEAD: usize = 2;
const ID: usize = 32;

/// A body as it is sent.
pub fn make(recorded: &Value, fresh: &[String], rewrite: &Rewrite) -> Result<Vec<u8>> {
    if let Some(value) = recorded.get("json") {
        return Ok(in_json(value, fresh, rewrite).into_bytes());
    }
    if let Some(text) = recorded["text"].as_str() {
        return Ok(in_text(text, fresh, rewrite).into_bytes());
    }
    if let Some(text) = recorded["hex"].as_str() {
        let bytes = hex::decode(text.trim_start_matches("0x")).context("a recorded body")?;
        return Ok(raw(&bytes, fresh, rewrite));
    }
    if let Some(length) = recorded["length"].as_u64() {
        let first = hex::decode(recorded["first"].as_str().unwrap_or_default().trim_start_matches("0x"))?;
        // The filler goes on as it begins.
        let last = first.last().copied().unwrap_or(0);
        let mut bytes = first;
        bytes.resize(usize::try_from(length)?, last);
        return Ok(bytes);
    }
    bail!("a body of an unknown form: {recorded}")
}

fn in_json(recorded: &Value, fresh: &[String], rewrite: &Rewrite) -> String {
    let mut value = recorded.clone();
    let parents = texts(&value["parents"]);
    if let Some(parents) = parents
        && !parents.is_empty()
    {
        value["parents"] = replaced(&parents, fresh, rewrite).into();
    }
    rewrite.apply(&value.to_string())
}

/// A text that begins with a JSON block.
fn in_text(recorded: &str, fresh: &[String], rewrite: &Rewrite) -> String {
    let mut values = serde_json::Deserializer::from_str(recorded).into_iter::<Value>();
    match values.next() {
        Some(Ok(value)) if value.is_object() => {
            let rest = &recorded[values.byte_offset()..];
            in_json(&value, fresh, rewrite) + rest
        }
        _ => rewrite.apply(recorded),
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}

/// A raw block with other parents. What is no block, or has its parents cut off, stays as it is.
fn raw(bytes: &[u8], fresh: &[String], rewrite: &Rewrite) -> Vec<u8> {
    let count = usize::from(bytes.get(1).copied().unwrap_or(0));
    let end = HEAD + count * ID;
    let Some(ids) = bytes.get(HEAD..end).filter(|ids| !ids.is_empty()) else { return bytes.to_vec() };
    // Bytes that count up are not parents but the recorder's idea of garbage.
    if ids.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)) {
        return bytes.to_vec();
    }
    let recorded: Vec<String> = ids.chunks(ID).map(|id| format!("0x{}", hex::encode(id))).collect();
    let own = replaced(&recorded, fresh, rewrite);
    let mut made = vec![bytes[0], own.len() as u8];
    for id in own {
        made.extend(hex::decode(id.trim_start_matches("0x")).unwrap_or_default());
    }
    made.extend_from_slice(&bytes[end..]);
    made
}

/// A question about the next milestone, as of now; what is wrong with the recorded one stays wrong.
pub async fn white_flag(recorded: &Value, node: &str) -> Result<Vec<u8>> {
    let info = http::get(node, "/api/core/v2/info").await?;
    let newest = &info["status"]["confirmedMilestone"];
    let index = newest["index"].as_u64().context("no milestone yet")?;
    let path = format!("/api/core/v2/milestones/by-index/{index}");
    let accept = [("Accept".to_owned(), "application/vnd.iota.serializer-v1".to_owned())];
    let raw = http::send(node, "GET", &path, &accept, None).await?.body;
    let payload = milestone::parse(&raw, u32::try_from(index)?, &network::private())?;
    let parents = payload.essence().parents().iter().copied().collect();
    let block = build::block(parents, Some(payload.clone().into())).map_err(|error| anyhow::anyhow!("{error}"))?;

    let mut value = recorded.clone();
    if value["index"].as_u64() < Some(1_000_000_000) {
        value["index"] = (index + 1).into();
    }
    if value["timestamp"] != json!(1) {
        value["timestamp"] = (u64::from(payload.essence().timestamp()) + 1).into();
    }
    if texts(&value["parents"]).is_some_and(|parents| parents.iter().any(|id| id.len() == 2 + 2 * ID)) {
        value["parents"] = json!([block.id().to_string()]);
    }
    let previous = value["previousMilestoneId"].as_str().unwrap_or_default();
    if previous.len() == 2 + 2 * ID && !previous.starts_with("0xabab") {
        value["previousMilestoneId"] = payload.id().to_string().into();
    }
    Ok(value.to_string().into_bytes())
}
