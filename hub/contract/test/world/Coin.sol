// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// An ERC-20 contract as most are, for tests of who sends calls: a million for whoever asks.
contract Coin is ERC20("Coin", "COIN") {
    receive() external payable {
        _mint(msg.sender, 1_000_000);
    }
}
