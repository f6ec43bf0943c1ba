# A branch of another task's name becomes this one's: `$1` is its name there, `$2` here. Nothing of the git directory is
# run; a task that left its branch, or has both, keeps what it has.
export GIT_DIR="$AGENTNET_GIT"
if git rev-parse --verify --quiet "refs/heads/$1" >/dev/null && ! git rev-parse --verify --quiet "refs/heads/$2" >/dev/null; then
    git -c core.hooksPath=/dev/null branch --move "$1" "$2"
fi
