# A branch of another task's name becomes this one's: `$1` is its name there, `$2` here, behind them the git directories of
# the submodules. Nothing of a git directory is run; a task that left its branch, or has both, keeps what it has.
old=$1
new=$2
shift 2
for GIT_DIR in "$AGENTNET_GIT" "$@"; do
    export GIT_DIR
    if git rev-parse --verify --quiet "refs/heads/$old" >/dev/null && ! git rev-parse --verify --quiet "refs/heads/$new" >/dev/null; then
        git -c core.hooksPath=/dev/null branch --move "$old" "$new"
    fi
done
