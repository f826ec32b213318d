//! The two Merkle trees: pending tokens (sorted, positional) and signature batches (commutative).

use alloy_primitives::{B256, keccak256};
use thiserror::Error;

use crate::id::{Digest, TokenId};
use crate::limits::BATCH_DEPTH;

const LEAF: u8 = 0x00;
const NODE: u8 = 0x01;

fn leaf(id: TokenId) -> B256 {
    let mut bytes = [LEAF; 33];
    bytes[1..].copy_from_slice(id.as_slice());
    keccak256(bytes)
}

fn node(left: B256, right: B256) -> B256 {
    let mut bytes = [NODE; 65];
    bytes[1..33].copy_from_slice(left.as_slice());
    bytes[33..].copy_from_slice(right.as_slice());
    keccak256(bytes)
}

fn level_up(level: &[B256], node: impl Fn(B256, B256) -> B256) -> Vec<B256> {
    level.chunks(2).map(|pair| if let [left, right] = pair { node(*left, *right) } else { pair[0] }).collect()
}

/// From the leaves to the root.
fn levels(leaves: Vec<B256>, node: impl Fn(B256, B256) -> B256 + Copy) -> Vec<Vec<B256>> {
    let mut levels = vec![leaves];
    while let Some(level) = levels.last()
        && level.len() > 1
    {
        let next = level_up(level, node);
        levels.push(next);
    }
    levels
}

fn proof(levels: &[Vec<B256>], index: usize) -> Vec<B256> {
    levels.iter().enumerate().filter_map(|(height, level)| level.get((index >> height) ^ 1).copied()).collect()
}

/// The root over the pending tokens: leaves `keccak256(0x00 ‖ id)` in ascending order of ids, nodes
/// `keccak256(0x01 ‖ left ‖ right)`, a node without a sibling moves up as it is; zero for none.
///
/// The ids are taken in the order given; [`is_sorted`] says whether that is the right one.
#[must_use]
pub fn pending_root(ids: &[TokenId]) -> B256 {
    let mut level: Vec<B256> = ids.iter().copied().map(leaf).collect();
    while level.len() > 1 {
        level = level_up(&level, node);
    }
    level.first().copied().unwrap_or_default()
}

/// Whether ids are strictly ascending: sorted, and none twice.
#[must_use]
pub fn is_sorted(ids: &[TokenId]) -> bool {
    ids.windows(2).all(|pair| pair[0] < pair[1])
}

/// The siblings of the pending token at `index`, from the leaf upwards.
///
/// # Panics
/// If `index` is not below the number of ids.
#[must_use]
pub fn pending_proof(ids: &[TokenId], index: usize) -> Vec<B256> {
    assert!(index < ids.len(), "no token {index} of {}", ids.len());
    proof(&levels(ids.iter().copied().map(leaf).collect(), node), index)
}

/// Whether the siblings lead from a token at `index` of `count` to the root. `count` says at which levels a node has no
/// sibling, so a proof has exactly one length.
#[must_use]
pub fn pending_proves(root: B256, id: TokenId, index: usize, count: usize, siblings: &[B256]) -> bool {
    if index >= count {
        return false;
    }
    let (mut hash, mut index, mut count) = (leaf(id), index, count);
    let mut siblings = siblings.iter();
    while count > 1 {
        if index ^ 1 < count {
            let Some(&sibling) = siblings.next() else { return false };
            hash = if index % 2 == 0 { node(hash, sibling) } else { node(sibling, hash) };
        }
        index /= 2;
        count = count.div_ceil(2);
    }
    siblings.next().is_none() && hash == root
}

fn batch_node(one: B256, other: B256) -> B256 {
    node(one.min(other), one.max(other))
}

/// The digests behind one signature of a hub: leaf = EIP-712 digest, node = `keccak256(0x01 ‖ min ‖ max)`, the root of
/// one leaf is the leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batches {
    /// Kept, for each message of a batch wants its proof.
    levels: Vec<Vec<B256>>,
    root: B256,
}

/// A batch cannot be that big or that small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a batch of {0} messages: a signature carries 1 to 1024")]
pub struct BatchSize(pub usize);

impl Batches {
    /// The batch over these digests.
    ///
    /// # Errors
    /// If there is none, or more than a proof of [`BATCH_DEPTH`] reaches.
    pub fn new(digests: &[Digest]) -> Result<Self, BatchSize> {
        if digests.is_empty() || digests.len() > 1 << BATCH_DEPTH {
            return Err(BatchSize(digests.len()));
        }
        let levels = levels(digests.iter().map(|digest| digest.0).collect(), batch_node);
        let root = levels.last().and_then(|level| level.first()).copied().unwrap_or_default();
        Ok(Self { levels, root })
    }

    /// The root.
    #[must_use]
    pub const fn root(&self) -> B256 {
        self.root
    }

    /// The siblings of the digest at `index`, from the leaf upwards.
    ///
    /// # Panics
    /// If `index` is not below the number of digests.
    #[must_use]
    pub fn proof(&self, index: usize) -> Vec<B256> {
        assert!(index < self.levels[0].len(), "no digest {index} of {}", self.levels[0].len());
        proof(&self.levels, index)
    }
}

/// The root that a digest and its siblings lead to, or nothing if there are more than [`BATCH_DEPTH`] of them.
#[must_use]
pub fn batch_root(digest: Digest, siblings: &[B256]) -> Option<B256> {
    if siblings.len() > BATCH_DEPTH {
        return None;
    }
    Some(siblings.iter().fold(digest.0, |hash, sibling| batch_node(hash, *sibling)))
}
