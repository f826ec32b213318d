//! The contract's ABI, from its artifact, and the way from the protocol's messages into it.

use alloy_primitives::{B256, U256, Uint};
use tarefa_channel::id::{Seq, Time};
use tarefa_channel::message::{Balances, ChannelOffer, Op, Opening, State, Token};
use tarefa_channel::sign::{HubSignature, Signature};

#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated from the contract's artifact")]
mod generated {
    alloy_sol_types::sol!(FulgurHub, "../contract/artifact/FulgurHub.json");
}
pub use generated::FulgurHub;

type U40 = Uint<40, 1>;
type U48 = Uint<48, 1>;

/// Seconds as the contract has them.
#[must_use]
pub fn time(time: Time) -> U40 {
    U40::from(time.0.min(Time::MAX.0))
}

/// A sequence as the contract has it.
#[must_use]
pub fn seq(seq: Seq) -> U48 {
    U48::from(seq.get())
}

/// A signature as the contract has it (EIP-2098).
#[must_use]
pub fn signature(signature: &Signature) -> FulgurHub::Sig {
    let (r, vs) = signature.0.split_at(32);
    FulgurHub::Sig { r: B256::from_slice(r), vs: B256::from_slice(vs) }
}

/// Nothing, where a signature is not looked at.
#[must_use]
pub fn no_signature() -> FulgurHub::Sig {
    FulgurHub::Sig { r: B256::ZERO, vs: B256::ZERO }
}

/// A hub's signature with its proof.
#[must_use]
pub fn hub_signature(hub: &HubSignature) -> FulgurHub::HubSig {
    FulgurHub::HubSig { sig: signature(&hub.signature), proof: hub.proof.clone() }
}

/// Balances as the contract has them.
#[must_use]
pub fn balances(balances: &Balances) -> FulgurHub::Balances {
    FulgurHub::Balances {
        client: balances.client.0,
        hub: balances.hub.0,
        pending: balances.pending.0,
        clientIn: balances.client_in.0,
        clientOut: balances.client_out.0,
        hubIn: balances.hub_in.0,
        hubOut: balances.hub_out.0,
        onOut: balances.on_out.0,
        pendingCount: balances.pending_count,
        pendingRoot: balances.pending_root,
        floor: seq(balances.floor),
        window: balances.window,
    }
}

/// Operations as the contract has them.
#[must_use]
pub fn ops(ops: &[Op]) -> Vec<FulgurHub::Op> {
    ops.iter().map(|op| FulgurHub::Op { kind: op.kind as u8, token: op.token, amount: op.amount.0 }).collect()
}

/// A state as the contract has it.
#[must_use]
pub fn state(state: &State) -> FulgurHub::State {
    FulgurHub::State {
        channel: state.channel.0,
        seq: seq(state.seq),
        last: state.last,
        balances: balances(&state.balances),
        ops: ops(&state.ops),
    }
}

/// An opening as the contract has it.
#[must_use]
pub fn opening(opening: &Opening) -> FulgurHub::Opening {
    FulgurHub::Opening { last: opening.last, balances: balances(&opening.balances), ops: opening.ops }
}

/// A token as the contract has it.
#[must_use]
pub fn token(token: &Token) -> FulgurHub::Token {
    FulgurHub::Token {
        payerChannel: token.payer_channel.0,
        payerSeq: seq(token.payer_seq),
        index: token.index,
        payee: token.payee,
        kind: token.kind as u8,
        value: token.value.0,
        fee: token.fee.0,
        attachBy: time(token.attach_by),
        redeemBy: time(token.redeem_by),
        claimBy: time(token.claim_by),
        condition: token.condition,
        voucherKey: token.voucher_key,
        invoice: token.invoice,
    }
}

/// An offer as the contract has it.
#[must_use]
pub fn offer(offer: &ChannelOffer) -> FulgurHub::ChannelOffer {
    FulgurHub::ChannelOffer {
        client: offer.client,
        asset: offer.asset,
        epoch: offer.epoch,
        hubAmount: offer.hub_amount.0,
        openingFee: offer.opening_fee.0,
        validUntil: time(offer.valid_until),
    }
}

/// A place in a list as the contract has it.
#[must_use]
pub fn index(index: usize) -> U256 {
    U256::from(index)
}
