//! What is wrong with a pipeline, and where.

use std::fmt;

use serde_saphyr::Location;

/// Longest distance of a word that is offered instead of a wrong one, in parts of its length.
const NEAR: f64 = 0.34;

/// Something in a pipeline that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line and column in the YAML, from 1, if it is about a place.
    pub place: Option<(u64, u64)>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl Mistake {
    /// About the whole pipeline.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            place: None,
            what: what.into(),
            hint: String::new(),
        }
    }

    /// About a place.
    pub fn at(location: Location, what: impl Into<String>) -> Self {
        Self {
            place: (location.line() > 0).then(|| (location.line(), location.column())),
            ..Self::new(what)
        }
    }

    /// With what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.what)?;
        match self.hint.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", self.hint),
        }
    }
}

impl std::error::Error for Mistake {}

/// The known word that was probably meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&lower, &known.to_lowercase());
    let nearest = known.into_iter().min_by_key(|known| distance(known))?;
    let allowed = (word.chars().count().max(3) as f64 * NEAR).ceil() as usize;
    (distance(nearest) <= allowed).then_some(nearest)
}

/// `did you mean 'x'?`, or all words if none is near.
pub fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None => {
            let all: Vec<&str> = known.into_iter().take(40).collect();
            format!("there are {}", all.join(", "))
        }
    }
}
