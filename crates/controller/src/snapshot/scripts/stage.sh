# Unpacks an archive inside a place (`$1`), beside what is there, so that a full disk changes nothing of that.
cd "$1"
rm -rf .agentnet-restore
mkdir .agentnet-restore
tar --extract --file=- --directory=.agentnet-restore --numeric-owner --same-owner --preserve-permissions \
    --delay-directory-restore --xattrs --xattrs-include='user.*'
# What stands in .git of submodules is the host's and not stored: a line each says where and what. Where something of the
# agent's is in the way, that stays.
printf '%s' "${AGENTNET_LINKS:-}" | while IFS='	' read -r path link; do
    at=.agentnet-restore
    rest=$path/
    while [ -n "$rest" ]; do
        at=$at/${rest%%/*}
        rest=${rest#*/}
        [ -e "$at" ] || [ -L "$at" ] || { mkdir "$at" && chown --reference=.agentnet-restore "$at"; }
        [ -d "$at" ] && [ ! -L "$at" ] || continue 2
    done
    [ ! -e "$at/.git" ] && [ ! -L "$at/.git" ] || continue
    changed=$(stat --format=%.9Y "$at")
    printf '%s\n' "$link" >"$at/.git"
    chown --reference="$at" "$at/.git"
    touch --date="@$changed" "$at"
done
