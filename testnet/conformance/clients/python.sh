#!/usr/bin/env bash
# The real Python iota-sdk 1.1.4, unpatched, against the dev Tangle. usage: python.sh BINARY
set -euo pipefail
binary=$(realpath "$1")
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

work=$(mktemp -d)
# No `timeout` in front: $! must be the node itself.
"$binary" testnet up --memory --listen 127.0.0.1:0 --interval 1s --json >"$work/node.log" &
node_pid=$!
trap 'kill "$node_pid" 2>/dev/null || true; wait "$node_pid" 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 100); do
    [ -s "$work/node.log" ] && break
    sleep 0.1
done
url=$(sed -n 's/.*"node":"\([^"]*\)".*/\1/p' "$work/node.log")
[ -n "$url" ] || { echo "the node did not start"; exit 1; }

# flow NAME [LAST]: runs to its end, or to the one error that is expected as its last line.
flow() {
    local status=0
    timeout 120 "$venv/bin/python" "$here/flow_client.py" "$url" "$url" "$1" >"$work/$1.log" 2>&1 || status=$?
    if [ -n "${2:-}" ]; then
        [ "$status" = 1 ] && tail -n 1 "$work/$1.log" | grep -qF -- "$2" || { echo "flow $1 ended in another way:"; cat "$work/$1.log"; exit 1; }
    elif [ "$status" != 0 ]; then
        echo "flow $1 failed:"
        cat "$work/$1.log"
        exit 1
    fi
}
expect() {
    grep -qE -- "$2" "$work/$1.log" || { echo "flow $1 does not print /$2/:"; cat "$work/$1.log"; exit 1; }
}

flow client_block
expect client_block '^tarefa-testnet True \['
expect client_block '^0x[0-9a-f]{64} True$'
expect client_block '^error: .*(404|not found|NotFound)'
[ "$(grep -c '^error:' "$work/client_block.log")" = 3 ] || { echo "three unknown things must be errors"; exit 1; }

# The last line of this flow asks the faucet for a nonsense address, which the SDK refuses by itself, without any
# request: it did the same with the recorded HORNET. Everything before it must have gone through.
flow client_value 'ValueError: invalid address provided'
expect client_value '100000000000 False$'
expect client_value '^included$'
expect client_value '"waitingRequests":1'
# The nonce is whichever of the SDK's miner threads came first.
expect client_value '^0x[0-9a-f]{64} [0-9]+ 0x[0-9a-f]{64}$'
echo "python iota-sdk 1.1.4: client_block and client_value pass"
