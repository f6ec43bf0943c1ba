//! The engine's refusals as causes that somebody acts on.

use crate::engine::EngineError;

/// The cause at the bottom: "connection refused" rather than "client error (Connect)".
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// The engine's answers as causes somebody acts on. The API has no codes below the HTTP status, so
/// the words decide where one status stands for several causes.
pub(super) fn refused(status: u16, message: String) -> EngineError {
    let has = |words: &str| message.contains(words);
    if has("no space left on device") || has("disk quota exceeded") {
        EngineError::DiskFull(message)
    } else if has("Pool overlaps") || has("overlaps with existing") || has("conflicts with network")
    {
        EngineError::Overlap(message)
    } else if has("Address already in use") {
        EngineError::AddressTaken(message)
    } else if status == 409 && (has("already in use") || has("already exists")) {
        EngineError::NameInUse(message)
    } else if status == 404 {
        EngineError::NotFound(message)
    } else {
        EngineError::Refused { status, message }
    }
}
