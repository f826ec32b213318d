#!/usr/bin/env bash
# The Go judge. Run by with-node.sh.
set -euo pipefail
cd "$(dirname "$0")/go"
go build -o "$WORK/judge" .
timeout 120 "$WORK/judge" "$NODE_URL" "$FAUCET_URL"
