//! What a container may do that not every one may: system calls, and root's capabilities.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

/// A container's system call filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SystemCalls {
    /// The engine's default.
    Engine,
    /// [`OUR_FILTER`], for an engine whose default opens a way to a hypervisor.
    Ours,
    /// One of the user's.
    Profile(Profile),
}

/// A system call filter of the user's, read and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// Where it was read, as the user named it.
    pub file: PathBuf,
    /// Fingerprint of its text.
    pub digest: String,
    /// The text: up to a quarter of a MiB, so a plan does not print it.
    #[serde(skip)]
    pub text: Arc<str>,
}

impl SystemCalls {
    /// The profile that the engine is given; `None`: its own.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            SystemCalls::Engine => None,
            SystemCalls::Ours => Some(OUR_FILTER),
            SystemCalls::Profile(profile) => Some(&profile.text),
        }
    }
}

/// How records name a profile: not a cryptographic hash; who could look for a collision is the user.
#[must_use]
pub fn digest(text: &str) -> String {
    format!("{:016x}", crate::task::fnv64(text.as_bytes()))
}

/// The engine's default filter without AF_VSOCK: the profile of the compose stack for old engines.
pub const OUR_FILTER: &str = include_str!("../../../../compose/socket/seccomp.json");

/// The capabilities a service image may need to give up root by itself. Never a network or an
/// administration one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Capability {
    /// Change owners of its files.
    Chown,
    /// Read and write its files whatever their mode.
    DacOverride,
    /// Act as the owner of its files.
    Fowner,
    /// Give files of any group the mode that keeps it. For what puts files back only.
    Fsetid,
    /// Become another group.
    Setgid,
    /// Become another user.
    Setuid,
}

impl Capability {
    /// What services get back.
    pub const SERVICE: [Capability; 5] = [
        Capability::Chown,
        Capability::DacOverride,
        Capability::Fowner,
        Capability::Setgid,
        Capability::Setuid,
    ];

    /// What reads files of several owners needs.
    pub const READ: [Capability; 1] = [Capability::DacOverride];

    /// What puts files of several owners back needs.
    pub const WRITE: [Capability; 4] = [
        Capability::Chown,
        Capability::DacOverride,
        Capability::Fowner,
        Capability::Fsetid,
    ];

    /// The kernel's word without `CAP_`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Capability::Chown => "CHOWN",
            Capability::DacOverride => "DAC_OVERRIDE",
            Capability::Fowner => "FOWNER",
            Capability::Fsetid => "FSETID",
            Capability::Setgid => "SETGID",
            Capability::Setuid => "SETUID",
        }
    }
}
