#!/bin/sh
# Container engines for the tests and the demo, unpacked from Debian packages and started by hand.
#
# Nothing is installed and nothing of the machine's is changed: programs, sockets, images and logs live under
# target/engines/, and every engine has a network namespace of its own, so its bridges, its firewall rules and its
# ip_forward are not the machine's. Its way out is slirp4netns, an ordinary process of ours.
#
#   engines.sh up NAME…            start these engines; prints DOCKER_HOST of each
#   engines.sh down NAME…          end what `up` started, and only that
#   engines.sh base-image NAME…    build agentnet-test-base once and import it into these engines
#   engines.sh env NAME            shell lines that point a docker client at the engine
#   engines.sh exec NAME -- CMD…   run CMD on the engine's host: in its network namespace, with the env above
#   engines.sh status              what runs
#
# NAME is docker28, docker20, docker28-remap (the programs of docker28 with userns-remap), podman (Podman as root),
# rootless (Podman as a user without any rights) or all. AGENTNET_ENGINES_DIR moves the state elsewhere.
# Needs: root, a Debian-family machine with apt, dpkg, ip, nsenter, unshare, setpriv, flock, perl.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
state=${AGENTNET_ENGINES_DIR:-$(CDPATH='' cd -- "$here/../.." && pwd)/target/engines}
engines="docker28 docker20 docker28-remap podman rootless"
base_image=agentnet-test-base
mapped_user=nobody:nogroup

# The suites: the engine below the fence's version comes from where the machine's own packages come from.
old_suite=bookworm
new_suite=forky
tool_packages="runc iptables slirp4netns mmdebstrap tini"
# What the tools link to. A library is used from here only where the machine has none of that name.
library_packages="libip4tc2 libip6tc2 libxtables12 libnftnl11 libmnl0 libnfnetlink0 libnetfilter-conntrack3 libslirp0
  libseccomp2 libdevmapper1.02.1 libglib2.0-0 libpcre2-8-0"
docker28_packages="docker.io docker-cli docker-compose docker-buildx containerd"
docker20_packages="docker.io containerd"
base_packages="bash busybox curl wget git python3 python3-pip python3-venv openssl ca-certificates iproute2 iputils-ping
  procps netcat-openbsd openssh-client openssh-server socat jq less patch
  nodejs python3-requests python3-httpx openjdk-17-jre-headless"

# The public and metadata addresses that `agentnet-gate verify` tries; each engine's host has them itself.
public_stand_ins="1.1.1.1/32 8.8.8.8/32 9.9.9.9/32 140.82.112.3/32 2606:4700:4700::1111/128 2001:4860:4860::8888/128
  169.254.169.254/32 169.254.170.2/32 169.254.170.23/32 169.254.42.42/32 169.254.0.23/32 100.100.100.200/32
  168.63.129.16/32 192.0.0.192/32 192.168.65.7/32"

say() { printf 'engines: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# shellcheck source=tests/packages.sh
. "$here/../packages.sh"
# shellcheck source=tests/engine/podman.sh
. "$here/podman.sh"

# Only root on a Debian family can do any of this; say which of the two is missing.
require_machine() {
    [ "$(id -u)" = 0 ] || fail "an engine can only be unpacked and started by root"
    for tool in apt-get apt-config dpkg ip nsenter unshare flock perl setsid setpriv; do
        command -v "$tool" >/dev/null || fail "an engine can only be unpacked where there is $tool (a Debian family)"
    done
}

# One `up`, `down` or `base-image` at a time. Daemons are started with descriptor 9 closed.
take_lock() {
    mkdir -p "$state"
    exec 9>"$state/lock"
    flock -n 9 || {
        say "waiting for another engines.sh"
        flock 9
    }
}

# --- packages ---------------------------------------------------------------------------------------------------

# shellcheck disable=SC2086 # package lists are split on purpose
unpack_tools() {
    prepare_apt $old_suite "$(machine_keys)"
    unpack "$state/keyring" $old_suite debian-archive-keyring
    prepare_apt $new_suite "$state/keyring/usr/share/keyrings/debian-archive-keyring.gpg"
    unpack "$state/tools" $old_suite $tool_packages
    unpack "$state/libraries" $old_suite $library_packages
    # The wrappers hold this directory's path: a moved checkout gets new ones.
    [ "$(cat "$state/bin/.for" 2>/dev/null)" = "$state" ] && return
    rm -rf "${state:?}/bin" "${state:?}/lib" "${state:?}/client"
    mkdir -p "$state/bin" "$state/lib"
    for name in iptables ip6tables iptables-save ip6tables-save iptables-restore ip6tables-restore; do
        wrapper $name xtables-nft-multi $name
    done
    wrapper slirp4netns slirp4netns
    wrapper runc runc
    ln -s ../tools/usr/bin/tini-static "$state/bin/docker-init"
    for binary in "$state"/tools/usr/sbin/xtables-nft-multi "$state"/tools/usr/sbin/runc "$state"/tools/usr/bin/slirp4netns; do
        borrow_libraries "$binary"
    done
    printf '%s' "$state" >"$state/bin/.for"
}

# wrapper NAME PROGRAM [ARG]: bin/NAME runs an unpacked program with the libraries it was unpacked with.
wrapper() {
    program=$(find "$state/tools" -type f -name "$2" -path '*bin/*' | head -n 1)
    cat >"$state/bin/$1" <<WRAPPER
#!/bin/sh
LD_LIBRARY_PATH='$state/lib' XTABLES_LIBDIR='$(dirname "$(find "$state/libraries" "$state/tools" -name libxt_addrtype.so)")' \\
    exec '$program' ${3:-} "\$@"
WRAPPER
    chmod 755 "$state/bin/$1"
}

# shellcheck disable=SC2086
unpack_engine() {
    case $1 in
    docker28*) unpack "$state/docker28/root" $new_suite $docker28_packages ;;
    docker20) unpack "$state/docker20/root" $old_suite $docker20_packages ;;
    esac
    borrow_libraries "$root/usr/sbin/dockerd"
}

# One client for both: the new one speaks the old API, and only it has the compose and buildx plugins.
# shellcheck disable=SC2086
unpack_client() {
    unpack "$state/docker28/root" $new_suite $docker28_packages
    [ -e "$state/client/config.json" ] && return
    mkdir -p "$state/client/cli-plugins" "$state/client/bin"
    for plugin in docker-compose docker-buildx; do
        ln -sf "$state/docker28/root/usr/libexec/docker/cli-plugins/$plugin" "$state/client/cli-plugins/$plugin"
    done
    ln -sf "$state/docker28/root/usr/bin/docker" "$state/client/bin/docker"
    echo '{}' >"$state/client/config.json"
}

# --- processes --------------------------------------------------------------------------------------------------

# A pid file holds the pid and the kernel's start time of the process, so that a reused pid is not ours.
# A zombie has ended: not every machine's process 1 collects them at once.
started_at() { awk '{ sub(/.*\) /, ""); if ($1 != "Z") print $20 }' "/proc/$1/stat" 2>/dev/null; }

alive() {
    [ -e "$1" ] || return 1
    read -r pid start <"$1" || return 1
    [ -n "$start" ] && [ "$(started_at "$pid")" = "$start" ]
}

# run PIDFILE LOG CMD…: a daemon of ours, in a session of its own.
run() {
    pidfile=$1
    log=$2
    shift 2
    # shellcheck disable=SC2016 # expanded by the inner shell
    setsid sh -c 'echo $$ >"$0"; exec "$@"' "$pidfile.new" "$@" </dev/null >>"$log" 2>&1 9>&- &
    await 50 "the process for $pidfile" test -s "$pidfile.new"
    read -r pid <"$pidfile.new"
    printf '%s %s\n' "$pid" "$(started_at "$pid")" >"$pidfile"
    rm "$pidfile.new"
}

# await TENTHS WHAT CMD…: polls, bounded.
await() {
    left=$1
    what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || {
            say "gave up waiting for $what"
            return 1
        }
        sleep 0.1
    done
}

gone() { ! alive "$1"; }

# end PIDFILE SECONDS: TERM, then KILL. Only the process that the file was written for.
end() {
    if alive "$1"; then
        read -r pid start <"$1"
        kill -TERM "$pid" 2>/dev/null || :
        await $(($2 * 10)) "process $pid to end" gone "$1" || kill -KILL "$pid" 2>/dev/null || :
        await 50 "process $pid to be killed" gone "$1" || :
    fi
    rm -f "$1"
}

# --- one engine -------------------------------------------------------------------------------------------------

# Sets the paths of engine $1. Sockets must fit in 107 bytes, so a deep checkout keeps them in /run.
locate() {
    name=$1
    home=$state/$name
    root=$state/${name%-remap}/root
    run=$home/run
    [ "${#run}" -le 60 ] || run=/run/agentnet-engines-$(printf '%s' "$state" | cksum | cut -d ' ' -f 1)/$name
    socket=$run/docker.sock
    daemon=$run/dockerd.pid
    ! is_podman "$name" || daemon=$run/podman.pid
    cgroup=agentnet-$name-$(printf '%s' "$state" | cksum | cut -d ' ' -f 1)
    programs=$state/bin:$root/usr/sbin:$root/usr/bin
}

netns_of() {
    read -r pid start <"$run/namespace.pid"
    echo "/proc/$pid/ns/net"
}

docker() { DOCKER_HOST=unix://$socket DOCKER_CONFIG=$state/client "$state/client/bin/docker" "$@"; }

engine_answers() { docker version --format '{{.Server.Version}}'; }

# host NAME WORDS…: unshare's words; the machine that the engine believes to be on, with a way out and strangers' addresses.
host() {
    engine=$1
    shift
    run "$run/namespace.pid" "$home/slirp.log" unshare "$@" sleep infinity
    # shellcheck disable=SC2016
    await 50 "the network namespace" sh -c '[ "$(readlink "$0")" != "$(readlink /proc/self/ns/net)" ]' "$(netns_of)"
    # The kernel's default takes anything from anywhere; systemd's, which most machines have, is this.
    nsenter --net="$(netns_of)" sh -c 'echo 2 >/proc/sys/net/ipv4/conf/default/rp_filter'
    # What the gate knocks at to find a way out ends here, so that a fence that a test opens sends nothing to a stranger.
    for address in $public_stand_ins; do
        nsenter --net="$(netns_of)" ip address add "$address" dev lo || say "$address has no stand-in"
    done
    read -r pid start <"$run/namespace.pid"
    run "$run/slirp.pid" "$home/slirp.log" "$state/bin/slirp4netns" --configure --mtu=1500 --disable-host-loopback "$pid" tap0
    await 100 "the way out of $engine" nsenter --net="$(netns_of)" ip -4 route show default dev tap0 ||
        fail "see $home/slirp.log"
}

up() {
    locate "$1"
    unpack_tools
    unpack_client
    if alive "$daemon" && alive "$run/namespace.pid" && alive "$run/slirp.pid" && engine_answers >/dev/null 2>&1; then
        echo "DOCKER_HOST=unix://$socket"
        return
    fi
    # Half an engine is none: what is left of an earlier one goes first.
    down "$1"
    if is_podman "$1"; then
        up_podman "$1"
        return
    fi
    unpack_engine "$1"
    mkdir -p "$home" "$run"
    chmod 700 "$run"
    : >"$home/dockerd.log"
    : >"$home/slirp.log"

    host "$1" --net
    say "starting $1"
    mkdir -p "$home/data"
    data=$home/data
    engine=$1
    set --
    case $engine in
    *-remap)
        maps_users
        # The one directory that everybody may enter, wherever the checkout is: only this daemon sees it there.
        data=/mnt
        set -- unshare --mount --propagation slave sh -c "mount --bind '$home/subid' /etc/subuid &&
            mount --bind '$home/subid' /etc/subgid && mount --bind '$home/data' $data &&
            exec \"\$@\" --userns-remap $mapped_user" sh
        ;;
    esac
    run "$run/dockerd.pid" "$home/dockerd.log" env PATH="$programs:/usr/sbin:/usr/bin:/sbin:/bin" \
        LD_LIBRARY_PATH="$state/lib" nsenter --net="$(netns_of)" "$@" "$root/usr/sbin/dockerd" \
        --host "unix://$socket" --data-root "$data" --exec-root "$run/exec" --pidfile "$run/docker.pid" \
        --cgroup-parent "$cgroup" --exec-opt native.cgroupdriver=cgroupfs \
        --userland-proxy-path "$root/usr/sbin/docker-proxy"
    set -- "$engine"
    await 600 "$1 to answer" engine_answers_or "$run/dockerd.pid" || fail "$1 did not start; see $home/dockerd.log"
    alive "$run/dockerd.pid" || fail "$1 ended at once: $(tail -n 1 "$home/dockerd.log")"
    echo "DOCKER_HOST=unix://$socket"
}

# Whose ids a container's users are given: the machine's lists stay as they are, and the daemon has its own over them.
maps_users() {
    for file in /etc/subuid /etc/subgid; do
        [ -e "$file" ] || fail "an engine that maps users needs $file to be there, empty or not"
    done
    printf '%s:1000000:65536\n' "${mapped_user%:*}" "${mapped_user#*:}" >"$home/subid"
}

engine_answers_or() { gone "$1" || engine_answers; }

down() {
    locate "$1"
    if is_podman "$1"; then
        down_podman
        return
    fi
    if alive "$run/dockerd.pid"; then
        say "stopping $1"
        # The daemon gives each container ten seconds to end; they are tests', so they get none.
        containers=$(timeout 10 "$state/client/bin/docker" --host "unix://$socket" ps --quiet 2>/dev/null) || containers=
        # shellcheck disable=SC2086 # ids
        [ -z "$containers" ] || docker kill $containers >/dev/null 2>&1 || :
    fi
    end "$run/dockerd.pid" 20
    end_leftovers
    end "$run/slirp.pid" 5
    end "$run/namespace.pid" 5
    # A daemon that was killed leaves its mounts behind.
    awk -v under="$home/" -v also="$run/" 'index($5, under) == 1 || index($5, also) == 1 { print $5 }' /proc/self/mountinfo |
        sort -r | while read -r mount; do umount -l "$mount" || :; done
    rm -rf "$run"
    case $run in /run/*) rmdir "${run%/*}" 2>/dev/null || : ;; esac
    find /sys/fs/cgroup -depth -type d \( -path "*/$cgroup" -o -path "*/$cgroup/*" \) -exec rmdir {} + 2>/dev/null || :
}

# containerd and its shims are the daemon's children; after a kill -9 they are found by our own socket's path,
# which stands in their command line.
end_leftovers() {
    for process in /proc/[0-9]*; do
        if { tr '\0' '\n' <"$process/cmdline"; } 2>/dev/null | grep -qF "$run/exec/"; then
            kill -KILL "${process#/proc/}" 2>/dev/null || :
        fi
    done
}

print_env() {
    locate "$1"
    alive "$run/namespace.pid" || fail "$1 is not running; start it with: $0 up $1"
    cat <<ENV
export DOCKER_HOST='unix://$socket'
export DOCKER_CONFIG='$state/client'
export PATH='$state/client/bin':"\$PATH"
export AGENTNET_ENGINE_NETNS='$(netns_of)'
ENV
    # It builds in the old way only, and a client would find out by failing.
    ! is_podman "$1" || echo "export DOCKER_BUILDKIT='0'"
    [ "$1" != rootless ] || echo "export AGENTNET_ENGINE_USER='$podman_user'"
}

enter() {
    name=$1
    shift
    [ "${1:-}" != -- ] || shift
    environment=$(print_env "$name")
    eval "$environment"
    locate "$name"
    exec nsenter --net="$(netns_of)" "$@"
}

# --- the base image ---------------------------------------------------------------------------------------------

# The settings of the machine's apt that decide whether its mirror can be read.
apt_options() {
    apt-config dump --format '%f "%v";%n' Acquire | grep -E '^Acquire::(Check-|http|https)' || :
}

build_base() {
    unpack_tools
    unpack_client
    recipe=$(printf '%s\n' "$old_suite" "$base_packages" "$(cat /etc/ssl/certs/ca-certificates.crt 2>/dev/null)" |
        cksum | cut -d ' ' -f 1)
    tarball=$state/base/$recipe.tar
    [ -e "$tarball" ] && return
    say "building the base image with mmdebstrap (half a minute)"
    rm -rf "$state/base"
    mkdir -p "$state/base"
    apt_options >"$state/base/apt.conf"
    # shellcheck disable=SC2016,SC2086 # $1 is the chroot, expanded by mmdebstrap's shell; the list is joined with commas
    TMPDIR=$state/base perl "$state/tools/usr/bin/mmdebstrap" --quiet --mode=root --format=tar --variant=minbase \
        --aptopt="$state/base/apt.conf" \
        --keyring="$state/keyring/usr/share/keyrings/debian-archive-keyring.gpg" \
        --include="$(echo $base_packages | tr ' ' ',')" \
        --customize-hook='for ca in /usr/local/share/ca-certificates/*.crt; do
            if [ -e "$ca" ]; then cp "$ca" "$1/usr/local/share/ca-certificates/"; fi; done; chroot "$1" update-ca-certificates' \
        --customize-hook="if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
            cp /etc/ssl/certs/ca-certificates.crt \"\$1/etc/ssl/certs/ca-certificates.crt\"; fi" \
        "$old_suite" "$tarball.new" "deb $(debian_mirror) $old_suite main" >"$state/base/mmdebstrap.log" 2>&1 ||
        fail "mmdebstrap failed: $(grep -m 1 '^E:' "$state/base/mmdebstrap.log") (see $state/base/mmdebstrap.log)"
    mv "$tarball.new" "$tarball"
}

import_base() {
    locate "$1"
    engine_answers >/dev/null 2>&1 || fail "$1 is not running; start it with: $0 up $1"
    had=$(docker image inspect --format '{{index .Config.Labels "agentnet.test.recipe"}}' $base_image 2>/dev/null) || had=
    [ "$had" = "$recipe" ] && return
    say "importing $base_image into $1"
    docker import --change "LABEL agentnet.test.recipe=$recipe" --change 'CMD ["bash"]' "$tarball" $base_image:latest >/dev/null
}

# --- what was asked ---------------------------------------------------------------------------------------------

usage() {
    sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

# The engines that the arguments name.
names() {
    [ $# -gt 0 ] || usage
    for name in "$@"; do
        case $name in
        all) echo "$engines" ;;
        docker28 | docker20 | docker28-remap | podman | rootless) echo "$name" ;;
        *) fail "there is no engine '$name'; there are: $engines" ;;
        esac
    done
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
up | down | base-image)
    chosen=$(names "$@")
    require_machine
    take_lock
    [ "$command" != base-image ] || build_base
    for engine in $chosen; do
        case $command in
        up) up "$engine" ;;
        down) down "$engine" ;;
        base-image) import_base "$engine" ;;
        esac
    done
    ;;
env) print_env "$(names "${1:-}")" ;;
exec)
    engine=$(names "${1:-}")
    shift
    enter "$engine" "$@"
    ;;
status)
    for engine in $engines; do
        locate "$engine"
        if alive "$daemon"; then echo "$engine running unix://$socket"; else echo "$engine stopped"; fi
    done
    ;;
*) usage ;;
esac
