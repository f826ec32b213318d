// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base} from "./Base.sol";
import {AttachToken, Channel, ON, Redemption, RedemptionStatus, Signed, State, Status, Token} from "./Types.sol";
import {Words} from "./Words.sol";

/// @title States become the enforced one: close, challenge, hot withdrawal, ON tokens, the last state
abstract contract States is Base {
    using Words for State;
    using Words for Token;

    /// @notice Starts the closing of a channel at the enforced state. Client or hub only.
    function close(address client, address asset) external {
        _beginClosing(client, asset, _requireCloser(client, asset));
    }

    /// @notice Starts the closing of a channel at a newer state. One that is not newer is passed over, so that nobody holds up a
    /// close by enforcing its state first.
    function close(address client, address asset, Signed calldata signed) external {
        Channel storage row = _requireCloser(client, asset);
        if (signed.state.seq > row.seq) {
            _enforce(client, asset, row, signed);
        }
        _beginClosing(client, asset, row);
    }

    function _requireCloser(address client, address asset) private view returns (Channel storage row) {
        row = _channels[client][asset];
        require(msg.sender == client || msg.sender == TREASURY || _isSigner(msg.sender), NotAllowed());
        require(row.status == Status.Open, NotOpen());
    }

    function _beginClosing(address client, address asset, Channel storage row) private {
        uint40 closesAt = uint40(block.timestamp) + GRACE;
        row.status = Status.Closing;
        row.closesAt = closesAt;
        emit WalletClosed(channelId(client, asset, row.epoch), msg.sender, closesAt);
    }

    /// @notice Enforces a newer state: challenges a close, or binds an open channel to it.
    function argueClosure(address client, address asset, Signed calldata signed) external {
        _enforce(client, asset, _channels[client][asset], signed);
    }

    /// @notice Ends the redemptions of tokens whose payee sequences a state has consumed: those that are under way and not credited yet.
    /// Others are passed over. A newer state is enforced; an older one shows as well what both have signed, as consumed sequences stay
    /// consumed: so nobody holds this up by enforcing the next state first.
    function argueRedemptionToken(address client, address asset, Signed calldata signed, Token[] calldata tokens)
        external
    {
        Channel storage row = _channels[client][asset];
        bytes32 channel = signed.state.channel;
        if (signed.state.seq > row.seq) {
            _enforce(client, asset, row, signed);
        } else if (!_isEnforced(row, signed.state)) {
            require(channel == channelId(client, asset, row.epoch), WrongChannel());
            _requireBoth(client, signed, signed.state.hash(Words.hash(signed.state.ops)));
        }
        for (uint256 i = 0; i < tokens.length; ++i) {
            require(tokens[i].payee == channel, WrongChannel());
            bytes32 id = tokens[i].hash();
            Redemption storage redemption = _redemptions[channel][id];
            bool pending = redemption.status == RedemptionStatus.Pending && block.timestamp < redemption.creditAt;
            // What is over already is passed over: else defeating one of them first would save all the others.
            if (pending && Words.holds(signed.state.balances, redemption.payeeSeq)) {
                redemption.status = RedemptionStatus.Void;
                row.redeeming -= 1;
                emit RedemptionVoided(channel, id);
            }
        }
    }

    /// @notice A hot withdrawal: enforces a state (or names the enforced one) and pays what it has booked out and the contract has
    /// not carried out yet, to on-chain balances. Again, it pays nothing.
    function attachToken(address client, address asset, Signed calldata signed) external {
        Channel storage row = _channels[client][asset];
        _enforceOrKnow(client, asset, row, signed);
        uint128 clientOut = signed.state.balances.clientOut;
        uint128 hubOut = signed.state.balances.hubOut;
        uint128 toClient = clientOut > row.clientOut ? clientOut - row.clientOut : 0;
        uint128 toHub = hubOut > row.hubOut ? hubOut - row.hubOut : 0;
        require(uint256(toClient) + toHub <= _locked(row), Insufficient());
        row.clientOut += toClient;
        row.hubOut += toHub;
        _pay(client, asset, toClient);
        _pay(TREASURY, asset, toHub);
        emit TokenAttached(signed.state.channel, row.clientOut, row.hubOut);
    }

    /// @notice Pays an ON token to its payee's on-chain balance, before redeemBy. The token must be pending in the state that is
    /// enforced afterwards: a newer one that has settled or refunded it shuts the door.
    function attachToken(AttachToken calldata a) external {
        Channel storage row = _channels[a.client][a.asset];
        require(row.status != Status.None, NoChannel());
        require(a.token.kind == ON && uint256(a.token.payee) <= type(uint160).max, WrongKind());
        require(a.token.payerChannel == channelId(a.client, a.asset, row.epoch), WrongChannel());
        require(block.timestamp < a.token.redeemBy, TooLate());
        bytes32 id = a.token.hash();
        Redemption storage redemption = _redemptions[a.token.payee][id];
        require(redemption.status == RedemptionStatus.None, AlreadyDone());
        _requireGranted(a, id, row);
        bytes32 root = a.state.balances.pendingRoot;
        require(Words.isPending(root, id, a.index, a.state.balances.pendingCount, a.proof), BadProof());
        uint128 value = a.token.value;
        require(value <= _locked(row), Insufficient());
        row.onOut += value;
        address payee = address(uint160(uint256(a.token.payee)));
        redemption.amount = value;
        redemption.creditAt = uint40(block.timestamp);
        redemption.payeeSeq = a.payeeSeq;
        redemption.status = RedemptionStatus.Executed;
        _pay(payee, a.asset, value);
        emit TokenExecuted(a.token.payerChannel, id, payee, value);
    }

    /// The grant counts as the hub's signature on the payer's state it names; where that state, or a newer one, is enforced
    /// already, it counts for the token alone.
    function _requireGranted(AttachToken calldata a, bytes32 id, Channel storage row) private {
        if (_isEnforced(row, a.state)) {
            _requireHub(Words.hashGrant(id, a.payeeSeq, a.payerState), a.hub);
            return;
        }
        bytes32 ops = Words.hash(a.state.ops);
        bytes32 hash = a.state.hash(ops);
        bytes32 channel = _requireEnforceable(a.client, a.asset, row, a.state);
        _requireSigner(_digest(hash), a.payer, a.client);
        _requireHub(Words.hashGrant(id, a.payeeSeq, hash), a.hub);
        _requireCounters(row, a.state.balances);
        _keep(channel, row, a.state, hash, ops);
    }

    /// @notice Ends a channel at once by its last state, open or closing. Not while redemptions are under way.
    function closeLast(address client, address asset, Signed calldata signed) external {
        Channel storage row = _channels[client][asset];
        State calldata state = signed.state;
        require(row.status != Status.None, NoChannel());
        require(state.last && state.balances.pendingCount == 0 && state.balances.pending == 0, NotLast());
        require(row.redeeming == 0, RedemptionsPending());
        if (!_isEnforced(row, state)) {
            // Both have signed that there is no higher one: no window has to pass.
            row.status = Status.Open;
            _requireNewer(client, asset, row, signed, state);
        }
        _end(client, asset, row, _clientPart(row, state.balances, 0));
    }
}
