// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {Base} from "./Base.sol";
import {Channel, ChannelOffer, HubSig, SIDE_CLIENT, SIDE_HUB, Status} from "./Types.sol";
import {Words} from "./Words.sol";

/// @title Opening channels, money in and out, and the hub's signers
/// @notice Only these functions call other contracts. Each takes money before it looks at anything, and sends it after everything is
/// written; the guard is around the ERC-20 contracts, so that no balance is measured while another measurement runs.
abstract contract Money is Base, ReentrancyGuard {
    using SafeERC20 for IERC20;
    using Words for ChannelOffer;

    /// @notice Opens a channel. The caller is the offer's client; it pays the deposit and the opening fee, the hub's collateral
    /// comes from the hub's balance.
    /// @param offer the hub's offer
    /// @param hub the hub's signature of it
    /// @param amount the deposit, without the opening fee
    function subscribe(ChannelOffer calldata offer, HubSig calldata hub, uint128 amount) external payable {
        uint128 received = _receive(offer.asset, amount + offer.openingFee);
        Channel storage row = _channels[offer.client][offer.asset];
        require(msg.sender == offer.client, NotAllowed());
        require(row.status == Status.None, NotOpen());
        // The last epoch is never opened, so that every channel can end into a next one.
        require(offer.epoch == row.epoch && offer.epoch != type(uint16).max, WrongEpoch());
        require(block.timestamp < offer.validUntil, TooLate());
        _requireHub(offer.hash(), hub);
        _charge(TREASURY, offer.asset, offer.hubAmount);
        row.status = Status.Open;
        row.hubIn = offer.hubAmount;
        require(received >= offer.openingFee, Insufficient());
        uint128 deposited = received - offer.openingFee;
        require(uint256(deposited) + offer.hubAmount <= type(uint128).max, BadAmount());
        row.clientIn = deposited;
        _pay(TREASURY, offer.asset, offer.openingFee);
        emit Subscribed(
            channelId(offer.client, offer.asset, offer.epoch),
            offer.client,
            offer.asset,
            offer.epoch,
            deposited,
            offer.hubAmount
        );
    }

    /// @notice Puts money into a side of anybody's open channel.
    /// @param client whose channel
    /// @param asset in what
    /// @param side 0 the client's, 1 the hub's
    /// @param amount how much
    /// @param fromBalance from the caller's on-chain balance rather than from outside
    function detachToken(address client, address asset, uint8 side, uint128 amount, bool fromBalance) external payable {
        uint128 received = amount;
        if (fromBalance) {
            require(msg.value == 0, WrongValue());
            _charge(msg.sender, asset, amount);
        } else {
            received = _receive(asset, amount);
        }
        Channel storage row = _channels[client][asset];
        require(row.status == Status.Open, NotOpen());
        require(amount != 0, BadAmount());
        // What a channel holds fits one balance, so that its end never reverts.
        require(uint256(row.clientIn) + row.hubIn + received <= type(uint128).max, BadAmount());
        if (side == SIDE_CLIENT) {
            row.clientIn += received;
        } else {
            require(side == SIDE_HUB, WrongKind());
            row.hubIn += received;
        }
        emit TokenDetached(channelId(client, asset, row.epoch), side, received);
    }

    /// @notice Moves an on-chain balance to another party.
    function transfer(address to, address asset, uint128 amount) external {
        require(to != address(0), NotAllowed());
        _charge(msg.sender, asset, amount);
        _pay(to, asset, amount);
        emit Transferred(msg.sender, to, asset, amount);
    }

    /// @notice Pays out an on-chain balance to the caller.
    function withdraw(address asset, uint128 amount) external {
        _charge(msg.sender, asset, amount);
        _send(asset, msg.sender, amount);
        emit Withdrawn(msg.sender, asset, amount);
    }

    /// @notice Adds to the hub's balance, from anybody.
    function hubDeposit(address asset, uint128 amount) external payable {
        uint128 received = _receive(asset, amount);
        _pay(TREASURY, asset, received);
        emit HubDeposited(asset, received);
    }

    /// @notice Pays out of the hub's balance. Treasury only.
    function hubWithdraw(address asset, uint128 amount, address to) external {
        require(msg.sender == TREASURY, NotAllowed());
        _charge(TREASURY, asset, amount);
        _send(asset, to, amount);
        emit Withdrawn(TREASURY, asset, amount);
    }

    /// @notice Registers a signer of the hub. Treasury only. A revoked one never comes back: that would revive all it signed.
    function announceSigner(address signer) external {
        require(msg.sender == TREASURY, NotAllowed());
        require(signer != address(0) && _signers[signer] == 0, SignerKnown());
        _signers[signer] = type(uint40).max;
        emit SignerAnnounced(signer);
    }

    /// @notice Announces the revocation of a signer. Treasury only. It takes effect after REVOCATION_DELAY, so that everybody can
    /// redeem and enforce what it has signed.
    function revokeSigner(address signer) external {
        require(msg.sender == TREASURY, NotAllowed());
        require(_signers[signer] == type(uint40).max, SignerKnown());
        uint40 until = uint40(block.timestamp) + REVOCATION_DELAY;
        _signers[signer] = until;
        emit SignerRevoked(signer, until);
    }

    /// Takes money from the caller; what arrives counts, not what was asked for.
    function _receive(address asset, uint128 amount) private returns (uint128) {
        if (asset == address(0)) {
            require(msg.value == amount, WrongValue());
            return amount;
        }
        require(_assets[asset], UnknownAsset());
        require(msg.value == 0, WrongValue());
        return _pull(asset, amount);
    }

    function _pull(address asset, uint128 amount) private nonReentrant returns (uint128) {
        uint256 before = IERC20(asset).balanceOf(address(this));
        IERC20(asset).safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = IERC20(asset).balanceOf(address(this)) - before;
        require(received <= amount, WrongValue());
        return uint128(received);
    }

    function _send(address asset, address to, uint128 amount) private {
        if (asset == address(0)) {
            (bool sent,) = to.call{value: amount}("");
            require(sent, PaymentRefused());
        } else {
            _push(asset, to, amount);
        }
    }

    function _push(address asset, address to, uint128 amount) private nonReentrant {
        IERC20(asset).safeTransfer(to, amount);
    }
}
