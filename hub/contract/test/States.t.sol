// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFulgurHub} from "../src/IFulgurHub.sol";
import "../src/Types.sol";
import {Town} from "./Town.sol";

/// Close, challenge, hot withdrawal, ON tokens, the last state.
contract StatesTest is Town {
    function setUp() public {
        begin();
        openBoth();
    }

    function finaliseAs(Signed memory s) private {
        hub.finalise(alice, NATIVE, openingOf(s.state), new Token[](0));
    }

    function test_1_7_without_a_state_everybody_gets_what_was_put_in() public {
        vm.prank(alice);
        hub.close(alice, NATIVE);
        vm.warp(START + GRACE - 1);
        vm.expectRevert(IFulgurHub.TooEarly.selector);
        hub.finalise(alice, NATIVE);
        vm.warp(START + GRACE);
        uint256 before = hub.balanceOf(treasury, NATIVE);
        hub.finalise(alice, NATIVE);
        assertEq(hub.balanceOf(alice, NATIVE), 1000, "alice");
        assertEq(hub.balanceOf(treasury, NATIVE) - before, 50, "hub");
        assertEq(hub.channelOf(alice, NATIVE).epoch, 1, "the next epoch");
        vm.expectRevert(IFulgurHub.NotClosing.selector);
        hub.finalise(alice, NATIVE);
    }

    function test_1_29_only_client_and_hub_start_a_close() public {
        vm.prank(bob);
        vm.expectRevert(IFulgurHub.NotAllowed.selector);
        hub.close(alice, NATIVE);
        Signed memory s = plain("alice", 1, 400);
        vm.prank(bob);
        vm.expectRevert(IFulgurHub.NotAllowed.selector);
        hub.close(alice, NATIVE, s);
        vm.prank(signer);
        hub.close(alice, NATIVE, s);
        vm.prank(treasury);
        hub.close(bob, NATIVE);
        vm.prank(alice);
        vm.expectRevert(IFulgurHub.NotOpen.selector);
        hub.close(alice, NATIVE);
    }

    function test_the_highest_number_wins_and_nobody_is_punished() public {
        Signed memory old = plain("alice", 1, 900);
        Signed memory newer = plain("alice", 2, 700);
        vm.prank(alice);
        hub.close(alice, NATIVE, old);
        vm.warp(START + GRACE - 1);
        hub.argueClosure(alice, NATIVE, newer);
        vm.expectRevert(IFulgurHub.Stale.selector);
        hub.argueClosure(alice, NATIVE, old);
        vm.expectRevert(IFulgurHub.Stale.selector);
        hub.argueClosure(alice, NATIVE, newer);
        vm.warp(START + GRACE);
        vm.expectRevert(IFulgurHub.BadOpening.selector);
        finaliseAs(old);
        vm.expectRevert(IFulgurHub.BadOpening.selector);
        hub.finalise(alice, NATIVE);
        finaliseAs(newer);
        assertEq(hub.balanceOf(alice, NATIVE), 700, "alice");
    }

    function test_a_challenge_does_not_extend_the_window() public {
        Signed memory newest = plain("alice", 3, 100);
        Signed memory newer = plain("alice", 2, 700);
        vm.prank(alice);
        hub.close(alice, NATIVE);
        vm.warp(START + GRACE - 1);
        hub.argueClosure(alice, NATIVE, newer);
        vm.warp(START + GRACE);
        vm.expectRevert(IFulgurHub.TooLate.selector);
        hub.argueClosure(alice, NATIVE, newest);
    }

    function test_a_close_passes_over_a_state_that_is_enforced_already() public {
        Signed memory s = plain("alice", 2, 700);
        Signed memory old = plain("alice", 1, 900);
        hub.argueClosure(alice, NATIVE, s);
        vm.prank(alice);
        hub.close(alice, NATIVE, old);
        assertEq(hub.channelOf(alice, NATIVE).seq, 2, "not back");
    }

    function test_a_state_needs_both_signatures_and_its_own_channel() public {
        Signed memory s = plain("alice", 1, 700);
        Signed memory bad = plain("alice", 1, 700);
        bad.client = signs("mallory", hasher.hash(s.state));
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.argueClosure(alice, NATIVE, bad);
        bad = plain("alice", 1, 700);
        bad.hub = hubSignsAs("alice", hasher.hash(s.state));
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.argueClosure(alice, NATIVE, bad);
        vm.expectRevert(IFulgurHub.WrongChannel.selector);
        hub.argueClosure(bob, NATIVE, s);
        vm.expectRevert(IFulgurHub.NoChannel.selector);
        hub.argueClosure(carol, NATIVE, s);
        bad = plain("alice", 1, 700);
        bad.granted = bytes32(uint256(1));
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.argueClosure(alice, NATIVE, bad);
    }

    function test_1_14_high_s_is_refused() public {
        Signed memory s = plain("alice", 1, 700);
        // The compact form has no room for most high s; the least one is just above half the order.
        s.client.vs = bytes32(uint256(0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a1));
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.argueClosure(alice, NATIVE, s);
    }

    function test_a_grant_counts_as_the_hubs_signature() public {
        Token memory t = token(OFF, 100, 0);
        Signed memory s = detached(t);
        s.granted = hasher.hash(t);
        s.payeeSeq = 5;
        s.hub = hubSigns(hasher.hashGrant(s.granted, 5, hasher.hash(s.state)));
        hub.argueClosure(alice, NATIVE, s);
        assertEq(hub.channelOf(alice, NATIVE).seq, 1, "enforced");
    }

    function test_1_5_conservation_is_held_against_the_states_own_counters() public {
        Signed memory s = plain("alice", 1, 700);
        hub.detachToken{value: 1}(alice, NATIVE, SIDE_CLIENT, 1, false);
        hub.detachToken{value: 2}(alice, NATIVE, SIDE_HUB, 2, false);
        vm.prank(alice);
        hub.close(alice, NATIVE, s);
        vm.warp(START + GRACE);
        uint256 before = hub.balanceOf(treasury, NATIVE);
        finaliseAs(s);
        assertEq(hub.balanceOf(alice, NATIVE), 701, "what was put in later belongs to the side credited");
        assertEq(hub.balanceOf(treasury, NATIVE) - before, 352, "hub");
    }

    function test_a_state_that_does_not_conserve_or_acknowledges_too_much_is_refused() public {
        Balances memory b = balancesOf("alice", 700, 0);
        b.hub += 1;
        Signed memory s = both("alice", state("alice", 1, b));
        vm.expectRevert(IFulgurHub.BadState.selector);
        hub.argueClosure(alice, NATIVE, s);
        b = balancesOf("alice", 700, 0);
        (b.clientIn, b.client) = (1001, 701);
        s = both("alice", state("alice", 1, b));
        vm.expectRevert(IFulgurHub.BadState.selector);
        hub.argueClosure(alice, NATIVE, s);
        b = balancesOf("alice", 700, 0);
        (b.hubIn, b.hub) = (51, 351);
        s = both("alice", state("alice", 1, b));
        vm.expectRevert(IFulgurHub.BadState.selector);
        hub.argueClosure(alice, NATIVE, s);
        b = balancesOf("alice", 700, 0);
        b.pendingCount = 33;
        s = both("alice", state("alice", 1, b));
        vm.expectRevert(IFulgurHub.BadState.selector);
        hub.argueClosure(alice, NATIVE, s);
        b = balancesOf("alice", 700, 0);
        (b.onOut, b.hub) = (1, 349);
        s = both("alice", state("alice", 1, b));
        vm.expectRevert(IFulgurHub.BadState.selector);
        hub.argueClosure(alice, NATIVE, s);
    }

    function booked(uint48 seq, uint128 clientOut, uint128 hubOut) private view returns (Signed memory) {
        Balances memory b = balancesOf("alice", 1000 - clientOut, 0);
        b.clientIn = 1000;
        b.hubIn = 50;
        (b.clientOut, b.hubOut) = (clientOut, hubOut);
        b.hub = 50 - hubOut;
        return both("alice", state("alice", seq, b));
    }

    function test_hot_withdrawal_is_cumulative() public {
        Signed memory s = booked(1, 300, 20);
        uint256 before = hub.balanceOf(treasury, NATIVE);
        hub.attachToken(alice, NATIVE, s);
        assertEq(hub.balanceOf(alice, NATIVE), 300, "out");
        assertEq(hub.balanceOf(treasury, NATIVE) - before, 20, "hub");
        hub.attachToken(alice, NATIVE, s);
        assertEq(hub.balanceOf(alice, NATIVE), 300, "once");
        Signed memory more = booked(2, 350, 20);
        hub.attachToken(alice, NATIVE, more);
        assertEq(hub.balanceOf(alice, NATIVE), 350, "the difference");
        vm.expectRevert(IFulgurHub.Stale.selector);
        hub.attachToken(alice, NATIVE, s);
        vm.expectRevert(IFulgurHub.NoChannel.selector);
        hub.attachToken(carol, NATIVE, s);
    }

    function test_1_6_what_is_booked_out_and_has_not_left_goes_to_who_booked_it() public {
        Signed memory s = booked(1, 300, 20);
        vm.prank(alice);
        hub.close(alice, NATIVE, s);
        vm.warp(START + GRACE);
        finaliseAs(s);
        assertEq(hub.balanceOf(alice, NATIVE), 1000, "all hers");
    }

    function test_an_unbooked_withdrawal_does_not_take_from_other_channels() public {
        hub.attachToken(alice, NATIVE, booked(1, 900, 0));
        // Both sign that it never happened: the end pays what the channel holds, no more.
        Signed memory s = plain("alice", 2, 1000);
        vm.prank(alice);
        hub.close(alice, NATIVE, s);
        vm.warp(START + GRACE);
        finaliseAs(s);
        assertEq(hub.balanceOf(alice, NATIVE), 900 + 100, "clamped");
        Signed memory twice = both("bob", state("bob", 1, balancesOf("bob", 30, 0)));
        hub.argueClosure(bob, NATIVE, twice);
        assertTrue(address(hub).balance >= 230, "Bob's channel is whole");
    }

    function test_the_last_state_pays_at_once() public {
        Signed memory s = plain("alice", 5, 600);
        vm.expectRevert(IFulgurHub.NotLast.selector);
        hub.closeLast(alice, NATIVE, s);
        s.state.last = true;
        s = both("alice", s.state);
        vm.expectRevert(IFulgurHub.NoChannel.selector);
        hub.closeLast(carol, NATIVE, s);
        vm.prank(alice);
        hub.close(alice, NATIVE);
        vm.warp(START + 10 * GRACE);
        hub.closeLast(alice, NATIVE, s);
        assertEq(hub.balanceOf(alice, NATIVE), 600, "alice");
        assertTrue(hub.channelOf(alice, NATIVE).status == Status.None, "ended");
    }

    function test_1_4_a_last_state_with_tokens_or_below_the_enforced_one_ends_nothing() public {
        Token memory t = token(OFF, 100, 0);
        Signed memory s = detached(t);
        s.state.last = true;
        s = both("alice", s.state);
        vm.expectRevert(IFulgurHub.NotLast.selector);
        hub.closeLast(alice, NATIVE, s);
        Signed memory counted = plain("alice", 1, 600);
        (counted.state.last, counted.state.balances.pendingCount) = (true, 1);
        counted = both("alice", counted.state);
        vm.expectRevert(IFulgurHub.NotLast.selector);
        hub.closeLast(alice, NATIVE, counted);
        s.state.balances.pendingCount = 0;
        s = both("alice", s.state);
        vm.expectRevert(IFulgurHub.NotLast.selector);
        hub.closeLast(alice, NATIVE, s);
        hub.argueClosure(alice, NATIVE, plain("alice", 6, 500));
        Signed memory last = plain("alice", 5, 600);
        last.state.last = true;
        last = both("alice", last.state);
        vm.expectRevert(IFulgurHub.Stale.selector);
        hub.closeLast(alice, NATIVE, last);
    }

    function test_an_enforced_last_state_needs_no_signature() public {
        Signed memory s = plain("alice", 5, 600);
        s.state.last = true;
        s = both("alice", s.state);
        hub.argueClosure(alice, NATIVE, s);
        s.client.r = 0;
        hub.closeLast(alice, NATIVE, s);
        assertEq(hub.balanceOf(alice, NATIVE), 600, "alice");
    }

    /// The hub says by itself that Alice's money is its own, that it goes to Bob, that it has left, and that all of it is over.
    function test_1_2_no_money_leaves_a_channel_on_the_hubs_word_alone() public {
        Balances memory taken = balancesOf("alice", 0, 0);
        Balances memory out = balancesOf("alice", 400, 0);
        (out.hub, out.hubOut) = (50, 600);
        refusedOfTheHub(state("alice", 1, taken));
        refusedOfTheHub(state("alice", 1, out));
        // Nor is a grant more than the hub's signature of the state that it names.
        AttachToken memory a = executes(token(ON, 100, 0));
        a.payer = hubSigns(hasher.hash(a.state)).sig;
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.attachToken(a);
        vm.prank(treasury);
        hub.close(alice, NATIVE);
        vm.warp(START + GRACE);
        hub.finalise(alice, NATIVE);
        assertEq(hub.balanceOf(alice, NATIVE), 1000, "alice");
    }

    function refusedOfTheHub(State memory s) private {
        Signed memory signed = both("alice", s);
        // Its own signature in her place, as a state and as a batch.
        Sig[2] memory instead = [signs("hub", hasher.hash(s)), signed.hub.sig];
        for (uint256 i = 0; i < 2; ++i) {
            signed.client = instead[i];
            vm.expectRevert(IFulgurHub.BadSignature.selector);
            hub.argueClosure(alice, NATIVE, signed);
            vm.expectRevert(IFulgurHub.BadSignature.selector);
            hub.attachToken(alice, NATIVE, signed);
            vm.prank(treasury);
            vm.expectRevert(IFulgurHub.BadSignature.selector);
            hub.close(alice, NATIVE, signed);
            s.last = true;
            Signed memory last = both("alice", s);
            last.client = signs("hub", hasher.hash(s));
            vm.expectRevert(IFulgurHub.BadSignature.selector);
            hub.closeLast(alice, NATIVE, last);
            s.last = false;
        }
    }

    function test_1_3_an_enforced_state_outlives_its_signer() public {
        Signed memory s = plain("alice", 1, 600);
        hub.argueClosure(alice, NATIVE, s);
        vm.prank(treasury);
        hub.revokeSigner(signer);
        vm.warp(START + DELAY);
        vm.prank(alice);
        hub.close(alice, NATIVE);
        vm.warp(START + DELAY + GRACE);
        finaliseAs(s);
        assertEq(hub.balanceOf(alice, NATIVE), 600, "alice");
    }

    function test_an_on_token_is_paid_once_before_redeem_by() public {
        Token memory t = token(ON, 100, 0);
        AttachToken memory a = executes(t);
        hub.attachToken(a);
        assertEq(hub.balanceOf(carol, NATIVE), 100, "carol");
        assertEq(hub.channelOf(alice, NATIVE).onOut, 100, "out");
        vm.expectRevert(IFulgurHub.AlreadyDone.selector);
        hub.attachToken(a);
    }

    function grantHash(AttachToken memory a) private view returns (bytes32) {
        return hasher.hashGrant(hasher.hash(a.token), a.payeeSeq, a.payerState);
    }

    function test_on_token_reverts() public {
        Token memory t = token(ON, 100, 0);
        AttachToken memory a = executes(t);
        a.client = carol;
        vm.expectRevert(IFulgurHub.NoChannel.selector);
        hub.attachToken(a);
        a.client = bob;
        vm.expectRevert(IFulgurHub.WrongChannel.selector);
        hub.attachToken(a);
        a = executes(token(OFF, 100, 0));
        vm.expectRevert(IFulgurHub.WrongKind.selector);
        hub.attachToken(a);
        t.payee = bytes32(uint256(1) << 160);
        a = executes(t);
        vm.expectRevert(IFulgurHub.WrongKind.selector);
        hub.attachToken(a);
        t = token(ON, 100, 0);
        a = executes(t);
        a.payeeSeq = 1;
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.attachToken(a);
        a = executes(t);
        a.hub = hubSigns(hasher.hashGrant(hasher.hash(t), 0, 0));
        a.payerState = 0;
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.attachToken(a);
        a = executes(t);
        a.hub = hubSignsAs("alice", grantHash(a));
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.attachToken(a);
        a = executes(t);
        a.payer = signs("bob", hasher.hash(a.state));
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.attachToken(a);
        a = executes(t);
        a.index = 1;
        vm.expectRevert(IFulgurHub.BadProof.selector);
        hub.attachToken(a);
        a = executes(t);
        a.proof = new bytes32[](1);
        vm.expectRevert(IFulgurHub.BadProof.selector);
        hub.attachToken(a);
        a = executes(t);
        vm.warp(REDEEM_BY);
        vm.expectRevert(IFulgurHub.TooLate.selector);
        hub.attachToken(a);
    }

    function test_only_on_tokens_are_paid_to_an_address() public {
        Token memory t = token(OFF, 100, 0);
        t.payee = bytes32(uint256(uint160(carol)));
        AttachToken memory a = executes(t);
        vm.expectRevert(IFulgurHub.WrongKind.selector);
        hub.attachToken(a);
    }

    function test_a_token_is_paid_by_its_payer_alone() public {
        Token memory t = token(ON, 100, 0);
        // Bob and the hub sign that Alice's token is pending in his channel.
        Balances memory b = balancesOf("bob", 0, 103);
        bytes32[] memory ids = idsOf(t);
        (b.pendingCount, b.pendingRoot) = (1, hasher.pendingRoot(ids));
        AttachToken memory a = executes(t);
        a.client = bob;
        a.state = state("bob", 1, b);
        a.payer = signs("bob", hasher.hash(a.state));
        a.hub = hubSigns(hasher.hashGrant(hasher.hash(t), 0, hasher.hash(a.state)));
        vm.expectRevert(IFulgurHub.WrongChannel.selector);
        hub.attachToken(a);
    }

    function test_1_17_a_newer_state_without_the_token_shuts_the_door() public {
        Token memory t = token(ON, 100, 0);
        AttachToken memory a = executes(t);
        Signed memory refunded = plain("alice", 2, 1000);
        hub.argueClosure(alice, NATIVE, refunded);
        vm.expectRevert(IFulgurHub.Stale.selector);
        hub.attachToken(a);
        a.state = refunded.state;
        vm.expectRevert(IFulgurHub.BadProof.selector);
        hub.attachToken(a);
    }

    function test_an_on_token_pending_in_the_enforced_state_needs_no_payer_signature() public {
        Token memory t = token(ON, 100, 0);
        Signed memory s = detached(t);
        AttachToken memory a = executes(t);
        hub.argueClosure(alice, NATIVE, s);
        a.payer.r = 0;
        a.hub = hubSignsAs("alice", grantHash(a));
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.attachToken(a);
        a.hub = hubSigns(grantHash(a));
        hub.attachToken(a);
        assertEq(hub.balanceOf(carol, NATIVE), 100, "carol");
        Signed memory settled = plain("alice", 2, 897);
        settled.state.balances.onOut = 100;
        settled.state.balances.hub = 53;
        settled = both("alice", settled.state);
        vm.prank(alice);
        hub.close(alice, NATIVE, settled);
        vm.warp(START + GRACE);
        finaliseAs(settled);
        assertEq(hub.balanceOf(alice, NATIVE), 897, "alice");
    }

    function test_on_tokens_never_take_more_than_the_channel_holds() public {
        Token memory t = token(ON, 900, 0);
        hub.attachToken(executes(t));
        // Payer and hub sign a state that does not know of it, with another token for the same money.
        Token memory again = token(ON, 900, 1);
        AttachToken memory a = executes(again);
        a.state.seq = 2;
        Signed memory s = both("alice", a.state);
        a.payer = s.client;
        a.payerState = hasher.hash(a.state);
        a.hub = hubSigns(grantHash(a));
        vm.expectRevert(IFulgurHub.Insufficient.selector);
        hub.attachToken(a);
    }

    function test_withdrawals_never_take_more_than_the_channel_holds() public {
        hub.attachToken(executes(token(ON, 900, 0)));
        Signed memory s = booked(2, 900, 0);
        vm.expectRevert(IFulgurHub.Insufficient.selector);
        hub.attachToken(alice, NATIVE, s);
    }
}
