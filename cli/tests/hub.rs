//! `tarefa hub` as its operator runs it: money in and out, leaving a channel, another signing key.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything may take here; a grace period is twelve seconds.
const PATIENCE: Duration = Duration::from_secs(40);

/// What a hub has to sign again after a revocation, an offline bound of nine seconds, and until what would follow is mined.
const SIGNS_AGAIN: Duration = Duration::from_secs(11);

struct Operator {
    dir: tempfile::TempDir,
    started: Vec<Child>,
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.started.iter_mut().for_each(end);
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

impl Operator {
    fn command(&self, role: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tarefa"));
        command.args(args).arg("--json").env("TAREFA_DATA_DIR", self.dir.path().join(role)).stdin(Stdio::null());
        command
    }

    /// Starts something that stays; what it says at a stage, and its place among those that run.
    fn start(&mut self, role: &str, args: &[&str], stage: &str) -> (Value, usize) {
        let mut child = self.command(role, args).stdout(Stdio::piped()).spawn().expect("started");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let said = loop {
            let line = lines.next().expect("it says more").expect("a line");
            let said: Value = serde_json::from_str(&line).expect("JSON");
            if said["stage"] == stage {
                break said;
            }
        };
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        self.started.push(child);
        (said, self.started.len() - 1)
    }

    /// What a command says last; or why not.
    fn ask(&self, role: &str, args: &[&str]) -> Result<Value, String> {
        let output = self.command(role, args).output().expect("started");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let text = String::from_utf8(output.stdout).expect("text");
        Ok(serde_json::from_str(text.lines().last().expect("a line")).expect("JSON"))
    }

    fn does(&self, role: &str, args: &[&str]) -> Value {
        self.ask(role, args).unwrap_or_else(|error| panic!("{args:?}: {error}"))
    }

    fn until(&self, role: &str, args: &[&str], wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.ask(role, args) {
                Ok(said) if wanted(&said) => return said,
                other => assert!(Instant::now() < deadline, "{args:?} still says {other:?}"),
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn balance(&self) -> String {
        self.does("hub", &["hub", "status"])["balance"].as_str().expect("an amount").to_owned()
    }
}

/// A chain.
fn chain() -> (Operator, String) {
    let mut operator = Operator { dir: tempfile::tempdir().expect("a temporary directory"), started: vec![] };
    let up = ["testnet", "up", "--memory", "--listen", "127.0.0.1:0", "--evm-listen", "127.0.0.1:0"];
    let (evm, _) = operator.start("testnet", &up, "evm");
    let rpc = evm["evm"].as_str().expect("a URL").to_owned();
    (operator, rpc)
}

/// A chain, a contract with a million wei of its hub, and the hub's URL and place.
fn begin() -> (Operator, String, String, usize) {
    let (mut operator, rpc) = chain();
    deploy(&operator, "hub", &rpc, "--opening-fee 0 --deposit 1000000");
    let (url, hub) = runs(&mut operator);
    (operator, rpc, url, hub)
}

fn deploy(operator: &Operator, role: &str, rpc: &str, more: &str) {
    let terms =
        "--fee 3 --on-fee 3 --grace 12 --inclusion 1 --reorg 1 --token-life 600 --patience 2 --gas-price 0 --dust 1";
    let mut deploy = vec!["hub", "deploy", "--rpc", rpc, "--collateral", "50000", "--dev-money", "10eth"];
    deploy.extend(terms.split(' ').chain(more.split(' ')));
    operator.does(role, &deploy);
}

fn runs(operator: &mut Operator) -> (String, usize) {
    let (ready, hub) = operator.start("hub", &["hub", "run", "--listen", "127.0.0.1:0", "--look", "100ms"], "ready");
    (ready["hub"].as_str().expect("a URL").to_owned(), hub)
}

fn none(status: &Value) -> bool {
    status["onChain"] == "none"
}

fn file(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join("hub").join(name)).expect(name)
}

#[test]
fn a_hub_leaves_a_channel_takes_its_money_out_and_signs_with_another_key() {
    let (mut operator, rpc, url, hub) = begin();
    assert_eq!(operator.balance(), "1000000");
    operator.does(
        "alice",
        &["channel", "init", "--hub", &url, "--rpc", &rpc, "--dev-money", "1eth", "--attach-above", "1eth"],
    );
    operator.start("alice", &["channel", "run", "--look", "100ms"], "ready");
    let open = ["channel", "open", "--deposit", "100000", "--collateral", "40000"];
    operator.does("alice", &open);
    assert_eq!(operator.balance(), "960000", "the collateral is in the channel");
    let alice = operator.does("alice", &["channel", "status"])["address"].as_str().expect("an address").to_owned();

    // It leaves the channel, which the running hub ends.
    let stranger = "0x00000000000000000000000000000000000000aa";
    let error = operator.ask("hub", &["hub", "close", stranger]).expect_err("no channel");
    assert!(error.to_lowercase().contains(stranger) && error.contains("no open channel"), "{error}");
    operator.does("hub", &["hub", "close", &alice]);
    operator.until("alice", &["channel", "status"], none);
    assert_eq!(operator.balance(), "1000000", "the collateral is back");

    // Its money comes out, what there is of it.
    assert_eq!(operator.does("hub", &["hub", "withdraw", "400000"])["left"], "600000");
    let error = operator.ask("hub", &["hub", "withdraw", "600001"]).expect_err("too much");
    assert!(error.contains("balance is 600000"), "{error}");

    // Alice comes again. The contract enforces what she names together; the next state only the key of now has signed.
    operator.until("alice", &open, |said| said["epoch"] == 1);
    let out = |amount: &str| json!({ "method": "withdrawHot", "params": { "amount": amount } });
    let both = operator.dir.path().join("together.json");
    std::fs::write(&both, json!([out("200"), out("300")]).to_string()).expect("written");
    operator.does("alice", &["channel", "together", both.to_str().expect("UTF-8")]);
    let status = ["channel", "status"];
    operator.until("alice", &status, |status| status["channel"]["executedOut"] == "500");
    operator.does("alice", &["channel", "deposit", "500"]);
    let signed = operator.until("alice", &status, |status| status["channel"]["client"] == "100000");
    assert_eq!(signed["channel"]["clientOut"], "500");

    // It gets another key, once that counts and it is stopped; the one before is kept, and revoked.
    let before = operator.does("hub", &["hub", "status"]);
    let error = operator.ask("hub", &["hub", "rotate"]).expect_err("it runs");
    assert!(error.contains("stop the hub"), "{error}");
    assert_eq!(operator.does("hub", &["hub", "status"])["signer"], before["signer"]);
    end(&mut operator.started[hub]);
    let old = before["signer"].as_str().expect("an address").to_owned();
    let old_key = file(operator.dir.path(), "signer.key");
    let rotated = operator.does("hub", &["hub", "rotate"]);
    assert_eq!((&rotated["before"], rotated["stage"].as_str()), (&before["signer"], Some("rotated")));
    assert_eq!(file(operator.dir.path(), &format!("signer-{old}.key")), old_key);
    assert_ne!(file(operator.dir.path(), "signer.key"), old_key);
    let now = operator.does("hub", &["hub", "status"]);
    assert_eq!((&now["signer"], &now["signs"]), (&rotated["signer"], &Value::Bool(true)));
    let listen = url.trim_start_matches("http://").to_owned();
    operator.start("hub", &["hub", "run", "--listen", &listen, "--look", "100ms"], "ready");
    operator.does("hub", &["hub", "revoke", &old]);
    // Alice asks for another signature, by a state that does nothing: nobody has to show the old one to the contract.
    let again = operator.until("alice", &status, |now| now["channel"]["seq"] != signed["channel"]["seq"]);
    assert_eq!(again["channel"]["client"], "100000");
    std::thread::sleep(SIGNS_AGAIN);
    let history = operator.does("alice", &["channel", "history"]).to_string();
    assert!(!history.contains("argueClosure"), "{history}");
    let error = operator.ask("hub", &["hub", "revoke", &old]).expect_err("once");
    assert!(error.contains("revoked already"), "{error}");
    let signer = rotated["signer"].as_str().expect("an address");
    let error = operator.ask("hub", &["hub", "revoke", signer]).expect_err("it signs");
    assert!(error.contains("tarefa hub rotate"), "{error}");
    operator.does("alice", &["channel", "close", "--last"]);
    operator.until("alice", &["channel", "status"], none);
    assert_eq!(operator.does("hub", &["hub", "withdraw"])["left"], "0");
}

/// A coin's contract, and what asks it for a million.
mod coin {
    use alloy_primitives::{Address, Bytes, U256};
    use tarefa_chain::{Fate, Key, Rpc, Sender};

    const ARTIFACT: &str = include_str!("../../hub/contract/artifact/Coin.json");
    /// Wei for each gas: above what a development chain asks.
    const CEILING: u128 = 200_000_000_000;

    async fn sender(rpc: &str, secret: [u8; 32]) -> Sender {
        let rpc = Rpc::connect(rpc).await.expect("a chain");
        Sender::new(rpc, Key::new(secret).expect("a key"), CEILING).await.expect("a sender")
    }

    pub async fn make(rpc: &str, secret: [u8; 32]) -> Address {
        let artifact: serde_json::Value = serde_json::from_str(ARTIFACT).expect("an artifact");
        let code: Bytes = artifact["bytecode"].as_str().expect("code").parse().expect("hex");
        let mut sender = sender(rpc, secret).await;
        let sent = sender.deploy(code).await.expect("sent");
        let Fate::Mined { created, .. } = sender.fate(&sent).await.expect("known") else { panic!("not mined") };
        created.expect("a contract")
    }

    pub async fn ask(rpc: &str, coin: Address, secret: [u8; 32]) {
        sender(rpc, secret).await.pay(coin, U256::ZERO).await.expect("a million");
    }
}

#[test]
fn channels_in_an_erc20_asset_are_paid_into_without_another_program() {
    let (mut operator, rpc) = chain();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let treasury = |operator: &Operator, role: &str| {
        let text = std::fs::read_to_string(operator.dir.path().join(role).join("treasury.key")).expect("a key");
        text.trim().parse::<alloy_primitives::B256>().expect("a key").0
    };
    // Another hub's treasury has the gas for it.
    deploy(&operator, "maker", &rpc, "--opening-fee 0");
    let coin = runtime.block_on(coin::make(&rpc, treasury(&operator, "maker")));
    let asset = coin.to_string();

    deploy(&operator, "hub", &rpc, &format!("--opening-fee 7 --asset {asset}"));
    let error = operator.ask("hub", &["hub", "deposit", "500000", "--asset", &asset]).expect_err("it has none");
    assert!(error.contains("has 0 of the asset") && error.contains("500000"), "{error}");
    runtime.block_on(coin::ask(&rpc, coin, treasury(&operator, "hub")));
    for amount in ["300000", "200000"] {
        operator.does("hub", &["hub", "deposit", amount, "--asset", &asset]);
    }
    assert_eq!(operator.does("hub", &["hub", "status", "--asset", &asset])["balance"], "500000");

    let (url, _) = runs(&mut operator);
    for client in ["alice", "bob"] {
        let init = ["channel", "init", "--hub", &url, "--rpc", &rpc, "--dev-money", "1eth", "--asset", &asset];
        operator.does(client, &[&init[..], &["--attach-above", "1eth"]].concat());
        let secret = *tarefa_client::Settings::secret(&operator.dir.path().join(client)).expect("a key");
        runtime.block_on(coin::ask(&rpc, coin, secret));
        operator.start(client, &["channel", "run", "--look", "100ms"], "ready");
    }
    let error = operator.ask("alice", &["channel", "open", "--deposit", "1000000"]).expect_err("and the fee");
    assert!(error.contains("has 1000000 of the asset") && error.contains("1000007"), "{error}");
    operator.does("alice", &["channel", "open", "--deposit", "100000"]);
    operator.does("bob", &["channel", "open", "--collateral", "40000"]);
    operator.does("alice", &["channel", "deposit", "5000"]);
    let has = |amount: &'static str| move |status: &Value| status["channel"]["client"] == amount;
    operator.until("alice", &["channel", "status"], has("105000"));
    let asked = operator.does("bob", &["channel", "invoice", "9000"]);
    let field = |name: &str| asked[name].as_str().expect(name);
    operator.does("alice", &["channel", "pay", "9000", "--payee", field("payee"), "--invoice", field("invoice")]);
    operator.until("bob", &["channel", "status"], has("9000"));
    operator.does("bob", &["channel", "close", "--last"]);
    operator.until("bob", &["channel", "status"], none);
    operator.does("bob", &["channel", "withdraw"]);
    let error = operator.ask("bob", &["channel", "open", "--deposit", "2000000"]).expect_err("more than there is");
    assert!(error.contains("has 1008993 of the asset"), "a million and 9000 less the fee: {error}");
}
