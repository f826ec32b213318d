//! A hub whose key changes, or is revoked.

use std::sync::atomic::Ordering;

use tarefa_channel::terms::Terms;

use super::town::TERMS;
use super::*;

/// A hub has three seconds to sign again.
const SHORT: Terms = Terms { grace: 8, patience: 3, ..TERMS };

/// A hub has eight seconds: more than it takes on any machine.
const LONG: Terms = Terms { grace: 13, patience: 3, ..TERMS };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_signature_does_not_count_is_left_for_the_next_one() {
    let town = Town::with_two_replicas().await;
    town.manners.strange.store(true, Ordering::Relaxed);
    let town = opened(town).await;
    town.ask("alice", Request::WithdrawHot { amount: Amount(500) }).await.expect("the other one signs");
    let asked = town.manners.asked.lock().expect("nobody panics").clone();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_ne!(asked[0], asked[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_whose_signatures_never_count_is_not_asked_without_a_rest() {
    let town = Town::new().await;
    town.manners.strange.store(true, Ordering::Relaxed);
    let town = opened(town).await;
    let out = town.ask("alice", Request::WithdrawHot { amount: Amount(500) });
    tokio::time::timeout(Duration::from_secs(3), out).await.expect_err("nobody signs it");
    let asked = town.manners.asked.lock().expect("nobody panics").len();
    assert!((2..=3).contains(&asked), "{asked} times in three seconds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_12_a_hub_that_signs_nothing_again_has_its_state_checkpointed_and_its_promise_redeemed_in_time() {
    for silent in [true, false] {
        let mut town = opened(Town::under(SHORT, Duration::ZERO).await).await;
        let token = pay(&town, 1000, true).await;
        town.until("bob", "he is promised", |status| status["channel"]["earning"][0]["token"] == json!(token)).await;
        town.ask("alice", Request::Voucher { token, cumulative: Amount(70) }).await.expect("acknowledged");
        let seq = town.ask("alice", Request::Status).await.expect("it answers")["channel"]["seq"].as_u64();
        if silent {
            // Whoever was away when it was announced begins with what is left of the hub's time.
            town.stop("alice").await;
            town.stop("bob").await;
            town.hub_dies();
        } else {
            town.manners.refuses.store(true, Ordering::Relaxed);
        }
        let until = town.announce_revocation().await;
        if silent {
            town.start("alice").await;
            town.start("bob").await;
        }
        let over = SHORT.signs_again_before(until);
        let (alice, bob) = (town.owner("alice"), town.owner("bob"));
        let both = |view: &View| {
            let enforced = view.row(alice).seq.get();
            assert!(enforced == 0 || view.head().time >= over, "the hub had time until {over:?}");
            assert!(view.head().time < until, "nobody could show it any more");
            Some(enforced) == seq && view.redemption(token).is_some_and(|found| found.amount == Amount(70))
        };
        let view = town.until_chain("what only that key has signed is on chain", both).await;
        assert_eq!((view.row(alice).status, view.row(bob).status), (Status::Open, Status::Open));
    }
}

/// How far both have got.
async fn seqs(town: &Town) -> [u64; 2] {
    let seq = async |who| town.ask(who, Request::Status).await.expect("it answers")["channel"]["seq"].as_u64();
    [seq("alice").await.expect("a number"), seq("bob").await.expect("a number")]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_12_a_hub_with_another_key_signs_what_its_clients_ask_for_again() {
    let mut town = opened(Town::under(LONG, Duration::ZERO).await).await;
    let settled = |status: &serde_json::Value| status["channel"]["paying"] == json!([]);
    pay(&town, 1000, false).await;
    town.until("bob", "it is his", |status| status["channel"]["client"] == "1000").await;
    town.until("alice", "it is settled", settled).await;
    let before = seqs(&town).await;
    let until = town.announce_revocation().await;
    town.hub_runs("hub 2").await;
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let now = seqs(&town).await;
        if now[0] > before[0] && now[1] > before[1] {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{before:?} {now:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let over = LONG.signs_again_before(until);
    let view = town.until_chain("the time is over", |view| view.head().time > over.after(1)).await;
    assert_eq!(["alice", "bob"].map(|who| view.row(town.owner(who)).seq.get()), [0; 2], "no state had to be shown");
    let once = before.map(|seq| seq + 1);
    assert_eq!(seqs(&town).await, once, "by one state that does nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_12_a_metering_ends_with_the_key_behind_its_promise() {
    let mut town = opened(Town::under(LONG, Duration::ZERO).await).await;
    let token = pay(&town, 1000, true).await;
    town.until("bob", "he is promised", |status| status["channel"]["earning"][0]["token"] == json!(token)).await;
    town.ask("alice", Request::Voucher { token, cumulative: Amount(70) }).await.expect("acknowledged");
    let until = town.announce_revocation().await;
    town.hub_runs("hub 2").await;
    town.until("bob", "he has what he earned", |status| status["channel"]["client"] == "70").await;
    town.until("alice", "it is settled", |status| status["channel"]["paying"] == json!([])).await;
    let over = LONG.signs_again_before(until);
    let view = town.until_chain("the time is over", |view| view.head().time > over.after(1)).await;
    assert!(view.redemption(token).is_none(), "it was attached");
}
