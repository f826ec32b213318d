#!/usr/bin/env bash
# The real npm @iota/sdk-wasm 1.1.3, unpatched: it mines nothing and lets the node finish its blocks. Run by with-node.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)/wasm
[ -d "$here/node_modules/@iota/sdk-wasm" ] || npm ci --prefix "$here" --no-audit --no-fund --silent
cd "$here"
timeout 120 node flow_wasm.js "$NODE_URL" "$FAUCET_URL" >"$WORK/wasm.log" 2>&1 || { cat "$WORK/wasm.log"; exit 1; }
# Each line is a step; a step that failed says so.
if grep -E '^[a-zA-Z ]+ error ' "$WORK/wasm.log"; then
    exit 1
fi
for step in info health block metadata retryUntilIncluded 'block again' 'empty block' addresses faucet value 'value included' 'value metadata'; do
    grep -qE "^$step " "$WORK/wasm.log" || { echo "no step $step:"; cat "$WORK/wasm.log"; exit 1; }
done
grep -E '^value metadata ' "$WORK/wasm.log" | grep -q referencedByMilestone || { cat "$WORK/wasm.log"; exit 1; }
echo "npm @iota/sdk-wasm 1.1.3: blocks and a value transaction pass"
