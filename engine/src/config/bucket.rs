//! Credentials and address of an object store.

use std::fmt;

use url::{Position, Url};

use super::nearest::suggestion;
use super::origin::REDACTED;
use crate::error::{Code, Error};

/// How a bucket, or every bucket of a store, is reached: address and credentials.
///
/// Of several that fit, the one with the longest prefix counts. `Debug` never shows the secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Bucket this is for, such as `s3://lake`. `s3://` alone is for every bucket of that store.
    pub prefix: String,
    /// Access key of S3, or the account of Azure.
    pub access_key_id: Option<String>,
    /// Secret of the access key; for Google Cloud the service account's key as JSON.
    pub secret_access_key: Option<String>,
    /// Token of temporary credentials.
    pub session_token: Option<String>,
    /// Region of the store.
    pub region: Option<String>,
    /// Address of a store that is not the provider's own, such as `http://localhost:9000`.
    pub endpoint: Option<String>,
    /// Whether an endpoint without TLS is accepted.
    pub allow_http: bool,
    /// Whether requests are sent without credentials.
    pub anonymous: bool,
}

/// Names of the fields, as they are written in a file, and what they are.
pub(super) const FIELDS: &[(&str, &str)] = &[
    (
        "prefix",
        "bucket this is for, such as `s3://lake`, or `s3://` for all of that store",
    ),
    ("access_key_id", "access key of S3, or the account of Azure"),
    (
        "secret_access_key",
        "secret of the access key; for Google Cloud the service account's key as JSON",
    ),
    ("session_token", "token of temporary credentials"),
    ("region", "region of the store"),
    (
        "endpoint",
        "address of a store that is not the provider's own, such as `http://localhost:9000`",
    ),
    ("allow_http", "`true` accepts an endpoint without TLS"),
    ("anonymous", "`true` sends requests without credentials"),
];

impl Bucket {
    /// Sets one field by its name.
    ///
    /// # Errors
    /// `UNKNOWN_SETTING` for another name, `INVALID_SETTING` for a value of the wrong form. The value is never named.
    pub(super) fn set(&mut self, field: &str, value: &str) -> Result<(), Error> {
        let text = Some(value.to_owned()).filter(|value| !value.is_empty());
        match field {
            "prefix" => self.prefix = value.to_owned(),
            "access_key_id" => self.access_key_id = text,
            "secret_access_key" => self.secret_access_key = text,
            "session_token" => self.session_token = text,
            "region" => self.region = text,
            "endpoint" => self.endpoint = text,
            "allow_http" => self.allow_http = flag(field, value)?,
            "anonymous" => self.anonymous = flag(field, value)?,
            _ => {
                let error = Error::user(
                    Code::UNKNOWN_SETTING,
                    format!("a [[storage.bucket]] has no field '{field}'"),
                );
                return Err(error.with_hint(suggestion(field, FIELDS.iter().map(|(name, _)| *name))));
            }
        }
        Ok(())
    }

    /// Checks what the fields must be together.
    ///
    /// # Errors
    /// `INVALID_SETTING` if the prefix is no location.
    pub(super) fn checked(self) -> Result<Self, Error> {
        let scheme = self.prefix.split_once("://").map(|(scheme, _)| scheme);
        if scheme.is_none_or(str::is_empty) {
            let message = format!(
                "a [[storage.bucket]] needs a prefix such as s3://bucket, not '{}'",
                self.prefix
            );
            return Err(Error::user(Code::INVALID_SETTING, message));
        }
        let path = self.prefix.splitn(4, '/').nth(3).unwrap_or_default();
        if !path.is_empty() {
            let message = format!(
                "the prefix '{}' of a [[storage.bucket]] has a path; credentials are for whole buckets",
                self.prefix
            );
            return Err(Error::user(Code::INVALID_SETTING, message).with_hint("leave the path away"));
        }
        Ok(self)
    }

    /// True if locations such as `url` are reached with this.
    pub fn is_for(&self, url: &Url) -> bool {
        let Some((scheme, host)) = self.prefix.split_once("://") else {
            return false;
        };
        let host = host.trim_end_matches('/');
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        url.scheme() == scheme && (host.is_empty() || host == authority)
    }
}

fn flag(field: &str, value: &str) -> Result<bool, Error> {
    value.parse().map_err(|_| {
        Error::user(
            Code::INVALID_SETTING,
            format!("'{field}' of a [[storage.bucket]] must be true or false"),
        )
    })
}

impl fmt::Debug for Bucket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |value: &Option<String>| value.as_ref().map(|_| REDACTED);
        formatter
            .debug_struct("Bucket")
            .field("prefix", &self.prefix)
            .field("access_key_id", &self.access_key_id)
            .field("secret_access_key", &hidden(&self.secret_access_key))
            .field("session_token", &hidden(&self.session_token))
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .field("allow_http", &self.allow_http)
            .field("anonymous", &self.anonymous)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_field_can_be_set() {
        for (field, _) in FIELDS {
            Bucket::default().set(field, "true").unwrap();
        }
    }

    #[test]
    fn secrets_are_not_in_debug() {
        let mut bucket = Bucket::default();
        for field in ["secret_access_key", "session_token"] {
            bucket.set(field, "hunter2").unwrap();
        }
        let shown = format!("{bucket:?}");
        assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
    }

    #[test]
    fn wrong_fields_name_the_nearest_and_not_the_value() {
        let text = Bucket::default()
            .set("secret_acces_key", "hunter2")
            .unwrap_err()
            .user_text();
        assert!(
            text.contains("'secret_access_key'") && !text.contains("hunter2"),
            "{text}"
        );
        let text = Bucket::default()
            .set("allow_http", "hunter2")
            .unwrap_err()
            .user_text();
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn credentials_go_to_their_bucket_only() {
        let bucket = |prefix: &str| Bucket {
            prefix: prefix.to_owned(),
            ..Bucket::default()
        };
        let url = |text: &str| Url::parse(text).unwrap();
        assert!(bucket("s3://lake").is_for(&url("s3://lake/raw/x.csv")));
        assert!(bucket("s3://lake/").is_for(&url("s3://lake")));
        assert!(bucket("s3://").is_for(&url("s3://any/x")));
        assert!(!bucket("s3://lake").is_for(&url("s3://lake2/x")));
        assert!(!bucket("s3://").is_for(&url("gs://any/x")));
        let refused = bucket("s3://lake/raw").checked().unwrap_err().user_text();
        assert!(refused.contains("leave the path away"), "{refused}");
    }

    #[test]
    fn prefix_must_be_a_location() {
        for prefix in ["", "lake", "://x"] {
            assert!(
                Bucket {
                    prefix: prefix.to_owned(),
                    ..Bucket::default()
                }
                .checked()
                .is_err(),
                "{prefix}"
            );
        }
        assert!(
            Bucket {
                prefix: "s3://".to_owned(),
                ..Bucket::default()
            }
            .checked()
            .is_ok()
        );
    }
}
