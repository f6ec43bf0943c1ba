#!/bin/sh
# agentnet-proxy beside the packaged Tinyproxy and Squid, on loopback, side by side in one run (about a minute).
#
#   scripts/bench-peers.sh
#
# Figures are ratios within a round, with their spread. AGENTNET_BIN_DIR names the directory of the binary to measure
# (`make bench` sets it to the one that the image carries); without it a debug build is measured, which says nothing.
set -eu

cd "$(dirname -- "$0")/.."
[ -n "${AGENTNET_BIN_DIR:-}" ] || echo "bench-peers: AGENTNET_BIN_DIR is not set: this measures a debug build" >&2
exec cargo bench --quiet --locked --package agentnet-e2e --bench peers
