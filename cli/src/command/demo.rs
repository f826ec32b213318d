//! `tarefa demo`: the whole market on this machine, each part a process of its own.

mod channel;
pub mod evm;
pub mod part;
mod text;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use part::{Part, TASK_MAX, ask};
use serde_json::json;

use crate::args::{Demo, Rail};
use crate::party;
use crate::ui::{Ui, money, short};

/// Where the demo's parties live. The number rises with the format of the dev Tangle's ledger: those of an earlier demo
/// cannot be read, and are left alone.
const DIRECTORY: &str = "demo-2";
pub async fn run(args: Demo) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    if args.rail == Rail::Channel {
        return channel::run(&args, &ui).await;
    }
    let base = match &args.data_dir {
        Some(dir) => dir.clone(),
        None => party::default_dir(DIRECTORY)?,
    };
    let (tangle, node, faucet) = match (&args.node, &args.faucet) {
        (Some(node), Some(faucet)) => (None, node.clone(), faucet.clone()),
        _ => {
            let dir = base.join("testnet");
            let interval = format!("{}ms", args.interval.as_millis());
            let up = [
                "testnet",
                "up",
                "--listen",
                "127.0.0.1:0",
                "--interval",
                &interval,
                "--json",
                "--data-dir",
                path(&dir)?,
            ];
            let mut tangle = Part::start("the dev Tangle", &up)?;
            let node = tangle.stage("ready").await?["node"].as_str().context("no node URL")?.to_owned();
            (Some(tangle), node.clone(), node)
        }
    };
    let kept = if tangle.is_some() { "a dev Tangle of its own process" } else { "a node that runs elsewhere" };
    ui.stage("tangle", &format!("{node}, {kept}"), json!({ "node": node, "faucet": faucet }));
    let result = market(&ui, &base, &node, &faucet).await;
    if let Some(tangle) = tangle {
        tangle.stop().await?;
    }
    ui.done();
    result
}

async fn market(ui: &Ui, base: &Path, node: &str, faucet: &str) -> Result<u8> {
    let (executor_dir, submitter_dir) = (base.join("executor"), base.join("submitter"));
    let (executor_dir, submitter_dir) = (path(&executor_dir)?, path(&submitter_dir)?);
    let run = ["executor", "run", "--node", node, "--data-dir", executor_dir, "--allow-weak-sandbox", "--json"];
    let mut executor = Part::start("the executor", &run)?;
    let ready = executor.stage("ready").await?;
    let id = ready["executor"].as_str().context("no executor id")?.to_owned();
    ui.stage("executor", &format!("{} offers {} slots", short(&id), ready["slots"]), json!({ "executor": id }));

    let funded = ask(
        "the submitter",
        &["wallet", "faucet", "--node", node, "--faucet", faucet, "--data-dir", submitter_dir, "--json"],
    )
    .await?;
    let submitter_before = funded["total"].as_u64().context("no balance")?;
    let executor_before = executor_total(&mut executor, executor_dir)?;
    ui.stage(
        "wallets",
        &format!("before: submitter {}, executor {}", money(submitter_before), money(executor_before)),
        json!({ "when": "before", "submitter": submitter_before, "executor": executor_before }),
    );

    let (text, expected) = text::make();
    let file = base.join("book.txt");
    std::fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    ui.stage("input", &format!("{} bytes of text in {}", text.len(), file.display()), json!({ "bytes": text.len() }));
    let result_dir = base.join("result");
    let input = format!("{}:book.txt", path(&file)?);
    let task = [
        "run",
        "demo:wordcount",
        "--node",
        node,
        "--data-dir",
        submitter_dir,
        "--executor",
        &id,
        "--input",
        &input,
        "--result-dir",
        path(&result_dir)?,
        "--json",
        "--",
        "book.txt",
        "3",
    ];
    let price = follow(ui, &task).await?;

    let stdout = std::fs::read_to_string(result_dir.join("stdout")).context("the result has no stdout")?;
    ensure!(stdout.lines().next() == Some(expected.as_str()), "wrong counts: expected `{expected}`, got `{stdout}`");
    ui.stage("counts", stdout.trim_end(), json!({ "stdout": stdout, "expected": expected }));

    let after =
        ask("the submitter", &["wallet", "balance", "--node", node, "--data-dir", submitter_dir, "--json"]).await?;
    let submitter_after = after["total"].as_u64().context("no balance")?;
    let stopped = executor.stop().await?.context("the executor said nothing at its end")?;
    let executor_after = stopped["total"].as_u64().context("no balance")?;
    ui.stage(
        "wallets",
        &format!("after: submitter {}, executor {}", money(submitter_after), money(executor_after)),
        json!({ "when": "after", "submitter": submitter_after, "executor": executor_after }),
    );
    ensure!(submitter_before == submitter_after + price, "the submitter did not pay exactly {price}");
    ensure!(executor_after == executor_before + price, "the executor did not receive exactly {price}");
    let paid = format!("{} went from the submitter to the executor, nothing else moved", money(price));
    ui.stage("done", &paid, json!({ "price": price }));
    Ok(0)
}

/// Total of the executor's wallet when it started: what its store says, which it has just written.
fn executor_total(_executor: &mut Part, dir: &str) -> Result<u64> {
    let store = tarefa_daemon::Store::open(&PathBuf::from(dir).join("store.sqlite"))?;
    let wallet: Option<tarefa_ledger::wallet::Wallet> = store.read(|tx| tx.get("wallet"))?;
    Ok(wallet.unwrap_or_default().balance().total())
}

/// Runs the task and passes its stages on; what it cost.
async fn follow(ui: &Ui, args: &[&str]) -> Result<u64> {
    let mut task = Part::start("the task", args)?;
    let mut price = None;
    while let Some(line) = task.line(TASK_MAX).await? {
        let name = line["stage"].as_str().unwrap_or("stage").to_owned();
        let text = match name.as_str() {
            "submitted" => format!("task {} in {} blocks", line["task"].as_str().unwrap_or_default(), line["blocks"]),
            "accepted" => format!("{} tasks before it", line["position"]),
            "locked" => format!("the locked result, {} bytes", line["bytes"]),
            "quoted" => format!("{} for {} ms", money(line["price"].as_u64().unwrap_or(0)), line["metered_ms"]),
            "paid" => money(line["price"].as_u64().unwrap_or(0)),
            "released" => line["outcome"].as_str().unwrap_or_default().to_owned(),
            "failed" => line["reason"].as_str().unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        if name == "paid" {
            price = line["price"].as_u64();
        }
        if !matches!(name.as_str(), "result" | "offer") {
            ui.stage(&name, &text, line);
        }
    }
    task.ended().await?;
    price.context("the task ended without a payment")
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not valid UTF-8", path.display()))
}
