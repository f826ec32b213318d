// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base} from "./Base.sol";
import {Channel, METERED, OFF, Redeem, Redemption, RedemptionStatus, Sig, Status, Token} from "./Types.sol";
import {Words} from "./Words.sol";

/// @title Redemption: a payee gets a granted token out of the hub's share of its own channel
abstract contract Redemptions is Base {
    using Words for Token;

    /// @notice Starts the redemption of a token, or raises it with a larger voucher, before redeemBy. After GRACE it is credited,
    /// unless `argueRedemptionToken` shows before that it was paid or given up. By the payee.
    function redeemToken(Redeem calldata r) external {
        require(msg.sender == r.client, NotAllowed());
        _redeem(r, r.token.hash());
    }

    /// @notice The same by another, with the payee's leave.
    /// @param until the leave's end
    /// @param authSig the payee's signature of RedeemAuth(token, caller, until)
    function redeemToken(Redeem calldata r, uint40 until, Sig calldata authSig) external {
        bytes32 id = r.token.hash();
        require(block.timestamp < until, TooLate());
        _requireSigner(_digest(Words.hashAuth(id, msg.sender, until)), authSig, r.client);
        _redeem(r, id);
    }

    function _redeem(Redeem calldata r, bytes32 id) private {
        Channel storage row = _channels[r.client][r.asset];
        require(row.status != Status.None, NoChannel());
        bytes32 channel = channelId(r.client, r.asset, row.epoch);
        require(r.token.payee == channel, WrongChannel());
        require(block.timestamp < r.token.redeemBy, TooLate());
        _requireHub(Words.hashGrant(id, r.payeeSeq, r.payerState), r.hub);
        (uint128 amount, bytes32 condition) = _redeemable(r, id);
        _requirePreimage(condition, r.preimage);
        Redemption storage redemption = _redemptions[channel][id];
        if (redemption.status == RedemptionStatus.None) {
            row.redeeming += 1;
        } else {
            // One whose time has come is paid: raising it would take that back.
            require(redemption.status == RedemptionStatus.Pending && !_isCredited(redemption), AlreadyDone());
            require(amount > redemption.amount, NotMore());
        }
        uint40 creditAt = uint40(block.timestamp) + GRACE;
        redemption.amount = amount;
        redemption.creditAt = creditAt;
        redemption.payeeSeq = r.payeeSeq;
        redemption.status = RedemptionStatus.Pending;
        emit RedemptionStarted(channel, id, amount, r.payeeSeq, creditAt, condition == 0 ? bytes32(0) : r.preimage);
    }

    function _redeemable(Redeem calldata r, bytes32 id) private view returns (uint128, bytes32) {
        if (r.token.kind == OFF) {
            require(r.token.value != 0, BadAmount());
            return (r.token.value, r.token.condition);
        }
        require(r.token.kind == METERED, WrongKind());
        _requireVoucher(id, r.token, r.cumulative, r.usage, r.condition, r.voucherSig);
        return (r.cumulative, r.condition);
    }

    /// @notice Writes down that redemptions are paid, whose time has come. By anybody.
    /// @param ids tokens to this channel
    function credit(address client, address asset, bytes32[] calldata ids) external {
        Channel storage row = _channels[client][asset];
        require(row.status != Status.None, NoChannel());
        bytes32 channel = channelId(client, asset, row.epoch);
        uint128 total = 0;
        for (uint256 i = 0; i < ids.length; ++i) {
            Redemption storage redemption = _redemptions[channel][ids[i]];
            require(redemption.status == RedemptionStatus.Pending, NotPending());
            require(block.timestamp >= redemption.creditAt, TooEarly());
            uint128 amount = redemption.amount;
            redemption.status = RedemptionStatus.Credited;
            total += amount;
            emit RedemptionCredited(channel, ids[i], amount);
        }
        // Within the channel, from the hub's side to the client's: what is locked stays the same.
        row.clientIn += total;
        row.hubOut += total;
        row.redeeming -= uint16(ids.length);
    }

    /// That the payer has vouched for this much of a token.
    function _requireVoucher(
        bytes32 id,
        Token calldata token,
        uint128 cumulative,
        bytes32 usage,
        bytes32 condition,
        Sig calldata sig
    ) internal view {
        require(cumulative <= token.value && cumulative != 0, BadAmount());
        _requireSigner(_digest(Words.hashVoucher(id, cumulative, usage, condition)), sig, token.voucherKey);
    }

    function _requirePreimage(bytes32 condition, bytes32 preimage) internal pure {
        require(condition == 0 || sha256(abi.encodePacked(preimage)) == condition, BadPreimage());
    }
}
