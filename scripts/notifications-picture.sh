#!/bin/sh
# Takes docs/notifications.png: the bridge, dunst and its menu on a screen that nobody sees, unpacked from packages.
# usage: scripts/notifications-picture.sh [FILE]
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
file=${1:-$root/docs/notifications.png}
cd "$root"
exec cargo run --quiet --locked --package agentnet-e2e --example notifications -- picture "$file"
