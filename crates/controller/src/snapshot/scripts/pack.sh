# Writes a place as an archive: owners as numbers, links as links, holes as holes, and the attributes that an owner
# may set. Names come from find, one by one: tar neither walks nor follows anything.
find . -regextype posix-extended \( -regex '.{3900,}' "$@" \) -prune -o \
    \( -type f -o -type d -o -type l -o -type p \) -print0 |
    tar --create --format=posix --pax-option=delete=atime,delete=ctime --numeric-owner --sparse \
        --xattrs --xattrs-include='user.*' --no-recursion --null --files-from=- --file=- || code=$?
# 1: something changed while it was read, which only a task that is not held can do.
[ "${code:-0}" -le 1 ]
