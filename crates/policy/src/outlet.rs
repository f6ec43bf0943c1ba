//! Hosts where whoever is allowed to send can leave data for others: the `(!)` of the presets and
//! the warnings of `learn` are this one list.

use std::fmt;

use crate::host::Name;
use crate::rule::{Suffix, suffix_of};

/// What makes a host a way out for data, although it may be needed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Outlet {
    /// Object storage: anyone can have a bucket.
    ObjectStore,
    /// Gists and snippets, and hosts that serve what anyone put into a repository.
    Gist,
    /// Pastes and notes.
    Paste,
    /// Files for whoever has the link.
    FileDrop,
    /// Shows its visitors' requests to whoever made the address, or tunnels them to him.
    Catcher,
    /// Chats and mail: a message is an upload.
    Messages,
    /// A package, image or key registry where anyone can publish.
    Registry,
    /// A git forge: a push, an issue, a comment.
    Forge,
    /// Keeps what a logged-in person sends: settings sync, plugin uploads.
    Account,
    /// A name below a platform that gives such names to its customers.
    Tenant,
}

impl Outlet {
    /// What to know about it, as a clause.
    pub fn words(self) -> &'static str {
        match self {
            Outlet::ObjectStore => "an object store, anyone can store content here",
            Outlet::Gist => "serves or takes what anyone writes, anyone can store content here",
            Outlet::Paste => "a paste site, anyone can store content here",
            Outlet::FileDrop => "a file drop, anyone can store content here",
            Outlet::Catcher => "shows requests to whoever set it up, a way out for data",
            Outlet::Messages => "a messenger, a way out for data",
            Outlet::Registry => "publishing is a way out for data",
            Outlet::Forge => "a push, an issue or a comment is a way out for data",
            Outlet::Account => "whoever is logged in can upload, a way out for data",
            Outlet::Tenant => {
                "a customer's name on a shared platform, a way out for data unless it is yours"
            }
        }
    }

    /// Whether strangers can leave content here without being anybody's customer or friend.
    pub fn is_open(self) -> bool {
        match self {
            Outlet::ObjectStore
            | Outlet::Gist
            | Outlet::Paste
            | Outlet::FileDrop
            | Outlet::Catcher => true,
            Outlet::Messages
            | Outlet::Registry
            | Outlet::Forge
            | Outlet::Account
            | Outlet::Tenant => false,
        }
    }
}

impl fmt::Display for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// Sorted by name. A name stands for itself and, where the second word says so, for all below it.
const KNOWN: &[(&str, Reach, Outlet)] = &[
    ("0x0.st", Reach::Below, Outlet::FileDrop),
    ("aliyuncs.com", Reach::Below, Outlet::ObjectStore),
    ("amazonaws.com", Reach::Below, Outlet::ObjectStore),
    ("anonfiles.com", Reach::Below, Outlet::FileDrop),
    ("api.bitbucket.org", Reach::Exact, Outlet::Forge),
    ("api.dropboxapi.com", Reach::Exact, Outlet::FileDrop),
    ("api.github.com", Reach::Exact, Outlet::Forge),
    ("api.telegram.org", Reach::Exact, Outlet::Messages),
    ("archive.org", Reach::Below, Outlet::FileDrop),
    ("backblazeb2.com", Reach::Below, Outlet::ObjectStore),
    ("bashupload.com", Reach::Below, Outlet::FileDrop),
    ("beeceptor.com", Reach::Below, Outlet::Catcher),
    ("bitbucket.org", Reach::Exact, Outlet::Forge),
    ("bpa.st", Reach::Exact, Outlet::Paste),
    ("burpcollaborator.net", Reach::Below, Outlet::Catcher),
    ("catbox.moe", Reach::Below, Outlet::FileDrop),
    ("cloudconfig.jetbrains.com", Reach::Exact, Outlet::Account),
    ("cloudflarestorage.com", Reach::Below, Outlet::ObjectStore),
    ("codeberg.org", Reach::Exact, Outlet::Forge),
    ("codepen.io", Reach::Below, Outlet::Gist),
    ("content.dropboxapi.com", Reach::Exact, Outlet::FileDrop),
    ("controlc.com", Reach::Exact, Outlet::Paste),
    ("core.windows.net", Reach::Below, Outlet::ObjectStore),
    ("digitaloceanspaces.com", Reach::Below, Outlet::ObjectStore),
    ("discord.com", Reach::Below, Outlet::Messages),
    ("discordapp.com", Reach::Below, Outlet::Messages),
    ("dpaste.com", Reach::Exact, Outlet::Paste),
    ("dpaste.org", Reach::Exact, Outlet::Paste),
    ("drive.google.com", Reach::Exact, Outlet::FileDrop),
    ("dropbox.com", Reach::Below, Outlet::FileDrop),
    ("file.io", Reach::Below, Outlet::FileDrop),
    (
        "firebasestorage.googleapis.com",
        Reach::Exact,
        Outlet::ObjectStore,
    ),
    ("gcr.io", Reach::Below, Outlet::Registry),
    ("ghcr.io", Reach::Exact, Outlet::Registry),
    ("ghostbin.com", Reach::Exact, Outlet::Paste),
    ("gist.github.com", Reach::Exact, Outlet::Gist),
    ("gist.githubusercontent.com", Reach::Exact, Outlet::Gist),
    (
        "github-cloud.s3.amazonaws.com",
        Reach::Exact,
        Outlet::ObjectStore,
    ),
    ("github.com", Reach::Exact, Outlet::Forge),
    ("gitlab.com", Reach::Exact, Outlet::Forge),
    ("gofile.io", Reach::Below, Outlet::FileDrop),
    ("graph.microsoft.com", Reach::Exact, Outlet::Messages),
    ("hastebin.com", Reach::Exact, Outlet::Paste),
    ("hookb.in", Reach::Below, Outlet::Catcher),
    ("hooks.slack.com", Reach::Exact, Outlet::Messages),
    ("huggingface.co", Reach::Below, Outlet::Registry),
    ("imgur.com", Reach::Below, Outlet::FileDrop),
    ("interact.sh", Reach::Below, Outlet::Catcher),
    ("ix.io", Reach::Exact, Outlet::Paste),
    ("justpaste.it", Reach::Exact, Outlet::Paste),
    ("keyserver.ubuntu.com", Reach::Exact, Outlet::Registry),
    ("launchpad.net", Reach::Below, Outlet::Forge),
    ("litter.catbox.moe", Reach::Exact, Outlet::FileDrop),
    ("loca.lt", Reach::Below, Outlet::Catcher),
    (
        "marketplace.visualstudio.com",
        Reach::Exact,
        Outlet::Registry,
    ),
    ("mega.nz", Reach::Below, Outlet::FileDrop),
    ("ngrok-free.app", Reach::Below, Outlet::Catcher),
    ("ngrok.app", Reach::Below, Outlet::Catcher),
    ("ngrok.io", Reach::Below, Outlet::Catcher),
    ("oast.fun", Reach::Below, Outlet::Catcher),
    ("oast.live", Reach::Below, Outlet::Catcher),
    ("oast.me", Reach::Below, Outlet::Catcher),
    ("oast.online", Reach::Below, Outlet::Catcher),
    ("oast.pro", Reach::Below, Outlet::Catcher),
    ("oast.site", Reach::Below, Outlet::Catcher),
    ("oastify.com", Reach::Below, Outlet::Catcher),
    ("open-vsx.org", Reach::Exact, Outlet::Registry),
    ("oshi.at", Reach::Exact, Outlet::FileDrop),
    ("paste.debian.net", Reach::Exact, Outlet::Paste),
    ("paste.ee", Reach::Exact, Outlet::Paste),
    ("paste.rs", Reach::Exact, Outlet::Paste),
    ("pastebin.com", Reach::Below, Outlet::Paste),
    ("pipedream.net", Reach::Below, Outlet::Catcher),
    ("pixeldrain.com", Reach::Below, Outlet::FileDrop),
    ("pkg.github.com", Reach::Below, Outlet::Registry),
    ("plugins.jetbrains.com", Reach::Exact, Outlet::Registry),
    ("ppa.launchpadcontent.net", Reach::Exact, Outlet::Registry),
    ("privatebin.net", Reach::Exact, Outlet::Paste),
    ("public.ecr.aws", Reach::Exact, Outlet::Registry),
    ("quay.io", Reach::Below, Outlet::Registry),
    ("raw.githubusercontent.com", Reach::Exact, Outlet::Gist),
    ("registry-1.docker.io", Reach::Exact, Outlet::Registry),
    ("registry.gitlab.com", Reach::Exact, Outlet::Registry),
    ("registry.npmjs.org", Reach::Exact, Outlet::Registry),
    ("registry.yarnpkg.com", Reach::Exact, Outlet::Registry),
    ("rentry.co", Reach::Exact, Outlet::Paste),
    ("requestbin.com", Reach::Below, Outlet::Catcher),
    ("requestbin.net", Reach::Below, Outlet::Catcher),
    ("requestcatcher.com", Reach::Below, Outlet::Catcher),
    ("rubygems.org", Reach::Exact, Outlet::Registry),
    ("serveo.net", Reach::Below, Outlet::Catcher),
    ("slack.com", Reach::Below, Outlet::Messages),
    ("smtp.gmail.com", Reach::Exact, Outlet::Messages),
    ("sprunge.us", Reach::Exact, Outlet::Paste),
    ("storage.googleapis.com", Reach::Below, Outlet::ObjectStore),
    ("temp.sh", Reach::Exact, Outlet::FileDrop),
    ("termbin.com", Reach::Exact, Outlet::Paste),
    ("tmpfiles.org", Reach::Exact, Outlet::FileDrop),
    ("transfer.sh", Reach::Exact, Outlet::FileDrop),
    ("trycloudflare.com", Reach::Below, Outlet::Catcher),
    ("upload.pypi.org", Reach::Exact, Outlet::Registry),
    ("uploads.github.com", Reach::Exact, Outlet::Gist),
    (
        "vscode-sync.trafficmanager.net",
        Reach::Exact,
        Outlet::Account,
    ),
    ("wasabisys.com", Reach::Below, Outlet::ObjectStore),
    ("webhook.site", Reach::Below, Outlet::Catcher),
    ("wetransfer.com", Reach::Below, Outlet::FileDrop),
    ("workers.dev", Reach::Below, Outlet::Tenant),
    ("www.nuget.org", Reach::Exact, Outlet::Registry),
    ("x0.at", Reach::Exact, Outlet::FileDrop),
];

/// Platforms of the public suffix list whose owner alone makes the names that matter here; what
/// takes data among them is in the list above.
const OWN_NAMES: &[&str] = &["googleapis.com"];

/// How far a name of the list reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reach {
    Exact,
    Below,
}

impl Name {
    /// Why whoever may send there can leave data for others, if that is known. The list is not
    /// complete and cannot be: `None` is no promise.
    pub fn outlet(&self) -> Option<Outlet> {
        let whole = self.as_str();
        let mut rest = whole;
        loop {
            if let Ok(at) = KNOWN.binary_search_by_key(&rest, |(name, _, _)| name)
                && let Some(&(_, reach, outlet)) = KNOWN.get(at)
                && (reach == Reach::Below || rest.len() == whole.len())
            {
                return Some(outlet);
            }
            match rest.split_once('.') {
                Some((_, above)) => rest = above,
                None => break,
            }
        }
        self.is_tenant().then_some(Outlet::Tenant)
    }

    /// Whether this is one customer's name on a platform that many share, by the private section
    /// of the public suffix list.
    fn is_tenant(&self) -> bool {
        let platform =
            |name: &str| suffix_of(name) == Suffix::Platform && !OWN_NAMES.contains(&name);
        let above = self.as_str().match_indices('.').map(|(dot, _)| dot + 1);
        platform(self.as_str()) || above.filter_map(|at| self.as_str().get(at..)).any(platform)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;

    fn outlet(name: &str) -> Option<Outlet> {
        Host::parse(name).unwrap().name().unwrap().outlet()
    }

    #[test]
    fn the_list_is_sorted_canonical_and_without_doubles() {
        for pair in KNOWN.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} {}", pair[0].0, pair[1].0);
        }
        for (name, _, _) in KNOWN {
            assert_eq!(Host::parse(name).unwrap().to_string(), *name);
        }
    }

    #[test]
    fn what_strangers_can_write_to_is_known_by_its_kind() {
        for (name, expected) in [
            ("gist.github.com", Some(Outlet::Gist)),
            ("pastebin.com", Some(Outlet::Paste)),
            ("transfer.sh", Some(Outlet::FileDrop)),
            ("x7.ngrok.io", Some(Outlet::Catcher)),
            (
                "bucket.s3.eu-west-1.amazonaws.com",
                Some(Outlet::ObjectStore),
            ),
            ("storage.googleapis.com", Some(Outlet::ObjectStore)),
            ("a.blob.core.windows.net", Some(Outlet::ObjectStore)),
            ("evil.github.io", Some(Outlet::Tenant)),
            ("a.evil.github.io", Some(Outlet::Tenant)),
            ("evil.vercel.app", Some(Outlet::Tenant)),
            ("github.com", Some(Outlet::Forge)),
            ("pypi.org", None),
            ("docs.github.com", None),
            ("notgist.github.com.example", None),
            ("generativelanguage.googleapis.com", None),
            ("avatars.githubusercontent.com", None),
        ] {
            assert_eq!(outlet(name), expected, "{name}");
        }
    }
}
