// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base} from "./Base.sol";
import {
    Channel,
    Grant,
    METERED,
    OFF,
    Redeem,
    RedeemAuth,
    Redemption,
    RedemptionStatus,
    Sig,
    Status,
    Token,
    Voucher
} from "./Types.sol";
import {Words} from "./Words.sol";

/// @title Redemption: a payee gets a granted token out of the hub's share of its own channel
abstract contract Redemptions is Base {
    using Words for Grant;
    using Words for RedeemAuth;
    using Words for Token;
    using Words for Voucher;

    /// @notice Starts the redemption of a token, or raises it with a larger voucher, before redeemBy. By the payee, or with its
    /// leave. After GRACE it is credited, unless `argueRedemptionToken` shows before that it was paid or given up.
    function redeemToken(Redeem calldata r) external nonReentrant {
        bytes32 id = r.token.hash();
        Channel storage row = _channels[r.client][r.asset];
        if (msg.sender != r.client) {
            _requireLeave(r, id);
        }
        require(row.status != Status.None, NoChannel());
        bytes32 channel = channelId(r.client, r.asset, row.epoch);
        require(r.token.payee == channel, WrongChannel());
        require(block.timestamp < r.token.redeemBy, TooLate());
        require(r.grant.token == id, BadGrant());
        _requireHub(r.grant.hash(), r.hub);
        (uint128 amount, bytes32 condition) = _redeemable(r, id);
        _requirePreimage(condition, r.preimage);
        Redemption storage redemption = _redemptions[id];
        if (redemption.status == RedemptionStatus.None) {
            row.redeeming += 1;
        } else {
            // One whose time has come is paid: raising it would take that back.
            require(redemption.status == RedemptionStatus.Pending && !_isCredited(redemption), AlreadyDone());
            require(amount > redemption.amount, NotMore());
        }
        uint40 creditAt = uint40(block.timestamp) + GRACE;
        _redemptions[id] = Redemption(amount, creditAt, r.grant.payeeSeq, RedemptionStatus.Pending);
        emit RedemptionStarted(
            channel, id, amount, r.grant.payeeSeq, creditAt, condition == 0 ? bytes32(0) : r.preimage
        );
    }

    function _requireLeave(Redeem calldata r, bytes32 id) private view {
        require(r.auth.token == id && r.auth.submitter == msg.sender, NotAllowed());
        require(block.timestamp < r.auth.until, TooLate());
        _requireSigner(_digest(r.auth.hash()), r.authSig, r.client);
    }

    function _redeemable(Redeem calldata r, bytes32 id) private view returns (uint128, bytes32) {
        if (r.token.kind == OFF) {
            require(r.token.value != 0, BadAmount());
            return (r.token.value, r.token.condition);
        }
        require(r.token.kind == METERED, WrongKind());
        return (_vouched(id, r.token, r.voucher, r.voucherSig), r.voucher.condition);
    }

    /// @notice Writes down that a redemption is paid, once its time has come. By anybody.
    function credit(address client, address asset, Token calldata token) external nonReentrant {
        bytes32 id = token.hash();
        Channel storage row = _channels[client][asset];
        require(row.status != Status.None, NoChannel());
        bytes32 channel = channelId(client, asset, row.epoch);
        require(token.payee == channel, WrongChannel());
        Redemption storage redemption = _redemptions[id];
        require(redemption.status == RedemptionStatus.Pending, NotPending());
        require(block.timestamp >= redemption.creditAt, TooEarly());
        uint128 amount = redemption.amount;
        redemption.status = RedemptionStatus.Credited;
        // Within the channel, from the hub's side to the client's: what is locked stays the same.
        row.clientIn += amount;
        row.hubOut += amount;
        row.redeeming -= 1;
        emit RedemptionCredited(channel, id, amount);
    }

    /// The amount of a voucher, if it is one of this token.
    function _vouched(bytes32 id, Token calldata token, Voucher calldata voucher, Sig calldata sig)
        internal
        view
        returns (uint128 amount)
    {
        amount = voucher.cumulative;
        require(voucher.token == id, BadGrant());
        require(amount <= token.value && amount != 0, BadAmount());
        _requireSigner(_digest(voucher.hash()), sig, token.voucherKey);
    }

    function _requirePreimage(bytes32 condition, bytes32 preimage) internal pure {
        require(condition == 0 || sha256(abi.encodePacked(preimage)) == condition, BadPreimage());
    }
}
