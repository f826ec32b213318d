//! What the adversary can have mined.

use tarefa_channel::contract::{
    AttachToken, Call, Evidence, Finalise, HubWord, Owner, Redeem, RedemptionStatus, Signed, Status,
};
use tarefa_channel::id::{Amount, Seq, TokenId};
use tarefa_channel::message::{Grant, Message, State, Token, TokenKind, Voucher};
use tarefa_channel::rules::{Rule, Rules as _};
use tarefa_channel::sign::{HubSignature, Signer};
use tarefa_channel::transition::Side;
use tarefa_channel::tree::{is_sorted, pending_proof, pending_root};
use tarefa_channel::{Address, B256};

use super::{Move, World};
use crate::keys::{BOB, Key, NEXT, SIGNER, TREASURY, VOUCHERS, signs_as};
use crate::scenario::{ALICE_CLIENT, ALICE_HUB, ALICES, BOB_CLIENT, BOB_HUB, BOBS, KEY, Party, Scenario};

impl World {
    /// Which of the hub's signers an honest client takes an answer of: the second one from the announcement on. Where the attack on rule 12 is looked for
    /// the hub signs nothing again; a random one would do so too often.
    pub(super) fn signing(&self, scenario: &Scenario) -> Address {
        let again = scenario.rules.hold(Rule::R12) && !scenario.heedless && !self.stale;
        if again && self.is_announced() { NEXT } else { SIGNER }
    }

    /// Who signs for a hub that colludes where the contract looks: the second signer once the first one's revocation has taken effect.
    fn enforcing(&self, scenario: &Scenario) -> Address {
        let until = self.contract.signers.get(&SIGNER).copied().flatten();
        if until.is_some_and(|until| self.now >= until) { self.signing(scenario) } else { SIGNER }
    }

    /// The states of a channel that the adversary can have enforced. The hub has them, and signs them again when its first word counts no more.
    fn shown(&self, owner: Owner, scenario: &Scenario) -> Vec<Signed> {
        let signer = self.enforcing(scenario);
        let again = |signed: &Signed| {
            let hub = HubWord::State(signs_as(signer, &signed.state, &self.contract.domain));
            Signed { hub, ..signed.clone() }
        };
        self.known[&owner].iter().map(|signed| if signer == SIGNER { signed.clone() } else { again(signed) }).collect()
    }

    /// Whether the revocation of the hub's first signer is announced.
    pub(super) fn is_announced(&self) -> bool {
        self.contract.signers.get(&SIGNER) != Some(&None)
    }

    /// The calls of everybody but the honest party that could succeed now.
    pub(super) fn calls(&self, scenario: &Scenario) -> Vec<Move> {
        let mut calls: Vec<(Address, Call)> = vec![];
        // What happens in Alice's channel is nothing to Bob. Of Bob's channel Alice feels the redemptions; to close it would only
        // take them from the adversary.
        let owners: &[Owner] = match scenario.honest {
            Party::Alice if scenario.history == 0 => &[ALICES],
            Party::Alice => &[ALICES, BOBS],
            Party::Bob => &[BOBS],
            Party::Hub => &[ALICES, BOBS],
        };
        for &owner in owners {
            if self.contract.row(owner).status != Status::None && self.now >= scenario.quiet {
                self.on_channel(owner, scenario, &mut calls);
            }
        }
        for token in &scenario.tokens {
            self.on_token(token, scenario, &mut calls);
        }
        if scenario.honest != Party::Hub {
            if scenario.revocation {
                calls.push((TREASURY, Call::RevokeSigner { signer: SIGNER }));
            }
            calls.push((SIGNER, Call::HubDraw { owner: BOBS, amount: BOB_HUB }));
        }
        if scenario.strangers {
            self.deposits(scenario, &mut calls);
        }
        calls.into_iter().map(|(caller, call)| Move::Call(caller, Box::new(call))).collect()
    }

    fn deposits(&self, scenario: &Scenario, calls: &mut Vec<(Address, Call)>) {
        let (owner, client, hub) = match scenario.honest {
            Party::Bob => (BOBS, BOB_CLIENT, BOB_HUB),
            Party::Alice | Party::Hub => (ALICES, ALICE_CLIENT, ALICE_HUB),
        };
        let row = self.contract.row(owner);
        let amount = Amount(1);
        let stranger = Address::repeat_byte(1);
        for (side, before, is) in [(Side::Client, client, row.client_in), (Side::Hub, hub, row.hub_in)] {
            if before == is {
                calls.push((stranger, Call::Deposit { owner, side, amount, from_balance: false }));
            }
        }
    }

    fn on_channel(&self, owner: Owner, scenario: &Scenario, calls: &mut Vec<(Address, Call)>) {
        let row = self.contract.row(owner);
        let clients = if owner == ALICES { Party::Alice } else { Party::Bob };
        let closer = if scenario.honest == clients { self.enforcing(scenario) } else { owner.client };
        let shown = self.shown(owner, scenario);
        let newer = shown.iter().filter(|signed| signed.state.seq > row.seq);
        if row.status == Status::Open {
            // At a newer state: a checkpoint and a close, both at once.
            calls.push((closer, Call::Close { owner, signed: None }));
        }
        if row.status == Status::Open || self.now < row.closes_at {
            calls.extend(newer.map(|signed| (closer, Call::Argue { owner, signed: signed.clone() })));
        }
        for signed in shown.iter().filter(|signed| signed.state.seq >= row.seq) {
            let balances = &signed.state.balances;
            if balances.client_out > row.client_out || balances.hub_out > row.hub_out {
                calls.push((closer, Call::AttachState { owner, signed: signed.clone() }));
            }
            if signed.state.last {
                calls.push((closer, Call::CloseLast { owner, signed: signed.clone() }));
            }
        }
        if row.status == Status::Closing && self.now >= row.closes_at && row.redeeming == 0 {
            let enforced = self.openings.get(&owner).cloned();
            let tokens = enforced.as_ref().map_or_else(Vec::new, |state| pending_tokens(state, scenario));
            let finalise = Finalise { owner, enforced: enforced.as_ref().map(State::opening), tokens };
            calls.push((closer, Call::Finalise(Box::new(finalise))));
        }
    }

    fn on_token(&self, token: &Token, scenario: &Scenario, calls: &mut Vec<(Address, Call)>) {
        let id = token.id();
        let row = self.contract.row(ALICES);
        // To the hub every claim is a gift.
        if row.status == Status::Closing && scenario.honest == Party::Alice && self.now < token.claim_by {
            for evidence in self.evidence(id, token, scenario) {
                calls.push((SIGNER, Call::Resolve { owner: ALICES, token: token.clone(), evidence }));
            }
        }
        if token.kind == TokenKind::On {
            calls.extend(self.attach_token(id, token, scenario).map(|call| (SIGNER, call)));
            return;
        }
        let pending = self.contract.redemptions.get(&id).map(|redemption| redemption.status);
        if pending == Some(RedemptionStatus::Pending) {
            if scenario.honest != Party::Alice {
                calls.push((SIGNER, Call::Credit { owner: BOBS, tokens: vec![id] }));
            }
            let enforced = self.contract.row(BOBS).seq;
            let shown = self.shown(BOBS, scenario);
            for signed in shown.into_iter().filter(|signed| may_void(scenario, signed.state.seq, enforced)) {
                let tokens = vec![token.clone()];
                calls.push((SIGNER, Call::ArgueRedemption { owner: BOBS, signed, tokens }));
            }
        }
        let as_bob = scenario.honest != Party::Bob;
        let Some((grant, hub)) = self.grant(id, scenario) else { return };
        let caller = if as_bob { BOB } else { SIGNER };
        let vouchers: Vec<Option<Voucher>> = match token.kind {
            TokenKind::Metered => {
                (0..self.signed_vouchers(scenario)).map(|at| Some(voucher(id, at, scenario))).collect()
            }
            TokenKind::Off | TokenKind::On => vec![None],
        };
        for voucher in vouchers {
            let conditional = voucher.is_some_and(|voucher| !voucher.condition.is_zero());
            if conditional && !as_bob && !self.key {
                continue;
            }
            let redeem = Redeem {
                owner: BOBS,
                token: token.clone(),
                grant,
                hub: hub.clone(),
                voucher: voucher.map(|voucher| (voucher, vouch(&voucher))),
                preimage: if conditional { KEY } else { B256::ZERO },
                auth: None,
            };
            calls.push((caller, Call::Redeem(Box::new(redeem))));
        }
    }

    /// The grant of a token, if the adversary has it.
    pub(super) fn grant(&self, id: TokenId, scenario: &Scenario) -> Option<(Grant, HubSignature)> {
        if let Some(store) = self.store() {
            let row = store.tokens.get(&id)?;
            return Some((row.grant, row.hub.clone()));
        }
        let place = scenario.tokens.iter().position(|token| token.id() == id)?;
        let payer_state = self.known[&ALICES].iter().find(|signed| signed.state.ops.iter().any(|op| op.token == id.0));
        let payer_state = payer_state.map_or_else(Default::default, |signed| signed.state.hash());
        let grant = Grant { token: id, payee_seq: Seq::new(place as u64).expect("small"), payer_state };
        Some((grant, signs_as(self.signing(scenario), &grant, &self.contract.domain)))
    }

    /// How many vouchers the adversary can show: Alice's, or as many as it likes.
    pub(super) fn signed_vouchers(&self, scenario: &Scenario) -> usize {
        if scenario.honest == Party::Alice { self.vouchers } else { scenario.amounts.len() }
    }

    fn evidence(&self, id: TokenId, token: &Token, scenario: &Scenario) -> Vec<Evidence> {
        let claim = self.contract.claims.get(&(token.payer_channel, id)).copied().unwrap_or_default();
        let mut all = vec![];
        for (of, amount, receipt, signature) in self.receipts.iter() {
            if *of == id && *amount > claim {
                let (receipt, signature) = (receipt.clone(), *signature);
                all.push(Evidence::Receipt { receipt, signature, payee: BOBS, epoch: 0, preimage: B256::ZERO });
            }
        }
        if token.kind == TokenKind::Metered {
            let more = (0..self.signed_vouchers(scenario)).map(|at| voucher(id, at, scenario));
            for voucher in more.filter(|voucher| voucher.cumulative > claim) {
                let preimage = if voucher.condition.is_zero() { B256::ZERO } else { KEY };
                all.push(Evidence::Voucher { voucher, signature: vouch(&voucher), preimage });
            }
        }
        all
    }

    fn attach_token(&self, id: TokenId, token: &Token, scenario: &Scenario) -> Option<Call> {
        if self.now >= token.redeem_by || self.contract.redemptions.contains_key(&id) {
            return None;
        }
        let row = self.contract.row(ALICES);
        let payer = self.known[&ALICES].iter().find(|signed| signed.state.ops.iter().any(|op| op.token == id.0))?;
        // Where a newer state is enforced, the token must be pending in that one.
        let state = if row.seq > payer.state.seq { self.openings.get(&ALICES)?.clone() } else { payer.state.clone() };
        let tokens = pending_tokens(&state, scenario);
        let ids: Vec<TokenId> = tokens.iter().map(Token::id).collect();
        let index = ids.iter().position(|pending| *pending == id)?;
        let (grant, hub) = match &payer.hub {
            HubWord::Grant(grant, hub) if grant.token == id && self.enforcing(scenario) == SIGNER => {
                (*grant, hub.clone())
            }
            _ => self.grant(id, scenario)?,
        };
        let proof = pending_proof(&ids, index);
        let client = payer.client;
        let attach = AttachToken { owner: ALICES, token: token.clone(), grant, hub, state, client, index, proof };
        Some(Call::AttachToken(Box::new(attach)))
    }
}

/// A redemption is defeated with the enforced state: enforcing it is a move of its own, but in Bob's channel while Alice is honest.
fn may_void(scenario: &Scenario, seq: Seq, enforced: Seq) -> bool {
    seq == enforced || scenario.honest == Party::Alice && seq > enforced
}

/// The tokens behind a state's pending root.
pub(super) fn pending_tokens(state: &State, scenario: &Scenario) -> Vec<Token> {
    let mut tokens = scenario.tokens.clone();
    tokens.sort_by_key(Token::id);
    for subset in 0..1_u32 << tokens.len() {
        let some: Vec<Token> = tokens
            .iter()
            .enumerate()
            .filter(|(at, _)| subset & (1 << at) != 0)
            .map(|(_, token)| token.clone())
            .collect();
        let ids: Vec<TokenId> = some.iter().map(Token::id).collect();
        if is_sorted(&ids) && pending_root(&ids) == state.balances.pending_root {
            return some;
        }
    }
    vec![]
}

/// The scenario's voucher at a place; the last one may have a condition.
pub(super) fn voucher(token: TokenId, place: usize, scenario: &Scenario) -> Voucher {
    let last = scenario.conditional && place + 1 == scenario.amounts.len();
    let condition = if last { condition() } else { B256::ZERO };
    Voucher { token, cumulative: scenario.amounts[place], usage: B256::ZERO, condition }
}

/// SHA-256 of the key.
#[must_use]
pub(super) fn condition() -> B256 {
    use sha2::Digest as _;
    B256::from_slice(&sha2::Sha256::digest(KEY))
}

/// The payer's signature of a voucher.
pub(super) fn vouch(voucher: &Voucher) -> tarefa_channel::sign::Signature {
    Key(VOUCHERS).sign(voucher.digest(crate::scenario::domain()))
}
