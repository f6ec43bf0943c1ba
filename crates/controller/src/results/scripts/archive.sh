# The files that are named on standard input, each name ended by a NUL, as an archive. What stands before
# --files-from holds for its names.
cd "$AGENTNET_TREE"
tar --create --file=- --format=gnu --owner=0 --group=0 --numeric-owner --ignore-failed-read --no-recursion \
    --null --verbatim-files-from --files-from=-
