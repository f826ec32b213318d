//! An ERC-20 asset is taken from an account by the contract, which its owner approves first: for as much as the call takes.

use alloy_primitives::{Address, TxKind, U256, keccak256};
use alloy_sol_types::{SolCall as _, sol};
use tarefa_channel::Amount;
use tarefa_channel::contract::{Call, Owner};

use super::{GAS_BEHIND, SPARE_GAS, SendFault, Sender, Sent};
use crate::outbox::Flight;

sol! {
    function balanceOf(address holder) external view returns (uint256);
    function allowance(address holder, address spender) external view returns (uint256);
    function approve(address spender, uint256 amount) external;
}

/// The function's name, for who is told what is on its way.
const FUNCTION: &str = "approve";

/// What a call takes from its sender's account in an ERC-20 asset; nothing for calls in the native one, which goes along with them.
#[must_use]
pub fn taken(call: &Call) -> Option<(Address, Amount)> {
    let (asset, amount) = match call {
        Call::Subscribe { offer, deposit, .. } => (offer.asset, deposit.plus(offer.opening_fee)?),
        Call::Deposit { owner: Owner { asset, .. }, amount, from_balance: false, .. } => (*asset, *amount),
        Call::HubDeposit { asset, amount } => (*asset, *amount),
        _ => return None,
    };
    (!asset.is_zero() && !amount.is_zero()).then_some((asset, amount))
}

impl Sender {
    /// What is to be approved, one after the other, before a contract can take so much: nothing where it may already; else the amount, and zero
    /// before that where less is left of an earlier one, as some assets insist. `alone`: no other call of this key is on its way, which may take
    /// what is approved now.
    ///
    /// # Errors
    /// [`SendFault::Poor`] where the account has less; where the node does not answer, or there is no ERC-20 contract.
    pub async fn approvals(
        &self,
        spender: Address,
        asset: Address,
        amount: Amount,
        alone: bool,
    ) -> Result<Vec<Amount>, SendFault> {
        let (holder, needed) = (self.address(), U256::from(amount.0));
        let has = self.rpc.read(asset, &balanceOfCall { holder }).await?;
        if has < needed {
            return Err(SendFault::Poor { holder, asset, has, needed });
        }
        if !alone {
            return Ok(vec![amount]);
        }
        let left = self.rpc.read(asset, &allowanceCall { holder, spender }).await?;
        Ok(if left >= needed {
            vec![]
        } else if left.is_zero() {
            vec![amount]
        } else {
            vec![Amount::ZERO, amount]
        })
    }

    /// Signs an approval without sending it, as [`Sender::prepare`] signs a call. `behind`: it follows one that is not mined yet.
    ///
    /// # Errors
    /// Where it would revert, or the node does not answer.
    pub async fn prepare_approval(
        &self,
        spender: Address,
        asset: Address,
        amount: Amount,
        behind: bool,
    ) -> Result<Flight, SendFault> {
        let input = approveCall { spender, amount: U256::from(amount.0) }.abi_encode();
        let call = keccak256([asset.as_slice(), &input].concat());
        let (to, input) = (TxKind::Call(asset), input.into());
        let gas = if behind {
            GAS_BEHIND
        } else {
            let gas = self.rpc.estimate(self.address(), to, U256::ZERO, alloy_primitives::Bytes::clone(&input)).await?;
            gas.saturating_add(gas / 100 * SPARE_GAS)
        };
        let sent: Sent = self.priced(to, U256::ZERO, input, gas).await?;
        Ok(Flight { call, function: FUNCTION.to_owned(), sent })
    }
}
