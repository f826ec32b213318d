// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Balances, ChannelOffer, Op, State, Token} from "./Types.sol";

/// @title Hashes and trees of the channel protocol
/// @notice hashStruct of EIP-712 for each message. Static structs are encoded as their fields, word by word, which is just what
/// EIP-712 asks for.
library Words {
    string private constant BALANCES =
        "Balances(uint128 client,uint128 hub,uint128 pending,uint128 clientIn,uint128 clientOut,uint128 hubIn,uint128 hubOut,uint128 onOut,uint16 pendingCount,bytes32 pendingRoot,uint48 floor,uint256 window)";
    string private constant OP = "Op(uint8 kind,bytes32 token,uint128 amount)";
    bytes32 private constant BALANCES_TYPE = keccak256(bytes(BALANCES));
    bytes32 private constant OP_TYPE = keccak256(bytes(OP));
    bytes32 private constant STATE_TYPE = keccak256(
        abi.encodePacked("State(bytes32 channel,uint48 seq,bool last,Balances balances,Op[] ops)", BALANCES, OP)
    );
    bytes32 private constant TOKEN_TYPE = keccak256(
        "Token(bytes32 payerChannel,uint48 payerSeq,uint16 index,bytes32 payee,uint8 kind,uint128 value,uint128 fee,uint40 attachBy,uint40 redeemBy,uint40 claimBy,bytes32 condition,address voucherKey,bytes32 invoice)"
    );
    bytes32 private constant GRANT_TYPE = keccak256("Grant(bytes32 token,uint48 payeeSeq,bytes32 payerState)");
    bytes32 private constant VOUCHER_TYPE =
        keccak256("Voucher(bytes32 token,uint128 cumulative,bytes32 usage,bytes32 condition)");
    bytes32 private constant AUTH_TYPE = keccak256("RedeemAuth(bytes32 token,address submitter,uint40 until)");
    bytes32 private constant OFFER_TYPE = keccak256(
        "ChannelOffer(address client,address asset,uint32 epoch,uint128 hubAmount,uint128 openingFee,uint40 validUntil)"
    );
    bytes32 private constant BATCH_TYPE = keccak256("Batch(bytes32 root)");

    function hash(Balances calldata balances) internal pure returns (bytes32) {
        uint256 offset;
        assembly ("memory-safe") {
            offset := balances
        }
        return _hash(BALANCES_TYPE, offset, 12);
    }

    function hash(Op calldata op) internal pure returns (bytes32) {
        uint256 offset;
        assembly ("memory-safe") {
            offset := op
        }
        return _hash(OP_TYPE, offset, 3);
    }

    function hash(Op[] calldata ops) internal pure returns (bytes32 result) {
        bytes32[] memory hashes = new bytes32[](ops.length);
        for (uint256 i = 0; i < ops.length; ++i) {
            hashes[i] = hash(ops[i]);
        }
        assembly ("memory-safe") {
            result := keccak256(add(hashes, 32), mul(mload(hashes), 32))
        }
    }

    /// With the hash of its operations.
    function hash(State calldata state, bytes32 ops) internal pure returns (bytes32) {
        return hashState(state.channel, state.seq, state.last, hash(state.balances), ops);
    }

    /// hashStruct of State, from the hashes of its parts: a receipt opens one so, without its balances.
    function hashState(bytes32 channel, uint48 seq, bool last, bytes32 balances, bytes32 ops)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(STATE_TYPE, channel, seq, last, balances, ops));
    }

    function hash(Token calldata token) internal pure returns (bytes32) {
        uint256 offset;
        assembly ("memory-safe") {
            offset := token
        }
        return _hash(TOKEN_TYPE, offset, 13);
    }

    /// hashStruct of Grant: the hub's word that it pays a token, and its signature on the payer's state named.
    function hashGrant(bytes32 token, uint48 payeeSeq, bytes32 payerState) internal pure returns (bytes32) {
        return keccak256(abi.encode(GRANT_TYPE, token, payeeSeq, payerState));
    }

    /// hashStruct of Voucher: how much of a METERED token is earned.
    function hashVoucher(bytes32 token, uint128 cumulative, bytes32 usage, bytes32 condition)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(VOUCHER_TYPE, token, cumulative, usage, condition));
    }

    /// hashStruct of RedeemAuth: the payee's leave to redeem in its name.
    function hashAuth(bytes32 token, address submitter, uint40 until) internal pure returns (bytes32) {
        return keccak256(abi.encode(AUTH_TYPE, token, submitter, until));
    }

    function hash(ChannelOffer calldata offer) internal pure returns (bytes32) {
        return keccak256(abi.encode(OFFER_TYPE, offer));
    }

    /// hashStruct of Batch.
    function hashBatch(bytes32 root) internal pure returns (bytes32) {
        return keccak256(abi.encode(BATCH_TYPE, root));
    }

    /// Of a struct of calldata, word by word as it came: where a word holds more than its type allows, the hash is one that nobody
    /// has signed, and reading the field reverts.
    function _hash(bytes32 typeHash, uint256 offset, uint256 words) private pure returns (bytes32 result) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, typeHash)
            calldatacopy(add(free, 32), offset, mul(words, 32))
            result := keccak256(free, mul(add(words, 1), 32))
        }
    }

    /// The root that a digest and its siblings lead to: nodes are keccak256(0x01, smaller, larger).
    function batchRoot(bytes32 digest, bytes32[] calldata proof) internal pure returns (bytes32 root) {
        root = digest;
        for (uint256 i = 0; i < proof.length; ++i) {
            root = root < proof[i] ? _node(root, proof[i]) : _node(proof[i], root);
        }
    }

    /// The root over pending token ids, in the order given; zero for none. Overwrites `ids`.
    function pendingRoot(bytes32[] memory ids) internal pure returns (bytes32) {
        uint256 count = ids.length;
        if (count == 0) {
            return 0;
        }
        for (uint256 i = 0; i < count; ++i) {
            ids[i] = _leaf(ids[i]);
        }
        while (count > 1) {
            uint256 next = 0;
            for (uint256 i = 0; i < count; i += 2) {
                ids[next++] = i + 1 < count ? _node(ids[i], ids[i + 1]) : ids[i];
            }
            count = next;
        }
        return ids[0];
    }

    /// Whether the siblings lead from the id at `index` of `count` to the root. A proof has one length only.
    function isPending(bytes32 root, bytes32 id, uint256 index, uint256 count, bytes32[] calldata proof)
        internal
        pure
        returns (bool)
    {
        if (index >= count) {
            return false;
        }
        bytes32 node = _leaf(id);
        uint256 used = 0;
        while (count > 1) {
            if (index ^ 1 < count) {
                if (used == proof.length) {
                    return false;
                }
                bytes32 sibling = proof[used++];
                node = index & 1 == 0 ? _node(node, sibling) : _node(sibling, node);
            }
            index >>= 1;
            count = (count + 1) >> 1;
        }
        return used == proof.length && node == root;
    }

    /// Whether a state has consumed a payee sequence.
    function holds(Balances calldata balances, uint48 payeeSeq) internal pure returns (bool) {
        if (payeeSeq < balances.floor) {
            return true;
        }
        uint256 above = payeeSeq - balances.floor;
        return above < 256 && balances.window & (1 << above) != 0;
    }

    function _leaf(bytes32 id) private pure returns (bytes32 leaf) {
        assembly ("memory-safe") {
            mstore8(0, 0)
            mstore(1, id)
            leaf := keccak256(0, 33)
        }
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32 node) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore8(free, 1)
            mstore(add(free, 1), left)
            mstore(add(free, 33), right)
            node := keccak256(free, 65)
        }
    }
}
