# Comes before every script that runs git in an extractor: a git directory of our own, in memory, over the
# agent's objects and refs. Of the agent's git directory no configuration, no hook, no attribute and no
# alternate list of ours is read: its `config` is not even opened.
umask 077
# The tree may be gone.
if [ ! -d "$GIT_WORK_TREE" ]; then
    GIT_WORK_TREE=$AGENTNET_SCRATCH/nothing
    mkdir "$GIT_WORK_TREE"
fi
mkdir -p "$GIT_DIR/info" "$GIT_OBJECT_DIRECTORY/info" "$GIT_OBJECT_DIRECTORY/pack"
{
    if [ "$AGENTNET_OBJECT_FORMAT" = sha1 ]; then
        printf '[core]\n\trepositoryformatversion = 0\n\tbare = false\n'
    else
        printf '[core]\n\trepositoryformatversion = 1\n\tbare = false\n[extensions]\n\tobjectformat = %s\n' "$AGENTNET_OBJECT_FORMAT"
    fi
    # Objects that a partial clone has not fetched may be missing; nothing is fetched here.
    [ -z "$AGENTNET_PROMISOR" ] || printf '[core]\n\trepositoryformatversion = 1\n[extensions]\n\tpartialclone = %s\n' "$AGENTNET_PROMISOR"
} >"$GIT_DIR/config"

# A plain file of the agent's, and not a link to one, at most $3 bytes of it.
copy_plain() {
    [ -f "$1" ] && [ ! -L "$1" ] && head -c "$3" "$1" >"$2"
}

if [ -d "$AGENTNET_GIT/refs" ]; then ln -s "$AGENTNET_GIT/refs" "$GIT_DIR/refs"; else mkdir "$GIT_DIR/refs"; fi
[ ! -f "$AGENTNET_GIT/packed-refs" ] || ln -s "$AGENTNET_GIT/packed-refs" "$GIT_DIR/packed-refs"
# The stash is a reflog.
[ ! -d "$AGENTNET_GIT/logs" ] || ln -s "$AGENTNET_GIT/logs" "$GIT_DIR/logs"
copy_plain "$AGENTNET_GIT/shallow" "$GIT_DIR/shallow" 16777216 || :
[ -s "$GIT_DIR/shallow" ] || rm -f "$GIT_DIR/shallow"
copy_plain "$AGENTNET_GIT/info/exclude" "$GIT_DIR/info/exclude" 1048576 || :
# Where the agent is: a branch or a commit; anything else is read as the task's branch.
head=
! copy_plain "$AGENTNET_GIT/HEAD" "$GIT_DIR/HEAD" 4096 || head=$(head -n 1 "$GIT_DIR/HEAD")
case $head in
"ref: refs/heads/"*) ;;
*[!0-9a-f]* | "") head="ref: refs/heads/$AGENTNET_BRANCH" ;;
esac
printf '%s\n' "$head" >"$GIT_DIR/HEAD"

# The agent's own index: its times save reading every file, and it may hide changes.
use_index() {
    copy_plain "$AGENTNET_GIT/index" "$GIT_DIR/index" 1073741824 && git ls-files >/dev/null 2>&1 || fresh_index
}
# An index that hides nothing: every file is read.
fresh_index() {
    rm -f "$GIT_DIR/index"
    ! git rev-parse --verify --quiet 'HEAD^{commit}' >/dev/null || git read-tree HEAD
}

# The submodules that the task began with and whose .git is the file that was put there, a line each: it leads to a
# worktree of the person's repository of it; in a volume, after `=`, to the task's own git. Any other is a repository
# inside, whatever it says. /tmp/outer has those that are in no other.
: >/tmp/ours
: >/tmp/outer
printf '%s' "${AGENTNET_MODULES:-}" | {
    above=/
    while IFS='	' read -r path place; do
        inner=yes
        case $path in
        "$above"/*) ;;
        *) inner= above=$path ;;
        esac
        file=$GIT_WORK_TREE/$path/.git
        [ -f "$file" ] && [ ! -L "$file" ] || continue
        rest=$(head -c 4096 "$file")
        case $place in
        =*) [ "$rest" = "gitdir: ${place#=}" ] || continue ;;
        *)
            rest=${rest#"gitdir: $place/worktrees/"}
            case $rest in
            "" | .* | *[!A-Za-z0-9._-]*) continue ;;
            esac
            ;;
        esac
        printf './%s\n' "$path" >>/tmp/ours
        [ "$inner" ] || printf './%s\n' "$path" >>/tmp/outer
    done
}
