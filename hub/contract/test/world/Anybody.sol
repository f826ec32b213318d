// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../../src/Types.sol";
import {Family, Watching} from "./Watching.sol";
import {Beast} from "./Zoo.sol";

/// Whose money must be safe whatever the others do; it shows its newest state in time and does no more. The hub defeats with that
/// redemptions of what it has signed the attach of, too, and signs no attach of what is being redeemed.
enum Honest {
    Nobody,
    Alice,
    Bob,
    Hub
}

/// Anybody does anything in any order, with whatever was ever signed.
contract Anybody is Watching {
    uint128 private constant TREASURE = 10_000;
    Honest private immutable HONEST;
    bytes32[] public channels;
    mapping(bytes32 channel => uint32) private epochs;

    /// In the native asset or an ERC-20 one.
    constructor(Honest honest, bool inErc20) {
        HONEST = honest;
        hubIsHonest = honest == Honest.Hub;
        address[] memory assets = new address[](inErc20 ? 1 : 0);
        if (inErc20) {
            Beast coin = new Beast();
            (asset, assets[0]) = (address(coin), address(coin));
            address[3] memory holders = [address(this), alice, bob];
            for (uint256 i = 0; i < 3; ++i) {
                coin.mint(holders[i], 1 << 100);
            }
        }
        vm.recordLogs();
        begin(assets);
        putIn = TREASURE;
        hubSigners = [signer, vm.addr(key("hub2")), vm.addr(key("hub3"))];
        opens("alice", 1000, 50);
        opens("bob", 30, 200);
        look(address(0));
    }

    function opens(string memory name, uint128 clientIn, uint128 hubIn) private {
        address client = vm.addr(key(name));
        open(name, clientIn, hubIn);
        (putIn, into[idOf(client)]) = (putIn + clientIn + 21, uint256(clientIn) + hubIn);
        epochs[idOf(client)] = hub.channelOf(client, asset).epoch;
        channels.push(idOf(client));
        beginLine(client);
    }

    function count() external view returns (uint256) {
        return channels.length;
    }

    function clientOf(uint256 seed) private view returns (address) {
        return seed & 1 == 0 ? alice : bob;
    }

    /// Any state of the epoch that runs, but the implicit one.
    function stateOf(address client, uint256 seed) private view returns (bool, Signed memory s) {
        Signed[] storage states = line(client);
        if (states.length < 2) return (false, s);
        return (true, states[1 + (seed >> 8) % (states.length - 1)]);
    }

    /// The place of a token, mostly one of the epoch that runs.
    function pick(uint256 seed) private view returns (uint256) {
        uint256 first = seed & 3 == 0 || firstToken == tokens.length ? 0 : firstToken;
        return first + (seed >> 2) % (tokens.length - first);
    }

    /// The honest party's answer to a close, before its window ends.
    function answer(address client) private {
        Channel memory row = hub.channelOf(client, asset);
        if (row.status != Status.Closing || newest(client).state.seq <= row.seq) return;
        Signed memory s = newest(client);
        hub.argueClosure(client, asset, s);
        look(address(0));
    }

    function answers() private {
        if (HONEST == Honest.Alice || HONEST == Honest.Hub) answer(alice);
        if (HONEST == Honest.Bob || HONEST == Honest.Hub) answer(bob);
        if (HONEST == Honest.Hub && line(bob).length > 1) defend(newest(bob));
    }

    /// Against every redemption there could be in Bob's channel.
    function defend(Signed memory s) private {
        Token[] memory list = new Token[](tokens.length - firstToken);
        uint256 length = 0;
        for (uint256 i = firstToken; i < tokens.length; ++i) {
            if (tokens[i].payee == s.state.channel) list[length++] = tokens[i];
        }
        assembly {
            mstore(list, length)
        }
        uint16 redeeming = hub.channelOf(bob, asset).redeeming;
        try hub.argueRedemptionToken(bob, asset, s, list) {
            did["defeat"] += redeeming - hub.channelOf(bob, asset).redeeming;
        } catch {}
        look(address(0));
    }

    function passTime(uint256 seconds_) external {
        answers();
        vm.warp(block.timestamp + seconds_ % 90);
        look(address(0));
    }

    function reopen(uint256 seed) external {
        for (uint256 i = 0; i < 2; ++i) {
            address client = clientOf(i);
            bool none = hub.channelOf(client, asset).status == Status.None;
            if (!none || hub.balanceOf(treasury, asset) < 150) continue;
            vm.deal(client, 1 << 100);
            did["reopen"] += 1;
            opens(i == 0 ? "alice" : "bob", uint128(seed % 500), 150);
        }
        look(treasury);
    }

    function deposit(uint256 seed, uint96 amount) external {
        address client = clientOf(seed);
        bytes32 id = idOf(client);
        try hub.detachToken{value: native(amount)}(client, asset, uint8(seed >> 1) & 1, amount, false) {
            did["deposit"] += 1;
            (putIn, into[id]) = (putIn + amount, into[id] + amount);
        } catch {}
        look(address(0));
    }

    function depositFromBalance(uint256 seed, uint128 amount) external {
        address client = clientOf(seed);
        address actor = parties()[(seed >> 2) % 4];
        bytes32 id = idOf(client);
        amount = uint128(amount % (uint256(hub.balanceOf(actor, asset)) + 1));
        vm.prank(actor);
        try hub.detachToken(client, asset, uint8(seed >> 1) & 1, amount, true) {
            did["deposit from balance"] += 1;
            into[id] += amount;
        } catch {}
        look(actor);
    }

    function close(uint256 seed) external {
        // Rarely: most of the rest happens in open channels.
        if (seed % 3 != 0) return;
        seed /= 3;
        address client = clientOf(seed);
        (bool some, Signed memory s) = stateOf(client, seed);
        address[3] memory callers = [client, signer, treasury];
        vm.prank(callers[(seed >> 1) % 3]);
        if (some && seed & 16 == 0) {
            try hub.close(client, asset, s) {
                did["close at a state"] += 1;
            } catch {}
        } else {
            try hub.close(client, asset) {
                did["close"] += 1;
            } catch {}
        }
        look(address(0));
    }

    function strangerCloses(uint256 seed) external {
        address client = clientOf(seed);
        vm.prank(carol);
        try hub.close(client, asset) {
            breaks(Family.Windows, true, "a stranger closed");
        } catch {}
    }

    function argue(uint256 seed) external {
        address client = clientOf(seed);
        (bool some, Signed memory s) = stateOf(client, seed);
        if (!some) return;
        try hub.argueClosure(client, asset, s) {
            did["challenge"] += 1;
        } catch {}
        look(address(0));
    }

    function takeOut(uint256 seed) external {
        address client = clientOf(seed);
        (bool some, Signed memory s) = stateOf(client, seed);
        if (!some) return;
        Channel memory was = hub.channelOf(client, asset);
        try hub.attachToken(client, asset, s) {
            Channel memory row = hub.channelOf(client, asset);
            did["hot withdrawal"] += 1;
            outOf[idOf(client)] += row.clientOut - was.clientOut + row.hubOut - was.hubOut;
        } catch {}
        look(address(0));
    }

    function redeem(uint256 seed, uint128 vouched) external {
        if (tokens.length == 0) return;
        uint256 place = pick(seed >> 8);
        Redeem memory r;
        (r.client, r.token, r.payeeSeq) = (bob, tokens[place], uint48(place));
        bytes32 id = hasher.hash(r.token);
        r.hub = hubSigns(hasher.hashGrant(id, r.payeeSeq, 0));
        r.cumulative = uint128(vouched % (uint256(r.token.value) + 2));
        r.voucherSig = vouches(r);
        vm.prank(bob);
        try hub.redeemToken(r) {
            did["redeem"] += 1;
        } catch {}
        look(address(0));
    }

    function argueRedemption(uint256 seed) external {
        (bool some, Signed memory s) = stateOf(bob, seed);
        if (!some) return;
        defend(seed & 1 == 0 ? newest(bob) : s);
    }

    /// Credits what is due in Bob's channel and, now and then, what is not; what was credited already is tried once more, by itself.
    function credit(uint256 seed) external {
        bytes32 channel = idOf(bob);
        bytes32[] memory ids = new bytes32[](tokens.length);
        (uint256 length, uint128 total) = (0, 0);
        for (uint256 i = 0; i < tokens.length; ++i) {
            Redemption memory found = redemptionOf(tokens[i]);
            bool due = found.status == RedemptionStatus.Pending && found.creditAt <= block.timestamp;
            if (tokens[i].payee != channel || !due && (seed >> (i % 128)) & 15 != 0) continue;
            ids[length++] = hasher.hash(tokens[i]);
            total += found.amount;
        }
        assembly {
            mstore(ids, length)
        }
        try hub.credit(bob, asset, ids) {
            did["credit"] += length;
            creditedOf[channel] += total;
        } catch {
            // What a call said before it reverted is recorded as well.
            vm.getRecordedLogs();
        }
        look(address(0));
        for (uint256 i = 0; i < tokens.length; ++i) {
            if (tokens[i].payee != channel || redemptionOf(tokens[i]).status != RedemptionStatus.Credited) continue;
            try hub.credit(bob, asset, idsOf(tokens[i])) {} catch {}
        }
        look(address(0));
    }

    /// Pays an ON token out of any state it is pending in.
    function execute(uint256 seed) external {
        (bool some, Signed memory s) = stateOf(alice, seed);
        if (!some) return;
        uint256[] memory pending = pendings[s.state.channel][s.state.seq];
        if (pending.length == 0) return;
        AttachToken memory a;
        (a.client, a.state, a.payer, a.payerState) = (alice, s.state, s.client, hasher.hash(s.state));
        a.index = (seed >> 16) % pending.length;
        a.token = tokens[pending[a.index]];
        bytes32[] memory ids = new bytes32[](pending.length);
        for (uint256 i = 0; i < ids.length; ++i) {
            ids[i] = hasher.hash(tokens[pending[i]]);
        }
        a.proof = hasher.pendingProof(ids, a.index);
        a.hub = hubSigns(hasher.hashGrant(ids[a.index], 0, a.payerState));
        try hub.attachToken(a) {
            did["execute"] += 1;
            outOf[s.state.channel] += a.token.value;
        } catch {}
        look(address(0));
    }

    /// Claims a token of Alice's with a voucher, or with what Bob has ever signed.
    function claim(uint256 seed, uint128 amount) external {
        if (tokens.length == 0) return;
        Token memory t = tokens[pick(seed >> 8)];
        if (t.kind == METERED) {
            VoucherEvidence memory v = voucherOf(t, uint128(amount % (uint256(t.value) + 2)), 0);
            try hub.resolve(alice, asset, t, v) {
                did["claim with a voucher"] += 1;
            } catch {}
        } else {
            uint256[] storage all = attachments[hasher.hash(t)];
            Signed[] storage states = line(bob);
            if (states.length == 0 && all.length == 0) return;
            Signed memory s = all.length == 0 ? states[seed % states.length] : lines[t.payee][all[seed % all.length]];
            ReceiptEvidence memory e = receiptOf(s);
            e.payeeEpoch = epochs[s.state.channel];
            try hub.resolve(alice, asset, t, e) {
                did["claim with a receipt"] += 1;
            } catch {}
        }
        look(address(0));
    }

    function finalise(uint256 seed) external {
        if (seed & 1 == 0) end(alice);
        if (seed & 2 == 0) end(bob);
        look(address(0));
    }

    function closeLast(uint256 seed) external {
        address client = clientOf(seed);
        Channel memory row = hub.channelOf(client, asset);
        if (row.status == Status.None) return;
        Signed memory s = newest(client);
        bytes32 id = idOf(client);
        uint256[2] memory before = [uint256(hub.balanceOf(client, asset)), hub.balanceOf(treasury, asset)];
        uint256 expected = expectedPart(row, s.state.balances, new uint256[](0));
        try hub.closeLast(client, asset, s) {
            did["closeLast"] += 1;
            ended(client, id, row, before, expected);
        } catch {}
        look(address(0));
    }

    /// Ends a channel with what its enforced state says; whether it could.
    function end(address client) private returns (bool) {
        Channel memory row = hub.channelOf(client, asset);
        if (row.status != Status.Closing) return false;
        bytes32 id = idOf(client);
        Signed memory s = lines[id][row.seq];
        uint256[2] memory before = [uint256(hub.balanceOf(client, asset)), hub.balanceOf(treasury, asset)];
        uint256[] memory pending = pendings[id][row.seq];
        uint256 expected = row.seq == 0 ? row.clientIn : expectedPart(row, s.state.balances, pending);
        Token[] memory list = new Token[](pending.length);
        for (uint256 i = 0; i < list.length; ++i) {
            list[i] = tokens[pending[i]];
        }
        if (row.seq == 0) {
            try hub.finalise(client, asset) {}
            catch {
                return false;
            }
        } else {
            try hub.finalise(client, asset, openingOf(s.state), list) {}
            catch {
                return false;
            }
        }
        did[pending.length == 0 ? "finalise" : "finalise with tokens"] += 1;
        ended(client, id, row, before, expected);
        return true;
    }

    /// What the client should get, from what was signed and what became of the tokens; above what there is, what there is.
    function expectedPart(Channel memory row, Balances memory b, uint256[] memory pending)
        private
        view
        returns (uint256 part)
    {
        part = uint256(b.client) + b.clientOut + row.clientIn - (b.clientIn > row.clientIn ? row.clientIn : b.clientIn);
        for (uint256 i = 0; i < pending.length; ++i) {
            Token memory t = tokens[pending[i]];
            Redemption memory found = redemptionOf(t);
            uint256 got = hub.claimOf(t.payerChannel, hasher.hash(t));
            bool pays = found.status == RedemptionStatus.Credited || found.status == RedemptionStatus.Executed
                || found.status == RedemptionStatus.Pending && block.timestamp >= found.creditAt;
            if (pays && found.amount > got) got = found.amount;
            if (t.kind == ON) part += found.status == RedemptionStatus.Executed ? 0 : t.value + t.fee;
            else part += got == 0 ? t.value + t.fee : t.value - got;
        }
        return part > row.clientOut ? part - row.clientOut : 0;
    }

    function ended(address client, bytes32 id, Channel memory row, uint256[2] memory before, uint256 expected) private {
        uint256 toClient = hub.balanceOf(client, asset) - before[0];
        uint256 toHub = hub.balanceOf(treasury, asset) - before[1];
        uint256 left = uint256(row.clientIn) + row.hubIn - row.clientOut - row.hubOut - row.onOut;
        breaks(Family.Ends, toClient + toHub != left, "an end pays other than what is there");
        breaks(Family.Ends, toClient != (expected < left ? expected : left), "an end pays other than what was signed");
        outOf[id] += toClient + toHub;
        breaks(Family.Ends, outOf[id] != into[id], "a channel paid other than what went into it");
        guaranteed(client, id, row, [toClient, toHub]);
    }

    /// The honest party has what its newest state says, whichever was enforced, and what came to it since.
    function guaranteed(address client, bytes32 id, Channel memory row, uint256[2] memory got) private {
        Signed[] storage states = lines[id];
        Balances memory b = states[states.length - 1].state.balances;
        if (HONEST == Honest.Alice && client == alice || HONEST == Honest.Bob && client == bob) {
            // What it redeemed beyond the hub's share it should not have counted on.
            uint256 own = uint256(b.client) + b.clientOut + row.clientIn - b.clientIn;
            uint256 credited = creditedOf[id] - acknowledgedOf[id];
            uint256 share = uint256(b.hub) + row.hubIn - b.hubIn;
            if (credited > share) own -= credited - share;
            breaks(Family.Guarantee, got[0] + row.clientOut < own, "a client got less than its newest state");
        }
        if (HONEST == Honest.Hub) {
            // A credited redemption is counted as out for the hub: it may be of a promise, never of what its newest state has paid.
            uint256 own = uint256(b.hub) + b.hubOut + row.hubIn - b.hubIn + paidAgain(id, b);
            breaks(Family.Guarantee, got[1] + row.hubOut < own, "the hub got less than its newest state");
        }
    }

    /// What was credited in a channel of tokens that this state of it has attached.
    function paidAgain(bytes32 id, Balances memory b) private view returns (uint256 sum) {
        for (uint256 i = 0; i < tokens.length; ++i) {
            Redemption memory found = redemptionOf(tokens[i]);
            if (tokens[i].payee != id || found.status != RedemptionStatus.Credited) continue;
            if (hasher.holds(b, uint48(i))) sum += found.amount;
        }
    }

    function transfer(uint256 seed, uint128 amount) external {
        address from = parties()[seed % 4];
        address to = parties()[(seed >> 2) % 5];
        amount = uint128(amount % (uint256(hub.balanceOf(from, asset)) + 1));
        vm.prank(from);
        hub.transfer(to, asset, amount);
        look(from);
    }

    function withdraw(uint256 seed, uint128 amount) external {
        address party = parties()[seed % 4];
        amount = uint128(amount % (uint256(hub.balanceOf(party, asset)) + 1));
        vm.prank(party);
        hub.withdraw(asset, amount);
        takenOut += amount;
        look(party);
    }

    function hubWithdraw(uint256, uint128 amount) external {
        amount = uint128(amount % (uint256(hub.balanceOf(treasury, asset)) + 1));
        vm.prank(treasury);
        hub.hubWithdraw(asset, amount, carol);
        takenOut += amount;
        look(treasury);
    }

    function announceAndRevoke(uint256 seed) external {
        address one = hubSigners[1 + seed % 2];
        vm.prank(treasury);
        if (seed & 2 == 0) {
            try hub.announceSigner(one) {} catch {}
        } else {
            try hub.revokeSigner(one) {} catch {}
        }
        look(address(0));
    }

    /// Whether channels that close can be ended by a stranger, long after their deadlines.
    function ends() external returns (bool) {
        answers();
        vm.warp(block.timestamp + 100 * GRACE);
        for (uint256 i = 0; i < tokens.length; ++i) {
            try hub.credit(bob, asset, idsOf(tokens[i])) {} catch {}
        }
        bool both = hub.channelOf(alice, asset).status != Status.Closing || end(alice);
        return both && (hub.channelOf(bob, asset).status != Status.Closing || end(bob));
    }
}
