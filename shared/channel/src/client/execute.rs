//! What a client has carried out on chain because its user wants it: hot withdrawals and ON tokens.

use super::Client;
use crate::chain::{Chain, Ctx};
use crate::contract::{AttachToken, Call};
use crate::id::TokenId;
use crate::message::TokenKind;
use crate::rules::Rules;
use crate::tree::pending_proof;

impl Client {
    /// The call that carries out what the newest state books out, where there is anything left of it.
    #[must_use]
    pub fn withdrawal<C: Chain, K, R: Rules>(&self, ctx: &Ctx<'_, C, K, R>) -> Option<Call> {
        let (row, signed) = (self.live_row(ctx)?, self.signed.as_ref()?);
        let booked = signed.state.balances.client_out > row.client_out || signed.state.balances.hub_out > row.hub_out;
        booked.then(|| Call::AttachState { owner: self.owner, signed: signed.clone() })
    }

    /// The calls that have an ON token of this client paid, in this order; none where it is not granted, not in time, or paid.
    #[must_use]
    pub fn execution<C: Chain, K, R: Rules>(&self, id: TokenId, ctx: &Ctx<'_, C, K, R>) -> Vec<Call> {
        let calls = || {
            let (row, signed, paying) = (self.live_row(ctx)?, self.signed.as_ref()?, self.paying.get(&id)?);
            let (grant, hub) = paying.grant.as_ref()?;
            let done = ctx.chain.redemption(id).is_some();
            if paying.token.kind != TokenKind::On || done || !ctx.terms.reaches(ctx.chain.now(), paying.token.redeem_by)
            {
                return None;
            }
            let ids: Vec<TokenId> = self.position.pending.iter().copied().collect();
            let index = ids.binary_search(&id).ok()?;
            // The grant makes one state doubly signed: the one that detached the token. A later one has to be enforced first.
            let hash = signed.state.hash();
            let later = grant.payer_state != hash && row.enforced != hash;
            let checkpoint = later.then(|| Call::Argue { owner: self.owner, signed: signed.clone() });
            let attach = Call::AttachToken(Box::new(AttachToken {
                owner: self.owner,
                token: paying.token.clone(),
                grant: *grant,
                hub: hub.clone(),
                state: signed.state.clone(),
                client: signed.client,
                index,
                proof: pending_proof(&ids, index),
            }));
            Some(checkpoint.into_iter().chain([attach]).collect())
        };
        calls().unwrap_or_default()
    }
}
