// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import "../src/Types.sol";
import {FulgurHub} from "../src/FulgurHub.sol";
import {Hasher, Town} from "./Town.sol";
import {Test} from "./Vm.sol";

/// Solidity against the vectors that ethers v6 writes (shared/channel/vectors), as Rust is in its own test.
contract VectorsTest is Test {
    /// The contract's own is held to this in Money.t.sol.
    uint256 private constant BATCH_DEPTH = 10;

    Hasher private hasher = new Hasher();
    string private json = vm.readFile("../../shared/channel/vectors/vectors.json");

    function word(string memory path) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, path);
    }

    function num(string memory path) private view returns (uint256) {
        return vm.parseJsonUint(json, path);
    }

    function join(string memory a, string memory b) private pure returns (string memory) {
        return string.concat(a, b);
    }

    function item(string memory list, uint256 i) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(i), "]");
    }

    function balances(string memory p) private view returns (Balances memory b) {
        b.client = uint128(num(join(p, ".client")));
        b.hub = uint128(num(join(p, ".hub")));
        b.pending = uint128(num(join(p, ".pending")));
        b.clientIn = uint128(num(join(p, ".clientIn")));
        b.clientOut = uint128(num(join(p, ".clientOut")));
        b.hubIn = uint128(num(join(p, ".hubIn")));
        b.hubOut = uint128(num(join(p, ".hubOut")));
        b.onOut = uint128(num(join(p, ".onOut")));
        b.pendingCount = uint16(num(join(p, ".pendingCount")));
        b.pendingRoot = word(join(p, ".pendingRoot"));
        b.floor = uint48(num(join(p, ".floor")));
        b.window = num(join(p, ".window"));
    }

    function op(string memory p) private view returns (Op memory) {
        return Op(uint8(num(join(p, ".kind"))), word(join(p, ".token")), uint128(num(join(p, ".amount"))));
    }

    function state(string memory p) private view returns (State memory s) {
        s.channel = word(join(p, ".channel"));
        s.seq = uint48(num(join(p, ".seq")));
        s.last = vm.parseJsonBool(json, join(p, ".last"));
        s.balances = balances(join(p, ".balances"));
        uint256 count = 0;
        while (vm.keyExistsJson(json, item(join(p, ".ops"), count))) ++count;
        s.ops = new Op[](count);
        for (uint256 i = 0; i < count; ++i) {
            s.ops[i] = op(item(join(p, ".ops"), i));
        }
    }

    function token(string memory p) private view returns (Token memory t) {
        t.payerChannel = word(join(p, ".payerChannel"));
        t.payerSeq = uint48(num(join(p, ".payerSeq")));
        t.index = uint16(num(join(p, ".index")));
        t.payee = word(join(p, ".payee"));
        t.kind = uint8(num(join(p, ".kind")));
        t.value = uint128(num(join(p, ".value")));
        t.fee = uint128(num(join(p, ".fee")));
        t.attachBy = uint40(num(join(p, ".attachBy")));
        t.redeemBy = uint40(num(join(p, ".redeemBy")));
        t.claimBy = uint40(num(join(p, ".claimBy")));
        t.condition = word(join(p, ".condition"));
        t.voucherKey = vm.parseJsonAddress(json, join(p, ".voucherKey"));
        t.invoice = word(join(p, ".invoice"));
    }

    function offer(string memory p) private view returns (ChannelOffer memory o) {
        o.client = vm.parseJsonAddress(json, join(p, ".client"));
        o.asset = vm.parseJsonAddress(json, join(p, ".asset"));
        o.epoch = uint32(num(join(p, ".epoch")));
        o.hubAmount = uint128(num(join(p, ".hubAmount")));
        o.openingFee = uint128(num(join(p, ".openingFee")));
        o.validUntil = uint40(num(join(p, ".validUntil")));
    }

    function hashOf(bytes32 kind, string memory p) private view returns (bytes32) {
        if (kind == keccak256("State")) return hasher.hash(state(p));
        if (kind == keccak256("Token")) return hasher.hash(token(p));
        if (kind == keccak256("Balances")) return hasher.hash(balances(p));
        if (kind == keccak256("Op")) return hasher.hash(op(p));
        if (kind == keccak256("Grant")) {
            return
                hasher.hashGrant(
                    word(join(p, ".token")), uint48(num(join(p, ".payeeSeq"))), word(join(p, ".payerState"))
                );
        }
        if (kind == keccak256("Voucher")) {
            return hasher.hashVoucher(
                word(join(p, ".token")),
                uint128(num(join(p, ".cumulative"))),
                word(join(p, ".usage")),
                word(join(p, ".condition"))
            );
        }
        if (kind == keccak256("RedeemAuth")) {
            return hasher.hashAuth(
                word(join(p, ".token")),
                vm.parseJsonAddress(json, join(p, ".submitter")),
                uint40(num(join(p, ".until")))
            );
        }
        if (kind == keccak256("ChannelOffer")) return hasher.hash(offer(p));
        require(kind == keccak256("Batch"), "unknown type");
        return hasher.hashBatch(word(join(p, ".root")));
    }

    function recover(bytes32 digest, string memory p) private view returns (address, bool) {
        bytes memory sig = vm.parseJsonBytes(json, join(p, ".signature"));
        bytes32 r;
        bytes32 vs;
        assembly {
            r := mload(add(sig, 32))
            vs := mload(add(sig, 64))
        }
        (address signer, ECDSA.RecoverError fault,) = ECDSA.tryRecover(digest, r, vs);
        return (signer, fault == ECDSA.RecoverError.NoError);
    }

    function test_messages() public view {
        uint256 count = 0;
        while (vm.keyExistsJson(json, item(".messages", count))) {
            string memory p = item(".messages", count++);
            string memory name = vm.parseJsonString(json, join(p, ".name"));
            bytes32 kind = keccak256(bytes(vm.parseJsonString(json, join(p, ".type"))));
            bytes32 hash = hashOf(kind, join(p, ".value"));
            assertEq(hash, word(join(p, ".structHash")), name);
            bytes32 digest = keccak256(abi.encodePacked(hex"1901", word(".domain.separator"), hash));
            assertEq(digest, word(join(p, ".digest")), name);
            (address signer,) = recover(digest, p);
            assertEq(signer, vm.parseJsonAddress(json, join(p, ".signer")), name);
        }
        assertTrue(count >= 18, "two of each type");
    }

    function test_receipts() public view {
        uint256 count = 0;
        while (vm.keyExistsJson(json, item(".receipts", count))) {
            string memory p = item(".receipts", count);
            State memory s = state(join(item(".messages", count++), ".value"));
            assertEq(hasher.hash(s.balances), word(join(p, ".balances")), "balances");
            assertEq(hasher.hash(s.ops), word(join(p, ".opsHash")), "operations");
            bytes32 opened = hasher.hashState(s.channel, s.seq, s.last, hasher.hash(s.balances), hasher.hash(s.ops));
            assertEq(opened, hasher.hash(s), "a receipt is its state");
        }
        assertTrue(count >= 5, "receipts");
    }

    function test_trees() public view {
        uint256 count = 0;
        while (vm.keyExistsJson(json, item(".trees", count))) {
            string memory p = item(".trees", count++);
            bytes32[] memory ids = vm.parseJsonBytes32Array(json, join(p, ".ids"));
            bytes32 root = word(join(p, ".root"));
            assertEq(hasher.pendingRoot(ids), root, "root");
            for (uint256 i = 0; i < ids.length; ++i) {
                bytes32[] memory proof = vm.parseJsonBytes32Array(json, item(join(p, ".proofs"), i));
                assertTrue(hasher.isPending(root, ids[i], i, ids.length, proof), "proof");
            }
        }
        assertEq(count, 7, "trees");
    }

    function test_batches() public view {
        uint256 count = 0;
        while (vm.keyExistsJson(json, item(".batches", count))) {
            string memory p = item(".batches", count++);
            bytes32 root = word(join(p, ".root"));
            bytes32 digest = keccak256(abi.encodePacked(hex"1901", word(".domain.separator"), hasher.hashBatch(root)));
            assertEq(digest, word(join(p, ".batchDigest")), "batch digest");
            (address signer,) = recover(digest, p);
            assertEq(signer, vm.parseJsonAddress(json, join(p, ".signer")), "signer");
            for (uint256 i = 0; vm.keyExistsJson(json, item(join(p, ".proofs"), i)); ++i) {
                string memory q = item(join(p, ".proofs"), i);
                bytes32[] memory proof = vm.parseJsonBytes32Array(json, join(q, ".proof"));
                assertEq(hasher.batchRoot(word(join(q, ".digest")), proof), root, "proof");
            }
        }
        assertEq(count, 4, "batches");
    }

    function test_negatives() public view {
        uint256 count = 0;
        while (vm.keyExistsJson(json, item(".negatives", count))) {
            string memory p = item(".negatives", count++);
            string memory name = vm.parseJsonString(json, join(p, ".name"));
            bytes32 reason = keccak256(bytes(vm.parseJsonString(json, join(p, ".reason"))));
            if (reason == keccak256("signature")) {
                (, bool sound) = recover(word(join(p, ".digest")), p);
                assertTrue(!sound, name);
            } else if (reason == keccak256("signer")) {
                (address signer, bool sound) = recover(word(join(p, ".digest")), p);
                assertTrue(sound && signer != vm.parseJsonAddress(json, join(p, ".signer")), name);
            } else if (reason == keccak256("proof")) {
                assertTrue(!proves(p), name);
            } else {
                assertTrue(decodes(type(uint48).max) && !decodes(num(join(p, ".seq"))), name);
            }
        }
        assertEq(count, 14, "negatives");
    }

    /// Whether a sequence of this many bits gets as far as being hashed.
    function decodes(uint256 seq) private view returns (bool taken) {
        bytes memory data = abi.encodeWithSelector(Hasher.hashGrant.selector, bytes32(0), seq, bytes32(0));
        (taken,) = address(hasher).staticcall(data);
    }

    function proves(string memory p) private view returns (bool) {
        bytes32[] memory proof = vm.parseJsonBytes32Array(json, join(p, ".proof"));
        bytes32 root = word(join(p, ".root"));
        if (keccak256(bytes(vm.parseJsonString(json, join(p, ".tree")))) == keccak256("batch")) {
            bool leadsThere = hasher.batchRoot(word(join(p, ".digest")), proof) == root;
            // A longer one leads there too: only the limit refuses it.
            assertTrue(leadsThere == (proof.length > BATCH_DEPTH), "the reason");
            return leadsThere && proof.length <= BATCH_DEPTH;
        }
        return hasher.isPending(root, word(join(p, ".id")), num(join(p, ".index")), num(join(p, ".count")), proof);
    }
}

/// The deployed contract's own words, at the place and on the chain that the vectors are of.
contract PlaceTest is Town {
    string private json = vm.readFile("../../shared/channel/vectors/vectors.json");

    function setUp() public {
        begin();
    }

    function test_domain_and_channels() public {
        address place = vm.parseJsonAddress(json, ".domain.verifyingContract");
        vm.chainId(vm.parseJsonUint(json, ".domain.chainId"));
        vm.etch(place, address(hub).code);
        FulgurHub there = FulgurHub(payable(place));
        assertEq(there.domainSeparator(), vm.parseJsonBytes32(json, ".domain.separator"), "separator");
        uint256 count = 0;
        while (true) {
            string memory p = string.concat(".channels[", vm.toString(count), "]");
            if (!vm.keyExistsJson(json, p)) break;
            address client = vm.parseJsonAddress(json, string.concat(p, ".client"));
            address asset = vm.parseJsonAddress(json, string.concat(p, ".asset"));
            uint32 epoch = uint32(vm.parseJsonUint(json, string.concat(p, ".epoch")));
            assertEq(there.channelId(client, asset, epoch), vm.parseJsonBytes32(json, string.concat(p, ".id")), "id");
            ++count;
        }
        assertTrue(count >= 3, "channels");
    }

    function test_condition() public view {
        bytes32 preimage = vm.parseJsonBytes32(json, ".conditions[0].preimage");
        bytes32 condition = vm.parseJsonBytes32(json, ".conditions[0].condition");
        assertEq(sha256(abi.encodePacked(preimage)), condition, "sha256");
    }
}
