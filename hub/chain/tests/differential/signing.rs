//! What client and hub have signed: a line of states for each channel, each following the one before, and the tokens between them.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use sha2::{Digest as _, Sha256};
use tarefa_channel::contract::{HubWord, Owner, RedemptionStatus, Signed, Status};
use tarefa_channel::id::TokenId;
use tarefa_channel::message::{Balances, Batch, Grant, Message as _, Op, OpKind, State, Token, TokenKind};
use tarefa_channel::sign::{HubSignature, Signer as _};
use tarefa_channel::tree::pending_root;
use tarefa_channel::{Amount, Seq};

use crate::world::{World, word};

/// One channel's epoch.
#[derive(Clone, Default)]
pub struct Line {
    /// States with both signatures; the first stands for the implicit one.
    pub states: Vec<Signed>,
    /// The tokens pending in each.
    pub pendings: Vec<BTreeMap<TokenId, Token>>,
}

/// The preimage of conditional tokens.
pub const SECRET: B256 = B256::repeat_byte(7);

pub fn condition() -> B256 {
    B256::from_slice(&Sha256::digest(SECRET))
}

impl World {
    pub fn hub_signs(&self, name: &str, digest: tarefa_channel::id::Digest) -> HubSignature {
        let root = Batch { root: digest.0 }.digest(&self.value.domain);
        HubSignature { signature: self.keys[name].sign(root), proof: vec![] }
    }

    pub fn signed(&self, owner: Owner, state: State) -> Signed {
        let digest = state.digest(&self.value.domain);
        let client = self.keys.values().find(|key| key.address() == owner.client).expect("one of the keys");
        let hub = HubWord::State(self.hub_signs("hub", digest));
        Signed { client: client.sign(digest), hub, state }
    }

    pub fn begin_line(&mut self, owner: Owner) {
        let row = self.value.row(owner);
        let (client, hub) = (row.client_in, row.hub_in);
        let balances = Balances { client, hub, client_in: client, hub_in: hub, ..Balances::default() };
        let state = State { channel: self.id(owner), seq: Seq::ZERO, last: false, balances, ops: vec![] };
        let line = Line { states: vec![self.signed(owner, state)], pendings: vec![BTreeMap::new()] };
        self.lines.insert(owner, line);
    }

    /// One more state for somebody, mostly.
    pub fn sign(&mut self) {
        let name = if self.chance.one_in(2) { "alice" } else { "bob" };
        let owner = self.owner(name);
        if self.value.row(owner).status != Status::Open {
            return;
        }
        let Some(line) = self.lines.get(&owner) else { return };
        let (newest, pending) = (&line.states[line.states.len() - 1].state, &line.pendings[line.pendings.len() - 1]);
        if newest.last {
            return;
        }
        let (mut state, mut pending) = (newest.clone(), pending.clone());
        state.ops.clear();
        self.step(owner, &mut state, &mut pending);
        let ids: Vec<TokenId> = pending.keys().copied().collect();
        state.balances.pending_count = u16::try_from(ids.len()).expect("few");
        state.balances.pending_root = pending_root(&ids);
        state.seq = state.seq.forward(1 + self.chance.below(3)).expect("far from the end");
        let mut signed = self.signed(owner, state);
        if let Some(Op { token, .. }) = signed.state.ops.first().filter(|op| op.kind == OpKind::Detach) {
            // The grant of the token is the hub's word for the state.
            let payer_state = signed.state.hash();
            let grant = Grant { token: TokenId(*token), payee_seq: self.last_sequence(), payer_state };
            let hub = self.hub_signs("hub", grant.digest(&self.value.domain));
            signed.hub = HubWord::Grant(grant, hub);
        }
        let line = self.lines.get_mut(&owner).expect("it was there");
        line.states.push(signed);
        line.pendings.push(pending);
    }

    fn last_sequence(&self) -> Seq {
        Seq::new(self.tokens.len() as u64 - 1).expect("few")
    }

    fn step(&mut self, owner: Owner, state: &mut State, pending: &mut BTreeMap<TokenId, Token>) {
        match self.chance.below(8) {
            0 => self.acknowledge(owner, &mut state.balances),
            1 => self.shift(&mut state.balances),
            2 => self.book(&mut state.balances),
            3 | 4 => self.detach_or_attach(owner, state, pending),
            5 | 6 => self.settle(&mut state.balances, pending),
            _ => state.last = pending.is_empty() && self.chance.one_in(6),
        }
    }

    fn part(&mut self, of: Amount) -> u128 {
        u128::from(self.chance.below(u64::try_from(of.0).expect("small amounts") + 1))
    }

    fn acknowledge(&mut self, owner: Owner, b: &mut Balances) {
        let row = self.value.row(owner);
        // Of what the hub's counter shows, withdrawals are booked in states; the rest is redemptions.
        let credited = self.value.redemptions.values().filter(|r| r.payee == self.id(owner).0);
        let credited: u128 = credited.filter(|r| r.status == RedemptionStatus::Credited).map(|r| r.amount.0).sum();
        let known = b.client_in.0 + b.hub_in.0;
        if credited > 0 || known == row.client_in.0 + row.hub_in.0 {
            return;
        }
        b.client.0 += row.client_in.0 - b.client_in.0;
        b.hub.0 += row.hub_in.0 - b.hub_in.0;
        (b.client_in, b.hub_in) = (row.client_in, row.hub_in);
    }

    fn shift(&mut self, b: &mut Balances) {
        if self.chance.one_in(2) {
            let amount = self.part(b.client);
            (b.client.0, b.hub.0) = (b.client.0 - amount, b.hub.0 + amount);
        } else {
            let amount = self.part(b.hub);
            (b.client.0, b.hub.0) = (b.client.0 + amount, b.hub.0 - amount);
        }
    }

    fn book(&mut self, b: &mut Balances) {
        if self.chance.one_in(2) {
            let amount = self.part(b.client) / 4;
            (b.client.0, b.client_out.0) = (b.client.0 - amount, b.client_out.0 + amount);
        } else {
            let amount = self.part(b.hub) / 4;
            (b.hub.0, b.hub_out.0) = (b.hub.0 - amount, b.hub_out.0 + amount);
        }
    }

    fn detach_or_attach(&mut self, owner: Owner, state: &mut State, pending: &mut BTreeMap<TokenId, Token>) {
        let b = &mut state.balances;
        if owner == self.owner("bob") {
            let place = self.chance.below(self.tokens.len().max(1) as u64);
            let Some(token) = self.tokens.get(usize::try_from(place).expect("few")).cloned() else { return };
            let bit = U256::ONE << place;
            let fits = token.payee == state.channel.0 && token.value <= b.hub && place < 256;
            if !fits || b.window & bit != U256::ZERO {
                return;
            }
            (b.client.0, b.hub.0, b.window) = (b.client.0 + token.value.0, b.hub.0 - token.value.0, b.window | bit);
            state.ops = vec![Op::on(OpKind::Attach, token.id(), token.value)];
            return;
        }
        if pending.len() >= 6 || b.client.0 < 10 {
            return;
        }
        let token = self.token(owner, state.seq);
        let cost = token.value.0 + token.fee.0;
        if cost > b.client.0 {
            return;
        }
        (b.client.0, b.pending.0) = (b.client.0 - cost, b.pending.0 + cost);
        state.ops = vec![Op::on(OpKind::Detach, token.id(), token.value)];
        pending.insert(token.id(), token.clone());
        self.tokens.push(token);
    }

    fn token(&mut self, owner: Owner, seq: Seq) -> Token {
        let now = self.now();
        let kind =
            [TokenKind::Off, TokenKind::On, TokenKind::Metered][usize::try_from(self.chance.below(3)).expect("3")];
        let payee =
            if kind == TokenKind::On { self.keys["carol"].address().into_word() } else { self.id(self.owner("bob")).0 };
        let conditional = kind == TokenKind::Off && self.chance.one_in(3);
        let metered = kind == TokenKind::Metered;
        Token {
            payer_channel: self.id(owner),
            payer_seq: seq,
            index: u16::try_from(self.tokens.len()).expect("few"),
            payee,
            kind,
            value: Amount(u128::from(1 + self.chance.below(60))),
            fee: Amount(3),
            attach_by: now.after(60),
            redeem_by: now.after(150),
            claim_by: now.after(260),
            condition: if conditional { condition() } else { B256::ZERO },
            voucher_key: if metered { self.keys["vouchers"].address() } else { Address::ZERO },
            invoice: word(self.tokens.len() as u64),
        }
    }

    fn settle(&mut self, b: &mut Balances, pending: &mut BTreeMap<TokenId, Token>) {
        let ids: Vec<TokenId> = pending.keys().copied().collect();
        let Some(id) = self.chance.of(&ids).copied() else { return };
        let token = pending[&id].clone();
        let mut amount = self.part(token.value);
        if token.kind == TokenKind::On {
            let executed = self.value.redemptions.contains_key(&id);
            if !executed && self.now() < token.redeem_by {
                return;
            }
            amount = if executed { token.value.0 } else { 0 };
            b.on_out.0 += amount;
        } else {
            b.hub.0 += amount;
        }
        let fee = if amount == 0 { 0 } else { token.fee.0 };
        b.hub.0 += fee;
        b.pending.0 -= token.value.0 + token.fee.0;
        b.client.0 += token.value.0 + token.fee.0 - amount - fee;
        pending.remove(&id);
    }
}
