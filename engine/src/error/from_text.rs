//! Reads an error back from a text: the failure of a job, or the message of a server.
//!
//! Ballista sends the failure of a task as text. An error of ours is in it whole, because its `Debug` form is JSON;
//! any other is recognised by the names of the variants around it, or by the words DataFusion puts before it.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;

use super::classify::{by_kind, executor_lost};
use super::code::Code;
use super::debug_text::{Variant, variants};
use super::typed::{Error, OnTheWire};
use super::wording::word;

/// Texts inside texts are followed this deep.
const DEPTH: usize = 4;

/// What DataFusion and Arrow write before the text of an error, and the error it stands for.
const PREFIXES: &[(&str, &str)] = &[
    ("Error during planning: ", "Plan"),
    ("Execution error: ", "Execution"),
    ("Resources exhausted: ", "ResourcesExhausted"),
    ("This feature is not implemented: ", "NotImplemented"),
    ("Internal error: ", "Internal"),
    ("Invalid or Unsupported Configuration: ", "Configuration"),
    ("Csv error: ", "CsvError"),
    ("Json error: ", "JsonError"),
    ("Avro error: ", "AvroError"),
    ("Cast error: ", "CastError"),
    ("Parser error: ", "ParseError"),
    ("Compute error: ", "ComputeError"),
    ("Parquet error: ", "ParquetError"),
    ("Arithmetic overflow: ", "ArithmeticOverflow"),
];

impl Error {
    /// Makes an error from the text of a failed job or of a server's answer.
    ///
    /// A text that was made by [`Error::user_text`] gives that error back, without its source.
    pub fn from_text(text: &str) -> Self {
        recognised(text, DEPTH).unwrap_or_else(|| {
            // "Job failed due to stage 3 failed: " says nothing to a user.
            let told = text
                .trim()
                .rsplit_once(" failed: ")
                .map_or(text, |(_, reason)| reason);
            word(Self::new(Code::EXECUTION_FAILED, ""), told)
        })
    }
}

fn recognised(text: &str, depth: usize) -> Option<Error> {
    let depth = depth.checked_sub(1)?;
    whole(text)
        .or_else(|| shown(text))
        .or_else(|| lost(text))
        .or_else(|| by_variant(text, depth))
        .or_else(|| by_prefix(text))
        .or_else(|| {
            text.contains("Task cancelled")
                .then(|| Error::new(Code::CANCELLED, "the statement was cancelled"))
        })
}

/// An error of ours in its `Debug` form, also one that was quoted again on its way.
fn whole(text: &str) -> Option<Error> {
    let read = |text: &str| {
        let start = text.find(OnTheWire::START)?;
        let mut stream = serde_json::Deserializer::from_str(&text[start..]).into_iter::<OnTheWire>();
        stream.next()?.ok().map(Error::from)
    };
    let mut text = std::borrow::Cow::Borrowed(text);
    for _ in 0..DEPTH {
        if let Some(error) = read(&text) {
            return Some(error);
        }
        if !text.contains("millpond_error") || !text.contains("\\\"") {
            return None;
        }
        text = text.replace("\\\"", "\"").replace("\\\\", "\\").into();
    }
    None
}

/// An error of ours as it was shown: primary line with the code, then detail and hint.
fn shown(text: &str) -> Option<Error> {
    let code = Code::parse_in(text)?;
    let (before, after) = text.rsplit_once(&format!(" [{code}]"))?;
    let message = PREFIXES
        .iter()
        .map(|(prefix, _)| *prefix)
        .chain(["External error: "])
        .fold(before, |text, prefix| {
            text.rsplit_once(prefix).map_or(text, |(_, rest)| rest)
        });
    let mut error = Error::new(code, message.trim());
    // A text that goes on in the same line was embedded in another one, and what follows is not ours.
    let Some(rest) = after.strip_prefix('\n') else {
        return Some(error);
    };
    let (detail, hint) = match rest.rsplit_once("hint: ") {
        Some((detail, hint)) if detail.is_empty() || detail.ends_with('\n') => (detail, Some(hint)),
        _ => (rest, None),
    };
    error.detail = Some(detail.trim_end().to_owned()).filter(|detail| !detail.is_empty());
    error.hint = hint.map(|hint| hint.trim_end().to_owned());
    Some(error)
}

/// The loss of an executor, as Ballista words it.
pub(super) fn lost(text: &str) -> Option<Error> {
    if let Some((_, after)) = text.split_once("fetch partition error from Executor ") {
        let executor = after.split(',').next().unwrap_or(after);
        return Some(executor_lost(executor, after));
    }
    let words = [
        "GrpcConnectionError(",
        "FetchFailed(",
        "Grpc connection error",
        "transport error",
        "h2 protocol error",
        "error reading a body from connection",
        "Executor lost",
    ];
    words.iter().any(|word| text.contains(word)).then(|| {
        let error = Error::new(
            Code::EXECUTOR_LOST,
            "an executor was lost while the statement ran",
        );
        error.with_detail(super::wording::cut(text.trim(), 500))
    })
}

fn by_variant(text: &str, depth: usize) -> Option<Error> {
    if text.contains("(DivideByZero") {
        return Some(by_kind(&ArrowError::DivideByZero));
    }
    let mut variants = variants(text);
    variants.reverse();
    // The operating system's own words say least: an object store around them names the path.
    let (system, others): (Vec<_>, Vec<_>) = variants
        .into_iter()
        .partition(|variant| matches!(variant.name.as_str(), "Os" | "Custom"));
    others.into_iter().chain(system).find_map(|variant| {
        let outer = matches!(
            variant.name.as_str(),
            "Execution" | "External" | "General" | "Internal"
        );
        let inner = if outer {
            recognised(&variant.text, depth)
        } else {
            None
        };
        inner.or_else(|| of_variant(&variant, text))
    })
}

fn by_prefix(text: &str) -> Option<Error> {
    if text.contains("Divide by zero error") {
        return Some(by_kind(&ArrowError::DivideByZero));
    }
    let found = PREFIXES
        .iter()
        .filter_map(|(prefix, name)| Some((text.rfind(prefix)?, *prefix, *name)));
    let (at, prefix, name) = found.max_by_key(|(at, ..)| *at)?;
    let inner = text[at + prefix.len()..].trim_end().to_owned();
    of_variant(
        &Variant {
            name: name.to_owned(),
            text: inner,
        },
        text,
    )
}

/// Makes the library's error again from its name and text, and classifies that.
fn of_variant(variant: &Variant, whole: &str) -> Option<Error> {
    let text = variant.text.clone();
    let datafusion = |error: DataFusionError| Some(by_kind(&error));
    let arrow = |error: ArrowError| Some(by_kind(&error));
    match variant.name.as_str() {
        "Plan" => datafusion(DataFusionError::Plan(text)),
        "Execution" => datafusion(DataFusionError::Execution(text)),
        "ResourcesExhausted" => datafusion(DataFusionError::ResourcesExhausted(text)),
        "NotImplemented" | "NYI" => datafusion(DataFusionError::NotImplemented(text)),
        "Internal" => datafusion(DataFusionError::Internal(text)),
        "Configuration" => datafusion(DataFusionError::Configuration(text)),
        "CsvError" => arrow(ArrowError::CsvError(text)),
        "JsonError" => arrow(ArrowError::JsonError(text)),
        "AvroError" => arrow(ArrowError::AvroError(text)),
        "IpcError" => arrow(ArrowError::IpcError(text)),
        "CastError" => arrow(ArrowError::CastError(text)),
        "ParseError" => arrow(ArrowError::ParseError(text)),
        "ComputeError" => arrow(ArrowError::ComputeError(text)),
        "InvalidArgumentError" => arrow(ArrowError::InvalidArgumentError(text)),
        "ArithmeticOverflow" => arrow(ArrowError::ArithmeticOverflow(text)),
        "ParquetError" => arrow(ArrowError::ParquetError(text)),
        "EOF" => Some(by_kind(&ParquetError::EOF(text))),
        "NotFound" => Some(Error::new(Code::FILE_MISSING, format!("no such file: {text}"))),
        "PermissionDenied" | "Unauthenticated" => {
            Some(Error::new(Code::FILE_DENIED, format!("access denied: {text}")))
        }
        "AlreadyExists" => Some(Error::new(
            Code::FILE_NOT_WRITTEN,
            format!("already exists: {text}"),
        )),
        "Os" | "Custom" => Some(of_operating_system(&text, whole)),
        // Parquet's general error is the only one of its kind that reaches users.
        "General" if whole.contains("ParquetError(General(") => Some(by_kind(&ParquetError::General(text))),
        _ => None,
    }
}

/// `Os { code: 28, kind: StorageFull, message: "No space left on device" }`, with the path if one is named near it.
fn of_operating_system(message: &str, whole: &str) -> Error {
    use std::io::ErrorKind as Kind;
    let named = whole
        .rsplit_once("kind: ")
        .and_then(|(_, after)| after.split([',', ' ']).next());
    let kind = match named {
        Some("NotFound") => Kind::NotFound,
        Some("PermissionDenied") => Kind::PermissionDenied,
        Some("StorageFull") => Kind::StorageFull,
        Some("QuotaExceeded") => Kind::QuotaExceeded,
        Some("AlreadyExists") => Kind::AlreadyExists,
        Some("ReadOnlyFilesystem") => Kind::ReadOnlyFilesystem,
        _ => Kind::Other,
    };
    let path = whole
        .split_once("path: \"")
        .and_then(|(_, after)| after.split('"').next());
    let text = path.map_or_else(|| message.to_owned(), |path| format!("{message}: {path}"));
    by_kind(&std::io::Error::new(kind, text))
}

#[cfg(test)]
#[path = "from_text_tests.rs"]
mod tests;
