//! `tarefa executor`: the daemon, and the doctor of its sandbox.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tarefa_daemon::run::{self, StartAt};
use tarefa_executor::doctor::{self, Finding};
use tarefa_executor::sandbox::{Performer, Sandbox};
use tarefa_executor::{Config, ExecutorRole};
use tarefa_ledger::network;
use tarefa_tangle::Tangle;
use tarefa_tangle::rest::Rest;

use crate::args::{ExecutorRun, Output};
use crate::ui::{Ui, money, short};
use crate::{party, signals};

/// Hidden first argument that turns this binary into a worker of the sandbox.
pub const WORKER: &str = "__worker";

/// After a request to stop, guests that run get this long to end; later they are run again at the next start.
const GRACE: Duration = Duration::from_secs(10);
/// How often it is looked whether they have ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A new executor reads this many milestones back: tasks sent before it existed are not for it.
const BACK: u32 = 0;

fn sandbox(dir: &Path) -> Result<Arc<Sandbox>> {
    // The binary that runs now, also after an update has replaced the file.
    let program = std::path::PathBuf::from("/proc/self/exe");
    Sandbox::new(dir, program, vec![WORKER.to_owned()]).context("the sandbox cannot be set up")
}

/// A directory for probes: they must not be able to harm anything.
fn examine(sandbox: &Sandbox) -> Result<Vec<Finding>> {
    let dir = tempfile::tempdir().context("no temporary directory")?;
    doctor::examine(sandbox.spawner(), dir.path()).context("the probes cannot be run")
}

pub fn doctor(output: Output) -> Result<u8> {
    let ui = Ui::new(output.json);
    let dir = tempfile::tempdir().context("no temporary directory")?;
    let findings = examine(&*sandbox(dir.path())?)?;
    ui.done();
    for finding in &findings {
        let verdict = match (finding.held, finding.required) {
            (true, _) => "held",
            (false, true) => "MISSING",
            (false, false) => "missing",
        };
        let line = format!("{:<8} {:<11} {:<18} {}", verdict, finding.property, finding.probe, finding.said);
        ui.answer(&json!(finding), &line);
    }
    let missing = doctor::missing(&findings).len();
    if missing > 0 {
        ui.say(&format!("{missing} required walls are missing: this machine must not run strangers' tasks"));
        return Ok(1);
    }
    Ok(0)
}

pub async fn run(args: ExecutorRun) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    let node = Arc::new(Rest::new(&args.party.node)?);
    let info = node.info().await?;
    let config = settings(&args)?.settle(network::plain_output_minimum(&info.params))?;
    let opened = party::open(args.party.data_dir.as_deref(), "executor")?;
    if opened.is_new {
        ui.say(&format!("new keys in {} (back up the file `mnemonic`)", opened.home.path().display()));
    }
    let sandbox = sandbox(opened.home.path())?;
    let findings = examine(&sandbox)?;
    check_walls(&findings, config.allow_weak_sandbox, &ui)?;
    let party = opened.keys.party_id();
    let role = ExecutorRole::new(config.clone(), doctor::held(&findings));
    let at = StartAt { back: BACK, accept_gap: args.party.accept_gap };
    let started = run::start(node, opened.store, role, opened.keys, Performer(sandbox.clone()), at).await?;
    let mut events = started.events;
    let handle = started.handle;
    let mut caught_up = started.caught_up;
    let mut task = tokio::spawn(started.runner.run());
    tokio::select! {
        up = caught_up.wait_for(|up| *up) => drop(up),
        ended = &mut task => return ended.context("the executor panicked")?.map(|()| 0).map_err(Into::into),
    }
    ui.stage(
        "ready",
        &format!("executor {} on {}, {} slots, {} per second", short(&party), args.party.node, config.slots, config.price_per_second),
        json!({ "executor": party, "node": args.party.node, "slots": config.slots, "price_per_second": config.price_per_second }),
    );
    ui.waiting("waiting for tasks");
    let stopping = signals::asked_to_stop();
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            Some(event) = events.recv() => show(&event, &ui),
            ended = &mut task => return ended.context("the executor panicked")?.map(|()| 0).map_err(Into::into),
            () = &mut stopping => break,
        }
    }
    ui.waiting("stopping");
    let until = tokio::time::Instant::now() + GRACE;
    while sandbox.running() > 0 && tokio::time::Instant::now() < until {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let balance = handle.with(|driver| driver.wallet().balance()).await;
    handle.stop();
    task.await.context("the executor panicked")??;
    let total = balance.map_or(0, |balance| balance.total());
    ui.stage("stopped", &format!("the wallet holds {}", money(total)), json!({ "total": total }));
    ui.done();
    Ok(0)
}

fn settings(args: &ExecutorRun) -> Result<Config> {
    let mut config = match &args.config {
        Some(path) => Config::read(path)?,
        None => Config::default(),
    };
    config.price_per_second = args.price_per_second.unwrap_or(config.price_per_second);
    config.minimum = args.minimum.unwrap_or(config.minimum);
    config.slots = args.slots.unwrap_or(config.slots);
    config.allow_weak_sandbox |= args.allow_weak_sandbox;
    Ok(config)
}

fn check_walls(findings: &[Finding], allow_weak: bool, ui: &Ui) -> Result<()> {
    let missing: Vec<&str> = doctor::missing(findings).iter().map(|finding| finding.probe.as_str()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(", ");
    if !allow_weak {
        bail!(
            "the sandbox is too weak for strangers' tasks ({list}): see `tarefa executor doctor`, or give --allow-weak-sandbox"
        );
    }
    ui.say(&format!("warning: these walls are missing and guests could get through: {list}"));
    Ok(())
}

fn show(event: &tarefa_daemon::store::EventRow, ui: &Ui) {
    let Ok(mut facts) = serde_json::from_str::<Value>(&event.json) else { return };
    let name = facts["event"].as_str().unwrap_or("event").to_owned();
    let detail: Vec<String> = facts
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| *key != "event")
        .map(|(key, value)| format!("{key} {}", value.as_str().map_or_else(|| value.to_string(), |text| short(&text))))
        .collect();
    let text = format!("{}  {}", short(&event.task), detail.join(", "));
    if let Some(facts) = facts.as_object_mut() {
        facts.remove("event");
    }
    facts["task"] = json!(event.task);
    ui.stage(&name, &text, facts);
}
