# Files that could match one of the patterns ($2 …), and some that do not: kind, size and path, each ended by a NUL.
limit=$1
shift
first=1
for pattern; do
    if [ "$first" ]; then
        set --
        first=
    else
        set -- "$@" -o
    fi
    set -- "$@" -path "./$pattern"
done
cd "$AGENTNET_TREE"
find . -xdev -path ./.git -prune -o ! -type d \( "$@" \) -printf '%y %s %p\0' | head -c "$limit"
