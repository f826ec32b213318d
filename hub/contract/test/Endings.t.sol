// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFulgurHub} from "../src/IFulgurHub.sol";
import "../src/Types.sol";
import {Town} from "./Town.sol";

/// Claims on pending tokens, and the end of a channel.
contract EndingsTest is Town {
    bytes32 private constant SECRET = bytes32(uint256(7));

    function setUp() public {
        begin();
        openBoth();
    }

    function closeAt(Signed memory s) private {
        vm.prank(alice);
        hub.close(alice, NATIVE, s);
    }

    function ends(Signed memory s, Token memory t, uint256 toAlice) private {
        hub.finalise(alice, NATIVE, openingOf(s.state), only(t));
        assertEq(hub.balanceOf(alice, NATIVE), toAlice, "alice");
    }

    function test_unclaimed_tokens_come_back_after_claim_by() public {
        Token memory t = token(OFF, 100, 0);
        Signed memory s = detached(t);
        closeAt(s);
        vm.warp(CLAIM_BY - 1);
        Token[] memory list = only(t);
        vm.expectRevert(IFulgurHub.Undecided.selector);
        hub.finalise(alice, NATIVE, openingOf(s.state), list);
        vm.warp(CLAIM_BY);
        ends(s, t, 1000);
    }

    function test_a_receipt_pays_the_hub_value_and_fee() public {
        Token memory t = token(OFF, 100, 0);
        Signed memory s = detached(t);
        ReceiptEvidence memory e = receiptOf(attached(t, 1, 0, 100));
        closeAt(s);
        hub.resolve(alice, NATIVE, t, e);
        vm.expectRevert(IFulgurHub.NotMore.selector);
        hub.resolve(alice, NATIVE, t, e);
        assertEq(hub.claimOf(idOf(alice), hasher.hash(t)), 100, "claimed");
        vm.warp(START + GRACE);
        ends(s, t, 897);
    }

    function test_receipt_reverts() public {
        Token memory t = token(OFF, 100, 0);
        Signed memory s = detached(t);
        ReceiptEvidence memory e = receiptOf(attached(t, 1, 0, 100));
        vm.expectRevert(IFulgurHub.NotClosing.selector);
        hub.resolve(alice, NATIVE, t, e);
        closeAt(s);
        vm.prank(bob);
        hub.close(bob, NATIVE);
        vm.expectRevert(IFulgurHub.WrongChannel.selector);
        hub.resolve(bob, NATIVE, t, e);
        e.payee = carol;
        vm.expectRevert(IFulgurHub.WrongChannel.selector);
        hub.resolve(alice, NATIVE, t, e);
        e = receiptOf(attached(t, 1, 0, 100));
        e.seq = 2;
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.resolve(alice, NATIVE, t, e);
        e = receiptOf(attached(t, 1, 0, 100));
        e.sig = signs("alice", hasher.hash(attached(t, 1, 0, 100).state));
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.resolve(alice, NATIVE, t, e);
        e = receiptOf(attached(token(OFF, 100, 1), 1, 0, 100));
        vm.expectRevert(IFulgurHub.BadAmount.selector);
        hub.resolve(alice, NATIVE, t, e);
        e = receiptOf(attached(t, 1, 0, 101));
        vm.expectRevert(IFulgurHub.BadAmount.selector);
        hub.resolve(alice, NATIVE, t, e);
        e = receiptOf(attached(t, 1, 0, 100));
        vm.warp(CLAIM_BY);
        vm.expectRevert(IFulgurHub.TooLate.selector);
        hub.resolve(alice, NATIVE, t, e);
    }

    function test_1_1_a_receipt_never_claims_a_metered_token() public {
        Token memory t = token(METERED, 100, 0);
        ReceiptEvidence memory e = receiptOf(attached(t, 1, 0, 100));
        closeAt(detached(t));
        vm.expectRevert(IFulgurHub.WrongKind.selector);
        hub.resolve(alice, NATIVE, t, e);
        Token memory off = token(OFF, 100, 0);
        VoucherEvidence memory v = voucherOf(off, 40, 0);
        vm.expectRevert(IFulgurHub.WrongKind.selector);
        hub.resolve(alice, NATIVE, off, v);
    }

    function test_1_10_claims_are_a_running_maximum_and_the_rest_comes_back() public {
        Token memory t = token(METERED, 100, 0);
        Signed memory s = detached(t);
        VoucherEvidence memory small = voucherOf(t, 40, 0);
        VoucherEvidence memory large = voucherOf(t, 60, 0);
        closeAt(s);
        hub.resolve(alice, NATIVE, t, small);
        hub.resolve(alice, NATIVE, t, large);
        vm.expectRevert(IFulgurHub.NotMore.selector);
        hub.resolve(alice, NATIVE, t, small);
        vm.warp(CLAIM_BY - 1);
        Token[] memory list = only(t);
        vm.expectRevert(IFulgurHub.Undecided.selector);
        hub.finalise(alice, NATIVE, openingOf(s.state), list);
        vm.warp(CLAIM_BY);
        ends(s, t, 1000 - 60 - 3);
    }

    function test_voucher_reverts() public {
        Token memory t = token(METERED, 100, 0);
        Signed memory s = detached(t);
        VoucherEvidence memory v = voucherOf(t, 101, 0);
        closeAt(s);
        vm.expectRevert(IFulgurHub.BadAmount.selector);
        hub.resolve(alice, NATIVE, t, v);
        v = voucherOf(t, 40, 0);
        v.sig = signs("bob", hasher.hashVoucher(hasher.hash(t), 40, 0, 0));
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.resolve(alice, NATIVE, t, v);
        v = voucherOf(token(METERED, 100, 1), 40, 0);
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.resolve(alice, NATIVE, t, v);
    }

    function test_a_condition_needs_its_preimage() public {
        bytes32 condition = sha256(abi.encodePacked(SECRET));
        Token memory t = token(METERED, 100, 0);
        Signed memory s = detached(t);
        VoucherEvidence memory v = voucherOf(t, 40, condition);
        closeAt(s);
        vm.expectRevert(IFulgurHub.BadPreimage.selector);
        hub.resolve(alice, NATIVE, t, v);
        v.preimage = SECRET;
        hub.resolve(alice, NATIVE, t, v);
    }

    function test_an_off_token_with_a_condition_needs_its_preimage() public {
        Token memory t = token(OFF, 100, 0);
        t.condition = sha256(abi.encodePacked(SECRET));
        Signed memory s = detached(t);
        ReceiptEvidence memory e = receiptOf(attached(t, 1, 0, 100));
        closeAt(s);
        vm.expectRevert(IFulgurHub.BadPreimage.selector);
        hub.resolve(alice, NATIVE, t, e);
        e.preimage = SECRET;
        hub.resolve(alice, NATIVE, t, e);
    }

    function test_1_8_a_redemption_whose_time_has_come_pays_whoever_writes_it_down() public {
        Token memory t = token(OFF, 100, 0);
        Signed memory s = detached(t);
        Redeem memory r = redeemOf(t, 0, 0);
        closeAt(s);
        vm.warp(REDEEM_BY - 1);
        vm.prank(bob);
        hub.redeemToken(r);
        vm.warp(REDEEM_BY - 2 + GRACE);
        Token[] memory list = only(t);
        vm.expectRevert(IFulgurHub.Undecided.selector);
        hub.finalise(alice, NATIVE, openingOf(s.state), list);
        vm.warp(CLAIM_BY);
        ends(s, t, 897);
    }

    function test_a_redemption_under_way_is_waited_for_even_after_claim_by() public {
        Token memory t = token(OFF, 100, 0);
        t.claimBy = REDEEM_BY;
        Signed memory s = detached(t);
        Redeem memory r = redeemOf(t, 0, 0);
        closeAt(s);
        vm.warp(REDEEM_BY - 1);
        vm.prank(bob);
        hub.redeemToken(r);
        vm.warp(REDEEM_BY);
        Token[] memory list = only(t);
        vm.expectRevert(IFulgurHub.Undecided.selector);
        hub.finalise(alice, NATIVE, openingOf(s.state), list);
        vm.warp(REDEEM_BY - 1 + GRACE);
        ends(s, t, 897);
    }

    function test_a_void_redemption_pays_nothing() public {
        Token memory t = token(OFF, 100, 0);
        Signed memory s = detached(t);
        Redeem memory r = redeemOf(t, 0, 0);
        Balances memory b = balancesOf("bob", 30, 0);
        b.floor = 1;
        Signed memory declined = both("bob", state("bob", 1, b));
        closeAt(s);
        vm.prank(bob);
        hub.redeemToken(r);
        hub.argueRedemptionToken(bob, NATIVE, declined, only(t));
        vm.warp(CLAIM_BY);
        ends(s, t, 1000);
    }

    function test_an_executed_on_token_is_gone_and_its_fee_the_hubs() public {
        Token memory t = token(ON, 100, 0);
        Signed memory s = detached(t);
        hub.attachToken(executes(t));
        vm.prank(alice);
        hub.close(alice, NATIVE);
        vm.warp(START + GRACE);
        uint256 before = hub.balanceOf(treasury, NATIVE);
        ends(s, t, 897);
        assertEq(hub.balanceOf(treasury, NATIVE) - before, 53, "hub");
    }

    function test_an_on_token_that_was_not_executed_comes_back_after_redeem_by() public {
        Token memory t = token(ON, 100, 0);
        Signed memory s = detached(t);
        closeAt(s);
        vm.warp(REDEEM_BY - 1);
        Token[] memory list = only(t);
        vm.expectRevert(IFulgurHub.Undecided.selector);
        hub.finalise(alice, NATIVE, openingOf(s.state), list);
        vm.warp(REDEEM_BY);
        ends(s, t, 1000);
    }

    function test_1_19_the_most_pending_tokens_end_in_a_small_part_of_a_block() public {
        Token[] memory list = many(32);
        Signed memory s = detached(list);
        closeAt(s);
        vm.warp(CLAIM_BY);
        uint256 before = gasleft();
        hub.finalise(alice, NATIVE, openingOf(s.state), list);
        // Less than a twentieth of what any chain in use takes into a block.
        assertTrue(before - gasleft() < 750_000, "gas");
        assertEq(hub.balanceOf(alice, NATIVE), 1000, "all of it comes back");
    }

    function test_the_tokens_must_be_the_pending_ones_all_and_sorted() public {
        Token[] memory list = new Token[](2);
        (list[0], list[1]) = (token(OFF, 10, 0), token(OFF, 20, 1));
        if (hasher.hash(list[0]) > hasher.hash(list[1])) (list[0], list[1]) = (list[1], list[0]);
        Signed memory s = detached(list);
        closeAt(s);
        vm.warp(CLAIM_BY);
        Token[] memory wrong = only(list[0]);
        vm.expectRevert(IFulgurHub.BadTokens.selector);
        hub.finalise(alice, NATIVE, openingOf(s.state), wrong);
        wrong = new Token[](2);
        (wrong[0], wrong[1]) = (list[1], list[0]);
        vm.expectRevert(IFulgurHub.BadTokens.selector);
        hub.finalise(alice, NATIVE, openingOf(s.state), wrong);
        (wrong[0], wrong[1]) = (list[0], list[0]);
        vm.expectRevert(IFulgurHub.BadTokens.selector);
        hub.finalise(alice, NATIVE, openingOf(s.state), wrong);
        Token memory other = token(OFF, 30, 2);
        (wrong[0], wrong[1]) = hasher.hash(other) < hasher.hash(list[0]) ? (other, list[0]) : (list[0], other);
        vm.expectRevert(IFulgurHub.BadTokens.selector);
        hub.finalise(alice, NATIVE, openingOf(s.state), wrong);
        hub.finalise(alice, NATIVE, openingOf(s.state), list);
        assertEq(hub.balanceOf(alice, NATIVE), 1000, "alice");
    }

    function test_finalise_reverts() public {
        Signed memory s = plain("alice", 1, 500);
        vm.expectRevert(IFulgurHub.NotClosing.selector);
        hub.finalise(alice, NATIVE, openingOf(s.state), new Token[](0));
        closeAt(s);
        vm.expectRevert(IFulgurHub.TooEarly.selector);
        hub.finalise(alice, NATIVE, openingOf(s.state), new Token[](0));
    }

    function test_a_new_channel_has_a_new_id_and_old_words_mean_nothing_in_it() public {
        Signed memory s = plain("alice", 1, 500);
        vm.prank(alice);
        hub.close(alice, NATIVE);
        vm.warp(START + GRACE);
        hub.finalise(alice, NATIVE);
        open("alice", 1000, 50);
        vm.expectRevert(IFulgurHub.WrongChannel.selector);
        hub.argueClosure(alice, NATIVE, s);
    }
}
