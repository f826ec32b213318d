//! The hub over HTTP: a payment from login to receipt, and what is refused.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256};
use serde_json::{Value, json};
use tarefa_chain::Event;
use tarefa_channel::client::Attached;
use tarefa_channel::contract::HubWord;
use tarefa_channel::hub::{Answer, Proposal};
use tarefa_channel::message::{ChannelOffer, Message as _, Op, OpKind, Token};
use tarefa_channel::sign::{HubSignature, Signer as _};
use tarefa_channel::{Amount, Time};
use tarefa_hub::store::Store;
use tarefa_hub::{Deployment, Hub, Letter, Login, Mailbox, Policy, Receipt, http};

use crate::store::detaching;
use crate::town::{CHAIN, CONTRACT, TERMS, Town, key, view, view_after, view_at};

struct Served {
    town: Town,
    hub: Arc<Hub>,
    url: String,
    client: reqwest::Client,
}

fn now() -> Time {
    Time(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs())
}

impl Served {
    async fn new() -> Self {
        Self::limited(http::Limits::default()).await
    }

    async fn limited(limits: http::Limits) -> Self {
        let store = Store::in_memory().expect("it opens");
        let town = Town::new(store.clone()).await;
        let deployment = Deployment { chain_id: CHAIN, contract: CONTRACT, from: view().head(), terms: TERMS };
        let policy = Policy { collateral: Amount(500), opening_fee: Amount(21) };
        let hub = Hub::new(store, key("hub"), deployment, policy, view(), [7; 32]).await.expect("it begins");
        let hub = Arc::new(hub);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let router = http::router(Arc::clone(&hub), limits);
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { town, hub, url, client: reqwest::Client::new() }
    }

    async fn post(&self, path: &str, session: &str, body: &impl serde::Serialize) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(session).json(body);
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str, session: &str) -> (u16, Value) {
        let request = self.client.get(format!("{}{path}", self.url)).bearer_auth(session);
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    fn login_of(&self, name: &str, at: Time) -> Login {
        let channel = self.town.id(name);
        let signature = key(name).sign(Login::digest(&self.town.domain, channel, at));
        Login { channel, at, signature }
    }

    async fn session(&self, name: &str) -> String {
        let (status, answer) = self.post("/login", "", &self.login_of(name, now())).await;
        assert_eq!(status, 200, "{answer}");
        answer["session"].as_str().expect("a word").to_owned()
    }

    async fn mailbox(&self, session: &str, query: &str) -> Mailbox {
        let (status, answer) = self.get(&format!("/mailbox{query}"), session).await;
        assert_eq!(status, 200, "{answer}");
        serde_json::from_value(answer).expect("a mailbox")
    }

    async fn proposes(&self, proposal: &Proposal) -> Answer {
        let (status, answer) = self.post("/sendPropose", "", proposal).await;
        assert_eq!(status, 200, "{answer}");
        serde_json::from_value(answer).expect("an answer")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_from_login_to_receipt() {
    let mut served = Served::new().await;
    let (alice, bob) = (served.session("alice").await, served.session("bob").await);
    let wanted = json!({ "invoice": B256::repeat_byte(4), "cap": "100", "expires": 9000 });
    assert_eq!(served.post("/invoice", &bob, &wanted).await, (200, json!({ "new": true })));

    // Bob waits before there is anything.
    let waiting = {
        let (client, url, bob) = (served.client.clone(), served.url.clone(), bob.clone());
        tokio::spawn(async move {
            let request = client.get(format!("{url}/mailbox?wait=20")).bearer_auth(bob);
            request.send().await.expect("an answer").json::<Mailbox>().await.expect("a mailbox")
        })
    };
    let token = served.town.token(100, 4);
    let proposal = served.town.proposes("alice", vec![detaching(&token)], vec![token.clone()]);
    let begun = Instant::now();
    let answer = served.proposes(&proposal).await;
    let arrived = waiting.await.expect("it ends");
    assert!(begun.elapsed() < Duration::from_secs(15), "the poll ends with the commit, not with its patience");
    let mut client = served.town.alice.clone();
    client.answered(&answer, &served.town.ctx(&key("alice"))).expect("it is the answer");
    served.town.alice = client;

    let [Letter::Token(promise)] = arrived.letters.as_slice() else { panic!("{arrived:?}") };
    assert_eq!(promise.token, token);
    let mut client = served.town.bob.clone();
    client.offered(&token, &promise.grant, &promise.hub, None, &served.town.ctx(&key("bob"))).expect("he counts on it");
    served.town.bob = client;
    let attach = served.town.proposes("bob", vec![Op::on(OpKind::Attach, token.id(), token.value)], vec![]);
    served.proposes(&attach).await;
    let emptied = served.mailbox(&bob, &format!("?seen={}", arrived.at)).await;
    assert_eq!(emptied.letters, vec![], "what Bob has taken is out of his mailbox");

    let letters = served.mailbox(&alice, "").await;
    let [Letter::Receipts(letter)] = letters.letters.as_slice() else { panic!("{letters:?}") };
    let (status, asked) = served.get(&format!("/retrievePaymentReceipt/{}", token.id()), &alice).await;
    assert_eq!(status, 200, "{asked}");
    let asked: Receipt = serde_json::from_value(asked).expect("a receipt");
    let [shown] = letter.tokens.as_slice() else { panic!("{letter:?}") };
    assert_eq!(asked, letter.of(shown), "both ways lead to the same receipt");
    let attached = Attached { receipt: asked.receipt, signature: asked.signature, hub: asked.hub };
    let mut client = served.town.alice.clone();
    client.receipt(token.id(), &attached, None, &served.town.ctx(&key("alice"))).expect("she was told the truth");
    let again = served.mailbox(&alice, &format!("?seen={}&wait=0", letters.at)).await;
    assert_eq!(again, letters, "it stays until she settles");
    let (status, _) = served.get(&format!("/retrievePaymentReceipt/{}", token.id()), &bob).await;
    assert_eq!(status, 404, "a receipt is its payer's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_the_mailbox_is_told_of_each_letter_once() {
    let mut served = Served::new().await;
    let bob = served.session("bob").await;
    let request = served.client.get(format!("{}/mailbox?follow=true", served.url)).bearer_auth(&bob);
    let mut lines = request.send().await.expect("an answer");
    async fn line(lines: &mut reqwest::Response) -> axum::body::Bytes {
        let read = tokio::time::timeout(Duration::from_secs(8), lines.chunk()).await.expect("a line in time");
        read.expect("it reads").expect("it goes on")
    }
    assert_eq!(line(&mut lines).await.as_ref(), b"\n", "it is heard at once");
    let token = served.town.token(100, 1);
    let proposal = served.town.proposes("alice", vec![detaching(&token)], vec![token.clone()]);
    let begun = Instant::now();
    served.proposes(&proposal).await;
    let mailbox: Mailbox = serde_json::from_slice(&line(&mut lines).await).expect("a mailbox");
    assert!(begun.elapsed() < Duration::from_secs(4), "with the commit, not with the beat");
    assert!(matches!(mailbox.letters.as_slice(), [Letter::Token(promise)] if promise.token == token));
    assert_eq!(line(&mut lines).await.as_ref(), b"\n", "what it has shown it does not show again for a while");
    // Whoever follows next gets all of it, and the first one ends.
    let request = served.client.get(format!("{}/mailbox?follow=true", served.url)).bearer_auth(&bob);
    let mut next = request.send().await.expect("an answer");
    assert_eq!(next.chunk().await.expect("it reads").expect("it goes on").as_ref(), b"\n");
    let shown = next.chunk().await.expect("it reads").expect("it goes on");
    assert_eq!(serde_json::from_slice::<Mailbox>(&shown).expect("a mailbox").letters, mailbox.letters);
    let ended = tokio::time::timeout(Duration::from_secs(4), lines.chunk()).await.expect("at once");
    assert_eq!(ended.expect("it reads"), None);
    assert_eq!(served.get("/mailbox?follow=true", "").await.0, 401);
}

#[tokio::test]
async fn what_one_state_did_is_one_letter_with_all_its_tokens() {
    let mut served = Served::new().await;
    served.town.expect_payments(3).await;
    let tokens = [0, 1, 2].map(|index| Token {
        index: u16::from(index),
        ..served.town.token(50 + u128::from(index), Town::invoice_of(index))
    });
    let detaching = tokens.iter().map(detaching).collect();
    let proposal = served.town.proposes("alice", detaching, tokens.to_vec());
    let answer = served.hub.propose(proposal).await.expect("it works").expect("it signs");
    served.town.answered("alice", &answer);
    for (token, (grant, hub)) in tokens.iter().zip(&answer.grants) {
        let mut bob = served.town.bob.clone();
        let (bobs, wanted) = (key("bob"), token.index < 2);
        let ctx = served.town.ctx(&bobs);
        if wanted { bob.offered(token, grant, hub, None, &ctx) } else { bob.unwanted(token, grant, hub, &ctx) }
            .expect("he takes the word");
        served.town.bob = bob;
    }
    let ops = tokens.iter().map(|token| match token.index {
        2 => Op::on(OpKind::Decline, token.id(), Amount::ZERO),
        _ => Op::on(OpKind::Attach, token.id(), token.value),
    });
    let ops = ops.collect();
    let proposal = served.town.proposes("bob", ops, vec![]);
    served.hub.propose(proposal).await.expect("it works").expect("it signs");

    let found = served.hub.mailbox(served.town.id("alice"), None, Duration::ZERO).await.expect("it works");
    let [Letter::Declined(declined), Letter::Receipts(paid)] = found.letters.as_slice() else { panic!("{found:?}") };
    let mut alice = served.town.alice.clone();
    let alices = key("alice");
    let each = [declined, paid].into_iter().flat_map(|letter| letter.tokens.iter().map(|shown| letter.of(shown)));
    for receipt in each {
        let attached = Attached { receipt: receipt.receipt, signature: receipt.signature, hub: receipt.hub };
        let ctx = served.town.ctx(&alices);
        if receipt.token == tokens[2].id() {
            alice.declined(receipt.token, &attached, &ctx).expect("it shows it");
        } else {
            alice.receipt(receipt.token, &attached, None, &ctx).expect("it shows it");
        }
    }
    let paid_of = |token: &Token| alice.paying[&token.id()].paid.is_some();
    assert_eq!(tokens.each_ref().map(paid_of), [true, true, false]);
    assert!(alice.paying[&tokens[2].id()].declined);
}

#[tokio::test]
async fn a_receipt_that_goes_out_with_its_commit_is_signed_once() {
    let mut served = Served::new().await;
    let token = served.town.token(100, 1);
    served.town.pays(&token).await;
    let (alice, hub) = (served.town.id("alice"), Arc::clone(&served.hub));
    let waiting = tokio::spawn(async move { hub.mailbox(alice, None, Duration::from_secs(20)).await });
    let row = served.town.row_of(&token).await;
    let mut bob = served.town.bob.clone();
    bob.offered(&token, &row.grant, &row.hub, None, &served.town.ctx(&key("bob"))).expect("he counts on it");
    served.town.bob = bob;
    let attach = served.town.proposes("bob", vec![Op::on(OpKind::Attach, token.id(), token.value)], vec![]);
    // One thread: whoever waits is woken by the commit, before its proposer goes on.
    let answer = served.hub.propose(attach).await.expect("it works").expect("it signs");
    let found = waiting.await.expect("it ends").expect("it works");
    assert!(matches!(found.letters.as_slice(), [Letter::Receipts(receipt)] if receipt.hub == answer.word), "{found:?}");
    assert_eq!(served.hub.metrics().steps.sign.sum().0, 1, "signatures for one state");
}

#[tokio::test]
async fn of_two_states_in_one_commit_the_loser_is_shown_the_signed_winner() {
    let mut served = Served::new().await;
    let token = served.town.token(100, 1);
    let first = served.town.proposes("alice", vec![detaching(&token)], vec![token.clone()]);
    let mut other = first.clone();
    other.state.balances.hub.0 += 1;
    let other = served.town.signed_again("alice", other);
    // One thread: both are there before either is decided.
    let (won, lost) = tokio::join!(served.hub.propose(first.clone()), served.hub.propose(other));
    let (won, lost) = (won.expect("it works").expect("it signs"), lost.expect("it works").expect_err("a conflict"));
    let newest = lost.newest.expect("a state");
    assert_eq!((newest.state, newest.hub), (first.state.clone(), won.word));
    served.town.answered("alice", &served.town.decides(&first).await.expect("again"));
}

#[tokio::test]
async fn strangers_and_late_logins_learn_nothing() {
    let served = Served::new().await;
    for path in [
        "/newest",
        "/mailbox",
        "/retrievePaymentReceipt/0x0000000000000000000000000000000000000000000000000000000000000000",
    ] {
        assert_eq!(served.get(path, "").await.0, 401, "{path}");
        assert_eq!(served.get(path, &"0".repeat(144)).await.0, 401, "{path}");
    }
    let mut foreign = served.login_of("alice", now());
    foreign.channel = served.town.id("bob");
    let old = served.login_of("alice", now().before(120));
    let early = served.login_of("alice", now().after(120));
    for login in [foreign, old, early] {
        assert_eq!(served.post("/login", "", &login).await.0, 401, "{login:?}");
    }
    let session = served.session("alice").await;
    let mut other = session.clone();
    other.replace_range(0..2, if session.starts_with("00") { "11" } else { "00" });
    assert_eq!(served.get("/newest", &other).await.0, 401, "a session is of one channel");
    let standing = json!({ "newest": null, "acknowledged": "0", "paying": [] });
    assert_eq!(served.get("/newest", &session).await, (200, standing));
    assert!(served.hub.session(&session, now().after(tarefa_hub::SESSION + 1)).is_err(), "and ends");
}

#[tokio::test]
async fn whoever_asks_too_much_is_told_so_and_nothing_of_it_is_done() {
    let session = http::Limits { per_session: Some(1), per_address: None };
    let address = http::Limits { per_session: None, per_address: Some(1) };
    for limits in [session, address] {
        let served = Served::limited(limits).await;
        let (alice, bob) = (served.session("alice").await, served.session("bob").await);
        let mut names = (1..=200).map(B256::with_last_byte);
        let refused = loop {
            let name = names.next().expect("200 at once are too many");
            let wanted = json!({ "invoice": name, "cap": "100", "expires": 9000 });
            match served.post("/invoice", &bob, &wanted).await.0 {
                429 => break name,
                status => assert_eq!(status, 200),
            }
        };
        let new = served.hub.register(served.town.id("bob"), refused, Amount(100), Time(9000)).await;
        assert!(new.expect("it can be registered"), "it was not");
        assert!(served.hub.measured().lines().any(|line| line == "hub_requests_limited_total 1"));
        if limits.per_address.is_none() {
            assert_eq!(served.get("/newest", &alice).await.0, 200, "another session is another asker");
        }
        for path in ["/health", "/metrics", "/terms"] {
            assert_eq!(served.get(path, "").await.0, 200, "{path} is for whoever watches over the hub");
        }
    }
}

#[tokio::test]
async fn a_channel_holds_three_polls_and_a_word_has_four_kilobytes() {
    let served = Served::new().await;
    let (alice, bob) = (served.session("alice").await, served.session("bob").await);
    let held = || {
        let (client, url, bob) = (served.client.clone(), format!("{}/mailbox?wait=20", served.url), bob.clone());
        // The short polls below may take its place for a moment.
        tokio::spawn(async move {
            while client.get(&url).bearer_auth(&bob).send().await.expect("an answer").status() == 429 {}
        })
    };
    let polls = [held(), held(), held()];
    // They may still be on their way: a short one is answered as long as they are not all there.
    let begun = Instant::now();
    while served.get("/mailbox", &bob).await.0 != 429 {
        assert!(begun.elapsed() < Duration::from_secs(10), "a fourth poll is held");
    }
    assert_eq!(served.get("/mailbox", &alice).await.0, 200, "other channels do not feel it");
    assert!(!served.hub.measured().lines().any(|line| line == "hub_requests_limited_total 0"));
    polls.iter().for_each(tokio::task::JoinHandle::abort);
    while served.get("/mailbox", &bob).await.0 != 200 {
        assert!(begun.elapsed() < Duration::from_secs(15), "who has given up its polls may poll again");
    }

    let to = format!("/stream/{}", served.town.id("bob").0);
    assert_eq!(served.post(&to, &alice, &"x".repeat(5000)).await.0, 413);
    assert_eq!(served.post(&to, &alice, &"x".repeat(4000)).await.0, 404, "short enough, but nobody listens");
}

#[tokio::test]
async fn refusals_have_their_status_and_conflicts_show_the_newest_state() {
    let mut served = Served::new().await;
    let token = served.town.token(100, 1);
    let proposal = served.town.proposes("alice", vec![detaching(&token)], vec![token.clone()]);
    served.proposes(&proposal).await;
    let mut other = proposal.clone();
    other.state.balances.hub.0 += 1;
    let other = served.town.signed_again("alice", other);
    let (status, answer) = served.post("/sendPropose", "", &other).await;
    assert_eq!(status, 409, "{answer}");
    let newest: tarefa_channel::contract::Signed = serde_json::from_value(answer["newest"].clone()).expect("a state");
    assert_eq!(newest.state, proposal.state);
    let mut unsigned = proposal.clone();
    (unsigned.client.0[3], unsigned.state.last) = (unsigned.client.0[3] ^ 1, true);
    assert_eq!(served.post("/sendPropose", "", &unsigned).await.0, 401);
    let mut nowhere = proposal;
    nowhere.state.channel = tarefa_channel::ChannelId(B256::ZERO);
    assert_eq!(served.post("/sendPropose", "", &nowhere).await.0, 404);
    let (status, _) = served.post("/sendPropose", "", &json!({ "state": 1 })).await;
    assert_eq!(status, 400);
    let (status, _) = served.post("/sendPropose", "", &json!({ "state": "x".repeat(300_000) })).await;
    assert_eq!(status, 413);
}

/// The hub's first key is on its way out.
fn revoked(until: u64) -> Event {
    Event::SignerRevoked { signer: key("hub").address(), until: Time(until) }
}

#[tokio::test]
async fn what_a_revoked_key_has_signed_is_shown_with_a_word_of_the_new_one() {
    let mut served = Served::new().await;
    let token = served.town.token(100, 1);
    let proposal = served.town.proposes("alice", vec![detaching(&token)], vec![token.clone()]);
    served.proposes(&proposal).await;
    let (alice, bob) = (served.town.id("alice"), served.town.id("bob"));
    let deployment = served.hub.deployment().clone();
    let policy = Policy { collateral: Amount(500), opening_fee: Amount(21) };
    let store = served.hub.store().clone();
    let announced = Event::SignerAnnounced { signer: key("hub 2").address() };
    let both = view_after(vec![announced.clone()], vec![]);
    let hub = Hub::new(store, key("hub 2"), deployment, policy, both, [8; 32]).await.expect("it begins");
    let eyes = key("alice");
    let ctx = served.town.ctx(&eyes);
    let shown = async || {
        let newest = hub.newest(alice).await.expect("it is known").newest.expect("a state");
        let letters = hub.mailbox(bob, None, Duration::ZERO).await.expect("it is known").letters;
        let [Letter::Token(promise)] = letters.as_slice() else { panic!("{letters:?}") };
        let promised = promise.hub.signer(ctx.domain, promise.grant.digest(ctx.domain), ctx.keys);
        let mut other = proposal.clone();
        other.state.balances.hub.0 += 1;
        let refused = hub.propose(served.town.signed_again("alice", other)).await.expect("it answers");
        let told = refused.expect_err("another state of this number").newest.expect("the state");
        [newest.hub_signer(ctx.domain, ctx.keys), promised, told.hub_signer(ctx.domain, ctx.keys)]
    };
    assert_eq!(shown().await, [Some(key("hub").address()); 3], "what is trusted is shown as it was signed");
    hub.see(view_after(vec![announced], vec![revoked(90_000)]));
    assert_eq!(shown().await, [Some(key("hub 2").address()); 3]);
}

#[tokio::test]
async fn a_receipt_has_a_word_of_the_key_that_stays_also_where_another_one_answered_first() {
    let mut served = Served::new().await;
    let token = served.town.token(100, 1);
    served.town.pays(&token).await;
    let row = served.town.row_of(&token).await;
    let mut bob = served.town.bob.clone();
    bob.offered(&token, &row.grant, &row.hub, None, &served.town.ctx(&key("bob"))).expect("he counts on it");
    served.town.bob = bob;
    let attach = served.town.proposes("bob", vec![Op::on(OpKind::Attach, token.id(), token.value)], vec![]);
    served.proposes(&attach).await;

    let announced = Event::SignerAnnounced { signer: key("hub 2").address() };
    let (store, deployment) = (served.hub.store().clone(), served.hub.deployment().clone());
    let policy = Policy { collateral: Amount(500), opening_fee: Amount(21) };
    let both = view_after(vec![announced.clone()], vec![]);
    let hub = Hub::new(store, key("hub 2"), deployment, policy, both, [8; 32]).await.expect("it begins");
    let state = attach.state.hash();
    let digest = attach.state.digest(&served.town.domain);
    let signer = |word: &HubWord| word.signer(state, digest, &served.town.domain, &key("hub"));
    let again = hub.propose(attach).await.expect("it answers").expect("it is the state that was signed");
    assert_eq!(signer(&again.word), Some(key("hub").address()), "what counts is not signed again");
    hub.see(view_after(vec![announced], vec![revoked(90_000)]));
    let receipt = hub.receipt(token.payer_channel, token.id()).await.expect("he has it");
    assert_eq!(signer(&receipt.hub), Some(key("hub 2").address()));
}

#[tokio::test]
async fn a_replica_whose_key_does_not_count_signs_and_shows_nothing_and_says_so() {
    let mut served = Served::new().await;
    let token = served.town.token(100, 1);
    let proposal = served.town.proposes("alice", vec![detaching(&token)], vec![token.clone()]);
    let offer = json!({ "client": Address::repeat_byte(1), "asset": Address::ZERO, "collateral": "1" });
    let bob = served.session("bob").await;
    let request = served.client.get(format!("{}/mailbox?follow=true", served.url)).bearer_auth(&bob);
    let mut followed = request.send().await.expect("an answer");
    served.hub.see(view_after(vec![], vec![revoked(90_000)]));
    for (status, said) in [
        served.post("/sendPropose", "", &proposal).await,
        served.post("/offer", "", &offer).await,
        served.get("/health", "").await,
        served.get("/mailbox", &bob).await,
        served.get(&format!("/retrievePaymentReceipt/{}", token.id()), &bob).await,
    ] {
        assert_eq!(status, 503, "{said}");
        assert!(said.to_string().contains("ask another replica"), "{said}");
    }
    let over = async { while followed.chunk().await.expect("lines").is_some() {} };
    tokio::time::timeout(Duration::from_secs(20), over).await.expect("who follows is sent away");
    let alice = served.town.id("alice");
    assert!(served.hub.newest(alice).await.expect("it is known").newest.is_none(), "nothing was kept");
    served.hub.see(view_after(vec![], vec![]));
    served.proposes(&proposal).await;
    assert_eq!(served.get("/health", "").await.0, 200);
    assert_eq!(served.mailbox(&bob, "").await.letters.len(), 1);
}

#[tokio::test]
async fn a_key_counts_once_its_announcement_is_final_and_what_it_signs_replaces_only_what_counts_shorter() {
    let mut served = Served::new().await;
    let proposal = served.town.proposes("alice", vec![], vec![]);
    served.proposes(&proposal).await;
    let announced = Event::SignerAnnounced { signer: key("hub 2").address() };
    let (store, deployment) = (served.hub.store().clone(), served.hub.deployment().clone());
    let policy = Policy { collateral: Amount(500), opening_fee: Amount(21) };
    let recent = view_after(vec![], vec![announced.clone(), revoked(90_000)]);
    let hub = Hub::new(store, key("hub 2"), deployment, policy, recent, [8; 32]).await.expect("it begins");
    let fault = hub.health().await.expect_err("a reorganisation may take it back").to_string();
    assert!(fault.contains("ask another replica"), "{fault}");
    let alice = served.town.id("alice");
    let shows = async || {
        let newest = hub.newest(alice).await.expect("it is known").newest.expect("a state");
        newest.hub_signer(&served.town.domain, &key("hub"))
    };
    assert_eq!(shows().await, Some(key("hub").address()), "the contract takes it still");
    hub.see(view_after(vec![announced.clone()], vec![revoked(90_000)]));
    assert_eq!((hub.health().await.is_ok(), shows().await), (true, Some(key("hub 2").address())));
    let earlier = Event::SignerRevoked { signer: key("hub 2").address(), until: Time(80_000) };
    hub.see(view_after(vec![announced.clone()], vec![earlier, revoked(90_000)]));
    assert_eq!(shows().await, Some(key("hub").address()), "of two that are on their way out the one that stays longer");
    let later = Event::SignerRevoked { signer: key("hub 2").address(), until: Time(95_000) };
    hub.see(view_after(vec![announced], vec![later, revoked(90_000)]));
    assert_eq!(shows().await, Some(key("hub 2").address()));
}

#[tokio::test]
async fn offers_are_signed_and_a_hub_that_does_not_see_signs_nothing() {
    let mut served = Served::new().await;
    let carol = json!({ "client": key("carol").address(), "asset": Address::ZERO, "collateral": "9999" });
    let (status, answer) = served.post("/offer", "", &carol).await;
    assert_eq!(status, 200, "{answer}");
    let offer: ChannelOffer = serde_json::from_value(answer["offer"].clone()).expect("an offer");
    let hub: HubSignature = serde_json::from_value(answer["hub"].clone()).expect("a signature");
    assert_eq!((offer.hub_amount, offer.opening_fee, offer.epoch), (Amount(500), Amount(21), 0));
    let signer = hub.signer(&served.town.domain, offer.digest(&served.town.domain), &key("hub"));
    assert_eq!(signer, Some(key("hub").address()));
    let alice = json!({ "client": key("alice").address(), "asset": Address::ZERO, "collateral": "1" });
    assert_eq!(served.post("/offer", "", &alice).await.0, 409);
    assert_eq!(served.get("/health", "").await.0, 200);
    assert_eq!(served.get("/terms", "").await.1["contract"], json!(CONTRACT));

    served.hub.see(view_at(Time(5000)));
    let token = served.town.token(100, 1);
    let proposal = served.town.proposes("alice", vec![detaching(&token)], vec![token.clone()]);
    assert_eq!(served.post("/sendPropose", "", &proposal).await.0, 503);
    assert_eq!(served.post("/offer", "", &carol).await.0, 503);
    assert_eq!(served.get("/health", "").await.0, 503);
    served.hub.see(view());
    assert_eq!(served.post("/sendPropose", "", &proposal).await.0, 200);
}
