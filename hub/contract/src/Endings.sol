// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Redemptions} from "./Redemptions.sol";
import {
    ATTACH,
    Balances,
    Channel,
    METERED,
    OFF,
    ON,
    Op,
    Opening,
    ReceiptEvidence,
    Redemption,
    RedemptionStatus,
    Status,
    Token,
    VoucherEvidence
} from "./Types.sol";
import {Words} from "./Words.sol";

/// @title Claims on the tokens of a closing payer, and the end of a channel
abstract contract Endings is Redemptions {
    using Words for Balances;
    using Words for Op[];
    using Words for Token;

    /// @notice Claims a pending OFF token: its payee has attached it. By anybody, before claimBy; the largest claim counts.
    function resolve(address client, address asset, Token calldata token, ReceiptEvidence calldata evidence) external {
        (bytes32 channel, bytes32 id) = _requireClaimable(client, asset, token);
        require(token.kind == OFF, WrongKind());
        _requireReceipt(token.payee, evidence);
        _requirePreimage(token.condition, evidence.preimage);
        uint128 amount = _attached(evidence.ops, id);
        require(amount <= token.value, BadAmount());
        _claim(channel, id, amount, token.condition == 0 ? bytes32(0) : evidence.preimage);
    }

    /// @notice Claims a pending METERED token: its payer has vouched for it. A receipt never does (rule 7).
    function resolve(address client, address asset, Token calldata token, VoucherEvidence calldata evidence) external {
        (bytes32 channel, bytes32 id) = _requireClaimable(client, asset, token);
        require(token.kind == METERED, WrongKind());
        bytes32 condition = evidence.condition;
        _requireVoucher(id, token, evidence.cumulative, evidence.usage, condition, evidence.sig);
        _requirePreimage(condition, evidence.preimage);
        _claim(channel, id, evidence.cumulative, condition == 0 ? bytes32(0) : evidence.preimage);
    }

    function _requireClaimable(address client, address asset, Token calldata token)
        private
        view
        returns (bytes32 channel, bytes32 id)
    {
        Channel storage row = _channels[client][asset];
        require(row.status == Status.Closing, NotClosing());
        channel = channelId(client, asset, row.epoch);
        require(token.payerChannel == channel, WrongChannel());
        require(block.timestamp < token.claimBy, TooLate());
        id = token.hash();
    }

    function _requireReceipt(bytes32 payee, ReceiptEvidence calldata e) private view {
        require(channelId(e.payee, e.payeeAsset, e.payeeEpoch) == payee, WrongChannel());
        bytes32 hash = Words.hashState(payee, e.seq, e.last, e.balances, e.ops.hash());
        _requireSigner(_digest(hash), e.sig, e.payee);
    }

    function _attached(Op[] calldata ops, bytes32 id) private pure returns (uint128) {
        for (uint256 i = 0; i < ops.length; ++i) {
            if (ops[i].kind == ATTACH && ops[i].token == id) {
                return ops[i].amount;
            }
        }
        revert BadAmount();
    }

    /// Claims are records: they count for tokens that are pending in the state enforced in the end.
    function _claim(bytes32 channel, bytes32 id, uint128 amount, bytes32 preimage) private {
        require(amount > _claims[channel][id], NotMore());
        _claims[channel][id] = amount;
        emit Resolved(channel, id, amount, preimage);
    }

    /// @notice Ends a closing channel that has no enforced state: everything belongs to the side it was credited to.
    function finalise(address client, address asset) external {
        Channel storage row = _requireEnding(client, asset);
        require(row.seq == 0, BadOpening());
        _end(client, asset, row, row.clientIn);
    }

    /// @notice Ends a closing channel by its enforced state, once its window has passed and nothing can change what its pending tokens
    /// came to. By anybody.
    /// @param enforced the enforced state
    /// @param tokens all its pending tokens, in ascending order of their ids
    function finalise(address client, address asset, Opening calldata enforced, Token[] calldata tokens) external {
        Channel storage row = _requireEnding(client, asset);
        bytes32 channel = channelId(client, asset, row.epoch);
        bytes32 hash = Words.hashState(channel, row.seq, enforced.last, enforced.balances.hash(), enforced.ops);
        require(row.enforced == hash, BadOpening());
        bytes32[] memory ids = new bytes32[](tokens.length);
        uint256 back = 0;
        for (uint256 i = 0; i < tokens.length; ++i) {
            ids[i] = tokens[i].hash();
            back += _back(channel, tokens[i], ids[i]);
        }
        // The root binds which tokens there are, how many and in which order.
        require(Words.pendingRoot(ids) == enforced.balances.pendingRoot, BadTokens());
        _end(client, asset, row, _clientPart(row, enforced.balances, back));
    }

    function _requireEnding(address client, address asset) private view returns (Channel storage row) {
        row = _channels[client][asset];
        require(row.status == Status.Closing, NotClosing());
        require(block.timestamp >= row.closesAt, TooEarly());
        require(row.redeeming == 0, RedemptionsPending());
    }

    /// What of a pending token goes back to the client (rule 7): value and fee, less what the payee got and the fee for it.
    function _back(bytes32 channel, Token calldata token, bytes32 id) private view returns (uint256) {
        uint256 cost = uint256(token.value) + token.fee;
        Redemption storage redemption = _redemptions[token.payee][id];
        if (token.kind == ON) {
            if (redemption.status == RedemptionStatus.Executed) {
                return 0;
            }
            require(block.timestamp >= token.redeemBy, Undecided());
            return cost;
        }
        uint256 paid = _claims[channel][id];
        if (_isCredited(redemption)) {
            uint256 amount = redemption.amount;
            paid = amount > paid ? amount : paid;
        } else if (redemption.status == RedemptionStatus.Pending) {
            require(paid >= token.value, Undecided());
        }
        require(paid >= token.value || block.timestamp >= token.claimBy, Undecided());
        return paid == 0 ? cost : token.value - paid;
    }
}
