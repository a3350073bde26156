//! The steps that there are.

use schemars::JsonSchema;
use serde::Deserialize;

use super::shapes::{Name, Pairs, Scalar, Selection};
use crate::kind::Kind;

/// One step. Columns keep their names unless it says otherwise.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Gives columns other names: `old: new`.
    Rename(Pairs<Name>),
    /// Keeps only these columns, in this order.
    Select(Selection),
    /// Leaves columns out.
    Drop(Selection),
    /// Takes blanks away from both ends of texts.
    Trim(Selection),
    /// Gives columns another type.
    Cast(Cast),
    /// Puts values in the place of others.
    Replace(Replace),
    /// Keeps one of several equal rows.
    DropDuplicates(DropDuplicates),
    /// Keeps the rows for which a condition is true.
    Filter(Name),
    /// Fills in what is missing.
    Impute(Impute),
    /// Moves values beyond limits to them.
    Clip(Clip),
    /// Makes columns of SQL expressions, one after the other.
    Derive(Pairs<Name>),
    /// Makes columns of the parts of dates; the date stays.
    DateParts(DateParts),
    /// Puts numbers into bins, whose number from 0 takes their place.
    Bin(Bin),
    /// Subtracts the mean and divides by the standard deviation (of the population; by 1 if it is 0).
    Standardize(Selection),
    /// Moves the least value to 0 and the greatest to 1 (all to 0 if they are equal).
    MinMax(Selection),
    /// Subtracts the median and divides by the distance between the quartiles (by 1 if it is 0).
    Robust(Selection),
    /// The natural logarithm of one more: ln(1 + x). What is not above -1 becomes null.
    Log(Selection),
    /// Divides the columns of a row by their norm.
    NormalizeRows(NormalizeRows),
    /// A column of 0 and 1 for each category, in the place of a column.
    OneHot(OneHot),
    /// The number of a category, from 0, in its place.
    Ordinal(Ordinal),
    /// The share of rows with a category, in its place.
    Frequency(Selection),
    /// The mean of a target over the rows with a category, in its place.
    TargetEncode(TargetEncode),
    /// A column that says for each row whether it is for training or test.
    Split(Split),
    /// States what must hold.
    Expect(Expect),
}

impl Step {
    /// True if it must learn something before it can be applied.
    pub fn learns(&self) -> bool {
        match self {
            Self::Impute(impute) => impute.strategy != Strategy::Constant,
            Self::Clip(clip) => clip.quantiles.is_some() || clip.iqr.is_some() || clip.deviations.is_some(),
            Self::Bin(bin) => bin.edges.is_none(),
            Self::Ordinal(ordinal) => ordinal.order.is_none(),
            Self::Standardize(_)
            | Self::MinMax(_)
            | Self::Robust(_)
            | Self::OneHot(_)
            | Self::Frequency(_)
            | Self::TargetEncode(_) => true,
            _ => false,
        }
    }

    /// True if it asks something about rows when it is fitted, be it only how many values did not fit.
    pub fn asks(&self) -> bool {
        self.learns() || matches!(self, Self::Cast(_) | Self::Impute(_) | Self::Expect(_))
    }

    /// True if it may put rows among the rejected ones.
    pub fn sets_aside(&self) -> bool {
        match self {
            Self::Cast(cast) => cast.on_error == OnError::Reject,
            Self::Expect(expect) => expect.otherwise == Otherwise::Quarantine,
            _ => false,
        }
    }

    /// The word that it is written with.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Rename(_) => "rename",
            Self::Select(_) => "select",
            Self::Drop(_) => "drop",
            Self::Trim(_) => "trim",
            Self::Cast(_) => "cast",
            Self::Replace(_) => "replace",
            Self::DropDuplicates(_) => "drop_duplicates",
            Self::Filter(_) => "filter",
            Self::Impute(_) => "impute",
            Self::Clip(_) => "clip",
            Self::Derive(_) => "derive",
            Self::DateParts(_) => "date_parts",
            Self::Bin(_) => "bin",
            Self::Standardize(_) => "standardize",
            Self::MinMax(_) => "min_max",
            Self::Robust(_) => "robust",
            Self::Log(_) => "log",
            Self::NormalizeRows(_) => "normalize_rows",
            Self::OneHot(_) => "one_hot",
            Self::Ordinal(_) => "ordinal",
            Self::Frequency(_) => "frequency",
            Self::TargetEncode(_) => "target_encode",
            Self::Split(_) => "split",
            Self::Expect(_) => "expect",
        }
    }
}

/// Options of `cast`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cast {
    /// Which columns.
    pub columns: Selection,
    /// The type they get.
    pub to: Type,
    /// Of dates and timestamps in texts: how they are written, as strftime says it; the first that fits.
    #[serde(default)]
    pub formats: Vec<Name>,
    /// Of numbers in texts: what stands between thousands.
    pub thousands: Option<Name>,
    /// Of numbers in texts: what stands before fractions.
    pub decimal: Option<Name>,
    /// Of numbers in texts: signs of currencies and of percent are passed over.
    #[serde(default)]
    pub currency: bool,
    /// What becomes of a value that does not fit.
    #[serde(default)]
    pub on_error: OnError,
}

/// A type to cast to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// Whole numbers of 64 bits.
    Integer,
    /// Floating point of 64 bits.
    Number,
    /// Texts.
    Text,
    /// True or false, also written yes, no, y, n, t, f, on, off, 1 and 0.
    Boolean,
    /// Days.
    Date,
    /// Points in time, in microseconds.
    Timestamp,
}

impl Type {
    /// What is in a column of it.
    pub fn kind(self) -> Kind {
        match self {
            Self::Integer => Kind::Integer,
            Self::Number => Kind::Number,
            Self::Text => Kind::Text,
            Self::Boolean => Kind::Boolean,
            Self::Date => Kind::Date,
            Self::Timestamp => Kind::Timestamp,
        }
    }
}

/// What becomes of a value that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It becomes null. Written `null`, too.
    #[default]
    #[serde(alias = "~")]
    Null,
    /// Its row goes to the rejected rows.
    Reject,
    /// The pipeline fails.
    Fail,
}

/// Options of `replace`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    /// Which columns.
    pub columns: Selection,
    /// `old: new`; new may be null.
    #[serde(default)]
    pub values: Pairs<Scalar>,
    /// All values that are not in `values` become this one.
    pub others: Option<Scalar>,
    /// A regular expression, of texts: every place where it fits is replaced by `with`.
    pub pattern: Option<Name>,
    /// What takes the place of `pattern`; nothing if it is not given.
    pub with: Option<String>,
}

/// Options of `drop_duplicates`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DropDuplicates {
    /// Columns in which rows are compared; all if it is not given.
    pub key: Option<Selection>,
    /// Which of them stays.
    #[serde(default)]
    pub keep: Keep,
    /// The order that decides which is first; it must be given with `key`.
    pub order_by: Option<Selection>,
}

/// Which of several rows stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The first.
    #[default]
    First,
    /// The last.
    Last,
}

/// Options of `impute`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Impute {
    /// Which columns.
    pub columns: Selection,
    /// What is put in.
    pub strategy: Strategy,
    /// With `constant`: the value.
    pub value: Option<Scalar>,
    /// Each group of rows that are equal in these columns has a value of its own; groups without one have that of all.
    pub by: Option<Selection>,
    /// Adds a column `NAME_missing` of 0 and 1.
    #[serde(default)]
    pub indicator: bool,
}

/// What is put in where a value is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The mean; the column becomes one of numbers.
    Mean,
    /// The median; the column becomes one of numbers.
    Median,
    /// The most frequent value; the least of several.
    Mode,
    /// `value`.
    Constant,
}

/// Options of `clip`: limits, or how they are found.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    /// Which columns.
    pub columns: Selection,
    /// The least value.
    pub lower: Option<f64>,
    /// The greatest value.
    pub upper: Option<f64>,
    /// Quantiles as limits, such as `[0.01, 0.99]`.
    pub quantiles: Option<[f64; 2]>,
    /// Limits so many times the distance between the quartiles beyond them, such as 1.5.
    pub iqr: Option<f64>,
    /// Limits so many standard deviations from the mean, such as 3.
    pub deviations: Option<f64>,
}

/// Options of `date_parts`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DateParts {
    /// Which columns.
    pub columns: Selection,
    /// Columns `NAME_PART` that are made.
    pub parts: Vec<DatePart>,
    /// For `days`: the day from which they are counted, such as 2014-12-31.
    pub since: Option<Name>,
}

/// A part of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatePart {
    /// The year.
    Year,
    /// 1 to 4.
    Quarter,
    /// 1 to 12.
    Month,
    /// Week of the year, 1 to 53 (ISO 8601).
    Week,
    /// 1 to 31.
    Day,
    /// 0, Monday, to 6, Sunday.
    Weekday,
    /// 1 to 366.
    DayOfYear,
    /// 0 to 23.
    Hour,
    /// 0 to 59.
    Minute,
    /// Days since the day in `since`, or 1970-01-01.
    Days,
}

impl DatePart {
    /// The end of the name of its column.
    pub fn word(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Quarter => "quarter",
            Self::Month => "month",
            Self::Week => "week",
            Self::Day => "day",
            Self::Weekday => "weekday",
            Self::DayOfYear => "day_of_year",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Days => "days",
        }
    }
}

/// Options of `bin`: one of `width`, `quantile` and `edges`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bin {
    /// Which columns.
    pub columns: Selection,
    /// So many bins of the same width.
    pub width: Option<u32>,
    /// So many bins of about as many rows each.
    pub quantile: Option<u32>,
    /// The edges between bins, in order; a value at an edge belongs to the bin above.
    pub edges: Option<Vec<f64>>,
}

/// Options of `normalize_rows`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NormalizeRows {
    /// The columns that make a row.
    pub columns: Selection,
    /// Which norm.
    #[serde(default)]
    pub norm: Norm,
}

/// A norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// The sum of the absolute values.
    L1,
    /// The root of the sum of squares.
    #[default]
    L2,
    /// The greatest absolute value.
    Max,
}

/// Options of `one_hot`. Null, and a category that was not there when it was fitted, have 0 in all columns, or 1 in
/// `NAME_other` if there is one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneHot {
    /// Which columns.
    pub columns: Selection,
    /// Categories with a smaller share of the rows are grouped in a column `NAME_other`.
    pub min_share: Option<f64>,
    /// The most frequent categories that get columns; the others are grouped in `NAME_other`.
    pub max_categories: Option<usize>,
    /// Leaves out the first column of each, which follows from the others.
    #[serde(default)]
    pub drop_first: bool,
}

/// Options of `ordinal`. Null, and a category that was not there when it was fitted, become -1.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ordinal {
    /// Which columns.
    pub columns: Selection,
    /// Their categories in order; in that of the alphabet if it is not given.
    pub order: Option<Vec<String>>,
}

/// Options of `target_encode`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetEncode {
    /// Which columns.
    pub columns: Selection,
    /// The column whose mean is taken.
    pub target: Name,
    /// Rows that the pipeline is fitted on get means of rows in other parts, of so many.
    #[serde(default = "default_folds")]
    pub folds: u32,
    /// The mean over all rows counts as so many rows more.
    #[serde(default = "default_smoothing")]
    pub smoothing: f64,
}

fn default_folds() -> u32 {
    5
}

fn default_smoothing() -> f64 {
    20.0
}

/// Options of `split`. A row belongs to the same part whenever and wherever it is read.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Columns of which a hash decides.
    pub key: Selection,
    /// The share of rows that are for test.
    pub test: f64,
    /// The column that says `train` or `test`.
    #[serde(default = "default_split")]
    pub column: String,
    /// Another number makes another split.
    #[serde(default)]
    pub seed: u64,
}

fn default_split() -> String {
    "split".to_owned()
}

/// Options of `expect`: what must hold, and what happens to a row for which it does not.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Columns that the following are about.
    pub columns: Option<Selection>,
    /// They have a value.
    #[serde(default)]
    pub not_null: bool,
    /// No two rows are equal in them.
    #[serde(default)]
    pub unique: bool,
    /// They are between two values, such as `[0, 120]`; null on one side: no limit.
    pub range: Option<Range>,
    /// They are one of these.
    pub one_of: Option<Vec<Scalar>>,
    /// They are like a regular expression.
    pub matches: Option<Name>,
    /// A condition that holds for every row.
    pub holds: Option<Name>,
    /// So many rows are there at this point: `[least, most]`; null on one side: no limit.
    pub rows: Option<Range>,
    /// What happens otherwise.
    #[serde(default)]
    pub otherwise: Otherwise,
}

/// Least and greatest value; null: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
pub struct Range(pub Option<f64>, pub Option<f64>);

/// What happens to a row for which something does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// It is counted.
    Warn,
    /// It is left out.
    Drop,
    /// It goes to the rejected rows.
    Quarantine,
    /// The pipeline fails, and nothing is written.
    #[default]
    Fail,
}
