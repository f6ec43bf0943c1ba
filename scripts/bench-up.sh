#!/bin/sh
# Times `agentnet up`, which ends when the fence is proven, against `docker compose up -d` of the same containers and
# networks, by turns, in one run: bare (compose waits for nothing), and as compose/network has it (it waits until the
# proxy is healthy and the gate is in place, as `agentnet up` does).
# Then what the tenth task costs beside nine others, against the first.
#
#   scripts/bench-up.sh [ROUNDS]     ROUNDS=0: only the ten tasks
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/engine.sh
. "$root/scripts/engine.sh"
rounds=${1:-7}
# Two runs on one engine take different names and addresses.
number=$(($$ % 256))
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
    stack down --volumes --timeout 0 >/dev/null 2>&1 || :
    # The rounds were run in it, and no program starts well in a directory that is gone.
    cd /
    rm -rf "$scratch"
    leave_engine
}
agentnet() { (cd "$scratch/bench" && on_engine env AGENTNET_STATE_DIR="$scratch/state" "$AGENTNET_BIN_DIR/agentnet" "$@"); }
compose() { on_engine docker compose --project-name "agentnet-bench-$$" --file "$scratch/compose.yaml" "$@"; }
stack() {
    on_engine env AGENTNET_NET="10.216.$number" AGENTNET_NET6="fd8e:216:$number" AGENTNET_METRICS_PORT=0 \
        docker compose --project-name "agentnet-bench-stack-$$" --file "$root/compose/network/compose.yaml" "$@"
}
trap tidy EXIT
trap 'exit 130' INT TERM

on_engine env AGENTNET_BIN_DIR="$AGENTNET_BIN_DIR" "$root/scripts/images.sh" ${base:+--base "$base"} >/dev/null 2>"$scratch/log" || {
    cat "$scratch/log" >&2
    exit 1
}
git init --quiet "$scratch/bench"
cd "$scratch/bench"
printf 'project = "bench-%s"\n[agent]\ncommand = ["sleep", "infinity"]\n' "$$" >agentnet.toml
mkdir .agentnet
cp "$root/compose/network/whitelist/project.txt" .agentnet/whitelist.txt
git add .
git -c user.name=bench -c user.email=bench@example.org commit --quiet --message Bench

# The same two containers on the same two networks, and nothing that compose would have to wait for: no health check,
# no gate, no order.
cat >"$scratch/compose.yaml" <<YAML
services:
  proxy:
    image: agentnet/proxy:latest
    networks:
      fence: { ipv4_address: 10.215.$number.1, ipv6_address: "fd8e:215:$number::1" }
      egress: {}
    sysctls: { net.ipv4.ip_forward: 0, net.ipv6.conf.all.forwarding: 0, net.ipv4.conf.all.arp_ignore: 1 }
    volumes: ["./bench/.agentnet:/etc/agentnet:ro"]
    environment: { AGENTNET_WHITELIST: /etc/agentnet/whitelist.txt }
    healthcheck: { disable: true }
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
  agent:
    image: agentnet/agent:latest
    command: [sleep, infinity]
    networks:
      fence: { ipv4_address: 10.215.$number.4, ipv6_address: "fd8e:215:$number::4" }
    volumes: ["./bench:/workspace"]
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
networks:
  fence:
    internal: true
    enable_ipv6: true
    driver_opts:
      com.docker.network.bridge.gateway_mode_ipv4: isolated
      com.docker.network.bridge.gateway_mode_ipv6: isolated
    ipam: { config: [{ subnet: 10.215.$number.0/28, ip_range: 10.215.$number.0/30 }, { subnet: "fd8e:215:$number::/64", ip_range: "fd8e:215:$number::/126" }] }
  egress: {}
YAML

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
[ "$rounds" != 0 ] || round=1
while [ "$round" -le "$rounds" ]; do
    ours=$(milliseconds agentnet up bench)
    agentnet down bench >/dev/null 2>&1
    bare=$(milliseconds compose up --detach)
    compose down --volumes --timeout 0 >/dev/null 2>&1
    ready=$(milliseconds stack up --detach)
    stack down --volumes --timeout 0 >/dev/null 2>&1
    [ "$round" = 0 ] || {
        echo "$ours" >>"$scratch/ours"
        echo "$bare" >>"$scratch/bare"
        echo "$ready" >>"$scratch/ready"
        printf 'round %s: agentnet up %5s ms   compose, bare %5s ms   compose/network %5s ms\n' "$round" "$ours" "$bare" "$ready" >&2
    }
    round=$((round + 1))
done

# median FILE: of the lines that are there
median() { sort -n "$1" | awk '{ line[NR] = $1 } END { print line[int((NR + 1) / 2)] }'; }
[ "$rounds" = 0 ] || awk -v ours="$(median "$scratch/ours")" -v bare="$(median "$scratch/bare")" -v ready="$(median "$scratch/ready")" 'BEGIN {
    printf "agentnet up                           median %5d ms, the proof included\n", ours
    printf "docker compose up -d, bare            median %5d ms, ratio %.2f (the aim is 1.30 or less)\n", bare, ours / bare
    printf "docker compose up -d, compose/network median %5d ms, ratio %.2f\n", ready, ours / ready
}'

# Ten tasks of one repository, one after the other, five times: the first and the tenth of each time are compared, so that
# what else the machine does meets both.
time=0
while [ "$time" -le 5 ]; do
    task=1
    while [ "$task" -le 10 ]; do
        took=$(milliseconds agentnet up "t$task")
        [ "$time" = 0 ] || echo "$took" >>"$scratch/place$task"
        task=$((task + 1))
    done
    [ "$time" = 0 ] || {
        listed=$(milliseconds agentnet ls)
        echo "$listed" >>"$scratch/listed"
        printf 'ten tasks, time %s: the first %5s ms   the tenth %5s ms   ls of all ten %5s ms\n' "$time" \
            "$(tail -n 1 "$scratch/place1")" "$(tail -n 1 "$scratch/place10")" "$listed" >&2
    }
    agentnet down --all >/dev/null 2>&1
    time=$((time + 1))
done
awk -v first="$(median "$scratch/place1")" -v tenth="$(median "$scratch/place10")" -v listed="$(median "$scratch/listed")" 'BEGIN {
    printf "agentnet up of the first task         median %5d ms\n", first
    printf "agentnet up of the tenth              median %5d ms, ratio %.2f (the aim is 0.75 to 1.25)\n", tenth, tenth / first
    printf "agentnet ls of ten                    median %5d ms\n", listed
}'
