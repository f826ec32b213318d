// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";

import {Base} from "./Base.sol";
import {Endings} from "./Endings.sol";
import {Money} from "./Money.sol";
import {States} from "./States.sol";

/// @title FulgurHub: inextinguishable payment channels with one hub
/// @notice Holds the money of channels between clients and a hub, and pays by the newest state that both have signed. The protocol is
/// described in docs/protocol/channel.md; `shared/channel` has the same contract as a Rust value. Nobody owns it, and nothing of it can
/// be changed after construction but the hub's signers.
contract FulgurHub is Money, States, Endings, Multicall {
    /// @param treasury the hub's cold key
    /// @param signer the hub's first signer
    /// @param grace G, in seconds
    /// @param revocationDelay how long a revocation is announced before it takes effect, in seconds
    /// @param assets the ERC-20 contracts there can be channels in, beside the native asset
    constructor(address treasury, address signer, uint40 grace, uint40 revocationDelay, address[] memory assets)
        Base(treasury, signer, grace, revocationDelay, assets)
    {}
}
