//! What a policy would do with a name that somebody might ask for.

use crate::policy::{Ask, Policy, Request, Verdict};
use crate::rule::Layer;
use crate::target::Target;
use crate::whitelist::{LoadOptions, Source, load};

/// The policy of one line or more, if they load.
pub(super) fn loads(text: &str) -> Option<Policy> {
    let sources = [Source {
        name: "lint".to_owned(),
        layer: Layer::Project,
        text: text.to_owned(),
    }];
    load(&sources, &(), LoadOptions::default())
        .ok()
        .map(|loaded| loaded.policy)
}

pub(super) fn is_let_through(policy: &Policy, target: &Target, ask: Ask<'_>) -> bool {
    let verdict = policy.judge(
        Request {
            target: target.clone(),
            ask,
        },
        jiff::Timestamp::UNIX_EPOCH,
    );
    matches!(verdict, Verdict::Allow(_))
}

pub(super) fn is_meant(policy: &Policy, target: &Target) -> bool {
    let mut meant = false;
    policy
        .index()
        .lines(policy.all(), target.host(), |_, _, _| meant = true);
    meant
}

pub(super) fn request(candidate: &str) -> Option<(Target, Option<String>)> {
    let (authority, path) = match candidate.strip_prefix("http://") {
        None => (candidate, None),
        Some(rest) => {
            let (authority, path) = rest.split_once('/')?;
            (authority, Some(format!("/{path}")))
        }
    };
    let default = if path.is_some() { 80 } else { 443 };
    let target = Target::parse(authority, std::num::NonZeroU16::new(default)).ok()?;
    Some((target, path))
}
