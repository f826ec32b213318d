// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// The messages of the channel protocol (docs/protocol/channel.md), field by field as they are signed, and what calls carry.
// Amounts are base units of the channel's asset, times are seconds since 1970.

/// Who owns what, and which of the contract's counters this counts in already.
struct Balances {
    uint128 client;
    uint128 hub;
    uint128 pending;
    uint128 clientIn;
    uint128 clientOut;
    uint128 hubIn;
    uint128 hubOut;
    uint128 onOut;
    uint16 pendingCount;
    bytes32 pendingRoot;
    uint48 floor;
    uint256 window;
}

/// One step from a state to the next.
struct Op {
    uint8 kind;
    bytes32 token;
    uint128 amount;
}

/// A state of a channel; it counts with both signatures.
struct State {
    bytes32 channel;
    uint48 seq;
    bool last;
    Balances balances;
    Op[] ops;
}

/// A state opened without its balances.
struct Receipt {
    bytes32 channel;
    uint48 seq;
    bool last;
    bytes32 balances;
    Op[] ops;
}

/// One payment from a channel.
struct Token {
    bytes32 payerChannel;
    uint48 payerSeq;
    uint16 index;
    bytes32 payee;
    uint8 kind;
    uint128 value;
    uint128 fee;
    uint40 attachBy;
    uint40 redeemBy;
    uint40 claimBy;
    bytes32 condition;
    address voucherKey;
    bytes32 invoice;
}

/// The hub's word that it pays a token; counts as its signature on the payer's state named.
struct Grant {
    bytes32 token;
    uint48 payeeSeq;
    bytes32 payerState;
}

/// How much of a METERED token is earned.
struct Voucher {
    bytes32 token;
    uint128 cumulative;
    bytes32 usage;
    bytes32 condition;
}

/// The payee's leave to redeem in its name.
struct RedeemAuth {
    bytes32 token;
    address submitter;
    uint40 until;
}

/// The hub's offer to open a channel.
struct ChannelOffer {
    address client;
    address asset;
    uint32 epoch;
    uint128 hubAmount;
    uint128 openingFee;
    uint40 validUntil;
}

/// A signature in the form of EIP-2098.
struct Sig {
    bytes32 r;
    bytes32 vs;
}

/// The hub's signature of a batch, and the way from a message's digest to its root.
struct HubSig {
    Sig sig;
    bytes32[] proof;
}

/// A state with both signatures. `granted`: the hub's is that of `grant`. Not looked at where the state is enforced already.
struct Signed {
    State state;
    Sig client;
    bool granted;
    Grant grant;
    HubSig hub;
}

/// `attachToken` of an ON token: the state has the token pending at `index`; it is the one that detached it, with the payer's
/// signature, or the newer one that is enforced.
struct AttachToken {
    address client;
    address asset;
    Token token;
    Grant grant;
    HubSig hub;
    State state;
    Sig payer;
    uint256 index;
    bytes32[] proof;
}

/// `redeemToken`: the voucher of a METERED token, the preimage where there is a condition, the leave where the caller is another.
struct Redeem {
    address client;
    address asset;
    Token token;
    Grant grant;
    HubSig hub;
    Voucher voucher;
    Sig voucherSig;
    bytes32 preimage;
    RedeemAuth auth;
    Sig authSig;
}

/// `resolve` of an OFF token: the payee's state opened, with its signature and whose channel it is.
struct ReceiptEvidence {
    Receipt receipt;
    Sig sig;
    address payee;
    address payeeAsset;
    uint32 payeeEpoch;
    bytes32 preimage;
}

/// `resolve` of a METERED token.
struct VoucherEvidence {
    Voucher voucher;
    Sig sig;
    bytes32 preimage;
}

/// Whether a channel runs.
enum Status {
    None,
    Open,
    Closing
}

/// A channel as it is stored: five slots, the last two in disputes only.
struct Channel {
    uint40 closesAt;
    uint48 seq;
    Status status;
    uint32 epoch;
    uint128 clientIn;
    uint128 clientOut;
    uint128 hubIn;
    uint128 hubOut;
    uint128 onOut;
    bytes32 enforced;
    uint32 redeeming;
}

/// How far a redemption is. Executed: an ON token that was paid.
enum RedemptionStatus {
    None,
    Pending,
    Credited,
    Void,
    Executed
}

/// A redemption, by token id.
struct Redemption {
    uint128 amount;
    uint40 creditAt;
    uint48 payeeSeq;
    RedemptionStatus status;
}

uint8 constant ATTACH = 2;

uint8 constant OFF = 1;
uint8 constant ON = 2;
uint8 constant METERED = 3;

uint8 constant SIDE_CLIENT = 0;
uint8 constant SIDE_HUB = 1;
