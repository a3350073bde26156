//! Models: what they must know of rows, how they are solved, and the SQL that predicts.
//!
//! A model never sees its rows. It asks for sums over them, whose states merge, so they are made wherever rows lie; those of
//! regression and naive Bayes also give rows back, so a live table keeps them up to date by its changes alone. What was
//! learned is numbers, and a prediction is a plain SQL expression of them.
//!
//! ```text
//! OPTIONS ─► ModelOptions        columns ─► Design ─► SQL of terms, NULL for rows to leave out
//!                                                      │
//!   rows of terms (NaN for NULL), on every machine  ◄──┘
//!     │ add, subtract, merge, bytes
//!     ├─ Moments ──────► Linear ───────────────────────────────────────┐
//!     ├─ ClassMoments ─► GaussianNb ───────────────────────────────────┤
//!     │      ├─ counts and scales ─► LogisticFit ─► Logistic ──────────┼─► Parameters + Design = FittedModel
//!     │      └─ scales ────────────► KMeansFit ───► KMeans ────────────┘      │              │
//!     ├─ LogisticSums  ◄─ LogisticPoint ─┘  │                                JSON    SQL of predictions
//!     ├─ SeedSums, LloydSums ◄─ SeedRound, Centroids                               (formula)
//!     └─ ClassScores ─► ClassMetrics            ◄── probabilities of rows ──────────────┘
//! ```
//!
//! Invariants: bytes of states come from other machines and never panic; the same rows give the same model in any order and
//! split, but for the last digits; no number that is reported is NaN or infinite.
//!
//! Nothing here runs SQL or knows Arrow: whoever does calls the functions above.

mod area;
mod block;
mod bytes;
mod class_moments;
mod design;
mod drift;
mod error;
mod fitted;
mod formula;
mod kmeans;
mod label;
mod ldl;
mod linear;
mod logistic;
mod moments;
mod naive_bayes;
mod options;
mod random;
#[cfg(test)]
mod samples;
mod scale;
mod scores;
mod series;
pub mod sql;
mod twofold;

pub use block::{LARGEST, keep_usable};
pub use class_moments::ClassMoments;
pub use design::{Design, Feature, FeatureKind, FirstCategory, TERMS_MAX, Term};
pub use error::{Error, ErrorKind};
pub use fitted::{Coefficient, FittedModel, Parameters};
pub use formula::ColumnSql;
pub use kmeans::{Centroids, KMeans, KMeansFit, KMeansOptions, KMeansStep, LloydSums, SeedRound, SeedSums};
pub use label::{Label, class_sql};
pub use linear::{Estimate, Linear, LinearErrors, LinearMetrics, LinearOptions, LinearScore, Predictor};
pub use logistic::{
    ClassWeights, Classifier, Logistic, LogisticFit, LogisticOptions, LogisticPoint, LogisticStep,
    LogisticSums,
};
pub use moments::Moments;
pub use naive_bayes::GaussianNb;
pub use options::{LabelWeights, ModelOptions, ModelType, Refresh};
pub use scale::Scale;
pub use scores::{ClassMetrics, ClassScores};
