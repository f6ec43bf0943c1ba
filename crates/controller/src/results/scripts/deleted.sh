# Paths that the base ($1) has and the tree has not, each ended by a NUL; at most $2 bytes.
fresh_index
cd "$AGENTNET_TREE"
git diff --name-only -z --no-renames --no-ext-diff --diff-filter=D "$1" -- >"$AGENTNET_SCRATCH/deleted"
head -c "$2" "$AGENTNET_SCRATCH/deleted"
