//! The faults of the checker over files: what clients and hub keep goes through their stores, and who dies reads it again.

use std::path::PathBuf;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tarefa_channel::ChannelId;
use tarefa_channel::client::Client;
use tarefa_channel::hub::{Answer, HubChannel, HubToken, Proposal, Refusal};
use tarefa_channel::id::TokenId;
use tarefa_checker::faults::{Crash, Disks, Faults, Sight, invoice, opened, opened_at_the_hub};
use tarefa_checker::keys::{Key, SIGNER};
use tarefa_checker::scenario::{BOBS, channel};
use tarefa_client::Store as ClientStore;
use tarefa_hub::store::{Book, HubKey, Store, StoreError};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// Runs of this test; `FAULTS_RUNS` asks for more.
const RUNS: u64 = 100;

/// Bytes of the longest run.
const LONGEST: u64 = 600;

/// The stores of the daemons, in a directory of their own.
struct Files {
    place: TempDir,
    /// Its tasks are the hub's process: with it, they die.
    runtime: Runtime,
    hub: Store,
    clients: [ClientStore; 2],
}

fn client_file(place: &TempDir, alice: bool) -> PathBuf {
    place.path().join(if alice { "alice.sqlite" } else { "bob.sqlite" })
}

fn open_hub(place: &TempDir) -> (Runtime, Store) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let hub = {
        let _within = runtime.enter();
        // The processes die here, the machine does not.
        Store::open_without_sync(&place.path().join("hub.sqlite")).expect("it opens")
    };
    (runtime, hub)
}

impl Files {
    fn new() -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let (runtime, hub) = open_hub(&place);
        let rows = opened_at_the_hub();
        let written = hub.transact(move |book| rows.iter().try_for_each(|row| book.open_channel(row).map(drop)));
        runtime.block_on(written).expect("they are kept");
        let clients = [true, false].map(|alice| ClientStore::open(&client_file(&place, alice)).expect("it opens"));
        for (store, client) in clients.iter().zip(opened()) {
            store.commit(|tx| tx.put_channel(&client)).expect("it is kept");
        }
        Self { place, runtime, hub, clients }
    }

    fn read<T: Send + 'static>(&self, work: impl Fn(&Book<'_>) -> Result<T, StoreError> + Send + 'static) -> T {
        self.runtime.block_on(self.hub.read(work)).expect("it reads")
    }
}

impl Disks for Files {
    fn decide(&mut self, proposal: &Proposal, sight: Sight, crash: &mut Crash) -> Option<Result<Answer, Refusal>> {
        let (proposal, dies) = (proposal.clone(), *crash);
        let work = move |book: &Book<'_>| {
            let key: HubKey = Arc::new(Key(SIGNER));
            for token in &proposal.tokens {
                book.register(channel(BOBS), token.invoice, &invoice(None))?;
            }
            let decided = sight.ask(|ctx| book.decide(&proposal, ctx, &key))?;
            // Dies with everything decided and written, and nothing committed.
            if dies == Crash::Before && decided.is_ok() { Err(StoreError::Closed) } else { Ok(decided) }
        };
        let decided = match self.runtime.block_on(self.hub.transact(work)) {
            Ok(Ok((sealed, _))) => Some(sealed.open().expect("it is committed")),
            Ok(Err(refusal)) => return Some(Err(refusal)),
            Err(fault) => {
                assert!(dies == Crash::Before, "{fault}");
                None
            }
        };
        match std::mem::take(crash) {
            Crash::None => decided.map(Ok),
            Crash::Before | Crash::After => {
                (self.runtime, self.hub) = open_hub(&self.place);
                None
            }
        }
    }

    fn letters(&mut self, of: ChannelId) -> Vec<HubToken> {
        let (promised, shown) = self.read(move |book| book.letters(of));
        [promised, shown].concat()
    }

    fn channel(&mut self, id: ChannelId) -> HubChannel {
        self.read(move |book| book.channel(id)).expect("it is open")
    }

    fn paying(&mut self, id: ChannelId) -> Vec<HubToken> {
        self.read(move |book| book.paid_by(id))
    }

    fn token(&mut self, id: TokenId) -> Option<HubToken> {
        self.read(move |book| book.token(id))
    }

    fn keep(&mut self, alice: bool, client: &Client) {
        let store = &self.clients[usize::from(!alice)];
        let same = store.read(|tx| tx.channel()).expect("it reads").as_ref() == Some(client);
        if !same {
            store.commit(|tx| tx.put_channel(client)).expect("it is kept");
        }
    }

    fn client(&mut self, alice: bool) -> Client {
        let store = ClientStore::open(&client_file(&self.place, alice)).expect("it opens");
        let client = store.read(|tx| tx.channel()).expect("it reads").expect("it is there");
        self.clients[usize::from(!alice)] = store;
        client
    }
}

#[test]
fn honest_parties_lose_nothing_over_files_either() {
    let runs = std::env::var("FAULTS_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(RUNS);
    let (mut delivered, mut crashes, mut redeemed) = (0, 0, 0);
    for seed in 0..runs {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let length = usize::try_from(random.next_u64() % LONGEST).expect("small");
        let mut bytes = vec![0; length];
        random.fill_bytes(&mut bytes);
        let over_files = Faults::run_over(Box::new(Files::new()), &bytes);
        assert_eq!(over_files, Faults::run(&bytes), "seed {seed}: a store changes nothing of what happens");
        let told = over_files.unwrap_or_else(|loss| panic!("seed {seed}: {loss}"));
        delivered += told.delivered;
        crashes += told.crashes;
        redeemed += told.redeemed;
    }
    assert!([delivered, crashes, redeemed].into_iter().all(|count| count as u64 > runs / 10), "they say nothing");
}
