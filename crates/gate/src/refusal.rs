//! What the proxy's answers mean where it had to refuse. Pure.

use agentnet_policy::Reason;

use crate::conversation::Answer;
use crate::report::{Finding, Outcome};

/// What an answer means where the proxy had to refuse without dialling.
pub(crate) fn judge(answer: &Answer) -> (Outcome, String) {
    let Some(reason) = answer.reason else {
        return match answer.status {
            200..=299 => (
                Outcome::Leak,
                format!("was let through ({})", answer.status),
            ),
            status => (Outcome::Broken, format!("got {status} without a reason")),
        };
    };
    if reason.status() != answer.status {
        let (status, right) = (answer.status, reason.status());
        return (
            Outcome::Broken,
            format!("got {status} {reason}, which should be {right}"),
        );
    }
    match reason {
        Reason::NotListed
        | Reason::RuleDenied
        | Reason::PortNotListed
        | Reason::MethodNotListed
        | Reason::PathNotListed
        | Reason::PrivateAddress
        | Reason::HostMismatch
        | Reason::UpgradeNotListed
        | Reason::BudgetSpent
        | Reason::ClientNotAllowed
        | Reason::Loop
        | Reason::BadRequest => (Outcome::Sealed, format!("{} {reason}", answer.status)),
        // These come only after the whitelist has said yes.
        Reason::Allowed
        | Reason::SniMismatch
        | Reason::SniMissing
        | Reason::EchRefused
        | Reason::NotTls
        | Reason::PolicyChanged
        | Reason::ResolveFailed
        | Reason::ConnectFailed
        | Reason::UpstreamFailed
        | Reason::TimedOut => (
            Outcome::Leak,
            format!("passed the whitelist ({} {reason})", answer.status),
        ),
        Reason::AuthRequired | Reason::TooManyConnections => (
            Outcome::Broken,
            format!("was not judged ({} {reason})", answer.status),
        ),
    }
}

/// An unlisted name: exactly one reason is right.
pub(crate) fn unlisted(answer: &Answer, name: &str) -> Finding {
    match (answer.status, answer.reason) {
        (403, Some(Reason::NotListed)) => Finding::sealed("403 not_listed"),
        _ => match judge(answer) {
            (Outcome::Leak, detail) => Finding::leak(format!(
                "{name} {detail}: the whitelist allows everything, or the proxy only observes and \
                 nobody said --observe"
            )),
            (_, detail) => Finding::broken(format!(
                "{name} {detail}, which is not how it refuses a name"
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, reason: Option<Reason>) -> Outcome {
        judge(&Answer { status, reason }).0
    }

    #[test]
    fn each_reason_is_a_refusal_a_passage_or_neither() {
        for reason in Reason::ALL {
            let outcome = of(reason.status(), Some(*reason));
            let refused_before_dialling = [400, 403].contains(&reason.status());
            match outcome {
                Outcome::Sealed => assert!(refused_before_dialling, "{reason}"),
                Outcome::Leak | Outcome::Broken => {}
                Outcome::Skipped => panic!("{reason}"),
            }
        }
        assert_eq!(of(502, Some(Reason::ConnectFailed)), Outcome::Leak);
        assert_eq!(of(200, Some(Reason::Allowed)), Outcome::Leak);
        assert_eq!(of(200, None), Outcome::Leak);
        assert_eq!(of(404, None), Outcome::Broken);
        assert_eq!(of(503, Some(Reason::TooManyConnections)), Outcome::Broken);
        assert_eq!(
            of(200, Some(Reason::NotListed)),
            Outcome::Broken,
            "status and reason disagree"
        );
    }

    #[test]
    fn an_unlisted_name_has_one_right_answer() {
        let of = |status, reason| unlisted(&Answer { status, reason }, "n").outcome;
        assert_eq!(of(403, Some(Reason::NotListed)), Outcome::Sealed);
        assert_eq!(of(403, Some(Reason::PrivateAddress)), Outcome::Broken);
        assert_eq!(of(502, Some(Reason::ResolveFailed)), Outcome::Leak);
        assert_eq!(of(200, None), Outcome::Leak);
        assert_eq!(of(500, None), Outcome::Broken);
    }
}
