//! Messages of the SSH agent protocol (draft-ietf-sshm-ssh-agent) that may pass, taken apart and written anew: what
//! does not parse to its end is not passed on, and neither is anything else than a list of keys and a signature.

use super::Fingerprint;
use super::keys::Keys;

/// `SSH_AGENT_FAILURE`: the answer to everything that is not passed on.
pub(super) const FAILURE: &[u8] = &[5];

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// Sign with RSA and SHA-256, or SHA-512: the only flags there are.
const RSA_SHA2: u32 = 2 | 4;

/// What is left of a message.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

fn put(message: &mut Vec<u8>, string: &[u8]) -> Option<()> {
    message.extend(u32::try_from(string.len()).ok()?.to_be_bytes());
    message.extend(string);
    Some(())
}

/// A request that may pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request<'a> {
    /// Which keys are there?
    Identities,
    /// Sign this with that key.
    Sign {
        /// The public key.
        key: &'a [u8],
        data: &'a [u8],
        flags: u32,
    },
}

impl<'a> Request<'a> {
    /// Reads a message; `None` for what may not pass.
    pub(super) fn parse(message: &'a [u8]) -> Option<Request<'a>> {
        let (kind, rest) = message.split_first()?;
        let mut rest = Rest(rest);
        let request = match *kind {
            REQUEST_IDENTITIES => Request::Identities,
            SIGN_REQUEST => Request::Sign {
                key: rest.string()?,
                data: rest.string()?,
                flags: rest.number().filter(|flags| flags & !RSA_SHA2 == 0)?,
            },
            _ => return None,
        };
        rest.end()?;
        Some(request)
    }

    /// May it be asked of these keys?
    pub(super) fn is_for(&self, keys: &Keys) -> bool {
        match self {
            Request::Identities => true,
            Request::Sign { key, .. } => keys.have(&Fingerprint::of(key)),
        }
    }

    /// The message for the agent.
    pub(super) fn message(&self) -> Option<Vec<u8>> {
        let Request::Sign { key, data, flags } = self else {
            return Some(vec![REQUEST_IDENTITIES]);
        };
        let mut message = vec![SIGN_REQUEST];
        put(&mut message, key)?;
        put(&mut message, data)?;
        message.extend(flags.to_be_bytes());
        Some(message)
    }

    /// What of the agent's answer to it may pass: these keys, without the comments, which name the person's
    /// files and machines; or the signature.
    pub(super) fn answer(&self, message: &[u8], keys: &Keys) -> Option<Vec<u8>> {
        let (kind, rest) = message.split_first()?;
        let mut rest = Rest(rest);
        let answer = match (self, *kind) {
            (Request::Identities, IDENTITIES_ANSWER) => {
                let mut passed = Vec::new();
                let mut count: u32 = 0;
                for _ in 0..rest.number()? {
                    let (key, _comment) = (rest.string()?, rest.string()?);
                    if keys.have(&Fingerprint::of(key)) {
                        put(&mut passed, key)?;
                        put(&mut passed, b"")?;
                        count += 1;
                    }
                }
                let count = count.to_be_bytes();
                [&[IDENTITIES_ANSWER][..], &count, &passed].concat()
            }
            (Request::Sign { .. }, SIGN_RESPONSE) => {
                let mut passed = vec![SIGN_RESPONSE];
                put(&mut passed, rest.string()?)?;
                passed
            }
            _ => return None,
        };
        rest.end()?;
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(kind: u8, strings: &[&[u8]], number: Option<u32>) -> Vec<u8> {
        let mut message = vec![kind];
        for string in strings {
            put(&mut message, string).unwrap();
        }
        message.extend(number.into_iter().flat_map(u32::to_be_bytes));
        message
    }

    #[test]
    fn a_list_and_a_signature_pass_and_nothing_else() {
        assert_eq!(Request::parse(&[11]), Some(Request::Identities));
        let sign = strings(13, &[b"key", b"data"], Some(4));
        let request = Request::parse(&sign).unwrap();
        assert_eq!(request.message().unwrap(), sign);
        // Every other message of the draft and of OpenSSH, and numbers that nobody has.
        for kind in (0..=255).filter(|kind| ![11, 13].contains(kind)) {
            for rest in [&[][..], &sign[1..]] {
                let message = [&[kind], rest].concat();
                assert_eq!(Request::parse(&message), None, "{kind}");
            }
        }
        assert_eq!(Request::parse(&[]), None);
        assert_eq!(Request::parse(&[11, 0]), None, "more than a question");
    }

    #[test]
    fn a_request_that_is_cut_or_continued_does_not_pass() {
        let sign = strings(13, &[b"key", b"data"], Some(0));
        for end in 0..sign.len() {
            assert_eq!(Request::parse(&sign[..end]), None, "{end}");
        }
        let more = [&sign[..], &[0]].concat();
        assert_eq!(Request::parse(&more), None);
        let mut huge = sign.clone();
        huge[1..5].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(Request::parse(&huge), None);
        let flags = strings(13, &[b"key", b"data"], Some(8));
        assert_eq!(Request::parse(&flags), None, "a flag that nobody knows");
    }

    #[test]
    fn only_named_keys_are_shown_and_used() {
        let keys = Keys::Named([Fingerprint::of(b"two")].into());
        let mut answer = vec![12];
        answer.extend(2_u32.to_be_bytes());
        for part in [&b"one"[..], b"me@home", b"two", b"me@work"] {
            put(&mut answer, part).unwrap();
        }
        let passed = |keys: &Keys| Request::Identities.answer(&answer, keys).unwrap();
        let mut expected = vec![12, 0, 0, 0, 1];
        expected.extend(&strings(0, &[b"two", b""], None)[1..]);
        assert_eq!(passed(&keys), expected);
        let all = passed(&Keys::All);
        assert_eq!(all[..5], [12, 0, 0, 0, 2]);
        assert!(!String::from_utf8_lossy(&all).contains("me@"));

        let sign = |key: &[u8]| {
            let message = strings(13, &[key, b"data"], Some(0));
            Request::parse(&message).unwrap().is_for(&keys)
        };
        assert!(sign(b"two"));
        assert!(!sign(b"one"));
    }

    #[test]
    fn an_answer_that_does_not_fit_the_question_does_not_pass() {
        let message = strings(13, &[b"key", b"data"], Some(0));
        let sign = Request::parse(&message).unwrap();
        let signature = strings(14, &[b"signature"], None);
        let passed = sign.answer(&signature, &Keys::All).unwrap();
        assert_eq!(passed, signature);
        for bad in [
            vec![],
            vec![5],
            vec![6],
            vec![12, 0, 0, 0, 0],
            [&signature[..], b"x"].concat(),
            signature[..6].to_vec(),
        ] {
            assert_eq!(sign.answer(&bad, &Keys::All), None, "{bad:?}");
        }
        for bad in [
            &[12, 0, 0, 0, 1][..],
            &[12, 255, 255, 255, 255],
            &[12],
            &signature,
        ] {
            assert_eq!(Request::Identities.answer(bad, &Keys::All), None, "{bad:?}");
        }
    }
}
