// Writes vectors.json: hashes, signatures, trees and prices as ethers v6 and BigInt make them, for Rust and Solidity to be held
// against. `npm ci && npm run generate`; with --check it compares instead, as `./test` does.
import { readFileSync, writeFileSync } from "node:fs";
import { AbiCoder, SigningKey, Signature, TypedDataEncoder, Wallet, concat, id, keccak256, sha256, toBeHex, zeroPadValue } from "ethers";

const TYPES = {
  Balances: "uint128 client,uint128 hub,uint128 pending,uint128 clientIn,uint128 clientOut,uint128 hubIn,uint128 hubOut,uint128 onOut,uint16 pendingCount,bytes32 pendingRoot,uint48 floor,uint256 window",
  Op: "uint8 kind,bytes32 token,uint128 amount",
  State: "bytes32 channel,uint48 seq,bool last,Balances balances,Op[] ops",
  Token: "bytes32 payerChannel,uint48 payerSeq,uint16 index,bytes32 payee,uint8 kind,uint128 value,uint128 fee,uint40 attachBy,uint40 redeemBy,uint40 claimBy,bytes32 condition,address voucherKey,bytes32 invoice",
  Grant: "bytes32 token,uint48 payeeSeq,bytes32 payerState",
  Voucher: "bytes32 token,uint128 cumulative,bytes32 usage,bytes32 condition",
  RedeemAuth: "bytes32 token,address submitter,uint40 until",
  ChannelOffer: "address client,address asset,uint32 epoch,uint128 hubAmount,uint128 openingFee,uint40 validUntil",
  Batch: "bytes32 root",
};
const NEEDS = { State: ["Balances", "Op"] };
const fields = (type) => TYPES[type].split(",").map((field) => ({ type: field.split(" ")[0], name: field.split(" ")[1] }));
const typesOf = (type) => Object.fromEntries([type, ...(NEEDS[type] ?? [])].map((name) => [name, fields(name)]));

const contract = "0xf0160b0000000000000000000000000000000001";
const domain = { name: "FulgurHub", version: "1", chainId: 1074, verifyingContract: contract };
const elsewhere = { ...domain, chainId: 1 };
const ZERO = "0x" + "00".repeat(32);
const hash = (text) => id("tarefa " + text);
// Keys are hashes of sentences: none is written down anywhere.
const key = (name) => new SigningKey(hash("key of " + name));
const address = (name) => new Wallet(key(name)).address;

const json = (value) => JSON.parse(JSON.stringify(value, (_, x) => (typeof x === "bigint" ? x.toString() : x)));
const structHash = (type, value) => TypedDataEncoder.hashStruct(type, typesOf(type), value);
const digestIn = (where, type, value) => TypedDataEncoder.hash(where, typesOf(type), value);
const compact = (signature) => Signature.from(signature).compactSerialized;
const sign = (digest, name) => ({ signer: address(name), signature: compact(key(name).sign(digest)) });

const channelId = (client, asset, epoch, chainId = domain.chainId) =>
  keccak256(AbiCoder.defaultAbiCoder().encode(["uint256", "address", "address", "address", "uint32"], [chainId, contract, client, asset, epoch]));
const NATIVE = "0x" + "00".repeat(20);
const coin = address("a coin");
const alice = channelId(address("alice"), NATIVE, 0);
const bob = channelId(address("bob"), NATIVE, 3);

const MAX128 = (1n << 128n) - 1n;
const MAX48 = (1n << 48n) - 1n;
const MAX40 = (1n << 40n) - 1n;

const token = (changes) => ({
  payerChannel: alice, payerSeq: 7n, index: 0, payee: bob, kind: 1, value: 1000n, fee: 3n,
  attachBy: 1_800_000_000n, redeemBy: 1_800_090_000n, claimBy: 1_800_180_000n,
  condition: ZERO, voucherKey: NATIVE, invoice: hash("invoice 1"), ...changes,
});
const tokens = {
  "OFF token": token({}),
  "OFF token with a condition": token({ index: 1, condition: sha256(hash("a secret")), value: 1n, fee: 0n }),
  "ON token": token({ kind: 2, payee: zeroPadValue(address("carol"), 32), invoice: ZERO }),
  "METERED token": token({ kind: 3, voucherKey: address("alice's vouchers"), value: 300n * 500_000n }),
  "token at every bound": token({ payerSeq: MAX48, index: 65535, value: MAX128 - 1n, fee: 1n, attachBy: MAX40, redeemBy: MAX40, claimBy: MAX40 }),
};
const ids = Object.values(tokens).map((t) => structHash("Token", t));

// Trees. A list is split at the largest power of two below its length; Rust and Solidity climb level by level.
const largestPowerBelow = (n) => 2 ** Math.floor(Math.log2(n - 1));
const tree = (leaves, node) => {
  if (leaves.length === 0) return { root: ZERO, proofs: [] };
  if (leaves.length === 1) return { root: leaves[0], proofs: [[]] };
  const half = largestPowerBelow(leaves.length);
  const [left, right] = [tree(leaves.slice(0, half), node), tree(leaves.slice(half), node)];
  return {
    root: node(left.root, right.root),
    proofs: [...left.proofs.map((p) => [...p, right.root]), ...right.proofs.map((p) => [...p, left.root])],
  };
};
const positional = (l, r) => keccak256(concat(["0x01", l, r]));
const commutative = (a, b) => (BigInt(a) < BigInt(b) ? positional(a, b) : positional(b, a));
const pendingTree = (tokenIds) => tree(tokenIds.map((t) => keccak256(concat(["0x00", t]))), positional);
const sorted = (list) => [...list].sort((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1));

const balances = (changes) => ({
  client: 900n, hub: 97n, pending: 1003n, clientIn: 1500n, clientOut: 0n, hubIn: 500n, hubOut: 0n, onOut: 0n,
  pendingCount: 1, pendingRoot: pendingTree([ids[0]]).root, floor: 0n, window: 0n, ...changes,
});
const state = (changes) => ({ channel: alice, seq: 7n, last: false, balances: balances({}), ops: [{ kind: 1, token: ids[0], amount: 1003n }], ...changes });
const states = {
  "state that detaches": state({}),
  "state without operations": state({ seq: 1n, ops: [], balances: balances({ pending: 0n, client: 1903n, pendingCount: 0, pendingRoot: ZERO }) }),
  "last state": state({ seq: MAX48, last: true, ops: [{ kind: 3, token: ids[0], amount: 1000n }, { kind: 7, token: ZERO, amount: 5n }] }),
  "payee's state, a receipt": state({ channel: bob, seq: 12n, ops: [{ kind: 2, token: ids[0], amount: 1000n }, { kind: 5, token: ids[1], amount: 0n }], balances: balances({ floor: MAX48, window: (1n << 255n) | 5n, client: MAX128 }) }),
  "state of every operation": state({ ops: [1, 2, 3, 4, 5, 6, 7, 8].map((kind) => ({ kind, token: hash("token " + kind), amount: BigInt(kind) })) }),
};

const messages = [
  ...Object.entries(states).map(([name, value]) => ["State", name, value, name.includes("payee") ? "bob" : "alice"]),
  ...Object.entries(tokens).map(([name, value]) => ["Token", name, value, "alice"]),
  ["Balances", "balances", balances({}), "alice"],
  ["Balances", "balances at every bound", balances({ client: MAX128, window: (1n << 256n) - 1n, floor: MAX48, pendingCount: 65535 }), "alice"],
  ["Op", "operation", { kind: 8, token: ZERO, amount: MAX128 }, "alice"],
  ["Op", "operation on a token", { kind: 2, token: ids[3], amount: 1n }, "bob"],
  ["Grant", "grant", { token: ids[0], payeeSeq: 4n, payerState: structHash("State", states["state that detaches"]) }, "hub"],
  ["Grant", "grant at every bound", { token: ids[4], payeeSeq: MAX48, payerState: hash("a state") }, "hub"],
  ["Voucher", "voucher", { token: ids[3], cumulative: 500_000n, usage: hash("usage"), condition: ZERO }, "alice's vouchers"],
  ["Voucher", "last voucher", { token: ids[3], cumulative: MAX128, usage: ZERO, condition: sha256(hash("a key")) }, "alice's vouchers"],
  ["RedeemAuth", "leave to redeem", { token: ids[0], submitter: address("a helper"), until: 1_800_000_000n }, "bob"],
  ["RedeemAuth", "leave to redeem for ever", { token: ids[3], submitter: address("hub"), until: MAX40 }, "bob"],
  ["ChannelOffer", "offer", { client: address("alice"), asset: NATIVE, epoch: 0, hubAmount: 500n, openingFee: 21n, validUntil: 1_800_000_000n }, "hub"],
  ["ChannelOffer", "offer of a coin", { client: address("bob"), asset: coin, epoch: 4294967295, hubAmount: MAX128, openingFee: 0n, validUntil: MAX40 }, "hub"],
  ["Batch", "batch", { root: hash("a root") }, "hub"],
  ["Batch", "batch of nothing", { root: ZERO }, "hub"],
].map(([type, name, value, signer]) => {
  const digest = digestIn(domain, type, value);
  return { type, name, value: json(value), structHash: structHash(type, value), digest, ...sign(digest, signer) };
});

const receipts = Object.entries(states).map(([name, value]) => ({
  name,
  balances: structHash("Balances", value.balances),
  ops: value.ops.map((op) => structHash("Op", op)),
  opsHash: keccak256(concat(value.ops.map((op) => structHash("Op", op)))),
  digest: digestIn(domain, "State", value),
  attached: json(value.ops.filter((op) => op.kind === 2).map((op) => ({ token: op.token, amount: op.amount }))),
}));

const many = (count, what) => Array.from({ length: count }, (_, i) => hash(`${what} ${i}`));
const trees = [0, 1, 2, 3, 5, 31, 32].map((count) => {
  const list = sorted(many(count, "pending"));
  return { ids: list, ...pendingTree(list) };
});
const batches = [1, 2, 5, 1024].map((count) => {
  const digests = many(count, "digest");
  const { root, proofs } = tree(digests, commutative);
  const shown = count > 5 ? [0, 511, count - 1] : digests.map((_, i) => i);
  return {
    count, digests: count > 5 ? [] : digests, seed: "digest", root,
    proofs: shown.map((index) => ({ index, digest: digests[index], proof: proofs[index] })),
    batchDigest: digestIn(domain, "Batch", { root }), ...sign(digestIn(domain, "Batch", { root }), "hub"),
  };
});

const CURVE = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const wanted = states["state that detaches"];
const right = messages[0];
// The compact form has no room for most high s: their top bit is read as parity. Just above half the order there are some.
const highS = (compactSignature) => concat([Signature.from(compactSignature).r, toBeHex(CURVE - BigInt(Signature.from(compactSignature).s), 32)]);
const leastHighS = (compactSignature) => concat([Signature.from(compactSignature).r, toBeHex(CURVE / 2n + 1n, 32)]);
const threeTree = trees.find((t) => t.ids.length === 3);
const five = batches.find((b) => b.count === 5);
// It leads to its root, and is longer than any proof of a batch of 1024.
const eleven = many(11, "sibling");
const negatives = [
  { name: "high s", reason: "signer", digest: right.digest, signer: right.signer, signature: highS(right.signature) },
  { name: "the least high s", reason: "signature", digest: right.digest, signer: right.signer, signature: leastHighS(right.signature) },
  { name: "wrong domain", reason: "signer", digest: right.digest, signer: right.signer, signature: sign(digestIn(elsewhere, "State", wanted), "alice").signature },
  { name: "wrong type", reason: "signer", digest: digestIn(domain, "Batch", { root: right.structHash }), signer: right.signer, signature: right.signature },
  { name: "tampered field", reason: "signer", digest: digestIn(domain, "State", { ...wanted, seq: 8n }), signer: right.signer, signature: right.signature },
  { name: "r of zero", reason: "signature", digest: right.digest, signer: right.signer, signature: "0x" + "00".repeat(64) },
  { name: "wrong proof", reason: "proof", tree: "pending", id: threeTree.ids[0], index: 0, count: 3, root: threeTree.root, proof: threeTree.proofs[1] },
  { name: "proof of another place", reason: "proof", tree: "pending", id: threeTree.ids[0], index: 1, count: 3, root: threeTree.root, proof: threeTree.proofs[0] },
  { name: "proof too short", reason: "proof", tree: "pending", id: threeTree.ids[0], index: 0, count: 3, root: threeTree.root, proof: threeTree.proofs[0].slice(0, 1) },
  { name: "proof too long", reason: "proof", tree: "pending", id: threeTree.ids[0], index: 0, count: 3, root: threeTree.root, proof: [...threeTree.proofs[0], ZERO] },
  { name: "a node as a leaf", reason: "proof", tree: "pending", id: threeTree.proofs[2][0], index: 0, count: 2, root: threeTree.root, proof: [threeTree.proofs[0][1]] },
  { name: "batch proof of another digest", reason: "proof", tree: "batch", digest: five.digests[0], root: five.root, proof: five.proofs[1].proof },
  { name: "batch proof of eleven", reason: "proof", tree: "batch", digest: five.digests[0], root: eleven.reduce(commutative, five.digests[0]), proof: eleven },
  { name: "seq above 48 bits", reason: "width", seq: (MAX48 + 1n).toString(), truncated: ((MAX48 + 1n) & MAX48).toString() },
];

const prices = [
  [500_000n, 0n], [500_000n, 1n], [500_000n, 1000n], [500_000n, 1001n], [1n, 1n], [1n, 999n], [1n, 1000n], [3n, 333n], [3n, 334n],
  [MAX128, 1000n], [MAX128 / 1000n, 1_000_000n], [MAX128, 1001n], [7n, 86_400_000n],
].map(([pricePerSecond, totalMs]) => {
  const cost = (pricePerSecond * totalMs + 999n) / 1000n;
  return json({ pricePerSecond, totalMs, cost: cost > MAX128 ? null : cost });
});

const channels = [["alice", NATIVE, 0], ["bob", NATIVE, 3], ["alice", coin, 4294967295]].map(([name, asset, epoch]) => ({
  chainId: domain.chainId, contract, client: address(name), asset, epoch, id: channelId(address(name), asset, epoch),
}));

const vectors = {
  about: "Written by generate.mjs with ethers v6. Do not edit.",
  domain: { ...domain, separator: TypedDataEncoder.hashDomain(domain) },
  typeHashes: Object.fromEntries(Object.keys(TYPES).map((type) => [type, id(TypedDataEncoder.from(typesOf(type)).encodeType(type))])),
  encodeTypes: Object.fromEntries(Object.keys(TYPES).map((type) => [type, TypedDataEncoder.from(typesOf(type)).encodeType(type)])),
  channels, messages, receipts, trees, batches, negatives, prices,
  conditions: [{ preimage: hash("a secret"), condition: sha256(hash("a secret")) }],
};
const file = new URL("vectors.json", import.meta.url);
const text = JSON.stringify(vectors, null, 1) + "\n";
if (!process.argv.includes("--check")) {
  writeFileSync(file, text);
} else if (readFileSync(file, "utf8") !== text) {
  console.error("vectors.json is not what ethers says: npm run generate, and read the difference");
  process.exit(1);
} else {
  console.log(`vectors: ${vectors.messages.length} messages, ${vectors.negatives.length} negatives, as ethers has them`);
}
