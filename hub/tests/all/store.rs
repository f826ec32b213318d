//! The store: payments decided in it, groups, faults, and what a restart finds.

use std::sync::Arc;

use alloy_primitives::B256;
use tarefa_channel::contract::HubWord;
use tarefa_channel::hub::{HubToken, Invoice, Refusal, Stage};
use tarefa_channel::message::{Grant, Op, OpKind};
use tarefa_channel::sign::{HubSignature, Signature};
use tarefa_channel::{Amount, Seq, StateHash, Time, window};
use tarefa_hub::store::{Book, GROUP, Store, StoreError};

use crate::town::Town;

#[tokio::test]
async fn a_payment_goes_through_the_store_and_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("hub.sqlite3");
    let mut town = Town::new(Store::open(&path).expect("it opens")).await;
    let token = town.token(100, 1);
    town.pays(&token).await;
    let row = town.row_of(&token).await;
    assert_eq!(row.stage, Stage::Granted);
    let bobs = town.channel("bob").await;
    assert_eq!((bobs.reserved, bobs.next_payee_seq.get()), (Amount(100), 1));
    town.attaches(&token, &row).await;
    assert!(matches!(town.row_of(&token).await.stage, Stage::Attached { amount: Amount(100), .. }));
    let (before_alice, before_bob) = (town.channel("alice").await, town.channel("bob").await);
    assert_eq!((before_bob.position.balances.client, before_bob.reserved), (Amount(130), Amount(0)));

    // The process ends; another one opens the same file.
    drop(town);
    let store = Store::open(&path).expect("it opens again");
    let mut town = Town::again(store).await;
    assert_eq!((town.channel("alice").await, town.channel("bob").await), (before_alice, before_bob));
    let token = token.id();
    let payer = town.id("alice");
    let (paying, letters) =
        town.store.transact(move |book| Ok((book.paid_by(payer)?, book.letters(payer)?))).await.expect("rows");
    assert_eq!((paying[0].id(), paying.len(), letters.1[0].id(), letters.0.len()), (token, 1, token, 0));
    assert!(town.refuses_a_second_use_of_its_invoice().await, "the invoice is used after the restart too");
}

#[tokio::test]
async fn the_same_proposal_gets_the_same_answer_and_another_with_its_number_none() {
    let mut town = Town::new(Store::in_memory().expect("it opens")).await;
    let token = town.token(100, 1);
    let proposal = town.proposes("alice", vec![detaching(&token)], vec![token.clone()]);
    let first = town.decides(&proposal).await.expect("the hub signs");
    assert_eq!(town.decides(&proposal).await.expect("again"), first);
    let mut other = proposal.clone();
    other.state.balances.hub.0 += 1;
    let other = town.signed_again("alice", other);
    assert!(matches!(town.decides(&other).await, Err(Refusal::Conflict(_))));
}

pub fn detaching(token: &tarefa_channel::message::Token) -> Op {
    Op::on(OpKind::Detach, token.id(), token.cost().expect("small"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_share_a_commit_and_each_is_decided_after_the_one_before() {
    const MANY: u64 = 400;
    let dir = tempfile::tempdir().expect("a directory");
    let town = Arc::new(Town::new(Store::open(&dir.path().join("hub")).expect("it opens")).await);
    let before = town.store.commits();
    let id = town.id("alice");
    let waiting: Vec<_> = (0..MANY)
        .map(|_| {
            let store = town.store.clone();
            tokio::spawn(async move {
                let raise = store.transact(move |book| {
                    let mut channel = book.channel(id)?.expect("it is there");
                    channel.unsettled.0 += 1;
                    book.put_channel(&channel);
                    Ok(channel.unsettled.0)
                });
                raise.await.expect("it is kept")
            })
        })
        .collect();
    let mut seen = vec![];
    for one in waiting {
        seen.push(one.await.expect("it ends"));
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=u128::from(MANY)).collect::<Vec<_>>(), "no two saw the same row");
    let commits = town.store.commits() - before;
    assert!(commits >= MANY / GROUP as u64 && commits < MANY, "{commits} commits for {MANY} requests");
}

#[tokio::test]
async fn what_fails_or_panics_leaves_nothing_and_takes_nobody_along() {
    let town = Town::new(Store::in_memory().expect("it opens")).await;
    let (id, payee) = (town.id("alice"), town.id("bob"));
    let store = town.store.clone();
    let spoils = move |book: &tarefa_hub::store::Book<'_>| {
        let mut channel = book.channel(id)?.expect("it is there");
        channel.unsettled = Amount(7);
        book.put_channel(&channel);
        Ok::<(), StoreError>(())
    };
    let fails = store.transact(move |book| {
        spoils(book)?;
        Err::<(), _>(StoreError::Closed)
    });
    let panics = store.transact(move |book| {
        spoils(book)?;
        panic!("on purpose: the test wants to see it contained");
        #[allow(unreachable_code, reason = "gives the closure its type")]
        Ok(())
    });
    let invoice = Invoice { cap: Amount(1), expires: Time(5000), used: None };
    let works = store.transact(move |book| book.register(payee, B256::repeat_byte(9), &invoice));
    let (failed, panicked, worked) = tokio::join!(fails, panics, works);
    assert!(matches!(failed, Err(StoreError::Closed)), "{failed:?}");
    assert!(matches!(panicked, Err(StoreError::Panic)), "{panicked:?}");
    assert!(worked.expect("it is kept"), "registered");
    assert_eq!(town.channel("alice").await.unsettled, Amount(0));
}

#[tokio::test]
async fn one_signature_covers_all_that_a_commit_decides() {
    let mut town = Town::new(Store::in_memory().expect("it opens")).await;
    let token = town.token(100, 1);
    let pays = town.proposes("alice", vec![detaching(&token)], vec![token.clone()]);
    let leaves = town.proposes("bob", vec![Op::of(OpKind::OutClient, Amount(20))], vec![]);
    let before = town.store.commits();
    let (paid, left) = tokio::join!(town.decides(&pays), town.decides(&leaves));
    let (paid, left) = (paid.expect("it signs"), left.expect("it signs both"));
    assert_eq!(town.store.commits() - before, 1);
    let (HubWord::Grant(grant, granted), HubWord::State(signed)) = (&paid.word, &left.word) else {
        panic!("{paid:?} {left:?}")
    };
    assert_eq!((granted.signature, granted.proof.len()), (signed.signature, 1));
    assert_ne!(granted.proof, signed.proof);
    // What is stored is what was answered, though the token's promise has changed Bob's row after his state.
    let row = town.row_of(&token).await;
    assert_eq!((row.grant, row.hub), (*grant, granted.clone()));
    for (name, answer) in [("alice", &paid), ("bob", &left)] {
        let newest = town.channel(name).await.newest.expect("a state");
        assert_eq!(newest.hub, answer.word);
    }
    assert_eq!(town.channel("bob").await.reserved, Amount(100));
    assert_eq!(town.decides(&leaves).await.expect("again"), left, "the same answer, with its proof");
    town.answered("alice", &paid);
    town.answered("bob", &left);
}

#[tokio::test]
async fn letters_are_the_same_from_memory_and_from_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("hub");
    let mut town = Town::new(Store::open(&path).expect("it opens")).await;
    let ids = [town.id("alice"), town.id("bob")];
    let mut seen = vec![];
    let token = town.token(100, 1);
    let look = |store: Store| async move {
        let mut all = vec![];
        for id in ids {
            let (promised, shown) = store.read(move |book| book.letters(id)).await.expect("it reads");
            all.push((promised, shown));
        }
        all
    };
    seen.push(look(town.store.clone()).await);
    town.pays(&token).await;
    seen.push(look(town.store.clone()).await);
    let row = town.row_of(&token).await;
    town.attaches(&token, &row).await;
    seen.push(look(town.store.clone()).await);
    let count = |at: usize| seen[at].iter().map(|(promised, shown)| (promised.len(), shown.len())).collect::<Vec<_>>();
    assert_eq!((count(0), count(1), count(2)), (vec![(0, 0); 2], vec![(0, 0), (1, 0)], vec![(0, 1), (0, 0)]));
    drop(town);
    let again = look(Store::open(&path).expect("it opens again")).await;
    assert_eq!(again, seen[2]);
}

#[tokio::test]
async fn nothing_is_answered_where_nothing_can_be_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("hub");
    let mut town = Town::new(Store::open(&path).expect("it opens")).await;
    let token = town.token(100, 1);
    let proposal = town.proposes("alice", vec![detaching(&token)], vec![token.clone()]);
    let before = town.channel("alice").await;
    // Another program holds the file: this one cannot write, for as long as SQLite waits and longer.
    let other = rusqlite::Connection::open(&path).expect("a second look");
    other.execute_batch("BEGIN IMMEDIATE").expect("held");
    let fault = town.tries(&proposal).await.expect_err("no answer leaves");
    assert!(matches!(fault, StoreError::Commit(_)), "{fault}");
    other.execute_batch("ROLLBACK").expect("let go");
    assert_eq!(town.channel("alice").await, before, "nothing of it is kept");
    town.decides(&proposal).await.expect("once it can write, the hub signs");
}

#[tokio::test]
async fn a_store_that_is_newer_or_broken_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("hub");
    let id = Town::new(Store::open(&path).expect("it opens")).await.id("alice");
    let raw = rusqlite::Connection::open(&path).expect("a second look");
    raw.execute("UPDATE channel SET body = x'0102'", []).expect("broken");
    let mut town = Town::again(Store::open(&path).expect("rows are read when they are needed")).await;
    let fault = town.store.transact(move |book| book.channel(id)).await.expect_err("unreadable");
    assert!(fault.to_string().contains("unreadable channel"), "{fault}");
    // A machine that asks for such a row decides nothing.
    raw.execute("UPDATE channel SET body = x''", []).expect("broken");
    let token = town.token(1, 1);
    let proposal = town.proposes("alice", vec![detaching(&token)], vec![token.clone()]);
    let fault = town.tries(&proposal).await.expect_err("nothing is decided");
    assert!(fault.to_string().contains("unreadable channel"), "{fault}");
    raw.pragma_update(None, "user_version", 99).expect("newer");
    let fault = Store::open(&path).expect_err("newer");
    assert!(fault.to_string().contains("version 99"), "{fault}");
}

#[tokio::test]
async fn invoices_are_registered_once_and_all_is_forgotten_in_time() {
    let town = Town::new(Store::in_memory().expect("it opens")).await;
    let (payee, name) = (town.id("bob"), B256::repeat_byte(3));
    let invoice = |cap| Invoice { cap: Amount(cap), expires: Time(2000), used: None };
    let (first, second) = (invoice(5), invoice(50));
    let done = town.store.transact(move |book| {
        Ok((book.register(payee, name, &first)?, book.register(payee, name, &second)?, book.invoice(payee, name)?))
    });
    assert_eq!(done.await.expect("kept"), (true, false, Some(first)));
    let forgotten = town.store.transact(|book| {
        let [early, late] = [2000, 2001].map(|before| book.forget(None, Time(before), |_| false));
        Ok((early?.rows, late?.rows))
    });
    assert_eq!(forgotten.await.expect("kept"), (0, 1));
    let again = town.store.transact(move |book| Ok((book.register(payee, name, &second)?, book.invoice(payee, name)?)));
    assert_eq!(again.await.expect("kept"), (true, Some(second)), "the name is free again");
}

/// All that can be forgotten, page by page; how many pages, how many rows.
async fn forget(town: &Town, over: &'static [&'static str]) -> (usize, usize) {
    let over: Vec<_> = over.iter().map(|name| town.id(name)).collect();
    let (mut pages, mut rows, mut next) = (0, 0, None);
    loop {
        let over = over.clone();
        let work = move |book: &Book<'_>| book.forget(next, Time(9000), |channel| over.contains(&channel.id));
        let done = town.store.transact(work).await.expect("it works");
        (pages, rows, next) = (pages + 1, rows + done.rows, done.next);
        if next.is_none() {
            return (pages, rows);
        }
    }
}

#[tokio::test]
async fn what_has_to_stay_holds_up_nothing_and_goes_with_its_channels() {
    let mut town = Town::new(Store::in_memory().expect("it opens")).await;
    let token = town.token(100, 1);
    town.pays(&token).await;
    let row = town.row_of(&token).await;
    // As if many had been promised, and none was taken.
    let many = row.clone();
    let filled = town.store.transact(move |book| {
        for index in 1..=1200 {
            let mut row = many.clone();
            (row.token.index, row.token.invoice) = (index, B256::ZERO);
            row.grant.token = row.token.id();
            row.grant.payee_seq = Seq::new(5 + u64::from(index % 200)).expect("48 bits");
            book.put_token(&row);
        }
        Ok(())
    });
    filled.await.expect("kept");
    assert_eq!(forget(&town, &[]).await, (3, 0), "they may still be asked for");
    town.attaches(&token, &row).await;
    assert_eq!(forget(&town, &[]).await, (3, 0), "its payer has still to settle");
    assert_eq!(forget(&town, &["alice"]).await, (3, 1), "of Alice's, who is gone, Bob has taken one");
    assert_eq!(forget(&town, &["alice", "bob"]).await.1, 1200);
    let (promised, _) = town.letters("bob").await;
    assert_eq!(promised, vec![], "nor are they in a mailbox");
}

/// Tokens of four times over three pages, of which every other one can be forgotten: those are, and no page is looked at twice.
pub async fn forgets_every_other(town: &Town) {
    let (token, mut payee) = (town.token(100, 1), town.channel("bob").await);
    // What the payee has consumed and the payer has settled nobody asks for.
    payee.position.balances.floor = Seq::new(1).expect("48 bits");
    let filled = town.store.transact(move |book| {
        book.put_channel(&payee);
        for index in 0..1200u16 {
            let mut token = token.clone();
            token.index = index;
            token.claim_by = Time(token.claim_by.0 + u64::from(index / 300));
            let grant = Grant {
                token: token.id(),
                payee_seq: if index % 2 == 0 { Seq::ZERO } else { Seq::new(7).expect("48 bits") },
                payer_state: StateHash(B256::ZERO),
            };
            let hub = HubSignature { signature: Signature([0; 64]), proof: vec![] };
            let (stage, voucher, preimage) = (Stage::Landed(None), None, B256::ZERO);
            book.put_token(&HubToken { token, grant, hub, stage, voucher, preimage });
        }
        Ok(())
    });
    filled.await.expect("kept");
    assert_eq!(forget(town, &[]).await, (3, 600), "pages, and rows that are gone");
    assert_eq!(forget(town, &[]).await, (2, 0), "what is left must stay");
    assert_eq!(forget(town, &["bob"]).await, (2, 600), "until the payee's channel is over");
}

#[tokio::test]
async fn old_rows_are_looked_through_once_whatever_their_times() {
    forgets_every_other(&Town::new(Store::in_memory().expect("it opens")).await).await;
}

#[tokio::test]
async fn what_was_redeemed_and_acknowledged_is_in_no_mailbox() {
    let mut town = Town::new(Store::in_memory().expect("it opens")).await;
    let token = town.token(100, 1);
    town.pays(&token).await;
    assert_eq!(town.letters("bob").await.0.len(), 1);
    // Bob's state has consumed its number, and Alice is gone before she could settle.
    let (mut bob, seq) = (town.channel("bob").await, town.row_of(&token).await.grant.payee_seq);
    window::consume(&mut bob.position.balances, seq).expect("it is the next");
    let kept = town.store.transact(move |book| {
        book.put_channel(&bob);
        Ok(())
    });
    kept.await.expect("kept");
    assert_eq!(town.letters("bob").await, (vec![], vec![]));
}

#[tokio::test]
async fn payers_whose_tokens_must_be_claimed_soon_are_found_and_no_others() {
    let mut town = Town::new(Store::in_memory().expect("it opens")).await;
    let token = town.token(100, 1);
    let due = async |town: &Town, from: Time, before: Time| {
        town.store.read(move |book| book.payers_due(from, before)).await.expect("it reads")
    };
    let (early, late) = (Time(0), token.claim_by.after(1));
    town.pays(&token).await;
    assert_eq!(due(&town, early, late).await, [], "nobody has taken it");
    let row = town.row_of(&token).await;
    town.attaches(&token, &row).await;
    let alice = town.id("alice");
    assert_eq!(due(&town, early, late).await, [alice]);
    assert_eq!(due(&town, early, token.claim_by).await, [], "there is time");
    assert_eq!(due(&town, late, late.after(9)).await, [], "it is too late");
    // Once settled it is nobody's any more.
    let mut landed = town.row_of(&token).await;
    landed.stage = Stage::Landed(None);
    let kept = town.store.transact(move |book| {
        book.put_token(&landed);
        Ok(())
    });
    kept.await.expect("kept");
    assert_eq!(due(&town, early, late).await, []);
}
