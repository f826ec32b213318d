//! Payments that wait for room.

use super::*;
use crate::town::PATIENCE;

/// Alice, with room for some more payments, as she is after a start: the others stay under way, and she knows nothing of how long any takes.
async fn with_room_for(room: usize, look: Duration) -> Town {
    let mut town = open_town().await;
    for _ in room..LIVE {
        pay(&town, 100, true).await;
    }
    town.stop("alice").await;
    town.start_looking("alice", look).await;
    town
}

/// Asks for so many payments at once.
async fn order(town: &Town, count: usize) -> JoinSet<Result<serde_json::Value, tarefa_client::ClientFault>> {
    let mut asking = JoinSet::new();
    for _ in 0..count {
        let (door, pay) = (town.door("alice"), invoiced(town, 100, false).await);
        asking.spawn(async move { door.ask(pay).await });
    }
    asking
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_payments_wait_for_room_a_state_waits_for_receipts_and_settles_them_together() {
    let town = with_room_for(2, Duration::from_millis(50)).await;
    let [first, second] = [pay(&town, 100, true).await, pay(&town, 100, true).await];
    for token in [first, second] {
        town.ask("alice", Request::Voucher { token, cumulative: Amount(50) }).await.expect("acknowledged");
    }
    // A payment takes so long here, and as long the next state waits for the second receipt.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut asking = order(&town, 3).await;
    for token in [first, second] {
        town.ask("bob", Request::Collect { token }).await.expect("he may");
        town.ask("alice", Request::AwaitPayment { token }).await.expect("the receipt comes");
    }
    asking.join_next().await.expect("three").expect("it ran").expect("there is room");
    let history = town.ask("alice", Request::History).await.expect("it reads");
    let settled = |entry: &&serde_json::Value| {
        let ops = entry["facts"]["state"]["ops"].as_array();
        let ends = |token: TokenId| {
            ops.is_some_and(|ops| ops.iter().any(|op| op["kind"] == "settle" && op["token"] == json!(token)))
        };
        entry["what"] == "proposed" && ends(first) && ends(second)
    };
    assert!(history.as_array().expect("entries").iter().any(|entry| settled(&entry)), "{history}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_without_room_wait_for_no_payee_who_is_late() {
    // Nothing wakes her but what is meant to.
    let town = with_room_for(2, Duration::from_secs(3600)).await;
    pay(&town, 100, true).await;
    let asked = tokio::time::timeout(PATIENCE, order(&town, 3).await.join_all());
    for detached in asked.await.expect("in time") {
        detached.expect("it had its turn");
    }
}
