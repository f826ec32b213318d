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

/// A state with both signatures. The hub's is that of the state or, where a token is named, that of its grant. Signatures are not
/// looked at where the state is enforced already.
struct Signed {
    State state;
    Sig client;
    bytes32 granted;
    uint48 payeeSeq;
    HubSig hub;
}

/// The enforced state opened as far as its end needs it, as the event that enforced it showed it.
struct Opening {
    bool last;
    Balances balances;
    bytes32 ops;
}

/// `attachToken` of an ON token, with the hub's grant of it: the state has the token pending at `index`; it is the one that detached
/// it, with the payer's signature, or the newer one that is enforced (then the grant may name an older one).
struct AttachToken {
    address client;
    address asset;
    Token token;
    uint48 payeeSeq;
    bytes32 payerState;
    HubSig hub;
    State state;
    Sig payer;
    uint256 index;
    bytes32[] proof;
}

/// `redeemToken`: the hub's grant of a token to this payee, the voucher of a METERED one, the preimage where there is a condition.
struct Redeem {
    address client;
    address asset;
    Token token;
    uint48 payeeSeq;
    bytes32 payerState;
    HubSig hub;
    uint128 cumulative;
    bytes32 usage;
    bytes32 condition;
    Sig voucherSig;
    bytes32 preimage;
}

/// `resolve` of an OFF token: whose channel was paid, and its state opened without balances, with the payee's signature.
struct ReceiptEvidence {
    address payee;
    address payeeAsset;
    uint32 payeeEpoch;
    uint48 seq;
    bool last;
    bytes32 balances;
    Op[] ops;
    Sig sig;
    bytes32 preimage;
}

/// `resolve` of a METERED token.
struct VoucherEvidence {
    uint128 cumulative;
    bytes32 usage;
    bytes32 condition;
    Sig sig;
    bytes32 preimage;
}

/// Whether a channel runs.
enum Status {
    None,
    Open,
    Closing
}

/// A channel as it is stored: four slots, the last one in disputes only. `redeeming` counts redemptions under way.
struct Channel {
    uint40 closesAt;
    uint48 seq;
    Status status;
    uint16 epoch;
    uint16 redeeming;
    uint128 clientIn;
    uint128 clientOut;
    uint128 hubIn;
    uint128 hubOut;
    uint128 onOut;
    bytes32 enforced;
}

/// How far a redemption is. Executed: an ON token that was paid.
enum RedemptionStatus {
    None,
    Pending,
    Credited,
    Void,
    Executed
}

/// A redemption, by payee and token id.
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
