//! Daemons with a real hub over HTTP on a development chain: what they refuse, what they survive.

mod crowded;
mod revoked;
mod together;
mod town;

use std::time::Duration;

use alloy_primitives::B256;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tarefa_chain::View;
use tarefa_channel::chain::Chain as _;
use tarefa_channel::contract::{Call, Redeem, RedemptionStatus, Status};
use tarefa_channel::{Amount, ChannelId, StateHash, TokenId};
use tarefa_client::{Anchor, Request, Settings, backup, rpc};
use tarefa_hub::Promise;
use tokio::task::JoinSet;
use town::{LIVE, OPENING, Town};

fn open(deposit: u128, collateral: u128) -> Request {
    Request::Subscribe { deposit: Amount(deposit), collateral: Amount(collateral), max_fee: Amount(OPENING) }
}

/// Alice and Bob with open channels.
async fn open_town() -> Town {
    opened(Town::new().await).await
}

/// Both have a channel.
async fn opened(mut town: Town) -> Town {
    town.start("alice").await;
    town.start("bob").await;
    town.ask("alice", open(100_000, 0)).await.expect("it opens");
    town.ask("bob", open(0, 50_000)).await.expect("it opens");
    town
}

/// What pays an invoice of Bob's.
async fn invoiced(town: &Town, amount: u128, metered: bool) -> Request {
    invoiced_on(town, amount, metered, false).await
}

async fn invoiced_on(town: &Town, amount: u128, metered: bool, conditional: bool) -> Request {
    let invoice = Request::Invoice { cap: Amount(amount), lifetime: 300, conditional };
    let asked = town.ask("bob", invoice).await.expect("an invoice");
    let word = |name: &str| serde_json::from_value::<B256>(asked[name].clone()).expect("a word");
    Request::DetachOffChainTokenOffChain {
        payee: ChannelId(word("payee")),
        amount: Amount(amount),
        invoice: word("invoice"),
        condition: word("condition"),
        metered,
        lifetime: 120,
    }
}

/// Pays for a secret; the token, and the condition that the secret has to meet.
async fn pay_for_a_secret(town: &Town, amount: u128) -> (TokenId, B256) {
    let detach = invoiced_on(town, amount, false, true).await;
    let Request::DetachOffChainTokenOffChain { condition, .. } = detach else { unreachable!("it is one") };
    assert!(!condition.is_zero());
    let detached = town.ask("alice", detach).await.expect("the hub grants it");
    (serde_json::from_value(detached["token"].clone()).expect("a token"), condition)
}

fn meets(condition: B256, preimage: &serde_json::Value) -> bool {
    let preimage: B256 = serde_json::from_value(preimage.clone()).expect("a secret");
    Sha256::digest(preimage).as_slice() == condition.as_slice()
}

async fn pay(town: &Town, amount: u128, metered: bool) -> TokenId {
    let detach = invoiced(town, amount, metered).await;
    let detached = town.ask("alice", detach).await.expect("the hub grants it");
    serde_json::from_value(detached["token"].clone()).expect("a token")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tag_1_28_a_voucher_waits_for_the_one_before() {
    let mut town = open_town().await;
    let token = pay(&town, 1000, true).await;
    town.until("bob", "he is promised", |status| status["channel"]["earning"][0]["token"] == json!(token)).await;
    let vouch = |cumulative| Request::Voucher { token, cumulative: Amount(cumulative) };
    town.ask("alice", vouch(10)).await.expect("acknowledged");
    town.stop("bob").await;
    town.ask("alice", vouch(20)).await.expect_err("nobody acknowledges it");
    let early = town.ask("alice", vouch(30)).await.expect_err("the one before is not acknowledged").to_string();
    assert!(early.contains("20 is not acknowledged"), "{early}");
    town.start("bob").await;
    town.ask("alice", vouch(20)).await.expect("said again, it is");
    town.ask("alice", vouch(30)).await.expect("and the next one");
    town.until("bob", "he has earned them", |status| status["channel"]["earning"][0]["earned"] == "30").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tag_1_21_a_client_takes_nothing_that_costs_more_than_it_brings() {
    let town = Town::new().await;
    let sound = town.settings(false);
    sound.check(&town.rpc).await.expect("nothing is wrong with them");
    let below = Settings { attach_above: Amount(sound.deployment.terms.dust.0 - 1), ..sound };
    let words = below.check(&town.rpc).await.expect_err("less than three redemptions").to_string();
    assert!(words.contains("three redemptions"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tag_1_21_what_is_vouched_for_is_attached_as_soon_as_that_is_worth_it() {
    let mut town = open_town().await;
    town.stop("bob").await;
    let mut settings = Settings::read(&town.dir("bob")).expect("his");
    settings.attach_above = Amount(500);
    settings.write(&town.dir("bob")).expect("written");
    town.start("bob").await;
    let token = pay(&town, 1000, true).await;
    town.until("bob", "he is promised", |status| status["channel"]["earning"][0]["token"] == json!(token)).await;
    let vouch = |cumulative| Request::Voucher { token, cumulative: Amount(cumulative) };
    town.ask("alice", vouch(499)).await.expect("acknowledged");
    let seq = town.ask("bob", Request::Status).await.expect("it answers")["channel"]["seq"].clone();
    // Some looks later.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let status = town.ask("bob", Request::Status).await.expect("it answers");
    assert_eq!((&status["channel"]["earning"][0]["earned"], &status["channel"]["seq"]), (&json!("499"), &seq));
    town.ask("alice", vouch(500)).await.expect("acknowledged");
    town.until("bob", "he has attached it", |status| status["channel"]["earning"] == json!([])).await;
    let receipt = town.ask("alice", Request::AwaitPayment { token }).await.expect("it arrived");
    assert_eq!(receipt["receipt"]["voucher"][0]["cumulative"], json!("500"), "{receipt}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_into_a_foreign_contract_or_under_unsafe_terms() {
    let town = Town::new().await;
    let sound = town.settings(false);
    let mut elsewhere = sound.clone();
    elsewhere.deployment.contract = town.impostor().await;
    let words = elsewhere.check(&town.rpc).await.expect_err("the same functions, other code").to_string();
    assert!(words.contains("not the contract"), "{words}");
    let mut hasty = sound.clone();
    hasty.deployment.terms.reorg = 0;
    assert!(hasty.check(&town.rpc).await.is_err(), "nothing would ever be replaced");
    let mut patient = sound;
    patient.deployment.terms.patience = u64::MAX;
    assert!(patient.check(&town.rpc).await.is_err(), "no hub would ever be silent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_is_read_before_it_is_paid() {
    let mut town = Town::new().await;
    town.start("alice").await;
    let cheap = Request::Subscribe { deposit: Amount(5), collateral: Amount(0), max_fee: Amount(OPENING - 1) };
    let words = town.ask("alice", cheap).await.expect_err("the hub asks more").to_string();
    assert!(words.contains("for the opening"), "{words}");
    let words = town.ask("alice", open(5, u128::from(u64::MAX))).await.expect_err("the hub puts in less").to_string();
    assert!(words.contains("at most"), "{words}");
    let status = town.ask("alice", Request::Status).await.expect("it answers");
    assert_eq!((&status["onChain"], &status["callsUnderWay"]), (&json!("none"), &json!(0)), "nothing was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_goes_on_where_the_hub_says_that_the_channel_stands() {
    let mut town = open_town().await;
    let first = pay(&town, 1000, false).await;
    town.ask("alice", Request::AwaitPayment { token: first }).await.expect("it arrives");
    let sealed = backup::make(&town.dir("alice"), "correct horse battery").expect("a backup");
    let second = pay(&town, 2000, false).await;
    town.ask("alice", Request::AwaitPayment { token: second }).await.expect("it arrives");
    town.until("alice", "it is settled", |status| status["channel"]["paying"] == json!([])).await;
    let before = town.ask("alice", Request::Status).await.expect("it answers");
    town.stop("alice").await;
    // The disk is gone.
    std::fs::rename(town.dir("alice"), town.dir("lost")).expect("moved");
    std::fs::create_dir(town.dir("alice")).expect("a new one");
    assert!(backup::restore(&town.dir("alice"), &sealed, "another passphrase", None).is_err());
    let mut damaged = sealed.clone();
    damaged[60] ^= 1;
    assert!(backup::restore(&town.dir("alice"), &damaged, "correct horse battery", None).is_err());
    let anchor: Anchor = before["channel"]["anchor"].as_str().expect("noted").parse().expect("an anchor");
    backup::restore(&town.dir("alice"), &sealed, "correct horse battery", Some(&anchor)).expect("it opens");
    town.start("alice").await;
    town.until("alice", "the hub has said where it stands", |status| status["restoring"] == false).await;
    let after = town.ask("alice", Request::Status).await.expect("it answers");
    assert_eq!(after["channel"]["client"], before["channel"]["client"], "the newest state, not the backup's");
    assert_eq!(after["channel"]["seq"], before["channel"]["seq"]);
    let third = pay(&town, 3000, false).await;
    town.ask("alice", Request::AwaitPayment { token: third }).await.expect("and it pays on");
    let seq =
        town.ask("alice", Request::Status).await.expect("it answers")["channel"]["seq"].as_u64().expect("a number");
    assert!(seq > 65_536, "{seq}: a number that may have been signed since the backup");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tag_1_26_on_less_than_what_was_noted_nothing_is_signed_and_the_client_may_leave() {
    let mut town = open_town().await;
    let token = pay(&town, 1000, false).await;
    town.ask("alice", Request::AwaitPayment { token }).await.expect("it arrives");
    town.until("bob", "he has it", |status| status["channel"]["client"] == "1000").await;
    let status = town.ask("bob", Request::Status).await.expect("it answers");
    let shown: Anchor = status["channel"]["anchor"].as_str().expect("noted").parse().expect("an anchor");
    let sealed = backup::make(&town.dir("bob"), "correct horse battery").expect("a backup");
    town.stop("bob").await;
    std::fs::rename(town.dir("bob"), town.dir("lost")).expect("moved");
    std::fs::create_dir(town.dir("bob")).expect("a new one");
    // Of this number there is another one, as far as he knows.
    let noted = Anchor { state: StateHash(B256::repeat_byte(0xab)), ..shown };
    backup::restore(&town.dir("bob"), &sealed, "correct horse battery", Some(&noted)).expect("it opens");
    town.start("bob").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let status = town.ask("bob", Request::Status).await.expect("it answers");
    assert_eq!((&status["restoring"], &status["channel"]["seq"]), (&json!(true), &json!(shown.seq)));
    town.ask("bob", Request::WithdrawHot { amount: Amount(1) }).await.expect_err("nothing is signed");
    town.ask("bob", Request::Close { last: false }).await.expect("he may leave");
    town.until("bob", "the channel closes", |status| status["onChain"] == "closing").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_hub_refuses_is_told_and_the_channel_goes_on() {
    let mut town = open_town().await;
    let unknown = Request::DetachOffChainTokenOffChain {
        payee: ChannelId(B256::repeat_byte(7)),
        amount: Amount(500),
        invoice: B256::repeat_byte(8),
        condition: B256::ZERO,
        metered: false,
        lifetime: 120,
    };
    let words = town.ask("alice", unknown).await.expect_err("nobody has asked for it").to_string();
    assert!(words.contains("invoice"), "{words}");
    let token = pay(&town, 1000, false).await;
    town.ask("alice", Request::AwaitPayment { token }).await.expect("it arrives");
    // Two orders at once share a state; one of them is refused, the other one is not held up.
    let (good, bad) = tokio::join!(
        town.ask("alice", Request::WithdrawHot { amount: Amount(5000) }),
        town.ask("alice", Request::CancelToken { token: TokenId(B256::repeat_byte(9)) }),
    );
    good.expect("it is booked out");
    bad.expect_err("there is no such token");
    town.stop("alice").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_the_contract_makes_is_not_told_as_come_back() {
    let town = open_town().await;
    let to = Request::DetachOffChainTokenOnChain {
        to: alloy_primitives::Address::repeat_byte(5),
        amount: Amount(700),
        lifetime: 120,
    };
    let paid = town.ask("alice", to).await.expect("the hub grants it");
    let token: TokenId = serde_json::from_value(paid["token"].clone()).expect("a token");
    town.until("alice", "it is settled", |status| status["channel"]["paying"] == json!([])).await;
    let told = town.ask("alice", Request::AwaitPayment { token }).await.expect("it was paid");
    assert_eq!(told["settled"], json!("700"), "{told}");
    let never = TokenId(B256::repeat_byte(3));
    let words = town.ask("alice", Request::AwaitPayment { token: never }).await.expect_err("none").to_string();
    assert!(words.contains("is not known"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_metered_payment_has_no_condition() {
    let town = open_town().await;
    let invoice = Request::Invoice { cap: Amount(500), lifetime: 300, conditional: true };
    let asked = town.ask("bob", invoice).await.expect("an invoice");
    let word = |name: &str| serde_json::from_value::<B256>(asked[name].clone()).expect("a word");
    let pay = |condition| Request::DetachOffChainTokenOffChain {
        payee: ChannelId(word("payee")),
        amount: Amount(500),
        invoice: word("invoice"),
        condition,
        metered: true,
        lifetime: 120,
    };
    let words = town.ask("alice", pay(word("condition"))).await.expect_err("it would buy nothing").to_string();
    assert!(words.contains("metered"), "{words}");
    // Nor does Bob take one for it, whatever a payer's program sends.
    town.ask("alice", pay(B256::ZERO)).await.expect("the hub cannot know");
    town.until("alice", "it has come back", |status| status["channel"]["paying"] == json!([])).await;
    let history = town.ask("bob", Request::History).await.expect("it reads").to_string();
    assert!(history.contains("\"unwanted\"") && !history.contains("\"promised\""), "{history}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_restored_a_backup_may_leave_without_the_hub() {
    let mut town = open_town().await;
    let token = pay(&town, 1000, false).await;
    town.ask("alice", Request::AwaitPayment { token }).await.expect("it arrives");
    let sealed = backup::make(&town.dir("alice"), "correct horse battery").expect("a backup");
    town.stop("alice").await;
    std::fs::remove_dir_all(town.dir("alice")).expect("gone");
    std::fs::create_dir(town.dir("alice")).expect("a new one");
    town.hub_dies();
    backup::restore(&town.dir("alice"), &sealed, "correct horse battery", None).expect("it opens");
    town.start("alice").await;
    town.ask("alice", Request::Close { last: false }).await.expect("she wants to");
    town.until("alice", "it is closing", |status| status["onChain"] == "closing").await;
    let status = town.ask("alice", Request::Status).await.expect("it answers");
    assert_eq!(status["restoring"], json!(true), "nobody has said anything");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hub_answers_an_old_state_and_a_second_payment_of_one_token_by_itself() {
    let mut town = open_town().await;
    let token = pay(&town, 1000, false).await;
    let promise = town.ask("alice", Request::SendProofOfDetachment { token }).await.expect("she has it");
    let promise: Promise = serde_json::from_value(promise).expect("a promise");
    town.ask("alice", Request::AwaitPayment { token }).await.expect("Bob has attached it");
    town.until("alice", "it is settled", |status| status["channel"]["paying"] == json!([])).await;
    let seq = town.ask("alice", Request::Status).await.expect("it answers")["channel"]["seq"].as_u64();
    town.stop("alice").await;
    town.stop("bob").await;
    // Bob has it in his channel, and redeems it all the same.
    let again = Redeem {
        owner: town.owner("bob"),
        token: promise.token,
        grant: promise.grant,
        hub: promise.hub,
        voucher: None,
        preimage: B256::ZERO,
        auth: None,
    };
    town.calls("bob", &Call::Redeem(Box::new(again))).await;
    let status = |view: &View| view.redemption(token).map(|found| found.status);
    town.until_chain("it is defeated", |view| status(view) == Some(RedemptionStatus::Void)).await;
    // And Alice would like to end her channel as it was before she paid.
    let owner = town.owner("alice");
    town.calls("alice", &Call::Close { owner, signed: None }).await;
    let newest = |view: &View| view.row(owner).status == Status::Closing && Some(view.row(owner).seq.get()) == seq;
    town.until_chain("the newest state is shown", newest).await;
}

fn in_vain(number: u8) -> Request {
    Request::DetachOffChainTokenOffChain {
        payee: ChannelId(B256::repeat_byte(7)),
        amount: Amount(500),
        invoice: B256::repeat_byte(number),
        condition: B256::ZERO,
        metered: false,
        lifetime: 120,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_payment_is_ended_after_a_restart_too() {
    let mut town = open_town().await;
    town.manners.refuses.store(true, std::sync::atomic::Ordering::Relaxed);
    let refused = town.ask("alice", in_vain(9)).await.expect_err("not today").to_string();
    assert!(refused.contains("do not pay by another way"), "{refused}");
    // Alone it is refused too, and so is the state that would end it: then nothing is under way for two seconds.
    let refused = |status: &serde_json::Value| status["channel"]["refused"].as_u64() >= Some(3);
    town.until("alice", "all are", |status| refused(status) && status["channel"]["underWay"] == json!(false)).await;
    town.stop("alice").await;
    town.manners.refuses.store(false, std::sync::atomic::Ordering::Relaxed);
    town.start("alice").await;
    town.until("alice", "it can be paid by another way", |status| status["channel"]["refused"] == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_in_vain_hold_up_neither_what_is_settled_nor_the_channel() {
    let town = open_town().await;
    let token = pay(&town, 1000, false).await;
    town.ask("alice", Request::AwaitPayment { token }).await.expect("it arrives");
    // More of them than refused proposals are kept.
    let mut settled = false;
    for number in 0..80 {
        town.ask("alice", in_vain(number)).await.expect_err("nobody has asked for it");
        settled |= town.ask("alice", Request::Status).await.expect("it answers")["channel"]["paying"] == json!([]);
    }
    town.until("alice", "it is settled", |status| status["channel"]["paying"] == json!([])).await;
    let token = pay(&town, 2000, false).await;
    town.ask("alice", Request::AwaitPayment { token }).await.expect("and the channel goes on");
    assert!(settled, "it did not wait for the end of the orders");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_step_by_step_clients_do_each_operation_and_nothing_by_themselves() {
    let mut town = Town::new().await;
    town.manual = true;
    let town = opened(town).await;
    let offered = async |token: TokenId| {
        town.until("bob", "it is offered", |status| status["offered"] == json!([token])).await;
        let popped = town.ask("bob", Request::PopProofOfDetachment { proof: None }).await.expect("it is there");
        assert_eq!(popped["countedOn"], json!(true), "{popped}");
    };
    // Attached, receipted, settled.
    let token = pay(&town, 1000, false).await;
    offered(token).await;
    let settle = Request::SettleOffChainOffChainTransfer { token };
    let early = town.ask("alice", settle.clone()).await.expect_err("Bob has not taken it").to_string();
    assert!(early.contains("no receipt of it yet"), "{early}");
    town.ask("bob", Request::AttachTokenOffChain { token }).await.expect("the hub signs");
    let receipt = town.ask("alice", Request::RetrievePaymentReceipt { token }).await.expect("the hub has it");
    assert_eq!(receipt["receipt"]["token"], json!(token));
    town.ask("alice", settle).await.expect("the hub signs");

    // Declined and taken back.
    let token = pay(&town, 2000, false).await;
    offered(token).await;
    town.ask("bob", Request::DeclineToken { token }).await.expect("the hub signs");
    let paying = json!(token);
    let declined = |status: &serde_json::Value| {
        status["channel"]["paying"][0]["token"] == paying && status["channel"]["paying"][0]["declined"] == json!(true)
    };
    town.until("alice", "she knows that", declined).await;
    town.ask("alice", Request::CancelToken { token }).await.expect("the hub signs");

    // On chain: what the contract has paid is settled like what has a receipt.
    let to = town.owner("bob").client;
    let out = Request::DetachOffChainTokenOnChain { to, amount: Amount(500), lifetime: 60 };
    let token = town.ask("alice", out).await.expect("the hub signs")["token"].clone();
    let token: TokenId = serde_json::from_value(token).expect("a token");
    town.until("bob", "it is his", |status| status["onChainBalance"] == "500").await;
    let settle = Request::SettleOffChainOffChainTransfer { token };
    let final_by = std::time::Instant::now() + Duration::from_secs(20);
    while let Err(fault) = town.ask("alice", settle.clone()).await {
        assert!(std::time::Instant::now() < final_by, "{fault}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let status = town.ask("alice", Request::Status).await.expect("it answers");
    let left = 100_000 - 1000 - 1 - 500 - 2;
    assert_eq!((&status["channel"]["client"], &status["channel"]["paying"]), (&json!(left.to_string()), &json!([])));
    let status = town.ask("bob", Request::Status).await.expect("it answers");
    assert_eq!((&status["channel"]["client"], &status["channel"]["earning"]), (&json!("1000"), &json!([])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_shown_on_chain_is_known_to_whoever_pays_for_it() {
    let mut town = Town::new().await;
    town.manual = true;
    let town = opened(town).await;
    let (token, condition) = pay_for_a_secret(&town, 1000).await;
    town.until("bob", "it is offered", |status| status["offered"] == json!([token])).await;
    town.ask("bob", Request::PopProofOfDetachment { proof: None }).await.expect("it is there");
    town.ask("bob", Request::RedeemToken { token }).await.expect("the contract takes it");
    let known = |status: &serde_json::Value| !status["channel"]["paying"][0]["preimage"].is_null();
    town.until("alice", "she sees the secret", known).await;
    let status = town.ask("alice", Request::Status).await.expect("it answers");
    assert!(meets(condition, &status["channel"]["paying"][0]["preimage"]), "{status}");
    // The hub has no receipt of it: it was not attached.
    let shown = town.ask("alice", Request::RetrievePaymentReceipt { token }).await.expect("the chain has it");
    assert_eq!((&shown["from"], &shown["receipt"]["amount"]), (&json!("chain"), &json!("1000")));
    assert!(meets(condition, &shown["receipt"]["preimage"]), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_is_told_as_it_was_checked_whatever_the_hub_shows() {
    let mut town = open_town().await;
    let (token, condition) = pay_for_a_secret(&town, 1000).await;
    town.ask("alice", Request::AwaitPayment { token }).await.expect("Bob takes it");
    let retrieve = async |town: &Town| town.ask("alice", Request::RetrievePaymentReceipt { token }).await;
    let from_hub = retrieve(&town).await.expect("the hub has it");
    assert_eq!(from_hub["from"], "hub");
    assert!(meets(condition, &from_hub["receipt"]["preimage"]));
    town.manners.lies.store(true, std::sync::atomic::Ordering::Relaxed);
    let kept = retrieve(&town).await.expect("she has it");
    assert_eq!((&kept["from"], &kept["receipt"]), (&json!("store"), &from_hub["receipt"]));
    // Of what she has not paid with nothing can be checked.
    let other = Request::RetrievePaymentReceipt { token: TokenId(B256::repeat_byte(1)) };
    town.ask("alice", other).await.expect_err("nobody knows it");
    town.hub_dies();
    assert_eq!(retrieve(&town).await.expect("she has it still"), kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_payments_at_once_than_the_hub_allows_wait_for_room() {
    let town = open_town().await;
    let mut orders = vec![];
    for _ in 0..3 * LIVE {
        orders.push(invoiced(&town, 100, false).await);
    }
    let door = town.door("alice");
    let asking = orders.into_iter().map(|order| {
        let door = door.clone();
        async move { door.ask(order).await }
    });
    for detached in asking.collect::<JoinSet<_>>().join_all().await {
        let detached = detached.expect("the hub grants it");
        let token = serde_json::from_value(detached["token"].clone()).expect("a token");
        town.ask("alice", Request::AwaitPayment { token }).await.expect("it arrives");
    }
    let history = town.ask("alice", Request::History).await.expect("it reads").to_string();
    assert!(!history.contains("\"refused\""), "all at once would have been one too many: {history}");
    town.until("alice", "all are settled", |status| status["channel"]["paying"] == json!([])).await;

    // These stay until they are collected.
    for _ in 0..LIVE {
        pay(&town, 100, true).await;
    }
    let one_more = invoiced(&town, 100, true).await;
    let words = town.ask("alice", one_more).await.expect_err("there is no room").to_string();
    assert!(words.contains("the hub allows 8 payments under way: there was no room"), "{words}");
    let another = Request::WithdrawHot { amount: Amount(50) };
    town.ask("alice", another).await.expect("what is no payment does not wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_attached_is_neither_counted_on_nor_declined_when_it_is_granted_again() {
    let town = open_town().await;
    let token = pay(&town, 1000, false).await;
    let promise = town.ask("alice", Request::SendProofOfDetachment { token }).await.expect("she has it");
    let promise: Promise = serde_json::from_value(promise).expect("a promise");
    town.ask("alice", Request::AwaitPayment { token }).await.expect("Bob has attached it");
    town.until("bob", "he knows that", |status| status["channel"]["earning"] == json!([])).await;
    let again = Some(Box::new(town.granted_again(&promise)));
    let said = town.ask("bob", Request::PopProofOfDetachment { proof: again }).await.expect("it is looked at");
    assert_eq!(said["countedOn"], json!(false), "{said}");
    // Declined, it would look to Alice as if it came back, and the hub could still show that Bob has attached it.
    let history = town.ask("bob", Request::History).await.expect("it reads").to_string();
    assert_eq!(history.matches("\"promised\"").count(), 1, "{history}");
    assert!(!history.contains("\"unwanted\""), "{history}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_that_comes_before_the_answer_to_its_proposal_is_not_lost() {
    let town = opened(Town::answering_after(Duration::from_millis(400)).await).await;
    for amount in [1000, 2000] {
        let begun = std::time::Instant::now();
        let token = pay(&town, amount, false).await;
        town.ask("alice", Request::AwaitPayment { token }).await.expect("it arrives");
        assert!(begun.elapsed() < Duration::from_secs(5), "without a wait for the mailbox to be shown again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_told_of_their_own_order() {
    let town = open_town().await;
    // The first one is refused, and who ordered it has gone.
    for _ in 0..5 {
        let gone = tokio::time::timeout(Duration::ZERO, town.ask("alice", in_vain(9)));
        let (_, booked) = tokio::join!(gone, town.ask("alice", Request::WithdrawHot { amount: Amount(100) }));
        booked.expect("it is booked out");
    }
}

/// Bob has something, and his hub takes its time, so that what comes meanwhile waits for the next state.
async fn town_with_a_slow_hub() -> Town {
    let town = opened(Town::answering_after(Duration::from_millis(600)).await).await;
    let token = pay(&town, 1000, false).await;
    town.ask("alice", Request::AwaitPayment { token }).await.expect("it arrives");
    town.until("bob", "it is his", |status| status["channel"]["client"] == "1000").await;
    town
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_whose_user_has_gone_is_not_carried_out() {
    let town = town_with_a_slow_hub().await;
    let out = |amount| town.ask("bob", Request::WithdrawHot { amount: Amount(amount) });
    let later = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        tokio::time::timeout(Duration::from_millis(100), out(70)).await.expect_err("he gives up");
        out(50).await
    };
    let (first, second) = tokio::join!(out(100), later);
    first.expect("it is booked out");
    second.expect("and so is the next one");
    let status = town.ask("bob", Request::Status).await.expect("it answers");
    assert_eq!(status["channel"]["clientOut"], "150", "without what he gave up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_ordered_does_not_ride_with_what_is_attached() {
    let town = town_with_a_slow_hub().await;
    let out = |amount| town.ask("bob", Request::WithdrawHot { amount: Amount(amount) });
    let later = async {
        // By then he has been promised something, and the answer to the first one is still under way.
        tokio::time::sleep(Duration::from_millis(300)).await;
        out(50).await
    };
    let (token, first, second) = tokio::join!(pay(&town, 2000, false), out(100), later);
    first.expect("it is booked out");
    second.expect("and so is the next one");
    town.ask("alice", Request::AwaitPayment { token }).await.expect("it arrives");
    let history = town.ask("bob", Request::History).await.expect("it reads");
    let proposed = history.as_array().expect("entries").iter().filter(|entry| entry["what"] == "proposed");
    let kinds: Vec<String> = proposed.map(|entry| entry["facts"]["state"]["ops"].to_string()).collect();
    let of = |kind: &str| kinds.iter().filter(|ops| ops.contains(kind)).count();
    assert_eq!((of("attach"), of("outClient")), (2, 2), "{kinds:?}");
    assert!(!kinds.iter().any(|ops| ops.contains("attach") && ops.contains("outClient")), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hub_counts_the_channels_that_its_money_would_enforce() {
    let town = Town::new().await;
    town.until_measured("hub_defences ", |found| found > 1000).await;
    town.hub_has(0).await;
    town.until_measured("hub_defences ", |found| found == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rpc_is_of_this_machine_and_for_those_who_have_its_word() {
    let mut town = Town::new().await;
    town.start("alice").await;
    let door = town.door("alice");
    let outside = "0.0.0.0:0".parse().expect("an address");
    assert!(rpc::serve(&town.dir("alice"), outside, door.clone()).await.is_err(), "the whole network");
    let loopback = "127.0.0.1:0".parse().expect("an address");
    let (address, served) = rpc::serve(&town.dir("alice"), loopback, door).await.expect("it listens");
    tokio::spawn(served);
    let read = rpc::Address::read(&town.dir("alice")).expect("it is written down");
    assert_eq!(read, address);
    let status = read.ask(&Request::Status).await.expect("it answers");
    assert_eq!(status["onChain"], "none");
    let stranger = rpc::Address { token: "0".repeat(64), ..read.clone() };
    stranger.ask(&Request::Status).await.expect_err("without the word");
    let unknown =
        reqwest::Client::new().post(&read.url).bearer_auth(&read.token).json(&json!({ "id": 3, "method": "steal" }));
    let said: serde_json::Value = unknown.send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!((&said["id"], &said["error"]["code"]), (&json!(3), &json!(-32602)));
    tokio::time::sleep(Duration::ZERO).await;
}

#[test]
fn the_rpc_has_the_operations_of_the_seed_by_their_names() {
    let (token, word) = (json!(TokenId(B256::ZERO)), json!(B256::ZERO));
    let (amount, to) = (json!("1"), json!(alloy_primitives::Address::ZERO));
    let all = [
        ("subscribe", json!({ "deposit": amount, "collateral": amount, "maxFee": amount })),
        ("transferOnChainOnChain", json!({ "to": to, "amount": amount })),
        ("detachOffChainTokenOffChain", json!({ "payee": word, "amount": amount, "invoice": word })),
        ("sendProofOfDetachment", json!({ "token": token })),
        ("popProofOfDetachment", json!({})),
        ("settleOffChainOffChainTransfer", json!({ "token": token })),
        ("detachOnChainTokenOffChain", json!({ "amount": amount })),
        ("detachOffChainTokenOnChain", json!({ "to": to, "amount": amount })),
        ("attachTokenOffChain", json!({ "token": token })),
        ("redeemToken", json!({ "token": token })),
        ("retrievePaymentReceipt", json!({ "token": token })),
        ("close", json!({})),
        ("withdraw", json!({})),
    ];
    for (method, params) in all {
        let asked = json!({ "method": method, "params": params });
        let read: Request = serde_json::from_value(asked).unwrap_or_else(|error| panic!("{method}: {error}"));
        assert_eq!(serde_json::to_value(&read).expect("JSON")["method"], method);
    }
}
