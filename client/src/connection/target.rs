//! Where a cluster is and what it is shown at its door.

use std::path::PathBuf;
use std::time::Duration;

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use url::Url;

use crate::error::Error;

/// Port of the public door when the address names none.
const PORT: u16 = 50060;
/// Longest wait for the network to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A silent connection is asked for a sign of life this often, and given up if none comes.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Where a cluster is and what it is shown at its door.
#[derive(Clone)]
pub struct Target {
    /// `grpc://host:port` or `grpc+tls://host:port`.
    pub url: String,
    /// Token to be let in.
    pub token: Option<String>,
    /// PEM file with certificates to trust besides those of the system.
    pub tls_ca: Option<PathBuf>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Target")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// A cluster without token and TLS.
    pub fn open_door(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: None,
            tls_ca: None,
        }
    }

    /// Makes the endpoint that connects to it.
    ///
    /// # Errors
    /// [`Error::Usage`] for an address of another form, [`Error::Input`] for certificates that cannot be read.
    pub(super) fn endpoint(&self) -> Result<Endpoint, Error> {
        let address = Address::parse(&self.url)?;
        let scheme = if address.tls { "https" } else { "http" };
        let uri = format!("{scheme}://{}:{}", address.host, address.port);
        let endpoint = Endpoint::from_shared(uri).map_err(|error| self.usage(&error.to_string()))?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .initial_stream_window_size(8 << 20)
            .initial_connection_window_size(16 << 20);
        if !address.tls {
            return Ok(endpoint);
        }
        let tls = ClientTlsConfig::new().ca_certificates(self.trusted()?);
        endpoint
            .tls_config(tls)
            .map_err(|error| self.usage(&error.to_string()))
    }

    fn trusted(&self) -> Result<Vec<Certificate>, Error> {
        let mut trusted = system_certificates();
        if let Some(path) = &self.tls_ca {
            let pem = std::fs::read(path).map_err(|source| Error::Input {
                path: path.display().to_string(),
                source,
            })?;
            if !pem.windows(CERTIFICATE.len()).any(|window| window == CERTIFICATE) {
                return Err(Error::Usage(format!(
                    "{} holds no certificate in PEM form",
                    path.display()
                )));
            }
            trusted.push(Certificate::from_pem(pem));
        }
        Ok(trusted)
    }

    fn usage(&self, reason: &str) -> Error {
        Error::Usage(format!("'{}' is no address of a cluster: {reason}", self.url))
    }
}

/// First line of a certificate in PEM (RFC 7468).
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

fn system_certificates() -> Vec<Certificate> {
    let loaded = rustls_native_certs::load_native_certs();
    loaded
        .certs
        .iter()
        .map(|der| Certificate::from_pem(pem(der.as_ref())))
        .collect()
}

/// Writes a certificate in PEM (RFC 7468).
fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let lines = body
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect::<Vec<_>>()
        .join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
}

#[derive(Debug, PartialEq, Eq)]
struct Address {
    tls: bool,
    host: String,
    port: u16,
}

impl Address {
    fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |reason: &str| {
            Error::Usage(format!(
                "'{text}' is no address of a cluster: {reason}\nhint: write grpc://host:port or grpc+tls://host:port"
            ))
        };
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        let tls = match url.scheme() {
            "grpc" | "grpc+tcp" => false,
            "grpc+tls" => true,
            other => return Err(wrong(&format!("the scheme is '{other}'"))),
        };
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| wrong("the host is missing"))?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err(wrong("nothing may follow the port"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(
                "secrets do not belong into an address; use --token or MILLPOND_TOKEN",
            ));
        }
        Ok(Self {
            tls,
            host: host.to_owned(),
            port: url.port().unwrap_or(PORT),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_scheme_a_host_and_perhaps_a_port() {
        let check = |text, tls, host: &str, port| {
            assert_eq!(
                Address::parse(text).unwrap(),
                Address {
                    tls,
                    host: host.into(),
                    port
                }
            );
        };
        check("grpc://localhost:1234", false, "localhost", 1234);
        check("grpc+tls://db.example.com", true, "db.example.com", 50060);
        check("grpc://[::1]:7/", false, "[::1]", 7);
    }

    #[test]
    fn other_addresses_are_refused_with_the_right_form() {
        for text in [
            "localhost:1",
            "http://x",
            "grpc://",
            "grpc://x/y",
            "grpc://u:p@x:1",
            "",
            "grpc://x:99999",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.to_string().contains("grpc://host:port"), "{text}: {error}");
        }
    }

    #[test]
    fn debug_output_hides_the_token() {
        let target = Target {
            token: Some("hunter2".into()),
            ..Target::open_door("grpc://x:1")
        };
        assert!(!format!("{target:?}").contains("hunter2"));
    }

    #[test]
    fn certificates_are_written_in_lines_of_64() {
        let text = pem(&[7; 100]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[1].len()), (5, 64));
    }
}
