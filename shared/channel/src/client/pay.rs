//! The payer's side: vouchers given, receipts received.

use sha2::{Digest as _, Sha256};

use super::{Client, ClientError};
use crate::B256;
use crate::chain::{Chain, Ctx};
use crate::contract::Owner;
use crate::id::{Amount, TokenId};
use crate::message::{Message, OpKind, Receipt, TokenKind, Voucher};
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

    /// A receipt has arrived: the token can be settled.
    ///
    /// # Errors
    /// If it is not the payee's or does not show this token, or (METERED) shows more than was vouched for.
    pub fn receipt<C: Chain, K: Recover, R: Rules>(
        &mut self,
        id: TokenId,
        receipt: &Receipt,
        signature: &Signature,
        preimage: Option<B256>,
        ctx: &Ctx<'_, C, K, R>,
    ) -> Result<(), ClientError> {
        let paying = self.paying.get_mut(&id).ok_or(ClientError::Token)?;
        let payee =
            paying.token.payee_channel().filter(|payee| *payee == receipt.channel).ok_or(ClientError::Receipt)?;
        let Owner { client, .. } = ctx.chain.owner(payee).ok_or(ClientError::Receipt)?;
        if ctx.keys.recover(receipt.state_digest(ctx.domain), signature) != Some(client) {
            return Err(ClientError::Receipt);
        }
        let amount = receipt.attached(id).ok_or(ClientError::Receipt)?;
        let (limit, condition) = match (paying.token.kind, paying.conditional) {
            (TokenKind::Metered, Some((limit, condition))) if amount > paying.vouched => (limit, condition),
            (TokenKind::Metered, _) => (paying.vouched, B256::ZERO),
            (TokenKind::Off | TokenKind::On, _) => (paying.token.value, paying.token.condition),
        };
        // What it pays for with a condition, it pays for against the preimage only.
        let met = condition.is_zero()
            || preimage.is_some_and(|found| Sha256::digest(found).as_slice() == condition.as_slice());
        if amount > limit || amount.is_zero() || !met {
            return Err(ClientError::Receipt);
        }
        paying.paid = Some(amount);
        paying.preimage = preimage;
        Ok(())
    }

    /// The payee's doubly-signed state with a DECLINE has arrived: the token can be refunded.
    ///
    /// # Errors
    /// If it is not the payee's or does not decline this token.
    pub fn declined<C: Chain, K: Recover, R: Rules>(
        &mut self,
        id: TokenId,
        receipt: &Receipt,
        signature: &Signature,
        ctx: &Ctx<'_, C, K, R>,
    ) -> Result<(), ClientError> {
        let paying = self.paying.get_mut(&id).ok_or(ClientError::Token)?;
        let payee =
            paying.token.payee_channel().filter(|payee| *payee == receipt.channel).ok_or(ClientError::Receipt)?;
        let Owner { client, .. } = ctx.chain.owner(payee).ok_or(ClientError::Receipt)?;
        let declines = receipt.ops.iter().any(|op| op.kind == OpKind::Decline && op.token == id.0);
        if !declines || ctx.keys.recover(receipt.state_digest(ctx.domain), signature) != Some(client) {
            return Err(ClientError::Receipt);
        }
        paying.declined = true;
        Ok(())
    }
}
