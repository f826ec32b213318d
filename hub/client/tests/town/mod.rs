//! A development chain, a hub over HTTP, and daemons that come and go.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use axum::extract::Request as HttpRequest;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tarefa_chain::{Fate, Key, Outbox, OwnClock, Rpc, Sender, Sent, View, Watcher, deployment};
use tarefa_channel::Amount;
use tarefa_channel::contract::{Call, Owner};
use tarefa_channel::eip712::Domain;
use tarefa_channel::message::{Batch, Grant, Message as _};
use tarefa_channel::sign::{HubSignature, Signer as _};
use tarefa_channel::terms::Terms;
use tarefa_client::{ClientFault, Daemon, Door, Pace, Request, Settings};
use tarefa_evm::{Clock, Config, DevChain, Served, serve};
use tarefa_hub::store::Store;
use tarefa_hub::{Deployment, Hub, Monitor, Policy, Promise, http};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What the hub asks for an opening.
pub const OPENING: u128 = 21;
/// Payments that one payer may have under way.
pub const LIVE: usize = 8;
const ETHER: u128 = 1_000_000_000_000_000_000;
const CEILING: u128 = 100_000_000_000;
/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(30);
const TERMS: Terms = Terms {
    grace: 60,
    inclusion: 2,
    reorg: 1,
    max_token_life: 600,
    patience: 20,
    live_tokens: LIVE,
    fee: Amount(1),
    on_fee: Amount(2),
    dust: Amount(10),
    unsettled: Amount(1_000_000),
};

type Running = (Door, oneshot::Sender<()>, JoinHandle<Result<(), ClientFault>>);

pub struct Town {
    /// Clients do what they are told, and nothing else.
    pub manual: bool,
    base: tempfile::TempDir,
    pub rpc: Rpc,
    node: String,
    hub: String,
    deployment: Deployment,
    running: BTreeMap<&'static str, Running>,
    /// Monitor and HTTP of the hub.
    served: [JoinHandle<()>; 2],
    /// Whether the hub tells another secret than the payee's with each receipt that it is asked for.
    pub lies: Arc<AtomicBool>,
}

fn key(name: &str) -> Key {
    Key::new(keccak256(format!("key of {name}")).0).expect("a hash is a key")
}

async fn mined(sender: &Sender, sent: &Sent) -> Option<Address> {
    let settled = async {
        loop {
            match sender.fate(sent).await.expect("a node") {
                Fate::Waiting => tokio::task::yield_now().await,
                Fate::Mined { created, .. } => return created,
                fate => panic!("{fate:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.expect("it is mined in time")
}

async fn chain() -> String {
    let clock = Clock::default();
    let config = Config { chain_id: 31_337, genesis: clock.now(), base_fee: 1_000_000_000, funded: vec![] };
    let chain = Arc::new(Mutex::new(Served { chain: DevChain::new(config), clock }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let ticking = Arc::clone(&chain);
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        loop {
            tick.tick().await;
            ticking.lock().expect("nobody panics").tick();
        }
    });
    tokio::spawn(serve(listener, chain, std::future::pending()));
    url
}

async fn fund(node: &str, account: Address, wei: u128) {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "anvil_setBalance", "params": [account, U256::from(wei)] });
    reqwest::Client::new().post(node).json(&body).send().await.expect("an answer");
}

async fn with_another_secret(answer: Response) -> Response {
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
    let mut receipt: Value = serde_json::from_slice(&body).expect("JSON");
    receipt["preimage"] = json!(B256::repeat_byte(7));
    axum::Json(receipt).into_response()
}

impl Town {
    /// What the hub would sign in another place of the payee's window.
    pub fn granted_again(&self, promise: &Promise) -> Promise {
        let domain = Domain::new(self.deployment.chain_id, self.deployment.contract);
        let grant = Grant { payee_seq: promise.grant.payee_seq.forward(5).expect("small"), ..promise.grant };
        let batch = Batch { root: grant.digest(&domain).0 };
        let hub = HubSignature { signature: key("hub").sign(batch.digest(&domain)), proof: vec![] };
        Promise { token: promise.token.clone(), grant, hub }
    }

    pub async fn new() -> Self {
        Self::answering_after(Duration::ZERO).await
    }

    /// With a hub whose answers to proposals are under way for so long, while its letters are not.
    pub async fn answering_after(delay: Duration) -> Self {
        let node = chain().await;
        let rpc = Rpc::connect(&node).await.expect("a node");
        let (treasury, signer) = (key("treasury"), key("hub"));
        for account in [&treasury, &signer, &key("alice"), &key("bob")] {
            fund(&node, account.address(), 100 * ETHER).await;
        }
        let from = rpc.head().await.expect("a block");
        let mut sender = Sender::new(rpc.clone(), treasury.clone(), CEILING).await.expect("a node");
        let code = deployment(treasury.address(), signer.address(), TERMS.grace, TERMS.revocation_delay(), vec![]);
        let sent = sender.deploy(code).await.expect("it deploys");
        let contract = mined(&sender, &sent).await.expect("a contract");
        let deposit = Call::HubDeposit { asset: Address::ZERO, amount: Amount(ETHER) };
        let sent = sender.call(contract, &deposit).await.expect("it goes through");
        mined(&sender, &sent).await;
        let deployment = Deployment { chain_id: rpc.chain_id(), contract, from, terms: TERMS };
        let policy = Policy { collateral: Amount(ETHER), opening_fee: Amount(OPENING) };
        let watcher = Watcher::new(rpc.clone(), contract, from, TERMS.reorg, OwnClock::system());
        let store = Store::in_memory().expect("it opens");
        let hub = Hub::new(store, signer.clone(), deployment.clone(), policy, watcher.view.clone(), [7; 32]).await;
        let hub = Arc::new(hub.expect("it begins"));
        let outbox = Outbox::new(Sender::new(rpc.clone(), signer, CEILING).await.expect("a node"), contract, vec![]);
        let monitor = Monitor::new(Arc::clone(&hub), watcher, outbox, keccak256("the only one"));
        let watching = tokio::spawn(monitor.run(Duration::from_millis(50)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let lies = Arc::new(AtomicBool::new(false));
        let lying = Arc::clone(&lies);
        let late = middleware::from_fn(move |request: HttpRequest, next: Next| {
            let lying = Arc::clone(&lying);
            async move {
                let path = request.uri().path().to_owned();
                let answer = next.run(request).await;
                tokio::time::sleep(if path == "/sendPropose" { delay } else { Duration::ZERO }).await;
                let lie = path.starts_with("/retrievePaymentReceipt/") && lying.load(Ordering::Relaxed);
                if lie { with_another_secret(answer).await } else { answer }
            }
        });
        let router = http::router(hub, http::Limits::default()).layer(late);
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        let base = tempfile::tempdir().expect("a directory");
        let served = [watching, serving];
        Self { manual: false, base, rpc, node, hub: url, deployment, running: BTreeMap::new(), served, lies }
    }

    /// A call of somebody whose daemon would not make it.
    pub async fn calls(&self, name: &str, call: &Call) {
        let mut sender = Sender::new(self.rpc.clone(), key(name), CEILING).await.expect("a node");
        let sent = sender.call(self.deployment.contract, call).await.expect("it goes through");
        mined(&sender, &sent).await;
    }

    pub fn owner(&self, name: &str) -> Owner {
        Owner { client: key(name).address(), asset: Address::ZERO }
    }

    /// The chain, until it shows something.
    pub async fn until_chain(&self, what: &str, wanted: impl Fn(&View) -> bool) {
        let Deployment { contract, from, .. } = self.deployment;
        let mut watcher = Watcher::new(self.rpc.clone(), contract, from, TERMS.reorg, OwnClock::system());
        let deadline = Instant::now() + PATIENCE;
        loop {
            watcher.look().await.expect("nothing is wrong");
            if wanted(&watcher.view) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: never");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The hub's signing key has so much.
    pub async fn hub_has(&self, wei: u128) {
        fund(&self.node, key("hub").address(), wei).await;
    }

    /// A gauge of the hub, once it is as wanted.
    pub async fn until_measured(&self, name: &str, wanted: impl Fn(u64) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = reqwest::get(format!("{}/metrics", self.hub)).await.expect("an answer");
            let text = answer.text().await.expect("words");
            let found = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            if found.is_some_and(&wanted) {
                return;
            }
            assert!(Instant::now() < deadline, "{name} is {found:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The hub answers nobody any more who comes now, and does nothing on chain.
    pub fn hub_dies(&self) {
        self.served.iter().for_each(JoinHandle::abort);
    }

    /// A contract that answers like ours and is another one.
    pub async fn impostor(&self) -> Address {
        let (treasury, signer) = (key("treasury"), key("hub"));
        let mut sender = Sender::new(self.rpc.clone(), treasury.clone(), CEILING).await.expect("a node");
        let code = deployment(treasury.address(), signer.address(), TERMS.grace, TERMS.revocation_delay(), vec![]);
        let mut code = code.to_vec();
        // One byte of the metadata at its end: nothing that it does is changed, but it is not the code.
        let place = code.len() - 6 * 32 - 12;
        code[place] ^= 1;
        let sent = sender.deploy(Bytes::from(code)).await.expect("it deploys");
        mined(&sender, &sent).await.expect("a contract")
    }

    pub fn settings(&self, manual: bool) -> Settings {
        Settings {
            hubs: vec![self.hub.clone()],
            rpc: self.node.clone(),
            asset: Address::ZERO,
            deployment: self.deployment.clone(),
            attach_above: Amount(1_000_000),
            gas_ceiling: CEILING,
            manual,
        }
    }

    pub fn dir(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    /// Starts a daemon; the first time, with a new directory.
    pub async fn start(&mut self, name: &'static str) {
        let dir = self.dir(name);
        if !dir.exists() {
            std::fs::create_dir(&dir).expect("a new directory");
            let secret = keccak256(format!("key of {name}")).0;
            Settings::keep_secret(&dir, &secret).expect("a key");
            self.settings(self.manual).write(&dir).expect("settings");
        }
        let pace = Pace { look: Duration::from_millis(50), wait: Duration::from_secs(5), ..Pace::default() };
        let (daemon, door) = Daemon::open(&dir, pace).await.expect("it opens");
        let (stop, stopped) = oneshot::channel();
        let until = async move {
            stopped.await.ok();
        };
        let running = tokio::spawn(daemon.run(until));
        self.running.insert(name, (door, stop, running));
    }

    pub async fn stop(&mut self, name: &str) {
        let (_, stop, running) = self.running.remove(name).expect("it runs");
        stop.send(()).expect("it listens");
        running.await.expect("it ends").expect("well");
    }

    pub fn door(&self, name: &str) -> Door {
        self.running[name].0.clone()
    }

    pub async fn ask(&self, name: &str, request: Request) -> Result<Value, ClientFault> {
        self.door(name).ask(request).await
    }

    pub async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.ask(name, Request::Status).await.expect("it answers");
            if wanted(&status) {
                return;
            }
            assert!(Instant::now() < deadline, "{name}: not in time: {what}; {status}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
