# planted COMMIT: what tools of a person's would run or obey in this tree and that was not there, or otherwise, at
# COMMIT. A line each: what it is, a tab, the path. What is in submodules is looked for there.
# Names end in a NUL until no name can end a line any more.
planted() (
    began=$1
    cd "$AGENTNET_TREE" 2>/dev/null || exit 0
    {
        find . -path ./.git -prune -o -iname .git -prune -printf 'repository\t%P\0' -o -type f \( \
            -ipath '*/.vscode/*.json' -o -iname '*.code-workspace' -o -ipath '*/.idea/*.xml' -o -ipath '*/.run/*.xml' -o \
            -ipath '*/.cursor/*' -o -iname '.exrc' -o -iname '.nvim.lua' -o -iname '.vimrc' -o -iname '.dir-locals.el' \
            \) -printf 'editor\t%P\0' -o -type f \( \
            -ipath '*/.claude/settings*.json' -o -ipath '*/.claude/hooks/*' -o -iname '.mcp.json' -o \
            -ipath '*/.gemini/settings.json' -o -ipath '*/.codex/config.toml' \
            \) -printf 'agent\t%P\0' -o -type f \( -iname .gitattributes -o -iname .gitmodules -o -iname .lfsconfig \
            \) -printf 'git\t%P\0' -o -type f \( \
            -ipath '*/.husky/*' -o -ipath '*/.githooks/*' -o -iname .pre-commit-config.yaml -o -iname 'lefthook.y*ml' \
            \) -printf 'hook\t%P\0' -o -type f \( -iname .envrc -o -iname mise.toml -o -iname .mise.toml \
            \) -printf 'shell\t%P\0' -o -type f \( -iname .devcontainer.json -o -ipath '*/.devcontainer/*' \
            \) -printf 'container\t%P\0' -o -type f \( -path ./agentnet.toml -o -path './.agentnet/*' \
            \) -printf 'agentnet\t%P\0' 2>/dev/null
        # What git takes for a repository has a HEAD, and objects and refs beside it or where commondir leads.
        find . -mindepth 2 \( -name objects -o -name commondir \) -printf '%h\0' 2>/dev/null |
            xargs -0 -r sh -c 'for place; do
                [ ! -e "$place/HEAD" ] && [ ! -L "$place/HEAD" ] || printf "repository\t%s\0" "${place#./}"
            done' sh
        # So many steps up that it leaves the tree, or from the root. Steps up behind a name: that may be a link itself.
        find . -type l -printf '%d %P//%l\0' 2>/dev/null | tr '\n\0' '?\n' | awk '{
            depth = $1; at = index($0, "//")
            path = substr($0, length(depth) + 2, at - length(depth) - 2)
            target = substr($0, at + 2); rest = target; up = 0
            while (substr(rest, 1, 3) == "../") { rest = substr(rest, 4); up++ }
            if (rest == "..") { rest = ""; up++ }
            if (up >= depth || ("/" rest "/") ~ /\/\.\.\// || substr(target, 1, 1) == "/") print "link\t" path
        }' | tr '\n' '\0'
    } | tr '\n\0' '?\n' | awk 'BEGIN { while ((getline line <"/tmp/ours") > 0) { ours[substr(line, 3)]; any = 1 } }
        any {
            path = substr($0, index($0, "\t") + 1)
            for (at = 1; at <= length(path); at++)
                if (substr(path, at, 1) == "/" && substr(path, 1, at - 1) in ours) next
        }
        { print }' | head -n 1000 | while IFS='	' read -r what path; do
        was=$(git rev-parse --verify --quiet "$began:$path" 2>/dev/null) || was=
        is=
        if [ -L "$path" ]; then
            is=$(readlink -n "$path" | git hash-object --stdin)
        elif [ -f "$path" ]; then
            is=$(git hash-object --no-filters -- "$path" 2>/dev/null) || is=
        fi
        [ -n "$was" ] && [ "$was" = "$is" ] || printf '%s\t%s\n' "$what" "$path"
    done | head -n 100
)
