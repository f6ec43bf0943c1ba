#!/bin/sh
# What only a while shows, round after round: the proxy's reloads and restarts under load; the bridge's kills, full disk, floods
# and a million swaps of links against its reader. Needs no engine. The first failure ends it.
#
#   scripts/soak.sh [MINUTES]     no round begins later than that; one round is always done (10 by default)
set -eu

minutes=${1:-10}
case $minutes in
'' | *[!0-9]*)
    printf 'soak: %s is no number of minutes; try: make soak MINUTES=10\n' "$minutes" >&2
    exit 2
    ;;
esac
cd "$(dirname -- "$0")/.."

# Compiled first: the minutes are for the work.
cargo test --locked --quiet --no-run -p agentnet-proxy --test soak
cargo test --locked --quiet --no-run -p agentnet-notify --test watch
cargo bench --locked --quiet --no-run -p agentnet-notify --bench bridge

end=$(($(date +%s) + minutes * 60))
round=0
while [ "$round" -eq 0 ] || [ "$(date +%s)" -lt "$end" ]; do
    round=$((round + 1))
    printf '\nsoak: round %s\n' "$round"
    cargo test --locked --quiet -p agentnet-proxy --test soak -- --nocapture
    cargo test --locked --quiet -p agentnet-notify --test watch
    cargo bench --locked --quiet -p agentnet-notify --bench bridge -- races 1000000
    cargo bench --locked --quiet -p agentnet-notify --bench bridge -- flood
done
printf '\nsoak: %s rounds, and nothing failed\n' "$round"
