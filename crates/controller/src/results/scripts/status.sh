# What git says of the tree; at most $1 bytes.
fresh_index
cd "$AGENTNET_TREE"
git status --short --branch --untracked-files=all --no-renames >"$AGENTNET_SCRATCH/status"
head -c "$1" "$AGENTNET_SCRATCH/status"
