//! Gives a code to errors that are not ours.
//!
//! [`Error::from_datafusion`] walks down to the error that says most, and [`by_kind`] has one function per library.
//! Where a library tells kinds apart only by text, the tables below name the words that are looked for.

use std::error::Error as StdError;
use std::io;

use arrow::error::ArrowError;
use ballista_core::error::BallistaError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use datafusion::sql::sqlparser::parser::ParserError;

use super::code::Code;
use super::find::{find, inner_of};
use super::from_text::lost;
use super::position::Position;
use super::typed::Error;
use super::wording::{cut, word};

/// Most names of columns that an error lists.
const LISTED_COLUMNS: usize = 20;

impl Error {
    /// Classifies an error of DataFusion; an error of ours inside it is taken as it is.
    ///
    /// The whole chain is kept as the source, for the log. Use [`Error::with_sql`] on the result to show the place.
    pub fn from_datafusion(error: DataFusionError) -> Self {
        let ours = find(&error).cloned();
        match ours {
            Some(ours) => ours,
            None => by_kind(&error).with_source(error),
        }
    }
}

/// Classifies an error of any library; what is not known is `EXECUTION_FAILED` with its text.
pub(super) fn by_kind(error: &(dyn StdError + 'static)) -> Error {
    if let Some(error) = error.downcast_ref::<Error>() {
        return error.clone();
    }
    if let Some(error) = error.downcast_ref::<DataFusionError>() {
        return of_datafusion(error);
    }
    if let Some(error) = error.downcast_ref::<ArrowError>() {
        return of_arrow(error);
    }
    if let Some(error) = error.downcast_ref::<ParquetError>() {
        return of_parquet(error);
    }
    if let Some(error) = error.downcast_ref::<object_store::Error>() {
        return of_object_store(error);
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return of_io(error);
    }
    if let Some(error) = error.downcast_ref::<BallistaError>() {
        return of_ballista(error);
    }
    match inner_of(error).first() {
        Some(inner) => by_kind(*inner),
        None => worded(Code::EXECUTION_FAILED, &error.to_string()),
    }
}

fn of_datafusion(error: &DataFusionError) -> Error {
    match error {
        DataFusionError::SQL(error, _) => of_parser(error),
        DataFusionError::SchemaError(error, _) => of_schema(error),
        DataFusionError::Plan(text) => of_plan(text),
        DataFusionError::Execution(text) | DataFusionError::Ffi(text) => of_execution(text),
        DataFusionError::Configuration(text) => of_configuration(text),
        DataFusionError::NotImplemented(text) | DataFusionError::Substrait(text) => {
            worded(Code::NOT_SUPPORTED, text)
        }
        DataFusionError::Internal(text) => worded(Code::INTERNAL, text),
        DataFusionError::ResourcesExhausted(text) => of_resources(text),
        DataFusionError::ExecutionJoin(error) if error.is_cancelled() => {
            Error::new(Code::CANCELLED, "the statement was cancelled")
        }
        DataFusionError::ExecutionJoin(error) => worded(Code::INTERNAL, &error.to_string()),
        DataFusionError::Diagnostic(diagnostic, inner) => {
            let error = of_datafusion(inner);
            match diagnostic.span.as_ref().and_then(Position::from_span) {
                Some(position) => error.at(position),
                None => error,
            }
        }
        DataFusionError::Collection(errors) => of_collection(errors),
        // The value of a setting that is no number: the cause alone does not name the value.
        DataFusionError::Context(text, inner)
            if text.starts_with("Error parsing '") && matches!(**inner, DataFusionError::External(_)) =>
        {
            worded(Code::INVALID_SETTING, text)
        }
        DataFusionError::Context(_, inner) => of_datafusion(inner),
        DataFusionError::Shared(inner) => of_datafusion(inner),
        DataFusionError::ArrowError(error, _) => of_arrow(error),
        DataFusionError::ParquetError(error) => of_parquet(error),
        DataFusionError::ObjectStore(error) => of_object_store(error),
        DataFusionError::IoError(error) => of_io(error),
        DataFusionError::External(error) => by_kind(error.as_ref()),
    }
}

fn of_collection(errors: &[DataFusionError]) -> Error {
    let Some((first, others)) = errors.split_first() else {
        return Error::bug("an empty list of errors");
    };
    let error = of_datafusion(first);
    let others: Vec<String> = others
        .iter()
        .take(5)
        .map(|other| of_datafusion(other).message)
        .collect();
    if others.is_empty() || error.detail.is_some() {
        return error;
    }
    error.with_detail(format!("also: {}", others.join("; ")))
}

fn of_parser(error: &ParserError) -> Error {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => {
            return Error::new(Code::STATEMENT_TOO_LARGE, "the statement is nested too deeply");
        }
    };
    let (text, position) = Position::split_from(text);
    let error = worded(Code::SYNTAX, text);
    let Some(position) = position else { return error };
    let message = format!(
        "{} at line {}, column {}",
        error.message, position.line, position.column
    );
    Error { message, ..error }.at(position)
}

fn of_schema(error: &SchemaError) -> Error {
    let code = match error {
        SchemaError::FieldNotFound { .. } => Code::UNKNOWN_COLUMN,
        SchemaError::AmbiguousReference { .. } => Code::AMBIGUOUS_COLUMN,
        SchemaError::DuplicateQualifiedField { .. } | SchemaError::DuplicateUnqualifiedField { .. } => {
            Code::INVALID_STATEMENT
        }
    };
    let worded = worded(code, &error.to_string());
    match error {
        SchemaError::FieldNotFound { valid_fields, .. } if !valid_fields.is_empty() => {
            let mut names: Vec<String> = valid_fields
                .iter()
                .take(LISTED_COLUMNS)
                .map(|column| column.quoted_flat_name())
                .collect();
            if let Some(more) = valid_fields
                .len()
                .checked_sub(LISTED_COLUMNS)
                .filter(|&more| more > 0)
            {
                names.push(format!("and {more} more"));
            }
            worded.with_detail(format!("valid columns: {}", cut(&names.join(", "), 1500)))
        }
        _ => worded,
    }
}

fn of_plan(text: &str) -> Error {
    let code = code_of_words(
        text,
        &[
            (&["no files found at"], Code::FILE_MISSING),
            (&["table '", "' not found"], Code::UNKNOWN_RELATION),
            (&["table not found"], Code::UNKNOWN_RELATION),
            (&["column for", "not found"], Code::UNKNOWN_COLUMN),
            (&["schema", "not found"], Code::UNKNOWN_RELATION),
            (&["catalog", "not found"], Code::UNKNOWN_RELATION),
            (&["doesn't exist"], Code::UNKNOWN_RELATION),
            (&["invalid function"], Code::UNKNOWN_FUNCTION),
            (&["function", "not found"], Code::UNKNOWN_FUNCTION),
            (&["already exists"], Code::RELATION_EXISTS),
            (&["placeholder"], Code::INVALID_PARAMETER),
            (&["coerc"], Code::TYPE_MISMATCH),
            (&["common type"], Code::TYPE_MISMATCH),
            (&["no function matches"], Code::TYPE_MISMATCH),
            (&["not compatible"], Code::TYPE_MISMATCH),
            (&["incompatible"], Code::TYPE_MISMATCH),
            (&["cannot get result type"], Code::TYPE_MISMATCH),
            (&["unsupported"], Code::NOT_SUPPORTED),
            (&["not supported"], Code::NOT_SUPPORTED),
            (&["not implemented"], Code::NOT_SUPPORTED),
        ],
    );
    worded(code.unwrap_or(Code::INVALID_STATEMENT), text)
}

fn of_execution(text: &str) -> Error {
    let code = code_of_words(
        text,
        &[
            (&["doesn't exist"], Code::UNKNOWN_RELATION),
            (&["already exists"], Code::RELATION_EXISTS),
            (&["cannot drop schema"], Code::RELATION_EXISTS),
            (&["placeholder"], Code::INVALID_PARAMETER),
            (&["divide by zero"], Code::INVALID_VALUE),
            (&["overflow"], Code::INVALID_VALUE),
            (&["parsing timestamp"], Code::INVALID_VALUE),
            (&["cannot cast"], Code::INVALID_VALUE),
            (&["task cancelled"], Code::CANCELLED),
        ],
    );
    worded(code.unwrap_or(Code::EXECUTION_FAILED), text)
}

fn of_configuration(text: &str) -> Error {
    let lower = text.to_lowercase();
    let unknown = lower.contains("not found") || lower.contains("could not find");
    worded(
        if unknown {
            Code::UNKNOWN_SETTING
        } else {
            Code::INVALID_SETTING
        },
        text,
    )
}

fn of_resources(text: &str) -> Error {
    if text.contains("DiskManager") || text.contains("disk space") {
        return disk_full(text);
    }
    // The pool's own text ends with its size, such as `fair(pool_size: 100.0 MB)`.
    let limit = text
        .rsplit_once("pool_size: ")
        .and_then(|(_, after)| after.split([',', ')']).next());
    let message = match limit {
        Some(limit) => format!("the executor's memory limit of {limit} for running statements is reached"),
        None => "the executor's memory limit is reached".to_owned(),
    };
    let worded = worded(Code::MEMORY_LIMIT, text);
    let detail = match worded.detail {
        Some(detail) => format!("{}\n{detail}", worded.message),
        None => worded.message,
    };
    Error::new(Code::MEMORY_LIMIT, message).with_detail(detail).with_hint(
        "raise executor.memory_limit, add executors, or raise datafusion.execution.target_partitions to work on smaller parts",
    )
}

fn disk_full(text: &str) -> Error {
    let (message, _, _) = super::wording::split(text);
    Error::new(Code::DISK_FULL, "no space left on the disk of the executor")
        .with_detail(message)
        .with_hint("free space on the file system of executor.work_dir, or choose a larger one")
}

fn of_arrow(error: &ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => by_kind(inner.as_ref()),
        ArrowError::IoError(_, inner) => of_io(inner),
        ArrowError::CsvError(text) => of_csv(text),
        ArrowError::JsonError(text) => bad_data("JSON", text),
        ArrowError::AvroError(text) => bad_data("Avro", text),
        // Ballista hands on the end of a connection as if it were bad data.
        ArrowError::IpcError(text) => lost(text).unwrap_or_else(|| bad_data("Arrow", text)),
        ArrowError::ParquetError(text) => bad_data("Parquet", text),
        ArrowError::ParseError(text) if text.contains("at line") => of_csv(text),
        ArrowError::ParseError(text)
        | ArrowError::CastError(text)
        | ArrowError::ComputeError(text)
        | ArrowError::InvalidArgumentError(text) => worded(Code::INVALID_VALUE, text),
        ArrowError::DivideByZero => Error::new(Code::INVALID_VALUE, "division by zero")
            .with_hint("write NULLIF(x, 0) for the divisor to get NULL instead"),
        ArrowError::ArithmeticOverflow(text) => worded(Code::INVALID_VALUE, text),
        ArrowError::OffsetOverflowError(_) => worded(
            Code::INVALID_VALUE,
            "a batch holds more than 2 GiB of text in one column",
        )
        .with_hint("lower datafusion.execution.batch_size"),
        ArrowError::MemoryError(text) => of_resources(text),
        ArrowError::NotYetImplemented(text) => worded(Code::NOT_SUPPORTED, text),
        ArrowError::SchemaError(text) => worded(Code::TYPE_MISMATCH, text),
        other => worded(Code::INTERNAL, &other.to_string()),
    }
}

fn of_csv(text: &str) -> Error {
    let error = bad_data("CSV", text);
    if text.contains("number of fields") {
        return error.with_hint(
            "check 'format.delimiter' and 'format.quote'; 'format.truncated_rows' 'true' accepts rows with too few fields",
        );
    }
    if text.contains("UTF-8") {
        return error.with_hint("convert the file to UTF-8 first, for example with iconv");
    }
    if text.contains("parsing value") {
        return error.with_hint("declare the column as TEXT and use TRY_CAST, or set 'format.null_regex'");
    }
    error
}

fn bad_data(format: &str, text: &str) -> Error {
    let error = worded(Code::BAD_DATA, text);
    Error {
        message: format!("bad {format} data: {}", error.message),
        ..error
    }
}

fn of_parquet(error: &ParquetError) -> Error {
    match error {
        ParquetError::External(inner) => by_kind(inner.as_ref()),
        ParquetError::NYI(text) => worded(Code::NOT_SUPPORTED, text),
        ParquetError::General(text) | ParquetError::EOF(text) | ParquetError::ArrowError(text) => {
            bad_data("Parquet", text)
        }
        other => bad_data("Parquet", &other.to_string()),
    }
}

fn of_object_store(error: &object_store::Error) -> Error {
    use object_store::Error as Store;
    match error {
        Store::NotFound { path, .. } => Error::new(Code::FILE_MISSING, format!("no such file: {path}")),
        Store::PermissionDenied { path, source } | Store::Unauthenticated { path, source } => {
            let error = Error::new(Code::FILE_DENIED, format!("access denied: {path}"));
            error.with_detail(cut(&source.to_string(), 500))
        }
        Store::AlreadyExists { path, .. } => {
            Error::new(Code::FILE_NOT_WRITTEN, format!("already exists: {path}"))
        }
        Store::Precondition { path, .. } | Store::NotModified { path, .. } => Error::new(
            Code::FILE_UNREADABLE,
            format!("changed while it was used: {path}"),
        ),
        Store::NotSupported { .. } | Store::NotImplemented { .. } => {
            worded(Code::NOT_SUPPORTED, &error.to_string())
        }
        // The local file system reports a missing right or a full disk as generic, with the cause inside.
        Store::Generic { source, .. } => match find_io(source.as_ref()) {
            Some(cause) => of_io_named(cause, &source.to_string()),
            None => worded(Code::FILE_UNREADABLE, &source.to_string()),
        },
        other => worded(Code::FILE_UNREADABLE, &other.to_string()),
    }
}

fn find_io<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    error
        .downcast_ref::<io::Error>()
        .or_else(|| inner_of(error).into_iter().find_map(find_io))
}

fn of_io(error: &io::Error) -> Error {
    if let Some(carried) = error.get_ref() {
        let inner = by_kind(carried);
        if inner.code != Code::EXECUTION_FAILED {
            return inner;
        }
    }
    of_io_named(error, &error.to_string())
}

/// Classifies an I/O error by its kind; `text` says more than the error itself, for example the path.
fn of_io_named(error: &io::Error, text: &str) -> Error {
    use io::ErrorKind as Kind;
    if text.contains("allowable limit") {
        return disk_full(text);
    }
    let code = match error.kind() {
        Kind::NotFound => Code::FILE_MISSING,
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Code::FILE_DENIED,
        Kind::StorageFull | Kind::QuotaExceeded => return disk_full(text),
        Kind::AlreadyExists | Kind::IsADirectory | Kind::NotADirectory => Code::FILE_NOT_WRITTEN,
        Kind::InvalidData | Kind::UnexpectedEof => Code::BAD_DATA,
        _ => Code::FILE_UNREADABLE,
    };
    worded(code, text)
}

fn of_ballista(error: &BallistaError) -> Error {
    match error {
        BallistaError::DataFusionError(error) => of_datafusion(error),
        BallistaError::ArrowError(error) => of_arrow(error),
        BallistaError::SqlError(error) => of_parser(error),
        BallistaError::IoError(error) => of_io(error),
        BallistaError::NotImplemented(text) => worded(Code::NOT_SUPPORTED, text),
        BallistaError::Configuration(text) => of_configuration(text),
        BallistaError::Internal(text) => worded(Code::INTERNAL, text),
        BallistaError::General(text) => Error::from_text(text),
        BallistaError::Cancelled => Error::new(Code::CANCELLED, "the statement was cancelled"),
        BallistaError::FetchFailed(executor, ..) => executor_lost(executor, &error.to_string()),
        BallistaError::GrpcError(status) => worded(Code::EXECUTOR_LOST, status.message()),
        BallistaError::TonicError(_)
        | BallistaError::GrpcConnectionError(_)
        | BallistaError::GrpcActionError(_)
        | BallistaError::TokioError(_) => worded(Code::EXECUTOR_LOST, &error.to_string()),
    }
}

/// An intermediate result of an executor could not be fetched.
pub(super) fn executor_lost(executor: &str, text: &str) -> Error {
    let worded = worded(Code::EXECUTOR_LOST, text);
    Error::new(Code::EXECUTOR_LOST, format!("executor {executor} was lost")).with_detail(worded.message)
}

fn worded(code: Code, text: &str) -> Error {
    word(Error::new(code, ""), text)
}

/// The code of the first entry whose words, in lower case, are all in the text.
fn code_of_words(text: &str, table: &[(&[&str], Code)]) -> Option<Code> {
    let text = text.to_lowercase();
    table
        .iter()
        .find(|(words, _)| words.iter().all(|word| text.contains(word)))
        .map(|&(_, code)| code)
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
