// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFulgurHub} from "../src/IFulgurHub.sol";
import "../src/Types.sol";
import {Town} from "./Town.sol";

/// Single properties for any input.
contract FuzzTest is Town {
    function setUp() public {
        begin();
        openBoth();
    }

    /// What both signed is paid, later deposits go to their side, and nothing is left over.
    function testFuzz_an_end_pays_what_was_signed(uint128 client, uint96 toClient, uint96 toHub) public {
        client %= 1051;
        Signed memory s = plain("alice", 1, client);
        vm.deal(address(this), 1 << 100);
        if (toClient != 0) hub.detachToken{value: toClient}(alice, NATIVE, SIDE_CLIENT, toClient, false);
        if (toHub != 0) hub.detachToken{value: toHub}(alice, NATIVE, SIDE_HUB, toHub, false);
        uint256 before = hub.balanceOf(treasury, NATIVE);
        vm.prank(alice);
        hub.close(alice, NATIVE, s);
        vm.warp(START + GRACE);
        hub.finalise(alice, NATIVE, openingOf(s.state), new Token[](0));
        assertEq(hub.balanceOf(alice, NATIVE), uint256(client) + toClient, "alice");
        assertEq(hub.balanceOf(treasury, NATIVE) - before, uint256(1050 - client) + toHub, "the hub");
    }

    /// Shares that do not add up to what came in less what went out are never enforced, however large.
    function testFuzz_states_conserve(uint128 client, uint128 hubs, uint128 clientOut, uint128 hubOut) public {
        // Every other one adds up.
        if (client % 2 == 0) {
            (client, clientOut, hubOut) = (client % 351, clientOut % 351, hubOut % 349);
            hubs = 1050 - client - clientOut - hubOut;
        }
        Balances memory b = balancesOf("alice", 0, 0);
        (b.client, b.hub, b.clientOut, b.hubOut) = (client, hubs, clientOut, hubOut);
        Signed memory s = both("alice", state("alice", 1, b));
        bool conserves = uint256(client) + hubs + clientOut + hubOut == 1050;
        if (!conserves) vm.expectRevert(IFulgurHub.BadState.selector);
        hub.argueClosure(alice, NATIVE, s);
    }

    /// Any bit of the call that is changed takes it away: nothing in it is left unsigned.
    function testFuzz_every_bit_of_a_call_counts(uint256 bit) public {
        Token memory t = token(OFF, 100, 0);
        Signed memory s = detached(t);
        (s.granted, s.payeeSeq) = (hasher.hash(t), 5);
        s.hub = hubSigns(hasher.hashGrant(s.granted, 5, hasher.hash(s.state)));
        bytes memory call = abi.encodeCall(hub.argueClosure, (alice, NATIVE, s));
        bit = 32 + bit % ((call.length - 4) * 8);
        call[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        (bool passes,) = address(hub).call(call);
        assertTrue(!passes, "another call passes");
        assertEq(hub.channelOf(alice, NATIVE).seq, 0, "nothing enforced");
    }

    /// Every id of a tree proves its place, and neither another id, another place nor a longer proof does.
    function testFuzz_trees_prove_their_ids_alone(uint256 count, uint256 index, bytes32 other) public view {
        count = 1 + count % 32;
        index %= count;
        bytes32[] memory ids = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            ids[i] = keccak256(abi.encode(other, i));
        }
        bytes32 root = hasher.pendingRoot(ids);
        bytes32[] memory proof = hasher.pendingProof(ids, index);
        assertTrue(hasher.isPending(root, ids[index], index, count, proof), "its own");
        assertTrue(!hasher.isPending(root, other, index, count, proof), "another id");
        assertTrue(count == 1 || !hasher.isPending(root, ids[index], (index + 1) % count, count, proof), "elsewhere");
        assertTrue(!hasher.isPending(root, ids[index], index + count, count, proof), "outside");
        bytes32[] memory longer = new bytes32[](proof.length + 1);
        assertTrue(!hasher.isPending(root, ids[index], index, count, longer), "a longer proof");
        assertTrue(!hasher.isPending(root ^ bytes32(uint256(1)), ids[index], index, count, proof), "another root");
    }

    function testFuzz_a_window_holds_what_is_below_it_and_its_bits(uint48 floor, uint256 window, uint48 seq)
        public
        view
    {
        Balances memory b;
        (b.floor, b.window) = (floor, window);
        bool held = seq < floor;
        for (uint256 i = 0; i < 256; ++i) {
            if ((window >> i) & 1 == 1 && uint256(floor) + i == seq) held = true;
        }
        assertTrue(hasher.holds(b, seq) == held, "held");
    }

    /// A redemption can be defeated up to the second it is credited, and not from then on.
    function testFuzz_a_redemption_falls_or_stands_by_the_clock(uint40 wait) public {
        wait %= 2 * GRACE;
        Token memory t = token(OFF, 100, 0);
        Redeem memory r = redeemOf(t, 0, 0);
        vm.prank(bob);
        hub.redeemToken(r);
        vm.warp(START + wait);
        hub.argueRedemptionToken(bob, NATIVE, attached(t, 1, 0, 100), only(t));
        bool falls = redemptionOf(t).status == RedemptionStatus.Void;
        assertTrue(falls == (wait < GRACE), "by the clock");
        if (falls) refusesCredit(bob, t, IFulgurHub.NotPending.selector);
        else hub.credit(bob, NATIVE, idsOf(t));
    }

    /// Of a METERED token the payer gets back what nobody proved, less the fee where anything was.
    function testFuzz_claims_and_redemptions_count_once(uint128 claimed, uint128 redeemed) public {
        (claimed, redeemed) = (claimed % 101, redeemed % 101);
        Token memory t = token(METERED, 100, 0);
        Signed memory s = detached(t);
        vm.prank(alice);
        hub.close(alice, NATIVE, s);
        if (claimed != 0) hub.resolve(alice, NATIVE, t, voucherOf(t, claimed, 0));
        if (redeemed != 0) {
            Redeem memory r = redeemOf(t, 0, redeemed);
            vm.prank(bob);
            hub.redeemToken(r);
        }
        vm.warp(CLAIM_BY);
        hub.finalise(alice, NATIVE, openingOf(s.state), only(t));
        uint256 most = claimed > redeemed ? claimed : redeemed;
        assertEq(hub.balanceOf(alice, NATIVE), 897 + (most == 0 ? 103 : 100 - most), "alice");
    }
}
