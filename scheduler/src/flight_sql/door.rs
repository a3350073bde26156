//! Who is calling, and in which session.
//!
//! With a configured token every call must present it as `authorization: Bearer TOKEN`; a handshake with it as the
//! password of basic authentication answers the header to use. Without one everybody is `anonymous`. The session is
//! named by the header `x-millpond-session`; without it, by the connection, so that two anonymous clients never
//! share settings.

use std::net::SocketAddr;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use millpond_engine::error::{Code, Error};
use subtle::ConstantTimeEq;
use tonic::Request;
use tonic::metadata::MetadataMap;

/// Header by which a client names its session.
const SESSION_HEADER: &str = "x-millpond-session";
/// Longest session name.
const SESSION_NAME_MAX: usize = 128;

/// The caller of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) principal: String,
    pub(super) session_id: String,
}

/// Checks callers.
#[derive(Clone)]
pub(crate) struct Door {
    token: Option<String>,
}

impl Door {
    pub(crate) fn new(token: Option<String>) -> Self {
        Self { token }
    }

    /// Finds out who calls.
    ///
    /// # Errors
    /// [`Code::NOT_LET_IN`] without the right token.
    pub(super) fn let_in<T>(&self, request: &Request<T>) -> Result<Caller, Error> {
        self.caller(request.metadata(), request.remote_addr())
    }

    fn caller(&self, headers: &MetadataMap, address: Option<SocketAddr>) -> Result<Caller, Error> {
        let authorization = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let principal = match &self.token {
            None => "anonymous",
            Some(token) if self.presents(authorization, token) => "token",
            Some(_) => return Err(not_let_in()),
        };
        let named = headers.get(SESSION_HEADER).and_then(|value| value.to_str().ok());
        let session_id = match named {
            Some(name) if !name.is_empty() && name.len() <= SESSION_NAME_MAX => name.to_string(),
            Some(_) => {
                return Err(Error::user(
                    Code::INVALID_VALUE,
                    format!("the header {SESSION_HEADER} must have 1 to {SESSION_NAME_MAX} characters"),
                ));
            }
            None => address.map_or_else(|| "shared".to_string(), |address| address.to_string()),
        };
        Ok(Caller {
            principal: principal.to_string(),
            session_id,
        })
    }

    fn presents(&self, authorization: &str, token: &str) -> bool {
        let given = match authorization.split_once(' ') {
            Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") => given.trim().to_string(),
            Some((scheme, given)) if scheme.eq_ignore_ascii_case("basic") => {
                password_of(given).unwrap_or_default()
            }
            _ => return false,
        };
        given.as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// Answers a handshake with the `authorization` header for the calls to come.
    pub(super) fn handshake(&self, headers: &MetadataMap) -> Result<String, Error> {
        let authorization = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        match &self.token {
            None => Ok("Bearer anonymous".to_string()),
            Some(token) if self.presents(authorization, token) => Ok(format!("Bearer {token}")),
            Some(_) => Err(not_let_in()),
        }
    }
}

fn not_let_in() -> Error {
    Error::user(Code::NOT_LET_IN, "this server asks for a token")
        .with_hint("send 'authorization: Bearer TOKEN', or the token as password of basic authentication")
}

/// RFC 4648 with or without padding: drivers written in Go leave it away.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn password_of(encoded: &str) -> Option<String> {
    let decoded = BASE64.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(_, password)| password.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> MetadataMap {
        let mut map = MetadataMap::new();
        for (key, value) in pairs {
            map.insert(*key, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn a_token_is_asked_for_in_either_form() {
        let door = Door::new(Some("secret".into()));
        assert!(door.caller(&headers(&[]), None).is_err());
        assert!(
            door.caller(&headers(&[("authorization", "Bearer wrong")]), None)
                .is_err()
        );
        assert!(
            door.caller(&headers(&[("authorization", "Bearer secret")]), None)
                .is_ok()
        );
        let basic = format!("Basic {}", BASE64.encode("me:secret"));
        let unpadded = BASE64.encode("you:secret").trim_end_matches('=').to_string();
        assert_eq!(password_of(&unpadded).as_deref(), Some("secret"));
        assert!(door.caller(&headers(&[("authorization", &basic)]), None).is_ok());
        assert_eq!(
            door.handshake(&headers(&[("authorization", &basic)])).unwrap(),
            "Bearer secret"
        );
    }

    #[test]
    fn connections_without_a_named_session_do_not_share_one() {
        let door = Door::new(None);
        let one = door
            .caller(&headers(&[]), Some("127.0.0.1:1".parse().unwrap()))
            .unwrap();
        let two = door
            .caller(&headers(&[]), Some("127.0.0.1:2".parse().unwrap()))
            .unwrap();
        assert_ne!(one.session_id, two.session_id);
        let named = door.caller(&headers(&[(SESSION_HEADER, "mine")]), None).unwrap();
        assert_eq!(named.session_id, "mine");
    }
}
