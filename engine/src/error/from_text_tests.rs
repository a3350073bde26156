//! Errors that went through Ballista's text of a failed task and came back.

use ballista_core::error::BallistaError;
use ballista_core::serde::protobuf::FailedTask;

use super::*;

/// What the scheduler reports when a task of an executor fails with this error.
fn told_by_scheduler(error: DataFusionError) -> Error {
    let failed = FailedTask::from(BallistaError::from(error));
    Error::from_text(&format!("Job failed due to stage 1 failed: {}\n", failed.error))
}

fn check(error: DataFusionError, code: Code, word: &str) {
    let shown = format!("{error:?}");
    let told = told_by_scheduler(error);
    assert_eq!(told.code, code, "{shown}\n{}", told.user_text());
    assert!(told.user_text().contains(word), "{shown}\n{}", told.user_text());
    assert!(!told.user_text().contains("Job failed"), "{}", told.user_text());
}

fn ours() -> Error {
    Error::user(Code::PATH_REFUSED, "path \"/x\" is outside\nthe roots")
        .with_detail("C:\\roots")
        .with_hint("move it")
}

fn check_ours(told: &Error) {
    assert_eq!(told.user_text(), ours().user_text());
    assert_eq!((told.class, told.retry), (ours().class, ours().retry));
}

#[test]
fn ours_comes_back_whole() {
    check_ours(&told_by_scheduler(ours().into()));
    check_ours(&told_by_scheduler(
        DataFusionError::from(ours()).context("while reading"),
    ));
    check_ours(&told_by_scheduler(DataFusionError::IoError(
        std::io::Error::other(ours()),
    )));
    check_ours(&told_by_scheduler(
        ArrowError::ExternalError(Box::new(ours())).into(),
    ));
}

#[test]
fn ours_comes_back_from_a_text_inside_texts() {
    let once = format!("{:?}", DataFusionError::from(ours()));
    check_ours(&told_by_scheduler(DataFusionError::Execution(once.clone())));
    check_ours(&told_by_scheduler(DataFusionError::Execution(format!(
        "{:?}",
        DataFusionError::Execution(once)
    ))));
}

#[test]
fn shown_text_gives_the_error_back() {
    let error = Error::new(Code::MEMORY_LIMIT, "limit reached")
        .with_detail("sort\nof rows")
        .with_hint("raise it");
    assert_eq!(
        Error::from_text(&error.user_text()).user_text(),
        error.user_text()
    );
    let plain = Error::new(Code::CANCELLED, "cancelled");
    assert_eq!(
        Error::from_text(&plain.user_text()).user_text(),
        plain.user_text()
    );
    let told = Error::from_text("Execution error: External error: no executor [MP0023]");
    assert_eq!(
        (told.code, told.message.as_str()),
        (Code::NO_EXECUTORS, "no executor")
    );
}

#[test]
fn library_errors_are_recognised_in_the_text_of_a_task() {
    let text = |text: &str| text.to_owned();
    let arrow = |error: ArrowError| DataFusionError::ArrowError(Box::new(error), Some(String::new()));
    check(
        DataFusionError::ResourcesExhausted(text("Failed to allocate: fair(pool_size: 64.0 MB)")),
        Code::MEMORY_LIMIT,
        "64.0 MB",
    );
    check(
        arrow(ArrowError::CsvError(text(
            "incorrect number of fields for line 3",
        ))),
        Code::BAD_DATA,
        "line 3",
    );
    check(
        arrow(ArrowError::ParseError(text(
            "Error while parsing value 'x' as type 'Int32' for column 0 at line 2.",
        ))),
        Code::BAD_DATA,
        "'x'",
    );
    check(
        arrow(ArrowError::CastError(text("Cannot cast string 'a\"b'"))),
        Code::INVALID_VALUE,
        "a\"b",
    );
    check(
        arrow(ArrowError::DivideByZero),
        Code::INVALID_VALUE,
        "division by zero",
    );
    check(
        DataFusionError::NotImplemented(text("Frobnicate")),
        Code::NOT_SUPPORTED,
        "frobnicate",
    );
    check(
        DataFusionError::ParquetError(Box::new(ParquetError::General(text("Invalid Parquet file.")))),
        Code::BAD_DATA,
        "invalid Parquet file",
    );
    check(
        DataFusionError::Execution(text("Boom")).context("reading"),
        Code::EXECUTION_FAILED,
        "boom",
    );
}

#[test]
fn files_and_disks_are_recognised_in_the_text_of_a_task() {
    let store = |error: object_store::Error| DataFusionError::ObjectStore(Box::new(error));
    let os = |code| std::io::Error::from_raw_os_error(code);
    check(
        store(object_store::Error::NotFound {
            path: "/data/x.csv".to_owned(),
            source: Box::new(os(2)),
        }),
        Code::FILE_MISSING,
        "/data/x.csv",
    );
    check(DataFusionError::IoError(os(28)), Code::DISK_FULL, "no space left");
    check(
        DataFusionError::IoError(os(13)),
        Code::FILE_DENIED,
        "permission denied",
    );
    let limit = "The used disk space during the spilling process has exceeded the allowable limit of 1 GB.";
    check(
        DataFusionError::IoError(std::io::Error::other(limit)),
        Code::DISK_FULL,
        "1 GB",
    );
}

#[test]
fn failed_planning_is_told_with_display_and_recognised_too() {
    for (text, code) in [
        (
            "DataFusion error: Error during planning: table 'millpond.public.x' not found",
            Code::UNKNOWN_RELATION,
        ),
        (
            "Resources exhausted: Failed: fair(pool_size: 1.0 MB)",
            Code::MEMORY_LIMIT,
        ),
        ("Arrow error: Divide by zero error", Code::INVALID_VALUE),
        ("Arrow error: Csv error: bad", Code::BAD_DATA),
        ("Task cancelled", Code::CANCELLED),
    ] {
        assert_eq!(Error::from_text(text).code, code, "{text}");
    }
}

#[test]
fn lost_executor_is_recognised() {
    let fetch = BallistaError::FetchFailed("e-7".to_owned(), 1, 0, "connection refused".to_owned());
    let told = Error::from_text(&fetch.to_string());
    assert_eq!(
        (told.code, told.message.as_str()),
        (Code::EXECUTOR_LOST, "executor e-7 was lost")
    );
}

#[test]
fn unknown_text_is_kept_and_shortened() {
    let told = Error::from_text("Job failed due to stage 2 failed: The moon is full.");
    assert_eq!(
        (told.code, told.message.as_str()),
        (Code::EXECUTION_FAILED, "the moon is full")
    );
    assert!(Error::from_text(&"x".repeat(100_000)).user_text().len() < 1000);
    Error::from_text("");
}
