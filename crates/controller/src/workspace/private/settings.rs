//! The configuration of a task's git directory: what the user's says about remotes and files, and
//! nothing that names a program, a place of the host or a secret.

use super::PrivateGit;
use crate::error::Result;
use crate::workspace::git::{Repository, ShownRef};

/// What is taken over from the user's `core` section: how files look.
const CORE: [&str; 6] = [
    "core.filemode",
    "core.ignorecase",
    "core.symlinks",
    "core.autocrlf",
    "core.eol",
    "core.sparsecheckoutcone",
];
/// What is taken over of remotes and branches.
const REMOTE: [&str; 4] = ["url", "fetch", "promisor", "partialclonefilter"];
const BRANCH: [&str; 3] = ["remote", "merge", "rebase"];

/// The text of `config`.
pub(super) async fn config(
    repository: &Repository,
    git: &PrivateGit,
    branch: &str,
    shown: &[ShownRef],
) -> Result<String> {
    let task = branch.rsplit('/').next().unwrap_or(branch);
    let mut lines = vec![
        ("core.bare".to_owned(), "false".to_owned()),
        ("core.logallrefupdates".to_owned(), "true".to_owned()),
        // Who committed is never in doubt; the user's own name is opt-in.
        ("user.name".to_owned(), format!("agentnet {task}")),
        ("user.email".to_owned(), format!("{task}@agentnet.invalid")),
    ];
    let extended = git.format != "sha1" || git.promisor.is_some();
    let version = if extended { "1" } else { "0" };
    lines.push((
        "core.repositoryformatversion".to_owned(),
        version.to_owned(),
    ));
    if git.format != "sha1" {
        lines.push(("extensions.objectformat".to_owned(), git.format.clone()));
    }
    if let Some(promisor) = &git.promisor {
        lines.push(("extensions.partialclone".to_owned(), promisor.clone()));
    }
    // For git submodule: it is initialized.
    let above = git.name.as_ref().map(|name| format!("{name}/modules/"));
    let names = git.modules.iter().filter_map(|module| {
        let name = module.git.name.as_deref()?;
        above
            .as_deref()
            .map_or(Some(name), |above| name.strip_prefix(above))
    });
    lines.extend(names.map(|name| (format!("submodule.{name}.active"), "true".to_owned())));
    if repository.is_sparse().await? {
        lines.push(("core.sparsecheckout".to_owned(), "true".to_owned()));
    }
    lines.extend(
        repository
            .settings()
            .await?
            .into_iter()
            .filter_map(taken_over)
            .filter(|(key, _)| !git.own || names_nothing_hidden(key, shown)),
    );
    Ok(lines
        .iter()
        .map(|(key, value)| section(key, value))
        .collect())
}

/// A clone hears of no branch that it does not have.
fn names_nothing_hidden(key: &str, shown: &[ShownRef]) -> bool {
    let Some((branch, _)) = key
        .strip_prefix("branch.")
        .and_then(|rest| rest.rsplit_once('.'))
    else {
        return true;
    };
    let head = format!("refs/heads/{branch}");
    shown.iter().any(|shown| shown.name == head)
}

/// A setting of the user's as the task may see it.
fn taken_over((key, value): (String, String)) -> Option<(String, String)> {
    if CORE.contains(&key.as_str()) {
        return Some((key, value));
    }
    let (section, rest) = key.split_once('.')?;
    let (_, name) = rest.rsplit_once('.')?;
    match section {
        "remote" if name == "url" => Some((key.clone(), without_secrets(&value)?)),
        "remote" if REMOTE.contains(&name) => Some((key, value)),
        "branch" if BRANCH.contains(&name) => Some((key, value)),
        _ => None,
    }
}

/// A remote's address without user and password. `None`: a place of the host, which the task does not
/// have.
pub(in crate::workspace) fn without_secrets(url: &str) -> Option<String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        // git@host:path, as OpenSSH writes it. A path has no colon, or a slash before it.
        let (host, _) = url.split_once(':')?;
        return (!host.contains('/') && host.len() > 1).then(|| url.to_owned());
    };
    if scheme == "file" {
        return None;
    }
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (rest, String::new()),
    };
    let host = authority.rsplit('@').next().unwrap_or(authority);
    // Who logs in over SSH is no secret, and the server wants to know.
    let user = authority.split_once('@').map(|(user, _)| user);
    let user = user.and_then(|user| user.split(':').next());
    match (scheme, user) {
        ("ssh" | "git+ssh", Some(user)) => Some(format!("{scheme}://{user}@{host}{path}")),
        _ => Some(format!("{scheme}://{host}{path}")),
    }
}

/// `[section "sub"]` and its line, quoted as git reads it.
fn section(key: &str, value: &str) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let value = quoted(value).replace('\n', "\\n").replace('\t', "\\t");
    let (section, rest) = key.split_once('.').unwrap_or((key, ""));
    match rest.rsplit_once('.') {
        Some((sub, name)) => {
            format!("[{section} \"{}\"]\n\t{name} = \"{value}\"\n", quoted(sub))
        }
        None => format!("[{section}]\n\t{rest} = \"{value}\"\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_no_password_and_a_place_of_the_host_is_left_out() {
        let cases = [
            (
                "https://me:s3cret@git.example/a.git",
                Some("https://git.example/a.git"),
            ),
            (
                "https://token@git.example:8443/a",
                Some("https://git.example:8443/a"),
            ),
            ("https://git.example", Some("https://git.example")),
            (
                "ssh://git:pw@git.example/a",
                Some("ssh://git@git.example/a"),
            ),
            ("git@git.example:a/b.git", Some("git@git.example:a/b.git")),
            ("/home/me/a.git", None),
            ("../a", None),
            ("./odd:name", None),
            ("file:///home/me/a", None),
        ];
        for (url, expected) in cases {
            assert_eq!(without_secrets(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn nothing_that_names_a_program_is_taken_over() {
        for key in [
            "core.fsmonitor",
            "core.sshcommand",
            "remote.origin.uploadpack",
            "remote.origin.proxy",
            "branch.main.description",
            "filter.lfs.clean",
            "alias.x",
            "credential.helper",
        ] {
            assert_eq!(taken_over((key.to_owned(), "x".to_owned())), None, "{key}");
        }
    }

    #[test]
    fn a_value_cannot_leave_its_line() {
        assert_eq!(
            section("remote.a\"]\n[x.url", "v\"\\\n[core]"),
            "[remote \"a\\\"]\n[x\"]\n\turl = \"v\\\"\\\\\\n[core]\"\n"
        );
    }
}
