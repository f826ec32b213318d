// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../src/Types.sol";
import {Town} from "./Town.sol";

/// Anybody does anything in any order: Alice, Bob and the hub sign whatever is asked, honest or not.
contract Handler is Town {
    uint128 public putIn;
    uint128 public takenOut;
    /// Per token: what was paid for it on its payee's channel, and on its payer's.
    mapping(bytes32 token => uint256) public paid;
    Token[] private tokens;
    Signed[] private aliceStates;
    Signed[] private bobStates;
    /// The highest sequence ever enforced, by channel id.
    mapping(bytes32 channel => uint48) public highest;
    bool public fell;

    constructor() {
        begin();
        putIn = 10_000;
        openBoth();
        putIn += 1000 + 21 + 30 + 21;
        for (uint16 i = 0; i < 4; ++i) {
            tokens.push(token(i < 2 ? OFF : i == 2 ? ON : METERED, 50, i));
        }
        prepare();
    }

    function prepare() private {
        for (uint48 n = 1; n <= 4; ++n) {
            Balances memory b = balancesOf("alice", 900 - 53, 100 + 53);
            bytes32[] memory ids = new bytes32[](1);
            ids[0] = hasher.hash(tokens[n - 1]);
            b.pending = 53;
            b.client = uint128(900 - 53 * n);
            b.clientOut = n * 10;
            b.hub = b.clientIn + b.hubIn - b.clientOut - b.client - b.pending;
            b.pendingCount = 1;
            b.pendingRoot = hasher.pendingRoot(ids);
            aliceStates.push(both("alice", state("alice", n, b)));
            b = balancesOf("bob", 30 + 20 * n, 0);
            b.window = n == 1 ? 0 : 1 << (n - 2);
            bobStates.push(both("bob", state("bob", n, b)));
        }
    }

    function look() private {
        address[2] memory clients = [alice, bob];
        for (uint256 i = 0; i < 2; ++i) {
            Channel memory row = hub.channelOf(clients[i], NATIVE);
            bytes32 id = hub.channelId(clients[i], NATIVE, row.epoch);
            if (row.seq < highest[id]) fell = true;
            highest[id] = row.seq;
        }
    }

    function stateOf(uint256 seed) private view returns (address, Signed memory) {
        bool first = seed & 1 == 0;
        return (first ? alice : bob, first ? aliceStates[(seed >> 1) % 4] : bobStates[(seed >> 1) % 4]);
    }

    function passTime(uint16 seconds_) external {
        vm.warp(block.timestamp + seconds_ % 150);
    }

    function deposit(uint256 seed, uint96 amount) external {
        try hub.detachToken{value: amount}(seed & 1 == 0 ? alice : bob, NATIVE, uint8(seed >> 1) & 1, amount, false) {
            putIn += amount;
        } catch {}
        look();
    }

    function close(uint256 seed) external {
        (address client, Signed memory s) = stateOf(seed);
        vm.prank(seed & 64 == 0 ? client : signer);
        try hub.close(client, NATIVE, s) {} catch {}
        look();
    }

    function argue(uint256 seed) external {
        (address client, Signed memory s) = stateOf(seed);
        try hub.argueClosure(client, NATIVE, s) {} catch {}
        look();
    }

    function takeOut(uint256 seed) external {
        (address client, Signed memory s) = stateOf(seed);
        try hub.attachToken(client, NATIVE, s) {} catch {}
        look();
    }

    function redeem(uint256 seed, uint128 vouched) external {
        Token memory t = tokens[seed % 4];
        Redeem memory r = redeemOf(t, uint48(seed % 4), vouched % 51);
        vm.prank(bob);
        try hub.redeemToken(r) {} catch {}
        look();
    }

    function argueRedemption(uint256 seed) external {
        (, Signed memory s) = stateOf(seed | 1);
        try hub.argueRedemptionToken(bob, NATIVE, s, only(tokens[(seed >> 8) % 2])) {} catch {}
        look();
    }

    function credit(uint256 seed) external {
        Token memory t = tokens[seed % 4];
        try hub.credit(bob, NATIVE, idsOf(t)) {
            paid[hasher.hash(t)] += 1;
        } catch {}
        look();
    }

    function execute() external {
        AttachToken memory a = executes(tokens[2]);
        a.state = aliceStates[2].state;
        a.payer = aliceStates[2].client;
        a.payerState = hasher.hash(a.state);
        a.hub = hubSigns(hasher.hashGrant(hasher.hash(tokens[2]), 0, a.payerState));
        try hub.attachToken(a) {
            paid[hasher.hash(tokens[2])] += 1;
        } catch {}
        look();
    }

    function claim(uint256 seed, uint128 amount) external {
        Token memory t = tokens[seed % 2];
        ReceiptEvidence memory e = receiptOf(attached(t, 1, 0, amount % 60));
        try hub.resolve(alice, NATIVE, t, e) {} catch {}
        VoucherEvidence memory v = voucherOf(tokens[3], amount % 60, 0);
        try hub.resolve(alice, NATIVE, tokens[3], v) {} catch {}
        look();
    }

    function finalise(uint256 seed) external {
        (address client, Signed memory s) = stateOf(seed);
        Token[] memory list = client == alice ? only(tokens[(seed >> 1) % 4]) : new Token[](0);
        try hub.finalise(client, NATIVE, openingOf(s.state), list) {} catch {}
        try hub.finalise(client, NATIVE) {} catch {}
        look();
    }

    function withdraw(uint256 seed, uint128 amount) external {
        address[4] memory parties = [alice, bob, carol, treasury];
        address party = parties[seed % 4];
        uint128 balance = hub.balanceOf(party, NATIVE);
        amount = balance == 0 ? 0 : amount % (balance + 1);
        vm.prank(party);
        hub.withdraw(NATIVE, amount);
        takenOut += amount;
    }

    function locked(address client) public view returns (uint256) {
        Channel memory row = hub.channelOf(client, NATIVE);
        return uint256(row.clientIn) + row.hubIn - row.clientOut - row.hubOut - row.onOut;
    }

    function owed() external view returns (uint256) {
        uint256 onBalances = uint256(hub.balanceOf(alice, NATIVE)) + hub.balanceOf(bob, NATIVE)
            + hub.balanceOf(carol, NATIVE) + hub.balanceOf(treasury, NATIVE);
        return locked(alice) + locked(bob) + onBalances;
    }

    function held() external view returns (uint256) {
        return address(hub).balance;
    }

    /// Whether a channel that closes can be ended by a stranger, long after its deadline.
    function ends() external returns (bool) {
        vm.warp(block.timestamp + 100 * GRACE);
        for (uint256 i = 0; i < 4; ++i) {
            try hub.credit(bob, NATIVE, idsOf(tokens[i])) {} catch {}
        }
        return ended(alice, aliceStates) && ended(bob, bobStates);
    }

    function ended(address client, Signed[] memory states) private returns (bool) {
        if (hub.channelOf(client, NATIVE).status != Status.Closing) return true;
        try hub.finalise(client, NATIVE) {
            return true;
        } catch {}
        for (uint256 i = 0; i < 4; ++i) {
            Token[] memory list = client == alice ? only(tokens[i]) : new Token[](0);
            try hub.finalise(client, NATIVE, openingOf(states[i].state), list) {
                return true;
            } catch {}
        }
        return false;
    }

    function paidTwice() external view returns (bool) {
        for (uint256 i = 0; i < 4; ++i) {
            if (paid[hasher.hash(tokens[i])] > 1) return true;
        }
        return false;
    }
}

/// What holds whatever happens.
contract InvariantsTest is Town {
    Handler private handler;

    function setUp() public {
        handler = new Handler();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_every_unit_is_locked_or_on_a_balance() external view {
        assertEq(handler.held(), handler.owed(), "held and owed");
    }

    function invariant_what_came_in_and_has_not_left_is_there() external view {
        assertEq(handler.held(), handler.putIn() - handler.takenOut(), "in and out");
    }

    function invariant_the_enforced_number_never_falls() external view {
        assertTrue(!handler.fell(), "a number fell");
    }

    function invariant_a_token_is_paid_at_most_once() external view {
        assertTrue(!handler.paidTwice(), "paid twice");
    }

    function invariant_a_closing_channel_can_be_ended_by_anybody() external {
        assertTrue(handler.ends(), "a channel does not end");
    }
}
