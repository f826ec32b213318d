//! EIP-712: domain, `encodeData` and digests. Every field of this protocol is one 32-byte word, which is why
//! this is a page of code: the general encoders build type strings anew for every hash.

use alloy_primitives::{Address, B256, U256, keccak256};

use crate::id::{Amount, Digest, Seq, Time};

/// `EIP712Domain` of one deployment: a signature for one contract means nothing to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Domain(B256);

impl Domain {
    /// The name in the domain.
    pub const NAME: &str = "FulgurHub";
    /// The version in the domain.
    pub const VERSION: &str = "1";
    const TYPE: &str = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";

    /// The domain of a contract on a chain.
    #[must_use]
    pub fn new(chain_id: u64, contract: Address) -> Self {
        let mut data = Words::of(keccak256(Self::TYPE));
        data.word(keccak256(Self::NAME)).word(keccak256(Self::VERSION)).number(chain_id.into()).address(contract);
        Self(data.hash())
    }

    /// The domain separator.
    #[must_use]
    pub const fn separator(&self) -> B256 {
        self.0
    }

    /// What is signed for a struct with this hash: `keccak256(0x1901 ‖ separator ‖ hashStruct)`.
    #[must_use]
    pub fn digest(&self, struct_hash: B256) -> Digest {
        let mut bytes = [0; 66];
        bytes[0] = 0x19;
        bytes[1] = 0x01;
        bytes[2..34].copy_from_slice(self.0.as_slice());
        bytes[34..].copy_from_slice(struct_hash.as_slice());
        Digest(keccak256(bytes))
    }
}

/// The words of `typeHash ‖ encodeData`, hashed at the end.
pub struct Words(Vec<u8>);

impl Words {
    /// The largest struct (Token) has fourteen words with its type hash.
    const USUAL: usize = 14 * 32;

    /// Begins with the hash of the type.
    #[must_use]
    pub fn of(type_hash: B256) -> Self {
        let mut bytes = Vec::with_capacity(Self::USUAL);
        bytes.extend_from_slice(type_hash.as_slice());
        Self(bytes)
    }

    /// The body of an array of structs: the hashes of its elements, without a type hash.
    #[must_use]
    pub fn array(hashes: impl Iterator<Item = B256>) -> B256 {
        keccak256(hashes.flat_map(|hash| hash.0).collect::<Vec<u8>>())
    }

    /// A `bytes32`, or the hash of a nested struct.
    pub fn word(&mut self, word: impl Into<B256>) -> &mut Self {
        self.0.extend_from_slice(word.into().as_slice());
        self
    }

    /// An unsigned number of any width up to 128 bits.
    pub fn number(&mut self, number: u128) -> &mut Self {
        self.word(U256::from(number))
    }

    /// An amount.
    pub fn amount(&mut self, amount: Amount) -> &mut Self {
        self.number(amount.0)
    }

    /// A time.
    pub fn time(&mut self, time: Time) -> &mut Self {
        self.number(time.0.into())
    }

    /// A sequence number.
    pub fn seq(&mut self, seq: Seq) -> &mut Self {
        self.number(seq.get().into())
    }

    /// A flag.
    pub fn flag(&mut self, flag: bool) -> &mut Self {
        self.number(flag.into())
    }

    /// An address.
    pub fn address(&mut self, address: Address) -> &mut Self {
        self.word(address.into_word())
    }

    /// `keccak256` of all of it: `hashStruct`.
    #[must_use]
    pub fn hash(&self) -> B256 {
        keccak256(&self.0)
    }
}
