# The difference between the base ($1) and the files that are named on standard input, each name ended by a NUL.
rm -f "$GIT_DIR/index"
git read-tree "$1"
cd "$AGENTNET_TREE"
git update-index --add --remove -z --stdin
git diff --cached --binary --full-index --find-renames --no-color --no-ext-diff --no-textconv "$1"
