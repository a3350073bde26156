//! The certificate that the public ports show, with its private key, from PEM files.
//!
//! Everything that a connection would trip over is tried when the files are read: that they are there, hold what they
//! should, and belong together. Nothing of a key gets into a message.

use std::path::Path;
use std::sync::Arc;

use millpond_engine::error::{Code, Error};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{self, ServerConfig};
use tonic::transport::{Identity, ServerTlsConfig};

use super::HANDSHAKE_TIMEOUT;
use crate::options::TlsFiles;

/// A certificate chain and its key, both checked.
pub(crate) struct Certificate {
    chain_pem: Vec<u8>,
    key_pem: Vec<u8>,
    config: ServerConfig,
}

impl Certificate {
    /// Reads the two files.
    ///
    /// # Errors
    /// [`Code::INVALID_SETTING`] naming the file that is missing, is not what it should be, or does not fit the other.
    pub(crate) fn read(files: &TlsFiles) -> Result<Self, Error> {
        let chain_pem = read_file("tls.cert", &files.certificate)?;
        let key_pem = read_file("tls.key", &files.key)?;
        let chain = chain_in(&chain_pem, &files.certificate)?;
        let key = key_in(&key_pem, &files.key)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::bug(format!("TLS has no protocol version: {error}")))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| unusable_pair(&error, files))?;
        Ok(Self {
            chain_pem,
            key_pem,
            config,
        })
    }

    /// For the Flight SQL port.
    pub(crate) fn for_grpc(&self) -> ServerTlsConfig {
        ServerTlsConfig::new()
            .identity(Identity::from_pem(&self.chain_pem, &self.key_pem))
            .timeout(HANDSHAKE_TIMEOUT)
    }

    /// For the HTTP port, which speaks HTTP/1.1.
    pub(crate) fn for_http(&self) -> TlsAcceptor {
        let mut config = self.config.clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

fn read_file(setting: &str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| {
        invalid(format!("cannot read {setting} '{}'", path.display()))
            .with_detail(error.to_string())
            .with_hint(format!("set {setting} to a PEM file that this process may read"))
    })
}

fn chain_in(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unreadable = |reason: String| {
        invalid(format!(
            "tls.cert '{}' has a certificate that cannot be read",
            path.display()
        ))
        .with_detail(reason)
        .with_hint("write the certificate into it again")
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(pem_reason(&error)))?;
    for certificate in &chain {
        ParsedCertificate::try_from(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    if chain.is_empty() {
        let error = invalid(format!("tls.cert '{}' has no certificate", path.display()));
        return Err(error.with_hint(if PrivateKeyDer::from_pem_slice(pem).is_ok() {
            "it has a private key: perhaps tls.cert and tls.key are swapped"
        } else {
            "it must be PEM, with -----BEGIN CERTIFICATE-----; `openssl x509 -inform der` makes that of DER"
        }));
    }
    Ok(chain)
}

fn key_in(pem: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        if !matches!(error, pem::Error::NoItemsFound) {
            return invalid(format!("tls.key '{}' cannot be read", path.display()))
                .with_detail(pem_reason(&error))
                .with_hint("write the key into it again");
        }
        let hint = if has_label(pem, "ENCRYPTED PRIVATE KEY") || has_label(pem, "DEK-Info") {
            "its key is encrypted; `openssl pkey -in KEY -out PLAIN` writes it without a password"
        } else if CertificateDer::from_pem_slice(pem).is_ok() {
            "it has a certificate: perhaps tls.cert and tls.key are swapped"
        } else {
            "it must be PEM, with -----BEGIN PRIVATE KEY-----; `openssl pkey -inform der` makes that of DER"
        };
        invalid(format!("tls.key '{}' has no private key", path.display())).with_hint(hint)
    })
}

fn unusable_pair(error: &rustls::Error, files: &TlsFiles) -> Error {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    match error {
        rustls::Error::InconsistentKeys(_) => invalid(format!(
            "tls.key '{key}' is not the key of the certificate in tls.cert '{certificate}'"
        ))
        .with_hint(
            "give the key that the certificate was made with; the server's own certificate comes first in its file",
        ),
        other => invalid(format!("tls.key '{key}' cannot be used for tls.cert '{certificate}'"))
            .with_detail(other.to_string())
            .with_hint("use an RSA key of 2048 bits or more, an ECDSA key on P-256 or P-384, or an Ed25519 key"),
    }
}

/// Says what is wrong with a file without quoting it, because it may be a key.
fn pem_reason(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "its -----END line is missing".to_string(),
        pem::Error::IllegalSectionStart { .. } => "a -----BEGIN line is not complete".to_string(),
        pem::Error::Base64Decode(_) => {
            "the text between its -----BEGIN and -----END lines is not base64".to_string()
        }
        _ => "it is not PEM".to_string(),
    }
}

fn has_label(pem: &[u8], label: &str) -> bool {
    pem.windows(label.len()).any(|window| window == label.as_bytes())
}

fn invalid(message: String) -> Error {
    Error::user(Code::INVALID_SETTING, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: &str = "chain.pem";
    const KEY: &str = "key.pem";

    fn refusal(chain: &[u8], key: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            certificate: folder.path().join(CHAIN),
            key: folder.path().join(KEY),
        };
        std::fs::write(&files.certificate, chain).unwrap();
        std::fs::write(&files.key, key).unwrap();
        refused(&files)
    }

    fn refused(files: &TlsFiles) -> String {
        match Certificate::read(files) {
            Ok(_) => panic!("it was accepted"),
            Err(error) => error.user_text(),
        }
    }

    /// Frames a text of our own: a label, and bytes that are base64 but no key and no certificate.
    fn framed(label: &str) -> Vec<u8> {
        format!("-----BEGIN {label}-----\nc2VjcmV0c2VjcmV0\n-----END {label}-----\n").into_bytes()
    }

    #[test]
    fn missing_file_is_named_with_its_setting() {
        let text = refused(&TlsFiles {
            certificate: "/nowhere/chain.pem".into(),
            key: "/nowhere/key.pem".into(),
        });
        assert!(
            text.contains("tls.cert '/nowhere/chain.pem'") && text.contains("MP0072"),
            "{text}"
        );
    }

    #[test]
    fn file_without_what_it_should_have_says_what_it_has() {
        let empty = refusal(b"", &framed("PRIVATE KEY"));
        assert!(
            empty.contains(CHAIN) && empty.contains("BEGIN CERTIFICATE"),
            "{empty}"
        );
        let swapped = refusal(&framed("PRIVATE KEY"), &framed("CERTIFICATE"));
        assert!(
            swapped.contains(CHAIN) && swapped.contains("swapped"),
            "{swapped}"
        );
        let garbage = refusal(&framed("CERTIFICATE"), &framed("PRIVATE KEY"));
        assert!(
            garbage.contains(CHAIN) && garbage.contains("cannot be read"),
            "{garbage}"
        );
    }

    #[test]
    fn key_is_asked_for_in_plain_pem() {
        let path = Path::new(KEY);
        let text = |pem: &[u8]| key_in(pem, path).unwrap_err().user_text();
        assert!(text(b"").contains("BEGIN PRIVATE KEY"));
        assert!(text(&framed("ENCRYPTED PRIVATE KEY")).contains("encrypted"));
        assert!(text(&framed("CERTIFICATE")).contains("swapped"));
        assert!(text(b"-----BEGIN PRIVATE KEY-----\nc2Vj\n").contains("END"));
    }

    #[test]
    fn messages_never_quote_a_key() {
        let broken = "-----BEGIN PRIVATE KEY-----\nhunter2!\n-----END PRIVATE KEY-----\n";
        let cut = "-----BEGIN PRIVATE KEY-----hunter2\n";
        for pem in [broken, cut] {
            let text = key_in(pem.as_bytes(), Path::new(KEY)).unwrap_err().user_text();
            assert!(!text.contains("hunter2") && text.contains("MP0072"), "{text}");
        }
    }
}
