//! One moment: the contract, the honest machine, and what everybody else knows.

mod adversary;
mod calls;
mod loss;
mod play;
mod view;

pub use adversary::Move;
pub use view::View;

use std::collections::BTreeMap;
use std::sync::Arc;

use tarefa_channel::chain::Ctx;
use tarefa_channel::client::Client;
use tarefa_channel::contract::{Call, Contract, Owner, Row, Signed, Status};
use tarefa_channel::hub::{HubChannel, HubToken, Invoice, Rows};
use tarefa_channel::id::{Amount, ChannelId, Seq, Time, TokenId};
use tarefa_channel::message::{Receipt, State};
use tarefa_channel::rules::{Rule, Rules as _};
use tarefa_channel::sign::Signature;
use tarefa_channel::{Address, B256};

use crate::keys::{ALICE, BOB, Key, NEXT, SIGNER, TREASURY};
use crate::scenario::{
    ALICE_CLIENT, ALICE_HUB, ALICES, BOB_CLIENT, BOB_HUB, BOBS, CHAIN_ID, CONTRACT, NATIVE, Party, Scenario, channel,
};
use crate::without::Without;

/// What the honest hub has stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Store {
    /// Channels.
    pub channels: BTreeMap<ChannelId, HubChannel>,
    /// Tokens.
    pub tokens: BTreeMap<TokenId, HubToken>,
    /// Invoices that have served a token.
    pub used: BTreeMap<B256, TokenId>,
}

impl Rows for Store {
    fn channel(&self, id: ChannelId) -> Option<HubChannel> {
        self.channels.get(&id).cloned()
    }

    fn token(&self, id: TokenId) -> Option<HubToken> {
        self.tokens.get(&id).cloned()
    }

    fn invoice(&self, _: ChannelId, invoice: B256) -> Option<Invoice> {
        // The payee has registered every one: it is an adversary.
        Some(Invoice { cap: Amount(100), expires: Time::MAX, used: self.used.get(&invoice).copied() })
    }
}

/// The honest party.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Honest {
    /// Alice or Bob.
    Client(Arc<Client>),
    /// The hub.
    Hub(Arc<Store>),
}

/// A receipt the adversary can show: the token, the amount, the opened state, the payee's signature.
pub type Shown = (TokenId, Amount, Receipt, Signature);

/// One moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// Chain time.
    pub now: Time,
    /// The chain.
    pub contract: Arc<Contract<Without>>,
    /// The states that the contract enforces, as its events showed them.
    pub openings: Arc<BTreeMap<Owner, State>>,
    /// The honest party.
    pub honest: Honest,
    /// What it had stored before its last commit (rule 14 off).
    pub backup: Option<Arc<Client>>,
    /// States that the adversary can have enforced, by channel.
    pub known: Arc<BTreeMap<Owner, Vec<Signed>>>,
    /// Receipts it can show.
    pub receipts: Arc<Vec<Shown>>,
    /// METERED: how many of the scenario's vouchers are signed.
    pub vouchers: usize,
    /// Whether the payer can open the result.
    pub key: bool,
    /// Bob: what he has delivered against a promise.
    pub served: Amount,
    /// Bob: what he has delivered against vouchers without a condition.
    pub vouched: Amount,
    /// Bob: whether he had the voucher with the condition.
    pub last_vouched: bool,
    /// What strangers have put into channels.
    pub deposited: Amount,
    /// Of it, what they have put on the honest side.
    pub gift: Amount,
    /// Which tokens Bob was offered, or Alice has a receipt of.
    pub shown: u8,
    /// What the honest party has sent to the chain and is not mined: the adversary may be first.
    pub mempool: Option<Arc<Vec<Call>>>,
    /// Which of the scenario's tokens Alice has detached.
    pub detached: u8,
    /// Which of them she has paid elsewhere since, taking them for undone.
    pub elsewhere: u8,
    /// The honest party is away until then: it sends nothing and reads nothing.
    pub away_until: Time,
    /// The enforced state of Bob's channel when the honest party sent what is in the mempool (rule NoOpening off).
    pub seen: Seq,
    /// The hub's first signer signs, whose revocation is announced: only while a move is played.
    pub stale: bool,
    /// Whether it has nothing to do until something changes.
    pub idle: bool,
}

impl World {
    /// The beginning: both channels are open.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let mut contract = Contract::new(CHAIN_ID, CONTRACT, scenario.terms, TREASURY, SIGNER, scenario.rules);
        if scenario.revocation {
            contract.signers.insert(NEXT, None);
        }
        let open = |client_in, hub_in| Row { status: Status::Open, client_in, hub_in, ..Row::default() };
        contract.rows.insert(ALICES, open(ALICE_CLIENT, ALICE_HUB));
        contract.rows.insert(BOBS, open(BOB_CLIENT, BOB_HUB));
        contract.refusing.extend([ALICE, BOB]);
        let alice = || Client::opened(ALICES, 0, channel(ALICES), ALICE_CLIENT, ALICE_HUB);
        let bob = || Client::opened(BOBS, 0, channel(BOBS), BOB_CLIENT, BOB_HUB);
        let store = || {
            let alice = HubChannel::opened(ALICES, 0, channel(ALICES), ALICE_CLIENT, ALICE_HUB);
            let bob = HubChannel::opened(BOBS, 0, channel(BOBS), BOB_CLIENT, BOB_HUB);
            Store { channels: [(alice.id, alice), (bob.id, bob)].into(), ..Store::default() }
        };
        let honest = match scenario.honest {
            Party::Alice => Honest::Client(Arc::new(alice())),
            Party::Bob => Honest::Client(Arc::new(bob())),
            Party::Hub => Honest::Hub(Arc::new(store())),
        };
        let mut world = Self {
            now: Time(0),
            contract: Arc::new(contract),
            openings: Arc::default(),
            honest,
            backup: None,
            known: Arc::new(BTreeMap::from([(ALICES, vec![]), (BOBS, vec![])])),
            receipts: Arc::default(),
            vouchers: 0,
            key: false,
            served: Amount::ZERO,
            vouched: Amount::ZERO,
            last_vouched: false,
            deposited: Amount::ZERO,
            gift: Amount::ZERO,
            shown: 0,
            mempool: None,
            detached: 0,
            elsewhere: 0,
            away_until: Time(0),
            seen: Seq::ZERO,
            stale: false,
            idle: false,
        };
        world.prepare(scenario);
        world.settle_down(scenario);
        world
    }

    /// The key of a party.
    #[must_use]
    pub const fn key_of(party: Party) -> Key {
        Key(match party {
            Party::Alice => ALICE,
            Party::Bob => BOB,
            Party::Hub => SIGNER,
        })
    }

    /// Asks the honest machine something.
    pub fn ask<T>(
        &self,
        scenario: &Scenario,
        question: impl FnOnce(&Honest, &Ctx<'_, View<'_>, Key, Without>) -> T,
    ) -> T {
        let view = View { world: self, scenario };
        let keys = Self::key_of(scenario.honest);
        let (terms, domain) = (&scenario.terms, &self.contract.domain);
        question(&self.honest, &Ctx { chain: &view, keys: &keys, terms, domain, rules: scenario.rules })
    }

    /// Tells the honest client something: nothing changes where it refuses.
    pub fn tell_client<E>(
        &self,
        scenario: &Scenario,
        input: impl FnOnce(&mut Client, &Ctx<'_, View<'_>, Key, Without>) -> Result<(), E>,
    ) -> Option<Self> {
        let Honest::Client(client) = &self.honest else { return None };
        let mut changed = Client::clone(client);
        self.ask(scenario, |_, ctx| input(&mut changed, ctx)).ok()?;
        if changed == **client {
            return None;
        }
        let mut world = self.clone();
        if !scenario.rules.hold(Rule::R14) {
            world.backup = Some(client.clone());
        }
        world.honest = Honest::Client(Arc::new(changed));
        world.idle = false;
        world.settle_down(scenario);
        Some(world)
    }

    /// The honest client.
    #[must_use]
    pub fn client(&self) -> Option<&Client> {
        match &self.honest {
            Honest::Client(client) => Some(client),
            Honest::Hub(_) => None,
        }
    }

    /// The honest hub.
    #[must_use]
    pub fn store(&self) -> Option<&Store> {
        match &self.honest {
            Honest::Client(_) => None,
            Honest::Hub(store) => Some(store),
        }
    }

    /// The on-chain balance of a party.
    #[must_use]
    pub fn balance(&self, party: Address) -> Amount {
        self.contract.balance(party, NATIVE)
    }
}
