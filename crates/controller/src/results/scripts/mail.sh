# The same commits as mails for `git am`, where the branch is a plain line of them.
git format-patch --stdout --binary --full-index --no-signature --no-color --no-ext-diff --no-textconv \
    --no-notes --no-attach --no-thread "$1..HEAD"
