//! Everybody is honest, and everything between them fails: a byte is an action. Replies are lost, doubled and late, processes die before and
//! after they have stored something, another replica answers, blocks are replaced, time jumps, somebody is away for as long as the terms
//! allow. In the end every channel is final and nobody has lost anything.

mod chain;
mod disks;
mod end;
mod hub;
mod told;

use std::collections::BTreeMap;

use tarefa_channel::chain::Ctx;
use tarefa_channel::client::{Attached, Client, ClientError};
use tarefa_channel::hub::{Answer, Proposal, Stage};
use tarefa_channel::id::{Amount, ChannelId, Seq, StateHash, Time, TokenId, payee_address};
use tarefa_channel::message::{Op, OpKind, Token, TokenKind, Voucher};
use tarefa_channel::rules::Every;
use tarefa_channel::sign::Signature;
use tarefa_channel::terms::Terms;
use tarefa_channel::{Address, B256};

use crate::keys::{ALICE, BOB, CAROL, Key, VOUCHERS};
use crate::scenario::{ALICES, BOBS, channel, domain};
use chain::{Chain, Seen};
pub use disks::{Crash, Disks, Memory, Sight, invoice, opened, opened_at_the_hub};
use hub::Hub;
pub use told::Told;

/// What Alice's side holds at first.
pub const ALICE_CLIENT: Amount = Amount(1000);
/// What the hub's side of Alice's channel holds at first.
pub const ALICE_HUB: Amount = Amount(20);
/// What Bob's side holds at first.
pub const BOB_CLIENT: Amount = Amount(30);
/// What the hub's side of Bob's channel holds at first.
pub const BOB_HUB: Amount = Amount(400);

/// A tick for a second.
pub const TERMS: Terms = Terms {
    grace: 20,
    inclusion: 3,
    reorg: 3,
    max_token_life: 400,
    patience: 3,
    live_tokens: 4,
    fee: Amount(1),
    on_fee: Amount(2),
    dust: Amount(2),
    unsettled: Amount(200),
};

/// Messages on their way at once: beyond, new ones are lost.
const WIRES: usize = 32;

/// Something on its way.
#[derive(Clone, Debug)]
enum Message {
    Propose(Address, Box<Proposal>),
    Answer(Address, Answer),
    Refused(Address, StateHash),
    Voucher(Voucher, Signature),
}

/// A client's process.
#[derive(Clone, Debug)]
struct Process {
    client: Client,
    away_until: Time,
    crash: Crash,
}

/// The world.
pub struct Faults {
    chain: Chain,
    disks: Box<dyn Disks>,
    hub: Hub,
    alice: Process,
    bob: Process,
    wires: Vec<Message>,
    tokens: BTreeMap<TokenId, Token>,
    /// What Bob has delivered for each.
    delivered: BTreeMap<TokenId, Amount>,
    told: Told,
}

impl Faults {
    fn new(mut disks: Box<dyn Disks>) -> Self {
        let [alice, bob] =
            [true, false].map(|alice| Process { client: disks.client(alice), away_until: Time(0), crash: Crash::None });
        Self {
            chain: Chain::new(),
            disks,
            hub: Hub::default(),
            alice,
            bob,
            wires: vec![],
            tokens: BTreeMap::new(),
            delivered: BTreeMap::new(),
            told: Told::default(),
        }
    }

    /// Carries out an action for each byte (and its argument, the next one), then lets everything come to its end.
    ///
    /// # Errors
    /// Who has lost what, or is stuck.
    pub fn run(bytes: &[u8]) -> Result<Told, String> {
        Self::run_over(Box::new(Memory::default()), bytes)
    }

    /// The same over these stores, in which both channels have just been opened.
    ///
    /// # Errors
    /// Who has lost what, or is stuck.
    pub fn run_over(disks: Box<dyn Disks>, bytes: &[u8]) -> Result<Told, String> {
        let mut world = Self::new(disks);
        for pair in bytes.chunks(2) {
            world.act(pair[0], pair.get(1).copied().unwrap_or(0));
        }
        world.end()
    }

    fn now(&self) -> Time {
        self.chain.now()
    }

    fn act(&mut self, what: u8, how: u8) {
        match what % 32 {
            0..=2 => self.tick(),
            3 => {
                self.told.jumps += usize::from(how % 8 > 1);
                (0..how % 8).for_each(|_| self.tick());
            }
            4 | 5 => self.pay(TokenKind::Off, how),
            6 => self.pay(TokenKind::Metered, how),
            7 => self.pay(TokenKind::On, how),
            8 | 9 => self.vouch(how),
            10..=17 => self.deliver(usize::from(how >> 1), how & 1),
            18 | 19 => self.poll(true),
            20 | 21 => self.poll(false),
            22..=24 => self.wish(how & 1 == 0),
            25 => self.collect(how),
            26 => self.propose(true, vec![Op::of(OpKind::OutClient, Amount(u128::from(how % 8) + 2))], vec![]),
            27 => self.lose(how),
            28 => self.double(how),
            29 => self.crash(how),
            30 => self.told.replaced += self.chain.reorganise(u64::from(how)),
            _ => self.leave_for(how),
        }
    }

    /// Time passes; everybody who is there looks and does what is due.
    fn tick(&mut self) {
        self.told.calls += self.chain.mine();
        for alice in [true, false] {
            if self.is_there(alice) {
                self.attend(alice);
            }
        }
        if self.hub.away_until <= self.now() {
            Hub::attend(&mut *self.disks, &mut self.chain, &self.tokens);
        }
    }

    fn process(&mut self, alice: bool) -> &mut Process {
        if alice { &mut self.alice } else { &mut self.bob }
    }

    fn is_there(&self, alice: bool) -> bool {
        let process = if alice { &self.alice } else { &self.bob };
        process.away_until <= self.now()
    }

    /// Asks a client's machine to do something; what it does is stored, unless it dies before.
    fn tell<T>(
        &mut self,
        alice: bool,
        input: impl FnOnce(&mut Client, &Ctx<'_, Seen<'_>, Key, Every>) -> Result<T, ClientError>,
    ) -> Option<(T, Crash)> {
        let seen = Seen { chain: &self.chain, tokens: &self.tokens, lag: 0 };
        let keys = Key(if alice { ALICE } else { BOB });
        let domain = domain();
        let ctx = Ctx { chain: &seen, keys: &keys, terms: &TERMS, domain, rules: Every };
        let process = if alice { &self.alice } else { &self.bob };
        let mut client = process.client.clone();
        let done = input(&mut client, &ctx).ok()?;
        let crash = std::mem::take(&mut self.process(alice).crash);
        if crash != Crash::Before {
            self.disks.keep(alice, &client);
        }
        if crash != Crash::None {
            client = self.disks.client(alice);
        }
        self.process(alice).client = client;
        (crash != Crash::Before).then_some((done, crash))
    }

    /// A client looks at the chain, sends what is due there, and sends its proposal again.
    fn attend(&mut self, alice: bool) {
        let looked = self.tell(alice, |client, ctx| {
            client.look(ctx);
            client.sweep(ctx);
            let mut calls = client.duties(ctx);
            calls.extend(client.withdrawal(ctx));
            for id in client.paying.keys() {
                calls.extend(client.execution(*id, ctx));
            }
            calls.iter().for_each(|call| client.sends(call));
            Ok((calls, client.half.as_ref().map(|half| Box::new(half.proposal.clone()))))
        });
        // Who dies before it has looked looks at the next tick.
        let Some(((calls, half), _)) = looked else { return };
        let who = if alice { ALICE } else { BOB };
        calls.into_iter().for_each(|call| self.chain.send(who, call));
        let waits = |proposal: &Proposal| {
            let same = |wire: &Message| matches!(wire, Message::Propose(_, other) if other.state == proposal.state);
            self.wires.iter().any(same)
        };
        // The same bytes again, until there is an answer.
        if let Some(proposal) = half.filter(|proposal| !waits(proposal)) {
            self.send(Message::Propose(who, proposal));
        }
    }

    fn send(&mut self, message: Message) {
        if self.wires.len() < WIRES {
            self.wires.push(message);
        } else {
            self.told.lost += 1;
        }
    }

    fn propose(&mut self, alice: bool, ops: Vec<Op>, tokens: Vec<Token>) {
        if !self.is_there(alice) || ops.is_empty() {
            return;
        }
        let kept = tokens.clone();
        let made = self.tell(alice, |client, ctx| client.propose(ops, tokens, false, ctx).cloned());
        let Some((proposal, crash)) = made else { return };
        self.told.detached += kept.len();
        self.tokens.extend(kept.into_iter().map(|token| (token.id(), token)));
        if crash == Crash::None {
            self.send(Message::Propose(if alice { ALICE } else { BOB }, Box::new(proposal)));
        }
    }

    fn pay(&mut self, kind: TokenKind, how: u8) {
        let Ok(seq) = self.alice.client.next_seq() else { return };
        let attach_by = self.now().after(6 + u64::from(how % 32));
        let (redeem_by, claim_by) = TERMS.deadlines(attach_by);
        let metered = kind == TokenKind::Metered;
        let token = Token {
            payer_channel: channel(ALICES),
            payer_seq: seq,
            index: 0,
            payee: if kind == TokenKind::On { payee_address(CAROL) } else { channel(BOBS).0 },
            kind,
            value: Amount(u128::from(how % 64) + 2),
            fee: TERMS.fee_of(kind),
            attach_by,
            redeem_by,
            claim_by,
            condition: B256::ZERO,
            voucher_key: if metered { VOUCHERS } else { Address::ZERO },
            invoice: B256::left_padding_from(&seq.get().to_be_bytes()),
        };
        let cost = token.cost().expect("small");
        self.propose(true, vec![Op::on(OpKind::Detach, token.id(), cost)], vec![token]);
    }

    fn vouch(&mut self, how: u8) {
        let metered = |client: &Client| {
            let all = client.paying.iter().filter(|(_, paying)| paying.token.kind == TokenKind::Metered);
            all.map(|(id, paying)| (*id, paying.vouched)).next_back()
        };
        let Some((id, vouched)) = metered(&self.alice.client).filter(|_| self.is_there(true)) else { return };
        let cumulative = Amount(vouched.0 + u128::from(how % 8) + 1);
        let made =
            self.tell(true, |client, ctx| client.vouch(id, cumulative, B256::ZERO, B256::ZERO, &Key(VOUCHERS), ctx));
        if let Some(((voucher, signature), Crash::None)) = made {
            self.send(Message::Voucher(voucher, signature));
        }
    }

    fn collect(&mut self, how: u8) {
        let ids: Vec<TokenId> = self.bob.client.earning.keys().copied().collect();
        if let Some(id) = ids.get(usize::from(how) % ids.len().max(1)).copied()
            && self.is_there(false)
        {
            self.tell(false, |client, _| {
                client.collect(id);
                Ok(())
            });
        }
    }

    fn wish(&mut self, alice: bool) {
        if self.is_there(alice)
            && let Some((ops, _)) = self.tell(alice, |client, ctx| Ok(client.wishes(ctx)))
        {
            self.propose(alice, ops, vec![]);
        }
    }

    /// One message arrives, at whichever replica.
    fn deliver(&mut self, place: usize, replica: u8) {
        if self.wires.is_empty() {
            return;
        }
        let message = self.wires.remove(place % self.wires.len());
        match message {
            Message::Propose(who, proposal) => {
                if self.hub.away_until > self.now() {
                    self.told.lost += 1;
                    return;
                }
                self.told.decided[usize::from(replica)] += 1;
                let sight = Sight { chain: self.chain.clone(), tokens: self.tokens.clone(), lag: usize::from(replica) };
                if let Some(said) = self.disks.decide(&proposal, sight, &mut self.hub.crash) {
                    let hash = proposal.state.hash();
                    self.send(said.map_or(Message::Refused(who, hash), |answer| Message::Answer(who, answer)));
                }
            }
            Message::Answer(who, answer) if self.is_there(who == ALICE) => {
                self.tell(who == ALICE, |client, ctx| client.answered(&answer, ctx));
            }
            Message::Refused(who, hash) if self.is_there(who == ALICE) => {
                self.tell(who == ALICE, |client, _| {
                    if client.half.as_ref().is_some_and(|half| half.proposal.state.hash() == hash) {
                        client.refused();
                    }
                    Ok(())
                });
            }
            Message::Voucher(voucher, signature) if self.is_there(false) => {
                if self.tell(false, |client, ctx| client.vouched(&voucher, &signature, ctx)).is_some() {
                    self.delivered.insert(voucher.token, voucher.cumulative);
                }
            }
            Message::Answer(..) | Message::Refused(..) | Message::Voucher(..) => self.told.lost += 1,
        }
    }

    /// A client reads its mailbox.
    fn poll(&mut self, alice: bool) {
        if !self.is_there(alice) || self.hub.away_until > self.now() {
            return;
        }
        let mine: ChannelId = channel(if alice { ALICES } else { BOBS });
        for row in self.disks.letters(mine) {
            let id = row.id();
            let proof = |receipt: &tarefa_channel::message::Receipt, signature: &Signature| {
                let hub = Hub::word(receipt);
                Attached { receipt: receipt.clone(), signature: *signature, hub }
            };
            match &row.stage {
                Stage::Granted if !alice => {
                    let new = !self.bob.client.earning.contains_key(&id);
                    let taken =
                        self.tell(false, |client, ctx| client.offered(&row.token, &row.grant, &row.hub, None, ctx));
                    match taken {
                        // Who dies right after it has stored this delivers when it is back.
                        Some(_) if new && row.token.kind == TokenKind::Off => {
                            self.delivered.insert(id, row.token.value);
                        }
                        Some(_) => {}
                        None => {
                            self.tell(false, |client, ctx| client.unwanted(&row.token, &row.grant, &row.hub, ctx));
                        }
                    }
                }
                Stage::Attached { receipt, signature, .. } if alice => {
                    let attached = proof(receipt, signature);
                    self.tell(true, |client, ctx| client.receipt(id, &attached, None, ctx));
                }
                Stage::Declined(Some((receipt, signature))) if alice => {
                    let attached = proof(receipt, signature);
                    self.tell(true, |client, ctx| client.declined(id, &attached, ctx));
                }
                _ => {}
            }
        }
    }

    fn lose(&mut self, how: u8) {
        if !self.wires.is_empty() {
            let place = usize::from(how) % self.wires.len();
            self.wires.remove(place);
            self.told.lost += 1;
        }
    }

    fn double(&mut self, how: u8) {
        if !self.wires.is_empty() {
            let message = self.wires[usize::from(how) % self.wires.len()].clone();
            self.told.doubled += 1;
            self.send(message);
        }
    }

    fn crash(&mut self, how: u8) {
        let crash = if how & 1 == 0 { Crash::Before } else { Crash::After };
        self.told.crashes += 1;
        match how / 2 % 3 {
            0 => self.alice.crash = crash,
            1 => self.bob.crash = crash,
            _ => self.hub.crash = crash,
        }
    }

    /// Somebody who is there leaves for as long as the terms allow.
    fn leave_for(&mut self, how: u8) {
        let now = self.now();
        let until = now.after(u64::from(how / 3) % (TERMS.offline_bound() + 1));
        let away = match how % 3 {
            0 => &mut self.alice.away_until,
            1 => &mut self.bob.away_until,
            _ => &mut self.hub.away_until,
        };
        // It has been there for a whole tick in between, or two absences would be one. Not too often, or nothing ever comes about.
        if *away < now && how < 128 {
            *away = until;
            self.told.absences += 1;
        }
    }

    /// The number of the newest state of a client: shown where a run fails.
    fn seq(&self, alice: bool) -> Seq {
        if alice { self.alice.client.seq() } else { self.bob.client.seq() }
    }
}
