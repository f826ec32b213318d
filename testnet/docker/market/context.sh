#!/usr/bin/env bash
# Gathers what the image needs: the binary and the libraries it is linked with. usage: context.sh BINARY DIRECTORY
set -euo pipefail
binary=$1
root=$2/root
mkdir -p "$root/data" "$root/tmp"
chmod 1777 "$root/tmp"
install -m 755 "$binary" "$root/tarefa"
ldd "$binary" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done
cp "$(dirname "$0")/Dockerfile" "$2/"
