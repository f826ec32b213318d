//! Ethereum's JSON-RPC, as far as clients of contracts use it, and what tests move: time, balances, snapshots.

mod json;
mod methods;
mod parse;

use serde_json::{Value, json};

use crate::chain::DevChain;
use crate::clock::Clock;

/// Requests in one batch.
const BATCH: usize = 1000;

/// A chain and its clock, as served.
pub struct Served {
    /// The chain.
    pub chain: DevChain,
    /// Its clock.
    pub clock: Clock,
}

/// What a method answers instead of a result: JSON-RPC's code, words, and data where there is some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    code: i64,
    message: String,
    data: Option<String>,
}

impl Fault {
    fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    fn params(message: impl Into<String>) -> Self {
        Self::new(-32602, message)
    }
}

impl Served {
    /// Makes a block without transactions where the clock is past the newest one's time.
    pub fn tick(&mut self) {
        if self.clock.now() > self.chain.head().time {
            let now = self.clock.take();
            self.chain.mine(now);
        }
    }

    /// The answer to a request or a batch of them; none where all are notifications.
    pub fn answer(&mut self, body: &[u8]) -> Option<Value> {
        match serde_json::from_slice(body) {
            Err(error) => Some(failed(&Value::Null, &Fault::new(-32700, format!("not JSON: {error}")))),
            Ok(Value::Array(many)) if many.is_empty() || many.len() > BATCH => {
                let fault = Fault::new(-32600, format!("a batch has between 1 and {BATCH} requests"));
                Some(failed(&Value::Null, &fault))
            }
            Ok(Value::Array(many)) => {
                let answers: Vec<Value> = many.iter().filter_map(|one| self.one(one)).collect();
                (!answers.is_empty()).then_some(Value::Array(answers))
            }
            Ok(one) => self.one(&one),
        }
    }

    fn one(&mut self, request: &Value) -> Option<Value> {
        let Some(method) = request.get("method").and_then(Value::as_str) else {
            let fault = Fault::new(-32600, "a request is an object with a `method`");
            return Some(failed(request.get("id").unwrap_or(&Value::Null), &fault));
        };
        let none = vec![];
        let params = match request.get("params") {
            None | Some(Value::Null) => Ok(&none),
            Some(Value::Array(params)) => Ok(params),
            Some(_) => Err(Fault::params("`params` is an array")),
        };
        let answer = params.and_then(|params| self.call(method, params));
        // Without an id nobody waits for the answer.
        let id = request.get("id")?;
        Some(match answer {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err(fault) => failed(id, &fault),
        })
    }
}

fn failed(id: &Value, fault: &Fault) -> Value {
    let mut error = json!({ "code": fault.code, "message": fault.message });
    if let Some(data) = &fault.data {
        error["data"] = json!(data);
    }
    json!({ "jsonrpc": "2.0", "id": id, "error": error })
}
