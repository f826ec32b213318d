//! A development chain, a hub over HTTP, and daemons that come and go.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use axum::extract::Request as HttpRequest;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tarefa_chain::{Fate, Key, Outbox, OwnClock, Rpc, Sender, Sent, View, Watcher, deployment};
use tarefa_channel::chain::Chain as _;
use tarefa_channel::contract::{Call, HubWord, Owner};
use tarefa_channel::eip712::Domain;
use tarefa_channel::id::Digest;
use tarefa_channel::message::{Batch, Grant, Message as _};
use tarefa_channel::sign::{HubSignature, Signer as _};
use tarefa_channel::terms::Terms;
use tarefa_channel::{Amount, Time};
use tarefa_client::{ClientFault, Daemon, Door, Pace, Request, Settings};
use tarefa_evm::{Clock, Config, DevChain, Served, serve};
use tarefa_hub::store::Store;
use tarefa_hub::{Deployment, Hub, Monitor, Policy, Promise, http};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What the hub asks for an opening.
pub const OPENING: u128 = 21;
/// Payments that one payer may have under way.
pub const LIVE: usize = 8;
const ETHER: u128 = 1_000_000_000_000_000_000;
const CEILING: u128 = 100_000_000_000;
/// How long anything may take here.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const TERMS: Terms = Terms {
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

/// How the hub behaves.
#[derive(Default)]
pub struct Manners {
    /// It tells another secret than the payee's with each receipt that it is asked for.
    pub lies: AtomicBool,
    /// It refuses whatever is proposed.
    pub refuses: AtomicBool,
    /// The first replica that is asked signs with a key of its own.
    pub strange: AtomicBool,
    /// Which replicas states were proposed to.
    pub asked: Mutex<Vec<usize>>,
    /// How long its answers to proposals are under way, while its letters are not.
    delay: Duration,
}

/// What ends together, with all its connections.
struct Process(Option<Runtime>);

impl Process {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self(Some(runtime.expect("a thread")))
    }

    fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("until it is dropped")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.take().expect("until now").shutdown_background();
    }
}

async fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    format!("http://{}", listener.local_addr().expect("bound"))
}

/// Takes an address as soon as whoever had it has ended.
async fn listen(address: &str) -> TcpListener {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => assert!(Instant::now() < deadline, "{address}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub struct Town {
    /// Clients do what they are told, and nothing else.
    pub manual: bool,
    base: tempfile::TempDir,
    pub rpc: Rpc,
    node: String,
    /// The addresses of the hub's replicas.
    hubs: Vec<String>,
    store: Store,
    deployment: Deployment,
    running: BTreeMap<&'static str, Running>,
    /// What runs of the hub.
    process: Option<Process>,
    pub manners: Arc<Manners>,
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
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
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

/// The answer with something else in it.
async fn with(answer: Response, name: &str, other: Value) -> Response {
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
    let mut said: Value = serde_json::from_slice(&body).expect("JSON");
    said[name] = other;
    axum::Json(said).into_response()
}

impl Manners {
    /// Answers as this replica does.
    async fn answer(self: Arc<Self>, place: usize, request: HttpRequest, next: Next) -> Response {
        let path = request.uri().path().to_owned();
        let proposed = path == "/sendPropose";
        if proposed && self.refuses.load(Ordering::Relaxed) {
            return (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(json!({ "error": "not today" }))).into_response();
        }
        let answer = next.run(request).await;
        if path.starts_with("/retrievePaymentReceipt/") && self.lies.load(Ordering::Relaxed) {
            return with(answer, "preimage", json!(B256::repeat_byte(7))).await;
        }
        if !proposed {
            return answer;
        }
        tokio::time::sleep(self.delay).await;
        let first = {
            let mut asked = self.asked.lock().expect("nobody panics");
            asked.push(place);
            asked[0]
        };
        if self.strange.load(Ordering::Relaxed) && first == place {
            let signature = key("stranger").sign(Digest(B256::ZERO));
            return with(answer, "word", json!(HubWord::State(HubSignature { signature, proof: vec![] }))).await;
        }
        answer
    }
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
        Self::under(TERMS, Duration::ZERO).await
    }

    /// With a hub whose answers to proposals are under way for so long, while its letters are not.
    pub async fn answering_after(delay: Duration) -> Self {
        Self::under(TERMS, delay).await
    }

    /// A hub with these terms whose answers to proposals are under way for so long.
    pub async fn under(terms: Terms, delay: Duration) -> Self {
        let node = chain().await;
        let rpc = Rpc::connect(&node).await.expect("a node");
        let (treasury, signer) = (key("treasury"), key("hub"));
        for account in [&treasury, &signer, &key("hub 2"), &key("alice"), &key("bob")] {
            fund(&node, account.address(), 100 * ETHER).await;
        }
        let from = rpc.head().await.expect("a block");
        let mut sender = Sender::new(rpc.clone(), treasury.clone(), CEILING).await.expect("a node");
        let code = deployment(treasury.address(), signer.address(), terms.grace, terms.revocation_delay(), vec![]);
        let sent = sender.deploy(code).await.expect("it deploys");
        let contract = mined(&sender, &sent).await.expect("a contract");
        let deposit = Call::HubDeposit { asset: Address::ZERO, amount: Amount(ETHER) };
        let sent = sender.call(contract, &deposit).await.expect("it goes through");
        mined(&sender, &sent).await;
        let deployment = Deployment { chain_id: rpc.chain_id(), contract, from, terms };
        let (base, store) = (tempfile::tempdir().expect("a directory"), Store::in_memory().expect("it opens"));
        let manners = Arc::new(Manners { delay, ..Manners::default() });
        let (hubs, running, process) = (vec![free_address().await], BTreeMap::new(), None);
        let mut town = Self { manual: false, base, rpc, node, hubs, store, deployment, running, process, manners };
        town.hub_runs("hub").await;
        town
    }

    /// A hub with two replicas.
    pub async fn with_two_replicas() -> Self {
        let mut town = Self::new().await;
        town.hubs.push(free_address().await);
        town.hub_runs("hub").await;
        town
    }

    /// The hub runs with this key, and with no other any more.
    pub async fn hub_runs(&mut self, signer: &'static str) {
        self.hub_dies();
        let process = Process::new();
        let (deployment, store, node) = (self.deployment.clone(), self.store.clone(), self.node.clone());
        let begun = process.runtime().spawn(async move {
            let rpc = Rpc::connect(&node).await.expect("a node");
            let Deployment { contract, from, terms, .. } = deployment;
            let watcher = Watcher::new(rpc.clone(), contract, from, terms.reorg, OwnClock::system());
            let policy = Policy { collateral: Amount(ETHER), opening_fee: Amount(OPENING) };
            let hub = Hub::new(store, key(signer), deployment, policy, watcher.view.clone(), [7; 32]).await;
            let hub = Arc::new(hub.expect("it begins"));
            let outbox = Outbox::new(Sender::new(rpc, key(signer), CEILING).await.expect("a node"), contract, vec![]);
            let monitor = Monitor::new(Arc::clone(&hub), watcher, outbox, keccak256(signer));
            tokio::spawn(monitor.run(Duration::from_millis(50)));
            http::router(hub, http::Limits::default())
        });
        let router = begun.await.expect("it begins");
        for (place, address) in self.hubs.iter().enumerate() {
            let manners = Arc::clone(&self.manners);
            let answer = move |request, next| Arc::clone(&manners).answer(place, request, next);
            let router = router.clone().layer(middleware::from_fn(answer));
            let router = router.into_make_service_with_connect_info::<SocketAddr>();
            let address = address.trim_start_matches("http://").to_owned();
            let listener = process.runtime().spawn(async move { listen(&address).await });
            let listener = listener.await.expect("the address is free again");
            process.runtime().spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        }
        self.process = Some(process);
    }

    /// The revocation of the hub's key is announced, and another one is: when it takes effect.
    pub async fn announce_revocation(&self) -> Time {
        let mut sender = Sender::new(self.rpc.clone(), key("treasury"), CEILING).await.expect("a node");
        for call in [
            Call::AnnounceSigner { signer: key("hub 2").address() },
            Call::RevokeSigner { signer: key("hub").address() },
        ] {
            let sent = sender.call(self.deployment.contract, &call).await.expect("it goes through");
            mined(&sender, &sent).await;
        }
        let revoked = |view: &View| view.revoked_from(key("hub").address());
        let view = self.until_chain("it is announced", |view| revoked(view).is_some()).await;
        revoked(&view).expect("seen just now")
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
    pub async fn until_chain(&self, what: &str, wanted: impl Fn(&View) -> bool) -> View {
        let Deployment { contract, from, terms, .. } = self.deployment;
        let mut watcher = Watcher::new(self.rpc.clone(), contract, from, terms.reorg, OwnClock::system());
        let deadline = Instant::now() + PATIENCE;
        loop {
            watcher.look().await.expect("nothing is wrong");
            if wanted(&watcher.view) {
                return watcher.view;
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
            let answer = reqwest::get(format!("{}/metrics", self.hubs[0])).await.expect("an answer");
            let text = answer.text().await.expect("words");
            let found = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            if found.is_some_and(&wanted) {
                return;
            }
            assert!(Instant::now() < deadline, "{name} is {found:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The hub answers nobody any more, and does nothing on chain.
    pub fn hub_dies(&mut self) {
        self.process = None;
    }

    /// A contract that answers like ours and is another one.
    pub async fn impostor(&self) -> Address {
        let (treasury, signer) = (key("treasury"), key("hub"));
        let mut sender = Sender::new(self.rpc.clone(), treasury.clone(), CEILING).await.expect("a node");
        let terms = self.deployment.terms;
        let code = deployment(treasury.address(), signer.address(), terms.grace, terms.revocation_delay(), vec![]);
        let mut code = code.to_vec();
        // One byte of the metadata at its end: nothing that it does is changed, but it is not the code.
        let place = code.len() - 6 * 32 - 12;
        code[place] ^= 1;
        let sent = sender.deploy(Bytes::from(code)).await.expect("it deploys");
        mined(&sender, &sent).await.expect("a contract")
    }

    pub fn settings(&self, manual: bool) -> Settings {
        Settings {
            hubs: self.hubs.clone(),
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
        self.start_looking(name, Duration::from_millis(50)).await;
    }

    /// The same, with so much time from one look at the chain to the next.
    pub async fn start_looking(&mut self, name: &'static str, look: Duration) {
        let dir = self.dir(name);
        if !dir.exists() {
            std::fs::create_dir(&dir).expect("a new directory");
            let secret = keccak256(format!("key of {name}")).0;
            Settings::keep_secret(&dir, &secret).expect("a key");
            self.settings(self.manual).write(&dir).expect("settings");
        }
        let pace = Pace { look, wait: Duration::from_secs(5), ..Pace::default() };
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
