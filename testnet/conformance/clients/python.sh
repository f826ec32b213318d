#!/usr/bin/env bash
# The real Python iota-sdk 1.1.4, unpatched: client and wallet. Run by with-node.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
venv="$root/.venv"

if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
fi
have() {
    "$venv/bin/python" -c 'import iota_sdk, importlib.metadata as m; assert m.version("iota-sdk") == "1.1.4"' 2>/dev/null
}
have || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input 'iota-sdk==1.1.4'

# flow NAME SCRIPT ARGUMENTS…: runs to its end, or to the one error that LAST names as its last line.
flow() {
    local name=$1 script=$2 status=0
    shift 2
    timeout 120 "$venv/bin/python" "$here/$script" "$NODE_URL" "$FAUCET_URL" "$@" >"$WORK/$name.log" 2>&1 || status=$?
    if [ -n "${LAST:-}" ]; then
        [ "$status" = 1 ] && tail -n 1 "$WORK/$name.log" | grep -qF -- "$LAST" || { echo "flow $name ended in another way:"; cat "$WORK/$name.log"; exit 1; }
    elif [ "$status" != 0 ]; then
        echo "flow $name failed:"
        cat "$WORK/$name.log"
        exit 1
    fi
}
expect() {
    grep -qE -- "$2" "$WORK/$1.log" || { echo "flow $1 does not print /$2/:"; cat "$WORK/$1.log"; exit 1; }
}

flow client_block flow_client.py client_block
expect client_block '^tarefa-testnet True \['
expect client_block '^0x[0-9a-f]{64} True$'
expect client_block '^error: .*(404|not found|NotFound)'
[ "$(grep -c '^error:' "$WORK/client_block.log")" = 3 ] || { echo "three unknown things must be errors"; exit 1; }

# The last line of this flow asks the faucet for a nonsense address, which the SDK refuses by itself, without any
# request: it did the same with the recorded HORNET. Everything before it must have gone through.
LAST='ValueError: invalid address provided' flow client_value flow_client.py client_value
expect client_value '100000000000 False$'
expect client_value '^included$'
expect client_value '"waitingRequests":1'
# The nonce is whichever of the SDK's miner threads came first.
expect client_value '^0x[0-9a-f]{64} [0-9]+ 0x[0-9a-f]{64}$'

flow wallet flow_wallet.py "$WORK/wallet"
for step in send 'send with params' 'send below the storage deposit \(sdr, expiration\)' 'mint nft' 'create alias' 'create native token' consolidate; do
    expect wallet "^$step 0x[0-9a-f]{64} 0x[0-9a-f]{64} [0-9]+\$"
done
expect wallet '^end [0-9]+ 1 1 1$'
echo "python iota-sdk 1.1.4: client_block, client_value and the wallet (send, NFT, alias, native token, consolidate) pass"
