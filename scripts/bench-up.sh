#!/bin/sh
# Times `agentnet up` against `docker compose up -d` of the same containers and networks, by turns, in one run.
#
#   scripts/bench-up.sh [ROUNDS]
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/engine.sh
. "$root/scripts/engine.sh"
rounds=${1:-7}
: "${AGENTNET_BIN_DIR:?is the directory with the static binaries; type: make bench}"

find_engine
[ -n "$engine" ] || {
    echo "no benchmark: $why_no_engine" >&2
    exit 1
}
scratch=$(mktemp -d)
# shellcheck disable=SC2317 # the trap calls it
tidy() {
    agentnet down --all >/dev/null 2>&1 || :
    compose down --volumes --timeout 0 >/dev/null 2>&1 || :
    rm -rf "$scratch"
    leave_engine
}
agentnet() { (cd "$scratch/bench" && on_engine env AGENTNET_STATE_DIR="$scratch/state" "$AGENTNET_BIN_DIR/agentnet" "$@"); }
compose() {
    on_engine env AGENTNET_NET=10.215.0 AGENTNET_NET6=fd8e:215:0 AGENTNET_METRICS_PORT=0 \
        docker compose --project-name agentnet-bench --file "$root/compose/network/compose.yaml" "$@"
}
trap tidy EXIT
trap 'exit 130' INT TERM

on_engine env AGENTNET_BIN_DIR="$AGENTNET_BIN_DIR" "$root/scripts/images.sh" ${base:+--base "$base"} >/dev/null
git init --quiet "$scratch/bench"
cd "$scratch/bench"
printf 'project = "bench"\n[agent]\ncommand = ["sleep", "infinity"]\n' >agentnet.toml
mkdir .agentnet
cp "$root/compose/network/whitelist/project.txt" .agentnet/whitelist.txt
git add .
git -c user.name=bench -c user.email=bench@example.org commit --quiet --message Bench

# milliseconds CMD…
milliseconds() {
    begin=$(date +%s%N)
    "$@" >"$scratch/log" 2>&1 || {
        cat "$scratch/log" >&2
        exit 1
    }
    echo $((($(date +%s%N) - begin) / 1000000))
}

# The first round warms what there is to warm and is not counted.
round=0
while [ "$round" -le "$rounds" ]; do
    ours=$(milliseconds agentnet up bench)
    agentnet down bench >/dev/null 2>&1
    theirs=$(milliseconds compose up --detach)
    compose down --volumes --timeout 0 >/dev/null 2>&1
    [ "$round" = 0 ] || {
        echo "$ours" >>"$scratch/ours"
        echo "$theirs" >>"$scratch/theirs"
        printf 'round %s: agentnet up %5s ms   docker compose up %5s ms\n' "$round" "$ours" "$theirs" >&2
    }
    round=$((round + 1))
done

median() { sort -n "$1" | sed -n "$(((rounds + 1) / 2))p"; }
ours=$(median "$scratch/ours")
theirs=$(median "$scratch/theirs")
awk -v ours="$ours" -v theirs="$theirs" 'BEGIN {
    printf "agentnet up          median %5d ms (with the proof that it is sealed)\n", ours
    printf "docker compose up -d median %5d ms (the same containers and networks)\n", theirs
    printf "ratio                       %5.2f    (the aim is 1.30 or less)\n", ours / theirs
}'
