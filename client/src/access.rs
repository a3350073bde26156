//! How a command gets to a cluster: at the address it was given, or one of its own that lives as long as the command.

use clap::Args;

use crate::connection::{Connection, Target};
#[cfg(feature = "server")]
use crate::embedded::Embedded;
use crate::error::Error;
use crate::interrupt::Interrupts;
#[cfg(feature = "server")]
use crate::node::ConfigArgs;
use crate::output::Format;

/// Flags of every command that talks to a cluster.
#[derive(Debug, Clone, Args)]
pub struct AccessArgs {
    /// Address of the cluster, grpc://HOST:PORT or grpc+tls://HOST:PORT; without it the command brings its own cluster
    #[arg(long, env = "MILLPOND_URL", value_name = "URL", help_heading = "Connection")]
    pub url: Option<String>,
    /// Token that the cluster asks for
    #[arg(
        long,
        env = "MILLPOND_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        help_heading = "Connection"
    )]
    pub token: Option<String>,
    /// PEM file with certificates to trust besides those of the system
    #[arg(
        long,
        env = "MILLPOND_CLIENT_TLS_CA",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub tls_ca: Option<String>,
    /// Where configuration is read from.
    #[cfg(feature = "server")]
    #[command(flatten)]
    pub config: ConfigArgs,
}

impl AccessArgs {
    /// Fills what flags and variables leave open from the configuration file, and gives its default format.
    ///
    /// # Errors
    /// [`Error::Usage`] for a configuration that is wrong.
    #[cfg(feature = "server")]
    pub fn resolve(mut self) -> Result<(Self, Option<Format>), Error> {
        use clap::ValueEnum;
        use millpond_engine::config::{Origin, keys};
        let config = self.config.load(Vec::new())?;
        self.url = self
            .url
            .or_else(|| config.get(keys::CLIENT_URL).map(|url| url.to_string()));
        self.token = self.token.or_else(|| config.get(keys::CLIENT_TOKEN));
        self.tls_ca = self.tls_ca.or_else(|| {
            config
                .get(keys::CLIENT_TLS_CA)
                .map(|file| file.display().to_string())
        });
        let is_set = config.origin(keys::CLIENT_FORMAT) != Origin::Default;
        let format = Format::from_str(config.get(keys::CLIENT_FORMAT).as_str(), false).ok();
        Ok((self, format.filter(|_| is_set)))
    }

    /// There is no configuration file without nodes.
    ///
    /// # Errors
    /// None.
    #[cfg(not(feature = "server"))]
    pub fn resolve(self) -> Result<(Self, Option<Format>), Error> {
        Ok((self, None))
    }

    /// The cluster at the given address, if there is one.
    pub fn target(&self) -> Option<Target> {
        let url = self.url.as_deref().filter(|url| !url.is_empty())?;
        let token = self.token.clone().filter(|token| !token.is_empty());
        let tls_ca = self
            .tls_ca
            .as_deref()
            .filter(|file| !file.is_empty())
            .map(Into::into);
        Some(Target {
            url: url.to_owned(),
            token,
            tls_ca,
        })
    }
}

/// A connection, and the cluster behind it if it is our own.
#[derive(Debug)]
pub struct Access {
    /// The connection.
    pub connection: Connection,
    #[cfg(feature = "server")]
    embedded: Option<Embedded>,
}

impl Access {
    /// Connects, to a cluster of our own with `executors` executors if no address is given.
    ///
    /// # Errors
    /// The connection, or the start of the cluster; [`Error::Cancelled`] after an interrupt.
    pub async fn open(
        args: &AccessArgs,
        executors: usize,
        interrupts: &mut Interrupts,
    ) -> Result<Self, Error> {
        let opening = Box::pin(Self::open_uninterrupted(args, executors));
        tokio::select! {
            access = opening => access,
            () = interrupts.next() => Err(Error::Cancelled("cancelled".to_owned())),
        }
    }

    #[cfg(feature = "server")]
    async fn open_uninterrupted(args: &AccessArgs, executors: usize) -> Result<Self, Error> {
        match args.target() {
            Some(target) => Ok(Self {
                connection: Connection::open(&target).await?,
                embedded: None,
            }),
            None => {
                let embedded = Embedded::start(&args.config, executors).await?;
                let connection = Connection::open(&Target::open_door(embedded.url())).await?;
                Ok(Self {
                    connection,
                    embedded: Some(embedded),
                })
            }
        }
    }

    #[cfg(not(feature = "server"))]
    async fn open_uninterrupted(args: &AccessArgs, _executors: usize) -> Result<Self, Error> {
        let target = args.target().ok_or_else(address_is_missing)?;
        Ok(Self {
            connection: Connection::open(&target).await?,
        })
    }

    /// Connects to a cluster elsewhere, for commands that mean nothing on one of our own.
    ///
    /// # Errors
    /// The connection; [`Error::Usage`] without an address.
    pub async fn open_remote(args: &AccessArgs) -> Result<Connection, Error> {
        let target = args.target().ok_or_else(address_is_missing)?;
        Connection::open(&target).await
    }

    /// Ends the cluster if it is our own.
    pub async fn close(self) {
        #[cfg(feature = "server")]
        if let Some(embedded) = self.embedded {
            drop(self.connection);
            embedded.stop().await;
        }
    }
}

fn address_is_missing() -> Error {
    Error::Usage(
        "the address of the cluster is missing\nhint: add --url grpc://HOST:PORT or set MILLPOND_URL"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        access: AccessArgs,
    }

    #[test]
    fn empty_address_is_none() {
        let only = Only::parse_from(["millpond", "--url", ""]);
        assert!(only.access.target().is_none());
        let only = Only::parse_from(["millpond", "--url", "grpc://x:1", "--token", ""]);
        assert!(only.access.target().is_some_and(|target| target.token.is_none()));
    }
}
