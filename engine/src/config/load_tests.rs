//! Files, profiles, variables and the command line together.

use std::time::Duration;

use bytesize::ByteSize;

use super::*;

/// A configuration file that is removed with this value.
struct Toml(PathBuf);

impl Toml {
    fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("millpond-{}.toml", uuid::Uuid::new_v4()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Toml {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn load(
    toml: &str,
    profile: Option<&str>,
    environment: &[(&str, &str)],
    overrides: &[(&str, &str)],
) -> Result<Config, Error> {
    let file = Toml::new(toml);
    Config::load(Sources {
        file: Some(file.0.clone()),
        profile: profile.map(str::to_owned),
        environment: pairs(environment),
        overrides: pairs(overrides),
    })
}

fn failure(toml: &str, environment: &[(&str, &str)], overrides: &[(&str, &str)]) -> Error {
    load(toml, None, environment, overrides).unwrap_err()
}

#[test]
fn stronger_sources_win() {
    let toml = "[executor]\nvcores = 1\n[profile.big.executor]\nvcores = 2";
    let variable = [("MILLPOND_EXECUTOR_VCORES", "3")];
    let flag = [("executor.vcores", "4")];
    let vcores = |profile, variables: &[_], flags: &[_]| {
        let config = load(toml, profile, variables, flags).unwrap();
        (
            config.get(keys::EXECUTOR_VCORES),
            config.origin(keys::EXECUTOR_VCORES).to_string(),
        )
    };
    let (value, origin) = vcores(None, &[], &[]);
    assert!(
        value == Some(1) && origin.ends_with(".toml") && !origin.contains("profile"),
        "{origin}"
    );
    let (value, origin) = vcores(Some("big"), &[], &[]);
    assert!(
        value == Some(2) && origin.starts_with("profile big of "),
        "{origin}"
    );
    assert_eq!(
        vcores(Some("big"), &variable, &[]),
        (Some(3), "MILLPOND_EXECUTOR_VCORES".to_owned())
    );
    assert_eq!(
        vcores(Some("big"), &variable, &flag),
        (Some(4), "command line".to_owned())
    );
    assert_eq!(
        Config::of([("executor.vcores", "0")])
            .unwrap()
            .get(keys::EXECUTOR_VCORES),
        None
    );
}

#[test]
fn values_have_their_types() {
    let config = load(
        "storage.local_roots = [\"/data\", \"/with,comma\"]\nserver.insecure = true\n\
         [executor]\nmemory_limit = \"1.5GiB\"\nmemory_fraction = 0.5\n[state]\nurl = \"s3://bucket/state\"",
        None,
        &[("MILLPOND_STATEMENT_TIMEOUT", "90s"), ("PATH", "/bin")],
        &[],
    )
    .unwrap();
    assert_eq!(config.get(keys::STORAGE_LOCAL_ROOTS), ["/data", "/with,comma"]);
    assert!(config.get(keys::SERVER_INSECURE));
    assert_eq!(
        config.get(keys::EXECUTOR_MEMORY_LIMIT),
        Some(ByteSize::b(3 << 29))
    );
    assert!((config.get(keys::EXECUTOR_MEMORY_FRACTION).get() - 0.5).abs() < f64::EPSILON);
    assert_eq!(config.get(keys::STATEMENT_TIMEOUT), Some(Duration::from_secs(90)));
    assert_eq!(
        config.get(keys::STATE_URL).map(|url| url.to_string()),
        Some("s3://bucket/state".to_owned())
    );
    assert_eq!(config.origin(keys::RESULT_TTL), Origin::Default);
}

#[test]
fn unknown_keys_name_the_nearest_and_the_source() {
    let from_file = failure("[executor]\nmemory_limt = \"1GB\"", &[], &[]);
    assert_eq!(from_file.code, Code::UNKNOWN_SETTING);
    let text = from_file.user_text();
    assert!(
        text.contains("'executor.memory_limit'") && text.contains(".toml"),
        "{text}"
    );
    let text = failure("", &[("MILLPOND_EXECUTOR_VCORE", "1")], &[]).user_text();
    assert!(text.contains("'MILLPOND_EXECUTOR_VCORES'"), "{text}");
    let text = failure("", &[], &[("http.bnd", "1")]).user_text();
    assert!(
        text.contains("'http.bind'") && text.contains("command line"),
        "{text}"
    );
}

#[test]
fn wrong_values_name_key_source_and_form() {
    let error = failure("", &[("MILLPOND_STATEMENT_TIMEOUT", "soon")], &[]);
    assert_eq!(error.code, Code::INVALID_SETTING);
    let text = error.user_text();
    for part in ["statement.timeout", "MILLPOND_STATEMENT_TIMEOUT", "30s", "'soon'"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    for toml in [
        "executor = 1",
        "log.format = \"xml\"",
        "log.format = [\"text\"]",
        "executor.vcores = 1979-05-27",
        "profile = 1",
        "profile.x = 1",
        "storage.bucket = 1",
        "tls.cert = \"a\"",
        "cluster.heartbeat_interval = \"7s\"",
        "admission.max_running = 0",
        "storage.local_roots = [\"data\"]",
    ] {
        let error = failure(toml, &[], &[]);
        assert!(
            [Code::INVALID_SETTING, Code::UNKNOWN_SETTING].contains(&error.code),
            "{toml}: {error:?}"
        );
    }
}

#[test]
fn an_unused_profile_is_checked() {
    let error = failure(
        "[profile.other]\nlog.level = \"info\"\nexecutor.vcores = \"many\"",
        &[],
        &[],
    );
    assert!(
        error.user_text().contains("profile other of"),
        "{}",
        error.user_text()
    );
}

#[test]
fn unknown_profiles_name_the_nearest() {
    let toml = "[profile.production.log]\nlevel = \"warn\"";
    let error = load(toml, Some("prodcution"), &[], &[]).unwrap_err();
    assert_eq!(
        (error.code, error.hint.as_deref()),
        (Code::UNKNOWN_PROFILE, Some("did you mean 'production'?"))
    );
    let config = load(toml, None, &[("MILLPOND_PROFILE", "production")], &[]).unwrap();
    assert_eq!(config.get(keys::LOG_LEVEL), "warn");
}

#[test]
fn settings_of_a_session_are_refused() {
    let error = failure("millpond.statement_timeout = \"1s\"", &[], &[]);
    assert_eq!(error.code, Code::SETTING_PROTECTED);
    assert!(
        error.user_text().contains("SET millpond.statement_timeout"),
        "{}",
        error.user_text()
    );
}

#[test]
fn secrets_are_never_shown() {
    let toml =
        "auth.token = \"hunter2\"\n[[storage.bucket]]\nprefix = \"s3://a\"\nsecret_access_key = \"hunter2\"";
    let config = load(toml, None, &[("MILLPOND_TOKEN", "hunter2")], &[]).unwrap();
    assert_eq!(config.get(keys::AUTH_TOKEN).as_deref(), Some("hunter2"));
    assert_eq!(config.get(keys::CLIENT_TOKEN).as_deref(), Some("hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    assert_eq!(config.shown().filter(|shown| shown.value == "***").count(), 2);
    for toml in [
        "auth.token = \"hunter2",
        "auth.token = [\"hunter2\"]",
        "auth.token = hunter2",
    ] {
        let text = failure(toml, &[], &[]).user_text();
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn file_that_is_missing_or_no_toml_is_named() {
    let missing = Config::load(Sources {
        environment: vec![],
        file: Some("/no/such.toml".into()),
        ..Sources::default()
    });
    let error = missing.unwrap_err();
    assert_eq!(error.code, Code::CONFIG_UNREADABLE);
    assert!(
        error.user_text().contains("/no/such.toml"),
        "{}",
        error.user_text()
    );
    let error = failure("[executor]\n\nvcores = = 1", &[], &[]);
    assert_eq!(error.code, Code::CONFIG_UNREADABLE);
    assert!(
        error
            .detail
            .as_deref()
            .is_some_and(|detail| detail.starts_with("line 3: ")),
        "{error:?}"
    );
}

#[test]
fn file_can_be_named_by_a_variable() {
    let file = Toml::new("executor.vcores = 7");
    let environment = vec![("MILLPOND_CONFIG".to_owned(), file.0.display().to_string())];
    let config = Config::load(Sources {
        environment,
        ..Sources::default()
    })
    .unwrap();
    assert_eq!(config.get(keys::EXECUTOR_VCORES), Some(7));
}

#[test]
fn the_long_name_of_a_variable_wins() {
    for environment in [
        [
            ("MILLPOND_URL", "grpc://short:1"),
            ("MILLPOND_CLIENT_URL", "grpc://long:1"),
        ],
        [
            ("MILLPOND_CLIENT_URL", "grpc://long:1"),
            ("MILLPOND_URL", "grpc://short:1"),
        ],
    ] {
        let url = load("", None, &environment, &[]).unwrap().get(keys::CLIENT_URL);
        assert_eq!(url.map(|url| url.to_string()), Some("grpc://long:1".to_owned()));
    }
}

#[test]
fn buckets_come_from_the_file_its_profile_and_variables() {
    let config = load(
        "[[storage.bucket]]\nprefix = \"s3://a\"\nregion = \"eu\"\n\
         [[storage.bucket]]\nprefix = \"gs://b\"\nanonymous = true\n\
         [[profile.p.storage.bucket]]\nprefix = \"s3://a\"\nregion = \"us\"",
        Some("p"),
        &[
            ("MILLPOND_STORAGE_S3_ACCESS_KEY_ID", "me"),
            ("MILLPOND_STORAGE_S3_SECRET_ACCESS_KEY", "secret"),
            ("MILLPOND_STORAGE_S3_ENDPOINT", "http://127.0.0.1:9000"),
            ("MILLPOND_STORAGE_S3_ALLOW_HTTP", "true"),
        ],
        &[],
    )
    .unwrap();
    let prefixes: Vec<&str> = config
        .buckets()
        .iter()
        .map(|bucket| bucket.prefix.as_str())
        .collect();
    assert_eq!(prefixes, ["gs://b", "s3://a", "s3://"]);
    assert!(config.buckets()[0].anonymous);
    assert_eq!(config.buckets()[1].region.as_deref(), Some("us"));
    assert_eq!(config.buckets()[2].secret_access_key.as_deref(), Some("secret"));
    assert!(config.buckets()[2].allow_http);
    let text = failure("", &[("MILLPOND_STORAGE_S3_ACCESS_KEY", "hunter2")], &[]).user_text();
    assert!(
        text.contains("MILLPOND_STORAGE_S3_ACCESS_KEY_ID") && !text.contains("hunter2"),
        "{text}"
    );
}

#[test]
fn changed_keys_are_checked_again() {
    let config = Config::of([("executor.vcores", "2")]).unwrap();
    let changed = config.with([("executor.data_port", "0")]).unwrap();
    assert_eq!(
        (
            changed.get(keys::EXECUTOR_VCORES),
            changed.get(keys::EXECUTOR_DATA_PORT)
        ),
        (Some(2), 0)
    );
    assert!(config.with([("executor.data_port", "x")]).is_err());
}
