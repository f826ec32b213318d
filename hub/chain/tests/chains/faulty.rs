//! A node that does wrong: before the one of a place, it loses questions and answers, refuses what it has taken, and says again what it
//! said before.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

use crate::places::Place;

/// So many go wrong of the node that does wrong.
const WRONG: u64 = 20;

/// What a slow answer takes.
const SLOW: Duration = Duration::from_millis(20);

/// What it does with a question.
const WAYS: [fn(&Node, Value) -> Way; 6] = [
    |_, _| Way::Lost { taken: false },
    |_, _| Way::Lost { taken: true },
    |_, _| Way::Refused { taken: false },
    |_, _| Way::Refused { taken: true },
    |node, asked| node.earlier(&asked).map_or(Way::Slow, Way::Again),
    |_, _| Way::Slow,
];

enum Way {
    /// No answer; the node behind has heard the question, or not.
    Lost {
        taken: bool,
    },
    /// An error; the node behind has heard the question all the same, or not.
    Refused {
        taken: bool,
    },
    /// What was answered to the same question at some time before.
    Again(Value),
    Slow,
}

struct Node {
    url: String,
    client: reqwest::Client,
    /// Answers by question.
    answered: Mutex<HashMap<String, Vec<Value>>>,
    drawn: AtomicU64,
    seed: u64,
    /// Of a hundred questions, so many go wrong.
    wrong: u64,
    /// Blocks whose events it shows at once.
    most: u64,
}

/// The question without its number.
fn question(asked: &Value) -> String {
    json!([asked["method"], asked["params"]]).to_string()
}

impl Node {
    fn below(&self, bound: u64) -> u64 {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        let hash = alloy_primitives::keccak256([self.seed.to_be_bytes(), drawn.to_be_bytes()].concat());
        u64::from_be_bytes(hash[..8].try_into().expect("8 of 32 bytes")) % bound
    }

    fn is_too_much(&self, asked: &Value) -> bool {
        let block = |name: &str| {
            let text = asked["params"][0][name].as_str()?.strip_prefix("0x")?;
            u64::from_str_radix(text, 16).ok()
        };
        asked["method"] == "eth_getLogs"
            && block("toBlock").zip(block("fromBlock")).is_none_or(|(to, from)| to - from >= self.most)
    }

    fn earlier(&self, asked: &Value) -> Option<Value> {
        let answered = self.answered.lock().expect("nobody panics with it");
        let answers = answered.get(&question(asked))?;
        let place = self.below(answers.len() as u64);
        answers.get(usize::try_from(place).ok()?).cloned()
    }

    async fn ask(&self, asked: &Value) -> Value {
        let request = self.client.post(&self.url).header(header::CONTENT_TYPE, "application/json");
        let answer = request.body(asked.to_string()).send().await.expect("the node behind is sound");
        let mut answer: Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
        let kept = json!({ "result": answer["result"].take(), "error": answer["error"].take() });
        self.answered.lock().expect("nobody panics with it").entry(question(asked)).or_default().push(kept.clone());
        kept
    }
}

async fn answer(State(node): State<Arc<Node>>, body: Bytes) -> Response {
    let asked: Value = serde_json::from_slice(&body).expect("JSON");
    let say = |kept: Value| {
        let mut said = json!({ "jsonrpc": "2.0", "id": asked["id"] });
        let part = if kept["error"].is_null() { "result" } else { "error" };
        said[part] = kept[part].clone();
        ([(header::CONTENT_TYPE, "application/json")], said.to_string()).into_response()
    };
    if node.is_too_much(&asked) {
        return say(json!({ "error": { "code": -32005, "message": "query returned more than 10000 results" } }));
    }
    if node.below(100) >= node.wrong {
        return say(node.ask(&asked).await);
    }
    let way = WAYS[usize::try_from(node.below(WAYS.len() as u64)).expect("one of a few")];
    let way = way(&node, asked.clone());
    if matches!(way, Way::Lost { taken: true } | Way::Refused { taken: true }) {
        node.ask(&asked).await;
    }
    match way {
        Way::Lost { .. } => StatusCode::GATEWAY_TIMEOUT.into_response(),
        Way::Refused { .. } => say(json!({ "error": { "code": -32603, "message": "upstream is busy" } })),
        Way::Again(kept) => say(kept),
        Way::Slow => {
            tokio::time::sleep(SLOW).await;
            say(node.ask(&asked).await)
        }
    }
}

/// The address of such a node before a place's.
pub async fn before(place: &Place, seed: u64) -> String {
    serve(place, seed, WRONG, u64::MAX).await
}

/// The address of a node that does nothing wrong, but shows the events of so few blocks at once.
pub async fn stingy(place: &Place, most: u64) -> String {
    serve(place, 0, 0, most).await
}

async fn serve(place: &Place, seed: u64, wrong: u64, most: u64) -> String {
    let node = Node {
        url: place.url.clone(),
        client: reqwest::Client::new(),
        answered: Mutex::default(),
        drawn: AtomicU64::new(0),
        seed,
        wrong,
        most,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let router = axum::Router::new().route("/", post(answer)).with_state(Arc::new(node));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}
