//! Ports of an executor, learned before they are told to anybody.
//!
//! Every configured port may be 0, for any free one. Sockets of servers that are ours are bound here and handed
//! over. Ballista's own gRPC server only takes a number, so [`HeldPort`] keeps a socket on its port and lets
//! go in the moment the server binds it.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use crate::error::Error;

/// Listens on `ip` and `port` (0 for any free one), without blocking.
///
/// # Errors
/// [`Error::Bind`] naming `key`, the configuration key of the port.
pub(crate) fn listen(ip: IpAddr, port: u16, key: &'static str) -> Result<tokio::net::TcpListener, Error> {
    let address = SocketAddr::new(ip, port);
    TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .and_then(tokio::net::TcpListener::from_std)
        .map_err(|source| Error::Bind { address, key, source })
}

/// A port that is kept from other programs while nobody serves it.
#[derive(Debug)]
pub(crate) struct HeldPort {
    ip: IpAddr,
    /// As configured; 0 if any will do.
    requested: u16,
    key: &'static str,
    address: SocketAddr,
    held: Option<TcpListener>,
}

impl HeldPort {
    /// Takes the port.
    pub(crate) fn take(ip: IpAddr, requested: u16, key: &'static str) -> Result<Self, Error> {
        let wanted = SocketAddr::new(ip, requested);
        let failed = |source| Error::Bind {
            address: wanted,
            key,
            source,
        };
        let held = TcpListener::bind(wanted).map_err(failed)?;
        let address = held.local_addr().map_err(failed)?;
        Ok(Self {
            ip,
            requested,
            key,
            address,
            held: Some(held),
        })
    }

    /// Takes the port again after its server has ended; another one if that is gone and any will do.
    pub(crate) fn retake(&mut self) -> Result<(), Error> {
        if self.held.is_some() {
            return Ok(());
        }
        match TcpListener::bind(self.address) {
            Ok(held) => self.held = Some(held),
            Err(_) if self.requested == 0 => *self = Self::take(self.ip, 0, self.key)?,
            Err(source) => {
                return Err(Error::Bind {
                    address: self.address,
                    key: self.key,
                    source,
                });
            }
        }
        Ok(())
    }

    /// Lets go of the port for its server to bind, and tells which it is.
    pub(crate) fn release(&mut self) -> SocketAddr {
        self.held = None;
        self.address
    }

    /// Where the server listens or will listen.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to report if the server could not bind the port after all.
    pub(crate) fn lost(&self, source: io::Error) -> Error {
        Error::Bind {
            address: self.address,
            key: self.key,
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn a_port_in_use_names_its_key() {
        let taken = listen(LOOPBACK, 0, "executor.data_port").unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(port, 0);
        for error in [
            listen(LOOPBACK, port, "executor.data_port").unwrap_err(),
            HeldPort::take(LOOPBACK, port, "executor.data_port").unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(
                text.contains(&format!("127.0.0.1:{port}")) && text.contains("executor.data_port"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_held_port_is_taken_until_released() {
        let mut port = HeldPort::take(LOOPBACK, 0, "executor.grpc_port").unwrap();
        assert!(TcpListener::bind(port.address()).is_err());
        let server = TcpListener::bind(port.release()).unwrap();
        let served = server.local_addr().unwrap();
        drop(server);
        port.retake().unwrap();
        assert_eq!(port.address(), served);
    }

    #[test]
    fn any_port_moves_when_it_is_lost_a_fixed_one_does_not() {
        let mut any = HeldPort::take(LOOPBACK, 0, "executor.grpc_port").unwrap();
        let thief = TcpListener::bind(any.release()).unwrap();
        any.retake().unwrap();
        assert_ne!(any.address(), thief.local_addr().unwrap());

        let mut fixed = HeldPort {
            requested: any.address().port(),
            ..any
        };
        let _thief = TcpListener::bind(fixed.release()).unwrap();
        assert!(matches!(fixed.retake(), Err(Error::Bind { .. })));
    }
}
