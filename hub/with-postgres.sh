#!/usr/bin/env bash
# Runs a command with a PostgreSQL of its own on a free loopback port: HUB_POSTGRES is its address,
# HUB_POSTGRES_DATA its directory, HUB_POSTGRES_START the command that starts it again.
# The server keeps its promise to the disk (fsync is on), and is gone with the command. As root it runs as the system's user postgres.
set -euo pipefail

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -x "$bin/initdb" ] || { echo "PostgreSQL is missing: apt-get install postgresql"; exit 1; }
dir=$(mktemp -d)
as=()
if [ "$(id -u)" = 0 ]; then
    chown postgres "$dir"
    as=(setpriv "--reuid=$(id -u postgres)" "--regid=$(id -g postgres)" --clear-groups env "HOME=$dir")
fi
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
stop() {
    "${as[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$dir"
}
trap stop EXIT
"${as[@]}" "$bin/initdb" -D "$dir/data" -A trust -U hub --no-instructions >/dev/null
start() {
    "${as[@]}" "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$dir" start >/dev/null
}
start
export HUB_POSTGRES=postgres://hub@127.0.0.1:$port/postgres
# For tests that kill the server: the command that brings it back.
export HUB_POSTGRES_DATA=$dir/data
cat > "$dir/again" <<EOF
#!/bin/sh
exec ${as[@]+"${as[@]}"} "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$dir" start >/dev/null
EOF
chmod +x "$dir/again"
chmod 755 "$dir"
export HUB_POSTGRES_START=$dir/again
"$@"
