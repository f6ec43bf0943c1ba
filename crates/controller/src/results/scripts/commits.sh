# Commits of the task's branches that the base ($1) has not, oldest first, in fields that end in a NUL.
git log --reverse --topo-order --max-count="$2" --no-show-signature --no-color --no-notes \
    --format='%H%x00%P%x00%an <%ae>%x00%aI%x00%s%x00' HEAD --branches --not "$1"
