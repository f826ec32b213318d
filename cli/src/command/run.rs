//! `tarefa run` and `tarefa submit`: one task, from a file to its output.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tarefa_protocol::codec::Bytes;
use tarefa_protocol::message::{Manifest, TaskFile};
use tarefa_protocol::offer::{KnownOffer, TaskLimits};
use tarefa_protocol::result::TaskResult;
use tarefa_protocol::{BaseUnits, Millis, TaskId};
use tarefa_submitter::role::Seen;
use tarefa_submitter::view::TaskView;
use tarefa_submitter::{Draft, files, view};

use super::{FAILED, UNANSWERED, market};
use crate::args::Run;
use crate::guests;
use crate::session::Session;
use crate::ui::{Ui, money, short};

/// The first bytes of every WebAssembly binary.
const WASM_MAGIC: &[u8] = b"\0asm";
/// How long a finished command waits for its last messages (a cancel, say) to be referenced.
const LAST_WORDS_MAX: Duration = Duration::from_secs(10);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Reads everything the task needs; nothing is sent before all of it is good.
pub fn draft(args: &Run) -> Result<Draft> {
    let module = match args.module.strip_prefix(guests::PREFIX) {
        Some(name) => guests::by_name(name)
            .with_context(|| format!("there is no guest demo:{name}: wordcount, primes, exit3, spin"))?
            .to_vec(),
        None => read(Path::new(&args.module), "the module")?,
    };
    if !module.starts_with(WASM_MAGIC) {
        bail!("{} is not a WebAssembly binary: compile it for wasm32-wasip1", args.module);
    }
    let mut limits = TaskLimits::default();
    if let Some(time) = args.time_max {
        limits.time_max = Millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    }
    if let Some(mebibytes) = args.memory_max {
        limits.memory_max = mebibytes.saturating_mul(1 << 20);
    }
    let mut manifest =
        Manifest { args: args.args.clone(), outputs: args.output_file.clone(), limits, ..Manifest::default() };
    for variable in &args.env {
        let (name, value) = variable.split_once('=').with_context(|| format!("--env {variable}: write NAME=VALUE"))?;
        manifest.env.push((name.to_owned(), value.to_owned()));
    }
    if let Some(path) = &args.stdin {
        manifest.stdin = Bytes(read(path, "--stdin")?);
    }
    for input in &args.input {
        manifest.inputs.push(input_file(input)?);
    }
    manifest.check()?;
    Ok(Draft { module: Bytes(module), manifest })
}

fn input_file(input: &str) -> Result<TaskFile> {
    let (host, guest) = match input.rsplit_once(':') {
        Some((host, guest)) => (Path::new(host), guest.to_owned()),
        None => {
            let host = Path::new(input);
            let name = host.file_name().and_then(|name| name.to_str());
            (host, name.with_context(|| format!("--input {input}: name it for the guest, HOST:GUEST"))?.to_owned())
        }
    };
    Ok(TaskFile { path: guest, bytes: Bytes(read(host, "--input")?) })
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{what} {} cannot be read", path.display()))
}

/// Submits and returns the id, or the exit status that says why not.
async fn place(session: &mut Session, args: &Run, ui: &Ui) -> Result<Result<TaskId, u8>> {
    let draft = draft(args)?;
    ui.waiting("waiting for an offer");
    let wanted = args.executor;
    let fits = move |offer: &KnownOffer| wanted.is_none_or(|wanted| offer.executor == wanted);
    let Some(offer) = market::wait_for(session, fits).await?.into_iter().next() else {
        let reason = match args.executor {
            Some(executor) => format!("executor {executor} offers nothing"),
            None => "no executor offers anything".to_owned(),
        };
        let text = format!("{reason}: start one with `tarefa executor run --node {}`", args.party.node);
        ui.stage("failed", &text, json!({ "reason": reason, "exit_status": UNANSWERED }));
        return Ok(Err(UNANSWERED));
    };
    let balance = session.with(|driver| driver.wallet().balance()).await?;
    let spendable = balance.available + balance.pending_change;
    let max_price = max_price(args, &draft, &offer, spendable)?;
    let terms = offer.offer.price;
    ui.stage(
        "offer",
        &format!("{} at {} per second, at least {}; paying {max_price} at most", short(&offer.executor), terms.per_second, terms.minimum),
        json!({ "executor": offer.executor, "price_per_second": terms.per_second, "minimum": terms.minimum, "max_price": max_price }),
    );
    let id =
        session.ask(move |driver| driver.command(|role, desk| role.submit(desk, &draft, offer, max_price))).await?;
    Ok(Ok(id))
}

fn max_price(args: &Run, draft: &Draft, offer: &KnownOffer, spendable: u64) -> Result<BaseUnits> {
    let terms = offer.offer.price;
    if spendable < terms.minimum.0 {
        bail!(
            "the wallet holds {}, a task costs at least {}: on a dev Tangle, `tarefa wallet faucet --node {}` gives some",
            money(spendable),
            terms.minimum,
            args.party.node
        );
    }
    match args.max_price {
        Some(max) if max < terms.minimum => {
            bail!("--max-price {max} is below the offer's minimum of {}: raise it", terms.minimum)
        }
        Some(max) => Ok(max),
        None => {
            let time = draft.manifest.limits.min(&offer.offer.limits).time_max;
            let full = terms.of(time).context("the offer's price for the whole time limit exceeds 64 bits")?;
            Ok(full.min(BaseUnits(spendable)))
        }
    }
}

pub async fn run(args: Run) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    let mut session = Session::open(&args.party, &ui).await?;
    let id = match place(&mut session, &args, &ui).await? {
        Ok(id) => id,
        Err(status) => {
            session.close().await?;
            return Ok(status);
        }
    };
    finish(session, id, args.result_dir, &ui, &args.party.node).await
}

pub async fn submit(args: Run) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    let mut session = Session::open(&args.party, &ui).await?;
    let placed = place(&mut session, &args, &ui).await?;
    if let Ok(id) = placed {
        ui.waiting("waiting until it is on the Tangle");
        while session.ask(move |driver| driver.store().read(|tx| tx.parts_left(&id))).await? > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        ui.answer(&json!({ "stage": "submitted", "task": id }), &id.to_string());
        ui.say(&format!("nothing is paid until a command runs here again: tarefa task fetch {id}"));
    }
    session.close().await?;
    Ok(placed.map_or_else(|status| status, |_| 0))
}

/// Follows a task to its end, writes its result, prints its output.
pub async fn finish(session: Session, id: TaskId, dir: Option<PathBuf>, ui: &Ui, node: &str) -> Result<u8> {
    let mut session = session;
    let ended = follow(&mut session, id, ui).await?;
    let status = ended.exit_status.unwrap_or(FAILED);
    let result = session.with(move |driver| driver.store().read(|tx| files::result(tx, &id))).await?;
    if let Ok((result, stored)) = result {
        let dir = dir.unwrap_or_else(|| PathBuf::from(format!("tarefa-{id}")));
        files::write(&dir, &result, &stored)?;
        ui.stage(
            "result",
            &format!("in {} ({})", dir.display(), result.outcome),
            json!({ "task": id, "dir": dir, "exit_status": status, "stdout": String::from_utf8_lossy(&result.stdout.0) }),
        );
        ui.done();
        print(&result, ui)?;
    } else {
        ui.done();
        ui.say(&format!("details: tarefa task show {id} --node {node}"));
    }
    let until = tokio::time::Instant::now() + LAST_WORDS_MAX;
    while tokio::time::Instant::now() < until && !session.with(|driver| driver.is_settled()).await? {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    session.close().await?;
    Ok(status)
}

fn print(result: &TaskResult, ui: &Ui) -> Result<()> {
    if ui.is_json() {
        return Ok(());
    }
    // A closed pipe is the reader's choice.
    let _ = std::io::stderr().write_all(&result.stderr.0);
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(&result.stdout.0).and_then(|()| out.flush());
    Ok(())
}

/// Shows every stage until the task has ended.
async fn follow(session: &mut Session, id: TaskId, ui: &Ui) -> Result<TaskView> {
    let mut shown = 0;
    loop {
        let (events, view) =
            session.ask(move |driver| driver.store().read(|tx| Ok((tx.events(&id)?, view::one(tx, &id)?)))).await?;
        for event in events {
            if event.seq > shown {
                shown = event.seq;
                show(&event.json, id, ui);
            }
        }
        let view = view.with_context(|| format!("there is no task {id} in this data directory; `tarefa task ls`"))?;
        if view.exit_status.is_some() {
            return Ok(view);
        }
        loop {
            if session.event().await?.task == id {
                break;
            }
        }
    }
}

fn show(json: &str, id: TaskId, ui: &Ui) {
    let Ok(mut facts) = serde_json::from_str::<Value>(json) else { return };
    facts["task"] = json!(id);
    let Ok(seen) = serde_json::from_str::<Seen>(json) else {
        let need = facts["need"].as_u64().map(money).unwrap_or_default();
        let have = facts["have"].as_u64().map(money).unwrap_or_default();
        ui.stage(
            "funds",
            &format!("{have} are spendable, {need} are needed: `tarefa wallet faucet`, or send some"),
            facts,
        );
        return;
    };
    let (name, text, next) = match &seen {
        Seen::Submitted { executor, blocks } => {
            ("submitted", format!("task {id} in {blocks} blocks to {}", short(executor)), "waiting for the executor")
        }
        Seen::Accepted { position } => ("accepted", format!("{position} tasks before it"), "running"),
        Seen::ResultReceived { bytes } => {
            ("locked", format!("the locked result, {bytes} bytes"), "waiting for the quote")
        }
        Seen::Quoted { metered_ms, price } => {
            ("quoted", format!("{} for {metered_ms} ms", money(*price)), "waiting for the payment to be booked")
        }
        Seen::Paid { price } => ("paid", money(*price), "waiting for the key"),
        Seen::Done { outcome, .. } => ("released", outcome.clone(), ""),
        Seen::Failed { reason, .. } => ("failed", reason.clone(), ""),
    };
    if let Some(facts) = facts.as_object_mut() {
        facts.remove("event");
    }
    ui.stage(name, &text, facts);
    ui.waiting(next);
}
