//! What the errors of DataFusion, Arrow, Parquet and the object stores become.

use datafusion::prelude::{SessionConfig, SessionContext};

use super::*;
use crate::error::{Class, Retry};

fn check(error: impl Into<DataFusionError>, code: Code, message: &str) -> Error {
    let error = Error::from_datafusion(error.into());
    assert_eq!(
        (error.code, error.message.as_str()),
        (code, message),
        "{}",
        error.user_text()
    );
    error
}

async fn failure_of(sql: &str) -> Error {
    let mut config = SessionConfig::new();
    config.options_mut().sql_parser.collect_spans = true;
    let context = SessionContext::new_with_config(config);
    context
        .sql("CREATE TABLE t (a INT, \"Year\" INT) AS VALUES (1, 2)")
        .await
        .unwrap();
    let run = async { context.sql(sql).await?.collect().await };
    Error::from_datafusion(run.await.expect_err(sql)).with_sql(sql)
}

#[tokio::test]
async fn syntax_error_shows_the_place() {
    let error = failure_of("SELECT a\nFROMM t WHERE").await;
    assert_eq!(error.code, Code::SYNTAX);
    assert!(error.message.contains("line 2, column"), "{}", error.user_text());
    assert!(
        error
            .detail
            .as_deref()
            .is_some_and(|d| d.starts_with("line 2: FROMM t WHERE\n")),
        "{error:?}"
    );
    assert_eq!(failure_of("SELECT 'x").await.code, Code::SYNTAX);
}

#[tokio::test]
async fn unknown_table_is_named() {
    let error = failure_of("SELECT * FROM tt").await;
    assert_eq!(error.code, Code::UNKNOWN_RELATION, "{}", error.user_text());
    assert!(error.message.contains("tt' not found"), "{}", error.user_text());
}

#[tokio::test]
async fn unknown_column_has_suggestion_columns_and_place() {
    let error = failure_of("SELECT aa FROM t").await;
    assert_eq!(error.code, Code::UNKNOWN_COLUMN, "{}", error.user_text());
    let text = error.user_text();
    assert!(
        text.contains("hint: did you mean") && text.contains("valid columns: t.a"),
        "{text}"
    );
    assert!(
        text.contains("line 1: SELECT aa FROM t\n               ^"),
        "{text}"
    );
}

#[tokio::test]
async fn ten_thousand_columns_are_not_all_listed() {
    let columns: Vec<String> = (0..10_000).map(|i| format!("{i} AS column_{i}")).collect();
    let error = failure_of(&format!("SELECT nope FROM (SELECT {})", columns.join(", "))).await;
    assert_eq!(error.code, Code::UNKNOWN_COLUMN);
    assert!(error.user_text().len() < 2500, "{}", error.user_text().len());
    assert!(
        error.user_text().contains("and 9980 more"),
        "{}",
        error.user_text()
    );
}

#[tokio::test]
async fn usual_mistakes_have_codes() {
    for (sql, code) in [
        ("SELECT no_such_function(a) FROM t", Code::UNKNOWN_FUNCTION),
        ("SELECT a + [1] FROM t", Code::TYPE_MISMATCH),
        ("SELECT abs(a, a, a) FROM t", Code::TYPE_MISMATCH),
        ("SELECT a, count(*) FROM t", Code::INVALID_STATEMENT),
        (
            "SELECT x.a FROM t x JOIN t y ON x.a = y.a WHERE a = 1",
            Code::AMBIGUOUS_COLUMN,
        ),
        ("CREATE TABLE t (b INT)", Code::RELATION_EXISTS),
        ("DROP TABLE nope", Code::UNKNOWN_RELATION),
        ("SELECT CAST('abc' AS INT)", Code::INVALID_VALUE),
        ("SELECT a / (a - 1) FROM t", Code::INVALID_VALUE),
        ("SET datafusion.nope = 1", Code::UNKNOWN_SETTING),
        (
            "SET datafusion.execution.batch_size = 'many'",
            Code::INVALID_SETTING,
        ),
        ("SELECT $1", Code::INVALID_PARAMETER),
        (
            "CREATE EXTERNAL TABLE f STORED AS PARQUET LOCATION '/no/such/file.parquet'",
            Code::FILE_MISSING,
        ),
    ] {
        let error = failure_of(sql).await;
        assert_eq!(error.code, code, "{sql}\n{}", error.user_text());
    }
}

#[tokio::test]
async fn texts_are_lower_case_and_without_prefix() {
    for sql in [
        "SELECT aa FROM t",
        "SELECT * FROM tt",
        "SELEC 1",
        "SELECT CAST('abc' AS INT)",
        "DROP TABLE nope",
    ] {
        let text = failure_of(sql).await.user_text();
        let mut start = text.chars();
        let capital =
            start.next().is_some_and(char::is_uppercase) && start.next().is_some_and(char::is_lowercase);
        assert!(
            !capital && !text.contains("during planning") && !text.contains("datafusion::"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn bad_files_are_told_apart() {
    let folder = std::env::temp_dir().join(format!("millpond-classify-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let ragged = file("ragged.csv", b"a,b\n1,2\n1,2,3\n");
    let latin = file("latin.csv", b"a,b\n1,\xe4\n");
    let number = file("number.csv", b"a\n1\nx\n");
    let parquet = file("cut.parquet", b"PAR1 this is not a parquet file");
    let context = SessionContext::new();
    for (columns, format, path, word) in [
        ("(a INT, b INT)", "CSV", &ragged, "line 3"),
        ("(a INT, b TEXT)", "CSV", &latin, "UTF-8"),
        ("(a INT)", "CSV", &number, "'x'"),
        ("", "PARQUET", &parquet, "bad Parquet data"),
    ] {
        let sql = format!("CREATE EXTERNAL TABLE f {columns} STORED AS {format} LOCATION '{path}'");
        let run = async {
            context.sql(&sql).await?;
            context.sql("SELECT * FROM f").await?.collect().await
        };
        let error = Error::from_datafusion(run.await.expect_err(path));
        assert_eq!(error.code, Code::BAD_DATA, "{}", error.user_text());
        assert!(error.user_text().contains(word), "{}", error.user_text());
        context.sql("DROP TABLE IF EXISTS f").await.unwrap();
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn memory_error_names_the_limit() {
    let error = check(
        DataFusionError::ResourcesExhausted(
            "Failed to allocate additional 40.0 MB for HashJoinInput[0] with 60.0 MB already allocated for this \
             reservation - 0.0 B remain available for the total memory pool: fair(pool_size: 100.0 MB)"
                .to_owned(),
        ),
        Code::MEMORY_LIMIT,
        "the executor's memory limit of 100.0 MB for running statements is reached",
    );
    assert_eq!(error.class, Class::Resource);
    assert!(
        error.user_text().contains("HashJoinInput") && error.user_text().contains("executor.memory_limit")
    );
}

#[test]
fn full_disk_is_recognised_by_kind_and_by_limit() {
    let full = "no space left on the disk of the executor";
    check(io::Error::from(io::ErrorKind::StorageFull), Code::DISK_FULL, full);
    check(
        io::Error::other(
            "The used disk space during the spilling process has exceeded the allowable limit of 1 GB.",
        ),
        Code::DISK_FULL,
        full,
    );
}

#[test]
fn denied_local_file_is_found_inside_a_generic_store_error() {
    let error = Error::from_datafusion(DataFusionError::ObjectStore(Box::new(
        object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "/secret: permission denied",
            )),
        },
    )));
    assert_eq!((error.code, error.class), (Code::FILE_DENIED, Class::External));
    assert!(error.message.contains("/secret"), "{error}");
}

#[test]
fn internal_error_is_ours_to_explain() {
    let error = check(
        DataFusionError::Internal("Bad index".to_owned()),
        Code::INTERNAL,
        "bad index",
    );
    assert_eq!((error.class, error.retry), (Class::Bug, Retry::Never));
}

#[test]
fn further_errors_of_a_collection_are_mentioned() {
    let errors = vec![
        DataFusionError::Plan("one".to_owned()),
        DataFusionError::Plan("two".to_owned()),
    ];
    let error = check(
        DataFusionError::Collection(errors),
        Code::INVALID_STATEMENT,
        "one",
    );
    assert_eq!(error.detail.as_deref(), Some("also: two"));
    check(
        DataFusionError::Collection(vec![]),
        Code::INTERNAL,
        "an empty list of errors",
    );
}

#[test]
fn ballista_errors_keep_their_meaning() {
    let fetch = BallistaError::FetchFailed("e1".to_owned(), 1, 2, "connection refused".to_owned());
    let error = check(
        fetch.into_datafusion(),
        Code::EXECUTOR_LOST,
        "executor e1 was lost",
    );
    assert_eq!(error.retry, Retry::RetryElsewhere);
    check(
        BallistaError::Cancelled.into_datafusion(),
        Code::CANCELLED,
        "the statement was cancelled",
    );
}

#[test]
fn end_of_a_connection_in_the_middle_of_rows_is_a_lost_executor() {
    let text = "code: 'Unknown error', message: \"h2 protocol error: error reading a body from connection\"";
    let error = datafusion::arrow::error::ArrowError::IpcError(text.to_owned());
    assert_eq!(Error::from_datafusion(error.into()).code, Code::EXECUTOR_LOST);
    let error = datafusion::arrow::error::ArrowError::IpcError("a message is cut".to_owned());
    assert_eq!(Error::from_datafusion(error.into()).code, Code::BAD_DATA);
}
