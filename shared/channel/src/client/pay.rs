//! The payer's side: vouchers given, receipts received.

use super::earn::meets;
use super::{Client, ClientError};
use crate::B256;
use crate::chain::{Chain, Ctx};
use crate::contract::{HubWord, Owner};
use crate::id::{Amount, StateHash, TokenId};
use crate::message::{Message, OpKind, Receipt, Token, TokenKind, Voucher};
use crate::rules::Rules;
use crate::sign::{Recover, Signature, Signer};

impl Client {
    /// Vouches for more of a METERED token. Nothing falls back: the largest voucher counts.
    ///
    /// # Errors
    /// If the token is not granted, is past `attach_by`, or the amount is not larger than before or above its value.
    pub fn vouch<C: Chain, K: Recover, R: Rules>(
        &mut self,
        id: TokenId,
        cumulative: Amount,
        condition: B256,
        usage: B256,
        voucher_key: &impl Signer,
        ctx: &Ctx<'_, C, K, R>,
    ) -> Result<(Voucher, Signature), ClientError> {
        if !ctx.chain.is_fresh() {
            return Err(ClientError::Blind);
        }
        if !self.runs(ctx) || self.leaving {
            return Err(ClientError::Ended);
        }
        let paying = self.paying.get_mut(&id).ok_or(ClientError::Token)?;
        if paying.grant.is_none() || paying.token.kind != TokenKind::Metered || paying.paid.is_some() {
            return Err(ClientError::Token);
        }
        if ctx.chain.now() >= paying.token.attach_by {
            return Err(ClientError::Late);
        }
        // After the one with a condition there is none: its payee would have to choose between the two.
        if cumulative <= paying.vouched || cumulative > paying.token.value || paying.conditional.is_some() {
            return Err(ClientError::Voucher);
        }
        if condition.is_zero() {
            paying.vouched = cumulative;
        } else {
            paying.conditional = Some((cumulative, condition));
        }
        let voucher = Voucher { token: id, cumulative, usage, condition };
        Ok((voucher, voucher_key.sign(voucher.digest(ctx.domain))))
    }

    /// A receipt has arrived: the token can be settled. With the hub's word: what the hub has not signed it would not settle.
    ///
    /// # Errors
    /// If the chain is not seen, or it is not the payee's and the hub's or does not show this token, or (METERED) shows more than was
    /// vouched for.
    pub fn receipt<C: Chain, K: Recover, R: Rules>(
        &mut self,
        id: TokenId,
        attached: &Attached,
        preimage: Option<B256>,
        ctx: &Ctx<'_, C, K, R>,
    ) -> Result<(), ClientError> {
        let paying = self.paying.get_mut(&id).ok_or(ClientError::Token)?;
        attached.check(&paying.token, ctx)?;
        let receipt = &attached.receipt;
        let amount = receipt.attached(id).ok_or(ClientError::Receipt)?;
        let (limit, condition) = match (paying.token.kind, paying.conditional) {
            (TokenKind::Metered, Some((limit, condition))) if amount > paying.vouched => (limit, condition),
            (TokenKind::Metered, _) => (paying.vouched, B256::ZERO),
            (TokenKind::Off | TokenKind::On, _) => (paying.token.value, paying.token.condition),
        };
        // What it pays for with a condition, it pays for against the preimage only.
        if amount > limit || amount.is_zero() || !meets(condition, preimage) {
            return Err(ClientError::Receipt);
        }
        paying.paid = Some(amount);
        paying.preimage = preimage;
        Ok(())
    }

    /// The payee's doubly-signed state with a DECLINE has arrived: the token can be refunded. On the payee's signature alone
    /// it could still be attached, and whoever pays elsewhere meanwhile would pay twice (rule 10).
    ///
    /// # Errors
    /// If the chain is not seen, or it is not doubly signed or does not decline this token.
    pub fn declined<C: Chain, K: Recover, R: Rules>(
        &mut self,
        id: TokenId,
        attached: &Attached,
        ctx: &Ctx<'_, C, K, R>,
    ) -> Result<(), ClientError> {
        let paying = self.paying.get_mut(&id).ok_or(ClientError::Token)?;
        attached.check(&paying.token, ctx)?;
        if !attached.receipt.ops.iter().any(|op| op.kind == OpKind::Decline && op.token == id.0) {
            return Err(ClientError::Receipt);
        }
        paying.declined = true;
        Ok(())
    }
}

/// A state of a payee, doubly signed, opened without its balances.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attached {
    /// The payee's state, opened.
    pub receipt: Receipt,
    /// The payee's signature of it.
    pub signature: Signature,
    /// The hub's word on it.
    pub hub: HubWord,
}

impl Attached {
    fn check<C: Chain, K: Recover, R: Rules>(&self, token: &Token, ctx: &Ctx<'_, C, K, R>) -> Result<(), ClientError> {
        if !ctx.chain.is_fresh() {
            return Err(ClientError::Blind);
        }
        if token.payee_channel() != Some(self.receipt.channel) {
            return Err(ClientError::Receipt);
        }
        let Owner { client, .. } = ctx.chain.owner(self.receipt.channel).ok_or(ClientError::Receipt)?;
        let digest = self.receipt.state_digest(ctx.domain);
        if ctx.keys.recover(digest, &self.signature) != Some(client) {
            return Err(ClientError::Receipt);
        }
        let signer = self.hub.signer(StateHash(self.receipt.struct_hash()), digest, ctx.domain, ctx.keys);
        if signer.is_some_and(|signer| ctx.chain.trusted(signer)) { Ok(()) } else { Err(ClientError::Signature) }
    }
}
