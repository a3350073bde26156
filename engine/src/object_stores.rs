//! Where files are read and written: the local disk and the object stores that this node is configured for.
//!
//! A [`Registry`] is given to the runtime of every session, on the scheduler (listing, schemas, commits) and on the
//! executors (reading and writing). It opens a store the first time its URL is used. Secrets come from the node's
//! own configuration, one [`Bucket`] per URL prefix; a plan never carries any.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use parking_lot::RwLock;
use url::Url;

use crate::config::Bucket;
use crate::error::{Code, Error};

/// Opens object stores by URL and keeps them.
///
/// A store is chosen by scheme and host; of the configured buckets the one with the longest matching prefix gives
/// the credentials.
#[derive(Debug)]
pub struct Registry {
    buckets: Vec<Bucket>,
    local: Arc<dyn ObjectStore>,
    opened: RwLock<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl Registry {
    /// Makes a registry that knows the local disk and the given buckets.
    pub fn new(buckets: Vec<Bucket>) -> Self {
        Self {
            buckets,
            local: Arc::new(LocalFileSystem::new()),
            opened: RwLock::default(),
        }
    }

    /// A runtime builder that uses this registry, to which memory and disk limits can be added.
    pub fn runtime_builder(self) -> RuntimeEnvBuilder {
        // Listings are not cached: a file that was added must be seen by the next statement.
        RuntimeEnvBuilder::new()
            .with_object_store_registry(Arc::new(self))
            .with_object_list_cache_limit(0)
    }

    fn bucket_of(&self, url: &Url) -> Option<&Bucket> {
        self.buckets
            .iter()
            .filter(|bucket| bucket.is_for(url))
            .max_by_key(|bucket| bucket.prefix.len())
    }
}

/// Opens the store of one URL, with the credentials of the bucket where there is one.
///
/// # Errors
/// An unknown scheme, a cloud store without a configured bucket, or options that the store refuses.
pub fn open(url: &Url, bucket: Option<&Bucket>) -> Result<Arc<dyn ObjectStore>> {
    let configured = || {
        bucket.ok_or_else(|| {
            DataFusionError::from(
                Error::user(Code::FILE_UNREADABLE, format!("no credentials are configured for {url}")).with_hint(
                    "add a [[storage.bucket]] with this prefix to millpond.toml on the scheduler and on every executor",
                ),
            )
        })
    };
    let store: Arc<dyn ObjectStore> = match url.scheme() {
        "s3" | "s3a" => Arc::new(s3(url, configured()?)?),
        "gs" | "gcs" => Arc::new(gcs(url, configured()?)?),
        "az" | "azure" | "abfs" | "abfss" | "adl" => Arc::new(azure(url, configured()?)?),
        "http" | "https" => Arc::new(
            HttpBuilder::new()
                .with_retry(retries())
                .with_url(&url[..url::Position::BeforePath])
                .with_client_options(ClientOptions::new().with_allow_http(true))
                .build()?,
        ),
        other => {
            return Err(Error::user(
                Code::NOT_SUPPORTED,
                format!("unknown kind of location '{other}://'"),
            )
            .with_hint("use a path, s3://, gs://, az://, http:// or https://")
            .into());
        }
    };
    Ok(store)
}

/// A task is tried several times itself, so a store that stays silent must not hold each try for minutes.
fn retries() -> RetryConfig {
    RetryConfig {
        max_retries: 5,
        retry_timeout: Duration::from_secs(30),
        ..RetryConfig::default()
    }
}

fn s3(url: &Url, bucket: &Bucket) -> Result<object_store::aws::AmazonS3> {
    let mut builder = AmazonS3Builder::new()
        .with_url(url.as_str())
        .with_retry(retries())
        .with_allow_http(bucket.allow_http)
        .with_skip_signature(bucket.anonymous);
    for (value, set) in [
        (
            &bucket.access_key_id,
            AmazonS3Builder::with_access_key_id as fn(_, String) -> _,
        ),
        (&bucket.secret_access_key, AmazonS3Builder::with_secret_access_key),
        (&bucket.session_token, AmazonS3Builder::with_token),
        (&bucket.region, AmazonS3Builder::with_region),
        (&bucket.endpoint, AmazonS3Builder::with_endpoint),
    ] {
        if let Some(value) = value {
            builder = set(builder, value.clone());
        }
    }
    Ok(builder.build()?)
}

fn gcs(url: &Url, bucket: &Bucket) -> Result<object_store::gcp::GoogleCloudStorage> {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_url(url.as_str())
        .with_retry(retries())
        .with_skip_signature(bucket.anonymous);
    if let Some(key) = &bucket.secret_access_key {
        builder = builder.with_service_account_key(key);
    }
    Ok(builder.build()?)
}

fn azure(url: &Url, bucket: &Bucket) -> Result<object_store::azure::MicrosoftAzure> {
    let mut builder = MicrosoftAzureBuilder::new()
        .with_url(url.as_str())
        .with_retry(retries())
        .with_allow_http(bucket.allow_http)
        .with_skip_signature(bucket.anonymous);
    if let Some(account) = &bucket.access_key_id {
        builder = builder.with_account(account);
    }
    if let Some(key) = &bucket.secret_access_key {
        builder = builder.with_access_key(key);
    }
    if let Some(endpoint) = &bucket.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    Ok(builder.build()?)
}

impl ObjectStoreRegistry for Registry {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.opened.write().insert(store_key(url), store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if url.scheme() == "file" {
            return Ok(self.local.clone());
        }
        let key = store_key(url);
        if let Some(store) = self.opened.read().get(&key) {
            return Ok(store.clone());
        }
        let store = open(url, self.bucket_of(url))?;
        self.opened.write().insert(key, store.clone());
        Ok(store)
    }
}

fn store_key(url: &Url) -> String {
    url[..url::Position::BeforePath].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_files_need_no_configuration() {
        assert!(
            Registry::new(vec![])
                .get_store(&Url::parse("file:///tmp/x").unwrap())
                .is_ok()
        );
    }

    #[test]
    fn a_bucket_without_credentials_is_an_error_with_a_remedy() {
        let error = Registry::new(vec![])
            .get_store(&Url::parse("s3://lake/x").unwrap())
            .unwrap_err();
        let text = Error::from_datafusion(error).user_text();
        assert!(
            text.contains("s3://lake/x") && text.contains("[[storage.bucket]]"),
            "{text}"
        );
    }
}
