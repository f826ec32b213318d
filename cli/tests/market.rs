//! The binary as a user runs it: demo, three processes by hand, and what it says when something is wrong.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

fn tarefa(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tarefa"));
    command
        .args(args)
        .current_dir(dir)
        .env_remove("TAREFA_NODE")
        .env("XDG_DATA_HOME", dir.join("data"))
        .stdin(Stdio::null());
    command
}

fn output(dir: &Path, args: &[&str]) -> Output {
    tarefa(dir, args).output().expect("started")
}

fn json_lines(bytes: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(bytes).lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

fn stages(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["stage"].as_str().expect("a stage")).collect()
}

/// A daemon that prints a ready line; ended with the test.
struct Daemon {
    child: Child,
    ready: Value,
}

impl Daemon {
    fn start(dir: &Path, args: &[&str]) -> Self {
        let mut child = tarefa(dir, args).stdout(Stdio::piped()).spawn().expect("started");
        let mut reader = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a ready line: `{line}`"));
        Self { child, ready }
    }

    fn node(&self) -> &str {
        self.ready["node"].as_str().expect("a URL")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tangle(dir: &Path) -> Daemon {
    Daemon::start(dir, &["testnet", "up", "--memory", "--listen", "127.0.0.1:0", "--interval", "100ms", "--json"])
}

const DEMO_STAGES: [&str; 15] = [
    "tangle",
    "executor",
    "wallets",
    "input",
    "submitted",
    "accepted",
    "locked",
    "quoted",
    "paid",
    "released",
    "result",
    "counts",
    "wallets",
    "done",
    "",
];

#[test]
fn the_demo_shows_every_stage_and_a_second_one_reuses_no_address() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut addresses: Vec<String> = vec![];
    for run in 1..=2 {
        let demo = output(dir.path(), &["demo", "--json", "--interval", "100ms"]);
        assert!(demo.status.success(), "{}", String::from_utf8_lossy(&demo.stderr));
        let lines = json_lines(&demo.stdout);
        let expected: Vec<&str> = DEMO_STAGES.into_iter().filter(|stage| !["result", ""].contains(stage)).collect();
        assert_eq!(stages(&lines), expected);
        let submitted = lines.iter().find(|line| line["stage"] == "submitted").expect("submitted");
        assert!(submitted["blocks"].as_u64().expect("a number") >= 24, "dozens of blocks: {submitted}");
        let bytes = lines.iter().find(|line| line["stage"] == "input").expect("input")["bytes"].as_u64();
        assert!(bytes >= Some(1_000_000));
        let before = addresses.len();
        addresses.clear();
        for role in ["executor", "submitter"] {
            let data = dir.path().join("data/tarefa/demo-2").join(role);
            let args = ["wallet", "addresses", "--offline", "--json", "--data-dir", data.to_str().expect("UTF-8")];
            let shown = output(dir.path(), &args);
            addresses.extend(json_lines(&shown.stdout).iter().map(|row| row["address"].to_string()));
        }
        assert!(addresses.len() > before, "run {run} used new addresses");
    }
    let all = addresses.len();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), all, "an address was used twice");
}

#[test]
fn three_processes_by_hand_do_the_same() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let dir = dir.path();
    let tangle = tangle(dir);
    let node = tangle.node();
    let _executor = Daemon::start(dir, &["executor", "run", "--node", node, "--allow-weak-sandbox", "--json"]);
    let faucet = output(dir, &["wallet", "faucet", "--node", node, "--json"]);
    assert_eq!(json_lines(&faucet.stdout)[0]["received"], 100_000_000_000u64);

    let market = json_lines(&output(dir, &["market", "ls", "--node", node, "--json"]).stdout);
    assert_eq!(market.len(), 1);
    assert_eq!(market[0]["offer"]["price"]["per_second"], 500_000);

    let run = output(dir, &["run", "demo:exit3", "--node", node, "--output-file", "*.txt"]);
    assert_eq!(run.status.code(), Some(3), "the guest's exit status: {}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(String::from_utf8_lossy(&run.stdout), "this is stdout\n");
    assert!(String::from_utf8_lossy(&run.stderr).contains("this is stderr\n"));
    let results: Vec<_> = std::fs::read_dir(dir)
        .expect("readable")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("tarefa-")))
        .collect();
    assert_eq!(results.len(), 1);
    let read = |name: &str| std::fs::read_to_string(results[0].join(name)).expect("written");
    assert_eq!((read("stdout"), read("exit_code")), ("this is stdout\n".into(), "3\n".into()));
    assert_eq!(read("outputs/left-behind.txt"), "written before the failure\n");
    let receipt: Value = serde_json::from_str(&read("receipt.json")).expect("JSON");
    assert_eq!(receipt["receipt"]["outcome"]["exited"], 3);

    let submitted = output(dir, &["submit", "demo:primes", "--node", node, "--", "100"]);
    let id = String::from_utf8_lossy(&submitted.stdout).trim().to_owned();
    assert_eq!(id.len(), 32, "{}", String::from_utf8_lossy(&submitted.stderr));
    let fetched = output(dir, &["task", "fetch", &id, "--node", node]);
    assert_eq!(String::from_utf8_lossy(&fetched.stdout), "25 primes below 100, the largest is 97\n");

    let tasks = json_lines(&output(dir, &["task", "ls", "--node", node, "--json"]).stdout);
    assert_eq!(tasks.iter().map(|task| task["phase"].as_str()).collect::<Vec<_>>(), [Some("done"), Some("done")]);
    let history = json_lines(&output(dir, &["wallet", "history", "--node", node, "--json"]).stdout);
    let spent: Vec<u64> =
        history.iter().filter(|row| row["direction"] == "out").filter_map(|row| row["amount"].as_u64()).collect();
    assert_eq!(spent, [213_000, 213_000]);

    let address =
        json_lines(&output(dir, &["wallet", "address", "--node", node, "--json"]).stdout)[0]["address"].clone();
    let sent = output(dir, &["wallet", "send", address.as_str().expect("a text"), "1.5Mi", "--node", node, "--json"]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let low = output(dir, &["run", "demo:primes", "--max-price", "1000", "--node", node, "--", "10"]);
    assert_eq!(low.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&low.stderr).contains("0.001 Mi is below the offer's minimum of 0.213 Mi"));
}

#[test]
fn nobody_answers_for_20_s_and_the_exit_status_is_127() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let tangle = tangle(dir.path());
    let run = output(dir.path(), &["run", "demo:primes", "--node", tangle.node(), "--", "10"]);
    assert_eq!(run.status.code(), Some(127));
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(said.contains("no executor offers anything") && said.contains("tarefa executor run"), "{said}");
}

#[test]
fn two_tarefa_on_one_data_directory_do_not_mix() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let tangle = tangle(dir.path());
    let node = tangle.node();
    let _executor = Daemon::start(dir.path(), &["executor", "run", "--node", node, "--allow-weak-sandbox", "--json"]);
    let second = output(dir.path(), &["executor", "run", "--node", node, "--allow-weak-sandbox"]);
    assert_eq!(second.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another tarefa"));
    let data = dir.path().join("data/tarefa/executor");
    let wrong = output(dir.path(), &["wallet", "balance", "--offline", "--data-dir", data.to_str().expect("UTF-8")]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("in use by another tarefa"));
}

#[test]
fn a_store_of_another_ledger_or_role_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (one, two) = (tangle(dir.path()), tangle(dir.path()));
    let first = output(dir.path(), &["wallet", "balance", "--node", one.node(), "--json"]);
    assert_eq!(json_lines(&first.stdout)[0]["total"], 0);
    let other = output(dir.path(), &["wallet", "balance", "--node", two.node()]);
    assert!(String::from_utf8_lossy(&other.stderr).contains("belongs to ledger"));
    let data = dir.path().join("data/tarefa/submitter");
    let role = output(
        dir.path(),
        &["executor", "run", "--node", one.node(), "--data-dir", data.to_str().expect("UTF-8"), "--allow-weak-sandbox"],
    );
    assert!(
        String::from_utf8_lossy(&role.stderr).contains("of an submitter, not of a executor")
            || String::from_utf8_lossy(&role.stderr).contains("data directory of")
    );
}

#[test]
fn errors_name_the_input_and_what_to_do() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("text.wasm"), "not wasm").expect("written");
    let tangle = tangle(dir.path());
    let node = tangle.node();
    let own =
        json_lines(&output(dir.path(), &["wallet", "address", "--node", node, "--json"]).stdout)[0]["address"].clone();
    let own = own.as_str().expect("a text").to_owned();
    for (args, expected) in [
        (vec!["wallet", "balance", "--node", "http://127.0.0.1:1"], "http://127.0.0.1:1 cannot be reached"),
        (vec!["wallet", "send", "tst1nonsense", "1Mi", "--node", node], "`tst1nonsense` is not an Ed25519 address"),
        (vec!["wallet", "send", "x", "1.5XX", "--node", node], "`1.5XX` is not an amount"),
        (
            vec!["wallet", "send", &own, "1i", "--node", node],
            "0.000001 Mi cannot be sent: an output holds at least 0.213 Mi",
        ),
        (vec!["testnet", "up", "--interval", "5"], "`5` is not a duration"),
        (vec!["testnet", "up", "--memory", "--interval", "10ms", "--listen", "127.0.0.1:0"], "outside 50 ms to 120 s"),
        (vec!["task", "show", "00", "--node", node], "`00` is not a task id"),
        (vec!["task", "show", &"0".repeat(32), "--node", node], "there is no task 0000"),
    ] {
        let failed = output(dir.path(), &args);
        let said = String::from_utf8_lossy(&failed.stderr);
        assert!(!failed.status.success() && said.contains(expected), "{args:?}: {said}");
    }
}

#[test]
fn init_makes_keys_once_and_shows_no_secret() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let first = output(dir.path(), &["init", "executor", "--json"]);
    assert!(first.status.success());
    let words = std::fs::read_to_string(dir.path().join("data/tarefa/executor/mnemonic")).expect("written");
    assert_eq!(words.split(' ').count(), 24);
    let mut said = String::new();
    first.stdout.as_slice().read_to_string(&mut said).expect("text");
    assert!(!words.split(' ').take(3).all(|word| said.contains(word)), "the mnemonic was printed");
    let again = output(dir.path(), &["init", "executor"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("has keys already"));
}
