// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FulgurHub} from "../src/FulgurHub.sol";
import {IFulgurHub} from "../src/IFulgurHub.sol";
import "../src/Types.sol";
import {Town} from "./Town.sol";

contract Refuser {
    function take(FulgurHub hub, uint128 amount) external {
        hub.withdraw(address(0), amount);
    }
}

/// Opening, deposits, balances, signers.
contract MoneyTest is Town {
    function setUp() public {
        begin();
    }

    function offerFor(address client, uint32 epoch, uint40 until) private pure returns (ChannelOffer memory) {
        return ChannelOffer(client, NATIVE, epoch, 50, 21, until);
    }

    function test_subscribe_locks_both_sides_and_pays_the_fee() public {
        open("alice", 1000, 50);
        Channel memory row = hub.channelOf(alice, NATIVE);
        assertTrue(row.status == Status.Open, "open");
        assertEq(row.clientIn, 1000, "client");
        assertEq(row.hubIn, 50, "hub");
        assertEq(hub.balanceOf(treasury, NATIVE), 10_000 - 50 + 21, "treasury");
    }

    function refused(ChannelOffer memory offer, uint256 value, bytes4 reason) private {
        HubSig memory sig = hubSigns(hasher.hash(offer));
        vm.prank(alice);
        vm.expectRevert(reason);
        hub.subscribe{value: value}(offer, sig, 1000);
    }

    function test_subscribe_reverts() public {
        ChannelOffer memory offer = offerFor(alice, 0, START + 10);
        refused(offerFor(bob, 0, START + 10), 1021, IFulgurHub.NotAllowed.selector);
        refused(offer, 1020, IFulgurHub.WrongValue.selector);
        refused(offerFor(alice, 1, START + 10), 1021, IFulgurHub.WrongEpoch.selector);
        refused(offerFor(alice, 0, START), 1021, IFulgurHub.TooLate.selector);
        offer.hubAmount = 10_001;
        refused(offer, 1021, IFulgurHub.Insufficient.selector);
        offer = offerFor(alice, 0, START + 10);
        offer.asset = carol;
        offer.hubAmount = 0;
        refused(offer, 0, IFulgurHub.UnknownAsset.selector);
        open("alice", 1000, 50);
        refused(offerFor(alice, 0, START + 10), 1021, IFulgurHub.NotOpen.selector);
    }

    function test_an_offer_needs_a_signature_of_the_hub_with_a_short_proof() public {
        ChannelOffer memory offer = offerFor(alice, 0, START + 10);
        HubSig memory sig = hubSignsAs("mallory", hasher.hash(offer));
        vm.prank(alice);
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.subscribe{value: 1021}(offer, sig, 1000);
        // Eleven siblings that lead to a root the hub has signed: refused for their number alone.
        bytes32[] memory proof = new bytes32[](11);
        bytes32 root = hasher.batchRoot(digest(hasher.hash(offer)), proof);
        sig = HubSig(signs("hub", hasher.hashBatch(root)), proof);
        vm.prank(alice);
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.subscribe{value: 1021}(offer, sig, 1000);
        proof = new bytes32[](10);
        root = hasher.batchRoot(digest(hasher.hash(offer)), proof);
        sig = HubSig(signs("hub", hasher.hashBatch(root)), proof);
        vm.prank(alice);
        hub.subscribe{value: 1021}(offer, sig, 1000);
    }

    function test_anybody_deposits_on_either_side() public {
        open("alice", 1000, 50);
        vm.prank(bob);
        hub.detachToken{value: 7}(alice, NATIVE, SIDE_CLIENT, 7, false);
        hub.detachToken{value: 8}(alice, NATIVE, SIDE_HUB, 8, false);
        vm.prank(treasury);
        hub.detachToken(alice, NATIVE, SIDE_HUB, 100, true);
        Channel memory row = hub.channelOf(alice, NATIVE);
        assertEq(row.clientIn, 1007, "client");
        assertEq(row.hubIn, 158, "hub");
        assertEq(hub.balanceOf(treasury, NATIVE), 10_000 - 50 + 21 - 100, "treasury");
    }

    function test_deposit_reverts() public {
        vm.expectRevert(IFulgurHub.NotOpen.selector);
        hub.detachToken{value: 7}(alice, NATIVE, SIDE_CLIENT, 7, false);
        open("alice", 1000, 50);
        vm.expectRevert(IFulgurHub.BadAmount.selector);
        hub.detachToken(alice, NATIVE, SIDE_CLIENT, 0, false);
        vm.expectRevert(IFulgurHub.WrongValue.selector);
        hub.detachToken{value: 6}(alice, NATIVE, SIDE_CLIENT, 7, false);
        vm.expectRevert(IFulgurHub.WrongKind.selector);
        hub.detachToken{value: 7}(alice, NATIVE, 2, 7, false);
        vm.expectRevert(IFulgurHub.Insufficient.selector);
        hub.detachToken(alice, NATIVE, SIDE_CLIENT, 7, true);
        vm.prank(treasury);
        hub.transfer(address(this), NATIVE, 10);
        vm.expectRevert(IFulgurHub.WrongValue.selector);
        hub.detachToken{value: 1}(alice, NATIVE, SIDE_CLIENT, 7, true);
        vm.deal(address(this), type(uint128).max);
        vm.expectRevert(IFulgurHub.BadAmount.selector);
        hub.detachToken{value: type(uint128).max - 1049}(alice, NATIVE, SIDE_HUB, type(uint128).max - 1049, false);
    }

    function test_balances_are_transferred_and_withdrawn() public {
        vm.prank(treasury);
        hub.transfer(bob, NATIVE, 30);
        assertEq(hub.balanceOf(bob, NATIVE), 30, "bob");
        vm.prank(bob);
        vm.expectRevert(IFulgurHub.NotAllowed.selector);
        hub.transfer(address(0), NATIVE, 1);
        vm.prank(bob);
        vm.expectRevert(IFulgurHub.Insufficient.selector);
        hub.transfer(carol, NATIVE, 31);
        uint256 before = bob.balance;
        vm.prank(bob);
        hub.withdraw(NATIVE, 30);
        assertEq(bob.balance, before + 30, "out");
        vm.prank(bob);
        vm.expectRevert(IFulgurHub.Insufficient.selector);
        hub.withdraw(NATIVE, 1);
    }

    function test_who_refuses_money_keeps_a_balance() public {
        Refuser refuser = new Refuser();
        vm.prank(treasury);
        hub.transfer(address(refuser), NATIVE, 30);
        vm.expectRevert(IFulgurHub.PaymentRefused.selector);
        refuser.take(hub, 30);
        assertEq(hub.balanceOf(address(refuser), NATIVE), 30, "kept");
    }

    function test_only_the_treasury_takes_from_the_hubs_balance() public {
        vm.expectRevert(IFulgurHub.NotAllowed.selector);
        hub.hubWithdraw(NATIVE, 1, address(this));
        vm.prank(signer);
        vm.expectRevert(IFulgurHub.NotAllowed.selector);
        hub.hubWithdraw(NATIVE, 1, signer);
        vm.prank(treasury);
        hub.hubWithdraw(NATIVE, 10_000, carol);
        assertEq(carol.balance, 10_000, "out");
        vm.prank(treasury);
        vm.expectRevert(IFulgurHub.Insufficient.selector);
        hub.hubWithdraw(NATIVE, 1, carol);
        vm.expectRevert(IFulgurHub.WrongValue.selector);
        hub.hubDeposit{value: 1}(NATIVE, 2);
    }

    function test_the_last_epoch_is_never_opened() public {
        // Where the contract keeps Alice's channel; the epoch lies above closesAt, seq and status.
        bytes32 slot = keccak256(abi.encode(NATIVE, keccak256(abi.encode(alice, uint256(2)))));
        vm.store(address(hub), slot, bytes32(uint256(type(uint16).max) << 96));
        assertEq(hub.channelOf(alice, NATIVE).epoch, type(uint16).max, "the slot");
        refused(offerFor(alice, type(uint16).max, START + 10), 1021, IFulgurHub.WrongEpoch.selector);
        vm.store(address(hub), slot, bytes32(uint256(type(uint16).max - 1) << 96));
        open("alice", 1000, 50);
        vm.prank(alice);
        hub.close(alice, NATIVE);
        vm.warp(START + GRACE);
        hub.finalise(alice, NATIVE);
        assertEq(hub.channelOf(alice, NATIVE).epoch, type(uint16).max, "it ends");
    }

    function test_a_channel_opens_with_no_more_than_a_balance_holds() public {
        uint128 most = type(uint128).max - 21;
        vm.deal(alice, type(uint256).max / 2);
        ChannelOffer memory offer = offerFor(alice, 0, START + 10);
        HubSig memory sig = hubSigns(hasher.hash(offer));
        vm.prank(alice);
        vm.expectRevert(IFulgurHub.BadAmount.selector);
        hub.subscribe{value: uint256(most) + 21}(offer, sig, most);
        vm.prank(alice);
        hub.subscribe{value: uint256(most) - 29}(offer, sig, most - 50);
    }

    function test_signers_come_once_and_go_after_a_delay() public {
        address second = vm.addr(key("second"));
        vm.expectRevert(IFulgurHub.NotAllowed.selector);
        hub.announceSigner(second);
        vm.expectRevert(IFulgurHub.NotAllowed.selector);
        hub.revokeSigner(signer);
        vm.prank(treasury);
        hub.announceSigner(second);
        vm.prank(treasury);
        vm.expectRevert(IFulgurHub.SignerKnown.selector);
        hub.announceSigner(second);
        vm.prank(treasury);
        vm.expectRevert(IFulgurHub.SignerKnown.selector);
        hub.announceSigner(address(0));
        vm.prank(treasury);
        vm.expectRevert(IFulgurHub.SignerKnown.selector);
        hub.revokeSigner(carol);
        vm.prank(treasury);
        hub.revokeSigner(signer);
        assertEq(hub.signerUntil(signer), START + DELAY, "announced");
        vm.warp(START + DELAY - 1);
        open("alice", 1, 0);
        vm.warp(START + DELAY);
        ChannelOffer memory offer = ChannelOffer(bob, NATIVE, 0, 0, 0, START + 2 * DELAY);
        HubSig memory sig = hubSigns(hasher.hash(offer));
        vm.prank(bob);
        vm.expectRevert(IFulgurHub.BadSignature.selector);
        hub.subscribe(offer, sig, 0);
        vm.prank(treasury);
        vm.expectRevert(IFulgurHub.SignerKnown.selector);
        hub.announceSigner(signer);
        vm.prank(treasury);
        vm.expectRevert(IFulgurHub.SignerKnown.selector);
        hub.revokeSigner(signer);
    }

    function test_a_batch_of_calls_does_not_count_value_twice() public {
        open("alice", 1000, 50);
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(hub.detachToken, (alice, NATIVE, SIDE_CLIENT, 7, false));
        calls[1] = calls[0];
        vm.expectRevert(IFulgurHub.WrongValue.selector);
        hub.multicall(calls);
    }
}
