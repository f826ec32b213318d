//! After a loss of the client's store: what the hub shows, as far as it is signed.

use super::{Client, ClientError, Paying};
use crate::chain::{Chain, Ctx};
use crate::contract::Signed;
use crate::hub::HubToken;
use crate::id::{Amount, Seq, TokenId};
use crate::message::Message;
use crate::rules::Rules;
use crate::sign::Recover;
use crate::transition::Position;
use crate::tree::pending_root;
use crate::window;

impl Client {
    /// After a backup was restored: takes up the newest state that the hub shows, where it is newer, with its pending tokens; and never
    /// again signs a number that may have been signed since the backup was made (1.26). What the hub hides is lost to whoever has earned by it,
    /// once a newer state is signed: a caller that knows of a later one takes nothing up.
    ///
    /// `acknowledged`: credited redemptions that the state acknowledges. The hub's word alone: what it says too little of, or too much, it
    /// refuses to acknowledge later, and the contract pays by its own counters.
    ///
    /// # Errors
    /// If the state or a token is not what both have signed. Nothing has changed then.
    pub fn restored<C: Chain, K: Recover, R: Rules>(
        &mut self,
        newest: Option<&Signed>,
        acknowledged: Amount,
        paying: &[HubToken],
        ctx: &Ctx<'_, C, K, R>,
    ) -> Result<(), ClientError> {
        let mut found = self.clone();
        if let Some(signed) = newest.filter(|signed| signed.state.seq > self.seq()) {
            found.take_up(signed, acknowledged, paying, ctx)?;
        }
        found.resume(ctx);
        found.highest = found.highest.max(found.seq()).forward(Seq::RESTORE_JUMP).ok_or(ClientError::Exhausted)?;
        *self = found;
        Ok(())
    }

    /// Whether this is a state of this channel that both have signed, the hub with a key that counts.
    pub fn is_doubly_signed<C: Chain, K: Recover, R: Rules>(&self, signed: &Signed, ctx: &Ctx<'_, C, K, R>) -> bool {
        let state = &signed.state;
        let digest = state.digest(ctx.domain);
        let mine = ctx.keys.recover(digest, &signed.client) == Some(self.owner.client);
        let hub = signed.hub_signer(ctx.domain, ctx.keys);
        state.channel == self.id && mine && hub.is_some_and(|signer| ctx.chain.trusted(signer))
    }

    fn take_up<C: Chain, K: Recover, R: Rules>(
        &mut self,
        signed: &Signed,
        acknowledged: Amount,
        paying: &[HubToken],
        ctx: &Ctx<'_, C, K, R>,
    ) -> Result<(), ClientError> {
        let state = &signed.state;
        if !self.is_doubly_signed(signed, ctx) {
            return Err(ClientError::Signature);
        }
        let mut ids: Vec<TokenId> = paying.iter().map(|row| row.token.id()).collect();
        ids.sort_unstable();
        // The state names its pending tokens by their root, so the hub can neither leave one out nor add one.
        if pending_root(&ids) != state.balances.pending_root {
            return Err(ClientError::Token);
        }
        for row in paying {
            let id = row.token.id();
            let vouched = row.voucher.filter(|(voucher, signature)| {
                let signer = ctx.keys.recover(voucher.digest(ctx.domain), signature);
                voucher.token == id && voucher.condition.is_zero() && signer == Some(row.token.voucher_key)
            });
            let grant = Some((row.grant, row.hub.clone())).filter(|(grant, _)| grant.token == id);
            let found = self.paying.entry(id).or_insert_with(|| Paying::new(row.token.clone()));
            found.grant = grant.or(found.grant.take());
            found.vouched = found.vouched.max(vouched.map_or(Amount::ZERO, |(voucher, _)| voucher.cumulative));
        }
        self.position = Position { balances: state.balances.clone(), pending: ids.iter().copied().collect() };
        self.newest = Some(state.clone());
        self.signed = Some(signed.clone());
        self.acknowledged = acknowledged;
        self.half.take_if(|half| half.proposal.state.seq <= state.seq);
        self.refused.clear();
        self.paying.retain(|id, _| ids.contains(id));
        let consumed: Vec<TokenId> = self
            .earning
            .iter()
            .filter(|(_, earning)| window::holds(&state.balances, earning.grant.payee_seq))
            .map(|(id, _)| *id)
            .collect();
        for id in consumed {
            // A redemption may have been called for after this was backed up.
            self.redeems(id);
            self.earning.remove(&id);
        }
        self.unwanted.retain(|_, (_, grant)| !window::holds(&state.balances, grant.payee_seq));
        Ok(())
    }
}
