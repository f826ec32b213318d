//! Every limit of the protocol with its reason. Those that a hub may choose are in [`crate::terms::Terms`].

/// Siblings in the proof of a batch: 1,024 messages behind one signature, far above a group commit, at 320 bytes of calldata.
pub const BATCH_DEPTH: usize = 10;

/// Payee sequences above the floor that a state can tell apart: one word of storage.
pub const WINDOW: u64 = 256;

/// Tokens in flight of one channel: what one transaction can finalise, even where each needs its evidence looked up.
pub const PENDING: usize = 32;

/// Operations in one state: every pending token settled and as many detached, in one message. A receipt carries them
/// all on chain, so there is a bound.
pub const OPS: usize = 64;

/// Redemptions that one call defeats: far below a block's gas, so that many of them cannot make the call fail.
pub const REDEMPTIONS: usize = 32;

/// Epochs of one client and asset: 16 bits of the contract's row. At a channel a day, 179 years.
pub const EPOCHS: u32 = 65_535;

/// Seconds after which the newest block is too old to decide anything by: several blocks of any chain in use.
pub const HEAD_AGE: u64 = 60;

/// G where a hub says nothing else, seconds: a day, so that whoever looks once in most of a day loses nothing.
pub const GRACE: u64 = 86_400;

/// Seconds that a transaction may wait for its block, where nothing else is said: fifty blocks of a slow chain, time to offer more for it.
pub const INCLUSION: u64 = 600;

/// Seconds after which a block is final, where nothing else is said: a little more than two epochs of Ethereum.
pub const REORG: u64 = 900;

/// The longest life of a token where nothing else is said, seconds: a week, longer than any task; collateral is bound as long.
pub const TOKEN_LIFE: u64 = 604_800;

/// Seconds that a client waits for its hub at most (rule 14), and where nothing else is said: a restart, or another replica, takes less, and a
/// hub that could name its own time would bind its clients' money with its silence.
pub const PATIENCE: u64 = 60;

/// Tokens of one payer in flight where nothing else is said: each binds collateral at a payee, and a claim costs the hub gas.
pub const LIVE_TOKENS: usize = 8;
