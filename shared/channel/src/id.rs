//! Identifiers and quantities, one type each, so that a sequence is never paid out and a time never signed as an amount.

use std::fmt;

use alloy_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A hash with a meaning of its own.
macro_rules! hash {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub B256);

        impl $name {
            /// Its 32 bytes.
            #[must_use]
            pub fn as_slice(&self) -> &[u8] {
                self.0.as_slice()
            }
        }

        impl From<$name> for B256 {
            fn from(hash: $name) -> Self {
                hash.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

hash!(
    /// A channel: one client, one asset, one epoch, on one contract of one chain.
    ChannelId
);
hash!(
    /// `hashStruct(Token)`: chosen whole by the payer before anyone signs.
    TokenId
);
hash!(
    /// `hashStruct(State)`: what the contract keeps of the state it enforces.
    StateHash
);
hash!(
    /// An EIP-712 digest: what a signature is over.
    Digest
);

/// Money in base units of the channel's asset (wei for the native one), `uint128` on chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub u128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum, or nothing above `uint128`.
    #[must_use]
    pub const fn plus(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, or nothing below zero.
    #[must_use]
    pub const fn minus(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// The difference, zero where it would fall below.
    #[must_use]
    pub const fn beyond(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// In text a decimal string: what reads JSON as floating point would lose digits.
impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(&self.0) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return u128::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let amount = text.parse().ok().filter(|_| digits);
        amount.map(Self).ok_or_else(|| de::Error::custom(format!("{text:?} is not an amount in decimal digits")))
    }
}

impl TryFrom<u64> for Seq {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        Self::new(number).ok_or_else(|| format!("{number} is above 48 bits: no sequence"))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Chain time in seconds since 1970, `uint40` on chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(pub u64);

impl Time {
    /// The last time a `uint40` holds.
    pub const MAX: Self = Self((1 << 40) - 1);

    /// This time and some seconds, at most [`Time::MAX`].
    #[must_use]
    pub const fn after(self, seconds: u64) -> Self {
        let sum = self.0.saturating_add(seconds);
        if sum > Self::MAX.0 { Self::MAX } else { Self(sum) }
    }

    /// Some seconds earlier, at least zero.
    #[must_use]
    pub const fn before(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Seconds from this time to a later one, zero if it has passed.
    #[must_use]
    pub const fn until(self, later: Self) -> u64 {
        later.0.saturating_sub(self.0)
    }
}

/// The number of a state within its channel, `uint48` on chain: strictly increasing, gaps allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64")]
pub struct Seq(u64);

impl Seq {
    /// The implicit state built from the contract's counters.
    pub const ZERO: Self = Self(0);
    /// How far a client jumps after it restored a backup: further than it can have signed since (rule 14).
    pub const RESTORE_JUMP: u64 = 1 << 16;
    const BITS: u32 = 48;

    /// The sequence with this number, or nothing above 48 bits: the contract would truncate it.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number >> Self::BITS == 0 { Some(Self(number)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sequence `by` further on, or nothing above 48 bits.
    #[must_use]
    pub const fn forward(self, by: u64) -> Option<Self> {
        match self.0.checked_add(by) {
            Some(number) => Self::new(number),
            None => None,
        }
    }
}

/// Everything that names a channel (the specification's "Types"); its id is the hash of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelKey {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The FulgurHub contract.
    pub contract: Address,
    /// Whose channel it is.
    pub client: Address,
    /// An ERC-20 contract, or the zero address for the native asset.
    pub asset: Address,
    /// Counts the channels of this client and asset; never used again.
    pub epoch: u32,
}

impl ChannelKey {
    /// `keccak256(abi.encode(chainId, contract, client, asset, epoch))`.
    #[must_use]
    pub fn id(&self) -> ChannelId {
        let mut words = [0; 5 * 32];
        words[24..32].copy_from_slice(&self.chain_id.to_be_bytes());
        words[44..64].copy_from_slice(self.contract.as_slice());
        words[76..96].copy_from_slice(self.client.as_slice());
        words[108..128].copy_from_slice(self.asset.as_slice());
        words[156..160].copy_from_slice(&self.epoch.to_be_bytes());
        ChannelId(keccak256(words))
    }
}

/// The payee of an ON token: an address, padded on the left.
#[must_use]
pub fn payee_address(address: Address) -> B256 {
    address.into_word()
}
