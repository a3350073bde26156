//! Brokers that want TLS and a password, or tokens. Only real ones do; `just kafka` has them.

use std::env::VarError;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster_tests::{Bench, Broker, Cluster, PATIENCE, Tokens};

/// Their address, and the folder with the certificate of their authority.
const SECURE: &str = "MILLPOND_TEST_KAFKA_SECURE";
const CONTROL: &str = "MILLPOND_TEST_KAFKA_CONTROL";
/// The address of those that want tokens.
const TOKENS: &str = "MILLPOND_TEST_KAFKA_TOKENS";
/// The account that they know.
const PASSWORD: &str = "MILLPOND_TEST_KAFKA_PASSWORD";

/// How one of their accounts is used, as a configuration file says it.
fn account(servers: &str, mechanism: &str, password: &str) -> Result<String> {
    let authority = PathBuf::from(std::env::var(CONTROL)?).join("authority.pem");
    Ok(format!(
        r#"
[[kafka.cluster]]
brokers = "{servers}"
security.protocol = "SASL_SSL"
sasl.mechanism = "{mechanism}"
sasl.username = "millpond"
sasl.password = "{password}"
ssl.ca.location = "{}"
"#,
        authority.display()
    ))
}

async fn start(name: &str, configuration: &str) -> Result<(Bench, tempfile::TempDir)> {
    let folder = tempfile::TempDir::new()?;
    let file = folder.path().join(name);
    std::fs::write(&file, configuration)?;
    let file = file.to_str().context("path")?;
    let cluster = Cluster::start_with(1, &[], &["--config", file]).await?;
    let bench = Bench {
        client: cluster.connect().await?,
        cluster,
        broker: Broker::start()?,
    };
    Ok((bench, folder))
}

/// An address that is given to tests.
fn servers(variable: &str) -> Result<Option<String>> {
    match std::env::var(variable) {
        Err(VarError::NotPresent) => {
            eprintln!("{variable} is not set: nothing is tested");
            Ok(None)
        }
        servers => Ok(Some(servers?)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_are_reached_with_tls_and_a_password() -> Result<()> {
    let Some(servers) = servers(SECURE)? else {
        return Ok(());
    };
    let password = std::env::var(PASSWORD)?;
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let (bench, _folder) = start("millpond.toml", &account(&servers, mechanism, &password)?).await?;
        let topic = bench.broker.topic("secure", 1).await?;
        bench.broker.say(&topic, 0, r#"{"n":1}"#)?;
        let create = format!(
            "CREATE EXTERNAL TABLE t (n INT) STORED AS KAFKA LOCATION 'kafka://{servers}/{topic}' OPTIONS ('format' 'json')"
        );
        bench.client.run(&create).await.context(mechanism)?;
        bench.wait("t", &topic).await.context(mechanism)?;
        bench
            .client
            .run("INSERT INTO t VALUES (2)")
            .await
            .context(mechanism)?;
        bench.patiently("WAIT FOR TABLE t").await.context(mechanism)?;
        let sum = bench.client.number("SELECT sum(n) FROM t").await?;
        ensure!(sum == 3, "{mechanism}: {sum}");
    }
    let (bench, _folder) = start("millpond.toml", &account(&servers, "PLAIN", "wrong")?).await?;
    let topic = bench.broker.topic("secure", 1).await?;
    let create = format!(
        "CREATE EXTERNAL TABLE t (n INT) STORED AS KAFKA LOCATION 'kafka://{servers}/{topic}' OPTIONS ('format' 'json'"
    );
    let said = bench.client.failure(&format!("{create})")).await?;
    ensure!(said.contains("uthentication"), "{said}");
    ensure!(!said.contains("wrong"), "{said}");
    // A table cannot bring the credentials of others to where it likes.
    let said = bench
        .client
        .failure(&format!("{create}, 'kafka.sasl.password' '{password}')"))
        .await?;
    ensure!(said.contains("secret") && !said.contains(&password), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_are_reached_with_tokens_that_end() -> Result<()> {
    let Some(servers) = servers(TOKENS)? else {
        return Ok(());
    };
    let tokens = Tokens::start(Duration::from_secs(4), "hidden").await?;
    let account = |secret: &str| {
        format!(
            r#"
[[kafka.cluster]]
brokers = "{servers}"
security.protocol = "SASL_PLAINTEXT"
sasl.mechanism = "OAUTHBEARER"
sasl.oauthbearer.method = "oidc"
sasl.oauthbearer.client.id = "millpond"
sasl.oauthbearer.client.secret = "{secret}"
sasl.oauthbearer.token.endpoint.url = "{}"
sasl.oauthbearer.scope = "kafka"
"#,
            tokens.url()
        )
    };
    let (bench, _folder) = start("millpond.toml", &account("hidden")).await?;
    let topic = bench.broker.topic("tokens", 1).await?;
    bench.broker.say(&topic, 0, r#"{"n":1}"#)?;
    let create = format!(
        "CREATE EXTERNAL TABLE t (n INT) STORED AS KAFKA LOCATION 'kafka://{servers}/{topic}' OPTIONS ('format' 'json'"
    );
    bench.client.run(&format!("{create})")).await?;
    bench.wait("t", &topic).await?;
    bench.client.run("INSERT INTO t VALUES (2)").await?;
    bench
        .client
        .run("ALTER TABLE t SET OPTIONS ('sink.delivery' 'exactly_once')")
        .await?;
    bench.client.run("INSERT INTO t VALUES (3)").await?;
    let asked = tokens.given();
    let start_of_wait = Instant::now();
    while tokens.given() == asked {
        ensure!(start_of_wait.elapsed() < PATIENCE, "no token was asked for again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bench.client.run("INSERT INTO t VALUES (4)").await?;
    bench.patiently("WAIT FOR TABLE t").await?;
    ensure!(bench.client.number("SELECT sum(n) FROM t").await? == 10);

    let (bench, _folder) = start("millpond.toml", &account("wrong")).await?;
    let said = bench.client.failure(&format!("{create})")).await?;
    ensure!(
        said.contains("invalid_client") && !said.contains("wrong"),
        "{said}"
    );
    Ok(())
}
