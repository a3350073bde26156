//! Tokens for brokers that let clients in with OAUTHBEARER (RFC 7628).
//!
//! Whoever starts a client of brokers goes through [`Access::client`](super::access::Access::client), which gives it a context that has
//! tokens. The client asks for one when it starts and before one ends; it is fetched as OAuth 2.0 client credentials
//! (RFC 6749, 4.4) from where the settings say, which are those that librdkafka has for its own HTTP client. It is built without.
//!
//! ```text
//! librdkafka ── refresh ─► Authorized ─► POST sasl.oauthbearer.token.endpoint.url ─► {"access_token":"...","expires_in":300}
//! ```

use std::ops::Deref;
use std::time::Duration;

use millpond_engine::clock::now_ms;
use millpond_engine::error::{Code, Error};
use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::statistics::Statistics;
use serde_json::Value;
use tokio::runtime::Handle;
use url::Url;

use super::registry::innermost;

/// Longest wait for a token.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Settings of librdkafka that only its own HTTP client would know.
const METHOD: &str = "sasl.oauthbearer.method";
const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
const ID: &str = "sasl.oauthbearer.client.id";
const SECRET: &str = "sasl.oauthbearer.client.secret";
const SCOPE: &str = "sasl.oauthbearer.scope";

/// Where tokens come from.
pub(super) struct Tokens {
    endpoint: Url,
    id: String,
    secret: String,
    scope: Option<String>,
    http: reqwest::Client,
    runtime: Handle,
}

impl Tokens {
    /// Takes what is about tokens out of the settings of a client; `None` if its brokers want none.
    ///
    /// # Errors
    /// [`Code::INVALID_SETTING`] if they want some and it is not said where these come from.
    pub(super) fn take(config: &mut ClientConfig, runtime: Option<&Handle>) -> Result<Option<Self>, Error> {
        let mechanism = ["sasl.mechanism", "sasl.mechanisms"]
            .into_iter()
            .find_map(|key| config.get(key));
        if mechanism != Some("OAUTHBEARER") {
            return Ok(None);
        }
        let mut taken = |key: &str| {
            let value = config.get(key).map(str::to_string);
            config.remove(key);
            value
        };
        let method = taken(METHOD);
        let (endpoint, id, secret) = (taken(ENDPOINT), taken(ID), taken(SECRET));
        let scope = taken(SCOPE);
        if method.is_some_and(|method| !method.eq_ignore_ascii_case("oidc")) {
            return Err(unfit(format!("{METHOD} can only be oidc")));
        }
        let (Some(endpoint), Some(id), Some(secret)) = (endpoint, id, secret) else {
            return Err(unfit(format!("OAUTHBEARER needs {ENDPOINT}, {ID} and {SECRET}")));
        };
        let endpoint = Url::parse(&endpoint).map_err(|error| unfit(format!("{ENDPOINT}: {error}")))?;
        // Without a redirect the secret stays where it was meant to go.
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .build();
        Ok(Some(Self {
            endpoint,
            id,
            secret,
            scope,
            http: http.map_err(|error| Error::bug(format!("make an HTTP client: {error}")))?,
            runtime: runtime
                .cloned()
                .ok_or_else(|| Error::bug("tokens are fetched by a runtime"))?,
        }))
    }

    /// A new one. It blocks, and is called by threads of clients.
    fn fetch(&self) -> Result<OAuthToken, String> {
        let asked_at = now_ms();
        let answer = self.runtime.block_on(self.ask())?;
        let token = answer.get("access_token").and_then(Value::as_str);
        let seconds = answer.get("expires_in").and_then(Value::as_u64);
        match (token, seconds) {
            (Some(token), Some(seconds)) => Ok(OAuthToken {
                token: token.to_string(),
                principal_name: self.id.clone(),
                lifetime_ms: i64::try_from(asked_at.saturating_add(seconds.saturating_mul(1000)))
                    .unwrap_or(i64::MAX),
            }),
            (None, _) => Err(self.says("no access_token")),
            (_, None) => Err(self.says("a token without expires_in")),
        }
    }

    async fn ask(&self) -> Result<Value, String> {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        let request = self
            .http
            .post(self.endpoint.clone())
            .basic_auth(&self.id, Some(&self.secret))
            .form(&form);
        let sent = request.send().await;
        let answer = sent.map_err(|error| self.says(&innermost(&error)))?;
        let status = answer.status();
        let body = answer
            .bytes()
            .await
            .map_err(|error| self.says(&innermost(&error)))?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        match status.is_success() {
            true => Ok(body),
            // RFC 6749, 5.2
            false => {
                let error = body.get("error").and_then(Value::as_str).unwrap_or_default();
                Err(self.says(format!("{status} {error}").trim()))
            }
        }
    }

    /// Where it went wrong. The URL may carry what is nobody's business.
    fn says(&self, what: &str) -> String {
        let host = self.endpoint.host_str().unwrap_or_default();
        format!("a token was asked for at {host}, which says: {what}")
    }
}

fn unfit(reason: String) -> Error {
    Error::user(Code::INVALID_SETTING, reason).with_hint("set them in [[kafka.cluster]] of every executor")
}

/// The context of a client that has tokens, if its brokers want some.
pub(super) struct Authorized<C> {
    pub(super) context: C,
    pub(super) tokens: Option<Tokens>,
}

/// Serves the wish of a new client for a token, without which it cannot log in. It blocks. Nothing else is there to be polled yet.
pub(super) fn log_in<C: ConsumerContext>(consumer: &BaseConsumer<Authorized<C>>) {
    if consumer.context().tokens.is_some() {
        drop(consumer.poll(Duration::ZERO));
    }
}

impl<C> Deref for Authorized<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.context
    }
}

impl<C: ClientContext> ClientContext for Authorized<C> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.context.stats(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        match &self.tokens {
            Some(tokens) => Ok(tokens.fetch()?),
            None => Err("it is not said where tokens come from".into()),
        }
    }
}

impl<C: ConsumerContext> ConsumerContext for Authorized<C> {}

impl<C: ProducerContext> ProducerContext for Authorized<C> {
    type DeliveryOpaque = C::DeliveryOpaque;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: Self::DeliveryOpaque) {
        self.context.delivery(result, opaque);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in settings {
            config.set(*key, *value);
        }
        config
    }

    #[test]
    fn only_brokers_that_want_tokens_get_some() {
        let mut plain = config(&[("sasl.mechanism", "PLAIN"), ("sasl.password", "p")]);
        assert!(Tokens::take(&mut plain, None).unwrap().is_none());
        assert_eq!(plain.get("sasl.password"), Some("p"));
    }

    #[tokio::test]
    async fn the_client_never_sees_where_tokens_come_from() {
        let mut settings = config(&[
            ("sasl.mechanisms", "OAUTHBEARER"),
            (METHOD, "OIDC"),
            (ENDPOINT, "https://h/token"),
            (ID, "i"),
            (SECRET, "s"),
            (SCOPE, "kafka"),
        ]);
        let tokens = Tokens::take(&mut settings, Some(&Handle::current()))
            .unwrap()
            .unwrap();
        assert_eq!(
            (tokens.id.as_str(), tokens.scope.as_deref()),
            ("i", Some("kafka"))
        );
        for key in [METHOD, ENDPOINT, ID, SECRET, SCOPE] {
            assert_eq!(settings.get(key), None, "{key}");
        }
    }

    #[test]
    fn what_is_missing_is_named_and_no_secret_is() {
        let of = |more: &[(&str, &str)]| {
            let mut settings = config(more);
            settings.set("sasl.mechanism", "OAUTHBEARER");
            match Tokens::take(&mut settings, None) {
                Ok(_) => panic!("it has all it needs"),
                Err(error) => error.to_string(),
            }
        };
        assert!(of(&[(ID, "i"), (SECRET, "hidden")]).contains(ENDPOINT));
        assert!(of(&[(METHOD, "default")]).contains("oidc"));
        let said = of(&[(ENDPOINT, "nowhere"), (ID, "i"), (SECRET, "hidden")]);
        assert!(said.contains(ENDPOINT) && !said.contains("hidden"), "{said}");
    }
}
