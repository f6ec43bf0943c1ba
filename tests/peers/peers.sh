#!/bin/sh
# Other people's programs that agentnet-proxy is compared with and chained to, unpacked from Debian packages.
#
# Nothing is installed and nothing of the machine's is changed: all of it lives under target/peers/, and no program is
# started here. A peer is unpacked when it is first asked for; two may ask at once. Root is not needed.
#
#   peers.sh path NAME…   unpack NAME and print its root directory, one a line
#   peers.sh have NAME…   the same without printing: exit status 0 where they can be had
#   peers.sh list         the names, and the package each is made of
#
# Run ROOT/bin/PROGRAM, never ROOT/usr/…: it finds the libraries that the machine lacks. PROGRAM is the name below.
#
#   tinyproxy    bin/tinyproxy
#   squid        bin/squid (error pages: ROOT/usr/share/squid-langpack/en; password helper: ROOT/usr/lib/squid)
#   microsocks   bin/microsocks, a SOCKS5 server: -u USER -P PASSWORD, or neither
#   socks5       the same as microsocks
#   prometheus   bin/prometheus, bin/promtool
#   wrk          bin/wrk, a load generator
#   desktop      bin/dbus-daemon, bin/dunst, bin/dunstctl, bin/Xvfb: a session bus and a notification daemon on a screen that
#                nobody sees, with fonts (ROOT/usr/share/fonts) and the tools that make a picture of it. Put ROOT/bin on
#                the PATH: Xvfb finds its keyboard compiler there, and dunstctl what it calls
#   databases    a PostgreSQL and a Redis with their libraries, to build an image from (tests/databases); nothing in bin
#
# AGENTNET_PEERS_DIR moves the state elsewhere; so does CARGO_TARGET_DIR, as it does with all that is built.
# Exit status: 2 for a wrong command line, 69 where the packages cannot be had here.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
state=${AGENTNET_PEERS_DIR:-${CARGO_TARGET_DIR:-$(CDPATH='' cd -- "$here/../.." && pwd)/target}/peers}
peers="tinyproxy squid microsocks prometheus wrk desktop databases"

# docs/tinyproxy.md is compared with the version in this suite, wherever the tests run.
suite=bookworm
# What the programs link to. A library is used from here only where the machine has none of that name.
library_packages="libecap3 libnetfilter-conntrack3 libnfnetlink0 libmnl0 libltdl7 libluajit-5.1-2 libgnutls30 libnettle8
  libhogweed6 libgmp10 libp11-kit0 libidn2-0 libunistring2 libtasn1-6 libffi8 libgssapi-krb5-2 libkrb5-3 libk5crypto3
  libkrb5support0 libkeyutils1 libcom-err2 libsystemd0 libcap2 libgcrypt20 libgpg-error0 liblz4-1 libzstd1 liblzma5
  libstdc++6 libgcc-s1 libcrypt1 libssl3"

# With all of their libraries but libc's: a desktop's are many, and of one release or they do not fit together.
desktop_packages="dunst suckless-tools xvfb x11-xkb-utils xkb-data dbus-daemon dbus-bin systemd netpbm fonts-dejavu-core libapparmor1
  libaudit1 libblkid1 libbrotli1 libbsd0 libbz2-1.0 libcairo2 libcap-ng0 libcap2 libcrypt1 libdatrie1 libdbus-1-3
  libdeflate0 libexpat1 libffi8 libfontconfig1 libfontenc1 libfreetype6 libfribidi0 libgcrypt20 libgdk-pixbuf-2.0-0
  libgl1 libglib2.0-0 libglvnd0 libglx0 libgpg-error0 libgraphite2-3 libharfbuzz0b libjbig0 libjpeg62-turbo liblerc4
  liblz4-1 liblzma5 libmd0 libmount1 libnetpbm11 libnotify4 libpango-1.0-0 libpangocairo-1.0-0 libpangoft2-1.0-0
  libpcre2-8-0 libpixman-1-0 libpng16-16 libselinux1 libsystemd-shared libsystemd0 libthai-data libthai0 libtiff6
  libunwind8 libwayland-client0 libwayland-cursor0 libwebp7 libx11-6 libx11-data libx11-xcb1 libxau6 libxcb-render0
  libxcb-shm0 libxcb1 libxdmcp6 libxext6 libxfont2 libxft2 libxinerama1 libxkbfile1 libxrandr2 libxrender1 libxss1 libzstd1
  zlib1g"

say() { printf 'peers: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 69
}

# shellcheck source=tests/packages.sh
. "$here/../packages.sh"

packages_of() {
    case $1 in
    tinyproxy) echo tinyproxy-bin tinyproxy ;;
    squid) echo squid squid-common squid-langpack ;;
    microsocks | prometheus | wrk) echo "$1" ;;
    desktop) echo "$desktop_packages" ;;
    databases)
        echo postgresql-15 postgresql-client-15 redis-server redis-tools libpq5 libicu72 libxml2 libldap-2.5-0 \
            libsasl2-2 libxslt1.1 libjemalloc2 libhiredis0.14 liblua5.1-0 libatomic1 lua-cjson lua-bitop liblzf1 libnuma1
        ;;
    esac
}

# The programs of an unpacked peer that somebody runs.
programs_of() {
    case $1 in
    tinyproxy) echo usr/bin/tinyproxy ;;
    squid) echo usr/sbin/squid ;;
    microsocks | wrk) echo "usr/bin/$1" ;;
    prometheus) echo usr/bin/prometheus usr/bin/promtool ;;
    desktop)
        echo usr/bin/dunst usr/bin/dunstctl usr/bin/dmenu usr/bin/Xvfb usr/bin/xkbcomp usr/bin/dbus-daemon usr/bin/dbus-send \
            usr/bin/busctl usr/bin/systemd-analyze usr/bin/xwdtopnm usr/bin/pamcut usr/bin/pnmtopng
        ;;
    esac
}

# Helpers that a peer starts itself: they need their libraries too, but no wrapper.
helpers_of() {
    case $1 in
    squid) echo usr/lib/squid/basic_ncsa_auth ;;
    esac
}

require_machine() {
    for tool in apt-get apt-config dpkg flock ldd; do
        command -v "$tool" >/dev/null || fail "a peer can only be unpacked where there is $tool (a Debian family)"
    done
}

# One that unpacks at a time; the others wait and find it done.
take_lock() {
    mkdir -p "$state" || fail "$state cannot be made"
    exec 9>"$state/lock"
    flock 9
}

# Xvfb runs /usr/bin/xkbcomp, which this machine need not have, and has no setting for it. With the empty string in that
# one's place it is looked for on the PATH.
find_on_path() {
    place=$(LC_ALL=C grep -abo -P '\x00/usr/bin\x00' "$1" | tr -d '\000' | cut -d : -f 1)
    # It has been done where it is not named any more.
    case $place in
    '') return 0 ;;
    *[!0-9]*) fail "$1 names /usr/bin more than once" ;;
    esac
    printf '\000' | dd of="$1" bs=1 seek=$((place + 1)) conv=notrunc status=none
}

# Where an unpacked peer keeps libraries of its own.
libraries_of() {
    case $1 in
    desktop)
        directories=$(find "$state/$1" -name 'lib*.so*' -exec dirname {} + | sort -u)
        printf '%s' "$directories" | tr '\n' ':'
        ;;
    *) printf '%s' "$state/lib" ;;
    esac
}

# bin/PROGRAM becomes the program itself (exec), so a pid that was started is the peer's.
wrap() {
    root=$1
    libraries=$(libraries_of "${1##*/}")
    mkdir -p "$root/bin.new"
    for program in $2; do
        cat >"$root/bin.new/${program##*/}" <<WRAPPER
#!/bin/sh
LD_LIBRARY_PATH='$libraries'\${LD_LIBRARY_PATH:+":\$LD_LIBRARY_PATH"} exec '$root/$program' "\$@"
WRAPPER
        chmod 755 "$root/bin.new/${program##*/}"
    done
    mv "$root/bin.new" "$root/bin"
}

# A peer with its wrappers is complete; they hold this directory's path, so a moved checkout gets new ones.
is_complete() {
    [ "$(cat "$state/$1/.packages" 2>/dev/null)" = "$suite $(packages_of "$1")" ] &&
        [ "$(cat "$state/$1/.for" 2>/dev/null)" = "$state" ]
}

# shellcheck disable=SC2046,SC2086 # package lists are split on purpose
peer() {
    root=$state/$1
    is_complete "$1" && return
    require_machine
    take_lock
    # Another may have made it while we waited, and runs it by now.
    is_complete "$1" && return
    prepare_apt $suite "$(machine_keys)"
    unpack "$root" $suite $(packages_of "$1")
    rm -rf "$root/bin" "$root/bin.new"
    mkdir -p "$state/lib"
    [ "$1" != desktop ] || find_on_path "$root/usr/bin/Xvfb"
    for program in $(programs_of "$1") $(helpers_of "$1"); do
        LD_LIBRARY_PATH=$(libraries_of "$1") ldd "$root/$program" 2>/dev/null | grep -q 'not found' || continue
        unpack "$state/libraries" $suite $library_packages
        borrow_libraries "$root/$program"
    done
    wrap "$root" "$(programs_of "$1")"
    printf '%s' "$state" >"$root/.for"
}

usage() {
    sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

# The peers that the arguments name.
names() {
    [ $# -gt 0 ] || usage
    for name in "$@"; do
        case " $peers socks5 " in
        *" $name "*) ;;
        *)
            say "there is no peer '$name'; there are: $peers"
            exit 2
            ;;
        esac
        if [ "$name" = socks5 ]; then echo microsocks; else echo "$name"; fi
    done
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
path | have)
    chosen=$(names "$@")
    for name in $chosen; do
        peer "$name"
        [ "$command" = have ] || echo "$state/$name"
    done
    ;;
list) for name in $peers; do echo "$name ($(packages_of "$name"))"; done ;;
*) usage ;;
esac
