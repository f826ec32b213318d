#!/usr/bin/env bash
# Runs a judge beside a fresh dev Tangle. usage: with-node.sh BINARY COMMAND…
# The command finds NODE_URL, FAUCET_URL (an address of the faucet's own) and WORK (a directory that goes afterwards).
set -euo pipefail
binary=$(realpath "$1")
shift

WORK=$(mktemp -d)
# No `timeout` in front: $! must be the node itself.
"$binary" testnet up --data-dir "$WORK/ledger" --listen 127.0.0.1:0 --faucet-listen 127.0.0.1:0 --interval 1s --json >"$WORK/node.log" &
node_pid=$!
trap 'kill "$node_pid" 2>/dev/null || true; wait "$node_pid" 2>/dev/null || true; rm -rf "$WORK"' EXIT
for _ in $(seq 100); do
    [ -s "$WORK/node.log" ] && break
    sleep 0.1
done
NODE_URL=$(sed -n 's/.*"node":"\([^"]*\)".*/\1/p' "$WORK/node.log")
FAUCET_URL=$(sed -n 's/.*"faucet":"\([^"]*\)".*/\1/p' "$WORK/node.log")
[ -n "$NODE_URL" ] || { echo "the node did not start"; exit 1; }
export NODE_URL FAUCET_URL WORK
timeout 300 "$@"
