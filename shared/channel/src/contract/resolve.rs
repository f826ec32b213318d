//! Claims on the tokens of a closing payer, as a running maximum (rule 7).

use super::redeem::check_preimage;
use super::{Contract, Env, Evidence, Owner, Revert, Status};
use crate::id::{Amount, TokenId};
use crate::message::{Token, TokenKind};
use crate::rules::{Rule, Rules};
use crate::sign::Recover;

impl<R: Rules> Contract<R> {
    pub(super) fn resolve(
        &mut self,
        owner: Owner,
        token: &Token,
        evidence: &Evidence,
        env: &Env<'_, impl Recover>,
    ) -> Result<(), Revert> {
        let row = self.row(owner);
        if row.status != Status::Closing {
            return Err(Revert::NotClosing);
        }
        let channel = self.channel_id(owner, row.epoch);
        if token.payer_channel != channel {
            return Err(Revert::WrongChannel);
        }
        if env.now >= token.claim_by {
            return Err(Revert::TooLate);
        }
        let id = token.id();
        let amount = self.proved(id, token, evidence, env)?;
        if amount <= self.claims.get(&(channel, id)).copied().unwrap_or_default() {
            return Err(Revert::NotMore);
        }
        self.claims.insert((channel, id), amount);
        Ok(())
    }

    fn proved(
        &self,
        id: TokenId,
        token: &Token,
        evidence: &Evidence,
        env: &Env<'_, impl Recover>,
    ) -> Result<Amount, Revert> {
        match evidence {
            Evidence::Receipt { receipt, signature, payee, epoch, preimage } => {
                if token.kind != TokenKind::Off && (token.kind != TokenKind::Metered || self.rules.hold(Rule::R7)) {
                    return Err(Revert::WrongKind);
                }
                if self.channel_id(*payee, *epoch).0 != token.payee {
                    return Err(Revert::WrongChannel);
                }
                let signer = env.keys.recover(receipt.state_digest(&self.domain), signature);
                if receipt.channel.0 != token.payee || signer != Some(payee.client) {
                    return Err(Revert::BadSignature);
                }
                check_preimage(token.condition, *preimage)?;
                let amount = receipt.attached(id).ok_or(Revert::BadAmount)?;
                if amount > token.value { Err(Revert::BadAmount) } else { Ok(amount) }
            }
            Evidence::Voucher { voucher, signature, preimage } => {
                if token.kind != TokenKind::Metered {
                    return Err(Revert::WrongKind);
                }
                let amount = self.vouched(id, token, voucher, signature, env.keys)?;
                check_preimage(voucher.condition, *preimage)?;
                Ok(amount)
            }
        }
    }
}
