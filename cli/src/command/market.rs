//! `tarefa market ls`: who offers what.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tarefa_protocol::limits::ANSWER_TIMEOUT_S;
use tarefa_protocol::offer::{KnownOffer, rank};

use crate::args::PartyOutput;
use crate::session::Session;
use crate::ui::{Ui, short};

/// How often the store is asked while waiting for an offer.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The offers that are valid now, best first.
pub async fn offers(session: &Session) -> Result<Vec<KnownOffer>> {
    session
        .ask(|driver| {
            let now = driver.now().time;
            let mut offers = driver.store().read(|tx| tx.offers(now))?;
            rank(&mut offers);
            Ok(offers)
        })
        .await
}

/// Waits until at least one offer fits; empty when none came in time.
pub async fn wait_for(session: &mut Session, fits: impl Fn(&KnownOffer) -> bool) -> Result<Vec<KnownOffer>> {
    let patience = Duration::from_secs(u64::from(ANSWER_TIMEOUT_S));
    let until = tokio::time::Instant::now() + patience;
    loop {
        let mut offers = offers(session).await?;
        offers.retain(&fits);
        if !offers.is_empty() || tokio::time::Instant::now() >= until {
            return Ok(offers);
        }
        // An error that ends the session must end the waiting too.
        if let Ok(event) = tokio::time::timeout(LOOK_EVERY, session.event()).await {
            event?;
        }
    }
}

pub async fn list(args: PartyOutput) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    let mut session = Session::open(&args.party, &ui).await?;
    ui.waiting("waiting for offers");
    let found = wait_for(&mut session, |_| true).await?;
    session.close().await?;
    ui.done();
    if found.is_empty() {
        ui.say("no executor offers anything here; start one with `tarefa executor run`");
        return Ok(super::UNANSWERED);
    }
    if !ui.is_json() {
        println!("{:<66} {:>14} {:>14} {:>6} {:>5}  walls", "executor", "per second", "minimum", "free", "paid");
    }
    for known in found {
        let offer = &known.offer;
        let line = format!(
            "{:<66} {:>14} {:>14} {:>6} {:>5}  {}",
            known.executor.to_string(),
            offer.price.per_second.to_string(),
            offer.price.minimum.to_string(),
            format!("{}/{}", offer.free, offer.slots),
            known.paid_before,
            offer.walls.join(" ")
        );
        tracing::debug!(offer = %short(&known.id), "listed");
        ui.answer(
            &json!({ "executor": known.executor, "id": known.id, "paid_before": known.paid_before, "offer": offer }),
            &line,
        );
    }
    Ok(0)
}
