//! What each step does to the columns.

mod clean;
mod columns;
mod encode;
mod expect;
mod rows;
mod scale;

pub(crate) use encode::CATEGORIES_MAX;

use crate::compile::Compiler;
use crate::mistake::Mistake;
use crate::spec::Step;

/// Adds what a step does.
///
/// # Errors
/// What the columns do not allow.
pub(crate) fn compile(step: &Step, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    match step {
        Step::Rename(names) => columns::rename(names, on),
        Step::Select(selection) => columns::select(selection, on),
        Step::Drop(selection) => columns::drop(selection, on),
        Step::Derive(expressions) => columns::derive(expressions, on),
        Step::DateParts(options) => columns::date_parts(options, on),
        Step::Trim(selection) => clean::trim(selection, on),
        Step::Cast(options) => clean::cast(options, on),
        Step::Replace(options) => clean::replace(options, on),
        Step::Impute(options) => clean::impute(options, on),
        Step::Clip(options) => clean::clip(options, on),
        Step::DropDuplicates(options) => rows::drop_duplicates(options, on),
        Step::Filter(condition) => rows::filter(condition, on),
        Step::Split(options) => rows::split(options, on),
        Step::Bin(options) => scale::bin(options, on),
        Step::Standardize(selection) => scale::standardize(selection, on),
        Step::MinMax(selection) => scale::min_max(selection, on),
        Step::Robust(selection) => scale::robust(selection, on),
        Step::Log(selection) => scale::log(selection, on),
        Step::NormalizeRows(options) => scale::normalize_rows(options, on),
        Step::OneHot(options) => encode::one_hot(options, on),
        Step::Ordinal(options) => encode::ordinal(options, on),
        Step::Frequency(selection) => encode::frequency(selection, on),
        Step::TargetEncode(options) => encode::target(options, on),
        Step::Expect(options) => expect::compile(options, on),
    }
}

#[cfg(test)]
mod tests;
