#!/bin/sh
# Tells whoever started this task something, from a container that has a POSIX shell and nothing else of ours:
#
#   notify.sh complete|error|clarification|info|test TEXT…
#
# Exit 0: it lies in the spool. 2: wrong words. 3: there is no spool here. 1: it could not be written.
# In a task's container it is /agentnet/bin/notify.sh; elsewhere AGENTNET_NOTIFY names the spool. TEXT is UTF-8. It uses
# mv and rm, and date where there is one.
set -u
LC_ALL=C
export LC_ALL

fail() {
    code=$1
    shift
    printf 'notify.sh: %s\n' "$*" >&2
    exit "$code"
}

case ${1-} in
complete | error | clarification | info | test) kind=$1 ;;
blocked) fail 2 "only the proxy's own side tells of what was blocked" ;;
*) fail 2 'usage: notify.sh complete|error|clarification|info|test TEXT' ;;
esac
shift
rest=$*
[ -n "$rest" ] || fail 2 'there is nothing to say; write what happened behind the kind'

out=${AGENTNET_NOTIFY:-/agentnet/notify}/out
[ -d "$out" ] || fail 3 "there is no spool at ${out%/out}: notifications are off, or this is no task's container"

# The text as JSON (RFC 8259 section 7), letter by letter, because any tool that could do it may be missing. People see
# 256 characters, so 1000 bytes are enough; cut where no letter of several bytes is cut in two.
rest=$(printf '%.1001s' "$rest")
newline='
'
tab=$(printf '\t')
text=
whole=
left=1000
while [ -n "$rest" ]; do
    tail=${rest#?}
    letter=${rest%"$tail"}
    rest=$tail
    case $letter in
    ' ') whole=$text ;;
    esac
    case $letter in
    '"' | \\) text=$text\\$letter ;;
    "$newline") whole=$text text=$text'\n' ;;
    "$tab") text=$text'\t' ;;
    [[:cntrl:]]) text=$text$(printf '\\u%04x' "'$letter") ;;
    *) text=$text$letter ;;
    esac
    left=$((left - 1))
    if [ "$left" -eq 0 ] && [ -n "$rest" ]; then
        [ -n "$whole" ] || fail 2 'the text is too long, and has no blank to cut it at'
        text=$whole…
        break
    fi
done

# A name that nobody else has: whoever makes the file, has it.
at=$(date +%s 2>/dev/null) || at=0
number=0
set -C
while ! { : >"$out/sh-$at-$$-$number.tmp"; } 2>/dev/null; do
    number=$((number + 1))
    [ "$number" -lt 16 ] || fail 1 "cannot write into $out"
done
set +C
id=sh-$at-$$-$number
{ printf '{"v":1,"kind":"%s","text":"%s"}\n' "$kind" "$text" >"$out/$id.tmp"; } 2>/dev/null &&
    mv "$out/$id.tmp" "$out/$id.json" || {
    rm -f "$out/$id.tmp"
    fail 1 "cannot write into $out"
}
