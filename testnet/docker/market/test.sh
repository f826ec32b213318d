#!/usr/bin/env bash
# Builds the image, runs the market as containers, looks at the result and at who reaches whom. usage: test.sh BINARY
# Installs and starts Docker's engine where there is none and this is root on Debian; stops it again.
set -euo pipefail
binary=$(realpath "$1")
cd "$(dirname "$0")"

work=$(mktemp -d)
engine=
project=tarefa-test-$$
compose() { timeout 300 docker-compose -p "$project" -f docker-compose.yml "$@"; }
cleanup() {
    compose down -v --timeout 5 >/dev/null 2>&1 || true
    if [ -n "$engine" ]; then kill "$engine" 2>/dev/null || true; wait "$engine" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap cleanup EXIT

if ! command -v dockerd >/dev/null || ! command -v docker-compose >/dev/null; then
    apt-get update -qq && apt-get install -y -qq docker.io docker-compose iptables >/dev/null
fi
if ! docker info >/dev/null 2>&1; then
    dockerd --data-root "$work/docker" --exec-root "$work/exec" --pidfile "$work/pid" >"$work/dockerd.log" 2>&1 &
    engine=$!
    for _ in $(seq 60); do
        docker info >/dev/null 2>&1 && break
        sleep 1
    done
    docker info >/dev/null 2>&1 || { echo "Docker's engine does not start:"; tail -n 5 "$work/dockerd.log"; exit 1; }
fi

"$binary" testnet up --docker --prepare --data-dir "$work/official" --json >/dev/null
(cd "$work/official" && docker-compose --profile faucet --profile genesis config -q)
echo "official private Tangle: linted"

./context.sh "$binary" "$work/context"
docker build -q -t tarefa:test "$work/context" >/dev/null
compose up -d tangle executor
compose up --exit-code-from submitter --no-log-prefix submitter 2>&1 | tee "$work/log" || { compose logs executor | tail -n 20; exit 1; }
grep -q 9592 "$work/log" || { echo "the number of primes below 100000 is missing"; exit 1; }

members() { docker network inspect -f '{{range .Containers}}{{.Name}} {{end}}' "${project}_$1"; }
echo "executors: $(members executors)"
case "$(members executors)" in *submitter* | *funds*) echo "the submitter is on the executor's network"; exit 1 ;; esac
# The node is reached by its name on the submitters' network, and not by its address on the executors': the two are apart.
tangle=$(compose ps -q tangle)
address=$(docker inspect -f "{{(index .NetworkSettings.Networks \"${project}_executors\").IPAddress}}" "$tangle")
reach() { compose run --rm --no-deps "$1" testnet ping --node "$2" >/dev/null 2>&1; }
reach submitter http://tangle:14265 || { echo "the submitter does not reach the Tangle"; exit 1; }
reach executor "http://$address:14265" || { echo "the executor does not reach the Tangle"; exit 1; }
if reach submitter "http://$address:14265"; then echo "the submitter reaches into the executors' network"; exit 1; fi
echo "market in containers: task run and paid, executor and submitter reach only the Tangle"
