#!/bin/sh
# Runs the end-to-end tests; the last lines say what could not run here, and why.
#
#   scripts/e2e.sh [ARGUMENTS OF THE TEST PROGRAM…]
#
# Engines that were unpacked and started for the tests are stopped again; one that ran before goes on running.
# AGENTNET_REQUIRE_ENGINE=1 makes a test that cannot run a failure.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
engines=$root/tests/engine/engines.sh

before=$("$engines" status)
AGENTNET_SKIPPED=$(mktemp)
export AGENTNET_SKIPPED

# shellcheck disable=SC2317 # the trap calls it
tidy() {
    for name in docker28 docker20 docker28-remap podman rootless; do
        case $before in
        *"$name running"*) ;;
        *) [ ! -e "$root/target/engines/$name/run" ] || "$engines" down "$name" ;;
        esac
    done
}
trap 'tidy; rm -f "$AGENTNET_SKIPPED"' EXIT
trap 'exit 130' INT TERM

# By their names in the whole workspace, not by their package: cargo would build every dependency anew for the fewer
# features that the package alone wants.
programs=
for program in "$root"/tests/tests/*; do
    programs="$programs --test $(basename "$program" .rs)"
done

# These tests wait more than they compute. More than eight at once would want more networks than an engine has.
threads=$(($(nproc) * 2))
: "${RUST_TEST_THREADS:=$((threads < 8 ? threads : 8))}"
export RUST_TEST_THREADS

status=0
# shellcheck disable=SC2086 # words
(cd "$root" && cargo test --locked --workspace $programs -- "$@") || status=$?

# The summary is the last thing that is said.
tidy
trap 'rm -f "$AGENTNET_SKIPPED"' EXIT

if [ -s "$AGENTNET_SKIPPED" ]; then
    count=$(cut -f 1 "$AGENTNET_SKIPPED" | sort -u | wc -l)
    printf '\n%s end-to-end tests could not run here:\n' "$count"
    cut -f 2 "$AGENTNET_SKIPPED" | sort | uniq -c | sed 's/^ *\([0-9]*\) /  \1 × /'
else
    printf '\nAll end-to-end tests could run here.\n'
fi
exit "$status"
