#!/usr/bin/env bash
# The contract: pinned tools, every forge test, coverage, gas, and the committed artifact rebuilt bit for bit.
set -euo pipefail
cd "$(dirname "$0")"
npm ci --no-audit --no-fund --silent
# The package's own on Linux (its wrapper wants all platforms in the lock file), else the one that is installed.
forge=node_modules/@foundry-rs/forge-linux-amd64/bin/forge
[ -x "$forge" ] || forge=forge
"$forge" test --summary --no-match-contract GasTest
# What transactions cost, as whole ones: any drift from snapshots/gas.json fails.
FORGE_SNAPSHOT_CHECK=true "$forge" test --isolate --match-contract GasTest
# No forge test needs it: the daemons' tests do.
"$forge" build test/world/Coin.sol >/dev/null
node artifact.mjs --check
# Every guard is one that the last mutation run has taken away (`node mutate.mjs`, a quarter of an hour).
node mutate.mjs --check
trap 'rm -f lcov.info' EXIT
"$forge" coverage --ir-minimum --no-match-path 'test/{Invariants,Gas}.t.sol' --report lcov >/dev/null
node coverage.mjs
