// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Balances} from "./Types.sol";

/// @title What FulgurHub says: events, and why a call reverts
interface IFulgurHub {
    /// @notice A channel was opened.
    /// @param channel its id
    /// @param client whose it is
    /// @param asset in what; zero for the native asset
    /// @param epoch which of this client and asset
    /// @param clientIn the client's deposit
    /// @param hubIn the hub's collateral
    event Subscribed(
        bytes32 indexed channel,
        address indexed client,
        address indexed asset,
        uint32 epoch,
        uint128 clientIn,
        uint128 hubIn
    );

    /// @notice Money went into a side of a channel.
    /// @param side 0 the client's, 1 the hub's
    event TokenDetached(bytes32 indexed channel, uint8 side, uint128 amount);

    /// @notice What a state books out has left: the totals since the channel was opened.
    event TokenAttached(bytes32 indexed channel, uint128 clientOut, uint128 hubOut);

    /// @notice An ON token was paid.
    event TokenExecuted(bytes32 indexed channel, bytes32 indexed token, address indexed payee, uint128 amount);

    /// @notice Somebody closes a channel.
    /// @param closesAt newer states are enforced before this time
    event WalletClosed(bytes32 indexed channel, address by, uint40 closesAt);

    /// @notice A newer state is enforced in a closing channel. Shown as far as its end needs it: whoever lost its store can end it.
    /// @param ops the hash of its operations
    event Challenged(bytes32 indexed channel, uint48 seq, bool last, bytes32 ops, Balances balances);

    /// @notice A newer state is enforced in an open channel.
    event Checkpointed(bytes32 indexed channel, uint48 seq, bool last, bytes32 ops, Balances balances);

    /// @notice A redemption was started or raised.
    /// @param preimage what was revealed for it, zero for nothing
    event RedemptionStarted(
        bytes32 indexed channel,
        bytes32 indexed token,
        uint128 amount,
        uint48 payeeSeq,
        uint40 creditAt,
        bytes32 preimage
    );

    /// @notice A redemption was written down as paid.
    event RedemptionCredited(bytes32 indexed channel, bytes32 indexed token, uint128 amount);

    /// @notice A redemption fell: the enforced state had consumed its payee sequence.
    event RedemptionVoided(bytes32 indexed channel, bytes32 indexed token);

    /// @notice A pending token of a closing payer was claimed.
    /// @param preimage what was revealed for it, zero for nothing
    event Resolved(bytes32 indexed channel, bytes32 indexed token, uint128 amount, bytes32 preimage);

    /// @notice A channel has ended and paid.
    event Finalised(bytes32 indexed channel, uint128 toClient, uint128 toHub);

    /// @notice An on-chain balance moved to another party.
    event Transferred(address indexed from, address indexed to, address indexed asset, uint128 amount);

    /// @notice An on-chain balance was paid out.
    event Withdrawn(address indexed party, address indexed asset, uint128 amount);

    /// @notice The hub's on-chain balance grew.
    event HubDeposited(address indexed asset, uint128 amount);

    /// @notice A signer of the hub counts from now on.
    event SignerAnnounced(address indexed signer);

    /// @notice A signer of the hub counts until a time and never again.
    event SignerRevoked(address indexed signer, uint40 until);

    /// @notice The caller may not do this.
    error NotAllowed();
    /// @notice The channel is not open (or, for `subscribe`, it is).
    error NotOpen();
    /// @notice The channel is not closing.
    error NotClosing();
    /// @notice There is no such channel.
    error NoChannel();
    /// @notice The message is for another channel.
    error WrongChannel();
    /// @notice The offer is for another epoch.
    error WrongEpoch();
    /// @notice The deadline has passed.
    error TooLate();
    /// @notice The deadline has not passed.
    error TooEarly();
    /// @notice A newer state is enforced.
    error Stale();
    /// @notice The state is not a last one.
    error NotLast();
    /// @notice Not signed by whom it should be.
    error BadSignature();
    /// @notice The state does not conserve, or acknowledges what the contract has not seen.
    error BadState();
    /// @notice Not the state that is enforced.
    error BadOpening();
    /// @notice Not the pending tokens of the enforced state.
    error BadTokens();
    /// @notice The token is not pending in the state.
    error BadProof();
    /// @notice Not for this kind of token.
    error WrongKind();
    /// @notice More than there can be, or nothing.
    error BadAmount();
    /// @notice It does not hash to the condition.
    error BadPreimage();
    /// @notice What is recorded is not less.
    error NotMore();
    /// @notice The token is credited, void or executed.
    error AlreadyDone();
    /// @notice No redemption of this token is under way.
    error NotPending();
    /// @notice Credit the channel's redemptions first.
    error RedemptionsPending();
    /// @notice A pending token can still be claimed.
    error Undecided();
    /// @notice The balance, or what is locked, does not cover it.
    error Insufficient();
    /// @notice A signer is announced once and revoked once.
    error SignerKnown();
    /// @notice The receiver refuses money.
    error PaymentRefused();
    /// @notice The asset is not one of this deployment's.
    error UnknownAsset();
    /// @notice The value sent is not what the call says.
    error WrongValue();
}
