//! An output's structure (TIP-18): its parts as bytes, and the numbers that rules are about.

use iota_sdk::U256;

use super::reader::Reader;

/// Kinds of outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Basic,
    Alias,
    Foundry,
    Nft,
}

impl Kind {
    /// As the causes name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic output",
            Self::Alias => "alias output",
            Self::Foundry => "foundry output",
            Self::Nft => "NFT output",
        }
    }

    /// Fewest and most unlock conditions.
    pub fn conditions(self) -> (usize, usize) {
        match self {
            Self::Basic | Self::Nft => (1, 4),
            Self::Alias => (2, 2),
            Self::Foundry => (1, 1),
        }
    }

    fn allows_condition(self, kind: u8) -> bool {
        match self {
            Self::Basic | Self::Nft => kind <= 3,
            Self::Alias => matches!(kind, 4 | 5),
            Self::Foundry => kind == 6,
        }
    }

    fn allows_feature(self, kind: u8) -> bool {
        match self {
            Self::Basic => matches!(kind, 0 | 2 | 3),
            Self::Alias => matches!(kind, 0 | 2),
            Self::Foundry => kind == 2,
            Self::Nft => matches!(kind, 0 | 2 | 3),
        }
    }

    fn allows_immutable(self, kind: u8) -> bool {
        match self {
            Self::Basic => false,
            Self::Alias | Self::Nft => matches!(kind, 1 | 2),
            Self::Foundry => kind == 2,
        }
    }
}

const CONDITIONS: [&str; 7] = [
    "AddressUnlockCondition",
    "StorageDepositReturnUnlockCondition",
    "TimelockUnlockCondition",
    "ExpirationUnlockCondition",
    "StateControllerAddressUnlockCondition",
    "GovernorAddressUnlockCondition",
    "ImmutableAliasUnlockCondition",
];
const FEATURES: [&str; 4] = ["SenderFeature", "IssuerFeature", "MetadataFeature", "TagFeature"];

/// Bytes of metadata, state metadata, tags (TIP-18).
const METADATA_MAX: usize = 8_192;
const TAG_MAX: usize = 64;

/// An output read without judging it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LooseOutput {
    pub kind: Kind,
    /// All its bytes.
    pub raw: Vec<u8>,
    pub amount: u64,
    /// Token id and amount, each as bytes.
    pub tokens: Vec<Vec<u8>>,
    /// Of an alias or NFT.
    pub chain: [u8; 32],
    pub state_index: u32,
    pub foundry_counter: u32,
    /// Of a foundry.
    pub serial: u32,
    /// Minted, melted, maximum.
    pub scheme: [U256; 3],
    pub conditions: Vec<Vec<u8>>,
    pub features: Vec<Vec<u8>>,
    pub immutable: Vec<Vec<u8>>,
}

impl LooseOutput {
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        let whole = reader.rest();
        let kind = match reader.u8()? {
            3 => Kind::Basic,
            4 => Kind::Alias,
            5 => Kind::Foundry,
            6 => Kind::Nft,
            other => {
                return Err(format!(
                    "transaction essence can only contain basic/alias/foundry/NFT outputs types but got type ID \
                     {other}: unsupported object type"
                ));
            }
        };
        let mut output = Self {
            kind,
            raw: vec![],
            amount: reader.u64()?,
            tokens: tokens(reader)?,
            chain: [0; 32],
            state_index: 0,
            foundry_counter: 0,
            serial: 0,
            scheme: [U256::zero(); 3],
            conditions: vec![],
            features: vec![],
            immutable: vec![],
        };
        output.identity(reader)?;
        let name = kind.name();
        let twice = |what: &str, e: String| {
            let what = format!("unable to deserialize {what} for {name}");
            format!("{what}: {what}: {e}")
        };
        output.conditions =
            parts(reader, |reader| condition(reader, kind)).map_err(|e| twice("unlock conditions", e))?;
        output.features = parts(reader, |reader| feature(reader, kind, kind.allows_feature_of()))
            .map_err(|e| twice("features", e))?;
        if kind != Kind::Basic {
            output.immutable = parts(reader, |reader| feature(reader, kind, kind.allows_immutable_of()))
                .map_err(|e| twice("immutable features", e))?;
        }
        output.raw = whole[..whole.len() - reader.left()].to_vec();
        Ok(output)
    }

    fn identity(&mut self, reader: &mut Reader<'_>) -> Result<(), String> {
        match self.kind {
            Kind::Basic => {}
            Kind::Nft => self.chain = reader.array()?,
            Kind::Alias => {
                self.chain = reader.array()?;
                self.state_index = reader.u32()?;
                reader
                    .bytes16(0, METADATA_MAX)
                    .map_err(|e| format!("unable to deserialize state metadata for alias output: {e}"))?;
                self.foundry_counter = reader.u32()?;
            }
            Kind::Foundry => {
                self.serial = reader.u32()?;
                self.scheme = scheme(reader)
                    .map_err(|e| format!("unable to deserialize token scheme for foundry output: {e}"))?;
            }
        }
        Ok(())
    }
}

impl Kind {
    fn allows_feature_of(self) -> impl Fn(u8) -> bool {
        move |feature| self.allows_feature(feature)
    }

    fn allows_immutable_of(self) -> impl Fn(u8) -> bool {
        move |feature| self.allows_immutable(feature)
    }
}

fn scheme(reader: &mut Reader<'_>) -> Result<[U256; 3], String> {
    match reader.u8()? {
        0 => {
            let mut number = || reader.array::<32>().map(|bytes| U256::from_little_endian(&bytes));
            Ok([number()?, number()?, number()?])
        }
        other => Err(format!("unknown token scheme type: type {other}")),
    }
}

fn tokens(reader: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, String> {
    let count = reader.u8()?;
    (0..count).map(|_| reader.take(38 + 32).map(<[u8]>::to_vec)).collect()
}

/// A list of parts behind a count of one byte, each with all its bytes.
fn parts(
    reader: &mut Reader<'_>,
    mut part: impl FnMut(&mut Reader<'_>) -> Result<(), String>,
) -> Result<Vec<Vec<u8>>, String> {
    let count = reader.u8()?;
    let mut parts = vec![];
    for _ in 0..count {
        let before = reader.rest();
        part(reader)?;
        parts.push(before[..before.len() - reader.left()].to_vec());
    }
    Ok(parts)
}

fn condition(reader: &mut Reader<'_>, output: Kind) -> Result<(), String> {
    let kind = reader.u8()?;
    let Some(name) = CONDITIONS.get(usize::from(kind)) else {
        return Err(format!("unknown unlock condition type: type {kind}"));
    };
    if !output.allows_condition(kind) {
        return Err(format!(
            "unsupported unlock condition type: unable to deserialize {}, unsupported unlock condition type {name}",
            output.name()
        ));
    }
    let of = |what: &'static str| move |e: String| format!("unable to deserialize address for {what}: {e}");
    match kind {
        0 => address(reader).map_err(of("address unlock condition")),
        1 => {
            address(reader).map_err(of("storage deposit return unlock condition"))?;
            reader.u64().map(drop)
        }
        2 => reader.u32().map(drop),
        3 => {
            address(reader).map_err(of("expiration unlock condition"))?;
            reader.u32().map(drop)
        }
        4 => address(reader).map_err(of("state controller address unlock condition")),
        5 => address(reader).map_err(of("governor address unlock condition")),
        _ => address(reader).map_err(of("immutable alias unlock condition")),
    }
}

fn feature(reader: &mut Reader<'_>, output: Kind, allowed: impl Fn(u8) -> bool) -> Result<(), String> {
    let kind = reader.u8()?;
    let Some(name) = FEATURES.get(usize::from(kind)) else {
        return Err(format!("unknown feature type: type {kind}"));
    };
    if !allowed(kind) {
        return Err(format!(
            "unsupported feature type: unable to deserialize {}, unsupported feature type {name}",
            output.name()
        ));
    }
    match kind {
        0 => address(reader).map_err(|e| format!("unable to deserialize address for sender feature: {e}")),
        1 => address(reader).map_err(|e| format!("unable to deserialize address for issuer feature: {e}")),
        2 => reader
            .bytes16(1, METADATA_MAX)
            .map(drop)
            .map_err(|e| format!("unable to deserialize data for metadata feature: {e}")),
        _ => reader.bytes8(1, TAG_MAX).map(drop).map_err(|e| format!("unable to deserialize tag for tag feature: {e}")),
    }
}

fn address(reader: &mut Reader<'_>) -> Result<(), String> {
    match reader.u8()? {
        0 | 8 | 16 => reader.array::<32>().map(drop),
        other => Err(format!(
            "serializable is not a supported address: because not in set map[Ed25519Address:{{}} AliasAddress:{{}} \
             NFTAddress:{{}}] ({other})"
        )),
    }
}

/// First byte of an alias and of an NFT address.
const ALIAS_ADDRESS: u8 = 8;
const NFT_ADDRESS: u8 = 16;

impl LooseOutput {
    /// Amount of its storage deposit return, if it has one.
    pub fn deposit_return(&self) -> Option<u64> {
        let condition = self.conditions.iter().find(|condition| condition.first() == Some(&1))?;
        let amount: [u8; 8] = condition.get(condition.len().checked_sub(8)?..)?.try_into().ok()?;
        Some(u64::from_le_bytes(amount))
    }

    /// Whether an unlock condition of this type names this output's own chain.
    pub fn is_named_in(&self, condition: u8) -> bool {
        let kind = if self.kind == Kind::Alias { ALIAS_ADDRESS } else { NFT_ADDRESS };
        let own = [&[condition, kind][..], &self.chain].concat();
        self.conditions.contains(&own)
    }

    /// The id of its chain, if that exists before the transaction.
    pub fn chain_id(&self) -> Option<Vec<u8>> {
        match self.kind {
            Kind::Basic => None,
            Kind::Alias | Kind::Nft => (self.chain != [0; 32]).then(|| self.chain.to_vec()),
            Kind::Foundry => {
                let alias = self.conditions.first()?.get(1..)?;
                Some([alias, &self.serial.to_le_bytes(), &[0]].concat())
            }
        }
    }
}
