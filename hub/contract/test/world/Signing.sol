// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../../src/Types.sol";
import {Town} from "../Town.sol";

/// What Alice, Bob and the hub have signed with each other: a line of states for each channel's epoch, each following the one before,
/// and the tokens between them.
abstract contract Signing is Town {
    /// States of one epoch: enough to make old ones, few enough to stay fast.
    uint256 private constant STATES = 100;
    /// Tokens of one epoch of Alice's channel: their payee sequences fit one window.
    uint256 private constant TOKENS = 16;
    uint128 private constant FEE = 3;

    /// By channel id. The first is never enforced: it stands for the implicit one.
    mapping(bytes32 channel => Signed[]) internal lines;
    /// The tokens pending in each of them.
    mapping(bytes32 channel => uint256[][]) internal pendings;
    /// Every state's hash that both have signed.
    mapping(bytes32 hash => bool) public signed;
    /// The numbers of Bob's states that attach a token.
    mapping(bytes32 token => uint256[]) internal attachments;
    /// All tokens from Alice, in order; the payee sequence is the place.
    Token[] public tokens;
    /// Redemptions credited to a channel, and what of them its newest state knows.
    mapping(bytes32 channel => uint128) internal creditedOf;
    mapping(bytes32 channel => uint128) internal acknowledgedOf;
    /// Whether the hub signs nothing that costs it money.
    bool internal hubIsHonest;
    /// The first of Alice's present epoch.
    uint256 internal firstToken;

    function line(address client) internal view returns (Signed[] storage) {
        return lines[idOf(client)];
    }

    function newest(address client) internal view returns (Signed storage) {
        Signed[] storage states = line(client);
        return states[states.length - 1];
    }

    /// The implicit state of a channel that was just opened.
    function beginLine(address client) internal {
        Channel memory row = hub.channelOf(client, asset);
        Signed memory first;
        first.state.channel = idOf(client);
        first.state.balances.client = row.clientIn;
        first.state.balances.clientIn = row.clientIn;
        first.state.balances.hub = row.hubIn;
        first.state.balances.hubIn = row.hubIn;
        line(client).push(first);
        pendings[idOf(client)].push();
        if (client == alice) firstToken = tokens.length;
    }

    /// Whether there is a state to follow: open, not the last, room.
    function follows(address client) internal view returns (bool) {
        if (hub.channelOf(client, asset).status != Status.Open) return false;
        Signed[] storage states = line(client);
        return states.length < STATES && !states[states.length - 1].state.last;
    }

    function push(address client, State memory next, uint256[] memory pending) internal {
        bytes32[] memory ids = new bytes32[](pending.length);
        for (uint256 i = 0; i < pending.length; ++i) {
            ids[i] = hasher.hash(tokens[pending[i]]);
        }
        for (uint256 i = 1; i < ids.length; ++i) {
            for (uint256 j = i; j > 0 && ids[j - 1] > ids[j]; --j) {
                (ids[j - 1], ids[j]) = (ids[j], ids[j - 1]);
                (pending[j - 1], pending[j]) = (pending[j], pending[j - 1]);
            }
        }
        next.balances.pendingCount = uint16(ids.length);
        next.balances.pendingRoot = hasher.pendingRoot(ids);
        next.seq += 1;
        Signed memory made = both(client == alice ? "alice" : "bob", next);
        signed[hasher.hash(next)] = true;
        lines[next.channel].push(made);
        pendings[next.channel].push(pending);
    }

    /// Takes in what the chain has that the newest state does not: deposits of both sides and, of Bob, credited redemptions.
    function acknowledge(uint256 seed) external {
        address client = seed & 1 == 0 ? alice : bob;
        if (!follows(client)) return;
        State memory next = newest(client).state;
        Channel memory row = hub.channelOf(client, asset);
        Balances memory b = next.balances;
        uint128 credited = creditedOf[next.channel] - acknowledgedOf[next.channel];
        if (credited > b.hub + (row.hubIn - b.hubIn)) return;
        b.client += row.clientIn - b.clientIn;
        b.hub = b.hub + (row.hubIn - b.hubIn) - credited;
        acknowledgedOf[next.channel] += credited;
        (b.clientIn, b.hubIn, b.hubOut) = (row.clientIn, row.hubIn, b.hubOut + credited);
        delete next.ops;
        push(client, next, pendings[next.channel][lines[next.channel].length - 1]);
    }

    /// A payment between client and hub, either way.
    function shift(uint256 seed, uint128 amount) external {
        address client = seed & 1 == 0 ? alice : bob;
        if (!follows(client)) return;
        State memory next = newest(client).state;
        Balances memory b = next.balances;
        if (seed & 2 == 0) {
            amount = uint128(amount % (uint256(b.client) + 1));
            (b.client, b.hub) = (b.client - amount, b.hub + amount);
        } else {
            amount = uint128(amount % (uint256(b.hub) + 1));
            (b.client, b.hub) = (b.client + amount, b.hub - amount);
        }
        delete next.ops;
        push(client, next, pendings[next.channel][lines[next.channel].length - 1]);
    }

    /// Books money out, for either side.
    function book(uint256 seed, uint128 amount) external {
        address client = seed & 1 == 0 ? alice : bob;
        if (!follows(client)) return;
        State memory next = newest(client).state;
        Balances memory b = next.balances;
        if (seed & 2 == 0) {
            amount = uint128(amount % (uint256(b.client) + 1));
            (b.client, b.clientOut) = (b.client - amount, b.clientOut + amount);
        } else {
            amount = uint128(amount % (uint256(b.hub) + 1));
            (b.hub, b.hubOut) = (b.hub - amount, b.hubOut + amount);
        }
        delete next.ops;
        push(client, next, pendings[next.channel][lines[next.channel].length - 1]);
    }

    /// Alice detaches a token of any kind.
    function detach(uint256 seed, uint128 value) external {
        if (!follows(alice) || tokens.length - firstToken >= TOKENS) return;
        State memory next = newest(alice).state;
        Balances memory b = next.balances;
        if (b.client < FEE + 1) return;
        // Small ones, so that the hub's share in Bob's channel lasts.
        uint128 most = b.client - FEE < 40 ? b.client - FEE : 40;
        value = uint128(1 + value % most);
        Token memory t = token(uint8(1 + seed % 3), value, uint16(tokens.length));
        (t.payerSeq, t.fee) = (next.seq + 1, FEE);
        uint40 time = uint40(block.timestamp);
        (t.attachBy, t.redeemBy, t.claimBy) = (time + 100, time + 220, time + 340);
        tokens.push(t);
        (b.client, b.pending) = (b.client - value - FEE, b.pending + value + FEE);
        uint256[] memory before = pendings[next.channel][lines[next.channel].length - 1];
        uint256[] memory pending = new uint256[](before.length + 1);
        for (uint256 i = 0; i < before.length; ++i) {
            pending[i] = before[i];
        }
        pending[before.length] = tokens.length - 1;
        delete next.ops;
        push(alice, next, pending);
    }

    /// Alice and the hub agree what came of a pending token; of an ON token only what the chain says.
    function settle(uint256 seed, uint128 amount) external {
        if (!follows(alice)) return;
        State memory next = newest(alice).state;
        uint256[] memory before = pendings[next.channel][lines[next.channel].length - 1];
        if (before.length == 0) return;
        uint256 place = seed % before.length;
        Token memory t = tokens[before[place]];
        Balances memory b = next.balances;
        amount = uint128(amount % (uint256(t.value) + 1));
        if (t.kind == ON) {
            bool executed = redemptionOf(t).status == RedemptionStatus.Executed;
            if (!executed && block.timestamp < t.redeemBy) return;
            amount = executed ? t.value : 0;
            b.onOut += amount;
        } else {
            b.hub += amount;
        }
        b.pending -= t.value + FEE;
        b.hub += amount == 0 ? 0 : FEE;
        b.client += amount == 0 ? t.value + FEE : t.value - amount;
        uint256[] memory pending = new uint256[](before.length - 1);
        for (uint256 i = 0; i < pending.length; ++i) {
            pending[i] = before[i < place ? i : i + 1];
        }
        delete next.ops;
        push(alice, next, pending);
    }

    /// Bob attaches a token that the hub has granted.
    function attach(uint256 seed, uint128 amount) external {
        if (!follows(bob) || tokens.length == 0) return;
        uint256 place = tokens.length - 1 - seed % (tokens.length < 5 ? tokens.length : 5);
        Token memory t = tokens[place];
        State memory next = newest(bob).state;
        Balances memory b = next.balances;
        if (t.payee != next.channel) return;
        if (hubIsHonest && redemptionOf(t).status != RedemptionStatus.None) return;
        amount = t.kind == OFF ? t.value : uint128(amount % (uint256(t.value) + 1));
        uint256 bit = 1 << (place % 256);
        if (b.window & bit != 0 || amount > b.hub) return;
        (b.client, b.hub, b.window) = (b.client + amount, b.hub - amount, b.window | bit);
        next.ops = ops(Op(ATTACH, hasher.hash(t), amount));
        push(bob, next, new uint256[](0));
        attachments[next.ops[0].token].push(next.seq);
    }

    /// The last state of a channel with nothing pending.
    function signLast(uint256 seed) external {
        address client = seed & 1 == 0 ? alice : bob;
        // Rarely: nothing follows it.
        if (seed % 64 > 1 || !follows(client)) return;
        State memory next = newest(client).state;
        if (next.balances.pendingCount != 0) return;
        next.last = true;
        delete next.ops;
        push(client, next, new uint256[](0));
    }
}
