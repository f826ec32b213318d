//! Where the suite runs.

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, U256};
use serde_json::{Value, json};
use tarefa_chain::Rpc;
use tarefa_evm::{Clock, Config, DevChain, Served, serve};

/// How long anvil may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Place {
    pub url: String,
    client: reqwest::Client,
    anvil: Option<Child>,
    embedded: Option<Arc<Mutex<Served>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(anvil) = &mut self.anvil {
            anvil.kill().ok();
            anvil.wait().ok();
        }
    }
}

impl Place {
    /// A chain of this process, over HTTP as another process would reach it.
    pub async fn embedded() -> Self {
        let now = Clock::default().now();
        let config = Config { chain_id: 31_337, genesis: now, base_fee: 1_000_000_000, funded: vec![] };
        let served = Served { chain: DevChain::new(config), clock: Clock::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let served = Arc::new(Mutex::new(served));
        tokio::spawn(serve(listener, Arc::clone(&served), std::future::pending()));
        Self { url, client: reqwest::Client::new(), anvil: None, embedded: Some(served) }
    }

    pub async fn anvil() -> Self {
        let path = std::env::var("ANVIL").expect("ANVIL names the program");
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let arguments = ["--port", &port.to_string(), "--accounts", "0", "--silent"];
        let anvil = Command::new(path).args(arguments).stdout(Stdio::null()).spawn().expect("anvil starts");
        let (url, client) = (format!("http://127.0.0.1:{port}"), reqwest::Client::new());
        let place = Self { url, client, anvil: Some(anvil), embedded: None };
        let listens = async {
            while Rpc::connect(&place.url).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, listens).await.expect("anvil listens");
        place
    }

    pub async fn ask(&self, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let request = self.client.post(&self.url).header("content-type", "application/json").body(body);
        let answer = request.send().await.expect("an answer").bytes().await.expect("a body");
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    pub async fn fund(&self, account: Address, wei: u128) {
        self.ask("anvil_setBalance", json!([account, U256::from(wei)])).await;
    }

    /// Lets time pass, which a block shows.
    pub async fn pass(&self, seconds: u64) {
        // From the newest block on: many blocks in a second run ahead of a chain's clock.
        let newest = self.ask("eth_getBlockByNumber", json!(["latest", false])).await;
        let time: U256 = serde_json::from_value(newest["timestamp"].clone()).expect("a time");
        self.ask("evm_setNextBlockTimestamp", json!([time + U256::from(seconds)])).await;
        self.ask("evm_mine", json!([])).await;
    }

    /// So many blocks without anything in them, a second each: of the embedded chain, which makes them fast enough.
    pub fn silence(&self, blocks: u64) {
        let served = self.embedded.as_ref().expect("the embedded chain");
        let chain = &mut served.lock().expect("nobody panics with it").chain;
        let begun = chain.head().time;
        (1..=blocks).for_each(|second| chain.mine(begun + second));
    }
}
