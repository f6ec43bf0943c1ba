# shellcheck shell=sh
# Debian packages, unpacked under a directory of ours and never installed; sourced by engine/engines.sh and
# peers/peers.sh.
#
# The caller sets `state`, the directory that everything is kept under, and defines `say` (one line on stderr) and
# `fail` (the same, and exit).
#
# shellcheck disable=SC2154 # `state` is the caller's

# The mirror this machine already uses for Debian's main component; never written down in a file of ours. A machine
# that never read its package lists does not know which of its sources is Debian's, so they are read, into our own place.
debian_mirror() {
    lists=$state/apt/machine
    mirror=$(mirror_in "$(apt-config dump --format '%v%n' Dir::State::lists)")
    if [ -z "$mirror" ]; then
        say "reading the package lists of this machine's own sources"
        mkdir -p "$lists/partial"
        apt-get -qq -o Dir::State::lists="$lists" -o APT::Update::Post-Invoke-Success="" update >&2 || :
        mirror=$(mirror_in "$lists")
    fi
    [ -n "$mirror" ] || fail "this machine's apt sources name no Debian mirror, so nothing can be unpacked"
    echo "$mirror"
}

mirror_in() {
    # shellcheck disable=SC2016 # apt expands these
    apt-get -o Dir::State::lists="$1" indextargets --format '$(LABEL) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 == "main" { print $3; exit }'
}

# apt SUITE ARGS…: apt-get with lists, cache and sources of its own.
apt() {
    suite=$1
    shift
    APT_CONFIG=$state/apt/$suite/apt.conf apt-get -qq "$@"
}

# A private apt for SUITE. The keyring is Debian's newest, fetched as a package that the machine's own keys vouch for.
prepare_apt() {
    suite=$1
    keys=$2
    dir=$state/apt/$suite
    [ -e "$dir/ready" ] && return
    mirror=$(debian_mirror)
    rm -rf "$dir"
    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
    printf 'deb [signed-by=%s] %s %s main\n' "$keys" "$mirror" "$suite" >"$dir/sources.list"
    cat >"$dir/apt.conf" <<CONF
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "$dir/lists";
Dir::State::status "/dev/null";
Dir::Cache "$dir/cache";
APT::Sandbox::User "$(id -un)";
APT::Update::Post-Invoke-Success "";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
CONF
    say "reading the package list of $suite"
    apt "$suite" update || fail "could not read the package list of Debian $suite"
    : >"$dir/ready"
}

# Where the machine's own Debian keys are.
machine_keys() {
    for keys in /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/debian-archive-keyring.pgp; do
        [ -e "$keys" ] && {
            echo "$keys"
            return
        }
    done
    fail "this machine has no debian-archive-keyring, so packages cannot be verified"
}

# unpack DEST SUITE PACKAGE…: DEST appears complete or not at all. The package names are its stamp.
unpack() {
    dest=$1
    suite=$2
    shift 2
    [ "$(cat "$dest/.packages" 2>/dev/null)" = "$suite $*" ] && return
    say "unpacking $* ($suite)"
    rm -rf "$dest" "$dest.new"
    mkdir -p "$dest.new/.debs"
    (cd "$dest.new/.debs" && apt "$suite" download "$@") || fail "could not download: $*"
    for deb in "$dest.new"/.debs/*.deb; do
        dpkg -x "$deb" "$dest.new"
    done
    rm -rf "$dest.new/.debs"
    printf '%s %s' "$suite" "$*" >"$dest.new/.packages"
    mv "$dest.new" "$dest"
}

# borrow_libraries PROGRAM [ALSO]: a library that the machine lacks is linked into lib/, from what is unpacked under
# libraries/ and ALSO, and what that one lacks, until nothing is missing.
borrow_libraries() {
    while :; do
        found=
        for missing in $(LD_LIBRARY_PATH=$state/lib ldd "$1" | awk '/not found/ { print $1 }'); do
            file=$(find "$state/libraries" ${2:+"$2"} -name "$missing" | head -n 1)
            [ -n "$file" ] || fail "$1 needs $missing, which neither the machine nor the unpacked packages have"
            ln -sf "$file" "$state/lib/$missing"
            found=1
        done
        [ -n "$found" ] || return 0
    done
}
