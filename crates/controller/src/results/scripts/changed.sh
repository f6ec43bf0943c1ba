# Files that are not as the base ($1) has them, then untracked ones: kind, size and path, each ended by a NUL; at most
# $2 bytes. A flood of untracked files keeps no work back.
fresh_index
cd "$AGENTNET_TREE"
git diff --name-only -z --no-renames --no-ext-diff --diff-filter=ACMT "$1" -- >"$AGENTNET_SCRATCH/changed"
git ls-files -z --others --exclude-standard >>"$AGENTNET_SCRATCH/changed"
sed -z 's|^|./|' "$AGENTNET_SCRATCH/changed" >"$AGENTNET_SCRATCH/named"
find -files0-from "$AGENTNET_SCRATCH/named" -maxdepth 0 -printf '%y %s %p\0' >"$AGENTNET_SCRATCH/listed"
head -c "$2" "$AGENTNET_SCRATCH/listed"
