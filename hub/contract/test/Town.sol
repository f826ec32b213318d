// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FulgurHub} from "../src/FulgurHub.sol";
import "../src/Types.sol";
import {Words} from "../src/Words.sol";
import {Test} from "./Vm.sol";

/// Words for who has its structs in memory.
contract Hasher {
    function hash(Balances calldata x) external pure returns (bytes32) {
        return Words.hash(x);
    }

    function hash(Op calldata x) external pure returns (bytes32) {
        return Words.hash(x);
    }

    function hash(State calldata x) external pure returns (bytes32) {
        return Words.hash(x, Words.hash(x.ops));
    }

    function hash(Token calldata x) external pure returns (bytes32) {
        return Words.hash(x);
    }

    function hash(ChannelOffer calldata x) external pure returns (bytes32) {
        return Words.hash(x);
    }

    function hashState(bytes32 channel, uint48 seq, bool last, bytes32 balances, bytes32 ops)
        external
        pure
        returns (bytes32)
    {
        return Words.hashState(channel, seq, last, balances, ops);
    }

    function hashGrant(bytes32 token, uint48 payeeSeq, bytes32 payerState) external pure returns (bytes32) {
        return Words.hashGrant(token, payeeSeq, payerState);
    }

    function hashVoucher(bytes32 token, uint128 cumulative, bytes32 usage, bytes32 condition)
        external
        pure
        returns (bytes32)
    {
        return Words.hashVoucher(token, cumulative, usage, condition);
    }

    function hashAuth(bytes32 token, address submitter, uint40 until) external pure returns (bytes32) {
        return Words.hashAuth(token, submitter, until);
    }

    function hashBatch(bytes32 root) external pure returns (bytes32) {
        return Words.hashBatch(root);
    }

    function hash(Op[] calldata x) external pure returns (bytes32) {
        return Words.hash(x);
    }

    function batchRoot(bytes32 digest, bytes32[] calldata proof) external pure returns (bytes32) {
        return Words.batchRoot(digest, proof);
    }

    function pendingRoot(bytes32[] memory ids) external pure returns (bytes32) {
        return Words.pendingRoot(ids);
    }

    /// The siblings of the id at `index`, for who has all of them.
    function pendingProof(bytes32[] memory ids, uint256 index) external pure returns (bytes32[] memory proof) {
        bytes32[] memory found = new bytes32[](8);
        uint256 length = 0;
        for (uint256 i = 0; i < ids.length; ++i) {
            ids[i] = keccak256(abi.encodePacked(bytes1(0), ids[i]));
        }
        for (uint256 count = ids.length; count > 1; count = (count + 1) / 2) {
            if (index ^ 1 < count) found[length++] = ids[index ^ 1];
            for (uint256 i = 0; i < count; i += 2) {
                ids[i / 2] = i + 1 < count ? keccak256(abi.encodePacked(bytes1(uint8(1)), ids[i], ids[i + 1])) : ids[i];
            }
            index /= 2;
        }
        proof = new bytes32[](length);
        for (uint256 i = 0; i < length; ++i) {
            proof[i] = found[i];
        }
    }

    function isPending(bytes32 root, bytes32 id, uint256 index, uint256 count, bytes32[] calldata proof)
        external
        pure
        returns (bool)
    {
        return Words.isPending(root, id, index, count, proof);
    }

    function holds(Balances calldata balances, uint48 payeeSeq) external pure returns (bool) {
        return Words.holds(balances, payeeSeq);
    }
}

/// A hub, Alice and Bob with open channels, Carol, and what they sign.
abstract contract Town is Test {
    uint40 internal constant GRACE = 100;
    uint40 internal constant DELAY = 1000;
    address internal constant NATIVE = address(0);
    uint40 internal constant START = 1_000_000;
    uint40 internal constant ATTACH_BY = START + 100;
    uint40 internal constant REDEEM_BY = START + 220;
    uint40 internal constant CLAIM_BY = START + 340;

    FulgurHub internal hub;
    /// What channels are opened in, where a test does not name it.
    address internal asset = NATIVE;
    Hasher internal hasher;
    address internal alice = vm.addr(key("alice"));
    address internal bob = vm.addr(key("bob"));
    address internal carol = vm.addr(key("carol"));
    address internal signer = vm.addr(key("hub"));
    address internal treasury = vm.addr(key("treasury"));
    address internal vouchers = vm.addr(key("vouchers"));

    /// Keys are hashes of words: none is written down.
    function key(string memory name) internal pure returns (uint256) {
        return uint256(keccak256(bytes(name)));
    }

    function begin() internal {
        begin(new address[](0));
    }

    /// With these ERC-20 contracts allowed besides.
    function begin(address[] memory assets) internal {
        vm.warp(START);
        hasher = new Hasher();
        hub = deploy(assets);
        vm.deal(address(this), 1 << 100);
        vm.deal(alice, 1 << 100);
        vm.deal(bob, 1 << 100);
        hub.hubDeposit{value: native(10_000)}(asset, 10_000);
    }

    /// What goes with a call that pays in an amount.
    function native(uint256 amount) internal view returns (uint256) {
        return asset == NATIVE ? amount : 0;
    }

    /// From the artifact: `new` would have every test contract compile it again.
    function deploy(address[] memory assets) internal returns (FulgurHub deployed) {
        bytes memory arguments = abi.encode(treasury, signer, GRACE, DELAY, assets);
        bytes memory code = abi.encodePacked(vm.getCode("FulgurHub.sol:FulgurHub"), arguments);
        assembly {
            deployed := create(0, add(code, 32), mload(code))
        }
        assertTrue(address(deployed) != address(0), "deployed");
    }

    function open(string memory name, uint128 clientIn, uint128 hubIn) internal {
        address client = vm.addr(key(name));
        uint32 epoch = hub.channelOf(client, asset).epoch;
        ChannelOffer memory offer = ChannelOffer(client, asset, epoch, hubIn, 21, uint40(block.timestamp + 10));
        HubSig memory sig = hubSigns(hasher.hash(offer));
        vm.prank(client);
        hub.subscribe{value: native(clientIn + 21)}(offer, sig, clientIn);
    }

    /// Alice 1000 and the hub 50; Bob 30 and the hub 200.
    function openBoth() internal {
        open("alice", 1000, 50);
        open("bob", 30, 200);
    }

    function idOf(address client) internal view returns (bytes32) {
        return hub.channelId(client, asset, hub.channelOf(client, asset).epoch);
    }

    function digest(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", hub.domainSeparator(), structHash));
    }

    function signs(string memory name, bytes32 structHash) internal view returns (Sig memory) {
        (bytes32 r, bytes32 vs) = vm.signCompact(key(name), digest(structHash));
        return Sig(r, vs);
    }

    function hubSignsAs(string memory name, bytes32 structHash) internal view returns (HubSig memory) {
        return HubSig(signs(name, hasher.hashBatch(digest(structHash))), new bytes32[](0));
    }

    function hubSigns(bytes32 structHash) internal view returns (HubSig memory) {
        return hubSignsAs("hub", structHash);
    }

    function ops(Op memory one) internal pure returns (Op[] memory list) {
        list = new Op[](1);
        list[0] = one;
    }

    /// Balances that conserve: what the hub has follows from the rest.
    function balancesOf(string memory name, uint128 client, uint128 pending) internal view returns (Balances memory b) {
        Channel memory row = hub.channelOf(vm.addr(key(name)), asset);
        b.client = client;
        b.pending = pending;
        b.clientIn = row.clientIn;
        b.hubIn = row.hubIn;
        b.hub = row.clientIn + row.hubIn - client - pending;
    }

    function state(string memory name, uint48 seq, Balances memory b) internal view returns (State memory s) {
        s.channel = idOf(vm.addr(key(name)));
        s.seq = seq;
        s.balances = b;
    }

    /// Both signatures.
    function both(string memory name, State memory s) internal view returns (Signed memory signed) {
        signed.state = s;
        signed.client = signs(name, hasher.hash(s));
        signed.hub = hubSigns(hasher.hash(s));
    }

    /// A plain state in which the client has this much and nothing is pending.
    function plain(string memory name, uint48 seq, uint128 client) internal view returns (Signed memory) {
        return both(name, state(name, seq, balancesOf(name, client, 0)));
    }

    function token(uint8 kind, uint128 value, uint16 index) internal view returns (Token memory t) {
        t.payerChannel = idOf(alice);
        t.payerSeq = 1;
        t.index = index;
        t.payee = kind == ON ? bytes32(uint256(uint160(carol))) : idOf(bob);
        t.kind = kind;
        t.value = value;
        t.fee = 3;
        t.attachBy = ATTACH_BY;
        t.redeemBy = REDEEM_BY;
        t.claimBy = CLAIM_BY;
        t.voucherKey = kind == METERED ? vouchers : address(0);
    }

    /// Alice's state 1, in which this token is pending.
    function detached(Token memory t) internal view returns (Signed memory) {
        Token[] memory list = new Token[](1);
        list[0] = t;
        return detached(list);
    }

    function detached(Token[] memory list) internal view returns (Signed memory) {
        uint128 pending = 0;
        bytes32[] memory ids = new bytes32[](list.length);
        for (uint256 i = 0; i < list.length; ++i) {
            pending += list[i].value + list[i].fee;
            ids[i] = hasher.hash(list[i]);
        }
        Balances memory b = balancesOf("alice", 1000 - pending, pending);
        b.pendingCount = uint16(list.length);
        b.pendingRoot = hasher.pendingRoot(ids);
        return both("alice", state("alice", 1, b));
    }

    /// So many OFF tokens of Alice's, each of 10 and a fee, in the order that a state wants.
    function many(uint16 count) internal view returns (Token[] memory list) {
        list = new Token[](count);
        for (uint16 i = 0; i < count; ++i) {
            Token memory t = token(OFF, 10, i);
            uint256 j = i;
            while (j > 0 && hasher.hash(list[j - 1]) > hasher.hash(t)) {
                list[j] = list[j - 1];
                --j;
            }
            list[j] = t;
        }
    }

    function redeemOf(Token memory t, uint48 payeeSeq, uint128 vouched) internal view returns (Redeem memory r) {
        r.client = bob;
        r.asset = asset;
        r.token = t;
        r.payeeSeq = payeeSeq;
        r.payerState = hasher.hash(detached(t).state);
        r.hub = hubSigns(hasher.hashGrant(hasher.hash(t), payeeSeq, r.payerState));
        if (t.kind == METERED) {
            r.cumulative = vouched;
            r.voucherSig = vouches(r);
        }
    }

    function vouches(Redeem memory r) internal view returns (Sig memory) {
        return signs("vouchers", hasher.hashVoucher(hasher.hash(r.token), r.cumulative, r.usage, r.condition));
    }

    /// Bob's state with this number that attaches a token.
    function attached(Token memory t, uint48 seq, uint48 payeeSeq, uint128 amount)
        internal
        view
        returns (Signed memory)
    {
        Balances memory b = balancesOf("bob", 30 + amount, 0);
        b.window = 1 << payeeSeq;
        State memory s = state("bob", seq, b);
        s.ops = ops(Op(ATTACH, hasher.hash(t), amount));
        return both("bob", s);
    }

    function receiptOf(Signed memory signed) internal view returns (ReceiptEvidence memory e) {
        State memory s = signed.state;
        e.payee = bob;
        (e.seq, e.last, e.balances, e.ops) = (s.seq, s.last, hasher.hash(s.balances), s.ops);
        e.sig = signed.client;
    }

    function openingOf(State memory s) internal view returns (Opening memory) {
        // No call where there is nothing to hash: it may follow an expectRevert.
        return Opening(s.last, s.balances, s.ops.length == 0 ? keccak256("") : hasher.hash(s.ops));
    }

    function voucherOf(Token memory t, uint128 amount, bytes32 condition)
        internal
        view
        returns (VoucherEvidence memory e)
    {
        (e.cumulative, e.condition) = (amount, condition);
        e.sig = signs("vouchers", hasher.hashVoucher(hasher.hash(t), amount, 0, condition));
    }

    function redemptionOf(Token memory t) internal view returns (Redemption memory) {
        return hub.redemptionOf(t.payee, hasher.hash(t));
    }

    function idsOf(Token memory t) internal view returns (bytes32[] memory ids) {
        ids = new bytes32[](1);
        ids[0] = hasher.hash(t);
    }

    function refusesCredit(address client, Token memory t, bytes4 reason) internal {
        bytes32[] memory ids = idsOf(t);
        vm.expectRevert(reason);
        hub.credit(client, asset, ids);
    }

    function only(Token memory t) internal pure returns (Token[] memory list) {
        list = new Token[](1);
        list[0] = t;
    }

    function executes(Token memory t) internal view returns (AttachToken memory a) {
        Signed memory payer = detached(t);
        a.client = alice;
        a.token = t;
        a.payerState = hasher.hash(payer.state);
        a.hub = hubSigns(hasher.hashGrant(hasher.hash(t), 0, a.payerState));
        a.state = payer.state;
        a.payer = payer.client;
        a.proof = new bytes32[](0);
    }
}
