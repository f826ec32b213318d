//! The contract's functions and their arguments.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use super::Owner;
use crate::eip712::Domain;
use crate::id::{Amount, Digest, StateHash, TokenId};
use crate::message::{ChannelOffer, Grant, Message as _, Opening, Receipt, RedeemAuth, State, Token, Voucher};
use crate::sign::{HubSignature, Recover, Signature};
use crate::transition::Side;

/// How the hub agreed to a state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HubWord {
    /// It signed the state.
    State(HubSignature),
    /// It granted a token of it (a Grant counts as its signature on the state it names).
    Grant(Grant, HubSignature),
}

impl HubWord {
    /// Who agreed for the hub to the state with this hash and digest; nobody where it grants a token of another one.
    #[must_use]
    pub fn signer(&self, state: StateHash, digest: Digest, domain: &Domain, keys: &impl Recover) -> Option<Address> {
        match self {
            Self::State(hub) => hub.signer(domain, digest, keys),
            Self::Grant(grant, hub) if grant.payer_state == state => hub.signer(domain, grant.digest(domain), keys),
            Self::Grant(..) => None,
        }
    }
}

/// A state with both signatures. They are not looked at where the contract enforces this state already (rule 12).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signed {
    /// The state.
    pub state: State,
    /// The client's signature of its digest.
    pub client: Signature,
    /// The hub's.
    pub hub: HubWord,
}

impl Signed {
    /// Who signed it for the hub.
    #[must_use]
    pub fn hub_signer(&self, domain: &Domain, keys: &impl Recover) -> Option<Address> {
        self.hub.signer(self.state.hash(), self.state.digest(domain), domain, keys)
    }
}

/// Why a token on the payer's channel is paid (rule 7).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// OFF: the payee attached it.
    Receipt {
        /// The payee's state, opened.
        receipt: Receipt,
        /// The payee's signature of it.
        signature: Signature,
        /// Whose channel it is.
        payee: Owner,
        /// The channel's epoch.
        epoch: u32,
        /// What hashes to the token's condition; ignored without one.
        preimage: B256,
    },
    /// METERED: the payer vouched for it.
    Voucher {
        /// The voucher.
        voucher: Voucher,
        /// Of the token's voucher key.
        signature: Signature,
        /// What hashes to the voucher's condition; ignored without one.
        preimage: B256,
    },
}

/// Arguments of `attachToken(token, grant, payerState)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttachToken {
    /// The payer.
    pub owner: Owner,
    /// The ON token.
    pub token: Token,
    /// The hub's grant of it.
    pub grant: Grant,
    /// The hub's signature of the grant.
    pub hub: HubSignature,
    /// The state whose pending tokens hold this one: the one that detached it (with the payer's signature), or the newer
    /// one that the contract enforces.
    pub state: State,
    /// The payer's signature of the state.
    pub client: Signature,
    /// The token's place among the pending ones.
    pub index: usize,
    /// The siblings from there to `pending_root`.
    pub proof: Vec<B256>,
}

/// Arguments of `redeemToken`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Redeem {
    /// The payee.
    pub owner: Owner,
    /// The token.
    pub token: Token,
    /// The hub's grant of it.
    pub grant: Grant,
    /// The hub's signature of the grant.
    pub hub: HubSignature,
    /// METERED: the largest voucher.
    pub voucher: Option<(Voucher, Signature)>,
    /// What hashes to the condition; ignored without one.
    pub preimage: B256,
    /// The payee's leave, where the caller is another.
    pub auth: Option<(RedeemAuth, Signature)>,
}

/// Arguments of `finalise`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finalise {
    /// Whose channel.
    pub owner: Owner,
    /// The state that the contract enforces, opened; none for the implicit one.
    pub enforced: Option<Opening>,
    /// All its pending tokens, in ascending order of their ids.
    pub tokens: Vec<Token>,
}

/// One transaction to the contract.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// Opens a channel: the caller is the offer's client.
    Subscribe {
        /// The hub's offer.
        offer: ChannelOffer,
        /// The hub's signature of it.
        hub: HubSignature,
        /// What the client puts in, without the opening fee.
        deposit: Amount,
    },
    /// `detachToken`: money into a side of somebody's channel.
    Deposit {
        /// Whose channel.
        owner: Owner,
        /// Which side.
        side: Side,
        /// How much.
        amount: Amount,
        /// From the caller's on-chain balance rather than from outside.
        from_balance: bool,
    },
    /// `attachToken(state)`: checkpoints the state and carries out what it books out.
    AttachState {
        /// Whose channel.
        owner: Owner,
        /// The state.
        signed: Signed,
    },
    /// `attachToken(token, grant, payerState)`: pays an ON token.
    AttachToken(Box<AttachToken>),
    /// Between on-chain balances.
    Transfer {
        /// To whom.
        to: Address,
        /// Which asset.
        asset: Address,
        /// How much.
        amount: Amount,
    },
    /// Starts the closing of a channel, at the enforced state or at a newer one. Client or hub only. A state that is not newer
    /// is passed over, so that nobody can hold up a close by enforcing its state first.
    Close {
        /// Whose channel.
        owner: Owner,
        /// The newer state.
        signed: Option<Signed>,
    },
    /// Ends a channel at once, by its last state.
    CloseLast {
        /// Whose channel.
        owner: Owner,
        /// The last state.
        signed: Signed,
    },
    /// `argueClosure`: enforces a newer state. A checkpoint where the channel is open.
    Argue {
        /// Whose channel.
        owner: Owner,
        /// The newer state.
        signed: Signed,
    },
    /// Enforces a newer state (or names the enforced one), and ends the redemptions of tokens whose payee sequence it has
    /// consumed: one call for all of them.
    ArgueRedemption {
        /// The payee.
        owner: Owner,
        /// The state.
        signed: Signed,
        /// The tokens.
        tokens: Vec<Token>,
    },
    /// Starts a redemption, or raises it.
    Redeem(Box<Redeem>),
    /// Writes down redemptions that nobody has defeated in time.
    Credit {
        /// The payee.
        owner: Owner,
        /// Their tokens.
        tokens: Vec<TokenId>,
    },
    /// Records a claim on a token of a closing payer.
    Resolve {
        /// The payer.
        owner: Owner,
        /// The token.
        token: Token,
        /// Why it is paid.
        evidence: Evidence,
    },
    /// Ends a closing: pays both sides.
    Finalise(Box<Finalise>),
    /// Pays out an on-chain balance to the caller.
    Withdraw {
        /// Which asset.
        asset: Address,
        /// How much.
        amount: Amount,
    },
    /// Money for the hub's on-chain balance.
    HubDeposit {
        /// Which asset.
        asset: Address,
        /// How much.
        amount: Amount,
    },
    /// Registers a signer of the hub. Treasury only.
    AnnounceSigner {
        /// The signer.
        signer: Address,
    },
    /// Announces that a signer will be revoked. Treasury only.
    RevokeSigner {
        /// The signer.
        signer: Address,
    },
    /// Not a function of the contract: the hub takes its share on its word alone. Only where rule 3 is off.
    HubDraw {
        /// Whose channel.
        owner: Owner,
        /// How much.
        amount: Amount,
    },
}
