// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../src/Types.sol";
import {Town} from "./Town.sol";

/// The one of two functions with this name that a payee calls itself.
interface Payee {
    function redeemToken(Redeem calldata r) external;
}

/// What whole transactions cost (`forge test --isolate`): the table of docs/performance.md. snapshots/gas.json is committed; with
/// FORGE_SNAPSHOT_CHECK any drift fails.
contract GasTest is Town {
    function setUp() public {
        begin();
        openBoth();
    }

    function measured(string memory name) private {
        vm.snapshotGasLastCall("gas", name);
    }

    function test_open_with_a_deposit() public {
        ChannelOffer memory offer = ChannelOffer(carol, NATIVE, 0, 50, 21, START + 10);
        HubSig memory sig = hubSigns(hasher.hash(offer));
        vm.deal(carol, 1 ether);
        vm.prank(carol);
        hub.subscribe{value: 1021}(offer, sig, 1000);
        measured("open and deposit");
    }

    function test_top_up() public {
        hub.detachToken{value: 7}(alice, NATIVE, SIDE_CLIENT, 7, false);
        measured("top-up");
    }

    function test_hot_withdrawal() public {
        Balances memory b = balancesOf("alice", 700, 0);
        b.clientOut = 300;
        b.hub = 50;
        Signed memory s = both("alice", state("alice", 1, b));
        hub.attachToken(alice, NATIVE, s);
        measured("hot withdrawal, the first");
        b.clientOut = 400;
        b.client = 600;
        s = both("alice", state("alice", 2, b));
        hub.attachToken(alice, NATIVE, s);
        measured("hot withdrawal, another");
    }

    function test_close_last() public {
        Signed memory s = plain("alice", 1, 600);
        s.state.last = true;
        s = both("alice", s.state);
        hub.closeLast(alice, NATIVE, s);
        measured("closeLast");
    }

    function test_close_and_finalise() public {
        Signed memory s = plain("alice", 1, 600);
        vm.prank(alice);
        hub.close(alice, NATIVE, s);
        measured("close at a state");
        vm.warp(START + GRACE);
        hub.finalise(alice, NATIVE, openingOf(s.state), new Token[](0));
        measured("finalise without pending tokens");
    }

    function test_finalise_with_ten_pending_tokens() public {
        Token[] memory list = many(10);
        Signed memory s = detached(list);
        vm.prank(alice);
        hub.close(alice, NATIVE, s);
        vm.warp(CLAIM_BY);
        hub.finalise(alice, NATIVE, openingOf(s.state), list);
        measured("finalise with ten pending tokens");
    }

    function test_challenge() public {
        Signed memory s = plain("alice", 2, 600);
        vm.prank(alice);
        hub.close(alice, NATIVE);
        measured("close at the implicit state");
        hub.argueClosure(alice, NATIVE, s);
        measured("challenge, the first state");
        s = plain("alice", 3, 500);
        hub.argueClosure(alice, NATIVE, s);
        measured("challenge, another");
    }

    function test_redeem_and_credit() public {
        Token memory t = token(OFF, 100, 0);
        Redeem memory r = redeemOf(t, 0, 0);
        vm.prank(bob);
        hub.redeemToken(r);
        measured("redeem");
        vm.warp(START + GRACE);
        hub.credit(bob, NATIVE, idsOf(t));
        measured("credit");
    }

    function test_redeem_and_credit_twenty() public {
        bytes[] memory redeems = new bytes[](20);
        bytes32[] memory credits = new bytes32[](20);
        for (uint16 i = 0; i < 20; ++i) {
            Token memory t = token(OFF, 10, i);
            redeems[i] = abi.encodeCall(Payee.redeemToken, (redeemOf(t, i, 0)));
            credits[i] = hasher.hash(t);
        }
        vm.prank(bob);
        hub.multicall(redeems);
        measured("redeem twenty in one");
        vm.warp(START + GRACE);
        hub.credit(bob, NATIVE, credits);
        measured("credit twenty in one");
    }

    function test_on_token() public {
        AttachToken memory a = executes(token(ON, 100, 0));
        hub.attachToken(a);
        measured("pay an ON token");
    }

    function test_claim() public {
        Token memory t = token(OFF, 100, 0);
        ReceiptEvidence memory e = receiptOf(attached(t, 1, 0, 100));
        Signed memory s = detached(t);
        vm.prank(alice);
        hub.close(alice, NATIVE, s);
        hub.resolve(alice, NATIVE, t, e);
        measured("claim with a receipt");
    }
}
