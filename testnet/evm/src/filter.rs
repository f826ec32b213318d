//! Which events somebody wants to see.

use alloy_primitives::{Address, B256, Log};

use crate::block::Block;

/// A question for events: an empty list asks for any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// From this block on.
    pub from: u64,
    /// Up to this one.
    pub to: u64,
    /// Of these contracts.
    pub addresses: Vec<Address>,
    /// With one of these topics at each place.
    pub topics: Vec<Vec<B256>>,
}

/// An event and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedAt {
    /// The block's number, hash and time.
    pub block: (u64, B256, u64),
    /// The transaction and its place in the block.
    pub transaction: (B256, u64),
    /// The event's place in the block.
    pub index: u64,
    /// The event.
    pub log: Log,
}

impl Filter {
    fn wants(&self, log: &Log) -> bool {
        let topic = |place: usize| log.topics().get(place);
        let here = self.addresses.is_empty() || self.addresses.contains(&log.address);
        let asked =
            |(place, any): (usize, &Vec<B256>)| any.is_empty() || topic(place).is_some_and(|topic| any.contains(topic));
        here && self.topics.iter().enumerate().all(asked)
    }

    /// The events of a block that it asks for.
    pub fn of<'a>(&'a self, block: &'a Block) -> impl Iterator<Item = LoggedAt> + 'a {
        let logs = block
            .transactions
            .iter()
            .enumerate()
            .flat_map(|(place, mined)| mined.receipt.logs.iter().map(move |log| (place as u64, mined.hash, log)));
        let wanted = logs.enumerate().filter(|(_, (.., log))| self.wants(log));
        wanted.map(|(index, (place, hash, log))| LoggedAt {
            block: (block.number, block.hash, block.time),
            transaction: (hash, place),
            index: index as u64,
            log: log.clone(),
        })
    }
}
