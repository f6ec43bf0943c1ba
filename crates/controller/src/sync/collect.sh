# What a task has that the repository has not: lines that say what there is, the line `end`, then a pack.
# $1: yes to save what is not committed. $2: where the task began. Standard input: objects that the repository has, one a line.
# What is not here cannot be left out of the pack, and need not be: a clone has less than the repository.
git cat-file --batch-check='%(objectname) %(objecttype)' | sed -n '/ missing$/!s/ .*//p' >/tmp/haves
cd "$AGENTNET_TREE" 2>/dev/null || cd /tmp

: >/tmp/tips
tip() {
    printf '%s %s\n' "$1" "$2"
    printf '%s\n' "$2" >>/tmp/tips
}
# Names as lines: what could end a line is replaced, and there are never more than a few.
names() {
    tr '\n\0' '?\n' | head -n 20 | sed "s/^/$1 /"
}

# Submodules are saved for themselves: their .git leads to a place of the host, and git gives up where it is not.
add_all() {
    set -- .
    while IFS= read -r path; do
        set -- "$@" ":(exclude,literal)${path#./}"
    done </tmp/outer
    git add --all --ignore-errors -- "$@"
}

if [ "$1" = yes ] && [ -d "$AGENTNET_TREE" ]; then
    if ! fresh_index 2>/tmp/words; then
        printf 'unsaved %s\n' "$(tail -n 1 /tmp/words | tr -d '\000-\037')"
    else
        # A repository inside is not entered: its files are not ours to add.
        add_all 2>/tmp/words || printf 'unsaved %s\n' "$(grep -v '^hint:' /tmp/words | tail -n 1 | tr -d '\000-\037')"
        tree=$(git write-tree)
        parent=
        was=
        if head=$(git rev-parse --verify --quiet 'HEAD^{commit}'); then
            parent="-p $head"
            was=$(git rev-parse "$head^{tree}")
        fi
        if [ "$tree" != "$was" ]; then
            # shellcheck disable=SC2086 # two words or none
            wip=$(git commit-tree "$tree" $parent -m "agentnet: what was not committed in $AGENTNET_BRANCH")
            tip wip "$wip"
        fi
    fi
    find . -mindepth 2 -name .git -prune -printf '%h\0' | { grep -zvxFf /tmp/ours || :; } | names nested
    git ls-files -z --others --ignored --exclude-standard --directory | names ignored
fi

planted "$2" | sed 's/^/planted /'
git symbolic-ref --quiet HEAD >/dev/null || ! head=$(git rev-parse --verify --quiet 'HEAD^{commit}') || tip head "$head"
if git rev-parse --verify --quiet refs/stash >/dev/null; then
    { git rev-list --walk-reflogs --max-count=100 refs/stash 2>/dev/null || git rev-parse refs/stash; } >/tmp/stashes
    while read -r oid; do tip stash "$oid"; done </tmp/stashes
fi
# Many more than are brought over, so that too many are noticed.
git for-each-ref --count=100000 --format='%(objectname) %(refname)' refs/heads refs/tags 2>/dev/null >/tmp/refs
cut -d ' ' -f 1 /tmp/refs | git cat-file --batch-check='%(objectname) %(objecttype)' >/tmp/types
cut -d ' ' -f 2- /tmp/refs | paste -d ' ' /tmp/types - >/tmp/all
sed 's/^/ref /' /tmp/all
grep -E '^[0-9a-f]+ (commit|tag) ' /tmp/all | cut -d ' ' -f 1 >>/tmp/tips || :
echo end

missing=
[ -z "$AGENTNET_PROMISOR" ] || missing=--missing=allow-promisor
{
    cat /tmp/tips
    sed 's/^/^/' /tmp/haves
} | git pack-objects --quiet --revs --stdout $missing
