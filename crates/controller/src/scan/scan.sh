# planted COMMIT: what tools of a person's would run or obey in this tree and that was not there, or otherwise, at
# COMMIT. A line each: what it is, a tab, the path.
planted() (
    began=$1
    cd "$AGENTNET_TREE" 2>/dev/null || exit 0
    {
        find . -path ./.git -prune -o -iname .git -prune -printf 'repository\t%P\n' -o -type f \( \
            -ipath '*/.vscode/*.json' -o -iname '*.code-workspace' -o -ipath '*/.idea/*.xml' -o -ipath '*/.run/*.xml' -o \
            -ipath '*/.cursor/*' -o -iname '.exrc' -o -iname '.nvim.lua' -o -iname '.vimrc' -o -iname '.dir-locals.el' \
            \) -printf 'editor\t%P\n' -o -type f \( \
            -ipath '*/.claude/settings*.json' -o -ipath '*/.claude/hooks/*' -o -iname '.mcp.json' -o \
            -ipath '*/.gemini/settings.json' -o -ipath '*/.codex/config.toml' \
            \) -printf 'agent\t%P\n' -o -type f \( -iname .gitattributes -o -iname .gitmodules -o -iname .lfsconfig \
            \) -printf 'git\t%P\n' -o -type f \( \
            -ipath '*/.husky/*' -o -ipath '*/.githooks/*' -o -iname .pre-commit-config.yaml -o -iname 'lefthook.y*ml' \
            \) -printf 'hook\t%P\n' -o -type f \( -iname .envrc -o -iname mise.toml -o -iname .mise.toml \
            \) -printf 'shell\t%P\n' -o -type f \( -iname .devcontainer.json -o -ipath '*/.devcontainer/*' \
            \) -printf 'container\t%P\n' -o -type f \( -path ./agentnet.toml -o -path './.agentnet/*' \
            \) -printf 'agentnet\t%P\n' 2>/dev/null
        # A directory that git takes for a repository has these three.
        find . -mindepth 2 -type d -name objects -printf '%h\n' 2>/dev/null | head -n 1000 | while IFS= read -r place; do
            [ ! -f "$place/HEAD" ] || [ ! -d "$place/refs" ] || printf 'repository\t%s\n' "${place#./}"
        done
        # So many steps up that it leaves the tree, or from the root.
        find . -type l -printf '%d\t%P\t%l\n' 2>/dev/null | awk -F '\t' 'NF == 3 {
            rest = $3; up = 0
            while (substr(rest, 1, 3) == "../") { rest = substr(rest, 4); up++ }
            if (rest == "..") up++
            if (up >= $1 || substr($3, 1, 1) == "/") print "link\t" $2
        }'
    } | head -n 1000 | while IFS='	' read -r what path; do
        if [ "$what" = repository ] && printf './%s\n' "${path%/.git}" | grep -qxFf /tmp/ours; then
            continue
        fi
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
