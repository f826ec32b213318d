//! What must be the same: status, headers that mean something, keys and types of JSON, values that the fixtures fix,
//! texts of errors. What a network decides for itself (ids, times, counts) is compared by its shape.

use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::Block;
use iota_sdk::types::block::payload::Payload;
use serde_json::Value;
use tarefa_ledger::blake2b;

use crate::cases::Case;
use crate::fixtures::Fixtures;
use crate::http::Answer;

/// Headers that say nothing about behaviour.
const IGNORED: [&str; 3] = ["date", "content-length", "connection"];
/// Headers that must not appear where the recording has none.
const TELLING: [&str; 7] = [
    "allow",
    "location",
    "content-encoding",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "sec-websocket-version",
];

/// Numbers and texts that belong to one network or moment.
const VOLATILE: [&str; 48] = [
    "index",
    "timestamp",
    "ledgerIndex",
    "milestoneIndex",
    "milestoneIndexBooked",
    "milestoneTimestampBooked",
    "milestoneIndexSpent",
    "milestoneTimestampSpent",
    "referencedByMilestoneIndex",
    "whiteFlagIndex",
    "pruningIndex",
    "nonce",
    "balance",
    "waitingRequests",
    "uptime",
    "memUsage",
    "blocksPerSecond",
    "referencedBlocksPerSecond",
    "referencedRate",
    "blockId",
    "milestoneId",
    "previousMilestoneId",
    "inclusionMerkleRoot",
    "appliedMerkleRoot",
    "publicKey",
    "signature",
    "transactionId",
    "transactionIdSpent",
    "cursor",
    "nodeId",
    "name",
    "version",
    "latestVersion",
    "nodeAlias",
    "id",
    "address",
    "alias",
    "relation",
    "solidMilestoneIndex",
    "prunedMilestoneIndex",
    "latestMilestoneIndex",
    "connectedPeers",
    "syncedPeers",
    "knownBlocks",
    "receivedBlocks",
    "sentBlocks",
    "receivedHeartbeats",
    "sentHeartbeats",
];
/// Lists whose length is the network's business.
const OPEN_LISTS: [&str; 7] =
    ["tips", "parents", "peers", "signatures", "multiAddresses", "createdOutputs", "consumedOutputs"];

/// Differences between the recorded answer and this one.
pub fn compare(case: &Case, answer: &Answer, fixtures: &Fixtures) -> Vec<String> {
    let mut differences = vec![];
    let status = case.answer["status"].as_u64().unwrap_or(0);
    if status != u64::from(answer.status) {
        let body = String::from_utf8_lossy(&answer.body).chars().take(300).collect::<String>();
        differences.push(format!("status: {status} recorded, {} here: {body}", answer.status));
        return differences;
    }
    headers(case, answer, &mut differences);
    body(case, answer, fixtures, &mut differences);
    differences
}

fn headers(case: &Case, answer: &Answer, differences: &mut Vec<String>) {
    let recorded = case.answer["headers"].as_object().cloned().unwrap_or_default();
    for (name, value) in &recorded {
        if IGNORED.contains(&name.as_str()) {
            continue;
        }
        let wanted = value.as_str().unwrap_or_default();
        let here = answer.header(name);
        let same = match name.as_str() {
            // The block's id, which the body says too.
            "location" => here.first().is_some_and(|id| id.len() == wanted.len() && id.starts_with("0x")),
            _ => here.contains(&wanted),
        };
        if !same {
            differences.push(format!("header {name}: `{wanted}` recorded, {here:?} here"));
        }
    }
    for name in TELLING {
        if !recorded.contains_key(name) && !answer.header(name).is_empty() {
            differences.push(format!("header {name}: none recorded, {:?} here", answer.header(name)));
        }
    }
}

fn body(case: &Case, answer: &Answer, fixtures: &Fixtures, differences: &mut Vec<String>) {
    let recorded = &case.answer["body"];
    if let Some(wanted) = recorded.get("json") {
        let Some(here) = answer.json() else {
            differences.push(format!("body: JSON recorded, `{}` here", String::from_utf8_lossy(&answer.body)));
            return;
        };
        if !wanted["error"].is_null() {
            errors(wanted, &here, fixtures, differences);
            return;
        }
        // Where the recorded text mentions nothing of ours, it is compared as it is.
        let own: Value = match serde_json::from_str(&fixtures.rewrite.apply(&wanted.to_string())) {
            Ok(own) => own,
            Err(error) => {
                differences.push(format!("the recorded body cannot be rewritten: {error}"));
                return;
            }
        };
        let bound = Bound { fixtures, recorded: wanted, is_genesis: case.name.contains("genesis output") };
        json("", wanted, &own, &here, &bound, differences);
    } else if let Some(wanted) = recorded["hex"].as_str() {
        raw(case, wanted, &answer.body, fixtures, differences);
    } else if let Some(wanted) = recorded["text"].as_str() {
        // A page is the server's own.
        let is_page = answer.header("content-type").first().is_some_and(|kind| kind.starts_with("text/html"));
        let here = String::from_utf8_lossy(&answer.body);
        if !is_page && here != wanted {
            differences.push(format!("body: `{wanted}` recorded, `{here}` here"));
        }
    } else if !answer.body.is_empty() {
        differences.push(format!("body: none recorded, {} bytes here", answer.body.len()));
    }
}

fn errors(wanted: &Value, here: &Value, fixtures: &Fixtures, differences: &mut Vec<String>) {
    let code = |value: &Value| value["error"]["code"].clone();
    if code(wanted) != code(here) {
        differences.push(format!("error code: {} recorded, {} here", code(wanted), code(here)));
    }
    let text = |value: &Value| value["error"]["message"].as_str().unwrap_or_default().to_owned();
    let (wanted, here) = (masked(&fixtures.rewrite.apply(&text(wanted))), masked(&text(here)));
    if wanted != here {
        differences.push(format!("error text: recorded `{wanted}`"));
        differences.push(format!("                here `{here}`"));
    }
}

/// A text with ids and long numbers masked, and without the words of Go's own JSON decoder.
fn masked(text: &str) -> String {
    // These two depend on how old the network is.
    let shortest = if text.contains("snapshot target") || text.contains("for milestone:") { 1 } else { 3 };
    let mut out = String::new();
    let mut run = String::new();
    for character in text.chars().chain(['\0']) {
        if character.is_ascii_hexdigit() || (character == 'x' && run == "0") {
            run.push(character);
            continue;
        }
        let is_id = run.len() >= 40;
        let is_number = run.len() >= shortest && run.bytes().all(|digit| digit.is_ascii_digit());
        out.push_str(if is_id || is_number { "#" } else { &run });
        run.clear();
        out.push(character);
    }
    out.pop();
    let cut = ["Unmarshal type error:", ", internal=", "json: cannot unmarshal"]
        .iter()
        .filter_map(|mark| out.find(mark))
        .min()
        .unwrap_or(out.len());
    // What the node puts around the decoder's words is its own again.
    let frame = out.rfind(": code=#, message=").filter(|end| *end > cut).map_or("", |end| &out[end..]);
    format!("{}{frame}", &out[..cut])
}

struct Bound<'a> {
    fixtures: &'a Fixtures,
    recorded: &'a Value,
    /// Who got how much at the beginning is a network's own.
    is_genesis: bool,
}

impl Bound<'_> {
    /// Whether every text in a recorded list has a counterpart here: only then its length is known.
    fn is_fixed(&self, list: &[Value]) -> bool {
        let known = |value: &Value| value.as_str().is_none_or(|text| self.fixtures.rewrite.knows(text));
        list.iter().all(known)
    }
}

fn json(key: &str, recorded: &Value, own: &Value, here: &Value, bound: &Bound<'_>, differences: &mut Vec<String>) {
    match (own, here) {
        (Value::Object(wanted), Value::Object(found)) => {
            for name in wanted.keys().filter(|name| !found.contains_key(*name)) {
                differences.push(format!("{key}.{name} is missing"));
            }
            for name in found.keys().filter(|name| !wanted.contains_key(*name)) {
                differences.push(format!("{key}.{name} is not in the recording"));
            }
            for (name, value) in wanted {
                if let Some(found) = found.get(name) {
                    json(name, &recorded[name], value, found, bound, differences);
                }
            }
        }
        (Value::Array(wanted), Value::Array(found)) => list(key, recorded, wanted, found, bound, differences),
        (Value::String(wanted), Value::String(found)) => {
            let of_genesis = bound.is_genesis && matches!(key, "amount" | "pubKeyHash");
            let volatile = VOLATILE.contains(&key) || OPEN_LISTS.contains(&key) || of_genesis;
            let known = bound.fixtures.rewrite.knows(recorded.as_str().unwrap_or_default());
            let same = wanted == found || ((volatile || is_open(key)) && !known && alike(wanted, found));
            if !same {
                differences.push(format!("{key}: `{wanted}` expected, `{found}` here"));
            }
        }
        (Value::Number(_), Value::Number(_)) if VOLATILE.contains(&key) => {}
        (wanted, found) if wanted == found => {}
        (wanted, found) => differences.push(format!("{key}: {wanted} expected, {found} here")),
    }
}

/// Elements of lists without keys of their own are compared under the list's.
fn is_open(key: &str) -> bool {
    key == "items"
}

fn list(
    key: &str,
    recorded: &Value,
    wanted: &[Value],
    found: &[Value],
    bound: &Bound<'_>,
    differences: &mut Vec<String>,
) {
    let originals = recorded.as_array().cloned().unwrap_or_default();
    let open =
        OPEN_LISTS.contains(&key) || bound.recorded.is_array() || (key == "items" && !bound.is_fixed(&originals));
    if open {
        // Peers and genesis outputs are a network's own; everything else that was there must be there.
        if found.is_empty() && !wanted.is_empty() && key != "items" && !bound.recorded.is_array() {
            differences.push(format!("{key}: empty here, {} elements recorded", wanted.len()));
        }
        // Each element has the form of the first recorded one.
        if let (Some(first), Some(original)) = (wanted.first(), originals.first()) {
            for element in found {
                match (first, element) {
                    (Value::String(first), Value::String(element)) if alike(first, element) => {}
                    (Value::String(_), other) => differences.push(format!("{key}: {other} is not like {first}")),
                    _ => json(key, original, first, element, bound, differences),
                }
            }
        }
        return;
    }
    if wanted.len() != found.len() {
        let texts = |list: &[Value]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        differences.push(format!(
            "{key}: {} elements expected, {} here: [{}] expected, [{}] here",
            wanted.len(),
            found.len(),
            texts(wanted),
            texts(found)
        ));
        return;
    }
    for ((original, wanted), found) in originals.iter().zip(wanted).zip(found) {
        json(key, original, wanted, found, bound, differences);
    }
}

/// Two texts of one kind: hex of one length, numbers, or anything else of the network's own.
fn alike(wanted: &str, found: &str) -> bool {
    let is_hex = |text: &str| {
        text.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    if is_hex(wanted) {
        return is_hex(found) && wanted.len() == found.len();
    }
    if is_number(wanted) {
        return is_number(found);
    }
    !is_hex(found) && wanted.is_empty() == found.is_empty()
}

/// Raw bytes: a block must hash to the id that was asked for, everything else is the recorded bytes with our ids.
fn raw(case: &Case, wanted: &str, here: &[u8], fixtures: &Fixtures, differences: &mut Vec<String>) {
    let path = case.request["path"].as_str().unwrap_or_default();
    let asked = fixtures.rewrite.apply(path).to_lowercase();
    if asked.contains("/blocks/") {
        let id = format!("0x{}", hex::encode(blake2b(here)));
        if !asked.contains(&id) {
            differences.push(format!("the block hashes to {id}, which is not the one asked for"));
        }
    } else if asked.contains("/outputs/") {
        let wanted = fixtures.raw_rewrite.apply(wanted);
        let here = format!("0x{}", hex::encode(here));
        if wanted != here {
            differences.push(format!("output: {wanted} expected, {here} here"));
        }
    } else if asked.contains("included-block") {
        let block = Block::unpack_unverified(here).ok();
        let transaction = block.as_ref().and_then(|block| match block.payload() {
            Some(Payload::Transaction(transaction)) => Some(transaction.id().to_string()),
            _ => None,
        });
        if transaction.is_none_or(|id| !asked.contains(&id)) {
            differences.push("not a block with the transaction that was asked for".into());
        }
    } else {
        // A milestone: whose it is, its signatures say; here its kind and length.
        let recorded = wanted.len() / 2 - 1;
        if !here.starts_with(&[7, 0, 0, 0]) || here.len() % 32 != recorded % 32 {
            differences.push(format!("{} bytes that are not a milestone", here.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rewrite::Rewrite;

    fn differences(recorded: Value, status: u16, body: &Value) -> Vec<String> {
        let mut rewrite = Rewrite::default();
        rewrite.hex("0xaaaa", "0xbbbb");
        let fixtures = Fixtures { rewrite, raw_rewrite: Rewrite::default(), milestone_block: vec![] };
        let answer = json!({ "status": 200, "headers": { "vary": "Accept-Encoding" }, "body": { "json": recorded } });
        let case = Case { group: "info", name: "a case".into(), request: json!({ "path": "/" }), answer };
        let headers = vec![("vary".to_owned(), "Accept-Encoding".to_owned())];
        compare(&case, &Answer { status, headers, body: body.to_string().into_bytes() }, &fixtures)
    }

    #[test]
    fn what_a_network_decides_may_differ_and_nothing_else() {
        let recorded = json!({ "isSpent": false, "index": 5, "blockId": "0x1234", "items": ["0xaaaa"] });
        let same = json!({ "isSpent": false, "index": 9, "blockId": "0x9999", "items": ["0xbbbb"] });
        assert_eq!(differences(recorded.clone(), 200, &same), [""; 0]);
        let breaks = [
            ("isSpent", json!(true)),
            ("index", json!("9")),
            ("blockId", json!("0x99")),
            ("items", json!(["0xcccc"])),
            ("items", json!([])),
        ];
        for (key, value) in breaks {
            let mut body = same.clone();
            body[key] = value;
            assert_ne!(differences(recorded.clone(), 200, &body), [""; 0], "{key}");
        }
        let mut more = same.clone();
        more["extra"] = json!(1);
        assert_ne!(differences(recorded.clone(), 200, &more), [""; 0], "a key too many");
        assert_ne!(differences(recorded, 404, &same), [""; 0], "another status");
    }

    #[test]
    fn texts_of_errors_are_compared_without_ids_and_gos_own_words() {
        let error = |text: &str| json!({ "error": { "code": "400", "message": text } });
        let id = |digit: &str| format!("block not found: 0x{}: code=400, message=x", digit.repeat(64));
        assert_eq!(differences(error(&id("a")), 200, &error(&id("b"))), [""; 0]);
        let go = "bad, error: json: cannot unmarshal number into Go: code=400, message=x";
        let ours = "bad, error: json: cannot unmarshal it: code=400, message=x";
        assert_eq!(differences(error(go), 200, &error(ours)), [""; 0]);
        assert_ne!(differences(error("max is 8"), 200, &error("max is 9")), [""; 0]);
        assert_ne!(differences(error(&id("a")), 200, &error("block not found")), [""; 0]);
    }
}
