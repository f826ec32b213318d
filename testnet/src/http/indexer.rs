//! The indexer: unspent outputs by kind and filter, page by page, in the order in which they were booked.

mod filter;

use iota_sdk::types::block::output::{AliasId, ChainId, FoundryId, NftId};
use serde_json::{Value, json};
use tarefa_ledger::OutputId;
use tarefa_ledger::engine::{Engine, OutputRecord, Position};

use super::answer::Failure;
use super::params;
use filter::{Filter, Query};

/// Most results of one answer, and what a `pageSize` outside 1 to 1000 means.
const PAGE_MAX: usize = 1_000;

/// Hex digits of a timestamp in a cursor, before those of an output id.
const TIME_DIGITS: usize = 8;

/// Kinds of outputs that have a listing of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Every kind.
    All,
    /// Basic outputs.
    Basic,
    /// Aliases.
    Alias,
    /// NFTs.
    Nft,
    /// Foundries.
    Foundry,
}

impl Listing {
    /// Wire numbers of its kinds.
    fn kinds(self) -> &'static [u8] {
        match self {
            Self::All => &[3, 4, 5, 6],
            Self::Basic => &[3],
            Self::Alias => &[4],
            Self::Foundry => &[5],
            Self::Nft => &[6],
        }
    }
}

/// `GET …/outputs[/kind]?…`
pub fn list(engine: &Engine, listing: Listing, query: &str) -> Result<Value, Failure> {
    let query = Query::parse(query);
    let filter = Filter::parse(&query, listing, engine)?;
    let (start, page) = page(&query)?;
    let matches = |position: &&Position| {
        let is_listed = |record: &OutputRecord| listing.kinds().contains(&record.output.kind());
        let record = engine.output(&position.1).filter(is_listed);
        Some(**position) >= start && record.is_some_and(|record| filter.admits(&record))
    };
    // Each source is in order: of none more than one page, and the first of the next, can be wanted.
    let mut found: Vec<Position> = match filter.named() {
        Some(address) => engine.unspent().naming(address).filter(matches).take(page + 1).copied().collect(),
        None => {
            let of_kind = |kind: &u8| engine.unspent().of_kind(*kind).filter(matches).take(page + 1);
            listing.kinds().iter().flat_map(of_kind).copied().collect()
        }
    };
    found.sort_unstable();
    let next = found.get(page).copied();
    found.truncate(page);
    let mut body = answer(engine, page, found.iter().map(|(_, id)| id));
    if let Some((booked, id)) = next {
        let id = id.to_string();
        body["cursor"] = format!("{booked:08x}{}.{page}", id.trim_start_matches("0x")).into();
    }
    Ok(body)
}

fn answer<'a>(engine: &Engine, page: usize, ids: impl Iterator<Item = &'a OutputId>) -> Value {
    let items: Vec<String> = ids.map(ToString::to_string).collect();
    json!({ "ledgerIndex": engine.confirmed(), "pageSize": page, "items": items })
}

/// Where the page begins and how long it is. A cursor carries its own length, which wins.
fn page(query: &Query) -> Result<(Option<Position>, usize), Failure> {
    let size = |text: &str| text.parse().ok().filter(|n| (1..=PAGE_MAX).contains(n)).unwrap_or(PAGE_MAX);
    let Some(cursor) = query.get("cursor") else {
        return Ok((None, query.get("pageSize").map_or(PAGE_MAX, size)));
    };
    let wrong = || Failure::bad("query parameter cursor has wrong format");
    let (place, length) = cursor.split_once('.').ok_or_else(wrong)?;
    let (booked, id) = place.split_at_checked(TIME_DIGITS).ok_or_else(wrong)?;
    let booked = u32::from_str_radix(booked, 16).map_err(|_| wrong())?;
    let id: OutputId = format!("0x{id}").parse().map_err(|_| wrong())?;
    length.parse::<u32>().map_err(|_| wrong())?;
    Ok((Some((booked, id)), size(length)))
}

/// `GET …/outputs/{alias,nft,foundry}/{id}`
pub fn by_id(engine: &Engine, listing: Listing, text: &str) -> Result<Value, Failure> {
    let chain = match listing {
        Listing::Alias => ChainId::Alias(AliasId::new(id(text, "alias ID")?)),
        Listing::Nft => ChainId::Nft(NftId::new(id(text, "NFT ID")?)),
        Listing::Foundry => ChainId::Foundry(FoundryId::new(id(text, "foundry ID")?)),
        Listing::All | Listing::Basic => return Err(Failure::unknown("/api/")),
    };
    let (_, id) = engine.unspent().of_chain(&chain).ok_or_else(|| Failure::missing("record not found"))?;
    // The original says 0 here.
    Ok(answer(engine, 0, std::iter::once(id)))
}

fn id<const N: usize>(text: &str, what: &str) -> Result<[u8; N], Failure> {
    let bytes = params::hex_bytes(text, what)?;
    // The original prints an error that it does not have.
    bytes.try_into().map_err(|_| Failure::bad(format!("invalid {what}: {text}, error: %!s(<nil>)")))
}
