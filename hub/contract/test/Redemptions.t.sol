// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFulgurHub} from "../src/IFulgurHub.sol";
import "../src/Types.sol";
import {Town} from "./Town.sol";

/// Redemptions, and what defeats them.
contract RedemptionsTest is Town {
    function setUp() public {
        begin();
        openBoth();
    }

    function redeem(Redeem memory r) private {
        vm.prank(bob);
        hub.redeemToken(r);
    }

    function refused(Redeem memory r, bytes4 reason) private {
        vm.prank(bob);
        vm.expectRevert(reason);
        hub.redeemToken(r);
    }

    function test_a_redemption_is_credited_after_the_grace_period() public {
        Token memory t = token(OFF, 100, 0);
        Redeem memory r = redeemOf(t, 0, 0);
        redeem(r);
        refused(r, IFulgurHub.NotMore.selector);
        vm.warp(START + GRACE - 1);
        refusesCredit(bob, t, IFulgurHub.TooEarly.selector);
        vm.warp(START + GRACE);
        refused(r, IFulgurHub.AlreadyDone.selector);
        hub.credit(bob, NATIVE, idsOf(t));
        refusesCredit(bob, t, IFulgurHub.NotPending.selector);
        refused(r, IFulgurHub.AlreadyDone.selector);
        Channel memory row = hub.channelOf(bob, NATIVE);
        assertEq(row.clientIn, 130, "to the client");
        assertEq(row.hubOut, 100, "from the hub");
        assertEq(row.redeeming, 0, "none left");
        vm.prank(bob);
        hub.close(bob, NATIVE);
        vm.warp(START + 2 * GRACE);
        hub.finalise(bob, NATIVE);
        assertEq(hub.balanceOf(bob, NATIVE), 130, "bob");
    }

    function test_redeem_reverts() public {
        Token memory t = token(OFF, 100, 0);
        Redeem memory r = redeemOf(t, 0, 0);
        r.client = carol;
        vm.prank(carol);
        vm.expectRevert(IFulgurHub.NoChannel.selector);
        hub.redeemToken(r);
        r.client = alice;
        vm.prank(alice);
        vm.expectRevert(IFulgurHub.WrongChannel.selector);
        hub.redeemToken(r);
        r = redeemOf(t, 0, 0);
        r.payeeSeq = 1;
        refused(r, IFulgurHub.BadSignature.selector);
        r = redeemOf(token(OFF, 101, 0), 0, 0);
        r.token = t;
        refused(r, IFulgurHub.BadSignature.selector);
        r = redeemOf(t, 0, 0);
        r.hub = hubSignsAs("bob", hasher.hashGrant(hasher.hash(t), 0, r.payerState));
        refused(r, IFulgurHub.BadSignature.selector);
        t.condition = sha256(abi.encodePacked(bytes32(uint256(7))));
        r = redeemOf(t, 0, 0);
        refused(r, IFulgurHub.BadPreimage.selector);
        r.preimage = bytes32(uint256(7));
        redeem(r);
        t = token(OFF, 0, 1);
        r = redeemOf(t, 1, 0);
        refused(r, IFulgurHub.BadAmount.selector);
        t = token(ON, 100, 1);
        t.payee = idOf(bob);
        r = redeemOf(t, 1, 0);
        refused(r, IFulgurHub.WrongKind.selector);
        r = redeemOf(token(OFF, 100, 2), 2, 0);
        vm.warp(REDEEM_BY);
        refused(r, IFulgurHub.TooLate.selector);
    }

    function test_1_9_only_the_payee_or_who_has_its_leave_starts_a_redemption() public {
        Token memory t = token(OFF, 100, 0);
        Redeem memory r = redeemOf(t, 0, 0);
        vm.expectRevert(IFulgurHub.NotAllowed.selector);
        hub.redeemToken(r);
        Sig memory wrong = leaves("alice", t, address(this));
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.redeemToken(r, START + 1, wrong);
        Sig memory right = leaves("bob", t, address(this));
        vm.prank(carol);
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.redeemToken(r, START + 1, right);
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.redeemToken(r, START + 2, right);
        Redeem memory other = redeemOf(token(OFF, 100, 1), 1, 0);
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.redeemToken(other, START + 1, right);
        vm.warp(START + 1);
        vm.expectRevert(IFulgurHub.TooLate.selector);
        hub.redeemToken(r, START + 1, right);
        vm.warp(START);
        hub.redeemToken(r, START + 1, right);
    }

    function leaves(string memory payee, Token memory t, address submitter) private view returns (Sig memory) {
        return signs(payee, hasher.hashAuth(hasher.hash(t), submitter, START + 1));
    }

    function test_a_larger_voucher_replaces_and_begins_the_grace_period_anew() public {
        Token memory t = token(METERED, 100, 0);
        redeem(redeemOf(t, 0, 40));
        vm.warp(START + 60);
        refused(redeemOf(t, 0, 40), IFulgurHub.NotMore.selector);
        redeem(redeemOf(t, 0, 50));
        Redemption memory found = redemptionOf(t);
        assertEq(found.amount, 50, "amount");
        assertEq(found.creditAt, START + 60 + GRACE, "anew");
        assertEq(hub.channelOf(bob, NATIVE).redeeming, 1, "one");
        vm.warp(START + 60 + GRACE);
        refused(redeemOf(t, 0, 60), IFulgurHub.AlreadyDone.selector);
    }

    function test_voucher_reverts() public {
        Token memory t = token(METERED, 100, 0);
        refused(redeemOf(t, 0, 101), IFulgurHub.BadAmount.selector);
        refused(redeemOf(t, 0, 0), IFulgurHub.BadAmount.selector);
        Redeem memory r = redeemOf(t, 0, 40);
        r.voucherSig = redeemOf(token(METERED, 100, 1), 0, 40).voucherSig;
        refused(r, IFulgurHub.BadSignature.selector);
        r = redeemOf(t, 0, 40);
        r.cumulative = 41;
        refused(r, IFulgurHub.BadSignature.selector);
        r = redeemOf(t, 0, 40);
        r.condition = sha256(abi.encodePacked(bytes32(uint256(7))));
        r.voucherSig = vouches(r);
        refused(r, IFulgurHub.BadPreimage.selector);
        r.preimage = bytes32(uint256(7));
        redeem(r);
    }

    function test_1_14_nobodys_signature_is_not_the_zero_addresss() public {
        Token memory t = token(METERED, 100, 0);
        t.voucherKey = address(0);
        Redeem memory r = redeemOf(t, 0, 40);
        (r.voucherSig.r, r.voucherSig.vs) = (0, 0);
        refused(r, IFulgurHub.BadSignature.selector);
    }

    function test_1_20_one_state_defeats_every_redemption_it_has_consumed() public {
        Token[] memory list = new Token[](2);
        for (uint16 i = 0; i < 2; ++i) {
            list[i] = token(OFF, 10, i);
            redeem(redeemOf(list[i], i, 0));
        }
        Balances memory b = balancesOf("bob", 50, 0);
        b.floor = 2;
        Signed memory s = both("bob", state("bob", 1, b));
        vm.warp(START + GRACE - 1);
        hub.argueRedemptionToken(bob, NATIVE, s, list);
        assertEq(hub.channelOf(bob, NATIVE).redeeming, 0, "none left");
        assertTrue(redemptionOf(list[1]).status == RedemptionStatus.Void, "void");
        refused(redeemOf(list[0], 0, 0), IFulgurHub.AlreadyDone.selector);
        refusesCredit(bob, list[0], IFulgurHub.NotPending.selector);
    }

    function test_a_newer_state_that_is_enforced_first_does_not_save_a_redemption() public {
        Token memory t = token(OFF, 100, 0);
        redeem(redeemOf(t, 0, 0));
        Signed memory older = attached(t, 1, 0, 100);
        Balances memory b = balancesOf("bob", 130, 0);
        b.window = 1;
        Signed memory newer = both("bob", state("bob", 2, b));
        hub.argueClosure(bob, NATIVE, newer);
        Token[] memory list = only(t);
        Signed memory bad = attached(t, 1, 0, 100);
        bad.client = signs("alice", hasher.hash(bad.state));
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.argueRedemptionToken(bob, NATIVE, bad, list);
        bad = attached(t, 1, 0, 100);
        bad.hub = hubSignsAs("bob", hasher.hash(bad.state));
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.argueRedemptionToken(bob, NATIVE, bad, list);
        bad = attached(t, 1, 0, 100);
        bad.state.channel = idOf(alice);
        bad = both("bob", bad.state);
        vm.expectRevert(IFulgurHub.WrongChannel.selector);
        hub.argueRedemptionToken(bob, NATIVE, bad, list);
        hub.argueRedemptionToken(bob, NATIVE, older, list);
        assertTrue(redemptionOf(t).status == RedemptionStatus.Void, "void");
        assertEq(hub.channelOf(bob, NATIVE).seq, 2, "the newer one stays");
    }

    function test_nobodys_state_ends_a_redemption_in_anothers_channel() public {
        Token memory t = token(OFF, 10, 0);
        t.payee = idOf(alice);
        Redeem memory r = redeemOf(t, 0, 0);
        r.client = alice;
        vm.prank(alice);
        hub.redeemToken(r);
        hub.argueClosure(bob, NATIVE, plain("bob", 2, 30));
        // Bob and the hub sign a state that names Alice's channel and has consumed her sequence.
        State memory s = state("bob", 1, balancesOf("bob", 30, 0));
        (s.channel, s.balances.window) = (idOf(alice), 1);
        Signed memory foreign = both("bob", s);
        Token[] memory list = only(t);
        vm.expectRevert(IFulgurHub.WrongChannel.selector);
        hub.argueRedemptionToken(bob, NATIVE, foreign, list);
        assertTrue(redemptionOf(t).status == RedemptionStatus.Pending, "hers");
    }

    function test_argue_redemption_reverts() public {
        Token memory t = token(OFF, 100, 0);
        Signed memory s = attached(t, 1, 0, 100);
        Token[] memory list = only(t);
        vm.expectRevert(IFulgurHub.NoChannel.selector);
        hub.argueRedemptionToken(carol, NATIVE, s, list);
        Token[] memory foreign = only(token(OFF, 100, 1));
        foreign[0].payee = idOf(alice);
        vm.expectRevert(IFulgurHub.WrongChannel.selector);
        hub.argueRedemptionToken(bob, NATIVE, s, foreign);
    }

    function pending(Token memory t) private view returns (bool) {
        return redemptionOf(t).status == RedemptionStatus.Pending;
    }

    function test_what_cannot_be_defeated_is_passed_over_and_holds_up_nothing() public {
        Token memory t = token(OFF, 100, 0);
        redeem(redeemOf(t, 0, 0));
        hub.argueRedemptionToken(bob, NATIVE, attached(t, 1, 1, 100), only(t));
        assertTrue(pending(t), "another sequence");
        Signed memory s = attached(t, 2, 0, 100);
        Token[] memory list = new Token[](3);
        // One that was never redeemed, and the same one twice.
        (list[0], list[1], list[2]) = (token(OFF, 100, 1), t, t);
        hub.argueClosure(bob, NATIVE, s);
        s.client.r = 0;
        vm.warp(START + GRACE);
        hub.argueRedemptionToken(bob, NATIVE, s, list);
        assertTrue(pending(t), "too late");
        vm.warp(START + GRACE - 1);
        hub.argueRedemptionToken(bob, NATIVE, s, list);
        assertTrue(redemptionOf(t).status == RedemptionStatus.Void, "void");
        assertEq(hub.channelOf(bob, NATIVE).redeeming, 0, "counted once");
    }

    function test_a_channel_does_not_end_while_redemptions_are_under_way() public {
        Token memory t = token(OFF, 100, 0);
        vm.prank(bob);
        hub.close(bob, NATIVE);
        vm.warp(START + 50);
        redeem(redeemOf(t, 0, 0));
        vm.warp(START + GRACE);
        vm.expectRevert(IFulgurHub.RedemptionsPending.selector);
        hub.finalise(bob, NATIVE);
        Signed memory last = plain("bob", 1, 30);
        last.state.last = true;
        last = both("bob", last.state);
        vm.expectRevert(IFulgurHub.RedemptionsPending.selector);
        hub.closeLast(bob, NATIVE, last);
        vm.warp(START + 50 + GRACE);
        hub.credit(bob, NATIVE, idsOf(t));
        hub.finalise(bob, NATIVE);
        assertEq(hub.balanceOf(bob, NATIVE), 130, "bob");
    }

    function test_credit_reverts() public {
        Token memory t = token(OFF, 100, 0);
        refusesCredit(carol, t, IFulgurHub.NoChannel.selector);
        refusesCredit(alice, t, IFulgurHub.NotPending.selector);
        refusesCredit(bob, t, IFulgurHub.NotPending.selector);
    }

    /// Bob redeems a token and is paid, then his channel ends by a state that does not know of it.
    function creditAndEnd(Token memory t, Signed memory s) private {
        redeem(redeemOf(t, 0, 0));
        vm.warp(START + GRACE);
        hub.credit(bob, NATIVE, idsOf(t));
        vm.prank(bob);
        hub.close(bob, NATIVE, s);
        vm.warp(START + 2 * GRACE);
        hub.finalise(bob, NATIVE, openingOf(s.state), new Token[](0));
    }

    function test_1_6_a_credited_redemption_beyond_the_state_moves_from_hub_to_client() public {
        Token memory t = token(OFF, 100, 0);
        Signed memory s = plain("bob", 1, 80);
        uint256 before = hub.balanceOf(treasury, NATIVE);
        creditAndEnd(t, s);
        assertEq(hub.balanceOf(bob, NATIVE), 180, "bob");
        assertEq(hub.balanceOf(treasury, NATIVE) - before, 50, "hub");
    }

    function test_1_13_a_redemption_beyond_the_hubs_share_is_clamped_and_blocks_nothing() public {
        Token memory t = token(OFF, 100, 0);
        Signed memory s = plain("bob", 1, 200);
        creditAndEnd(t, s);
        assertEq(hub.balanceOf(bob, NATIVE), 230, "all there is");
    }
}
