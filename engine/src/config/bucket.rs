//! Credentials and address of an object store.

use std::fmt;

use super::nearest::suggestion;
use super::origin::REDACTED;
use crate::error::{Code, Error};

/// How one part of an object store is reached: the credentials for all locations that start with a prefix.
///
/// Of several buckets the one with the longest matching prefix counts. `Debug` never shows the secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Locations this is for, such as `s3://lake/raw`. `s3://` alone is for every bucket of that store.
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
        "locations this is for, such as `s3://lake/raw`; the longest matching prefix counts",
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
                "a [[storage.bucket]] needs a prefix such as s3://bucket/path, not '{}'",
                self.prefix
            );
            return Err(Error::user(Code::INVALID_SETTING, message));
        }
        Ok(self)
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
