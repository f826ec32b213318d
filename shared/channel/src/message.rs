//! What is signed: the EIP-712 types of the specification, field by field.

mod grant;
mod offer;
mod state;
mod token;
mod voucher;

pub use grant::{Grant, RedeemAuth};
pub use offer::{Batch, ChannelOffer};
pub use state::{Balances, Op, OpKind, Opening, Receipt, State};
pub use token::{Token, TokenKind};
pub use voucher::Voucher;

use alloy_primitives::B256;

use crate::eip712::Domain;
use crate::id::Digest;

/// A typed message: something with a `hashStruct`.
pub trait Message {
    /// `hashStruct` of EIP-712: the hash of the type and of every field.
    fn struct_hash(&self) -> B256;

    /// What its signer signs (and what a batch holds as a leaf).
    fn digest(&self, domain: &Domain) -> Digest {
        domain.digest(self.struct_hash())
    }
}

/// The hash of an EIP-712 type string, computed once.
macro_rules! type_hash {
    ($type:expr) => {{
        static HASH: std::sync::LazyLock<alloy_primitives::B256> =
            std::sync::LazyLock::new(|| alloy_primitives::keccak256($type));
        *HASH
    }};
}
use type_hash;
