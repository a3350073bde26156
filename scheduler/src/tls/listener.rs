//! A listener whose connections have their TLS handshake behind them.
//!
//! Accepting and shaking hands are apart: each handshake is a task of its own with a time limit, so that a client that
//! is slow, silent or no TLS client keeps nobody waiting. Dropping the listener ends the handshakes under way.

use axum::serve::Listener as AcceptConnections;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::HANDSHAKE_TIMEOUT;

/// Gives connections of `inner` on after their handshake, in the order in which they finish it.
pub(crate) struct Listener<L: AcceptConnections> {
    inner: L,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, L::Addr)>>,
}

impl<L: AcceptConnections<Io = TcpStream>> Listener<L> {
    pub(crate) fn new(inner: L, acceptor: TlsAcceptor) -> Self {
        Self {
            inner,
            acceptor,
            handshakes: JoinSet::new(),
        }
    }
}

impl<L> AcceptConnections for Listener<L>
where
    L: AcceptConnections<Io = TcpStream>,
    L::Addr: std::fmt::Debug + 'static,
{
    type Io = TlsStream<TcpStream>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                (connection, peer) = self.inner.accept() => {
                    let acceptor = self.acceptor.clone();
                    self.handshakes.spawn(shake_hands(acceptor, connection, peer));
                }
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

/// Scanners and clients without TLS come by all the time; they are worth a line for who looks for it, and no more.
async fn shake_hands<A: std::fmt::Debug>(
    acceptor: TlsAcceptor,
    connection: TcpStream,
    peer: A,
) -> Option<(TlsStream<TcpStream>, A)> {
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(connection)).await {
        Ok(Ok(connection)) => Some((connection, peer)),
        Ok(Err(error)) => {
            tracing::debug!(?peer, %error, "no TLS handshake");
            None
        }
        Err(_) => {
            tracing::debug!(?peer, "no TLS handshake in time");
            None
        }
    }
}
