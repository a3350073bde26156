//! TLS of the public ports: one certificate for Flight SQL and HTTP.
//!
//! [`Certificate`] is read and checked before any port is opened, so that a file that cannot serve ends the start and
//! not the first connection. Flight SQL hands it to tonic, HTTP to a [`Listener`], which makes handshakes beside each
//! other. Certificates are read once: a new one takes a restart. Clients show no certificates, they show a token.

mod certificate;
mod listener;

use std::time::Duration;

pub(crate) use certificate::Certificate;
pub(crate) use listener::Listener;

/// Longest time a client may take for its handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
