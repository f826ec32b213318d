//! A small town: Alice, Bob, Carol, a hub and a contract, with real signatures.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{All, Secp256k1, SecretKey};
use tarefa_channel::chain::{Chain, Ctx};
use tarefa_channel::client::{Attached, Client};
use tarefa_channel::contract::{Call, Contract, Env, Owner, Redemption, RedemptionStatus, Revert, Row, Signed, Status};
use tarefa_channel::hub::{Accepted, Answer, HubChannel, HubToken, Invoice, Proposal, Refusal, Rows, propose};
use tarefa_channel::id::Digest;
use tarefa_channel::message::{Batch, Message, Op, OpKind, Opening, State, Token, TokenKind};
use tarefa_channel::rules::Every;
use tarefa_channel::sign::{HubSignature, Recover, Signature, Signer};
use tarefa_channel::terms::Terms;
use tarefa_channel::{Address, Amount, B256, ChannelId, Seq, Time, TokenId};

static SECP: LazyLock<Secp256k1<All>> = LazyLock::new(Secp256k1::new);

/// libsecp256k1 with the rules of the contract's ECDSA library.
#[derive(Clone)]
pub struct Key(pub SecretKey);

pub fn key(name: &str) -> Key {
    let hash = alloy_primitives::keccak256(format!("key of {name}"));
    Key(SecretKey::from_byte_array(hash.0).expect("a valid key"))
}

pub fn address(name: &str) -> Address {
    key(name).address()
}

impl Signer for Key {
    fn address(&self) -> Address {
        let public = self.0.public_key(&SECP);
        Address::from_raw_public_key(&public.serialize_uncompressed()[1..])
    }

    fn sign(&self, digest: Digest) -> Signature {
        let message = secp256k1::Message::from_digest(digest.0.0);
        let (id, mut compact) = SECP.sign_ecdsa_recoverable(message, &self.0).serialize_compact();
        if id == RecoveryId::One {
            compact[32] |= 0x80;
        }
        Signature(compact)
    }
}

impl Recover for Key {
    fn recover(&self, digest: Digest, signature: &Signature) -> Option<Address> {
        recover(digest, signature)
    }
}

pub fn recover(digest: Digest, signature: &Signature) -> Option<Address> {
    let mut compact = signature.0;
    let parity = compact[32] >> 7;
    compact[32] &= 0x7f;
    let id = RecoveryId::try_from(i32::from(parity)).ok()?;
    let recoverable = RecoverableSignature::from_compact(&compact, id).ok()?;
    let mut normal = recoverable.to_standard();
    normal.normalize_s();
    if normal != recoverable.to_standard() {
        return None;
    }
    let key = SECP.recover_ecdsa(secp256k1::Message::from_digest(digest.0.0), &recoverable).ok()?;
    Some(Address::from_raw_public_key(&key.serialize_uncompressed()[1..]))
}

pub const NATIVE: Address = Address::ZERO;
pub const TERMS: Terms = Terms {
    grace: 100,
    inclusion: 5,
    reorg: 5,
    max_token_life: 10_000,
    patience: 10,
    live_tokens: 3,
    fee: Amount(1),
    on_fee: Amount(2),
    dust: Amount(2),
    unsettled: Amount(500),
};

/// Everything there is.
pub struct Town {
    pub now: Time,
    pub contract: Contract,
    pub openings: BTreeMap<Owner, State>,
    pub channels: BTreeMap<ChannelId, HubChannel>,
    pub tokens: BTreeMap<TokenId, HubToken>,
    pub invoices: BTreeMap<(ChannelId, B256), Invoice>,
    pub alice: Client,
    pub bob: Client,
    pub fresh: bool,
    /// What the chain shows of redemptions is final.
    pub settled: bool,
}

impl Chain for Town {
    fn now(&self) -> Time {
        self.now
    }
    fn final_time(&self) -> Time {
        self.now
    }
    fn row(&self, owner: Owner) -> Row {
        self.contract.row(owner)
    }
    fn final_row(&self, owner: Owner) -> Row {
        self.contract.row(owner)
    }
    fn redemption(&self, token: TokenId) -> Option<Redemption> {
        self.contract.redemptions.get(&token).copied()
    }
    fn final_redemption(&self, token: TokenId) -> Option<Redemption> {
        self.redemption(token).filter(|_| self.settled)
    }
    fn final_credited(&self, owner: Owner) -> Amount {
        let id = self.contract.channel_id(owner, self.contract.row(owner).epoch);
        let mine = self.tokens.values().filter(|row| row.token.payee == id.0);
        let found = mine.filter_map(|row| self.redemption(row.id()));
        Amount(found.filter(|r| r.status == RedemptionStatus::Credited).map(|r| r.amount.0).sum())
    }
    fn claim(&self, payer: ChannelId, token: TokenId) -> Amount {
        self.contract.claims.get(&(payer, token)).copied().unwrap_or_default()
    }
    fn enforced(&self, owner: Owner) -> Option<Opening> {
        self.openings.get(&owner).map(State::opening)
    }
    fn owner(&self, channel: ChannelId) -> Option<Owner> {
        self.channels.get(&channel).map(|row| row.owner)
    }
    fn epoch(&self, channel: ChannelId) -> Option<u32> {
        self.channels.get(&channel).map(|row| row.epoch)
    }
    fn is_fresh(&self) -> bool {
        self.fresh
    }
    fn trusted(&self, signer: Address) -> bool {
        self.contract.signers.get(&signer) == Some(&None)
    }
    fn revoked_from(&self, signer: Address) -> Option<Time> {
        self.contract.signers.get(&signer).copied().flatten()
    }
}

impl Rows for Town {
    fn channel(&self, id: ChannelId) -> Option<HubChannel> {
        self.channels.get(&id).cloned()
    }
    fn token(&self, id: TokenId) -> Option<HubToken> {
        self.tokens.get(&id).cloned()
    }
    fn invoice(&self, payee: ChannelId, invoice: B256) -> Option<Invoice> {
        self.invoices.get(&(payee, invoice)).copied()
    }
}

pub fn owner(name: &str) -> Owner {
    Owner { client: address(name), asset: NATIVE }
}

impl Town {
    /// Both channels open: Alice 1000 and the hub 50, Bob 30 and the hub 200.
    pub fn new() -> Self {
        let contract =
            Contract::new(1074, Address::repeat_byte(0xf0), TERMS, address("treasury"), address("hub"), Every);
        let nobody = Client::opened(owner("nobody"), 0, ChannelId(B256::ZERO), Amount::ZERO, Amount::ZERO);
        let (openings, channels, tokens, invoices) = Default::default();
        let (alice, bob) = (nobody.clone(), nobody);
        let mut town = Self {
            now: Time(1000),
            contract,
            openings,
            channels,
            tokens,
            invoices,
            alice,
            bob,
            fresh: true,
            settled: true,
        };
        town.alice = town.opens("alice", 1000, 50);
        town.bob = town.opens("bob", 30, 200);
        let invoice = Invoice { cap: Amount(500), expires: Time(5_000), used: None };
        town.invoices = (1..=20).map(|n| ((town.bob.id, B256::with_last_byte(n)), invoice)).collect();
        town
    }

    /// A new channel, on chain and at the hub; its client.
    pub fn opens(&mut self, who: &str, client_in: u128, hub_in: u128) -> Client {
        let (owner, client_in, hub_in) = (owner(who), Amount(client_in), Amount(hub_in));
        self.contract.rows.insert(owner, Row { status: Status::Open, client_in, hub_in, ..Row::default() });
        let id = self.contract.channel_id(owner, 0);
        self.channels.insert(id, HubChannel::opened(owner, 0, id, client_in, hub_in));
        Client::opened(owner, 0, id, client_in, hub_in)
    }

    /// A token of Alice's next state.
    pub fn token(&self, kind: TokenKind, value: u128) -> Token {
        let attach_by = self.now.after(60);
        let (redeem_by, claim_by) = TERMS.deadlines(attach_by);
        Token {
            payer_channel: self.alice.id,
            payer_seq: self.alice.next_seq().expect("few states"),
            index: 0,
            payee: if kind == TokenKind::On { address("carol").into_word() } else { self.bob.id.0 },
            kind,
            value: Amount(value),
            fee: if kind == TokenKind::On { TERMS.on_fee } else { TERMS.fee },
            attach_by,
            redeem_by,
            claim_by,
            condition: B256::ZERO,
            voucher_key: if kind == TokenKind::Metered { address("vouchers") } else { Address::ZERO },
            invoice: B256::with_last_byte(1 + u8::try_from(self.tokens.len()).expect("few")),
        }
    }

    pub fn ask<T>(&self, who: &str, question: impl FnOnce(&Ctx<'_, Self, Key>) -> T) -> T {
        let keys = key(who);
        let domain = self.contract.domain;
        question(&Ctx { chain: self, keys: &keys, terms: &TERMS, domain: &domain, rules: Every })
    }

    /// The hub decides a proposal and stores what it says.
    pub fn hub(&mut self, proposal: &Proposal) -> Result<Answer, Refusal> {
        self.hub_with("hub", proposal)
    }

    /// The same for a hub that signs with the key of this name.
    pub fn hub_with(&mut self, signer: &str, proposal: &Proposal) -> Result<Answer, Refusal> {
        let Accepted { channels, tokens, invoices, answer } = self.ask(signer, |ctx| propose(self, proposal, ctx))?;
        self.channels.extend(channels.into_iter().map(|row| (row.id, row)));
        self.tokens.extend(tokens.into_iter().map(|row| (row.id(), row)));
        for (payee, name, token) in invoices {
            self.invoices.get_mut(&(payee, name)).expect("it was found").used = Some(token);
        }
        Ok(answer)
    }

    /// A client, taken out so that it can look at the town.
    pub fn client(&self, who: &str) -> Client {
        if who == "alice" { self.alice.clone() } else { self.bob.clone() }
    }

    pub fn keep(&mut self, who: &str, client: Client) {
        *(if who == "alice" { &mut self.alice } else { &mut self.bob }) = client;
    }

    /// A client proposes operations.
    pub fn propose(&mut self, who: &str, ops: Vec<Op>, tokens: Vec<Token>) -> Proposal {
        let mut client = self.client(who);
        let made = self.ask(who, |ctx| client.propose(ops, tokens, false, ctx).cloned()).expect("it fits");
        self.keep(who, client);
        made
    }

    pub fn answered(&mut self, who: &str, answer: &Answer) {
        let mut client = self.client(who);
        self.ask(who, |ctx| client.answered(answer, ctx)).expect("it is the answer");
        self.keep(who, client);
    }

    /// Proposes, has it signed, takes the answer.
    pub fn step(&mut self, who: &str, ops: Vec<Op>, tokens: Vec<Token>) {
        let proposal = self.propose(who, ops, tokens);
        let answer = self.hub(&proposal).expect("the hub signs");
        self.answered(who, &answer);
    }

    /// Alice detaches a token and Bob counts on it.
    pub fn pay(&mut self, token: &Token) {
        self.detach(token);
        self.offer(token);
    }

    pub fn detach(&mut self, token: &Token) {
        let ops = vec![Op::on(OpKind::Detach, token.id(), token.cost().expect("small"))];
        self.step("alice", ops, vec![token.clone()]);
    }

    pub fn offer(&mut self, token: &Token) {
        self.offer_against(token, None);
    }

    /// The same where Bob has what meets its condition, or that of its last voucher.
    pub fn offer_against(&mut self, token: &Token, preimage: Option<B256>) {
        let row = self.tokens[&token.id()].clone();
        let mut bob = self.bob.clone();
        self.ask("bob", |ctx| bob.offered(token, &row.grant, &row.hub, preimage, ctx)).expect("he counts on it");
        self.bob = bob;
    }

    /// Carries out what a client would like to.
    pub fn wish(&mut self, who: &str) -> Vec<Op> {
        let client = self.client(who);
        let ops = self.ask(who, |ctx| client.wishes(ctx));
        if !ops.is_empty() {
            self.step(who, ops.clone(), vec![]);
        }
        ops
    }

    pub fn mine(&mut self, who: &str, call: &Call) -> Result<(), Revert> {
        let keys = key(who);
        let env = Env { now: self.now, caller: keys.address(), keys: &keys };
        self.contract.call(call, &env)?;
        let shown = match call {
            Call::Close { owner, signed: Some(signed) }
            | Call::Argue { owner, signed }
            | Call::ArgueRedemption { owner, signed, .. }
            | Call::AttachState { owner, signed } => Some((*owner, signed.state.clone())),
            Call::AttachToken(attach) => Some((attach.owner, attach.state.clone())),
            _ => None,
        };
        if let Some((owner, state)) = shown
            && self.contract.row(owner).enforced == state.hash()
        {
            self.openings.insert(owner, state);
        }
        Ok(())
    }

    /// What a client has to do on chain, done until nothing is left.
    pub fn dutiful(&mut self, who: &str) -> Vec<&'static str> {
        let mut done = vec![];
        loop {
            let mut client = self.client(who);
            self.ask(who, |ctx| client.look(ctx));
            let calls = self.ask(who, |ctx| client.duties(ctx));
            calls.iter().for_each(|call| client.sends(call));
            self.keep(who, client);
            let names: Vec<&'static str> = calls.iter().map(Call::function).collect();
            let mined: Vec<_> = calls.iter().map(|call| self.mine(who, call)).collect();
            done.extend(names.into_iter().zip(&mined).filter(|(_, mined)| mined.is_ok()).map(|(name, _)| name));
            if !mined.iter().any(Result::is_ok) {
                return done;
            }
        }
    }

    /// The same for the hub and one channel.
    pub fn hub_dutiful(&mut self, of: &str) -> Vec<&'static str> {
        let row = self.channels[&self.client(of).id].clone();
        let paying: Vec<HubToken> =
            self.tokens.values().filter(|token| row.position.pending.contains(&token.id())).cloned().collect();
        let earned: Vec<HubToken> =
            self.tokens.values().filter(|token| token.token.payee == row.id.0).cloned().collect();
        let calls = self.ask("hub", |ctx| tarefa_channel::hub::duties(&row, &paying, &earned, ctx));
        let done = calls.iter().filter(|call| self.mine("hub", call).is_ok()).map(Call::function);
        done.collect()
    }

    /// The newest state of a payee, as its mailbox would show it to the payer.
    pub fn attached(&self, who: &str) -> Attached {
        let signed = self.newest(who);
        Attached { receipt: signed.state.receipt(), signature: signed.client, hub: signed.hub }
    }

    /// The newest state of a client, doubly signed.
    pub fn newest(&self, who: &str) -> Signed {
        self.client(who).signed.expect("it has one")
    }

    pub fn balance(&self, who: &str) -> u128 {
        self.contract.balance(address(who), NATIVE).0
    }

    /// Ends both channels the unfriendly way, and says what everybody has: Alice, Bob, Carol, the treasury.
    pub fn end(&mut self) -> [u128; 4] {
        for who in ["alice", "bob"] {
            let mut client = self.client(who);
            client.leaving = true;
            self.keep(who, client);
        }
        for _ in 0..12 {
            self.now = self.now.after(TERMS.grace);
            for who in ["alice", "bob"] {
                self.hub_dutiful(who);
                self.dutiful(who);
            }
        }
        for who in ["alice", "bob"] {
            assert_eq!(self.contract.row(owner(who)).status, Status::None, "{who}'s channel is final");
        }
        ["alice", "bob", "carol", "treasury"].map(|who| self.balance(who))
    }
}

pub fn signed_by(name: &str, message: &impl Message, town: &Town) -> Signature {
    key(name).sign(message.digest(&town.contract.domain))
}

pub fn hub_signs_as(name: &str, message: &impl Message, town: &Town) -> HubSignature {
    let batch = Batch { root: message.digest(&town.contract.domain).0 };
    HubSignature { signature: signed_by(name, &batch, town), proof: vec![] }
}

pub fn seq(number: u64) -> Seq {
    Seq::new(number).expect("48 bits")
}
