#!/usr/bin/env bash
# The explorer in the system's Chromium, over a market that has run. Started by with-node.sh with TAREFA set.
set -euo pipefail
cd "$(dirname "$0")/../../explorer/test"
CHROMIUM=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
export CHROMIUM
[ -d node_modules/playwright-core ] || npm ci --no-audit --no-fund --silent
"$TAREFA" demo --node "$NODE_URL" --faucet "$FAUCET_URL" --data-dir "$WORK/demo" --json >"$WORK/demo.log"
node explorer.js
if [ -n "${PICTURES:-}" ]; then cp "$WORK"/explorer-*.png "$PICTURES"; fi
