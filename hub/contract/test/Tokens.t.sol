// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {IFulgurHub} from "../src/IFulgurHub.sol";
import "../src/Types.sol";
import {Town} from "./Town.sol";
import {Beast, Manner} from "./world/Zoo.sol";

/// Channels in ERC-20 assets, and ERC-20 contracts that misbehave: what arrives counts, nothing else of the hub's suffers, and every
/// channel ends without asking the erc20.
contract TokensTest is Town {
    Beast private beast;
    address private erc20;

    function setUp() public {
        begin();
        beast = new Beast();
        erc20 = address(beast);
        address[] memory assets = new address[](1);
        assets[0] = erc20;
        hub = deploy(assets);
        hub.hubDeposit{value: 10_000}(NATIVE, 10_000);
        beast.mint(address(this), 10_000);
        beast.mint(alice, 10_000);
        hub.hubDeposit(erc20, 1000);
    }

    function offered(uint32 epoch) private view returns (ChannelOffer memory offer, HubSig memory sig) {
        offer = ChannelOffer(alice, erc20, epoch, 50, 21, uint40(block.timestamp + 10));
        sig = hubSigns(hasher.hash(offer));
    }

    function subscribe() private {
        (ChannelOffer memory offer, HubSig memory sig) = offered(0);
        vm.prank(alice);
        hub.subscribe(offer, sig, 1000);
    }

    /// The hub holds what it owes in this erc20.
    function solvent() private view {
        Channel memory row = hub.channelOf(alice, erc20);
        uint256 owed = uint256(row.clientIn) + row.hubIn - row.clientOut - row.hubOut - row.onOut;
        owed += uint256(hub.balanceOf(alice, erc20)) + hub.balanceOf(treasury, erc20) + hub.balanceOf(erc20, erc20);
        assertTrue(beast.balanceOf(address(hub)) >= owed, "owes more than it has");
    }

    function ends(uint256 toAlice) private {
        vm.prank(alice);
        hub.close(alice, erc20);
        vm.warp(block.timestamp + GRACE);
        hub.finalise(alice, erc20);
        assertEq(hub.balanceOf(alice, erc20), toAlice, "alice");
        solvent();
    }

    function test_a_channel_in_a_plain_asset() public {
        assertTrue(hub.isAsset(erc20) && !hub.isAsset(NATIVE) && !hub.isAsset(alice), "assets");
        subscribe();
        assertEq(hub.channelOf(alice, erc20).clientIn, 1000, "deposited");
        assertEq(beast.balanceOf(alice), 10_000 - 1021, "paid");
        assertEq(hub.balanceOf(treasury, erc20), 1000 - 50 + 21, "treasury");
        hub.detachToken(alice, erc20, SIDE_HUB, 7, false);
        assertEq(hub.channelOf(alice, erc20).hubIn, 57, "topped up");
        ends(1000);
        vm.prank(alice);
        hub.withdraw(erc20, 1000);
        assertEq(beast.balanceOf(alice), 10_000 - 21, "taken out");
        vm.prank(treasury);
        hub.hubWithdraw(erc20, 500, carol);
        assertEq(beast.balanceOf(carol), 500, "the hub's");
        solvent();
    }

    function test_the_same_client_has_a_channel_in_each_asset() public {
        subscribe();
        open("alice", 300, 10);
        bytes32 native = hub.channelId(alice, NATIVE, 0);
        assertTrue(hub.channelId(alice, erc20, 0) != native, "ids");
        Signed memory s = plain("alice", 1, 300);
        vm.expectRevert(IFulgurHub.WrongChannel.selector);
        hub.argueClosure(alice, erc20, s);
        ends(1000);
        assertEq(hub.channelOf(alice, NATIVE).clientIn, 300, "untouched");
    }

    function test_native_money_is_refused_with_an_asset() public {
        (ChannelOffer memory offer, HubSig memory sig) = offered(0);
        vm.prank(alice);
        vm.expectRevert(IFulgurHub.WrongValue.selector);
        hub.subscribe{value: 1}(offer, sig, 1000);
        vm.expectRevert(IFulgurHub.WrongValue.selector);
        hub.hubDeposit{value: 1}(erc20, 10);
    }

    function test_an_asset_that_returns_nothing_works() public {
        beast.behave(Manner.ReturnsNothing);
        subscribe();
        ends(1000);
        vm.prank(alice);
        hub.withdraw(erc20, 1000);
        solvent();
    }

    function test_an_oversized_answer_works() public {
        beast.behave(Manner.ReturnsTooMuch);
        subscribe();
        ends(1000);
        vm.prank(alice);
        hub.withdraw(erc20, 1000);
        solvent();
    }

    function test_what_arrives_counts_where_the_asset_takes_a_fee() public {
        beast.behave(Manner.TakesFee);
        subscribe();
        // 1,021 less 10, less the opening fee.
        assertEq(hub.channelOf(alice, erc20).clientIn, 990, "arrived");
        hub.detachToken(alice, erc20, SIDE_CLIENT, 200, false);
        assertEq(hub.channelOf(alice, erc20).clientIn, 990 + 198, "arrived");
        hub.hubDeposit(erc20, 100);
        solvent();
        ends(1188);
    }

    function test_an_opening_fee_that_does_not_arrive_opens_nothing() public {
        beast.behave(Manner.Lies);
        (ChannelOffer memory offer, HubSig memory sig) = offered(0);
        vm.prank(alice);
        vm.expectRevert(IFulgurHub.Insufficient.selector);
        hub.subscribe(offer, sig, 1000);
    }

    function test_an_asset_that_moves_nothing_deposits_nothing() public {
        subscribe();
        beast.behave(Manner.Lies);
        hub.detachToken(alice, erc20, SIDE_CLIENT, 200, false);
        assertEq(hub.channelOf(alice, erc20).clientIn, 1000, "nothing");
        hub.hubDeposit(erc20, 100);
        solvent();
    }

    function test_more_than_was_asked_for_is_refused() public {
        subscribe();
        beast.behave(Manner.GivesMore);
        vm.expectRevert(IFulgurHub.WrongValue.selector);
        hub.detachToken(alice, erc20, SIDE_CLIENT, 200, false);
    }

    function refusesAll(bytes memory reason) private {
        vm.expectRevert(reason);
        hub.hubDeposit(erc20, 10);
        vm.expectRevert(reason);
        hub.detachToken(alice, erc20, SIDE_CLIENT, 10, false);
        vm.prank(treasury);
        vm.expectRevert(reason);
        hub.hubWithdraw(erc20, 10, carol);
        ends(1000);
        vm.prank(alice);
        vm.expectRevert(reason);
        hub.withdraw(erc20, 1000);
        assertEq(hub.balanceOf(alice, erc20), 1000, "still hers");
        // Once it behaves again, so does the hub.
        beast.behave(Manner.Plain);
        beast.ban(address(hub), false);
        vm.prank(alice);
        hub.withdraw(erc20, 1000);
        solvent();
    }

    function test_1_31_an_asset_that_reverts_holds_up_no_end() public {
        subscribe();
        beast.behave(Manner.Reverts);
        refusesAll(abi.encodeWithSignature("Error(string)", "no"));
    }

    function test_1_31_a_blacklisted_hub_still_ends_channels() public {
        subscribe();
        beast.ban(address(hub), true);
        refusesAll(abi.encodeWithSignature("Error(string)", "blacklisted"));
    }

    function test_1_31_a_blacklisted_client_holds_up_nobody_else() public {
        subscribe();
        beast.ban(alice, true);
        ends(1000);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSignature("Error(string)", "blacklisted"));
        hub.withdraw(erc20, 1000);
        assertEq(hub.balanceOf(alice, erc20), 1000, "still hers");
        // Inside the contract it is hers to give, and others are paid.
        vm.prank(alice);
        hub.transfer(carol, erc20, 400);
        vm.prank(carol);
        hub.withdraw(erc20, 400);
        assertEq(beast.balanceOf(carol), 400, "Carol's");
        hub.hubDeposit(erc20, 10);
        vm.prank(treasury);
        hub.hubWithdraw(erc20, 10, carol);
        assertEq(beast.balanceOf(carol), 410, "the treasury's word");
        solvent();
    }

    function test_1_31_an_asset_that_returns_false_holds_up_no_end() public {
        subscribe();
        beast.behave(Manner.ReturnsFalse);
        refusesAll(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, erc20));
    }

    function test_1_31_an_asset_that_burns_all_gas_holds_up_no_end() public {
        subscribe();
        open("alice", 300, 10);
        beast.behave(Manner.BurnsGas);
        (bool passes,) = address(hub).call{gas: 500_000}(abi.encodeCall(hub.hubDeposit, (erc20, 10)));
        assertTrue(!passes, "refused");
        ends(1000);
        hub.detachToken{value: 5}(alice, NATIVE, SIDE_CLIENT, 5, false);
        solvent();
    }

    /// A deposit during which the erc20 calls the hub with this; whether that call went through, and why not.
    function during(bytes memory message) private returns (bool passed, bytes4 said) {
        beast.callBack(address(hub), message);
        try hub.detachToken(alice, erc20, SIDE_CLIENT, 100, false) {} catch {}
        passed = beast.backPassed();
        said = bytes4(beast.backSaid());
        beast.behave(Manner.Plain);
        solvent();
    }

    function test_no_deposit_is_measured_inside_another() public {
        subscribe();
        beast.mint(erc20, 1000);
        bytes4 refused = ReentrancyGuard.ReentrancyGuardReentrantCall.selector;
        (bool passed, bytes4 said) = during(abi.encodeCall(hub.hubDeposit, (erc20, 50)));
        assertTrue(!passed && said == refused, "hubDeposit");
        (passed, said) = during(abi.encodeCall(hub.detachToken, (alice, erc20, SIDE_CLIENT, 50, false)));
        assertTrue(!passed && said == refused, "detachToken");
        (passed, said) = during(abi.encodeCall(hub.withdraw, (erc20, 0)));
        assertTrue(!passed && said == refused, "withdraw");
        assertEq(hub.channelOf(alice, erc20).clientIn, 1000 + 300, "three deposits, each once");
    }

    function test_a_channel_that_closes_during_a_deposit_takes_none() public {
        subscribe();
        // The erc20's contract is a signer of the hub: it may close.
        vm.prank(treasury);
        hub.announceSigner(erc20);
        (bool passed,) = during(abi.encodeWithSignature("close(address,address)", alice, erc20));
        // The deposit reverts, and with it what happened during it.
        assertTrue(!passed, "undone");
        assertTrue(hub.channelOf(alice, erc20).status == Status.Open, "open");
        assertEq(hub.channelOf(alice, erc20).clientIn, 1000, "nothing came in");
        ends(1000);
    }

    function test_a_withdrawal_pays_once_however_often_the_asset_calls_back() public {
        subscribe();
        ends(1000);
        vm.prank(alice);
        hub.transfer(erc20, erc20, 400);
        beast.callBack(address(hub), abi.encodeCall(hub.withdraw, (erc20, 400)));
        vm.prank(alice);
        hub.withdraw(erc20, 600);
        assertTrue(!beast.backPassed(), "no second one inside");
        assertEq(hub.balanceOf(erc20, erc20), 400, "still there");
        assertEq(beast.balanceOf(alice), 10_000 - 1021 + 600, "once");
        solvent();
    }
}
