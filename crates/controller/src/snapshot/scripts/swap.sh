# What was unpacked takes the place of what is there, in every place that is named: only names move. `.git` of the tree
# (`$1`) is the host's. Killed half way, the next restore begins anew.
tree=$1
shift
for place; do
    cd "$place"
    # Its own time, which every name that leaves or comes changes.
    stat --format=%.9Y .agentnet-restore >"$AGENTNET_SCRATCH/$(echo "$place" | tr / _)"
    rm -rf .agentnet-gone
    mkdir .agentnet-gone
    keep=.agentnet-gone
    [ "$place" != "$tree" ] || keep=.git
    find . -mindepth 1 -maxdepth 1 ! -name .agentnet-restore ! -name .agentnet-gone ! -name "$keep" \
        -exec mv --target-directory=.agentnet-gone -- {} +
    find .agentnet-restore -mindepth 1 -maxdepth 1 -exec mv --target-directory=. -- {} +
    chown --reference=.agentnet-restore .
    chmod --reference=.agentnet-restore .
done
for place; do
    cd "$place"
    rm -rf .agentnet-gone
    rmdir .agentnet-restore
    touch --date="@$(cat "$AGENTNET_SCRATCH/$(echo "$place" | tr / _)")" .
done
