//! Random calls: mostly what somebody could want, now and then spoiled in one place.

use alloy_primitives::{Address, B256};
use tarefa_channel::contract::{
    AttachToken, Call, Evidence, Finalise, HubWord, Owner, Redeem, RedemptionStatus, Signed, Status,
};
use tarefa_channel::id::TokenId;
use tarefa_channel::message::{ChannelOffer, Grant, Message as _, RedeemAuth, State, Token, TokenKind, Voucher};
use tarefa_channel::sign::{Signature, Signer as _};
use tarefa_channel::transition::Side;
use tarefa_channel::tree::pending_proof;
use tarefa_channel::{Amount, Seq};

use crate::signing::SECRET;
use crate::world::{World, word};

/// One call in so many is spoiled in one of its places.
const SPOILED: u64 = 14;

impl World {
    fn spoil(&mut self) -> bool {
        self.chance.one_in(SPOILED)
    }

    fn spoiled(&mut self, signature: Signature) -> Signature {
        if self.spoil() {
            let mut bytes = signature.0;
            let place = usize::try_from(self.chance.below(64)).expect("64");
            bytes[place] ^= 1;
            return Signature(bytes);
        }
        signature
    }

    fn somebody(&mut self) -> Address {
        let names = ["alice", "bob", "carol", "hub", "second", "treasury"];
        let name = *self.chance.of(&names).expect("some");
        self.keys[name].address()
    }

    fn amount(&mut self, most: u64) -> Amount {
        Amount(u128::from(self.chance.below(most)))
    }

    /// Any state of a channel, the newest mostly.
    fn any_state(&mut self, owner: Owner) -> Option<Signed> {
        let states = self.lines.get(&owner)?.states.clone();
        let mut signed = if self.chance.one_in(2) { states.last() } else { self.chance.of(&states) }?.clone();
        signed.client = self.spoiled(signed.client);
        match &mut signed.hub {
            HubWord::State(hub) | HubWord::Grant(_, hub) => hub.signature = self.spoiled(hub.signature),
        }
        if self.spoil() {
            signed.state.balances.client.0 += 1;
            signed = self.signed(owner, signed.state);
        }
        Some(signed)
    }

    pub fn random_call(&mut self) -> (Address, Call) {
        loop {
            if let Some(found) = self.try_call() {
                return found;
            }
        }
    }

    fn try_call(&mut self) -> Option<(Address, Call)> {
        let name = if self.chance.one_in(2) { "alice" } else { "bob" };
        let owner = self.owner(name);
        let anybody = self.somebody();
        let status = self.value.row(owner).status;
        Some(match self.chance.below(26) {
            0..=3 if status == Status::None || self.spoil() => (owner.client, self.subscribe(owner)),
            4 | 5 => {
                let side = if self.chance.one_in(2) { Side::Client } else { Side::Hub };
                let (amount, from_balance) = (self.amount(200), self.chance.one_in(4));
                (anybody, Call::Deposit { owner, side, amount, from_balance })
            }
            6 | 7 => (anybody, Call::AttachState { owner, signed: self.any_state(owner)? }),
            8 | 24 | 25 => (anybody, Call::AttachToken(Box::new(self.attach_token(owner)?))),
            9 => (anybody, Call::Transfer { to: self.transferee(), asset: Address::ZERO, amount: self.amount(300) }),
            10 if self.chance.one_in(3) => {
                let signed = if self.chance.one_in(2) { self.any_state(owner) } else { None };
                (if self.chance.one_in(3) { anybody } else { owner.client }, Call::Close { owner, signed })
            }
            11 => {
                let last = self.lines.get(&owner)?.states.last()?.state.last;
                let signed = (last || self.spoil()).then(|| self.any_state(owner)).flatten()?;
                (anybody, Call::CloseLast { owner, signed })
            }
            12 | 13 => (anybody, Call::Argue { owner, signed: self.any_state(owner)? }),
            14 | 15 => self.redeem()?,
            16 => (anybody, self.argue_redemption()?),
            17 => (anybody, self.credit(owner)?),
            18 | 19 => (anybody, self.resolve()?),
            20 | 21 => (anybody, self.finalise(owner)?),
            22 => (anybody, Call::Withdraw { asset: Address::ZERO, amount: self.amount(300) }),
            _ => self.hubs(anybody),
        })
    }

    fn transferee(&mut self) -> Address {
        if self.spoil() { Address::ZERO } else { self.somebody() }
    }

    fn hubs(&mut self, anybody: Address) -> (Address, Call) {
        let treasury = self.keys["treasury"].address();
        let caller = if self.spoil() { anybody } else { treasury };
        // The key that signs stays, or nothing would go on.
        let name = if self.spoil() { "carol" } else { "second" };
        let signer = self.keys[name].address();
        match self.chance.below(6) {
            0 => (caller, Call::AnnounceSigner { signer }),
            1 => (caller, Call::RevokeSigner { signer }),
            _ => (anybody, Call::HubDeposit { asset: Address::ZERO, amount: self.amount(500) }),
        }
    }

    fn subscribe(&mut self, owner: Owner) -> Call {
        let epoch = self.value.row(owner).epoch + u32::from(self.spoil());
        let hub_amount =
            if self.spoil() { Amount(u128::MAX) } else { Amount(150 + u128::from(self.chance.below(100))) };
        let client = if self.spoil() { self.somebody() } else { owner.client };
        let valid_until = if self.spoil() { self.now() } else { self.now().after(1000) };
        let offer =
            ChannelOffer { client, asset: owner.asset, epoch, hub_amount, opening_fee: Amount(21), valid_until };
        let mut hub = self.hub_signs("hub", offer.digest(&self.value.domain));
        hub.signature = self.spoiled(hub.signature);
        if self.spoil() {
            hub.proof = vec![B256::ZERO; 11];
        }
        Call::Subscribe { offer, hub, deposit: Amount(300 + u128::from(self.chance.below(500))) }
    }

    fn attach_token(&mut self, owner: Owner) -> Option<AttachToken> {
        let line = self.lines.get(&owner)?.clone();
        let (count, newest) = (line.states.len() as u64, self.chance.one_in(2));
        let place =
            usize::try_from(if newest { count.checked_sub(1)? } else { self.chance.below(count) }).expect("few");
        let (state, pending) = (line.states[place].state.clone(), &line.pendings[place]);
        let (now, late) = (self.now(), self.spoil());
        let open = |token: &&Token| token.kind == TokenKind::On && (late || now < token.redeem_by);
        let on: Vec<TokenId> = pending.values().filter(open).map(Token::id).collect();
        let ids: Vec<TokenId> = pending.keys().copied().collect();
        let some = if self.spoil() { &ids } else { &on };
        let id = *self.chance.of(some)?;
        let index = ids.iter().position(|one| *one == id)? + usize::from(self.spoil());
        let proof = pending_proof(&ids, index.min(ids.len() - 1));
        let payer_state = state.hash();
        // Another token of the same state, with a word of the hub for that one.
        let granted = if self.spoil() { *self.chance.of(&ids)? } else { id };
        let grant = Grant { token: granted, payee_seq: Seq::ZERO, payer_state };
        let mut hub = self.hub_signs("hub", grant.digest(&self.value.domain));
        hub.signature = self.spoiled(hub.signature);
        let client = self.spoiled(line.states[place].client);
        Some(AttachToken { owner, token: pending[&id].clone(), grant, hub, state, client, index, proof })
    }

    fn voucher(&mut self, token: &Token) -> (Voucher, Signature) {
        let cumulative = self.amount(u64::try_from(token.value.0).expect("small") + 2);
        let condition = if self.chance.one_in(4) { crate::signing::condition() } else { B256::ZERO };
        let voucher = Voucher { token: token.id(), cumulative, usage: word(1), condition };
        let signature = self.keys["vouchers"].sign(voucher.digest(&self.value.domain));
        let signature = self.spoiled(signature);
        (voucher, signature)
    }

    fn preimage(&mut self) -> B256 {
        if self.spoil() { B256::ZERO } else { SECRET }
    }

    /// A token, one of the newest mostly.
    fn any_token(&mut self) -> Option<(Seq, Token)> {
        let count = self.tokens.len() as u64;
        let most = if self.chance.one_in(4) { count.max(1) } else { count.clamp(1, 6) };
        let back = self.chance.below(most);
        let place = count.checked_sub(1 + back)?;
        let token = self.tokens[usize::try_from(place).expect("few")].clone();
        Some((Seq::new(place).expect("few"), token))
    }

    fn redeem(&mut self) -> Option<(Address, Call)> {
        let owner = self.owner("bob");
        let (payee_seq, token) = self.any_token()?;
        let grant = Grant { token: token.id(), payee_seq, payer_state: tarefa_channel::StateHash(word(9)) };
        let mut hub = self.hub_signs("hub", grant.digest(&self.value.domain));
        hub.signature = self.spoiled(hub.signature);
        let voucher = (token.kind == TokenKind::Metered).then(|| self.voucher(&token));
        let other = self.chance.one_in(3);
        let caller = if other { self.keys["carol"].address() } else { owner.client };
        let until = self.now().after(if self.spoil() { 0 } else { 100 });
        let submitter = if self.spoil() { self.somebody() } else { caller };
        let auth = RedeemAuth { token: token.id(), submitter, until };
        let signature = self.keys["bob"].sign(auth.digest(&self.value.domain));
        let signature = self.spoiled(signature);
        let auth = (other && !self.spoil()).then_some((auth, signature));
        let owner = if self.spoil() { self.owner("alice") } else { owner };
        let caller = if auth.is_none() && !other { owner.client } else { caller };
        let preimage = self.preimage();
        Some((caller, Call::Redeem(Box::new(Redeem { owner, token, grant, hub, voucher, preimage, auth }))))
    }

    fn argue_redemption(&mut self) -> Option<Call> {
        let owner = self.owner("bob");
        let channel = self.id(owner).0;
        let spoil = self.spoil();
        let tokens =
            self.tokens.iter().filter(|token| spoil || token.payee == channel).rev().take(5).cloned().collect();
        Some(Call::ArgueRedemption { owner, signed: self.any_state(owner)?, tokens })
    }

    fn credit(&mut self, owner: Owner) -> Option<Call> {
        let now = self.now();
        let due =
            self.value.redemptions.iter().filter(|(_, redemption)| {
                redemption.status == RedemptionStatus::Pending && redemption.credit_at <= now
            });
        let mut tokens: Vec<TokenId> = due.map(|(id, _)| *id).collect();
        if self.spoil() {
            tokens.push(self.any_token()?.1.id());
        }
        if self.spoil() {
            tokens.push(*tokens.first()?);
        }
        let owner = if self.spoil() { owner } else { self.owner("bob") };
        (!tokens.is_empty()).then_some(Call::Credit { owner, tokens })
    }

    fn resolve(&mut self) -> Option<Call> {
        let owner = self.owner("alice");
        let (_, token) = self.any_token()?;
        let metered = (token.kind == TokenKind::Metered) != self.spoil();
        let preimage = self.preimage();
        let evidence = if metered {
            let (voucher, signature) = self.voucher(&token);
            Evidence::Voucher { voucher, signature, preimage }
        } else {
            let payee = self.owner("bob");
            let states = &self.lines.get(&payee)?.states;
            let attaching = states.iter().find(|signed| signed.state.receipt().attached(token.id()).is_some());
            let signed = attaching.or_else(|| states.last())?.clone();
            let mut receipt = signed.state.receipt();
            if self.spoil() {
                receipt.seq = receipt.seq.forward(1)?;
            }
            let epoch = self.epochs.get(&receipt.channel)?.1 + u32::from(self.spoil());
            let signature = self.spoiled(signed.client);
            Evidence::Receipt { receipt, signature, payee, epoch, preimage }
        };
        let owner = if self.spoil() { self.owner("bob") } else { owner };
        Some(Call::Resolve { owner, token, evidence })
    }

    fn finalise(&mut self, owner: Owner) -> Option<Call> {
        let row = self.value.row(owner);
        let line = self.lines.get(&owner)?;
        let enforced = line.states.iter().position(|signed| signed.state.hash() == row.enforced);
        let implicit = (None::<&State>, vec![]);
        let (state, tokens) = enforced.map_or(implicit, |place| {
            (Some(&line.states[place].state), line.pendings[place].values().cloned().collect::<Vec<_>>())
        });
        let mut call = Finalise { owner, enforced: state.map(State::opening), tokens };
        if self.spoil() {
            call.tokens.reverse();
            call.tokens.pop();
        }
        if self.spoil() {
            call.enforced = self.any_state(owner).map(|signed| signed.state.opening());
        }
        Some(Call::Finalise(Box::new(call)))
    }
}
