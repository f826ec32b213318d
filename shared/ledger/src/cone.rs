//! White-flag order: the past cone of a milestone, depth first, parents before children (TIP-2).

use std::collections::HashSet;

use crate::BlockId;

/// A block of the cone is not at hand; fetch it and walk again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("block {0} of the cone is missing")]
pub struct MissingBlock(pub BlockId);

/// The blocks below `roots`, in the order that every node computes.
///
/// `is_old` tells blocks referenced by an earlier milestone; the zero id (the first milestone's parent) counts
/// as old. `parents` gives the parents of a block in their order. Iterative: a cone may be a chain of
/// thousands of blocks.
pub fn order<P: AsRef<[BlockId]>>(
    roots: &[BlockId],
    is_old: impl Fn(&BlockId) -> bool,
    parents: impl Fn(&BlockId) -> Option<P>,
) -> Result<Vec<BlockId>, MissingBlock> {
    let mut order = Vec::new();
    let mut visited = HashSet::new();
    for root in roots {
        let mut stack: Vec<(BlockId, Option<P>, usize)> = vec![(*root, None, 0)];
        while let Some((id, known, next)) = stack.last_mut() {
            let id = *id;
            if known.is_none() {
                if id.is_null() || visited.contains(&id) || is_old(&id) {
                    stack.pop();
                    continue;
                }
                *known = Some(parents(&id).ok_or(MissingBlock(id))?);
            }
            let child = known.as_ref().and_then(|parents| parents.as_ref().get(*next)).copied();
            *next += 1;
            match child {
                Some(parent) => stack.push((parent, None, 0)),
                None => {
                    if visited.insert(id) {
                        order.push(id);
                    }
                    stack.pop();
                }
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn id(n: u8) -> BlockId {
        BlockId::new([n; 32])
    }

    fn walk(edges: &[(u8, &[u8])], roots: &[u8], old: &[u8]) -> Result<Vec<u8>, MissingBlock> {
        let map: HashMap<BlockId, Vec<BlockId>> =
            edges.iter().map(|(n, parents)| (id(*n), parents.iter().map(|p| id(*p)).collect())).collect();
        let roots: Vec<BlockId> = roots.iter().map(|n| id(*n)).collect();
        let old: Vec<BlockId> = old.iter().map(|n| id(*n)).collect();
        let order = order(&roots, |b| old.contains(b), |b| map.get(b).cloned())?;
        Ok(order.iter().map(|b| b.as_ref()[0]).collect())
    }

    #[test]
    fn parents_come_before_children_each_once() {
        let edges: &[(u8, &[u8])] = &[(4, &[2, 3]), (3, &[1]), (2, &[1]), (1, &[0])];
        assert_eq!(walk(edges, &[4], &[]), Ok(vec![1, 2, 3, 4]));
    }

    #[test]
    fn the_order_follows_the_order_of_the_parents() {
        let edges: &[(u8, &[u8])] = &[(4, &[3, 2]), (3, &[0]), (2, &[0])];
        assert_eq!(walk(edges, &[4], &[]), Ok(vec![3, 2, 4]));
        assert_eq!(walk(edges, &[2, 3], &[]), Ok(vec![2, 3]));
    }

    #[test]
    fn what_an_earlier_milestone_referenced_is_left_out() {
        let edges: &[(u8, &[u8])] = &[(3, &[2]), (2, &[1])];
        assert_eq!(walk(edges, &[3], &[1]), Ok(vec![2, 3]));
    }

    #[test]
    fn a_missing_block_is_named() {
        assert_eq!(walk(&[(3, &[2])], &[3], &[]), Err(MissingBlock(id(2))));
    }

    #[test]
    fn a_long_chain_does_not_recurse() {
        let parents = |b: &BlockId| {
            let n = u32::from_le_bytes([b.as_ref()[0], b.as_ref()[1], b.as_ref()[2], 0]);
            let mut bytes = [0u8; 32];
            bytes[..4].copy_from_slice(&(n - 1).to_le_bytes());
            Some([BlockId::new(bytes)])
        };
        let mut root = [0u8; 32];
        root[..4].copy_from_slice(&200_000u32.to_le_bytes());
        assert_eq!(order(&[BlockId::new(root)], |_| false, parents).map(|o| o.len()), Ok(200_000));
    }
}
