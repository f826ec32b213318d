// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// How an ERC-20 contract behaves from some moment on.
enum Manner {
    Plain,
    ReturnsNothing,
    ReturnsFalse,
    Reverts,
    ReturnsTooMuch,
    BurnsGas,
    TakesFee,
    Lies,
    GivesMore,
    CallsBack
}

/// An ERC-20 contract of the worse kind; only what the hub calls.
contract Beast {
    mapping(address holder => uint256) public balanceOf;
    /// Whoever its issuer does not like neither gives nor gets.
    mapping(address holder => bool) public banned;
    Manner public manner;
    address private target;
    bytes private message;
    /// What the call back said.
    bool public backPassed;
    bytes public backSaid;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function ban(address holder, bool banned_) external {
        banned[holder] = banned_;
    }

    function behave(Manner manner_) external {
        manner = manner_;
    }

    function callBack(address target_, bytes calldata message_) external {
        (manner, target, message) = (Manner.CallsBack, target_, message_);
    }

    function transfer(address to, uint256 amount) external {
        move(msg.sender, to, amount);
    }

    /// No allowances: the tests are about the hub, not about whose money this is.
    function transferFrom(address from, address to, uint256 amount) external {
        move(from, to, amount);
    }

    function move(address from, address to, uint256 amount) private {
        if (manner == Manner.Reverts) revert("no");
        if (banned[from] || banned[to]) revert("blacklisted");
        if (manner == Manner.BurnsGas) {
            uint256 burnt = 0;
            while (gasleft() > 1000) ++burnt;
        }
        if (manner == Manner.ReturnsFalse) answer(abi.encode(false));
        if (manner == Manner.Lies) answer(abi.encode(true));
        if (manner == Manner.CallsBack) {
            (backPassed, backSaid) = target.call(message);
        }
        uint256 arrives = amount;
        if (manner == Manner.TakesFee) arrives -= amount / 100;
        if (manner == Manner.GivesMore) arrives += 1;
        balanceOf[from] -= amount;
        balanceOf[to] += arrives;
        if (manner == Manner.ReturnsNothing) answer("");
        if (manner == Manner.ReturnsTooMuch) answer(abi.encodePacked(uint256(1), new bytes(100_000)));
        answer(abi.encode(true));
    }

    function answer(bytes memory data) private pure {
        assembly {
            return(add(data, 32), mload(data))
        }
    }
}
