//! Alice, Bob and a hub over a real store, with a chain that nobody moves.

use std::sync::Arc;

use alloy_primitives::{Address, B256, keccak256};
use tarefa_chain::{Event, Head, Key, OwnClock, View};
use tarefa_channel::chain::Ctx;
use tarefa_channel::client::Client;
use tarefa_channel::contract::Owner;
use tarefa_channel::eip712::Domain;
use tarefa_channel::hub::{Answer, HubChannel, HubToken, Invoice, Proposal, Refusal};
use tarefa_channel::id::ChannelKey;
use tarefa_channel::message::{Message as _, Op, OpKind, Token, TokenKind};
use tarefa_channel::rules::Every;
use tarefa_channel::sign::Signer as _;
use tarefa_channel::terms::Terms;
use tarefa_channel::{Amount, ChannelId, Seq, Time};
use tarefa_hub::store::{HubKey, Store, StoreError};

pub const CHAIN: u64 = 31_337;
pub const CONTRACT: Address = Address::repeat_byte(0xcc);
const NOW: Time = Time(1000);
pub const TERMS: Terms = Terms {
    grace: 100,
    inclusion: 5,
    reorg: 5,
    max_token_life: 10_000,
    patience: 10,
    live_tokens: 3,
    fee: Amount(1),
    on_fee: Amount(2),
    dust: Amount(1),
    unsettled: Amount(500),
};

pub fn key(name: &str) -> Key {
    Key::new(keccak256(format!("key of {name}")).0).expect("a hash is a key")
}

/// Payers beside Alice.
pub const CROWD: u8 = 100;

/// The name of one of them.
pub fn payer(number: u8) -> String {
    format!("payer {number}")
}

fn owner(name: &str) -> Owner {
    Owner { client: key(name).address(), asset: Address::ZERO }
}

fn id(name: &str) -> ChannelId {
    let Owner { client, asset } = owner(name);
    ChannelKey { chain_id: CHAIN, contract: CONTRACT, client, asset, epoch: 0 }.id()
}

fn client(name: &str, client_in: u128, hub_in: u128) -> Client {
    Client::opened(owner(name), 0, id(name), Amount(client_in), Amount(hub_in))
}

/// The chain, as somebody sees it whose clock says this.
pub fn view_at(now: Time) -> View {
    let head = |number, time| Head { number, hash: B256::repeat_byte(number as u8), time: Time(time) };
    let view = View::new(TERMS.reorg, head(1, 900), OwnClock::new(move || now));
    let opened = |name: &str, client_in, hub_in| Event::Subscribed {
        channel: id(name),
        owner: owner(name),
        epoch: 0,
        client_in: Amount(client_in),
        hub_in: Amount(hub_in),
    };
    let signer = Event::SignerAnnounced { signer: key("hub").address() };
    let mut events = vec![signer, opened("alice", 1000, 50), opened("bob", 30, 400)];
    events.extend((0..CROWD).map(|number| opened(&payer(number), 1000, 50)));
    view.with(vec![(head(2, 950), events), (head(3, NOW.0), vec![])]).expect("in order")
}

pub fn view() -> View {
    view_at(NOW)
}

/// The same, with two more blocks: one that is final, and the newest.
pub fn view_after(settled: Vec<Event>, recent: Vec<Event>) -> View {
    let head = |number, time| Head { number, hash: B256::repeat_byte(number as u8), time };
    view().with(vec![(head(4, NOW.before(TERMS.reorg)), settled), (head(5, NOW), recent)]).expect("in order")
}

pub struct Town {
    pub store: Store,
    view: View,
    pub domain: Domain,
    pub alice: Client,
    pub bob: Client,
}

impl Town {
    /// Both channels are new in the store.
    pub async fn new(store: Store) -> Self {
        let row = |name: &str, client, hub| HubChannel::opened(owner(name), 0, id(name), Amount(client), Amount(hub));
        let mut rows = vec![row("alice", 1000, 50), row("bob", 30, 400)];
        rows.extend((0..CROWD).map(|number| row(&payer(number), 1000, 50)));
        let written = store.transact(move |book| {
            rows.iter().for_each(|row| book.put_channel(row));
            Ok(())
        });
        written.await.expect("they are kept");
        Self::again(store).await
    }

    /// The store has them already.
    pub async fn again(store: Store) -> Self {
        let (alice, bob) = (client("alice", 1000, 50), client("bob", 30, 400));
        let town = Self { store, view: view(), domain: Domain::new(CHAIN, CONTRACT), alice, bob };
        town.invoices().await;
        town
    }

    async fn invoices(&self) {
        let invoice = Invoice { cap: Amount(300), expires: Time(9000), used: None };
        let registered = self.store.transact(move |book| book.register(id("bob"), B256::repeat_byte(1), &invoice));
        registered.await.expect("kept");
    }

    /// Bob has an invoice for each of the crowd.
    pub async fn expect_payments(&self, number: u8) {
        let invoice = Invoice { cap: Amount(300), expires: Time(9000), used: None };
        let registered = self.store.transact(move |book| {
            (0..number).try_for_each(|number| {
                book.register(id("bob"), B256::repeat_byte(Self::invoice_of(number)), &invoice).map(drop)
            })
        });
        registered.await.expect("kept");
    }

    /// The name of that invoice; the first one is everybody's.
    pub fn invoice_of(number: u8) -> u8 {
        number + 2
    }

    /// The client of one of the crowd.
    pub fn opened(&self, name: &str) -> Client {
        client(name, 1000, 50)
    }

    pub fn id(&self, name: &str) -> ChannelId {
        id(name)
    }

    pub fn ctx<'a>(&'a self, keys: &'a Key) -> Ctx<'a, View, Key> {
        Ctx { chain: &self.view, keys, terms: &TERMS, domain: &self.domain, rules: Every }
    }

    pub fn token(&self, value: u128, invoice: u8) -> Token {
        let attach_by = NOW.after(100);
        let (redeem_by, claim_by) = TERMS.deadlines(attach_by);
        Token {
            payer_channel: id("alice"),
            payer_seq: Seq::new(1).expect("1"),
            index: 0,
            payee: id("bob").0,
            kind: TokenKind::Off,
            value: Amount(value),
            fee: Amount(1),
            attach_by,
            redeem_by,
            claim_by,
            condition: B256::ZERO,
            voucher_key: Address::ZERO,
            invoice: B256::repeat_byte(invoice),
        }
    }

    pub fn proposes(&mut self, name: &str, ops: Vec<Op>, tokens: Vec<Token>) -> Proposal {
        let keys = key(name);
        let mut client = if name == "alice" { self.alice.clone() } else { self.bob.clone() };
        let made = client.propose(ops, tokens, false, &self.ctx(&keys)).expect("it fits").clone();
        *(if name == "alice" { &mut self.alice } else { &mut self.bob }) = client;
        made
    }

    pub fn signed_again(&self, name: &str, mut proposal: Proposal) -> Proposal {
        proposal.client = key(name).sign(proposal.state.digest(&self.domain));
        proposal
    }

    pub async fn tries(&self, proposal: &Proposal) -> Result<Result<Answer, Refusal>, StoreError> {
        let (view, domain, proposal) = (self.view.clone(), self.domain, proposal.clone());
        let decided = self.store.transact(move |book| {
            let keys = Arc::new(key("hub"));
            let signer: HubKey = Arc::clone(&keys) as HubKey;
            let ctx = Ctx { chain: &view, keys: &*keys, terms: &TERMS, domain: &domain, rules: Every };
            Ok(book.decide(&proposal, &ctx, &signer)?.map(|(sealed, _)| sealed))
        });
        match decided.await? {
            Ok(sealed) => Ok(Ok(sealed.open()?)),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    pub async fn decides(&self, proposal: &Proposal) -> Result<Answer, Refusal> {
        self.tries(proposal).await.expect("the store works")
    }

    pub async fn channel(&self, name: &str) -> HubChannel {
        let id = id(name);
        self.store.transact(move |book| book.channel(id)).await.expect("it reads").expect("it is there")
    }

    pub async fn letters(&self, name: &str) -> (Vec<HubToken>, Vec<HubToken>) {
        let id = id(name);
        self.store.read(move |book| book.letters(id)).await.expect("it reads")
    }

    pub async fn row_of(&self, token: &Token) -> HubToken {
        let id = token.id();
        self.store.transact(move |book| book.token(id)).await.expect("it reads").expect("it is there")
    }

    /// Alice detaches a token, and the hub grants it.
    pub async fn pays(&mut self, token: &Token) {
        let ops = vec![Op::on(OpKind::Detach, token.id(), token.cost().expect("small"))];
        let proposal = self.proposes("alice", ops, vec![token.clone()]);
        let answer = self.decides(&proposal).await.expect("the hub signs");
        self.answered("alice", &answer);
    }

    /// A client takes the hub's answer.
    pub fn answered(&mut self, name: &str, answer: &Answer) {
        let keys = key(name);
        let mut client = if name == "alice" { self.alice.clone() } else { self.bob.clone() };
        client.answered(answer, &self.ctx(&keys)).expect("it is the answer");
        *(if name == "alice" { &mut self.alice } else { &mut self.bob }) = client;
    }

    /// Bob counts on it and takes it.
    pub async fn attaches(&mut self, token: &Token, row: &HubToken) {
        let keys = key("bob");
        let mut bob = self.bob.clone();
        bob.offered(token, &row.grant, &row.hub, None, &self.ctx(&keys)).expect("he counts on it");
        self.bob = bob;
        let proposal = self.proposes("bob", vec![Op::on(OpKind::Attach, token.id(), token.value)], vec![]);
        let answer = self.decides(&proposal).await.expect("the hub signs");
        self.answered("bob", &answer);
    }

    /// Another token for the invoice that is used; by a client whose store knows the state.
    pub async fn refuses_a_second_use_of_its_invoice(&mut self) -> bool {
        let row = self.channel("alice").await;
        (self.alice.position, self.alice.highest) = (row.position.clone(), row.seq());
        let token = Token { payer_seq: row.seq().forward(1).expect("small"), ..self.token(50, 1) };
        let ops = vec![Op::on(OpKind::Detach, token.id(), token.cost().expect("small"))];
        let proposal = self.proposes("alice", ops, vec![token]);
        matches!(self.decides(&proposal).await, Err(Refusal::Invoice(_)))
    }
}
