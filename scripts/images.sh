#!/bin/sh
# Builds the images agentnet/proxy, agentnet/gate, agentnet/agent and agentnet/tools in the engine that DOCKER_HOST names.
#
#   scripts/images.sh [--base IMAGE] [--profile PROFILE] [--prefix PREFIX] [proxy] [gate] [agent] [tools]
#
# --base IMAGE       what agentnet/agent and agentnet/tools start from (default: the Dockerfiles')
# --profile PROFILE  cargo profile of the two binaries (default: image; dev builds faster and is larger)
#                    AGENTNET_BIN_DIR names a directory that has them: nothing is compiled then
# --prefix PREFIX    instead of `agentnet` in the images' names
# No names: all four. Progress goes to stderr; the tags that were built, to stdout.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
base=
profile=image
prefix=agentnet
images=

usage() {
    sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --base | --profile | --prefix)
        [ $# -ge 2 ] || usage
        case $1 in
        --base) base=$2 ;;
        --profile) profile=$2 ;;
        --prefix) prefix=$2 ;;
        esac
        shift 2
        ;;
    proxy | gate | agent | tools)
        images="$images $1"
        shift
        ;;
    *) usage ;;
    esac
done
images=${images:-proxy gate agent tools}

say() { printf 'images: %s\n' "$*" >&2; }

# The two programs that run inside containers link everything statically: the proxy's image is empty but for it, and
# the gate must run in any image at all.
static_target=$(uname -m)-unknown-linux-gnu
build_binaries() {
    [ -z "${AGENTNET_BIN_DIR:-}" ] || return 0
    packages=
    for image in $images; do
        case $image in proxy | gate) packages="$packages --package agentnet-$image" ;; esac
    done
    [ -n "$packages" ] || return 0
    say "building the static binaries ($profile profile)"
    # shellcheck disable=SC2086 # a list of flags
    (cd "$root" && RUSTFLAGS='-C target-feature=+crt-static' \
        cargo build --locked --profile "$profile" --target "$static_target" $packages >&2)
}

binaries=${CARGO_TARGET_DIR:-$root/target}/$static_target/$profile
[ "$profile" != dev ] || binaries=${CARGO_TARGET_DIR:-$root/target}/$static_target/debug
binaries=${AGENTNET_BIN_DIR:-$binaries}

revision=$(git -C "$root" rev-parse HEAD 2>/dev/null) || revision=unknown
seconds=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)}
created=$(date -u -d "@$seconds" +%Y-%m-%dT%H:%M:%SZ)
version=$(sed -n '/^\[workspace\.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$root/Cargo.toml")

# build IMAGE CONTEXT [ARGS…]: with buildx where the client has it, else with the classic builder.
build() {
    image=$1
    context=$2
    shift 2
    say "building $prefix/$image"
    docker build --build-arg VERSION="$version" --build-arg REVISION="$revision" --build-arg CREATED="$created" \
        --tag "$prefix/$image:$version" --tag "$prefix/$image:latest" "$@" "$context" >&2
    echo "$prefix/$image:$version"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

build_binaries
for image in $images; do
    context=$scratch/$image
    mkdir -p "$context"
    cp "$root/images/$image/"* "$context/"
    case $image in
    proxy)
        install -m 755 "$binaries/agentnet-proxy" "$context/"
        mkdir "$context/run" "$context/bin"
        ln -s /agentnet-proxy "$context/bin/tinyproxy"
        build proxy "$context"
        ;;
    gate)
        install -m 755 "$binaries/agentnet-gate" "$context/"
        mkdir "$context/bin"
        install -m 755 "$context/notify.sh" "$context/bin/"
        ln -s agentnet-gate "$context/bin/agentnet-notify"
        build gate "$context"
        ;;
    # The classic builder runs every stage that stands before its target.
    agent) build agent "$context" --target minimal ${base:+--build-arg "BASE=$base"} ;;
    tools) build tools "$context" ${base:+--build-arg "BASE=$base"} ;;
    esac
done
