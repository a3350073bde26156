//! What a pass over rows sums, each at a place of its own: [`super::passes`] makes aggregate functions of them.

use std::fmt;

use millpond_model::{
    Centroids, ClassScores, Classifier, Error, LinearErrors, LloydSums, LogisticPoint, LogisticSums,
    Predictor, SeedRound, SeedSums,
};

/// What is summed in a pass, at a place that is given as bytes.
pub(super) trait Pass: fmt::Debug + Send + Sync {
    /// Adds rows, given column by column.
    fn add(&mut self, columns: &[&[f64]]) -> Result<(), Error>;

    /// Adds the rows of a state of the same place.
    fn merge(&mut self, state: &[u8]) -> Result<(), Error>;

    fn state(&self) -> Vec<u8>;

    /// What comes out in the end.
    fn answer(&self) -> Vec<u8> {
        self.state()
    }

    /// Bytes of memory.
    fn size(&self) -> usize;
}

/// The first column, which is a class or a label, and the features.
fn label_and_features<'a, 'b>(columns: &'a [&'b [f64]]) -> (&'b [f64], &'a [&'b [f64]]) {
    columns
        .split_first()
        .map_or((&[], &[]), |(first, rest)| (*first, rest))
}

impl Pass for (LogisticSums, LogisticPoint) {
    fn add(&mut self, columns: &[&[f64]]) -> Result<(), Error> {
        let (classes, features) = label_and_features(columns);
        self.0.add_columns(&self.1, features, classes)
    }

    fn merge(&mut self, state: &[u8]) -> Result<(), Error> {
        self.0.merge(&LogisticSums::from_bytes(state)?)
    }

    fn state(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    fn size(&self) -> usize {
        let features = self.1.features() + 1;
        8 * self.1.classes() * features * features
    }
}

impl Pass for (ClassScores, Classifier) {
    fn add(&mut self, columns: &[&[f64]]) -> Result<(), Error> {
        let (classes, features) = label_and_features(columns);
        self.1.score(&mut self.0, features, classes)
    }

    fn merge(&mut self, state: &[u8]) -> Result<(), Error> {
        self.0.merge(&ClassScores::from_bytes(state)?)
    }

    fn state(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// [`ClassMetrics`](millpond_model::ClassMetrics), as of `model_scores`.
    fn answer(&self) -> Vec<u8> {
        self.0.metrics().to_bytes()
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

impl Pass for (LinearErrors, Predictor) {
    fn add(&mut self, columns: &[&[f64]]) -> Result<(), Error> {
        let (labels, features) = label_and_features(columns);
        self.0.add_columns(&self.1, features, labels)
    }

    fn merge(&mut self, state: &[u8]) -> Result<(), Error> {
        self.0.merge(&LinearErrors::from_bytes(state)?)
    }

    fn state(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    fn size(&self) -> usize {
        self.1.to_bytes().len()
    }
}

impl Pass for (SeedSums, SeedRound) {
    fn add(&mut self, columns: &[&[f64]]) -> Result<(), Error> {
        self.0.add_columns(&self.1, columns)
    }

    fn merge(&mut self, state: &[u8]) -> Result<(), Error> {
        self.0.merge(&SeedSums::from_bytes(state)?)
    }

    fn state(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    fn size(&self) -> usize {
        self.1.to_bytes().len()
    }
}

impl Pass for (LloydSums, Centroids) {
    fn add(&mut self, columns: &[&[f64]]) -> Result<(), Error> {
        self.0.add_columns(&self.1, columns)
    }

    fn merge(&mut self, state: &[u8]) -> Result<(), Error> {
        self.0.merge(&LloydSums::from_bytes(state)?)
    }

    fn state(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    fn size(&self) -> usize {
        2 * self.1.to_bytes().len()
    }
}
