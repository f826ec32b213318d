//! Paths, read as they were sent: nothing is decoded, folded or tidied, because the original does not either.

use super::indexer::Listing;

/// What a path names on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    Health,
    Routes,
    Info,
    Tips,
    Treasury,
    Receipts,
    ReceiptsOf(&'a str),
    Peers,
    Peer(&'a str),
    WhiteFlag,
    Prune,
    Snapshot,
    Blocks,
    Block(&'a str),
    BlockMetadata(&'a str),
    Included(&'a str),
    IncludedMetadata(&'a str),
    Output(&'a str),
    OutputMetadata(&'a str),
    Milestone(&'a str),
    MilestoneChanges(&'a str),
    ByIndex(&'a str),
    ByIndexChanges(&'a str),
    Indexed(Listing),
    IndexedById(Listing, &'a str),
    NodeMetrics,
    Mqtt,
    Enqueue,
    FaucetInfo,
}

impl<'a> Route<'a> {
    /// The route of a path, if there is one.
    pub fn of(path: &'a str) -> Option<Self> {
        if let Some(rest) = path.strip_prefix("/api/core/v2/") {
            return Self::core(rest);
        }
        if let Some(rest) = path.strip_prefix("/api/indexer/v1/outputs") {
            return Self::indexer(rest);
        }
        Some(match path {
            "/health" => Self::Health,
            "/api/routes" => Self::Routes,
            "/api/dashboard-metrics/v1/info" => Self::NodeMetrics,
            "/api/mqtt/v1" => Self::Mqtt,
            "/api/enqueue" => Self::Enqueue,
            "/api/info" => Self::FaucetInfo,
            _ => return None,
        })
    }

    fn core(rest: &'a str) -> Option<Self> {
        let segments: Vec<&str> = rest.split('/').collect();
        Some(match segments[..] {
            ["info"] => Self::Info,
            ["tips"] => Self::Tips,
            ["treasury"] => Self::Treasury,
            ["receipts"] => Self::Receipts,
            ["receipts", index] if !index.is_empty() => Self::ReceiptsOf(index),
            ["peers"] => Self::Peers,
            ["peers", id] if !id.is_empty() => Self::Peer(id),
            ["whiteflag"] => Self::WhiteFlag,
            ["control", "database", "prune"] => Self::Prune,
            ["control", "snapshots", "create"] => Self::Snapshot,
            ["blocks"] => Self::Blocks,
            ["blocks", id] if !id.is_empty() => Self::Block(id),
            ["blocks", id, "metadata"] => Self::BlockMetadata(id),
            ["transactions", id, "included-block"] => Self::Included(id),
            ["transactions", id, "included-block", "metadata"] => Self::IncludedMetadata(id),
            ["outputs", id] if !id.is_empty() => Self::Output(id),
            ["outputs", id, "metadata"] => Self::OutputMetadata(id),
            ["milestones", "by-index", index] if !index.is_empty() => Self::ByIndex(index),
            ["milestones", "by-index", index, "utxo-changes"] => Self::ByIndexChanges(index),
            ["milestones", id] if !id.is_empty() => Self::Milestone(id),
            ["milestones", id, "utxo-changes"] => Self::MilestoneChanges(id),
            _ => return None,
        })
    }

    fn indexer(rest: &'a str) -> Option<Self> {
        let Some(rest) = rest.strip_prefix('/') else {
            return rest.is_empty().then_some(Self::Indexed(Listing::All));
        };
        let (kind, id) = rest.split_once('/').map_or((rest, None), |(kind, id)| (kind, Some(id)));
        let listing = match kind {
            "basic" => Listing::Basic,
            "alias" => Listing::Alias,
            "nft" => Listing::Nft,
            "foundry" => Listing::Foundry,
            _ => return None,
        };
        match id {
            None => Some(Self::Indexed(listing)),
            // Basic outputs have no identity of their own.
            Some(id) => (listing != Listing::Basic && !id.is_empty()).then_some(Self::IndexedById(listing, id)),
        }
    }

    /// Methods it knows besides OPTIONS, in the order of the `Allow` header.
    pub fn methods(&self) -> &'static str {
        match self {
            Self::Blocks | Self::WhiteFlag | Self::Prune | Self::Snapshot | Self::Enqueue => "POST",
            Self::Peers => "GET, POST",
            Self::Peer(_) => "DELETE, GET",
            _ => "GET",
        }
    }

    /// Whether the original asks a process of its own for it, whose methods it does not know.
    pub fn is_proxied(&self) -> bool {
        matches!(self, Self::Indexed(_) | Self::IndexedById(..))
    }

    /// Whether it knows this method.
    pub fn takes(&self, method: &str) -> bool {
        self.methods().split(", ").any(|known| known == method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_as_they_are() {
        assert_eq!(Route::of("/api/core/v2/blocks/%30xab"), Some(Route::Block("%30xab")));
        assert_eq!(Route::of("/api/core/v2/blocks/0xab/"), None);
        assert_eq!(Route::of("/api/core/v2/../v2/info"), None);
        assert_eq!(Route::of("/api//core/v2/info"), None);
        assert_eq!(Route::of("/API/core/v2/info"), None);
        assert_eq!(Route::of("/api/core/v2/milestones/by-index//utxo-changes"), Some(Route::ByIndexChanges("")));
        assert_eq!(Route::of("/api/core/v2/milestones/by-index/"), None);
    }

    #[test]
    fn an_indexed_id_keeps_its_slashes() {
        assert_eq!(Route::of("/api/indexer/v1/outputs/nft/0xab/"), Some(Route::IndexedById(Listing::Nft, "0xab/")));
        assert_eq!(Route::of("/api/indexer/v1/outputs/basic/0xab"), None);
        assert_eq!(Route::of("/api/indexer/v1/outputs/basic/"), None);
        assert_eq!(Route::of("/api/indexer/v1/outputs"), Some(Route::Indexed(Listing::All)));
        assert_eq!(Route::of("/api/indexer/v1"), None);
    }

    #[test]
    fn methods_are_exact() {
        let allowed: Vec<bool> = ["GET", "HEAD", "POST"].iter().map(|method| Route::Info.takes(method)).collect();
        assert_eq!(allowed, [true, false, false]);
    }
}
