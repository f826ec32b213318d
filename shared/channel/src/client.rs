//! The client of a channel: payer and payee in one. It proposes, counts on what it may count on, and watches the chain.

mod answer;
mod duties;
mod earn;
mod error;
mod execute;
mod pay;
mod propose;
mod restore;
mod token;

pub use error::ClientError;
pub use pay::Attached;
pub use token::{Earning, Paying};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::chain::{Chain, Ctx};
use crate::contract::{Owner, RedemptionStatus, Row, Signed, Status};
use crate::hub::Proposal;
use crate::id::{Amount, ChannelId, Seq, Time, TokenId};
use crate::message::{Grant, State, Token};
use crate::rules::Rules;
use crate::transition::{Known, Position, Tokens};

/// A proposal that the client has signed and the hub has not, as far as the client knows. It may count any time: the hub can
/// sign it and show it to the contract first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Half {
    /// What was sent.
    pub proposal: Proposal,
    /// Where the channel stands by it.
    pub position: Position,
    /// When it was first sent.
    pub sent_at: Time,
}

/// One channel as its client keeps it. Everything here is stored before anything of it is sent (rule 14).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    /// Whose: this client.
    pub owner: Owner,
    /// Its epoch.
    pub epoch: u32,
    /// Its id.
    pub id: ChannelId,
    /// Where the channel stands by the newest doubly-signed state.
    pub position: Position,
    /// That state; none for the implicit one.
    pub newest: Option<State>,
    /// Its signatures; none where the contract enforced it before the hub answered: then nobody needs them.
    pub signed: Option<Signed>,
    /// The highest number this client has ever signed.
    pub highest: Seq,
    /// The proposal under way.
    pub half: Option<Half>,
    /// Proposals that the hub has refused. It can still sign them, until a higher state is doubly signed.
    pub refused: Vec<Half>,
    /// Tokens this client pays with.
    pub paying: BTreeMap<TokenId, Paying>,
    /// Tokens this client earns with.
    pub earning: BTreeMap<TokenId, Earning>,
    /// Tokens granted to it that it does not count on: declined when there is an occasion, or their places in the window would
    /// stay open for ever.
    pub unwanted: BTreeMap<TokenId, (Token, Grant)>,
    /// Tokens whose redemption it has called for, which may still have to be ended on chain once they are attached.
    pub done: Vec<Token>,
    /// Credited redemptions that the newest state acknowledges.
    pub acknowledged: Amount,
    /// The client wants to leave: nothing new is begun, and the channel is closed.
    pub leaving: bool,
}

impl Tokens for Client {
    fn known(&self, id: TokenId) -> Option<Known<'_>> {
        let paying = self.paying.get(&id).map(|paying| Known { token: &paying.token, payee_seq: Seq::ZERO });
        let earning = self.earning.get(&id).map(|earning| (&earning.token, earning.grant));
        let unwanted = self.unwanted.get(&id).map(|(token, grant)| (token, *grant));
        let granted = earning.or(unwanted).map(|(token, grant)| Known { token, payee_seq: grant.payee_seq });
        paying.or(granted)
    }
}

impl Client {
    /// A channel that has just been opened.
    #[must_use]
    pub fn opened(owner: Owner, epoch: u32, id: ChannelId, client_in: Amount, hub_in: Amount) -> Self {
        Self {
            owner,
            epoch,
            id,
            position: Position::opening(client_in, hub_in),
            newest: None,
            signed: None,
            highest: Seq::ZERO,
            half: None,
            refused: vec![],
            paying: BTreeMap::new(),
            earning: BTreeMap::new(),
            unwanted: BTreeMap::new(),
            done: vec![],
            acknowledged: Amount::ZERO,
            leaving: false,
        }
    }

    /// The number of the newest doubly-signed state.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.newest.as_ref().map_or(Seq::ZERO, |state| state.seq)
    }

    /// Whether that state is the last one.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.newest.as_ref().is_some_and(|state| state.last)
    }

    /// Whether the channel has had its last state, or may have.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.is_last() || self.half.as_ref().is_some_and(|half| half.proposal.state.last)
    }

    /// Whether the hub has left a proposal unanswered for longer than the client waits (rule 14).
    #[must_use]
    pub fn is_hub_silent<C: Chain, K, R: Rules>(&self, ctx: &Ctx<'_, C, K, R>) -> bool {
        let now = ctx.chain.now();
        self.half.as_ref().is_some_and(|half| half.sent_at.until(now) > ctx.terms.waits())
    }

    /// Whether the channel runs: open on chain, this epoch.
    fn runs<C: Chain, K, R: Rules>(&self, ctx: &Ctx<'_, C, K, R>) -> bool {
        let row = ctx.chain.row(self.owner);
        row.status == Status::Open && row.epoch == self.epoch
    }

    /// The row of this channel, unless it is final.
    fn live_row<C: Chain, K, R: Rules>(&self, ctx: &Ctx<'_, C, K, R>) -> Option<Row> {
        let row = ctx.chain.row(self.owner);
        (row.status != Status::None && row.epoch == self.epoch).then_some(row)
    }

    /// The share of the hub that this client may still count on: of the newest state and of the proposal under way the smaller,
    /// less what redemptions have taken that no state knows of. What the proposal takes for tokens this client
    /// counts on is still in it: [`Client::counted`] still has them too.
    #[must_use]
    pub fn hub_share<C: Chain, K, R: Rules>(&self, ctx: &Ctx<'_, C, K, R>) -> Amount {
        let row = ctx.chain.row(self.owner);
        let share = |position: &Position, taken: Amount| {
            let balances = &position.balances;
            let hub = balances.hub.plus(taken).unwrap_or(balances.hub);
            hub.beyond(row.hub_out.beyond(balances.hub_out))
        };
        let newest = share(&self.position, Amount::ZERO);
        let Some(half) = &self.half else { return newest };
        let consumed = half.proposal.state.ops.iter().filter(|op| self.earning.contains_key(&TokenId(op.token)));
        let taken = consumed.fold(Amount::ZERO, |sum, op| sum.plus(op.amount).unwrap_or(sum));
        newest.min(share(&half.position, taken))
    }

    /// What this client counts on from the hub's share and has not got yet. What the contract has credited has left the share.
    #[must_use]
    pub fn counted<C: Chain, K, R: Rules>(&self, ctx: &Ctx<'_, C, K, R>) -> Amount {
        let credited = |id: &TokenId| {
            ctx.chain.redemption(*id).is_some_and(|redemption| redemption.status == RedemptionStatus::Credited)
        };
        let open = self.earning.iter().filter(|(id, _)| !credited(id));
        open.fold(Amount::ZERO, |sum, (_, earning)| sum.plus(earning.token.value).unwrap_or(sum))
    }
}
