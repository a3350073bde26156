//! What a node is configured with for registries of schemas (`kafka.registry.*`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millpond_engine::config::{Config, keys};
use reqwest::{Certificate, Client};
use url::Url;

use crate::error::Error;
use crate::options::setting;

const TLS_CA: &str = "kafka.registry.tls_ca";
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct RegistrySettings {
    account: Option<Account>,
    /// Trusted beside those of the system.
    authorities: Vec<Certificate>,
}

/// User and password for a registry. They are sent to this one only.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) url: Url,
    pub(super) user: String,
    pub(super) password: String,
}

impl RegistrySettings {
    /// Those of the configuration.
    ///
    /// # Errors
    /// Only a part of the account is given; a file that has no certificates.
    pub fn from_config(config: &Config) -> Result<Self, Error> {
        let file: Option<PathBuf> = config.get(keys::KAFKA_REGISTRY_TLS_CA);
        Ok(Self {
            account: Account::of(config)?,
            authorities: file.map_or(Ok(Vec::new()), |file| authorities(&file))?,
        })
    }

    /// The account, if it is for the registry at this address.
    pub(super) fn account_for(&self, url: &str) -> Option<&Account> {
        let origin = Url::parse(url).ok()?.origin();
        self.account
            .as_ref()
            .filter(|account| account.url.origin() == origin)
    }

    /// A client that trusts the authorities. It follows no redirects, so that the account stays with the registry.
    pub(super) fn client(&self) -> Client {
        let builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT);
        let trusting = self
            .authorities
            .iter()
            .cloned()
            .fold(builder, |builder, authority| {
                builder.add_root_certificate(authority)
            });
        trusting.build().unwrap_or_default()
    }
}

impl Account {
    fn of(config: &Config) -> Result<Option<Self>, Error> {
        let url = config.get(keys::KAFKA_REGISTRY_URL);
        let user = config.get(keys::KAFKA_REGISTRY_USER);
        let password = config.get(keys::KAFKA_REGISTRY_PASSWORD);
        match (url, user, password) {
            (Some(url), Some(user), Some(password)) => Ok(Some(Self { url, user, password })),
            (_, None, None) => Ok(None),
            _ => Err(setting(
                "kafka.registry.user",
                "",
                "set kafka.registry.url, kafka.registry.user and kafka.registry.password, all three",
            )),
        }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, user, .. } = self;
        f.debug_struct("Account")
            .field("url", &url.as_str())
            .field("user", user)
            .finish_non_exhaustive()
    }
}

fn authorities(file: &Path) -> Result<Vec<Certificate>, Error> {
    let refused = |why: &str| setting(TLS_CA, &file.display().to_string(), why);
    let pem = std::fs::read(file).map_err(|error| refused(&error.to_string()))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(authorities) if !authorities.is_empty() => Ok(authorities),
        _ => Err(refused("name a file with certificates (PEM)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(settings: &[(&str, &str)]) -> Result<RegistrySettings, Error> {
        RegistrySettings::from_config(&Config::of(settings.iter().copied()).unwrap())
    }

    #[test]
    fn an_account_is_for_one_registry_and_never_shown() {
        let all = [
            ("kafka.registry.url", "http://r:8081/path"),
            ("kafka.registry.user", "me"),
            ("kafka.registry.password", "hunter2"),
        ];
        let known = settings(&all).unwrap();
        assert!(known.account_for("http://r:8081").is_some());
        assert!(known.account_for("https://r:8081").is_none());
        assert!(known.account_for("http://other:8081").is_none());
        assert!(!format!("{known:?}").contains("hunter2"));
        assert!(settings(&all[..2]).is_err());
    }

    #[test]
    fn files_without_certificates_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        for content in [
            None,
            Some(""),
            Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
        ] {
            if let Some(content) = content {
                std::fs::write(&file, content).unwrap();
            }
            let refused = settings(&[(TLS_CA, file.to_str().unwrap())]).unwrap_err();
            assert!(refused.to_string().contains(TLS_CA), "{refused}");
        }
    }
}
