//! Several operations that one request names.

use std::sync::atomic::Ordering;

use super::*;

fn names(requests: &[&Request]) -> Request {
    Request::Together { requests: requests.iter().map(|request| (*request).clone()).collect() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_request_names_is_one_state() {
    let town = open_town().await;
    let seq = async |who| town.ask(who, Request::Status).await.expect("it answers")["channel"]["seq"].clone();
    let (first, second) = (invoiced(&town, 1000, false).await, invoiced(&town, 2000, true).await);
    let out = Request::WithdrawHot { amount: Amount(500) };
    let before = seq("alice").await.as_u64().expect("a number");
    let said = town.ask("alice", names(&[&first, &out, &second])).await.expect("the hub signs it");
    assert_eq!(said["seq"], json!(before + 1), "{said}");
    let tokens: Vec<TokenId> = serde_json::from_value(said["tokens"].clone()).expect("both");
    assert_eq!(tokens.len(), 2);
    let history = town.ask("alice", Request::History).await.expect("it reads");
    let proposed = history.as_array().expect("entries").iter().filter(|entry| entry["what"] == "proposed");
    let ops = proposed.map(|entry| entry["facts"]["state"]["ops"].as_array().expect("operations").len());
    assert!(ops.clone().any(|ops| ops >= 3), "{:?}", ops.collect::<Vec<_>>());
    // The tokens are told in the order of the requests.
    town.ask("alice", Request::AwaitPayment { token: tokens[0] }).await.expect("it arrives");
    let vouch = Request::Voucher { token: tokens[1], cumulative: Amount(7) };
    town.ask("alice", vouch).await.expect("this one is metered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_one_request_names_nothing_is_done_where_one_cannot_be() {
    let town = open_town().await;
    let out = Request::WithdrawHot { amount: Amount(500) };
    let vain = in_vain(9);
    let refused = town.ask("alice", names(&[&out, &vain])).await.expect_err("nobody has asked for that money");
    assert!(refused.to_string().contains("the hub refuses"), "{refused}");
    let too_much = Request::WithdrawHot { amount: Amount(1_000_000) };
    town.ask("alice", names(&[&out, &too_much])).await.expect_err("she has less");
    town.until("alice", "what was refused is over", |status| status["channel"]["refused"] == 0).await;
    let status = town.ask("alice", Request::Status).await.expect("it answers");
    assert_eq!((&status["channel"]["clientOut"], &status["channel"]["client"]), (&json!("0"), &json!("100000")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_go_together_is_said_before_anything_is_signed() {
    let town = open_town().await;
    let out = Request::WithdrawHot { amount: Amount(5) };
    let cancel = Request::CancelToken { token: TokenId(B256::ZERO) };
    let metered = invoiced(&town, 100, true).await;
    let refusals = [
        (names(&[]), "0 requests together"),
        (names(&[&out; 33]), "33 requests together"),
        (names(&[&out, &Request::Status]), "request 1 makes no state"),
        (names(&[&names(&[&out])]), "request 0 makes no state"),
        (
            names(&[&Request::AttachTokenOffChain { token: TokenId(B256::ZERO) }]),
            "request 0: this channel has no token",
        ),
        (names(&[&metered; LIVE + 1]), "9 payments together: the hub allows 8"),
        (names(&[&Request::Close { last: true }, &out]), "goes together with attaches, declines and settlements only"),
        (
            names(&[&Request::Close { last: true }, &cancel]),
            "goes together with attaches, declines and settlements only",
        ),
    ];
    for (request, words) in refusals {
        let said = town.ask("alice", request).await.expect_err(words).to_string();
        assert!(said.contains(words), "{said}");
    }
    let status = town.ask("alice", Request::Status).await.expect("it answers");
    assert_eq!((&status["channel"]["seq"], &status["channel"]["underWay"]), (&json!(0), &json!(false)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_behind_several_that_wait_for_room_wait_too_and_what_pays_nothing_does_not() {
    let town = open_town().await;
    let mut taken = vec![];
    for _ in 1..LIVE {
        taken.push(pay(&town, 100, true).await);
    }
    let [first, second, single] =
        [invoiced(&town, 100, true).await, invoiced(&town, 100, true).await, invoiced(&town, 100, true).await];
    let both = async { town.ask("alice", names(&[&first, &second])).await.expect("there is room in the end") };
    let one = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        town.ask("alice", single).await.expect("there is room in the end")
    };
    // More than go into one state.
    let more = invoiced(&town, 100, true).await;
    let crowd = (0..40).map(|_| {
        tokio::spawn({
            let (door, more) = (town.door("alice"), more.clone());
            async move { door.ask(more).await.is_ok() }
        })
    });
    let rest = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let crowd: Vec<_> = crowd.collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let out = Request::WithdrawHot { amount: Amount(50) };
        let out = town.ask("alice", out).await.expect("nothing to wait for");
        crowd.iter().for_each(tokio::task::JoinHandle::abort);
        for token in &taken[..2] {
            town.ask("bob", Request::Collect { token: *token }).await.expect("he may");
        }
        out
    };
    let (both, one, out) = tokio::join!(both, one, rest);
    let seq = |said: &serde_json::Value| said["seq"].as_u64().expect("a number");
    assert!(seq(&out) < seq(&both) && seq(&both) <= seq(&one), "{out} {both} {one}");
    assert_eq!(both["tokens"].as_array().map(Vec::len), Some(2), "{both}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_request_ends_makes_room_for_what_it_pays() {
    let mut town = Town::new().await;
    town.manual = true;
    let town = opened(town).await;
    let mut taken = vec![pay(&town, 100, false).await];
    town.until("bob", "it is offered", |status| status["offered"].as_array().map(Vec::len) == Some(1)).await;
    town.ask("bob", Request::PopProofOfDetachment { proof: None }).await.expect("it is there");
    town.ask("bob", Request::AttachTokenOffChain { token: taken[0] }).await.expect("it is his");
    for _ in 1..LIVE {
        taken.push(pay(&town, 100, true).await);
    }
    town.ask("alice", Request::AwaitPayment { token: taken[0] }).await.expect("she has the receipt");
    let next = invoiced(&town, 100, false).await;
    let settle = Request::SettleOffChainOffChainTransfer { token: taken[0] };
    town.ask("alice", names(&[&settle, &next])).await.expect("as many as before are under way");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_attached_together_and_refused_is_kept_until_the_hub_signs() {
    let mut town = Town::new().await;
    town.manual = true;
    let town = opened(town).await;
    let tokens = [pay(&town, 1000, false).await, pay(&town, 2000, false).await];
    for offered in [2, 1] {
        town.until("bob", "they are offered", |status| status["offered"].as_array().map(Vec::len) == Some(offered))
            .await;
        town.ask("bob", Request::PopProofOfDetachment { proof: None }).await.expect("it is there");
    }
    let attach = tokens.map(|token| Request::AttachTokenOffChain { token });
    town.manners.refuses.store(true, Ordering::Relaxed);
    let refused = town.ask("bob", names(&[&attach[0], &attach[1]])).await.expect_err("not today").to_string();
    assert!(refused.contains("not today"), "{refused}");
    let status = town.ask("bob", Request::Status).await.expect("it answers");
    assert_eq!((&status["channel"]["underWay"], &status["channel"]["client"]), (&json!(true), &json!("0")));
    town.manners.refuses.store(false, Ordering::Relaxed);
    town.until("bob", "both are his", |status| status["channel"]["client"] == "3000").await;
    let status = town.ask("bob", Request::Status).await.expect("it answers");
    assert_eq!((&status["channel"]["seq"], &status["channel"]["refused"]), (&json!(1), &json!(0)), "by one state");
}
