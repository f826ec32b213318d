//! Milestones: made by the coordinator, verified by everyone else.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::parent::Parents;
use iota_sdk::types::block::payload::Payload;
use iota_sdk::types::block::payload::milestone::{
    MerkleRoot, MilestoneEssence, MilestoneIndex, MilestoneOptions, MilestonePayload,
};
use iota_sdk::types::block::signature::{Ed25519Signature, Signature};

use crate::{MilestoneId, ProtocolParameters};

/// A milestone that must not be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MilestoneError {
    /// Not the bytes of a milestone payload.
    #[error("the node's bytes for milestone {0} are no milestone")]
    Malformed(u32),
    /// Another index than asked for.
    #[error("asked for milestone {asked}, the node sent {got}")]
    Index {
        /// Asked for.
        asked: u32,
        /// Sent.
        got: u32,
    },
    /// Fewer valid signatures by known keys than required.
    #[error("milestone {index} has {valid} valid signatures of {needed}: the node lies, or it is another network")]
    Signatures {
        /// Its index.
        index: u32,
        /// Valid ones by known keys.
        valid: usize,
        /// Required.
        needed: usize,
    },
    /// Does not follow the milestone before it.
    #[error("milestone {0} does not follow the one before it: the ledger was reset, or the node lies")]
    Chain(u32),
}

/// Who signs milestones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coordinator {
    /// Public keys.
    pub keys: Vec<[u8; 32]>,
    /// Signatures required.
    pub threshold: usize,
}

/// Roots and position of a new milestone.
pub struct NewMilestone {
    /// Index, from 1.
    pub index: u32,
    /// Seconds since 1970, never falling.
    pub timestamp: u32,
    /// Id of the milestone before, zero for the first.
    pub previous: MilestoneId,
    /// Tips it confirms.
    pub parents: Parents,
    /// Over all blocks of its cone.
    pub inclusion_root: [u8; 32],
    /// Over the blocks whose transactions were applied.
    pub applied_root: [u8; 32],
}

impl NewMilestone {
    /// Signs it with all keys, in the order of their public halves as the format demands.
    pub fn sign(self, keys: &[SigningKey]) -> Result<MilestonePayload, iota_sdk::types::block::Error> {
        let essence = MilestoneEssence::new(
            MilestoneIndex::new(self.index),
            self.timestamp,
            crate::network::PROTOCOL_VERSION,
            self.previous,
            self.parents,
            MerkleRoot::new(self.inclusion_root),
            MerkleRoot::new(self.applied_root),
            Vec::new(),
            MilestoneOptions::from_vec(vec![])?,
        )?;
        let hash = essence.hash();
        let mut keys: Vec<&SigningKey> = keys.iter().collect();
        keys.sort_by_key(|key| key.verifying_key().to_bytes());
        let sign = |key: &SigningKey| {
            Ed25519Signature::from_bytes(key.verifying_key().to_bytes(), key.sign(&hash).to_bytes()).into()
        };
        MilestonePayload::new(essence, keys.into_iter().map(sign).collect::<Vec<Signature>>())
    }
}

/// The milestone in a node's answer (payload bytes with their type).
pub fn parse(raw: &[u8], index: u32, params: &ProtocolParameters) -> Result<MilestonePayload, MilestoneError> {
    let malformed = || MilestoneError::Malformed(index);
    let payload = Payload::unpack_verified(raw, params).map_err(|_| malformed())?;
    // The parser ignores what follows the payload.
    if payload.packed_len() != raw.len() {
        return Err(malformed());
    }
    let Payload::Milestone(milestone) = payload else { return Err(malformed()) };
    let got = milestone.essence().index().0;
    if got != index {
        return Err(MilestoneError::Index { asked: index, got });
    }
    Ok(*milestone)
}

impl Coordinator {
    /// The keys that signed this milestone: what a client pins when it meets a network for the first time.
    pub fn of(milestone: &MilestonePayload) -> Self {
        let keys: Vec<[u8; 32]> = milestone
            .signatures()
            .iter()
            .map(|signature| {
                let Signature::Ed25519(signature) = signature;
                signature.public_key_bytes().to_bytes()
            })
            .collect();
        Self { threshold: keys.len(), keys }
    }

    /// Checks the signatures and, where `previous` is known, that this milestone follows it.
    pub fn verify(&self, milestone: &MilestonePayload, previous: Option<&MilestoneId>) -> Result<(), MilestoneError> {
        let essence = milestone.essence();
        let index = essence.index().0;
        let hash = essence.hash();
        let mut valid = std::collections::BTreeSet::new();
        for signature in milestone.signatures() {
            let Signature::Ed25519(signature) = signature;
            let public = signature.public_key_bytes().to_bytes();
            let bytes = ed25519_dalek::Signature::from_bytes(&signature.signature().to_bytes());
            let holds = VerifyingKey::from_bytes(&public).is_ok_and(|key| key.verify_strict(&hash, &bytes).is_ok());
            if holds && self.keys.contains(&public) {
                valid.insert(public);
            }
        }
        if valid.len() < self.threshold {
            return Err(MilestoneError::Signatures { index, valid: valid.len(), needed: self.threshold });
        }
        match previous {
            Some(previous) if previous != essence.previous_milestone_id() => Err(MilestoneError::Chain(index)),
            _ => Ok(()),
        }
    }
}
