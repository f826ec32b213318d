//! The contract's calls in bytes.

use alloy_primitives::{Address, B256, Bytes, U256, Uint};
use alloy_sol_types::{SolCall as _, SolConstructor as _};
use tarefa_channel::Amount;
use tarefa_channel::contract::{AttachToken, Call, Evidence, Finalise, HubWord, Owner, Redeem, Signed};

use crate::abi::{self, FulgurHub};

/// What a transaction to the contract carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Native money along with it, base units.
    pub value: U256,
    /// Function and arguments.
    pub input: Bytes,
}

/// The bytes that deploy a contract. `grace` and `delay` in seconds, as the contract's constructor says.
#[must_use]
pub fn deployment(treasury: Address, signer: Address, grace: u64, delay: u64, assets: Vec<Address>) -> Bytes {
    let (grace, delay) = (Uint::from(grace), Uint::from(delay));
    let arguments = FulgurHub::constructorCall { treasury, signer, grace, revocationDelay: delay, assets };
    [FulgurHub::BYTECODE.as_ref(), &arguments.abi_encode()].concat().into()
}

fn native(asset: Address, amount: u128) -> U256 {
    if asset.is_zero() { U256::from(amount) } else { U256::ZERO }
}

fn signed(signed: &Signed) -> FulgurHub::Signed {
    let (granted, payee_seq, hub) = match &signed.hub {
        HubWord::State(hub) => (B256::ZERO, Uint::ZERO, hub),
        HubWord::Grant(grant, hub) => (grant.token.0, abi::seq(grant.payee_seq), hub),
    };
    FulgurHub::Signed {
        state: abi::state(&signed.state),
        client: abi::signature(&signed.client),
        granted,
        payeeSeq: payee_seq,
        hub: abi::hub_signature(hub),
    }
}

fn redeem(redeem: &Redeem) -> Vec<u8> {
    let voucher = redeem.voucher.as_ref();
    let r = FulgurHub::Redeem {
        client: redeem.owner.client,
        asset: redeem.owner.asset,
        token: abi::token(&redeem.token),
        payeeSeq: abi::seq(redeem.grant.payee_seq),
        payerState: redeem.grant.payer_state.0,
        hub: abi::hub_signature(&redeem.hub),
        cumulative: voucher.map_or(0, |(voucher, _)| voucher.cumulative.0),
        usage: voucher.map_or(B256::ZERO, |(voucher, _)| voucher.usage),
        condition: voucher.map_or(B256::ZERO, |(voucher, _)| voucher.condition),
        voucherSig: voucher.map_or_else(abi::no_signature, |(_, signature)| abi::signature(signature)),
        preimage: redeem.preimage,
    };
    match &redeem.auth {
        None => FulgurHub::redeemToken_0Call { r }.abi_encode(),
        Some((auth, signature)) => {
            let (until, auth_sig) = (abi::time(auth.until), abi::signature(signature));
            FulgurHub::redeemToken_1Call { r, until, authSig: auth_sig }.abi_encode()
        }
    }
}

fn attach_token(attach: &AttachToken) -> FulgurHub::AttachToken {
    FulgurHub::AttachToken {
        client: attach.owner.client,
        asset: attach.owner.asset,
        token: abi::token(&attach.token),
        payeeSeq: abi::seq(attach.grant.payee_seq),
        payerState: attach.grant.payer_state.0,
        hub: abi::hub_signature(&attach.hub),
        state: abi::state(&attach.state),
        payer: abi::signature(&attach.client),
        index: abi::index(attach.index),
        proof: attach.proof.clone(),
    }
}

fn finalise(finalise: &Finalise) -> Vec<u8> {
    let Owner { client, asset } = finalise.owner;
    match &finalise.enforced {
        None => FulgurHub::finalise_0Call { client, asset }.abi_encode(),
        Some(opening) => {
            let (enforced, tokens) = (abi::opening(opening), finalise.tokens.iter().map(abi::token).collect());
            FulgurHub::finalise_1Call { client, asset, enforced, tokens }.abi_encode()
        }
    }
}

fn resolve(owner: Owner, token: &tarefa_channel::message::Token, evidence: &Evidence) -> Vec<u8> {
    let (client, asset, token) = (owner.client, owner.asset, abi::token(token));
    match evidence {
        Evidence::Receipt { receipt, signature, payee, epoch, preimage } => {
            let evidence = FulgurHub::ReceiptEvidence {
                payee: payee.client,
                payeeAsset: payee.asset,
                payeeEpoch: *epoch,
                seq: abi::seq(receipt.seq),
                last: receipt.last,
                balances: receipt.balances,
                ops: abi::ops(&receipt.ops),
                sig: abi::signature(signature),
                preimage: *preimage,
            };
            FulgurHub::resolve_1Call { client, asset, token, evidence }.abi_encode()
        }
        Evidence::Voucher { voucher, signature, preimage } => {
            let evidence = FulgurHub::VoucherEvidence {
                cumulative: voucher.cumulative.0,
                usage: voucher.usage,
                condition: voucher.condition,
                sig: abi::signature(signature),
                preimage: *preimage,
            };
            FulgurHub::resolve_0Call { client, asset, token, evidence }.abi_encode()
        }
    }
}

/// The transaction that makes a call. Nothing for [`Call::HubDraw`], which the contract does not have, and for a deposit with an
/// opening fee that no amount holds.
#[must_use]
pub fn transaction(call: &Call) -> Option<Transaction> {
    let mut value = U256::ZERO;
    let input = match call {
        Call::Subscribe { offer, hub, deposit } => {
            value = native(offer.asset, deposit.plus(offer.opening_fee)?.0);
            let (offer, hub) = (abi::offer(offer), abi::hub_signature(hub));
            FulgurHub::subscribeCall { offer, hub, amount: deposit.0 }.abi_encode()
        }
        Call::Deposit { owner: Owner { client, asset }, side, amount: Amount(amount), from_balance } => {
            let (client, asset, amount, side) = (*client, *asset, *amount, *side as u8);
            value = if *from_balance { U256::ZERO } else { native(asset, amount) };
            FulgurHub::detachTokenCall { client, asset, side, amount, fromBalance: *from_balance }.abi_encode()
        }
        Call::AttachState { owner: Owner { client, asset }, signed: state } => {
            let (client, asset, signed) = (*client, *asset, signed(state));
            FulgurHub::attachToken_0Call { client, asset, signed }.abi_encode()
        }
        Call::AttachToken(attach) => FulgurHub::attachToken_1Call { a: attach_token(attach) }.abi_encode(),
        Call::Transfer { to, asset, amount } => {
            FulgurHub::transferCall { to: *to, asset: *asset, amount: amount.0 }.abi_encode()
        }
        Call::Close { owner: Owner { client, asset }, signed: None } => {
            FulgurHub::close_1Call { client: *client, asset: *asset }.abi_encode()
        }
        Call::Close { owner: Owner { client, asset }, signed: Some(state) } => {
            let (client, asset, signed) = (*client, *asset, signed(state));
            FulgurHub::close_0Call { client, asset, signed }.abi_encode()
        }
        Call::CloseLast { owner: Owner { client, asset }, signed: state } => {
            let (client, asset, signed) = (*client, *asset, signed(state));
            FulgurHub::closeLastCall { client, asset, signed }.abi_encode()
        }
        Call::Argue { owner: Owner { client, asset }, signed: state } => {
            let (client, asset, signed) = (*client, *asset, signed(state));
            FulgurHub::argueClosureCall { client, asset, signed }.abi_encode()
        }
        Call::ArgueRedemption { owner: Owner { client, asset }, signed: state, tokens } => {
            let (client, asset, signed) = (*client, *asset, signed(state));
            let tokens = tokens.iter().map(abi::token).collect();
            FulgurHub::argueRedemptionTokenCall { client, asset, signed, tokens }.abi_encode()
        }
        Call::Redeem(call) => redeem(call),
        Call::Credit { owner: Owner { client, asset }, tokens } => {
            let ids = tokens.iter().map(|token| token.0).collect();
            FulgurHub::creditCall { client: *client, asset: *asset, ids }.abi_encode()
        }
        Call::Resolve { owner, token, evidence } => resolve(*owner, token, evidence),
        Call::Finalise(call) => finalise(call),
        Call::Withdraw { asset, amount } => FulgurHub::withdrawCall { asset: *asset, amount: amount.0 }.abi_encode(),
        Call::HubDeposit { asset, amount } => {
            value = native(*asset, amount.0);
            FulgurHub::hubDepositCall { asset: *asset, amount: amount.0 }.abi_encode()
        }
        Call::AnnounceSigner { signer } => FulgurHub::announceSignerCall { signer: *signer }.abi_encode(),
        Call::RevokeSigner { signer } => FulgurHub::revokeSignerCall { signer: *signer }.abi_encode(),
        Call::HubDraw { .. } => return None,
    };
    Some(Transaction { value, input: input.into() })
}
