//! Every limit of the market protocol, each with its reason.

use crate::time::Millis;

/// First bytes of every tag of this market: version 1 of the protocol.
pub const TAG_PREFIX: &[u8; 8] = b"tarefa1:";

/// Bytes of a message in one part: a block holds 32,768 bytes, of which parents, tag, part header,
/// signature and lengths take at most 600.
pub const PART_CHUNK_MAX: usize = 31 * 1024;

/// Bytes of a message on the wire: 16 MiB is 529 blocks, about what a node takes within one milestone.
pub const MESSAGE_MAX: usize = 16 * 1024 * 1024;

/// Parts of one message, from the two limits above.
pub const PARTS_MAX: u32 = (MESSAGE_MAX / PART_CHUNK_MAX + 1) as u32;

/// Bytes a message may inflate to: bounds what a small hostile block can make us allocate.
pub const INFLATED_MAX: usize = 64 * 1024 * 1024;

/// Bytes of unfinished messages one stranger may occupy: two messages of full size.
pub const PARTIAL_PER_SENDER_MAX: u64 = 2 * MESSAGE_MAX as u64;

/// Bytes of all unfinished messages together.
pub const PARTIAL_TOTAL_MAX: u64 = 256 * 1024 * 1024;

/// Share of [`PARTIAL_TOTAL_MAX`] kept for parties that have paid us before, in per cent.
pub const PARTIAL_RESERVE_PERCENT: u64 = 25;

/// Offers kept for one executor key; a newer sequence replaces the oldest.
pub const OFFERS_PER_KEY_MAX: usize = 4;

/// Offers kept in total: a stranger with many keys cannot fill the store.
pub const OFFERS_TOTAL_MAX: usize = 1_000;

/// A submitter asks the next executor, or gives up, when nobody answered for this long (ledger time).
pub const ANSWER_TIMEOUT_S: u32 = 20;

/// An executor announces its offer at least this often (ledger time).
pub const OFFER_EVERY_S: u32 = 10;

/// ... and at least every so many milestones, so that a scan of [`OFFER_SCAN_MILESTONES`] sees it.
pub const OFFER_EVERY_MILESTONES: u32 = 25;

/// How many milestones back a cold submitter looks for offers.
pub const OFFER_SCAN_MILESTONES: u32 = 60;

/// How long an offer is honoured after it was made (ledger time).
pub const OFFER_VALID_S: u32 = 900;

/// How long a quote can be paid (ledger time). Must exceed [`PAYMENT_MARGIN_MILESTONES`] even at the 10 s
/// milestones of a slow network.
pub const QUOTE_VALID_S: u32 = 1_200;

/// No quote may claim to be payable longer: twice what ours are.
pub const QUOTE_VALID_MAX_S: u32 = 2 * QUOTE_VALID_S;

/// A payment is posted only this many milestones before the quote expires (`market.md`, payment rule 5).
pub const PAYMENT_MARGIN_MILESTONES: u32 = 40;

/// The key is kept this many milestones after the quote expired (`market.md`, payment rule 5).
pub const RETENTION_MILESTONES: u32 = 30;

/// How long messages about a task live after its last deadline: a party may be away for a day.
pub const MESSAGE_LIFE_S: u32 = 86_400;

/// No message may claim to live longer: a receiver keeps a row for each one until then. Twice the life of ours, since
/// clocks of a lagging receiver are behind.
pub const NOT_AFTER_MAX_S: u32 = 2 * MESSAGE_LIFE_S;

/// No offer may claim to be valid longer: twice what ours are.
pub const OFFER_VALID_MAX_S: u32 = 2 * OFFER_VALID_S;

/// Default time from submit to the quote's deadline (ledger time), beyond the task's own time limit.
pub const QUOTE_DEADLINE_S: u32 = 600;

/// How much longer than our own waiting a quoted time may be: clocks are whole seconds on the ledger.
pub const METERING_TOLERANCE: Millis = Millis(2_000);

/// Times a task is run again after a failure of the executor; a second failure rejects it.
pub const RERUNS_MAX: u8 = 1;

/// Length of a free text in a message.
pub const TEXT_MAX: usize = 500;

/// Files in one direction of one task.
pub const FILES_MAX: usize = 1_024;
