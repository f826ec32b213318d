//! The chain as the honest party sees it. One tick is final: reorgs are the business of the random search.

use tarefa_channel::Address;
use tarefa_channel::chain::Chain;
use tarefa_channel::contract::{Owner, Redemption, RedemptionStatus, Row};
use tarefa_channel::id::{Amount, ChannelId, Time, TokenId};
use tarefa_channel::message::{Opening, State};

use super::World;
use crate::scenario::{ALICES, BOBS, Scenario, channel};

/// A world, seen from the honest party.
pub struct View<'a> {
    /// The world.
    pub world: &'a World,
    /// Where it comes from.
    pub scenario: &'a Scenario,
}

impl Chain for View<'_> {
    fn now(&self) -> Time {
        self.world.now
    }

    fn final_time(&self) -> Time {
        self.world.now
    }

    fn row(&self, owner: Owner) -> Row {
        self.world.contract.row(owner)
    }

    fn final_row(&self, owner: Owner) -> Row {
        self.row(owner)
    }

    fn redemption(&self, token: TokenId) -> Option<Redemption> {
        self.world.contract.redemptions.get(&token).copied()
    }

    fn final_redemption(&self, token: TokenId) -> Option<Redemption> {
        self.redemption(token)
    }

    fn final_credited(&self, owner: Owner) -> Amount {
        let credited = self.scenario.tokens.iter().filter(|token| token.payee_channel() == Some(channel(owner)));
        let amounts = credited.filter_map(|token| {
            let redemption = self.redemption(token.id())?;
            (redemption.status == RedemptionStatus::Credited).then_some(redemption.amount.0)
        });
        Amount(amounts.sum())
    }

    fn claim(&self, payer: ChannelId, token: TokenId) -> Amount {
        self.world.contract.claims.get(&(payer, token)).copied().unwrap_or_default()
    }

    fn enforced(&self, owner: Owner) -> Option<Opening> {
        self.world.openings.get(&owner).map(State::opening)
    }

    fn owner(&self, id: ChannelId) -> Option<Owner> {
        [ALICES, BOBS].into_iter().find(|owner| channel(*owner) == id)
    }

    fn epoch(&self, id: ChannelId) -> Option<u32> {
        self.owner(id).map(|_| 0)
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn trusted(&self, signer: Address) -> bool {
        self.world.contract.signers.get(&signer) == Some(&None)
    }

    fn revoked_from(&self, signer: Address) -> Option<Time> {
        self.world.contract.signers.get(&signer).copied().flatten()
    }
}
