//! Finds our error inside those of the libraries it passed through.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use ballista_core::error::BallistaError;
use datafusion::error::DataFusionError;

use super::typed::Error;

/// Finds the first error of ours in an error of DataFusion, however it is wrapped.
///
/// It looks through contexts, diagnostics, shared errors, collections, Arrow's, Parquet's and Ballista's errors, and
/// errors that were carried by an I/O error.
pub fn find_in(error: &DataFusionError) -> Option<&Error> {
    find(error)
}

pub(super) fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    if let Some(ours) = error.downcast_ref::<Error>() {
        return Some(ours);
    }
    inner_of(error).into_iter().find_map(find)
}

/// The errors directly below one; `source` alone is not enough where a library skips a level or has several.
pub(super) fn inner_of<'a>(error: &'a (dyn StdError + 'static)) -> Vec<&'a (dyn StdError + 'static)> {
    if let Some(DataFusionError::Collection(errors)) = error.downcast_ref::<DataFusionError>() {
        return errors.iter().map(|error| error as _).collect();
    }
    // The `source` of an `Arc` and of an I/O error is that of what they hold: it leaves the held error out.
    if let Some(shared) = error.downcast_ref::<Arc<DataFusionError>>() {
        return vec![shared.as_ref()];
    }
    if let Some(carried) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        return vec![carried];
    }
    if let Some(error) = error.downcast_ref::<BallistaError>() {
        return inner_of_ballista(error).into_iter().collect();
    }
    error.source().into_iter().collect()
}

/// Ballista's error has no `source`.
fn inner_of_ballista(error: &BallistaError) -> Option<&(dyn StdError + 'static)> {
    match error {
        BallistaError::DataFusionError(error) => Some(error.as_ref()),
        BallistaError::ArrowError(error) => Some(error.as_ref()),
        BallistaError::IoError(error) => Some(error),
        BallistaError::SqlError(error) => Some(error),
        BallistaError::TokioError(error) => Some(error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::error::ArrowError;
    use datafusion::common::Diagnostic;
    use datafusion::parquet::errors::ParquetError;

    use super::*;
    use crate::error::Code;

    fn ours() -> Error {
        Error::user(Code::PATH_REFUSED, "path is outside the roots")
    }

    fn check(wrapped: DataFusionError) {
        let found = find_in(&wrapped).unwrap_or_else(|| panic!("lost in {wrapped:?}"));
        assert_eq!(found.code, Code::PATH_REFUSED);
        assert_eq!(
            Error::from_datafusion(wrapped).message,
            "path is outside the roots"
        );
    }

    #[test]
    fn found_as_external() {
        check(ours().into());
        check(DataFusionError::External(Box::new(DataFusionError::from(ours()))));
    }

    #[test]
    fn found_under_context() {
        check(
            DataFusionError::from(ours())
                .context("while planning")
                .context("outer"),
        );
    }

    #[test]
    fn found_under_diagnostic() {
        check(DataFusionError::from(ours()).with_diagnostic(Diagnostic::new_error("here", None)));
    }

    #[test]
    fn found_under_shared() {
        check(DataFusionError::Shared(Arc::new(ours().into())));
        check(DataFusionError::External(Box::new(Arc::new(
            DataFusionError::from(ours()),
        ))));
    }

    #[test]
    fn found_in_any_place_of_a_collection() {
        check(DataFusionError::Collection(vec![
            DataFusionError::Plan("first".to_owned()),
            ours().into(),
        ]));
    }

    #[test]
    fn found_under_arrow() {
        check(DataFusionError::ArrowError(
            Box::new(ArrowError::ExternalError(Box::new(ours()))),
            None,
        ));
        check(DataFusionError::ArrowError(
            Box::new(ArrowError::ExternalError(Box::new(DataFusionError::from(ours())))),
            None,
        ));
        check(DataFusionError::from(ArrowError::from(DataFusionError::from(
            ours(),
        ))));
    }

    #[test]
    fn found_under_parquet() {
        check(DataFusionError::ParquetError(Box::new(ParquetError::External(
            Box::new(ours()),
        ))));
    }

    #[test]
    fn found_under_io() {
        check(DataFusionError::IoError(io::Error::other(ours())));
        check(DataFusionError::IoError(io::Error::from(DataFusionError::from(
            ours(),
        ))));
    }

    #[test]
    fn found_under_an_object_store_error() {
        check(DataFusionError::ObjectStore(Box::new(
            object_store::Error::Generic {
                store: "test",
                source: Box::new(ours()),
            },
        )));
    }

    #[test]
    fn found_under_ballista() {
        check(BallistaError::DataFusionError(Box::new(ours().into())).into_datafusion());
        check(
            BallistaError::ArrowError(Box::new(ArrowError::ExternalError(Box::new(ours()))))
                .into_datafusion(),
        );
    }

    #[test]
    fn nothing_of_ours_is_nothing() {
        assert!(find_in(&DataFusionError::Plan("x".to_owned())).is_none());
    }
}
