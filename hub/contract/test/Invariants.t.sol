// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "./Vm.sol";
import {Anybody, Honest} from "./world/Anybody.sol";
import {Signing} from "./world/Signing.sol";
import {Family} from "./world/Watching.sol";

/// As forge reads it.
struct Selectors {
    address target;
    bytes4[] selectors;
}

abstract contract World is Test {
    Anybody internal world;

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(world);
    }

    /// Time that nobody sees pass is for one invariant only.
    function excludeSelectors() external view returns (Selectors[] memory excluded) {
        excluded = new Selectors[](1);
        excluded[0].target = address(world);
        excluded[0].selectors = new bytes4[](1);
        excluded[0].selectors[0] = Anybody.ends.selector;
    }

    function holds(Family family) internal view {
        assertEq(bytes(world.broken(family)).length, 0, world.broken(family));
    }
}

/// What holds whatever happens, nobody being honest.
contract InvariantsTest is World {
    function setUp() public {
        world = new Anybody(Honest.Nobody, inErc20());
    }

    function inErc20() internal pure virtual returns (bool) {
        return false;
    }

    function invariant_every_unit_is_locked_or_on_a_balance() external view {
        assertEq(world.held(), world.owed(), "held and owed");
    }

    function invariant_what_came_in_and_has_not_left_is_there() external view {
        assertEq(world.held(), world.putIn() - world.takenOut(), "in and out");
    }

    function invariant_no_channel_pays_more_than_went_into_it() external view {
        for (uint256 i = 0; i < world.count(); ++i) {
            bytes32 id = world.channels(i);
            assertTrue(world.outOf(id) <= world.into(id), "out of a channel");
        }
    }

    function invariant_a_token_is_paid_at_most_once() external view {
        holds(Family.Payments);
    }

    function invariant_a_closing_channel_can_be_ended_by_anybody() external {
        assertTrue(world.ends(), "a channel does not end");
    }

    function invariant_the_enforced_number_never_falls() external view {
        holds(Family.Numbers);
    }

    function invariant_counters_never_fall() external view {
        holds(Family.Counters);
    }

    function invariant_only_client_and_hub_close_and_a_window_never_moves() external view {
        holds(Family.Windows);
    }

    function invariant_only_what_both_have_signed_is_enforced() external view {
        holds(Family.States);
    }

    function invariant_redemptions_under_way_are_counted() external view {
        holds(Family.Redeeming);
    }

    function invariant_a_redemption_only_grows_until_it_is_over() external view {
        holds(Family.Redemptions);
    }

    function invariant_claims_only_grow_up_to_the_tokens_value() external view {
        holds(Family.Claims);
    }

    function invariant_no_epoch_begins_anew() external view {
        holds(Family.Epochs);
    }

    function invariant_no_signer_comes_back() external view {
        holds(Family.Signers);
    }

    function invariant_nobody_elses_act_lowers_a_balance() external view {
        holds(Family.OnChain);
    }

    function invariant_every_end_pays_what_was_signed_and_all_of_it() external view {
        holds(Family.Ends);
    }
}

/// The same in an ERC-20 asset.
contract InvariantsInErc20Test is InvariantsTest {
    function inErc20() internal pure override returns (bool) {
        return true;
    }
}

/// Alice shows her newest state in time and nobody else is honest.
contract HonestAliceTest is World {
    function setUp() public {
        world = new Anybody(Honest.Alice, false);
    }

    function invariant_alice_gets_what_her_newest_state_says() external view {
        holds(Family.Guarantee);
    }
}

/// Bob shows his newest state in time and nobody else is honest.
contract HonestBobTest is World {
    function setUp() public {
        world = new Anybody(Honest.Bob, false);
    }

    function invariant_bob_gets_what_his_newest_state_says() external view {
        holds(Family.Guarantee);
    }
}

/// The hub shows its newest states in time and nobody else is honest.
contract HonestHubTest is World {
    function setUp() public {
        world = new Anybody(Honest.Hub, false);
    }

    function invariant_the_hub_gets_what_its_newest_state_says() external view {
        holds(Family.Guarantee);
    }
}

/// Invariants say nothing where nothing happens: at random, every act goes through now and then.
contract ReachTest is Test {
    uint256 private constant ACTS = 5000;

    function test_every_act_goes_through() public {
        Anybody world = new Anybody(Honest.Nobody, false);
        bytes4[34] memory acts = [
            Anybody.passTime.selector,
            Anybody.passTime.selector,
            Anybody.passTime.selector,
            Signing.acknowledge.selector,
            Anybody.argue.selector,
            Anybody.argueRedemption.selector,
            Anybody.argueRedemption.selector,
            Signing.attach.selector,
            Signing.attach.selector,
            Signing.attach.selector,
            Signing.book.selector,
            Anybody.claim.selector,
            Anybody.claim.selector,
            Anybody.claim.selector,
            Anybody.close.selector,
            Anybody.closeLast.selector,
            Anybody.credit.selector,
            Anybody.deposit.selector,
            Anybody.depositFromBalance.selector,
            Signing.detach.selector,
            Signing.detach.selector,
            Signing.detach.selector,
            Signing.detach.selector,
            Anybody.execute.selector,
            Anybody.finalise.selector,
            Anybody.redeem.selector,
            Anybody.redeem.selector,
            Anybody.redeem.selector,
            Anybody.redeem.selector,
            Anybody.reopen.selector,
            Signing.settle.selector,
            Signing.shift.selector,
            Signing.signLast.selector,
            Anybody.takeOut.selector
        ];
        for (uint256 i = 0; i < ACTS; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(i)));
            bytes4 act = acts[seed % 34];
            (bool passes,) = address(world).call(abi.encodeWithSelector(act, seed >> 128, (seed >> 16) & 0xffff));
            assertTrue(passes, "an act reverts");
        }
        string[16] memory names = [
            "deposit",
            "deposit from balance",
            "close",
            "close at a state",
            "challenge",
            "hot withdrawal",
            "redeem",
            "credit",
            "defeat",
            "execute",
            "claim with a receipt",
            "claim with a voucher",
            "finalise",
            "finalise with tokens",
            "closeLast",
            "reopen"
        ];
        for (uint256 i = 0; i < 16; ++i) {
            assertTrue(world.did(names[i]) > 0, names[i]);
        }
        for (uint8 family = 0; family < 13; ++family) {
            assertEq(bytes(world.broken(Family(family))).length, 0, world.broken(Family(family)));
        }
    }
}
