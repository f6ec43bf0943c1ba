# shellcheck shell=sh
# Podman as root and as an ordinary user, sourced by engines.sh.
#
# Both are `podman system service`, unpacked as the rest is, in namespaces of their own: network, mounts and processes.
# So /run, /dev/shm and what /etc says of users and containers are theirs and not the machine's, and whatever they
# started ends with them. The user is nobody of the machine: a number, with a name and 65536 more numbers in that /etc.
#
# shellcheck disable=SC2154 # `state`, `home`, `run`, `socket` and `programs` are the caller's

podman_packages="podman conmon netavark aardvark-dns uidmap"
podman_libraries="libgpgme11 libassuan0 libgpg-error0 libsubid4 libsystemd0 libglib2.0-0 libpcre2-8-0"

# Numbers that no package and no person has.
podman_user=40001
podman_first=900000000

is_podman() { case $1 in podman | rootless) ;; *) return 1 ;; esac }

# shellcheck disable=SC2086 # package lists are split on purpose
unpack_podman() {
    unpack "$state/podman/root" $old_suite $podman_packages
    unpack "$state/podman/libraries" $old_suite $podman_libraries
    for program in usr/bin/podman usr/bin/conmon usr/lib/podman/netavark usr/lib/podman/aardvark-dns usr/bin/newuidmap; do
        borrow_libraries "$state/podman/root/$program" "$state/podman/libraries"
    done
}

# What /etc of the engine's machine says besides what ours does.
write_etc() {
    mkdir -p "$home/etc/containers" "$home/storage" "$home/networks" "$home/home"
    files=$(awk '/^Max open files/ { print $5 }' /proc/self/limits)
    processes=$(awk '/^Max processes/ { print $4 }' /proc/self/limits)
    cat >"$home/etc/containers/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=$files:$files", "nproc=$processes:$processes"]
log_driver = "k8s-file"
[engine]
init_path = "$state/bin/docker-init"
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
conmon_path = ["$state/podman/root/usr/bin/conmon"]
helper_binaries_dir = ["$state/podman/root/usr/lib/podman"]
network_cmd_path = "$state/bin/slirp4netns"
[engine.runtimes]
runc = ["$state/bin/runc"]
[network]
network_backend = "netavark"
network_config_dir = "$home/networks"
CONF
    cat >"$home/etc/containers/storage.conf" <<CONF
[storage]
driver = "overlay"
graphroot = "$home/storage"
rootless_storage_path = "$home/storage"
runroot = "/run/containers"
CONF
    echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$home/etc/containers/policy.json"
    echo 'unqualified-search-registries = ["docker.io"]' >"$home/etc/containers/registries.conf"
    echo 'nameserver 10.0.2.3' >"$home/etc/resolv.conf"
    { cat /etc/passwd && echo "agentnet-test:x:$podman_user:$podman_user::$home/home:/bin/sh"; } >"$home/etc/passwd"
    { cat /etc/group && echo "agentnet-test:x:$podman_user:"; } >"$home/etc/group"
    echo "$podman_user:$podman_first:65536" >"$home/etc/subuid"
    cp "$home/etc/subuid" "$home/etc/subgid"
}

# inside CMD…: on the engine's machine, as its root.
inside() {
    read -r pid start <"$run/namespace.pid"
    nsenter --net="/proc/$pid/ns/net" --mount="/proc/$pid/ns/mnt" --pid="/proc/$pid/ns/pid_for_children" "$@"
}

# Its own /run, /dev/shm and /etc. The directory with the socket is the one thing that everybody sees.
furnish() {
    mkdir -p "$home/hold"
    # shellcheck disable=SC2016 # expanded by the inner shell
    inside sh -euc '
        home=$0 run=$1 user=$2 libraries=$3
        mount -t tmpfs -o mode=1777 tmpfs /dev/shm
        mount --bind "$run" "$home/hold"
        mount -t tmpfs -o mode=755 tmpfs /run
        mkdir -p "$run" /run/netns "/run/user/$user"
        mount --move "$home/hold" "$run"
        chown "$user:$user" "/run/user/$user"
        chmod 700 "/run/user/$user"
        # What Podman starts gets no LD_LIBRARY_PATH, so the loader must know the libraries by itself.
        ldconfig -X -C "$home/etc/ld.so.cache" "$libraries"
        mount -t overlay -o "ro,lowerdir=$home/etc:/etc" overlay /etc
        # On most machines everybody may have a tunnel of his own; where not, here.
        mount -t tmpfs -o mode=755 tmpfs "$home/hold"
        mknod -m 666 "$home/hold/tun" c 10 200
        mount --bind "$home/hold/tun" /dev/net/tun
    ' "$home" "$run" "$podman_user" "$state/lib"
}

up_podman() {
    unpack_podman
    mkdir -p "$home" "$run"
    write_etc
    : >"$home/podman.log"
    : >"$home/slirp.log"
    # Process 1 collects what its children leave behind, and its end is everybody's.
    host "$1" --net --mount --pid --fork --kill-child --mount-proc "$state/bin/docker-init" --
    furnish
    as=
    if [ "$1" = rootless ]; then
        chown "$podman_user:$podman_user" "$run" "$home/storage" "$home/networks" "$home/home"
        as="setpriv --reuid $podman_user --regid $podman_user --clear-groups"
    fi
    say "starting $1"
    read -r pid start <"$run/namespace.pid"
    # shellcheck disable=SC2086 # words
    run "$run/podman.pid" "$home/podman.log" nsenter --net="/proc/$pid/ns/net" --mount="/proc/$pid/ns/mnt" \
        --pid="/proc/$pid/ns/pid_for_children" $as env --ignore-environment HOME="$home/home" \
        XDG_RUNTIME_DIR="/run/user/$podman_user" DISABLE_HC_SYSTEMD=true \
        PATH="$programs:$state/podman/root/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
        "$state/podman/root/usr/bin/podman" system service --time=0 "unix://$socket"
    await 600 "$1 to answer" engine_answers_or "$run/podman.pid" || fail "$1 did not start; see $home/podman.log"
    alive "$run/podman.pid" || fail "$1 ended at once: $(tail -n 1 "$home/podman.log")"
    echo "DOCKER_HOST=unix://$socket"
}

# Everything of it is in its namespaces, and ends with them: containers, networks, rules and mounts.
down_podman() {
    # It heeds nothing milder.
    ! alive "$run/namespace.pid" || { read -r pid start <"$run/namespace.pid" && kill -KILL "$pid"; }
    end "$run/namespace.pid" 5
    end "$run/podman.pid" 5
    end "$run/slirp.pid" 5
    rm -rf "$run"
    # Only what is empty goes.
    find /sys/fs/cgroup -depth -type d -path '*/libpod_parent*' -exec rmdir {} + 2>/dev/null || :
}
