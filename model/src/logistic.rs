//! Logistic regression, binary and multinomial, by Newton's method on sums over all rows.
//!
//! The objective is that of scikit-learn's `LogisticRegression` with `C = 1 / l2`: the sum of the losses of rows, each times
//! the weight of its class, plus `l2 / 2 · |w|²`; the intercept is not penalised. Two classes have one vector `w`, that of
//! class 1; more classes have one each, as softmax.
//!
//! ```text
//!  ClassMoments ─► LogisticFit::start ─► Step::Evaluate(Point) ─► LogisticSums of all rows ─► absorb ─┐
//!                                             ▲                                                       │
//!                                             └───────────────────────────────────────────────────────┤
//!                                                                                 Step::Done(Logistic)◄┘
//! ```
//!
//! Inside, columns are centred and divided by their deviations, whatever the caller asks: the sums are as exact for incomes
//! as for shares. `standardize` only says on which scale the penalty is. And inside, class 0 is the reference: the loss
//! depends on differences of the vectors only, and with `v_k = w_k - w_0` the least penalty of softmax for given
//! differences is `l2 / 2 · (Σ|v_k|² - |Σ v_k|² / K)`. So Newton's equations have one solution, with a penalty or without.
//! Outside, the vectors of more than two classes add up to 0, which is scikit-learn's solution in both cases.

mod classifier;
mod fit;
mod point;
mod sums;

pub use classifier::Classifier;
pub use fit::{ClassWeights, Logistic, LogisticFit, LogisticOptions, LogisticStep};
pub use point::LogisticPoint;
pub use sums::LogisticSums;

#[cfg(test)]
mod tests;
