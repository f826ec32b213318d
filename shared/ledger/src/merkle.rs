//! Merkle roots of a milestone (TIP-4 hash tree with BLAKE2b-256).

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};

const LEAF: [u8; 1] = [0];
const NODE: [u8; 1] = [1];

/// Root over the leaves in order; the hash of nothing for none.
///
/// Left subtrees hold the largest power of two below the number of leaves, so a stack of complete subtrees
/// (one per set bit) builds the same tree without recursion.
pub fn root<'a>(leaves: impl IntoIterator<Item = &'a [u8; 32]>) -> [u8; 32] {
    let mut complete: Vec<(u32, [u8; 32])> = Vec::new();
    for leaf in leaves {
        let mut node = hash(&[&LEAF, leaf]);
        let mut height = 0;
        while complete.last().is_some_and(|(h, _)| *h == height) {
            if let Some((_, left)) = complete.pop() {
                node = hash(&[&NODE, &left, &node]);
                height += 1;
            }
        }
        complete.push((height, node));
    }
    let fold = |right: Option<[u8; 32]>, (_, left): (u32, [u8; 32])| {
        Some(match right {
            None => left,
            Some(right) => hash(&[&NODE, &left, &right]),
        })
    };
    complete.into_iter().rev().fold(None, fold).unwrap_or_else(|| hash(&[]))
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Blake2b::<U32>::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word for word: split at the largest power of two below n.
    fn by_definition(leaves: &[[u8; 32]]) -> [u8; 32] {
        match leaves.len() {
            0 => hash(&[]),
            1 => hash(&[&LEAF, &leaves[0]]),
            n => {
                let split = (n - 1).ilog2();
                let (left, right) = leaves.split_at(1 << split);
                hash(&[&NODE, &by_definition(left), &by_definition(right)])
            }
        }
    }

    #[test]
    fn the_empty_root_is_the_published_one() {
        let empty = "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8";
        assert_eq!(hex::encode(root(&[])), empty);
    }

    #[test]
    fn the_stack_builds_the_tree_of_the_definition() {
        let leaves: Vec<[u8; 32]> = (0..70u8).map(|n| [n; 32]).collect();
        for n in 0..leaves.len() {
            assert_eq!(root(&leaves[..n]), by_definition(&leaves[..n]), "{n} leaves");
        }
    }
}
