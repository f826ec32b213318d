//! `/sendPropose`: a client's proposal against the rows of one transaction.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use super::ops::{Work, runs};
use super::{HubChannel, HubToken, Refusal, Stage};
use crate::chain::{Chain, Ctx};
use crate::contract::{HubWord, Signed};
use crate::id::{Amount, ChannelId, Digest, Seq, StateHash, Time, TokenId};
use crate::limits;
use crate::message::{Batch, Grant, Message, OpKind, State, Token, Voucher};
use crate::rules::{Rule, Rules};
use crate::sign::{HubSignature, Recover, Signature, Signer};
use crate::transition::TransitionError;
use crate::tree::Batches;

/// What a client sends: its next state, signed, with everything that the operations need.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// The state.
    pub state: State,
    /// The client's signature of it.
    pub client: Signature,
    /// The tokens it detaches, in the order of their operations.
    pub tokens: Vec<Token>,
    /// The vouchers of the METERED tokens it attaches.
    pub vouchers: Vec<(Voucher, Signature)>,
    /// What meets the conditions of what it attaches.
    pub preimages: Vec<(TokenId, B256)>,
}

/// A payee's request for money, known to its hub: serves one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invoice {
    /// At most this much.
    pub cap: Amount,
    /// Before this time.
    pub expires: Time,
    /// What it has served.
    pub used: Option<TokenId>,
}

/// The rows a proposal is decided over. A store gives those of one transaction, and takes back what [`Accepted`] says.
pub trait Rows {
    /// A channel.
    fn channel(&self, id: ChannelId) -> Option<HubChannel>;
    /// A token.
    fn token(&self, id: TokenId) -> Option<HubToken>;
    /// An invoice that a payee has registered.
    fn invoice(&self, payee: ChannelId, invoice: B256) -> Option<Invoice>;
}

/// The hub's answer: what makes the proposal doubly signed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The state it is about.
    pub state: StateHash,
    /// The hub's word on the state.
    pub word: HubWord,
    /// The grants of the tokens it detaches, in their order.
    pub grants: Vec<(Grant, HubSignature)>,
}

/// What to write, in one transaction, before the answer leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Channels as they are now: the proposer's, and those of payees that the tokens touch.
    pub channels: Vec<HubChannel>,
    /// Tokens as they are now.
    pub tokens: Vec<HubToken>,
    /// Invoices that are used now.
    pub invoices: Vec<(ChannelId, B256, TokenId)>,
    /// What to answer.
    pub answer: Answer,
}

impl Answer {
    /// Puts the hub's signatures in: of the grants, which count for the state, or of the state alone. `at` gives the one for each of the
    /// digests that [`Decided`] names.
    pub fn sign(&mut self, at: impl Fn(usize) -> HubSignature) {
        for (place, (_, hub)) in self.grants.iter_mut().enumerate() {
            *hub = at(place);
        }
        self.word = match self.grants.first() {
            Some((grant, hub)) => HubWord::Grant(*grant, hub.clone()),
            None => HubWord::State(at(0)),
        };
    }
}

/// A proposal that is accepted, and what is left to sign of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// What to write and to answer, once it is signed: until then every new signature in it is zero.
    pub accepted: Accepted,
    /// What the hub has to sign; nothing where it only says again what it has said.
    pub digests: Vec<Digest>,
}

/// Stands for a signature that is still to be made.
const UNSIGNED: HubSignature = HubSignature { signature: Signature([0; 64]), proof: vec![] };

/// Decides a proposal and signs what is accepted.
///
/// # Errors
/// As [`decide`].
pub fn propose<C: Chain, K: Signer + Recover, R: Rules>(
    rows: &impl Rows,
    proposal: &Proposal,
    ctx: &Ctx<'_, C, K, R>,
) -> Result<Accepted, Refusal> {
    let Decided { mut accepted, digests } = decide(rows, proposal, ctx)?;
    if digests.is_empty() {
        return Ok(accepted);
    }
    let batch = Batches::new(&digests).expect("1 to 64 messages");
    let signature = ctx.keys.sign(Batch { root: batch.root() }.digest(ctx.domain));
    accepted.answer.sign(|place| HubSignature { signature, proof: batch.proof(place) });
    let Accepted { channels, tokens, answer, .. } = &mut accepted;
    let (id, seq) = (proposal.state.channel, proposal.state.seq);
    channels.iter_mut().filter(|channel| channel.id == id).for_each(|channel| channel.signed(seq, &answer.word));
    for (grant, hub) in &answer.grants {
        tokens.iter_mut().filter(|row| row.id() == grant.token).for_each(|row| row.hub = hub.clone());
    }
    Ok(accepted)
}

/// Decides a proposal. The same state again gets the same answer; another with its number, or on another base, none (rule 15). Signing
/// is left to the caller, who may have other proposals to sign with it.
///
/// # Errors
/// Why not. Nothing has changed, and for [`Refusal::Conflict`] the client is shown the newest state.
pub fn decide<C: Chain, K: Signer + Recover, R: Rules>(
    rows: &impl Rows,
    proposal: &Proposal,
    ctx: &Ctx<'_, C, K, R>,
) -> Result<Decided, Refusal> {
    let state = &proposal.state;
    if !ctx.chain.is_fresh() {
        return Err(Refusal::Blind);
    }
    let mut channel = rows.channel(state.channel).ok_or(Refusal::UnknownChannel)?;
    if let Some(newest) = &channel.newest
        && newest.state == *state
    {
        return Ok(Decided { accepted: again(rows, newest, ctx)?, digests: vec![] });
    }
    let hash = state.hash();
    let digest = ctx.domain.digest(hash.0);
    if ctx.keys.recover(digest, &proposal.client) != Some(channel.owner.client) {
        return Err(Refusal::Signature);
    }
    if !runs(ctx.chain, &channel) {
        return Err(Refusal::NotOpen);
    }
    if state.ops.len() > limits::OPS {
        return Err(Refusal::Conflict(TransitionError::Ops(state.ops.len())));
    }
    let mut newest = (channel.seq(), channel.is_last() && ctx.rules.hold(Rule::R4));
    if !ctx.rules.hold(Rule::R15) && channel.seq() == state.seq {
        newest.0 = Seq::ZERO;
    }
    // Before anything about its tokens: an old state that is sent again has granted them.
    if state.seq <= newest.0 {
        return Err(Refusal::Conflict(TransitionError::Stale(state.seq.get(), newest.0.get())));
    }
    let mut work = Work::new(rows, ctx, proposal);
    work.check_tokens(&channel)?;
    let next = channel.position.follow(newest, state, &work).map_err(Refusal::Conflict)?;
    for op in &state.ops {
        work.apply(op, &mut channel)?;
    }
    work.check_deposits(&channel)?;
    work.check_live(next.pending.len())?;
    if next.balances.hub < channel.reserved {
        return Err(Refusal::Promised);
    }
    channel.position = next;
    let grants = work.grants(hash);
    let digests = match grants.as_slice() {
        [] => vec![digest],
        grants => grants.iter().map(|grant| grant.digest(ctx.domain)).collect(),
    };
    let grants = grants.into_iter().map(|grant| (grant, UNSIGNED)).collect();
    let mut answer = Answer { state: hash, word: HubWord::State(UNSIGNED), grants };
    answer.sign(|_| UNSIGNED);
    work.granted(&answer.grants);
    channel.newest = Some(Signed { state: state.clone(), client: proposal.client, hub: answer.word.clone() });
    Ok(Decided { accepted: work.finish(channel, answer), digests })
}

/// The same answer: the same digests, signed again where the key that signed them is announced for revocation.
fn again<C: Chain, K: Signer + Recover, R: Rules>(
    rows: &impl Rows,
    newest: &Signed,
    ctx: &Ctx<'_, C, K, R>,
) -> Result<Accepted, Refusal> {
    let detached = newest.state.ops.iter().filter(|op| op.kind == OpKind::Detach);
    let mut grants = vec![];
    for op in detached {
        let row = rows.token(TokenId(op.token)).ok_or(Refusal::Missing)?;
        grants.push((row.grant, renewed_promise(&row, ctx)));
    }
    let word = trusted_word(newest, ctx);
    let answer = Answer { state: newest.state.hash(), word, grants };
    Ok(Accepted { channels: vec![], tokens: vec![], invoices: vec![], answer })
}

/// Whether what this signer has signed counts at least as long as what this hub would sign now: then it stays.
fn stays<C: Chain, K: Signer, R: Rules>(signer: Option<Address>, ctx: &Ctx<'_, C, K, R>) -> bool {
    // Never, where it was not announced.
    let until = |signer| match ctx.chain.revoked_from(signer) {
        None if ctx.chain.trusted(signer) => Time::MAX,
        until => until.unwrap_or_default(),
    };
    signer.is_some_and(|signer| until(signer) >= until(ctx.keys.address()))
}

fn sign_alone<C, K: Signer, R: Rules>(digest: Digest, ctx: &Ctx<'_, C, K, R>) -> HubSignature {
    let signature = ctx.keys.sign(Batch { root: digest.0 }.digest(ctx.domain));
    HubSignature { signature, proof: vec![] }
}

/// The hub's word on a state it has signed: the stored one, or a new one where that key is on its way out before this one (rule 12). The hub
/// holds the state and the client's signature, so it can always sign again.
fn trusted_word<C: Chain, K: Signer + Recover, R: Rules>(signed: &Signed, ctx: &Ctx<'_, C, K, R>) -> HubWord {
    if stays(signed.hub_signer(ctx.domain, ctx.keys), ctx) {
        signed.hub.clone()
    } else {
        HubWord::State(sign_alone(signed.state.digest(ctx.domain), ctx))
    }
}

/// A state with a word of the hub that counts.
#[must_use]
pub fn renewed<C: Chain, K: Signer + Recover, R: Rules>(signed: &Signed, ctx: &Ctx<'_, C, K, R>) -> Signed {
    Signed { hub: trusted_word(signed, ctx), ..signed.clone() }
}

/// The signature of a promise, a new one where that key is on its way out: no payee counts on what the old one has signed.
#[must_use]
pub fn renewed_promise<C: Chain, K: Signer + Recover, R: Rules>(
    row: &HubToken,
    ctx: &Ctx<'_, C, K, R>,
) -> HubSignature {
    let digest = row.grant.digest(ctx.domain);
    if stays(row.hub.signer(ctx.domain, digest, ctx.keys), ctx) { row.hub.clone() } else { sign_alone(digest, ctx) }
}

/// A payee says, without a state, that it does not want a token. That binds nobody, so it changes nothing (rule 10).
pub fn refused_by_payee<C, K, R: Rules>(row: &mut HubToken, ctx: &Ctx<'_, C, K, R>) {
    if !ctx.rules.hold(Rule::R10) && row.stage == Stage::Granted {
        row.stage = Stage::Declined(None);
    }
}
