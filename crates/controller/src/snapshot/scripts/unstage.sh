# Takes back what was unpacked.
for place; do
    rm -rf "$place/.agentnet-restore"
done
