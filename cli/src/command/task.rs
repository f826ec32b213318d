//! `tarefa task`: the tasks of one data directory.

use anyhow::{Result, bail};
use serde_json::json;
use tarefa_submitter::view;

use super::run;
use crate::args::{Fetch, OneTask, PartyOutput};
use crate::session::Session;
use crate::ui::{Ui, money, short};

pub async fn list(args: PartyOutput) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    let session = Session::open(&args.party, &ui).await?;
    let tasks = session.ask(|driver| driver.store().read(view::all)).await?;
    session.close().await?;
    ui.done();
    if tasks.is_empty() {
        ui.say("no tasks yet; `tarefa run` starts one");
    }
    for task in tasks {
        let price = task.price.map(money).unwrap_or_default();
        let ending = task.ending.clone().unwrap_or_default();
        let line = format!("{} {:<9} {:>12}  {}  {ending}", task.id, task.phase, price, short(&task.executor));
        ui.answer(&json!(task), &line);
    }
    Ok(0)
}

pub async fn show(args: OneTask) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    let session = Session::open(&args.party, &ui).await?;
    let id = args.id;
    let (task, events) =
        session.ask(move |driver| driver.store().read(|tx| Ok((view::one(tx, &id)?, tx.events(&id)?)))).await?;
    session.close().await?;
    let Some(task) = task else { bail!("there is no task {id} in this data directory; `tarefa task ls` lists them") };
    let mut text = format!("task      {id}\nexecutor  {}\nphase     {}\n", task.executor, task.phase);
    if let (Some(price), Some(metered)) = (task.price, task.metered_ms) {
        text += &format!("price     {} for {metered} ms\n", money(price));
    }
    if let Some(ending) = &task.ending {
        text += &format!("ending    {ending}\n");
    }
    for event in &events {
        text += &format!("{}  {}\n", event.at, event.json);
    }
    let events: Vec<_> = events.iter().map(|event| json!({ "at": event.at, "json": event.json })).collect();
    ui.answer(&json!({ "task": task, "events": events }), text.trim_end());
    Ok(0)
}

pub async fn fetch(args: Fetch) -> Result<u8> {
    let ui = Ui::new(args.task.output.json);
    let session = Session::open(&args.task.party, &ui).await?;
    run::finish(session, args.task.id, args.result_dir, &ui, &args.task.party.node).await
}

pub async fn cancel(args: OneTask) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    let session = Session::open(&args.party, &ui).await?;
    let id = args.id;
    let known = session.ask(move |driver| driver.store().read(|tx| view::one(tx, &id))).await?;
    if known.is_none() {
        bail!("there is no task {id} in this data directory; `tarefa task ls` lists them");
    }
    session.ask(move |driver| driver.command(|role, desk| role.cancel(desk, &id))).await?;
    run::finish(session, id, None, &ui, &args.party.node).await?;
    Ok(0)
}
