//! What an agent plants for the git of a person: none of it runs on the host, whatever agentnet is asked to do.

use std::path::Path;
use std::process::Command;

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::command::run;
use agentnet_e2e::engine::Engine;
use agentnet_e2e::on_engines;
use agentnet_e2e::repository::git;
use fs_err as fs;

/// Everything that makes some git run a program, wherever the agent can write it; `$0` is the program. And what other
/// tools of a person's run.
const PLANT: &str = r#"
set -eu
run=$0
cd /workspace
for name in pre-commit post-commit post-checkout post-index-change post-merge post-rewrite pre-auto-gc pre-receive update \
    post-receive post-update reference-transaction push-to-checkout proc-receive fsmonitor-watchman sendemail-validate; do
    printf '#!/bin/sh\n%s\n' "$run" >"/agentnet/git/hooks-$name"
done
mkdir -p /agentnet/git/hooks
for file in /agentnet/git/hooks-*; do
    chmod 755 "$file"
    mv "$file" "/agentnet/git/hooks/${file##*hooks-}"
done
evil() {
    for key in core.fsmonitor diff.external core.sshCommand core.pager core.editor core.gitProxy core.askPass gpg.program \
        credential.helper filter.evil.clean filter.evil.smudge filter.evil.process diff.evil.command diff.evil.textconv \
        merge.evil.driver uploadpack.packObjectsHook core.alternateRefsCommand interactive.diffFilter alias.status; do
        git config --file "$1" "$key" "$run"
    done
    git config --file "$1" filter.evil.required true
    git config --file "$1" core.hooksPath /agentnet/git/hooks
    git config --file "$1" include.path /agentnet/git/more
    git config --file "$1" submodule.sub.url "ext::sh -c $run"
    git config --file "$1" submodule.sub.update "!$run"
    git config --file "$1" remote.origin.url "ext::sh -c $run"
    git config --file "$1" remote.origin.uploadpack "$run"
    git config --file "$1" url.ext::sh.insteadOf https://
}
printf '* filter=evil diff=evil merge=evil\n' >.gitattributes
printf '[submodule "sub"]\n\tpath = sub\n\turl = ext::sh -c %s\n\tupdate = checkout\n' "$run" >.gitmodules
git init --quiet sub
git -C sub -c user.name=a -c user.email=a@b.example commit --quiet --allow-empty --message sub
mkdir -p .vscode .claude
echo "{\"tasks\":[{\"command\":\"$run\",\"runOptions\":{\"runOn\":\"folderOpen\"}}]}" >.vscode/tasks.json
echo "$run" >.envrc
git add --all
git commit --quiet --message 'Planted'
for config in /agentnet/git/config sub/.git/config; do evil "$config"; done
git config --file /agentnet/git/config core.worktree /
cp -r sub/.git inner
mkdir other && mv inner other/.git
printf 'gitdir: /workspace/other/.git\n' >sub/file
printf '* filter=evil\n' >/agentnet/git/info/attributes
# Alternates: at other places of the host, and of each other.
printf '/workspace/other/.git/objects\n' >/agentnet/git/objects/info/http-alternates
printf '/etc\n/agentnet/objects/0\n' >other/.git/objects/info/alternates
# Worktrees: what says where a repository's own directory is, and where its files are.
git config --file /agentnet/git/config extensions.worktreeConfig true
git config --file /agentnet/git/config.worktree core.fsmonitor "$run"
mkdir -p /agentnet/git/worktrees/evil
printf '/workspace/other/.git\n' >/agentnet/git/worktrees/evil/gitdir
printf '/workspace/other/.git\n' >/agentnet/git/worktrees/evil/commondir
printf 'ref: refs/heads/main\n' >/agentnet/git/worktrees/evil/HEAD
printf '/workspace/other/.git\n' >/agentnet/git/commondir
printf '/workspace/other/.git\n' >/agentnet/git/gitdir
(echo 'gitdir: /workspace/other/.git' >/workspace/.git) 2>/dev/null && echo "wrote .git"
(echo /workspace/other/.git/objects >/agentnet/git/objects/info/alternates) 2>/dev/null && echo "wrote alternates"
ln -s /etc/passwd leads-out
ln -s /etc/passwd /agentnet/git/refs/heads/linked
echo changed >>README
true
"#;

/// Files of the person's repository that name programs and places.
fn settings(root: &Path) -> Vec<(String, String)> {
    let files = [
        "config",
        "info/attributes",
        "objects/info/alternates",
        "commondir",
        "config.worktree",
    ];
    let read = |name: &str| {
        (
            name.to_owned(),
            fs::read_to_string(root.join(".git").join(name)).unwrap_or_default(),
        )
    };
    let hooks = fs::read_dir(root.join(".git/hooks")).into_iter().flatten();
    let mut hooks: Vec<_> = hooks
        .map(|hook| hook.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    hooks.sort();
    let hooks = ("hooks".to_owned(), hooks.join(" "));
    files.iter().map(|name| read(name)).chain([hooks]).collect()
}

fn nothing_planted_runs(engine: &Engine) {
    let checkout = Checkout::new(engine, None, "");
    let root = checkout.directory();
    // Trees are given to another user than root: git would refuse them for that alone.
    fs::write(
        root.with_file_name(".gitconfig"),
        "[safe]\n\tdirectory = *\n",
    )
    .unwrap();
    checkout.agentnet(&["up", "t"]).expect();
    let before = settings(&root);
    let agent = checkout.container("t", "agent");
    // Somewhere that both the host and the container have, and only the host's is looked at.
    let canary = tempfile::tempdir().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(canary.path(), mode).unwrap();
    let place = canary.path().display().to_string();
    let program = format!("mkdir -p {place} && touch {place}/ran");
    let said = engine.docker(["exec", &agent, "sh", "-c", PLANT, &program]);
    assert_eq!(said.expect(), "", "what must not be writable");
    let ran = || std::fs::read_dir(canary.path()).unwrap().next().is_some();
    let quiet = |when: &str| {
        assert!(!ran(), "something planted ran: {when}");
        assert_eq!(settings(&root), before, "{when}");
    };

    let sync = checkout.agentnet(&["sync", "t"]).expect();
    quiet("sync");
    let named = [
        ".vscode/tasks.json",
        ".envrc",
        ".gitattributes",
        ".gitmodules",
        "other/.git",
        "leads-out",
    ];
    for named in named {
        assert!(sync.contains(named), "{named}: {sync}");
    }
    assert!(git(&root, &["show", "--stat", "agentnet/t"]).contains("Planted"));
    let out = root.with_file_name("out");
    let said = checkout.agentnet(&["results", "t", &out.to_string_lossy()]);
    quiet("results");
    let said = said.text();
    let report = fs::read_to_string(out.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let planted = report["planted"].as_array().unwrap();
    for named in named {
        assert!(said.contains(named), "{named}: {said}");
        assert!(
            planted.iter().any(|planted| planted["path"] == named),
            "{named}: {report}"
        );
    }
    assert!(out.join("changes.patch").exists(), "{report}");
    for words in [
        &["status", "t"][..],
        &["ls"],
        &["verify", "t", "--brief"],
        &["doctor", "t"],
    ] {
        checkout.agentnet(words).expect();
        quiet(words[0]);
    }
    let down = checkout.agentnet(&["down", "t"]);
    quiet("down");
    assert!(
        down.ok() && down.stderr.contains("refs/agentnet/wip/t"),
        "{down}"
    );
    assert!(down.stderr.contains(".vscode/tasks.json"), "{down}");
    let readme = git(&root, &["show", "refs/agentnet/wip/t:README"]);
    assert_eq!(readme.lines().last(), Some("changed"));
    checkout.agentnet(&["gc"]).expect();
    quiet("gc");

    // The bait is live: git itself, started in the tree by a person, takes it. That is why nobody else may.
    let tree = checkout
        .state()
        .join("tasks")
        .join(&checkout.project)
        .join("t/tree");
    let mut person = Command::new("git");
    person
        .env("HOME", root.with_file_name(""))
        .arg("-C")
        .arg(&tree)
        .arg("status");
    run(&mut person);
    assert!(
        ran(),
        "plain git in {} was to run what was planted",
        tree.display()
    );
    fs::remove_file(canary.path().join("ran")).unwrap();

    checkout.agentnet(&["up", "t"]).expect();
    checkout.agentnet(&["down", "t", "--discard"]).expect();
    quiet("another up and down");
    assert_eq!(checkout.leftovers(), []);
}

on_engines! {
    [current, old] fn nothing_that_an_agent_plants_runs_on_the_host(engine) {
        nothing_planted_runs(engine);
    }
}
