// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../../src/Types.sol";
import {IFulgurHub} from "../../src/IFulgurHub.sol";
import {Log} from "../Vm.sol";
import {Signing} from "./Signing.sol";
import {Beast} from "./Zoo.sol";

/// What an invariant is about.
enum Family {
    Numbers,
    Counters,
    Windows,
    States,
    Redeeming,
    Redemptions,
    Claims,
    Epochs,
    Signers,
    OnChain,
    Ends,
    Payments,
    Guarantee
}

/// What is held against the contract after every action: things that only ever move one way, and sums kept beside it.
abstract contract Watching is Signing {
    /// What went wrong first, by what it is about; empty while nothing has.
    mapping(Family => string) public broken;
    /// How often an act went through, by its name.
    mapping(string act => uint256) public did;
    uint256 public putIn;
    uint256 public takenOut;
    /// What went into each channel, and what has come out of it, by channel id.
    mapping(bytes32 channel => uint256) public into;
    mapping(bytes32 channel => uint256) public outOf;
    /// What was paid for a token out of channels, by the events.
    mapping(bytes32 token => uint256) private paid;
    mapping(bytes32 token => bool) private wasPaid;

    mapping(bytes32 channel => Channel) private rows;
    mapping(bytes32 channel => bool) private over;
    mapping(bytes32 token => Redemption) private redemptions;
    mapping(bytes32 token => uint128) private claims;
    mapping(address signer => uint40) private untils;
    mapping(address party => uint128) private balances;
    address[] internal hubSigners;

    function parties() internal view returns (address[5] memory) {
        return [alice, bob, carol, treasury, address(this)];
    }

    function breaks(Family family, bool isBroken, string memory what) internal {
        if (isBroken && bytes(broken[family]).length == 0) broken[family] = what;
    }

    /// After an action of `actor` (zero: nobody's balance may fall).
    function look(address actor) internal {
        lookAtEvents();
        lookAtRow(alice);
        lookAtRow(bob);
        // Tokens of epochs long past are over.
        for (uint256 i = firstToken > 16 ? firstToken - 16 : 0; i < tokens.length; ++i) {
            lookAtToken(tokens[i]);
        }
        for (uint256 i = 0; i < hubSigners.length; ++i) {
            uint40 until = hub.signerUntil(hubSigners[i]);
            breaks(Family.Signers, until > untils[hubSigners[i]] && untils[hubSigners[i]] != 0, "a signer came back");
            untils[hubSigners[i]] = until;
        }
        address[5] memory all = parties();
        for (uint256 i = 0; i < 5; ++i) {
            uint128 balance = hub.balanceOf(all[i], asset);
            breaks(
                Family.OnChain,
                balance < balances[all[i]] && all[i] != actor,
                "a balance fell that its owner did not touch"
            );
            balances[all[i]] = balance;
        }
    }

    function lookAtRow(address client) private {
        Channel memory row = hub.channelOf(client, asset);
        bytes32 id = idOf(client);
        Channel storage was = rows[id];
        if (row.status != Status.None) {
            breaks(Family.Epochs, over[id], "an epoch began anew");
        }
        if (row.epoch > 0) {
            over[hub.channelId(client, asset, row.epoch - 1)] = true;
        }
        breaks(Family.Numbers, row.seq < was.seq, "an enforced number fell");
        breaks(Family.Counters, row.clientIn < was.clientIn || row.hubIn < was.hubIn, "what came in fell");
        bool fell = row.clientOut < was.clientOut || row.hubOut < was.hubOut || row.onOut < was.onOut;
        breaks(Family.Counters, fell, "what went out fell");
        bool moved = was.status == Status.Closing && (row.status != Status.Closing || row.closesAt != was.closesAt);
        breaks(Family.Windows, moved, "a closing channel was opened or its window moved");
        breaks(Family.States, (row.seq == 0) != (row.enforced == 0), "a number without a state");
        breaks(
            Family.States, row.enforced != 0 && !signed[row.enforced], "a state is enforced that not both have signed"
        );
        uint256 redeeming = 0;
        for (uint256 i = 0; i < tokens.length; ++i) {
            Token memory t = tokens[i];
            if (t.payee == id && redemptionOf(t).status == RedemptionStatus.Pending) ++redeeming;
        }
        breaks(Family.Redeeming, row.redeeming != redeeming, "redemptions under way are miscounted");
        rows[id] = row;
    }

    function lookAtToken(Token memory t) private {
        bytes32 id = hasher.hash(t);
        Redemption memory now_ = redemptionOf(t);
        Redemption storage was = redemptions[id];
        bool same = now_.amount == was.amount && now_.creditAt == was.creditAt && now_.payeeSeq == was.payeeSeq;
        if (was.status == RedemptionStatus.Pending) {
            breaks(Family.Redemptions, now_.amount < was.amount || now_.creditAt < was.creditAt, "a redemption fell");
            bool turned = now_.status == RedemptionStatus.None || now_.status == RedemptionStatus.Executed;
            breaks(Family.Redemptions, turned, "a redemption turned");
        } else if (was.status != RedemptionStatus.None) {
            breaks(Family.Redemptions, !same || now_.status != was.status, "a redemption changed after its end");
        }
        breaks(Family.Redemptions, now_.amount > t.value, "a redemption above the token's value");
        uint128 claim = hub.claimOf(t.payerChannel, id);
        breaks(Family.Claims, claim < claims[id] || claim > t.value, "a claim fell, or is above the token's value");
        claims[id] = claim;
        redemptions[id] = now_;
    }

    function locked(address client) public view returns (uint256) {
        Channel memory row = hub.channelOf(client, asset);
        return uint256(row.clientIn) + row.hubIn - row.clientOut - row.hubOut - row.onOut;
    }

    function owed() external view returns (uint256 sum) {
        address[5] memory all = parties();
        sum = locked(alice) + locked(bob);
        for (uint256 i = 0; i < 5; ++i) {
            sum += hub.balanceOf(all[i], asset);
        }
    }

    function held() external view returns (uint256) {
        return asset == NATIVE ? address(hub).balance : Beast(asset).balanceOf(address(hub));
    }

    /// What the events say was paid: no token twice, none above its value.
    function lookAtEvents() private {
        Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            bytes32 what = logs[i].topics[0];
            if (what != IFulgurHub.TokenExecuted.selector && what != IFulgurHub.RedemptionCredited.selector) continue;
            bytes32 id = logs[i].topics[2];
            paid[id] += abi.decode(logs[i].data, (uint128));
            breaks(Family.Payments, wasPaid[id], "a token was paid twice");
            wasPaid[id] = true;
        }
        for (uint256 i = firstToken; i < tokens.length; ++i) {
            breaks(Family.Payments, paid[hasher.hash(tokens[i])] > tokens[i].value, "a token was paid above its value");
        }
    }
}
