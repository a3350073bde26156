//! What is asked of a registry over HTTP.

use std::collections::HashSet;

use millpond_engine::decode::{NoSchema, SchemaId, SchemaText};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use url::Url;

use super::settings::{Account, RegistrySettings};

/// Longest answer, in bytes.
const ANSWER_MAX: usize = 8 << 20;
/// Most schemas that one names, and those that they name.
const REFERENCES_MAX: usize = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct Fetch {
    url: String,
    client: Client,
    account: Option<Account>,
}

impl Fetch {
    pub(super) fn new(url: &str, settings: &RegistrySettings) -> Self {
        Self {
            url: url.to_string(),
            client: settings.client(),
            account: settings.account_for(url).cloned(),
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// A schema.
    ///
    /// # Errors
    /// There is none, or the registry does not say.
    pub(super) async fn schema(&self, id: SchemaId) -> Result<SchemaText, NoSchema> {
        let kind = match id {
            SchemaId::Number(_) => "ids",
            SchemaId::Guid(_) => "guids",
        };
        let answer = self.get(&["schemas", kind, &id.to_string()]).await?;
        self.with_references(&answer).await
    }

    /// The newest schema of a subject.
    ///
    /// # Errors
    /// As for [`Fetch::schema`].
    pub(super) async fn latest(&self, subject: &str) -> Result<SchemaText, NoSchema> {
        let answer = self.get(&["subjects", subject, "versions", "latest"]).await?;
        self.with_references(&answer).await
    }

    /// A schema with those that it names, each behind those that it names itself.
    async fn with_references(&self, answer: &Value) -> Result<SchemaText, NoSchema> {
        let mut references = Vec::new();
        let mut seen = HashSet::new();
        // What is to be looked at, and what is to be put behind its own references.
        let mut open: Vec<(Reference, Option<String>)> = unseen(answer, &mut seen);
        while let Some((reference, text)) = open.pop() {
            if let Some(text) = text {
                references.push((reference.name, text));
                continue;
            }
            if seen.len() > REFERENCES_MAX {
                let detail = format!("a schema names more than {REFERENCES_MAX} others");
                return Err(NoSchema::Unknown(detail));
            }
            let (subject, version) = (reference.subject.as_str(), reference.version.as_str());
            let answer = self.get(&["subjects", subject, "versions", version]).await?;
            open.push((reference, Some(self.text_of(&answer)?)));
            open.extend(unseen(&answer, &mut seen));
        }
        let language = answer.get("schemaType").and_then(Value::as_str);
        Ok(SchemaText {
            language: language.unwrap_or("AVRO").to_string(),
            text: self.text_of(answer)?,
            references,
        })
    }

    fn text_of(&self, answer: &Value) -> Result<String, NoSchema> {
        let text = answer.get("schema").and_then(Value::as_str);
        text.map(str::to_string)
            .ok_or_else(|| self.away("an answer without a schema"))
    }

    async fn get(&self, path: &[&str]) -> Result<Value, NoSchema> {
        let mut url = Url::parse(&self.url).map_err(|error| self.away(&error.to_string()))?;
        url.path_segments_mut()
            .map_err(|()| self.away("no path"))?
            .pop_if_empty()
            .extend(path);
        let mut request = self.client.get(url).header(
            "accept",
            "application/vnd.schemaregistry.v1+json, application/json",
        );
        if let Some(account) = &self.account {
            request = request.basic_auth(&account.user, Some(&account.password));
        }
        let sent = request.send().await;
        let answer = sent.map_err(|error| self.away(&innermost(&error)))?;
        let status = answer.status();
        let body = self.body(answer).await?;
        let value = serde_json::from_slice::<Value>(&body).ok();
        match (status, value) {
            (StatusCode::OK, Some(value)) => Ok(value),
            // One that is no registry, or a wrong path, says so too, but not in this form.
            (StatusCode::NOT_FOUND, Some(value)) if value.get("error_code").is_some() => {
                let detail = format!("{} has no {}", self.url, path.join("/"));
                Err(NoSchema::Unknown(detail))
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => Err(self.away(&format!(
                "{status}: set kafka.registry.url, kafka.registry.user and kafka.registry.password of executors"
            ))),
            _ => Err(self.away(&format!("{status}, and no schema"))),
        }
    }

    async fn body(&self, mut answer: reqwest::Response) -> Result<Vec<u8>, NoSchema> {
        let mut body = Vec::new();
        loop {
            let part = answer.chunk().await;
            match part.map_err(|error| self.away(&innermost(&error)))? {
                None => return Ok(body),
                Some(part) if body.len() + part.len() <= ANSWER_MAX => body.extend_from_slice(&part),
                Some(_) => return Err(self.away(&format!("more than {ANSWER_MAX} bytes"))),
            }
        }
    }

    fn away(&self, why: &str) -> NoSchema {
        NoSchema::Away(format!("{} does not answer as a registry: {why}", self.url))
    }
}

/// A schema that another one names.
#[derive(Debug)]
struct Reference {
    name: String,
    subject: String,
    version: String,
}

/// What a schema names that was not seen yet.
fn unseen(answer: &Value, seen: &mut HashSet<String>) -> Vec<(Reference, Option<String>)> {
    let references = answer.get("references").and_then(Value::as_array);
    let read = |value: &Value| {
        let text = |part: &str| value.get(part).and_then(Value::as_str).map(str::to_string);
        let version = value.get("version").and_then(Value::as_i64);
        Some(Reference {
            name: text("name")?,
            subject: text("subject")?,
            version: version?.to_string(),
        })
    };
    let read = references.into_iter().flatten().filter_map(read);
    let new = read.filter(|reference| seen.insert(reference.name.clone()));
    new.map(|reference| (reference, None)).collect()
}

/// What went wrong at the bottom; the layers above only say that something did.
pub(in crate::streams) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
