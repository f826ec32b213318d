//! What a move does.

use std::sync::Arc;

use tarefa_channel::client::Attached;
use tarefa_channel::contract::{Call, Env, HubWord, Signed, Status};
use tarefa_channel::hub::{Answer, Proposal, propose, refused_by_payee};
use tarefa_channel::id::{Amount, Seq, TokenId};
use tarefa_channel::message::{Balances, Message, Op, OpKind, State, Token, TokenKind};
use tarefa_channel::rules::{Rule, Rules as _};
use tarefa_channel::sign::{HubSignature, Signer};
use tarefa_channel::transition::{Known, Position, Side, Tokens};
use tarefa_channel::{Address, B256};

use super::calls::{vouch, voucher};
use super::{Honest, Move, World};
use crate::keys::{Key, SIGNER, VOUCHERS, signs_as};
use crate::scenario::{ALICE_CLIENT, ALICE_HUB, ALICES, BOB_CLIENT, BOB_HUB, BOBS, KEY, Party, Scenario, channel};

/// Everybody knows the scenario's tokens.
struct All<'a>(&'a Scenario);

impl Tokens for All<'_> {
    fn known(&self, id: TokenId) -> Option<Known<'_>> {
        let place = self.0.tokens.iter().position(|token| token.id() == id)?;
        Some(Known { token: &self.0.tokens[place], payee_seq: Seq::new(place as u64).expect("small") })
    }
}

impl World {
    /// What colluding parties have signed for each other before anything happens: Bob's attaches, where Bob is one of them.
    pub(super) fn prepare(&mut self, scenario: &Scenario) {
        self.history(scenario);
        if scenario.honest == Party::Hub {
            // Everything for Alice, on her word alone.
            let all = ALICE_CLIENT.plus(ALICE_HUB).expect("small");
            let balances = Balances { client: all, client_in: ALICE_CLIENT, hub_in: ALICE_HUB, ..Balances::default() };
            let seq = Seq::new(9).expect("small");
            let state = State { channel: channel(ALICES), seq, last: false, balances, ops: vec![] };
            let client = World::key_of(Party::Alice).sign(state.digest(&self.contract.domain));
            let hub = HubWord::State(HubSignature { signature: client, proof: vec![] });
            Arc::make_mut(&mut self.known).entry(ALICES).or_default().push(Signed { state, client, hub });
        }
        if scenario.honest != Party::Alice {
            return;
        }
        let opening = Position::opening(BOB_CLIENT, BOB_HUB);
        for token in scenario.tokens.iter().filter(|token| token.kind != TokenKind::On) {
            let amounts = if token.kind == TokenKind::Metered { scenario.amounts.clone() } else { vec![token.value] };
            for amount in amounts {
                let ops = vec![Op::on(OpKind::Attach, token.id(), amount)];
                let position = opening.after(&ops, &All(scenario)).expect("it fits");
                let seq = Seq::new(1).expect("small");
                let state = State { channel: channel(BOBS), seq, last: false, balances: position.balances, ops };
                self.learn(Party::Bob, &state, None);
            }
        }
    }

    /// Doubly-signed states of Bob's channel from before this begins, each as good as the next.
    fn history(&mut self, scenario: &Scenario) {
        for seq in 1..=scenario.history {
            let seq = Seq::new(seq).expect("small");
            let balances = Position::opening(BOB_CLIENT, BOB_HUB).balances;
            let state = State { channel: channel(BOBS), seq, last: false, balances, ops: vec![] };
            self.learn(Party::Bob, &state, None);
            if let (Party::Bob, Honest::Client(bob)) = (scenario.honest, &mut self.honest) {
                let bob = Arc::make_mut(bob);
                bob.newest = Some(state);
                bob.signed = self.known[&BOBS].last().cloned();
                bob.highest = seq;
            }
        }
    }

    /// The adversary sees a state that its client has signed. Where the hub colludes, it can add the hub's signature.
    fn learn(&mut self, party: Party, state: &State, word: Option<HubWord>) {
        let owner = if party == Party::Alice { ALICES } else { BOBS };
        let client = World::key_of(party).sign(state.digest(&self.contract.domain));
        let hub = word.unwrap_or_else(|| HubWord::State(signs_as(SIGNER, state, &self.contract.domain)));
        let known = Arc::make_mut(&mut self.known).entry(owner).or_default();
        if known.iter().all(|signed| signed.state != *state) {
            known.push(Signed { state: state.clone(), client, hub });
        }
        for op in state.ops.iter().filter(|op| op.kind == OpKind::Attach) {
            let shown = (TokenId(op.token), op.amount, state.receipt(), client);
            if !self.receipts.contains(&shown) {
                Arc::make_mut(&mut self.receipts).push(shown);
            }
        }
    }

    /// The honest client looks at the chain; it is idle if it would then send nothing.
    pub(super) fn settle_down(&mut self, scenario: &Scenario) {
        let Honest::Client(client) = &self.honest else {
            self.idle = true;
            return;
        };
        let hash = self.contract.row(client.owner).enforced;
        let enforced = client.half.as_ref().is_some_and(|half| half.proposal.state.hash() == hash);
        let mut changed = client.clone();
        if enforced {
            self.ask(scenario, |_, ctx| Arc::make_mut(&mut changed).look(ctx));
        }
        let mut swept = changed.clone();
        self.ask(scenario, |_, ctx| Arc::make_mut(&mut swept).sweep(ctx));
        if swept != changed {
            changed = swept;
        }
        self.honest = Honest::Client(changed.clone());
        let wishes = self.ask(scenario, |_, ctx| changed.wishes(ctx));
        self.idle = wishes.is_empty();
    }

    /// What is the case after a move; nothing if it changes nothing.
    #[must_use]
    pub fn play(&self, step: &Move, scenario: &Scenario) -> Option<Self> {
        match step {
            Move::Tick => Some(self.tick(scenario)),
            Move::Mine => Some(self.mine(scenario)),
            Move::Work => self.send(scenario, |client, ctx| client.wishes(ctx)),
            Move::SignAgain => self.send(scenario, |_, _| vec![]),
            Move::Detach(place) => self.detach(*place, scenario),
            Move::Withdraw => {
                let amount = scenario.withdrawal?;
                self.send(scenario, |_, _| vec![Op::of(OpKind::OutClient, amount)])
            }
            Move::Vouch => self.vouch(scenario),
            Move::Collect(id) => self.tell_client::<()>(scenario, |client, _| {
                client.collect(*id);
                Ok(())
            }),
            Move::Away(ticks) => Some(Self { away_until: self.now.after(*ticks), ..self.clone() }),
            Move::Crash => {
                let mut world = self.clone();
                world.honest = Honest::Client(world.backup.take()?);
                world.settle_down(scenario);
                Some(world)
            }
            Move::Answer => self.answer(scenario),
            Move::Receipt(place) => {
                let (id, _, receipt, signature) = &self.receipts[*place];
                let told = self.tell_client(scenario, |client, ctx| {
                    let hub = HubWord::State(signs_as(self.signing(scenario), receipt, &self.contract.domain));
                    let attached = Attached { receipt: receipt.clone(), signature: *signature, hub };
                    client.receipt(*id, &attached, self.key.then_some(KEY), ctx)
                });
                let mut world = told?;
                world.shown |= 1 << scenario.tokens.iter().position(|token| token.id() == *id)?;
                Some(world)
            }
            Move::Offer(place) => self.offer(*place, scenario),
            Move::Voucher(place) => self.give_voucher(*place, scenario),
            Move::Declined(place) => {
                let token = scenario.tokens.get(*place)?;
                let ops = vec![Op::on(OpKind::Decline, token.id(), Amount::ZERO)];
                let position = Position::opening(BOB_CLIENT, BOB_HUB).after(&ops, &All(scenario)).ok()?;
                let seq = Seq::new(1).expect("small");
                let state = State { channel: channel(BOBS), seq, last: false, balances: position.balances, ops };
                let signature = World::key_of(Party::Bob).sign(state.digest(&self.contract.domain));
                let hub = HubWord::State(signs_as(self.signing(scenario), &state, &self.contract.domain));
                let attached = Attached { receipt: state.receipt(), signature, hub };
                self.tell_client(scenario, |client, ctx| client.declined(token.id(), &attached, ctx))
            }
            Move::Stale(step) => {
                let mut after = Self { stale: true, ..self.clone() }.play(step, scenario)?;
                after.stale = false;
                (after != *self).then_some(after)
            }
            Move::Elsewhere(place) => Some(Self { elsewhere: self.elsewhere | 1 << place, ..self.clone() }),
            Move::Reveal => Some(Self { key: true, ..self.clone() }),
            Move::Propose(party, ops, last, seq) => self.propose(*party, ops, *last, *seq, scenario),
            Move::Refuse(id) => self.refuse(*id, scenario),
            Move::Call(caller, call) => {
                let mut world = self.clone();
                world.chain(*caller, call)?;
                world.idle = false;
                world.settle_down(scenario);
                Some(world)
            }
        }
    }

    /// Has a call mined.
    fn chain(&mut self, caller: Address, call: &Call) -> Option<()> {
        let env = Env { now: self.now, caller, keys: &Key(caller) };
        Arc::make_mut(&mut self.contract).call(call, &env).ok()?;
        let shown = match call {
            Call::Close { owner, signed: Some(signed) }
            | Call::Argue { owner, signed }
            | Call::ArgueRedemption { owner, signed, .. }
            | Call::AttachState { owner, signed }
            | Call::CloseLast { owner, signed } => Some((*owner, &signed.state)),
            Call::AttachToken(attach) => Some((attach.owner, &attach.state)),
            _ => None,
        };
        // A close passes over a state that is not newer.
        if let Some((owner, state)) = shown.filter(|(owner, state)| self.contract.row(*owner).enforced == state.hash())
        {
            Arc::make_mut(&mut self.openings).insert(owner, state.clone());
        }
        if let Call::Deposit { amount, .. } = call {
            self.deposited = self.deposited.plus(*amount)?;
        }
        if let Call::Deposit { amount, side, .. } = call
            && (*side == Side::Hub) == self.store().is_some()
        {
            self.gift = self.gift.plus(*amount)?;
        }
        if let Call::Redeem(redeem) = call {
            self.key |= redeem.preimage == KEY;
        }
        if let Call::Resolve { evidence: tarefa_channel::contract::Evidence::Voucher { preimage, .. }, .. } = call {
            self.key |= *preimage == KEY;
        }
        Some(())
    }

    /// Time passes. What the honest party had to send is in the mempool then, and the adversary may be first.
    fn tick(&self, scenario: &Scenario) -> Self {
        let mut world = self.clone();
        world.now = world.now.after(1);
        let calls = if self.now < self.away_until { vec![] } else { self.duties(scenario) };
        world.seen = if scenario.rules.hold(Rule::NoOpening) { Seq::ZERO } else { self.contract.row(BOBS).seq };
        // What it reveals is seen before it is mined.
        let reveals = |call: &Call| matches!(call, Call::Redeem(redeem) if redeem.preimage == KEY);
        world.key |= calls.iter().any(reveals);
        if let Honest::Client(client) = &mut world.honest
            && calls.iter().any(|call| matches!(call, Call::Redeem(_)))
        {
            calls.iter().for_each(|call| Arc::make_mut(client).sends(call));
        }
        world.mempool = Some(Arc::new(calls));
        if world.mempool.iter().any(|calls| calls.is_empty()) { world.mine(scenario) } else { world }
    }

    fn duties(&self, scenario: &Scenario) -> Vec<Call> {
        self.ask(scenario, |honest, ctx| match honest {
            Honest::Client(client) => {
                let mut calls = client.duties(ctx);
                let is_open = self.contract.row(client.owner).status == Status::Open;
                calls.retain(|call| !(scenario.heedless && is_open && matches!(call, Call::Argue { .. })));
                calls
            }
            Honest::Hub(store) => {
                let mut calls = vec![];
                for row in store.channels.values() {
                    let of = |payer: bool| {
                        let mine = store.tokens.values().filter(|token| {
                            if payer {
                                row.position.pending.contains(&token.id())
                            } else {
                                token.token.payee_channel() == Some(row.id)
                            }
                        });
                        mine.cloned().collect::<Vec<_>>()
                    };
                    calls.extend(tarefa_channel::hub::duties(row, &of(true), &of(false), ctx));
                    if self.now >= scenario.exit {
                        calls.extend(tarefa_channel::hub::exit(row, ctx));
                    }
                }
                calls
            }
        })
    }

    fn mine(&self, scenario: &Scenario) -> Self {
        let mut world = self.clone();
        world.mine_each(scenario);
        world.mempool = None;
        if let Honest::Client(client) = &mut world.honest
            && world.now >= scenario.exit
        {
            Arc::make_mut(client).leaving = true;
        }
        world.idle = false;
        world.settle_down(scenario);
        world
    }

    /// Which of the calls in the mempool will be mined; the others revert.
    pub(super) fn outcomes(&self, scenario: &Scenario) -> Vec<bool> {
        self.clone().mine_each(scenario)
    }

    fn mine_each(&mut self, scenario: &Scenario) -> Vec<bool> {
        let caller = Self::key_of(scenario.honest).0;
        // Rule NoOpening off: what relies on a redemption names the state it saw enforced in Bob's channel.
        let moved = !scenario.rules.hold(Rule::NoOpening) && self.contract.row(BOBS).seq != self.seen;
        let calls = self.mempool.clone().unwrap_or_default();
        let mine = |call: &Call| {
            let misses = moved && matches!(call, Call::Redeem(_) | Call::Credit { .. });
            !misses && self.chain(caller, call).is_some()
        };
        calls.iter().map(mine).collect()
    }

    /// The honest client signs its next state; the adversary has it with that.
    fn send(
        &self,
        scenario: &Scenario,
        ops: impl FnOnce(
            &tarefa_channel::client::Client,
            &tarefa_channel::chain::Ctx<'_, super::View<'_>, Key, crate::Without>,
        ) -> Vec<Op>,
    ) -> Option<Self> {
        let sent = self.tell_client(scenario, |client, ctx| {
            let ops = ops(client, ctx);
            client.propose(ops, vec![], false, ctx).map(drop)
        });
        let Some(mut world) = sent else {
            let mut world = self.clone();
            world.idle = true;
            return (world != *self).then_some(world);
        };
        world.publish(scenario);
        Some(world)
    }

    fn publish(&mut self, scenario: &Scenario) {
        let Some(half) = self.client().and_then(|client| client.half.clone()) else { return };
        self.key |= half.proposal.preimages.iter().any(|(_, preimage)| *preimage == KEY);
        self.learn(scenario.honest, &half.proposal.state, None);
    }

    fn detach(&self, place: usize, scenario: &Scenario) -> Option<Self> {
        let token = scenario.tokens.get(place)?;
        let ops = vec![Op::on(OpKind::Detach, token.id(), token.cost()?)];
        let sent =
            self.tell_client(scenario, |client, ctx| client.propose(ops, vec![token.clone()], false, ctx).map(drop));
        let mut world = sent?;
        world.detached |= 1 << place;
        world.publish(scenario);
        Some(world)
    }

    /// Whether Alice may take a payment for undone: its refund is doubly signed (rule `Elsewhere` off: she was shown a decline).
    pub(super) fn is_undone(&self, place: usize, scenario: &Scenario) -> bool {
        let Some(client) = self.client() else { return false };
        let id = scenario.tokens[place].id();
        if !scenario.rules.hold(Rule::Elsewhere) {
            return client.paying.get(&id).is_some_and(|paying| paying.declined);
        }
        let newest = client.newest.as_ref();
        newest.is_some_and(|state| state.ops.iter().any(|op| op.kind == OpKind::Refund && op.token == id.0))
    }

    fn vouch(&self, scenario: &Scenario) -> Option<Self> {
        let id = scenario.metered_token()?.id();
        let next = voucher(id, self.vouchers, scenario);
        let vouched = self.tell_client(scenario, |client, ctx| {
            client.vouch(id, next.cumulative, next.condition, next.usage, &Key(VOUCHERS), ctx).map(drop)
        });
        let mut world = vouched?;
        world.vouchers += 1;
        Some(world)
    }

    /// The colluding hub answers, with a grant for every token.
    fn answer(&self, scenario: &Scenario) -> Option<Self> {
        let half = self.client()?.half.clone()?;
        let state = &half.proposal.state;
        let mut grants = vec![];
        for token in &half.proposal.tokens {
            let place = scenario.tokens.iter().position(|other| other == token)?;
            let payee_seq = Seq::new(place as u64).expect("small");
            let grant = tarefa_channel::message::Grant { token: token.id(), payee_seq, payer_state: state.hash() };
            grants.push((grant, signs_as(self.signing(scenario), &grant, &self.contract.domain)));
        }
        let word = HubWord::State(signs_as(self.signing(scenario), state, &self.contract.domain));
        let answer = Answer { state: state.hash(), word, grants };
        self.tell_client(scenario, |client, ctx| client.answered(&answer, ctx))
    }

    fn offer(&self, place: usize, scenario: &Scenario) -> Option<Self> {
        let token: &Token = &scenario.tokens[place];
        let (grant, hub) = self.grant(token.id(), scenario)?;
        let preimage: Option<B256> = scenario.conditional.then_some(KEY);
        let offered = self.tell_client(scenario, |client, ctx| client.offered(token, &grant, &hub, preimage, ctx));
        let mut world = offered?;
        world.shown |= 1 << place;
        if token.kind == TokenKind::Off {
            world.served = world.served.plus(token.value)?;
        }
        Some(world)
    }

    fn give_voucher(&self, place: usize, scenario: &Scenario) -> Option<Self> {
        let next = voucher(scenario.metered_token()?.id(), place, scenario);
        let taken = self.tell_client(scenario, |client, ctx| client.vouched(&next, &vouch(&next), ctx));
        let mut world = taken?;
        if next.condition.is_zero() {
            world.vouched = next.cumulative;
        } else {
            world.last_vouched = true;
        }
        Some(world)
    }

    fn propose(&self, party: Party, ops: &[Op], last: bool, seq: Seq, scenario: &Scenario) -> Option<Self> {
        let store = self.store()?;
        let owner = if party == Party::Alice { ALICES } else { BOBS };
        let row = store.channels.get(&channel(owner))?;
        let position = row.position.after(ops, &Rows { store, scenario }).ok()?;
        let detached = |token: &&Token| ops.iter().any(|op| op.kind == OpKind::Detach && op.token == token.id().0);
        let mut tokens: Vec<Token> = scenario.tokens.iter().filter(detached).cloned().collect();
        // A token names the state that detaches it.
        if tokens.iter().any(|token| token.payer_seq != seq) {
            tokens.clear();
        }
        let state = State { channel: row.id, seq, last, balances: position.balances, ops: ops.to_vec() };
        let client = World::key_of(party).sign(state.digest(&self.contract.domain));
        let attach = ops.iter().find(|op| op.kind == OpKind::Attach);
        let (id, attached) = attach.map_or_else(Default::default, |op| (TokenId(op.token), op.amount));
        let vouchers = (0..scenario.amounts.len()).map(|place| voucher(id, place, scenario));
        let vouchers = vouchers.filter(|voucher| voucher.cumulative == attached).map(|v| (v, vouch(&v))).collect();
        let proposal = Proposal { state, client, tokens, vouchers, preimages: vec![(id, KEY)] };
        let accepted = self.ask(scenario, |_, ctx| propose(store, &proposal, ctx)).ok()?;
        let mut world = self.clone();
        let Honest::Hub(store) = &mut world.honest else { return None };
        let store = Arc::make_mut(store);
        store.channels.extend(accepted.channels.into_iter().map(|row| (row.id, row)));
        store.tokens.extend(accepted.tokens.into_iter().map(|row| (row.id(), row)));
        store.used.extend(accepted.invoices.into_iter().map(|(_, name, token)| (name, token)));
        world.learn(party, &proposal.state, Some(accepted.answer.word));
        (world != *self).then_some(world)
    }

    fn refuse(&self, id: TokenId, scenario: &Scenario) -> Option<Self> {
        let mut row = self.store()?.tokens.get(&id)?.clone();
        self.ask(scenario, |_, ctx| refused_by_payee(&mut row, ctx));
        let mut world = self.clone();
        let Honest::Hub(store) = &mut world.honest else { return None };
        Arc::make_mut(store).tokens.insert(id, row);
        (world != *self).then_some(world)
    }

    /// A step in words.
    #[must_use]
    pub fn tell(&self, scenario: &Scenario, step: &Move, after: &Self) -> String {
        super::loss::tell(scenario, self, step, after)
    }
}

/// The tokens that the honest hub knows, and those that are new.
struct Rows<'a> {
    store: &'a super::Store,
    scenario: &'a Scenario,
}

impl Tokens for Rows<'_> {
    fn known(&self, id: TokenId) -> Option<Known<'_>> {
        if let Some(row) = self.store.tokens.get(&id) {
            return Some(Known { token: &row.token, payee_seq: row.grant.payee_seq });
        }
        self.scenario.tokens.iter().find(|token| token.id() == id).map(|token| Known { token, payee_seq: Seq::ZERO })
    }
}
