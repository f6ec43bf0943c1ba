# Entries and bytes on the disk of a place.
find . -regextype posix-extended \( -regex '.{3900,}' "$@" \) -prune -o \
    \( -type f -o -type d -o -type l -o -type p \) -printf '%b\n' |
    awk '{ entries++; blocks += $1 } END { printf "%.0f %.0f\n", entries, blocks * 512 }'
