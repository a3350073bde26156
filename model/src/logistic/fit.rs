//! Newton's method as a machine of steps: it says where to sum, takes the sums, and goes on.

use serde::{Deserialize, Serialize};

use super::classifier::Classifier;
use super::point::{COEFFICIENTS_MAX, LogisticPoint, is_small};
use super::sums::LogisticSums;
use crate::class_moments::ClassMoments;
use crate::error::Error;
use crate::ldl::{Ldl, Symmetric};
use crate::linear::no_rows;
use crate::moments::{same_columns, triangle};
use crate::scale::Scale;

/// Part of a feature's curvature, of which not more is left without others that the feature follows from.
const LEAST_REST: f64 = 1e-12;
/// Greatest change of log odds that a step may still make when it is called the last one.
const LAST_CHANGE: f64 = 1e-3;
/// Greatest step of a coefficient, of a column divided by its deviation, that may be left out.
const LEAST_CHANGE: f64 = 5e-7;
/// A gradient is expected to be so many times what the two before it promise.
const CAUTION: f64 = 10.0;
/// Change of log odds that is none.
const NO_CHANGE: f64 = 1e-13;
/// Steps after which log odds that still grow, while the loss does not fall, are known to grow for ever.
const FLAT_STEPS_MAX: u32 = 5;
/// Least part of a step that is tried.
const LEAST_STEP: f64 = 1e-9;

/// How often the rows of classes count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ClassWeights {
    /// Once.
    Equal,
    /// So that all classes count the same: rows / (classes · rows of the class).
    Balanced,
    /// So often, in the order of classes.
    Given(Vec<f64>),
}

/// How to fit.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticOptions {
    /// Penalty: 1 / C of scikit-learn; 0 for none.
    pub l2: f64,
    /// Whether there is an intercept.
    pub intercept: bool,
    /// Whether the penalty is on coefficients of columns divided by their deviations.
    pub standardize: bool,
    /// How often rows count.
    pub class_weights: ClassWeights,
    /// Most steps.
    pub max_iterations: u32,
    /// Greatest mean gradient of any coefficient at the end, for features divided by their deviations.
    pub tolerance: f64,
}

/// A fitted logistic regression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logistic {
    /// Of class 1 if there are two classes, else of each class. 0 if they were not asked for.
    pub intercepts: Vec<f64>,
    /// The same, for each feature, per unit of its column; None is a feature without one, which counts as 0.
    pub coefficients: Vec<Vec<Option<f64>>>,
    /// Rows.
    pub rows: u64,
    /// Mean loss of a row, with class weights and without penalty.
    pub log_loss: f64,
    /// Steps that were made.
    pub iterations: u32,
    /// Whether the optimum was reached.
    pub converged: bool,
    /// Greatest mean gradient at the last sums.
    pub gradient: f64,
    /// What whoever uses it should know.
    pub warnings: Vec<String>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub enum LogisticStep {
    /// Sum over all rows at this point, and give the sums to [`LogisticFit::absorb`].
    Evaluate(LogisticPoint),
    /// The fit is done.
    Done(Box<Logistic>),
}

/// The last point that was accepted, and the way from there.
#[derive(Debug)]
struct Base {
    vectors: Vec<Vec<f64>>,
    direction: Vec<f64>,
    objective: f64,
    /// Of the objective along the direction; below 0.
    slope: f64,
    /// Mean loss and greatest mean gradient.
    log_loss: f64,
    gradient: f64,
}

/// A fit under way. See [`crate::logistic`].
#[derive(Debug)]
pub struct LogisticFit {
    options: LogisticOptions,
    names: Vec<String>,
    point: LogisticPoint,
    /// Of each feature: times which the squared inner coefficient counts in the penalty, 0 for an intercept.
    penalties: Vec<f64>,
    /// Rows times weights.
    total: f64,
    /// Second derivatives at the last point that was accepted and had them.
    curvature: Vec<f64>,
    /// Inner coefficients that are fitted, as places in the concatenated vectors; known after the first sums.
    active: Option<Vec<usize>>,
    base: Option<Base>,
    /// See [`LogisticFit::into_model_at_point`].
    at_point: Option<Logistic>,
    part: f64,
    iterations: u32,
    flat_steps: u32,
    rows: u64,
    warnings: Vec<String>,
}

impl LogisticFit {
    /// Starts from all zeros, or from an earlier fit of the same features and classes.
    ///
    /// `moments` are those of the same rows by class; `names` and `labels`, of features and classes, are for messages.
    /// Errors: there are no rows or only one class; a class has none; a wrong number of names, labels or weights.
    pub fn start(
        moments: &ClassMoments,
        names: &[String],
        labels: &[String],
        options: LogisticOptions,
        from: Option<&Logistic>,
    ) -> Result<Self, Error> {
        same_columns(names.len(), moments.columns())?;
        same_columns(labels.len(), moments.classes())?;
        let rows = moments.count();
        if rows == 0 {
            return Err(no_rows(moments.left_out()));
        }
        let counts: Vec<u64> = (0..labels.len())
            .map(|class| moments.class_count(class))
            .collect();
        let present: Vec<usize> = (0..labels.len()).filter(|class| counts[*class] > 0).collect();
        if let [only] = present[..] {
            let error = Error::data(format!("all rows have the label '{}'", labels[only]));
            return Err(error.hint("logistic regression needs rows of two labels or more"));
        }
        if let Some(class) = (0..labels.len()).find(|class| counts[*class] == 0) {
            let error = Error::data(format!("no row has the label '{}'", labels[class]));
            return Err(error.hint("make the model anew from the labels that there are"));
        }
        if !is_small(names.len(), labels.len()) {
            let error = Error::option(format!(
                "{} features and {} labels make more than {COEFFICIENTS_MAX} coefficients",
                names.len(),
                labels.len()
            ));
            return Err(error.hint("group labels or categories, or use gaussian_nb"));
        }
        let weights = weights(&counts, &options.class_weights)?;
        let scales: Vec<Scale> = (0..names.len()).map(|column| moments.scale(column)).collect();
        let mut warnings = Vec::new();
        let mut penalties = vec![0.0];
        let mut inner = Vec::with_capacity(scales.len());
        for (scale, name) in scales.iter().zip(names) {
            let used = match options.intercept {
                true => *scale,
                false => Scale {
                    mean: 0.0,
                    deviation: scale.mean.hypot(scale.deviation),
                },
            };
            if used.deviation == 0.0 {
                warnings.push(format!("'{name}' is constant and has no coefficient"));
            }
            let unit = if options.standardize { scale.divisor() } else { 1.0 };
            penalties.push(options.l2 * (unit / used.divisor()).powi(2));
            inner.push(used);
        }
        let total = counts
            .iter()
            .zip(&weights)
            .map(|(count, weight)| *count as f64 * weight)
            .sum();
        let mut point = LogisticPoint {
            scales: inner,
            weights,
            intercept: options.intercept,
            curvature: true,
            vectors: vec![vec![0.0; names.len() + 1]; labels.len() - 1],
        };
        if let Some(from) = from {
            point.take_over(from);
        }
        Ok(Self {
            options,
            names: names.to_vec(),
            point,
            penalties,
            total,
            curvature: Vec::new(),
            active: None,
            base: None,
            at_point: None,
            part: 1.0,
            iterations: 0,
            flat_steps: 0,
            rows,
            warnings,
        })
    }

    /// Where to sum next.
    pub fn point(&self) -> &LogisticPoint {
        &self.point
    }

    /// True if the fit is likely to end with the sums at [`LogisticFit::point`]: what is to be known of the model can be looked
    /// at in the same pass, with [`LogisticFit::classifier`].
    pub fn expects_end(&self) -> bool {
        !self.point.curvature
    }

    /// What a model from [`LogisticFit::point`] makes of rows.
    pub fn classifier(&self) -> Classifier {
        let (intercepts, vectors) = self.point.outer();
        Classifier::new(intercepts, vectors)
    }

    /// The model of the last point, if it is as good as the one that came out, which is a step further: its gradient is
    /// within the tolerance, and no coefficient, of a column divided by its deviation, is further away than 5e-7.
    pub fn into_model_at_point(self) -> Option<Logistic> {
        self.at_point
    }

    /// Goes on with the sums over all rows at [`LogisticFit::point`].
    ///
    /// Errors: without a penalty there is no optimum, since the classes can be separated; the sums are of something else.
    pub fn absorb(&mut self, sums: &LogisticSums) -> Result<LogisticStep, Error> {
        same_columns(self.names.len(), sums.features)?;
        same_columns(self.point.classes(), sums.classes)?;
        if self.point.curvature == sums.curvature.is_empty() {
            return Err(Error::state("sums of another point"));
        }
        let (penalty, penalty_gradient) = self.penalty();
        let loss = sums.loss.value();
        let objective = loss + penalty;
        if let Some(base) = &self.base {
            // Losses differ by no more than rounding near the end.
            let noise = 1e-12 * base.objective.abs();
            let allowed = base.objective + 1e-4 * self.part * base.slope + noise;
            if !objective.is_finite() || objective > allowed {
                self.part /= 2.0;
                return match self.part < LEAST_STEP {
                    true => self.give_up("no step makes the loss smaller"),
                    false => {
                        self.advance();
                        Ok(LogisticStep::Evaluate(self.point.clone()))
                    }
                };
            }
            self.iterations += 1;
        }
        if self.point.curvature {
            self.curvature.clone_from(&sums.curvature);
        }
        if self.options.l2 == 0.0 {
            let least = self.point.weights.iter().copied().fold(f64::INFINITY, f64::min);
            // Then every row has a probability above a half.
            if loss < std::f64::consts::LN_2 * least {
                return Err(self.separable("the features tell the classes apart without an error"));
            }
        }
        let gradient: Vec<f64> = sums
            .gradient
            .iter()
            .zip(&penalty_gradient)
            .map(|(sum, penalty)| sum.value() + penalty)
            .collect();
        if self.active.is_none() && self.choose_active() {
            return Ok(LogisticStep::Evaluate(self.point.clone()));
        }
        let active = self.active.clone().unwrap_or_default();
        let Some(direction) = self.direction(&active, &gradient) else {
            return Err(self.separable("the probabilities of the rows become 0 and 1"));
        };
        let norm = greatest(active.iter().map(|place| &gradient[*place])) / self.total;
        let change = self.change(&direction, sums);
        let before = self.base.as_ref().map(|base| base.gradient);
        self.base = Some(Base {
            vectors: self.point.vectors.clone(),
            slope: direction.iter().zip(&gradient).map(|(a, b)| a * b).sum(),
            direction,
            objective,
            log_loss: loss / self.total,
            gradient: norm,
        });
        self.part = 1.0;
        let is_flat = norm <= self.options.tolerance;
        if is_flat && change <= LAST_CHANGE || change <= NO_CHANGE {
            let greatest = greatest(self.base.iter().flat_map(|base| &base.direction));
            self.at_point = (is_flat && greatest <= LEAST_CHANGE).then(|| self.fitted(true));
            // The step is known: it costs no sums to make it.
            self.advance();
            return Ok(LogisticStep::Done(Box::new(self.fitted(true))));
        }
        if is_flat && self.options.l2 == 0.0 {
            self.flat_steps += 1;
            if self.flat_steps >= FLAT_STEPS_MAX {
                return Err(self.separable("some feature tells part of the rows apart without an error"));
            }
        }
        if self.iterations >= self.options.max_iterations {
            return self.give_up(&format!("not converged in {} steps", self.iterations));
        }
        let is_end_near = before.is_some_and(|before| {
            // Newton's steps square the gradient, but for a factor.
            let next = CAUTION * norm * (norm / before).powi(2);
            self.point.curvature && next <= self.options.tolerance
        });
        self.advance();
        self.point.curvature = !is_end_near;
        Ok(LogisticStep::Evaluate(self.point.clone()))
    }

    /// Goes along the direction.
    fn advance(&mut self) {
        self.point.curvature = true;
        if let Some(base) = &self.base {
            let width = self.names.len() + 1;
            for (class, vector) in self.point.vectors.iter_mut().enumerate() {
                for (column, value) in vector.iter_mut().enumerate() {
                    *value = base.vectors[class][column] + self.part * base.direction[class * width + column];
                }
            }
        }
    }

    fn give_up(&mut self, why: &str) -> Result<LogisticStep, Error> {
        if let Some(base) = &self.base {
            self.point.vectors.clone_from(&base.vectors);
            self.warnings.push(format!(
                "{why}: the mean gradient is {:.1e}; raise max_iterations or l2, or tolerance if that is enough",
                base.gradient
            ));
        }
        Ok(LogisticStep::Done(Box::new(self.fitted(false))))
    }

    /// As it is at the point.
    fn fitted(&self, converged: bool) -> Logistic {
        let width = self.names.len() + 1;
        let is_fitted = |column: usize| {
            let is_active = |active: &Vec<usize>| active.iter().any(|place| place % width == column + 1);
            self.point.scales[column].deviation > 0.0 && self.active.as_ref().is_some_and(is_active)
        };
        let (intercepts, vectors) = self.point.outer();
        let coefficients = vectors.into_iter().map(|vector| {
            let values = vector.into_iter().enumerate();
            values
                .map(|(column, value)| is_fitted(column).then_some(value))
                .collect()
        });
        Logistic {
            intercepts,
            coefficients: coefficients.collect(),
            rows: self.rows,
            log_loss: self.base.as_ref().map_or(f64::NAN, |base| base.log_loss),
            iterations: self.iterations,
            converged,
            gradient: self.base.as_ref().map_or(f64::NAN, |base| base.gradient),
            warnings: self.warnings.clone(),
        }
    }

    fn separable(&self, how: &str) -> Error {
        let mut largest: Vec<(f64, &str)> = Vec::new();
        for (column, name) in self.names.iter().enumerate() {
            let size = |vector: &Vec<f64>| vector[column + 1].abs();
            let most = self.point.vectors.iter().map(size).fold(0.0, f64::max);
            largest.push((most, name));
        }
        largest.sort_by(|a, b| b.0.total_cmp(&a.0));
        let largest: Vec<String> = largest
            .iter()
            .take(3)
            .map(|(_, name)| format!("'{name}'"))
            .collect();
        Error::data(format!(
            "the coefficients have no finite optimum: {how}; the greatest are those of {}",
            largest.join(", ")
        ))
        .hint("set l2 above 0")
    }

    /// The penalty and its gradient.
    fn penalty(&self) -> (f64, Vec<f64>) {
        let vectors = &self.point.vectors;
        let width = self.names.len() + 1;
        let mut value = 0.0;
        let mut gradient = vec![0.0; vectors.len() * width];
        for column in 0..width {
            let sum: f64 = vectors.iter().map(|vector| vector[column]).sum();
            for (class, vector) in vectors.iter().enumerate() {
                let slope = self.penalties[column] * (vector[column] - self.shared() * sum);
                gradient[class * width + column] = slope;
                value += slope * vector[column] / 2.0;
            }
        }
        (value, gradient)
    }

    /// What of the sum of the vectors the penalty does not count: see [`crate::logistic`].
    fn shared(&self) -> f64 {
        match self.point.classes() {
            2 => 0.0,
            classes => 1.0 / classes as f64,
        }
    }

    /// A second derivative, by places in the concatenated vectors.
    fn curvature_at(&self, a: usize, b: usize) -> f64 {
        let width = self.names.len() + 1;
        let (classes, columns) = (ordered(a / width, b / width), ordered(a % width, b % width));
        let pair = upper(self.point.vectors.len(), classes);
        let mut value = self.curvature[pair * triangle(width) + upper(width, columns)];
        if columns.0 == columns.1 {
            let own = if classes.0 == classes.1 { 1.0 } else { 0.0 };
            value += self.penalties[columns.0] * (own - self.shared());
        }
        value
    }

    /// Leaves out features that follow from others. True if sums are needed again, as one of them had a coefficient.
    fn choose_active(&mut self) -> bool {
        let width = self.names.len() + 1;
        let first = usize::from(!self.options.intercept);
        let is_used = |column: &usize| *column == 0 || self.point.scales[*column - 1].deviation > 0.0;
        let mut columns: Vec<usize> = (first..width).filter(is_used).collect();
        if self.options.l2 == 0.0 {
            // All classes have the same features.
            let (_, factors) = self.factor(&columns, LEAST_REST);
            for (place, from) in factors.dependent.iter().rev() {
                let sources: Vec<String> = from
                    .iter()
                    .filter(|(place, factor)| factor.abs() > 1e-6 && columns[*place] > 0)
                    .map(|(place, _)| format!("'{}'", self.names[columns[*place] - 1]))
                    .take(5)
                    .collect();
                let name = columns[*place]
                    .checked_sub(1)
                    .map_or("intercept", |column| &self.names[column]);
                let from = sources.join(", ");
                self.warnings
                    .push(format!("'{name}' follows from {from} and has no coefficient"));
            }
            columns = factors.kept.iter().map(|place| columns[*place]).collect();
        }
        let mut had_others = false;
        for vector in &mut self.point.vectors {
            for column in (0..width).filter(|column| !columns.contains(column)) {
                had_others |= vector[column] != 0.0;
                vector[column] = 0.0;
            }
        }
        let classes = 0..self.point.vectors.len();
        let places = classes.flat_map(|class| columns.iter().map(move |column| class * width + column));
        self.active = Some(places.collect());
        had_others
    }

    /// One over the lengths of the places, and the factors of the matrix scaled by them.
    fn factor(&self, places: &[usize], tolerance: f64) -> (Vec<f64>, Ldl<f64>) {
        let by: Vec<f64> = places
            .iter()
            .map(|place| match self.curvature_at(*place, *place) {
                length if length > 0.0 => 1.0 / length.sqrt(),
                _ => 0.0,
            })
            .collect();
        let matrix = Symmetric::new(places.len(), |i, j| {
            self.curvature_at(places[i], places[j]) * by[i] * by[j]
        });
        let ldl = Ldl::new(&matrix, tolerance);
        (by, ldl)
    }

    /// Newton's step; None if there is none without a penalty.
    fn direction(&self, active: &[usize], gradient: &[f64]) -> Option<Vec<f64>> {
        let (by, ldl) = self.factor(active, f64::EPSILON);
        if self.options.l2 == 0.0 && ldl.kept.len() < active.len() {
            return None;
        }
        let right: Vec<f64> = active
            .iter()
            .zip(&by)
            .map(|(place, by)| -gradient[*place] * by)
            .collect();
        let mut direction = vec![0.0; gradient.len()];
        for ((place, by), value) in active.iter().zip(&by).zip(ldl.solve(&right)) {
            direction[*place] = value * by;
        }
        Some(direction)
    }

    /// An upper bound of what the step changes the log odds of any row by.
    fn change(&self, direction: &[f64], sums: &LogisticSums) -> f64 {
        let width = self.names.len() + 1;
        let of_class = |steps: &[f64]| {
            let features = steps[1..].iter().zip(&sums.greatest);
            steps[0].abs()
                + features
                    .map(|(step, greatest)| step.abs() * greatest)
                    .sum::<f64>()
        };
        direction.chunks(width).map(of_class).fold(0.0, f64::max)
    }
}

impl LogisticPoint {
    /// Intercepts and coefficients per unit of columns.
    fn outer(&self) -> (Vec<f64>, Vec<Vec<f64>>) {
        let mut vectors = self.vectors.clone();
        if self.classes() > 2 {
            vectors.insert(0, vec![0.0; self.features() + 1]);
            for column in 0..=self.features() {
                let mean = vectors.iter().map(|vector| vector[column]).sum::<f64>() / vectors.len() as f64;
                vectors.iter_mut().for_each(|vector| vector[column] -= mean);
            }
        }
        let outer = vectors.into_iter().map(|vector| {
            let scaled = vector[1..].iter().zip(&self.scales);
            let values: Vec<f64> = scaled.map(|(value, scale)| value / scale.divisor()).collect();
            let away: f64 = values
                .iter()
                .zip(&self.scales)
                .map(|(value, scale)| value * scale.mean)
                .sum();
            (vector[0] - away, values)
        });
        outer.unzip()
    }

    /// Starts where another fit ended, if it has the same shape.
    fn take_over(&mut self, from: &Logistic) {
        let inner = |class: usize| {
            let values: Vec<f64> = from.coefficients[class]
                .iter()
                .map(|value| value.unwrap_or(0.0))
                .collect();
            let away: f64 = values
                .iter()
                .zip(&self.scales)
                .map(|(value, scale)| value * scale.mean)
                .sum();
            let mut vector = vec![match self.intercept {
                true => from.intercepts[class] + away,
                false => 0.0,
            }];
            vector.extend(
                values
                    .iter()
                    .zip(&self.scales)
                    .map(|(value, scale)| value * scale.divisor()),
            );
            vector
        };
        let vectors = match self.classes() {
            2 => 1,
            classes => classes,
        };
        let fits = |values: &Vec<Option<f64>>| values.len() == self.features();
        if from.intercepts.len() != vectors || from.coefficients.len() != vectors {
            return;
        }
        if !from.coefficients.iter().all(fits) {
            return;
        }
        let mut all: Vec<Vec<f64>> = (0..vectors).map(inner).collect();
        if vectors > 1 {
            let first = all.remove(0);
            for vector in &mut all {
                vector
                    .iter_mut()
                    .zip(&first)
                    .for_each(|(value, first)| *value -= first);
            }
        }
        if all.iter().flatten().all(|value| value.is_finite()) {
            self.vectors = all;
        }
    }
}

fn weights(counts: &[u64], weights: &ClassWeights) -> Result<Vec<f64>, Error> {
    let rows: u64 = counts.iter().sum();
    match weights {
        ClassWeights::Equal => Ok(vec![1.0; counts.len()]),
        ClassWeights::Balanced => Ok(counts
            .iter()
            .map(|count| rows as f64 / (counts.len() as f64 * *count as f64))
            .collect()),
        ClassWeights::Given(weights) if weights.len() == counts.len() => Ok(weights.clone()),
        ClassWeights::Given(weights) => Err(Error::option(format!(
            "there are {} class weights for {} labels",
            weights.len(),
            counts.len()
        ))),
    }
}

fn greatest<'a>(numbers: impl Iterator<Item = &'a f64>) -> f64 {
    numbers.fold(0.0, |most: f64, number| most.max(number.abs()))
}

fn ordered(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

/// A place in the upper triangle of a square, row by row.
fn upper(size: usize, (row, column): (usize, usize)) -> usize {
    triangle(size) - triangle(size - row) + column - row
}
