//! Coin selection: whole addresses, few inputs, no remainder that cannot exist.

use std::collections::BTreeMap;

use crate::build::Spend;

/// Coins to spend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Positions in the list given.
    pub coins: Vec<usize>,
    /// What is left over, base units; 0 or at least the minimum wherever more coins could make it so.
    pub rest: u64,
}

/// Chooses coins worth at least `need`.
///
/// All coins of one address go together, since an address signs once. Richest addresses first, until the rest is
/// 0 or at least `minimum`; only when all coins are in may the rest be smaller. `None`: not enough, or more
/// than `count_max` inputs.
pub fn choose(coins: &[Spend], need: u64, minimum: u64, count_max: usize) -> Option<Choice> {
    let mut by_address: BTreeMap<u32, (u64, Vec<usize>)> = BTreeMap::new();
    for (at, coin) in coins.iter().enumerate() {
        let entry = by_address.entry(coin.index).or_default();
        entry.0 += coin.amount;
        entry.1.push(at);
    }
    let mut groups: Vec<(u64, Vec<usize>)> = by_address.into_values().collect();
    groups.sort_by_key(|(amount, _)| std::cmp::Reverse(*amount));
    let mut choice = Choice { coins: vec![], rest: 0 };
    let mut sum = 0u64;
    for (mut amount, mut group) in groups {
        if group.len() > count_max && choice.coins.is_empty() {
            // Dust sent to one address must not freeze what else is there: its richest coins go, the rest waits.
            group.sort_by_key(|at| std::cmp::Reverse(coins[*at].amount));
            group.truncate(count_max);
            amount = group.iter().map(|at| coins[*at].amount).sum();
        }
        if choice.coins.len() + group.len() > count_max {
            continue;
        }
        sum += amount;
        choice.coins.extend(group);
        if sum == need || sum.checked_sub(need).is_some_and(|rest| rest >= minimum) {
            break;
        }
    }
    choice.rest = sum.checked_sub(need)?;
    Some(choice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OutputId, TransactionId};

    fn coins(amounts: &[(u32, u64)]) -> Vec<Spend> {
        let coin = |(at, (index, amount)): (usize, &(u32, u64))| Spend {
            id: OutputId::new(TransactionId::new([at as u8; 32]), 0).expect("valid"),
            amount: *amount,
            address: [*index as u8; 32],
            index: *index,
            packed: None,
        };
        amounts.iter().enumerate().map(coin).collect()
    }

    #[test]
    fn one_rich_address_is_enough() {
        let choice = choose(&coins(&[(1, 10), (2, 500), (3, 90)]), 100, 50, 9).expect("enough");
        assert_eq!(choice, Choice { coins: vec![1], rest: 400 });
    }

    #[test]
    fn all_coins_of_an_address_go_together() {
        let choice = choose(&coins(&[(1, 60), (2, 50), (1, 60)]), 70, 50, 9).expect("enough");
        assert_eq!(choice, Choice { coins: vec![0, 2], rest: 50 });
    }

    #[test]
    fn a_remainder_that_cannot_exist_takes_another_coin() {
        let choice = choose(&coins(&[(1, 120), (2, 30)]), 100, 50, 9).expect("enough");
        assert_eq!(choice, Choice { coins: vec![0, 1], rest: 50 });
    }

    #[test]
    fn with_all_coins_in_a_small_remainder_is_left_to_the_caller() {
        let choice = choose(&coins(&[(1, 120)]), 100, 50, 9).expect("enough");
        assert_eq!(choice.rest, 20);
    }

    #[test]
    fn an_exact_sum_stops() {
        let choice = choose(&coins(&[(1, 100), (2, 50)]), 100, 50, 9).expect("enough");
        assert_eq!(choice, Choice { coins: vec![0], rest: 0 });
    }

    #[test]
    fn dust_at_an_address_does_not_freeze_its_rich_coin() {
        let mut amounts = vec![(1, 1); 20];
        amounts.push((1, 500));
        let choice = choose(&coins(&amounts), 100, 50, 9).expect("enough");
        assert_eq!((choice.coins.len(), choice.coins[0], choice.rest), (9, 20, 408));
    }

    #[test]
    fn too_little_or_too_many_inputs_is_none() {
        assert_eq!(choose(&coins(&[(1, 99)]), 100, 50, 9), None);
        assert_eq!(choose(&coins(&[(1, 60), (2, 60), (3, 60)]), 150, 10, 2), None);
    }
}
