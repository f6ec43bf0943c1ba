# shellcheck shell=sh
# Sourced by the scripts beside it: which engine to use, and how to run things on its host.
#
# find_engine sets `engine` (own, docker28 or empty), `why_no_engine`, and `base` (what the agent's image starts from,
# empty for the Dockerfile's own). `on_engine CMD…` runs CMD where the engine's host is. The user's own engine is used
# as it is; only where none answers, and we are root on a Debian family, one is unpacked and started (and stopped by
# `leave_engine` if it did not run before).

# shellcheck disable=SC2154 # set by whoever sources this
engines=$root/tests/engine/engines.sh
engine=
base=
why_no_engine=
started=

find_engine() {
    if command -v docker >/dev/null && docker version >/dev/null 2>&1; then
        engine=own
        return
    fi
    case $("$engines" status 2>/dev/null) in
    *'docker28 running'*) ;;
    *) started=docker28 ;;
    esac
    said=$(mktemp)
    if tell "$said" "$engines" up docker28 && tell "$said" "$engines" base-image docker28; then
        engine=docker28
        # shellcheck disable=SC2034 # for whoever sourced this
        base=agentnet-test-base
    else
        # shellcheck disable=SC2034
        why_no_engine=$(tail -n 1 "$said" | sed 's,^engines: ,,')
        started=
    fi
    rm -f "$said"
}

# tell FILE CMD…: runs CMD; what it says goes to stderr, and to FILE for a last word.
tell() {
    file=$1
    shift
    { "$@" 2>&1 >/dev/null && echo yes >"$file.ok"; } | tee "$file" >&2
    [ -e "$file.ok" ] && rm "$file.ok"
}

on_engine() {
    case $engine in
    own) "$@" ;;
    *) "$engines" exec "$engine" -- "$@" ;;
    esac
}

leave_engine() {
    [ -z "$started" ] || "$engines" down "$started" >&2
}
