//! Writes `docs/configuration.md`.

use std::fmt::Write;

use super::bucket::FIELDS;
use super::key::{Key, Kind};
use super::keys::KEYS;

const INTRODUCTION: &str = "\
# Configuration

<!-- Generated from engine/src/config/ by `cargo xtask generate`; do not edit. -->

A key is set by, the strongest first:

1. a flag of the command, such as `--set executor.memory_limit=2GiB`,
2. an environment variable: `MILLPOND_` and the key in capitals with `_` for the dot, such as
   `MILLPOND_EXECUTOR_MEMORY_LIMIT`,
3. the chosen profile of the file, `[profile.NAME]`, chosen with `--profile` or `MILLPOND_PROFILE`,
4. the file: `--config`, or `MILLPOND_CONFIG`, or `millpond.toml` in the working directory if it is there.

```toml
[executor]
memory_limit = \"2GiB\"

[profile.production.executor]
memory_limit = \"24GiB\"
work_dir = \"/scratch/millpond\"
```

A key that does not exist, or a value of the wrong form, is an error before anything starts. `millpond config show`
prints every value and where it comes from, and `millpond config explain KEY` what a key means.
";

const BUCKETS: &str = "
## Object stores

Credentials belong to a node's configuration, never to a statement. Each `[[storage.bucket]]` is for the locations that
start with its prefix, and is needed on the scheduler and on every executor:

```toml
[[storage.bucket]]
prefix = \"s3://lake\"
access_key_id = \"...\"
secret_access_key = \"...\"
region = \"eu-central-1\"
```

| field | meaning |
| --- | --- |
";

const BUCKET_VARIABLES: &str = "
The variables `MILLPOND_STORAGE_S3_` and a field in capitals, such as `MILLPOND_STORAGE_S3_ACCESS_KEY_ID`, make one
bucket with the prefix `s3://`.
";

const KAFKA: &str = "
## Kafka clusters

Credentials for brokers belong to the configuration of every executor that reads or writes their topics. Each `[[kafka.cluster]]` is for
locations whose brokers are all among its `brokers`; every other field is a setting of
[librdkafka](https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md), and stronger than the option of a table:

```toml
[[kafka.cluster]]
brokers = \"kafka-1:9093,kafka-2:9093\"
security.protocol = \"SASL_SSL\"
sasl.mechanism = \"SCRAM-SHA-512\"
sasl.username = \"millpond\"
sasl.password = \"...\"
ssl.ca.location = \"/etc/ssl/certs/ca.pem\"
```

The variables `MILLPOND_KAFKA_BROKERS` and `MILLPOND_KAFKA_` with a setting in capitals and `_` for dots, such as
`MILLPOND_KAFKA_SASL_PASSWORD`, make one cluster. `SASL_PLAINTEXT` and `SASL_SSL` work with `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` and
`OAUTHBEARER`, not with `GSSAPI`. For `OAUTHBEARER` executors fetch tokens as OAuth 2.0 client credentials, anew before one ends:

```toml
[[kafka.cluster]]
brokers = \"kafka-1:9093\"
security.protocol = \"SASL_SSL\"
sasl.mechanism = \"OAUTHBEARER\"
sasl.oauthbearer.client.id = \"millpond\"
sasl.oauthbearer.client.secret = \"...\"
sasl.oauthbearer.token.endpoint.url = \"https://login.example.com/token\"
sasl.oauthbearer.scope = \"kafka\"
```

`millpond topic` has no tokens of its own: its `-X` settings go to librdkafka as they are.
";

/// The page of all configuration keys, as Markdown.
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    let mut group = "";
    for key in KEYS {
        let (of_key, _) = key.name.split_once('.').unwrap_or((key.name, ""));
        if of_key != group {
            group = of_key;
            // Writing to a String cannot fail.
            let _ = writeln!(
                page,
                "\n## {group}\n\n| key | form | default | for | meaning |\n| --- | --- | --- | --- | --- |"
            );
        }
        page.push_str(&row(key));
    }
    page.push_str(BUCKETS);
    for (field, meaning) in FIELDS {
        let _ = writeln!(page, "| `{field}` | {meaning} |");
    }
    page.push_str(BUCKET_VARIABLES);
    page.push_str(KAFKA);
    page.push_str(&forms());
    page
}

fn row(key: &Key) -> String {
    let default = if key.default.is_empty() {
        String::new()
    } else {
        format!("`{}`", key.default)
    };
    let secret = if key.secret { " Secret: never shown." } else { "" };
    let short = key
        .short_variable
        .map_or_else(String::new, |name| format!(" Also set by `{name}`."));
    format!(
        "| `{}` | {} | {default} | {} | {}{secret}{short} |\n",
        key.name,
        form(key.kind),
        key.scope,
        key.description
    )
}

fn form(kind: Kind) -> String {
    match kind {
        Kind::Choice(words) => words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.name().to_owned(),
    }
}

fn forms() -> String {
    let mut text = "\n## Forms\n\n| form | a value is |\n| --- | --- |\n".to_owned();
    for kind in [
        Kind::Text,
        Kind::Path,
        Kind::Flag,
        Kind::Integer,
        Kind::Port,
        Kind::Fraction,
        Kind::Bytes,
        Kind::Duration,
        Kind::Address,
        Kind::List,
        Kind::Url,
    ] {
        let _ = writeln!(text, "| {} | {} |", kind.name(), kind.expected());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_row() {
        let page = markdown();
        for key in KEYS {
            assert_eq!(
                page.matches(&format!("\n| `{}` |", key.name)).count(),
                1,
                "{}",
                key.name
            );
        }
    }

    #[test]
    fn each_group_has_one_heading() {
        let page = markdown();
        let mut headings: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
        let all = headings.len();
        headings.sort_unstable();
        headings.dedup();
        assert_eq!(headings.len(), all);
    }
}
