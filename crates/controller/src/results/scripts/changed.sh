# Files that are not as the base ($1) has them, then what it has and the tree has not, then untracked files: kind, size
# and path, each ended by a NUL; at most $2 bytes. A flood of untracked files keeps no work back.
fresh_index
cd "$AGENTNET_TREE"
# The content of every file is read once, here.
git update-index -q --refresh || :
changed() {
    git diff --name-only -z --no-renames --no-ext-diff --diff-filter="$1" "$2" --
}
list() {
    sed -z 's|^|./|' "$1" >"$AGENTNET_SCRATCH/named"
    find -files0-from "$AGENTNET_SCRATCH/named" -maxdepth 0 -printf '%y %s %p\0' >>"$AGENTNET_SCRATCH/listed"
}
changed ACMT "$1" >"$AGENTNET_SCRATCH/tracked"
list "$AGENTNET_SCRATCH/tracked"
changed D "$1" >"$AGENTNET_SCRATCH/gone"
sed -z 's|^|x 0 ./|' "$AGENTNET_SCRATCH/gone" >>"$AGENTNET_SCRATCH/listed"
git ls-files -z --others --exclude-standard >"$AGENTNET_SCRATCH/untracked"
list "$AGENTNET_SCRATCH/untracked"
head -c "$2" "$AGENTNET_SCRATCH/listed"
