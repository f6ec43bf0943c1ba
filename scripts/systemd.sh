#!/bin/sh
# Checks packaging/systemd with systemd's own tools, unpacked from packages under target/ (nothing is installed).
# usage: scripts/systemd.sh [PROXY]     with a proxy program it is also started on sockets that systemd passes
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/target/systemd
if [ ! -x "$tools/usr/bin/systemd-analyze" ]; then
    mkdir -p "$tools"
    packages=$(mktemp -d)
    trap 'rm -rf "$packages"' EXIT
    (cd "$packages" && apt-get download systemd libsystemd-shared libsystemd0)
    for package in "$packages"/*.deb; do dpkg -x "$package" "$tools"; done
fi
LD_LIBRARY_PATH=$(find "$tools" -name '*.so*' -path '*/lib/*' -exec dirname {} + | sort -u | tr '\n' ':')
export LD_LIBRARY_PATH

# What the units name has to exist for `verify`; what it is does not matter.
mkdir -p "$tools/etc/systemd/system" "$tools/bin"
cp "$root"/packaging/systemd/agentnet-proxy.* "$tools/etc/systemd/system/"
cp /bin/true "$tools/usr/bin/agentnet-proxy"
cp /bin/kill "$tools/bin/kill"
"$tools/usr/bin/systemd-analyze" verify --root="$tools" --man=no agentnet-proxy.service agentnet-proxy.socket
echo "verify: nothing to say"
# 2.0 of 10 is the border to what systemd calls OK.
"$tools/usr/bin/systemd-analyze" security --offline=true --threshold=20 --no-pager \
    "$root/packaging/systemd/agentnet-proxy.service" | tail -n 1

[ $# -eq 1 ] || exit 0
log=$(mktemp)
"$tools/usr/bin/systemd-socket-activate" -l 127.0.0.1:18888 "$1" --listen 127.0.0.1:18888 --admin off 2>"$log" &
activated=$!
trap 'kill "$activated" 2>/dev/null || true; rm -f "$log"' EXIT
tries=0
until "$1" healthcheck --door 127.0.0.1:18888; do
    tries=$((tries + 1))
    [ "$tries" -lt 50 ] || { cat "$log" >&2; exit 1; }
    sleep 0.1
done
echo "socket activation: the proxy answers on the socket that it was passed"
