//! What the contract's events add up to: rows, redemptions, claims and signers, without asking the contract.
//!
//! Maps share what they have in common with those they were copied from: every look copies the books as of the newest final block, and
//! there may be a hundred thousand channels in them.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use imbl::{OrdMap, OrdSet};
use tarefa_channel::contract::{Owner, Redemption, RedemptionStatus, Row, Status};
use tarefa_channel::id::{Amount, ChannelId, Seq, Time, TokenId};
use tarefa_channel::message::Opening;
use tarefa_channel::transition::Side;

use crate::event::Event;

/// The sum of all events up to a block. On-channel things only: on-chain balances are asked of the contract, which keeps the opening
/// fee to itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    rows: OrdMap<Owner, Row>,
    /// Of rows: those that are closing or have redemptions under way.
    busy: OrdSet<Owner>,
    channels: OrdMap<ChannelId, (Owner, u32)>,
    openings: OrdMap<Owner, Opening>,
    redemptions: OrdMap<TokenId, Redemption>,
    /// Of redemptions: those under way, by the channel that they pay.
    redeeming: OrdSet<(ChannelId, TokenId)>,
    credited: OrdMap<Owner, Amount>,
    claims: OrdMap<(ChannelId, TokenId), Amount>,
    /// What met the conditions of tokens: the contract tells it, and whoever pays against it has bought it.
    preimages: OrdMap<TokenId, B256>,
    signers: BTreeMap<Address, Option<Time>>,
}

/// An event that cannot follow those before it: some are missing, or they are of another contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event does not fit those before it, so some are missing: {0:?}")]
pub struct Unfit(pub Box<Event>);

impl Books {
    /// A channel.
    #[must_use]
    pub fn row(&self, owner: Owner) -> Row {
        self.rows.get(&owner).copied().unwrap_or_default()
    }

    /// A redemption, or the execution of an ON token.
    #[must_use]
    pub fn redemption(&self, token: TokenId) -> Option<Redemption> {
        self.redemptions.get(&token).copied()
    }

    /// What redemptions have moved in the channel that runs.
    #[must_use]
    pub fn credited(&self, owner: Owner) -> Amount {
        self.credited.get(&owner).copied().unwrap_or_default()
    }

    /// The largest claim on a token of a payer.
    #[must_use]
    pub fn claim(&self, payer: ChannelId, token: TokenId) -> Amount {
        self.claims.get(&(payer, token)).copied().unwrap_or_default()
    }

    /// What met the condition of a token, if it was shown on chain.
    #[must_use]
    pub fn preimage(&self, token: TokenId) -> Option<B256> {
        self.preimages.get(&token).copied()
    }

    /// The enforced state of the channel that runs, opened.
    #[must_use]
    pub fn enforced(&self, owner: Owner) -> Option<Opening> {
        self.openings.get(&owner).cloned()
    }

    /// Whose channel this is or was, and its epoch.
    #[must_use]
    pub fn channel(&self, channel: ChannelId) -> Option<(Owner, u32)> {
        self.channels.get(&channel).copied()
    }

    /// Channels in which something waits for somebody: those that are closing, and those with redemptions under way.
    pub fn busy(&self) -> impl Iterator<Item = (Owner, u32)> {
        self.busy.iter().map(|owner| (*owner, self.row(*owner).epoch))
    }

    /// Redemptions under way that pay a channel.
    pub fn redeeming(&self, payee: ChannelId) -> impl Iterator<Item = TokenId> {
        let [first, last] = [B256::ZERO, B256::repeat_byte(0xff)].map(|id| (payee, TokenId(id)));
        self.redeeming.range(first..=last).map(|(_, token)| *token)
    }

    /// Whether there is any signer: every contract begins with one.
    #[must_use]
    pub fn has_signers(&self) -> bool {
        !self.signers.is_empty()
    }

    /// Whether any signer was revoked: most hubs never do.
    #[must_use]
    pub fn has_revoked(&self) -> bool {
        self.signers.values().any(Option::is_some)
    }

    /// Whether this is a signer whose revocation is not announced.
    #[must_use]
    pub fn trusted(&self, signer: Address) -> bool {
        self.signers.get(&signer) == Some(&None)
    }

    /// When the revocation of this signer takes effect; none where none is announced.
    #[must_use]
    pub fn revoked_from(&self, signer: Address) -> Option<Time> {
        self.signers.get(&signer).copied().flatten()
    }

    /// Adds an event of a block of this time.
    ///
    /// # Errors
    /// Where it cannot follow those before it; nothing is changed then.
    pub fn apply(&mut self, event: &Event, time: Time) -> Result<(), Unfit> {
        self.fits(event, time).ok_or_else(|| Unfit(Box::new(event.clone())))
    }

    fn fits(&mut self, event: &Event, time: Time) -> Option<()> {
        match event {
            Event::Subscribed { channel, owner, epoch, client_in, hub_in } => {
                let row = self.rows.entry(*owner).or_default();
                if row.status != Status::None || row.epoch != *epoch {
                    return None;
                }
                *row = Row { status: Status::Open, client_in: *client_in, hub_in: *hub_in, ..*row };
                self.channels.insert(*channel, (*owner, *epoch));
            }
            Event::SignerAnnounced { signer } => {
                self.signers.insert(*signer, None);
            }
            Event::SignerRevoked { signer, until } => {
                self.signers.insert(*signer, Some(*until));
            }
            Event::Transferred { .. } | Event::Withdrawn { .. } | Event::HubDeposited { .. } => {}
            Event::Claimed { channel, token, amount, preimage } => {
                self.claims.insert((*channel, *token), *amount);
                self.reveal(*token, *preimage);
            }
            Event::Deposited { channel, .. }
            | Event::TakenOut { channel, .. }
            | Event::TokenExecuted { channel, .. }
            | Event::Closing { channel, .. }
            | Event::Enforced { channel, .. }
            | Event::RedemptionStarted { channel, .. }
            | Event::RedemptionCredited { channel, .. }
            | Event::RedemptionVoided { channel, .. }
            | Event::Finalised { channel, .. } => {
                // Of a channel from before the first block that is known: none of whoever reads from there.
                let Some((owner, epoch)) = self.channel(*channel) else { return Some(()) };
                let row = self.rows.get(&owner).copied().filter(|row| row.epoch == epoch)?;
                let row = self.in_channel(event, owner, row, time)?;
                let busy = row.status == Status::Closing || row.redeeming > 0;
                if busy {
                    self.busy.insert(owner)
                } else {
                    self.busy.remove(&owner)
                };
                self.rows.insert(owner, row);
            }
        }
        Some(())
    }

    /// Zero is none: what needs none, or the largest voucher by then had no condition.
    fn reveal(&mut self, token: TokenId, preimage: B256) {
        if !preimage.is_zero() {
            self.preimages.insert(token, preimage);
        }
    }

    fn in_channel(&mut self, event: &Event, owner: Owner, mut row: Row, time: Time) -> Option<Row> {
        match event {
            Event::Deposited { side: Side::Client, amount, .. } => row.client_in = row.client_in.plus(*amount)?,
            Event::Deposited { side: Side::Hub, amount, .. } => row.hub_in = row.hub_in.plus(*amount)?,
            Event::TakenOut { client_out, hub_out, .. } => (row.client_out, row.hub_out) = (*client_out, *hub_out),
            Event::Closing { closes_at, .. } => (row.status, row.closes_at) = (Status::Closing, *closes_at),
            Event::Enforced { channel, seq, opening } => {
                (row.seq, row.enforced) = (*seq, opening.hash(*channel, *seq));
                self.openings.insert(owner, opening.clone());
            }
            Event::TokenExecuted { token, payee, amount, .. } => {
                row.on_out = row.on_out.plus(*amount)?;
                let (payee, status) = (payee.into_word(), RedemptionStatus::Executed);
                // Its payee sequence is nobody's: only channels have them.
                let executed = Redemption { payee, amount: *amount, credit_at: time, payee_seq: Seq::ZERO, status };
                self.redemptions.insert(*token, executed);
            }
            Event::RedemptionStarted { channel, token, amount, payee_seq, credit_at, preimage } => {
                self.reveal(*token, *preimage);
                let started = Redemption {
                    payee: channel.0,
                    amount: *amount,
                    credit_at: *credit_at,
                    payee_seq: *payee_seq,
                    status: RedemptionStatus::Pending,
                };
                if self.redemptions.insert(*token, started).is_none() {
                    row.redeeming += 1;
                }
                self.redeeming.insert((*channel, *token));
            }
            Event::RedemptionCredited { token, amount, .. } => {
                self.end_redemption(*token, RedemptionStatus::Credited, &mut row)?;
                (row.client_in, row.hub_out) = (row.client_in.plus(*amount)?, row.hub_out.plus(*amount)?);
                let credited = self.credited(owner).plus(*amount)?;
                self.credited.insert(owner, credited);
            }
            Event::RedemptionVoided { token, .. } => {
                self.end_redemption(*token, RedemptionStatus::Void, &mut row)?;
            }
            Event::Finalised { .. } => {
                row = Row { epoch: row.epoch + 1, ..Row::default() };
                self.openings.remove(&owner);
                self.credited.remove(&owner);
            }
            Event::Subscribed { .. }
            | Event::Claimed { .. }
            | Event::Transferred { .. }
            | Event::Withdrawn { .. }
            | Event::HubDeposited { .. }
            | Event::SignerAnnounced { .. }
            | Event::SignerRevoked { .. } => return None,
        }
        Some(row)
    }

    fn end_redemption(&mut self, token: TokenId, status: RedemptionStatus, row: &mut Row) -> Option<()> {
        let redemption = self.redemptions.get_mut(&token)?;
        redemption.status = status;
        self.redeeming.remove(&(ChannelId(redemption.payee), token));
        row.redeeming = row.redeeming.checked_sub(1)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(books: &Books) -> Vec<(Owner, u32)> {
        books.busy().collect()
    }

    #[test]
    fn what_waits_for_somebody_is_found_and_nothing_else() {
        let owner = |byte| Owner { client: Address::repeat_byte(byte), asset: Address::ZERO };
        let (channel, other) = (ChannelId(B256::repeat_byte(1)), ChannelId(B256::repeat_byte(2)));
        let [first, second] = [3, 4].map(|byte| TokenId(B256::repeat_byte(byte)));
        let opened = |channel, byte, epoch| {
            let (client_in, hub_in) = (Amount(100), Amount(100));
            Event::Subscribed { channel, owner: owner(byte), epoch, client_in, hub_in }
        };
        let started = |token, amount| Event::RedemptionStarted {
            channel,
            token,
            amount: Amount(amount),
            payee_seq: Seq::ZERO,
            credit_at: Time(50),
            preimage: B256::ZERO,
        };
        let mut books = Books::default();
        let mut apply = |event: &Event| {
            books.apply(event, Time(1)).expect("it fits");
            (busy(&books), books.redeeming(channel).collect::<Vec<_>>(), books.redeeming(other).count())
        };
        apply(&opened(other, 2, 0));
        assert_eq!(apply(&opened(channel, 1, 0)), (vec![], vec![], 0));
        let is_busy = vec![(owner(1), 0)];
        assert_eq!(apply(&started(first, 5)), (is_busy.clone(), vec![first], 0));
        assert_eq!(
            apply(&started(first, 6)),
            (is_busy.clone(), vec![first], 0),
            "a larger voucher is no other redemption"
        );
        assert_eq!(apply(&started(second, 7)), (is_busy.clone(), vec![first, second], 0));
        let voided = Event::RedemptionVoided { channel, token: first };
        assert_eq!(apply(&voided), (is_busy.clone(), vec![second], 0));
        let credited = Event::RedemptionCredited { channel, token: second, amount: Amount(7) };
        assert_eq!(apply(&credited), (vec![], vec![], 0));
        let closing = Event::Closing { channel, by: owner(1).client, closes_at: Time(9) };
        assert_eq!(apply(&closing), (is_busy, vec![], 0));
        let (to_client, to_hub) = (Amount(107), Amount(93));
        assert_eq!(apply(&Event::Finalised { channel, to_client, to_hub }), (vec![], vec![], 0));
    }
}
