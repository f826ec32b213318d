// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {IFulgurHub} from "./IFulgurHub.sol";
import {Balances, Channel, HubSig, Redemption, RedemptionStatus, Sig, Signed, State, Status, Token} from "./Types.sol";
import {Words} from "./Words.sol";

/// @title What every part of FulgurHub needs: storage, signatures, and how a state becomes the enforced one
abstract contract Base is IFulgurHub, EIP712 {
    using Words for State;
    using Words for Token;

    /// @notice Siblings in the proof of a batch: 1,024 messages behind one signature.
    uint256 public constant BATCH_DEPTH = 10;

    /// @notice Pending tokens of a state: what one transaction can finalise.
    uint256 public constant PENDING = 32;

    /// @notice G: how long a close can be challenged and a redemption argued, in seconds.
    uint40 public immutable GRACE;
    /// @notice How long after its announcement the revocation of a signer takes effect, in seconds.
    uint40 public immutable REVOCATION_DELAY;
    /// @notice The hub's cold key: its on-chain balance is the hub's.
    address public immutable TREASURY;

    mapping(address client => mapping(address asset => Channel)) internal _channels;
    mapping(bytes32 payee => mapping(bytes32 token => Redemption)) internal _redemptions;
    mapping(bytes32 channel => mapping(bytes32 token => uint128)) internal _claims;
    mapping(address party => mapping(address asset => uint128)) internal _balances;
    /// Zero: never announced. The largest number: not revoked. Else when the revocation takes effect.
    mapping(address signer => uint40) internal _signers;
    /// ERC-20 contracts of this deployment; never changed after construction.
    mapping(address asset => bool) internal _assets;

    constructor(address treasury, address signer, uint40 grace, uint40 revocationDelay, address[] memory assets)
        EIP712("FulgurHub", "1")
    {
        TREASURY = treasury;
        GRACE = grace;
        REVOCATION_DELAY = revocationDelay;
        _signers[signer] = type(uint40).max;
        emit SignerAnnounced(signer);
        for (uint256 i = 0; i < assets.length; ++i) {
            _assets[assets[i]] = true;
        }
    }

    /// @notice A channel as it is stored.
    function channelOf(address client, address asset) external view returns (Channel memory) {
        return _channels[client][asset];
    }

    /// @notice A redemption, or the execution of an ON token.
    /// @param payee as the token names it
    function redemptionOf(bytes32 payee, bytes32 token) external view returns (Redemption memory) {
        return _redemptions[payee][token];
    }

    /// @notice The largest amount claimed so far of a token on its payer's channel.
    function claimOf(bytes32 channel, bytes32 token) external view returns (uint128) {
        return _claims[channel][token];
    }

    /// @notice An on-chain balance; the hub's is the treasury's.
    function balanceOf(address party, address asset) external view returns (uint128) {
        return _balances[party][asset];
    }

    /// @notice Until when a signer of the hub counts; zero: it never did.
    function signerUntil(address signer) external view returns (uint40) {
        return _signers[signer];
    }

    /// @notice Whether an ERC-20 contract is one of this deployment's.
    function isAsset(address asset) external view returns (bool) {
        return _assets[asset];
    }

    /// @notice The id of a channel.
    function channelId(address client, address asset, uint32 epoch) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), client, asset, epoch));
    }

    /// @notice The EIP-712 domain separator.
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    function _digest(bytes32 structHash) internal view returns (bytes32) {
        return _hashTypedDataV4(structHash);
    }

    function _recover(bytes32 digest, Sig calldata sig) internal pure returns (address signer) {
        ECDSA.RecoverError fault;
        (signer, fault,) = ECDSA.tryRecover(digest, sig.r, sig.vs);
        require(fault == ECDSA.RecoverError.NoError, BadSignature());
    }

    function _requireSigner(bytes32 digest, Sig calldata sig, address expected) internal pure {
        require(_recover(digest, sig) == expected, BadSignature());
    }

    function _isSigner(address signer) internal view returns (bool) {
        return block.timestamp < _signers[signer];
    }

    /// A hub's signature is of a batch that holds the message's digest.
    function _requireHub(bytes32 structHash, HubSig calldata hub) internal view {
        require(hub.proof.length <= BATCH_DEPTH, BadSignature());
        bytes32 root = Words.batchRoot(_digest(structHash), hub.proof);
        require(_isSigner(_recover(_digest(Words.hashBatch(root)), hub.sig)), BadSignature());
    }

    /// Nothing leaves a channel that it does not hold, so this never underflows.
    function _locked(Channel storage row) internal view returns (uint256) {
        return uint256(row.clientIn) + row.hubIn - row.clientOut - row.hubOut - row.onOut;
    }

    function _pay(address party, address asset, uint128 amount) internal {
        if (amount != 0) {
            _balances[party][asset] += amount;
        }
    }

    function _charge(address party, address asset, uint128 amount) internal {
        uint128 balance = _balances[party][asset];
        require(balance >= amount, Insufficient());
        _balances[party][asset] = balance - amount;
    }

    /// Makes a newer state the enforced one (rules 1 and 2).
    function _enforce(address client, address asset, Channel storage row, Signed calldata signed) internal {
        State calldata state = signed.state;
        (bytes32 channel, bytes32 hash, bytes32 ops) = _requireNewer(client, asset, row, signed, state);
        _keep(channel, row, state, hash, ops);
    }

    /// That a state is newer than the enforced one, signed by both and no more than the chain has seen.
    function _requireNewer(
        address client,
        address asset,
        Channel storage row,
        Signed calldata signed,
        State calldata state
    ) internal view returns (bytes32 channel, bytes32 hash, bytes32 ops) {
        Balances calldata balances = state.balances;
        ops = Words.hash(state.ops);
        hash = Words.hashState(state.channel, state.seq, state.last, Words.hash(balances), ops);
        channel = _requireEnforceable(client, asset, row, state);
        _requireBoth(client, signed, hash);
        _requireCounters(row, balances);
    }

    /// That client and hub have signed a state.
    function _requireBoth(address client, Signed calldata signed, bytes32 hash) internal view {
        _requireSigner(_digest(hash), signed.client, client);
        bytes32 granted = signed.granted;
        _requireHub(granted == 0 ? hash : Words.hashGrant(granted, signed.payeeSeq, hash), signed.hub);
    }

    function _requireEnforceable(address client, address asset, Channel storage row, State calldata state)
        internal
        view
        returns (bytes32 channel)
    {
        Status status = row.status;
        require(status != Status.None, NoChannel());
        require(status == Status.Open || block.timestamp < row.closesAt, TooLate());
        channel = channelId(client, asset, row.epoch);
        require(state.channel == channel, WrongChannel());
        require(state.seq > row.seq, Stale());
    }

    function _keep(bytes32 channel, Channel storage row, State calldata state, bytes32 hash, bytes32 ops) internal {
        row.seq = state.seq;
        row.enforced = hash;
        if (row.status == Status.Closing) {
            emit Challenged(channel, state.seq, state.last, ops, state.balances);
        } else {
            emit Checkpointed(channel, state.seq, state.last, ops, state.balances);
        }
    }

    /// A state is held against the counters it has itself acknowledged, which the chain must have seen.
    function _requireCounters(Channel storage row, Balances calldata b) internal view {
        require(b.clientIn <= row.clientIn && b.hubIn <= row.hubIn && b.onOut <= row.onOut, BadState());
        require(b.pendingCount <= PENDING, BadState());
        uint256 shares = uint256(b.client) + b.hub + b.pending;
        uint256 outs = uint256(b.clientOut) + b.hubOut + b.onOut;
        require(shares + outs == uint256(b.clientIn) + b.hubIn, BadState());
    }

    /// Enforces a state that is newer, or sees that it is enforced already: then its signatures are not looked at.
    function _enforceOrKnow(address client, address asset, Channel storage row, Signed calldata signed) internal {
        if (!_isEnforced(row, signed.state)) {
            _enforce(client, asset, row, signed);
        }
    }

    function _isEnforced(Channel storage row, State calldata state) internal view returns (bool) {
        return row.seq != 0 && row.enforced == state.hash(Words.hash(state.ops));
    }

    /// Whether a redemption is paid: it is when its time has come, whoever writes that down and when.
    function _isCredited(Redemption storage redemption) internal view returns (bool) {
        RedemptionStatus status = redemption.status;
        return status == RedemptionStatus.Credited || status == RedemptionStatus.Pending
            && block.timestamp >= redemption.creditAt;
    }

    /// Ends a channel: the client's part to its balance, the rest to the hub's, and the next epoch begins.
    function _end(address client, address asset, Channel storage row, uint256 toClient) internal {
        uint256 locked = _locked(row);
        uint128 clientPart = uint128(toClient < locked ? toClient : locked);
        uint128 hubPart = uint128(locked - clientPart);
        uint16 epoch = row.epoch;
        bytes32 channel = channelId(client, asset, epoch);
        delete _channels[client][asset];
        row.epoch = epoch + 1;
        _pay(client, asset, clientPart);
        _pay(TREASURY, asset, hubPart);
        emit Finalised(channel, clientPart, hubPart);
    }

    /// The client's part by a state, with what of its pending tokens comes back (rule 2; `payout` in shared/channel): what came in
    /// beyond the state is its own, what it took out beyond what it booked is not. Never below zero.
    function _clientPart(Channel storage row, Balances calldata b, uint256 back) internal view returns (uint256) {
        uint256 part = uint256(b.client) + (row.clientIn - b.clientIn) + b.clientOut + back;
        uint256 out = row.clientOut;
        return part > out ? part - out : 0;
    }
}
