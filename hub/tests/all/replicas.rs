//! Replicas over PostgreSQL: whoever answers, the store decides; a server that dies takes nothing with it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use alloy_primitives::B256;
use tarefa_channel::Amount;
use tarefa_channel::hub::Refusal;
use tarefa_channel::message::Token;
use tarefa_hub::store::{Store, StoreError};

use crate::store::detaching;
use crate::town::{CROWD, Town, key, payer};

/// How long the server may take to come back.
const BACK: Duration = Duration::from_secs(60);

/// A database of its own for each test.
async fn database() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("HUB_POSTGRES").expect("hub/with-postgres.sh says where it is");
    let name = format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let made = name.clone();
    let work = move || {
        let mut client = postgres::Client::connect(&server, postgres::NoTls).expect("it listens");
        client.batch_execute(&format!("CREATE DATABASE {made}")).expect("a new one");
        server
    };
    let server = tokio::task::spawn_blocking(work).await.expect("it ends");
    format!("{}/{name}", server.rsplit_once('/').expect("an address").0)
}

/// The stores of two replicas.
async fn stores() -> (Store, Store) {
    let address = database().await;
    (Store::shared(&address).await.expect("it opens"), Store::shared(&address).await.expect("again"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: hub/with-postgres.sh; ./test runs it"]
async fn a_hundred_proposals_for_one_invoice_at_two_replicas_are_granted_once() {
    let (one, other) = stores().await;
    let mut first = Town::new(one).await;
    let second = Town::again(other).await;
    // The same number and invoice, a hundred different tokens.
    let proposals: Vec<_> = (0..100)
        .map(|value| {
            let token = first.token(100 + value, 1);
            let before = first.alice.clone();
            let proposal = first.proposes("alice", vec![detaching(&token)], vec![token]);
            first.alice = before;
            proposal
        })
        .collect();
    let answers = proposals.iter().enumerate().map(|(place, proposal)| {
        let town = if place % 2 == 0 { &first } else { &second };
        town.tries(proposal)
    });
    let mut granted = 0;
    for answer in join(answers.collect()).await {
        match answer.expect("the store works") {
            Ok(_) => granted += 1,
            Err(Refusal::Conflict(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(granted, 1, "one state has its number");
    let (here, there) = (first.channel("bob").await, second.channel("bob").await);
    assert_eq!(here, there, "both see the same");
    assert_eq!(here.next_payee_seq.get(), 1, "one promise");
    assert!(here.reserved >= Amount(100) && here.reserved < Amount(200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: hub/with-postgres.sh; ./test runs it"]
async fn tag_1_12_two_replicas_promise_a_hundred_payers_no_more_than_there_is() {
    let (one, other) = stores().await;
    let first = Town::new(one).await;
    let second = Town::again(other).await;
    crowd(&first, &second).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tag_1_12_a_hundred_payers_at_once_are_promised_no_more_than_there_is() {
    let place = tempfile::tempdir().expect("a directory");
    let town = Town::new(Store::open(&place.path().join("hub.sqlite")).expect("it opens")).await;
    crowd(&town, &town).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: hub/with-postgres.sh; ./test runs it"]
async fn old_rows_are_looked_through_once_on_a_server_too() {
    let (one, _other) = stores().await;
    crate::store::forgets_every_other(&Town::new(one).await).await;
}

/// A hundred payers want to pay Bob thirty each, at two hubs at the same time: the hub's share there is 400.
async fn crowd(first: &Town, second: &Town) {
    first.expect_payments(CROWD).await;
    let answers = (0..CROWD).map(|number| {
        let name = payer(number);
        let payer_channel = first.id(&name);
        let token = Token { payer_channel, ..first.token(30, Town::invoice_of(number)) };
        let mut client = first.opened(&name);
        let proposal = client.propose(vec![detaching(&token)], vec![token], false, &first.ctx(&key(&name))).cloned();
        let town = if number % 2 == 0 { first } else { second };
        async move { town.tries(&proposal.expect("it fits")).await }
    });
    let mut granted = 0;
    for answer in join(answers.collect()).await {
        match answer.expect("the store works") {
            Ok(_) => granted += 1,
            Err(Refusal::Cover(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(granted, 400 / 30);
    let bob = second.channel("bob").await;
    assert_eq!((bob.reserved, bob.next_payee_seq.get()), (Amount(390), 13));
}

/// All of them at once.
async fn join<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut pinned: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut waits = false;
        for (future, done) in pinned.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            match future.as_mut().poll(context) {
                std::task::Poll::Ready(value) => *done = Some(value),
                std::task::Poll::Pending => waits = true,
            }
        }
        if waits { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: hub/with-postgres.sh; ./test runs it"]
async fn one_replica_at_a_time_has_the_lease_and_the_next_goes_on_when_it_is_over() {
    let (one, other) = stores().await;
    let lease = |store: &Store, name: u8, now: u64| {
        let store = store.clone();
        async move { store.transact(move |book| book.lease("monitor", B256::repeat_byte(name), now, now + 10)).await }
    };
    assert!(lease(&one, 1, 100).await.expect("it works"));
    assert!(!lease(&other, 2, 105).await.expect("it works"), "the first one has it");
    assert!(lease(&one, 1, 108).await.expect("it works"), "and keeps it");
    assert!(!lease(&other, 2, 115).await.expect("it works"));
    assert!(lease(&other, 2, 118).await.expect("it works"), "until it is heard of no more");
    assert!(!lease(&one, 1, 119).await.expect("it works"));
}

/// Kills the server with SIGKILL under load and starts it again: what was answered is there, what was not is not half there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: hub/with-postgres.sh; ./test runs it"]
async fn a_server_that_is_killed_takes_nothing_with_it_that_was_answered() {
    let address = database().await;
    let store = Store::shared(&address).await.expect("it opens");
    let mut town = Town::new(store.clone()).await;
    let token = town.token(100, 1);
    town.pays(&token).await;
    let counted = |store: Store| {
        tokio::spawn(async move {
            let mut answered = 0u64;
            while store.transact(move |book| book.put_single("count", &(answered + 1).to_be_bytes())).await.is_ok() {
                answered += 1;
            }
            answered
        })
    };
    let counting = counted(store.clone());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let data = std::env::var("HUB_POSTGRES_DATA").expect("its directory");
    let process = std::fs::read_to_string(format!("{data}/postmaster.pid")).expect("it runs");
    let process: i32 = process.lines().next().and_then(|line| line.parse().ok()).expect("a process");
    let killed = rustix::process::Pid::from_raw(process).expect("a process");
    rustix::process::kill_process(killed, rustix::process::Signal::KILL).expect("it was there");
    let answered = counting.await.expect("it ends");
    assert!(answered > 10, "{answered} commits before the kill are no load");
    let fault = store.read(|book| book.single("count")).await.expect_err("nothing is read without a server");
    assert!(matches!(fault, StoreError::Postgres(_) | StoreError::Commit(_) | StoreError::Closed), "{fault}");
    let again = std::env::var("HUB_POSTGRES_START").expect("how it starts");
    // Its children may need a moment to see that it is gone.
    let started = async {
        while !std::process::Command::new(&again).status().is_ok_and(|status| status.success()) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(BACK, started).await.expect("it comes back");
    let found = async {
        loop {
            if let Ok(found) = store.read(|book| book.single("count")).await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let found = tokio::time::timeout(BACK, found).await.expect("the store connects again").expect("it was written");
    let found = u64::from_be_bytes(found.try_into().expect("eight bytes"));
    assert!(found == answered || found == answered + 1, "{answered} were answered, {found} are there");
    assert_eq!(town.row_of(&token).await.token, token, "the promise from before is there");
    store.transact(|book| book.put_single("count", &[1])).await.expect("and the writer goes on");
}
