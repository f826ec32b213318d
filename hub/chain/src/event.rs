//! What the contract tells of.

use alloy_primitives::{Address, B256, Log, U256};
use alloy_sol_types::SolEventInterface as _;
use tarefa_channel::contract::Owner;
use tarefa_channel::id::{Amount, ChannelId, Seq, Time, TokenId};
use tarefa_channel::message::{Balances, Opening};
use tarefa_channel::transition::Side;

use crate::abi::FulgurHub::{self, FulgurHubEvents as Events};

/// An event of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A channel was opened.
    Subscribed {
        /// The channel.
        channel: ChannelId,
        /// Whose, in what.
        owner: Owner,
        /// Which of theirs.
        epoch: u32,
        /// The client's deposit.
        client_in: Amount,
        /// The hub's collateral.
        hub_in: Amount,
    },
    /// Money went into a side of a channel (`TokenDetached`).
    Deposited {
        /// The channel.
        channel: ChannelId,
        /// Which side.
        side: Side,
        /// How much.
        amount: Amount,
    },
    /// A hot withdrawal: what has left since the channel was opened (`TokenAttached`).
    TakenOut {
        /// The channel.
        channel: ChannelId,
        /// By the client.
        client_out: Amount,
        /// By the hub.
        hub_out: Amount,
    },
    /// An ON token was paid.
    TokenExecuted {
        /// The payer's channel.
        channel: ChannelId,
        /// The token.
        token: TokenId,
        /// To whom.
        payee: Address,
        /// How much.
        amount: Amount,
    },
    /// Somebody closes a channel (`WalletClosed`).
    Closing {
        /// The channel.
        channel: ChannelId,
        /// Who.
        by: Address,
        /// Newer states are enforced before.
        closes_at: Time,
    },
    /// A newer state is enforced (`Challenged`, `Checkpointed`).
    Enforced {
        /// The channel.
        channel: ChannelId,
        /// The state's number.
        seq: Seq,
        /// The state, opened.
        opening: Opening,
    },
    /// A redemption was started or raised.
    RedemptionStarted {
        /// The payee's channel.
        channel: ChannelId,
        /// The token.
        token: TokenId,
        /// How much.
        amount: Amount,
        /// What defeats it.
        payee_seq: Seq,
        /// When it is paid.
        credit_at: Time,
        /// What was revealed for it; zero for nothing.
        preimage: B256,
    },
    /// A redemption was written down as paid.
    RedemptionCredited {
        /// The payee's channel.
        channel: ChannelId,
        /// The token.
        token: TokenId,
        /// How much.
        amount: Amount,
    },
    /// A redemption fell.
    RedemptionVoided {
        /// The payee's channel.
        channel: ChannelId,
        /// The token.
        token: TokenId,
    },
    /// A token of a closing payer was claimed (`Resolved`).
    Claimed {
        /// The payer's channel.
        channel: ChannelId,
        /// The token.
        token: TokenId,
        /// How much in all.
        amount: Amount,
        /// What was revealed for it; zero for nothing.
        preimage: B256,
    },
    /// A channel has ended.
    Finalised {
        /// The channel.
        channel: ChannelId,
        /// The client's part.
        to_client: Amount,
        /// The hub's part.
        to_hub: Amount,
    },
    /// An on-chain balance moved.
    Transferred {
        /// From whom.
        from: Address,
        /// To whom.
        to: Address,
        /// In what.
        asset: Address,
        /// How much.
        amount: Amount,
    },
    /// An on-chain balance was paid out.
    Withdrawn {
        /// Whose.
        party: Address,
        /// In what.
        asset: Address,
        /// How much.
        amount: Amount,
    },
    /// The hub's on-chain balance grew.
    HubDeposited {
        /// In what.
        asset: Address,
        /// How much.
        amount: Amount,
    },
    /// A signer of the hub counts from now on.
    SignerAnnounced {
        /// Its address.
        signer: Address,
    },
    /// A signer of the hub counts until a time.
    SignerRevoked {
        /// Its address.
        signer: Address,
        /// Until when.
        until: Time,
    },
}

fn seq(number: alloy_primitives::aliases::U48) -> Seq {
    Seq::new(number.to::<u64>()).expect("48 bits are 48 bits")
}

fn time(seconds: alloy_primitives::aliases::U40) -> Time {
    Time(seconds.to::<u64>())
}

fn opening(last: bool, ops: B256, b: FulgurHub::Balances) -> Opening {
    let balances = Balances {
        client: Amount(b.client),
        hub: Amount(b.hub),
        pending: Amount(b.pending),
        client_in: Amount(b.clientIn),
        client_out: Amount(b.clientOut),
        hub_in: Amount(b.hubIn),
        hub_out: Amount(b.hubOut),
        on_out: Amount(b.onOut),
        pending_count: b.pendingCount,
        pending_root: b.pendingRoot,
        floor: seq(b.floor),
        window: U256::from(b.window),
    };
    Opening { last, balances, ops }
}

/// A log that is none of the contract's events: the address is another contract's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a log of the contract is none of its events ({0}): is this the contract's address?")]
pub struct Undecodable(pub String);

/// What a log of the contract says; none for what it says of no channel (EIP-712's own event).
///
/// # Errors
/// Where it is none of the contract's.
pub fn decode(log: &Log) -> Result<Option<Event>, Undecodable> {
    let channel = ChannelId;
    Ok(Some(match Events::decode_log(log).map_err(|error| Undecodable(error.to_string()))?.data {
        Events::Subscribed(e) => Event::Subscribed {
            channel: channel(e.channel),
            owner: Owner { client: e.client, asset: e.asset },
            epoch: e.epoch,
            client_in: Amount(e.clientIn),
            hub_in: Amount(e.hubIn),
        },
        Events::TokenDetached(e) => {
            let side = if e.side == 0 { Side::Client } else { Side::Hub };
            Event::Deposited { channel: channel(e.channel), side, amount: Amount(e.amount) }
        }
        Events::TokenAttached(e) => {
            Event::TakenOut { channel: channel(e.channel), client_out: Amount(e.clientOut), hub_out: Amount(e.hubOut) }
        }
        Events::TokenExecuted(e) => Event::TokenExecuted {
            channel: channel(e.channel),
            token: TokenId(e.token),
            payee: e.payee,
            amount: Amount(e.amount),
        },
        Events::WalletClosed(e) => {
            Event::Closing { channel: channel(e.channel), by: e.by, closes_at: time(e.closesAt) }
        }
        Events::Challenged(e) => Event::Enforced {
            channel: channel(e.channel),
            seq: seq(e.seq),
            opening: opening(e.last, e.ops, e.balances),
        },
        Events::Checkpointed(e) => Event::Enforced {
            channel: channel(e.channel),
            seq: seq(e.seq),
            opening: opening(e.last, e.ops, e.balances),
        },
        Events::RedemptionStarted(e) => Event::RedemptionStarted {
            channel: channel(e.channel),
            token: TokenId(e.token),
            amount: Amount(e.amount),
            payee_seq: seq(e.payeeSeq),
            credit_at: time(e.creditAt),
            preimage: e.preimage,
        },
        Events::RedemptionCredited(e) => {
            Event::RedemptionCredited { channel: channel(e.channel), token: TokenId(e.token), amount: Amount(e.amount) }
        }
        Events::RedemptionVoided(e) => Event::RedemptionVoided { channel: channel(e.channel), token: TokenId(e.token) },
        Events::Resolved(e) => Event::Claimed {
            channel: channel(e.channel),
            token: TokenId(e.token),
            amount: Amount(e.amount),
            preimage: e.preimage,
        },
        Events::Finalised(e) => {
            Event::Finalised { channel: channel(e.channel), to_client: Amount(e.toClient), to_hub: Amount(e.toHub) }
        }
        Events::Transferred(e) => {
            Event::Transferred { from: e.from, to: e.to, asset: e.asset, amount: Amount(e.amount) }
        }
        Events::Withdrawn(e) => Event::Withdrawn { party: e.party, asset: e.asset, amount: Amount(e.amount) },
        Events::HubDeposited(e) => Event::HubDeposited { asset: e.asset, amount: Amount(e.amount) },
        Events::SignerAnnounced(e) => Event::SignerAnnounced { signer: e.signer },
        Events::SignerRevoked(e) => Event::SignerRevoked { signer: e.signer, until: time(e.until) },
        Events::EIP712DomainChanged(_) => return Ok(None),
    }))
}
