//! The options of `CREATE MODEL`, words and values as they were written.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::label::Label;
use crate::logistic::ClassWeights;

/// The types of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelType {
    /// A number as a weighted sum of features.
    LinearRegression,
    /// The probability of classes by weighted sums of features.
    LogisticRegression,
    /// Classes by normal distributions of features.
    GaussianNb,
    /// Groups of near rows.
    Kmeans,
}

impl ModelType {
    const ALL: [(&'static str, Self); 4] = [
        ("linear_regression", Self::LinearRegression),
        ("logistic_regression", Self::LogisticRegression),
        ("gaussian_nb", Self::GaussianNb),
        ("kmeans", Self::Kmeans),
    ];

    /// True if all it needs are sums of one pass, which rows can be taken away from again.
    pub fn is_one_pass(self) -> bool {
        matches!(self, Self::LinearRegression | Self::GaussianNb)
    }

    /// True if its label is a class.
    pub fn classifies(self) -> bool {
        matches!(self, Self::LogisticRegression | Self::GaussianNb)
    }

    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, one)| *one == self)
            .map_or("", |(name, _)| name)
    }
}

/// How often rows of a label count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelWeights {
    /// Once.
    Equal,
    /// All labels the same.
    Balanced,
    /// So often, by label; others once.
    Given(Vec<(String, f64)>),
}

impl LabelWeights {
    /// In the order of labels. Errors: a weight is of none of them.
    pub fn of(&self, labels: &[Label]) -> Result<ClassWeights, Error> {
        let given = match self {
            Self::Equal => return Ok(ClassWeights::Equal),
            Self::Balanced => return Ok(ClassWeights::Balanced),
            Self::Given(given) => given,
        };
        let names: Vec<String> = labels.iter().map(ToString::to_string).collect();
        let mut weights = vec![1.0; labels.len()];
        for (label, weight) in given {
            match names.iter().position(|name| name == label) {
                Some(class) => weights[class] = *weight,
                None => {
                    let error = Error::option(format!("class_weights has '{label}', which is no label"));
                    return Err(error.hint(suggestion(label, &names)));
                }
            }
        }
        Ok(ClassWeights::Given(weights))
    }
}

/// When a model is fitted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refresh {
    /// When someone says so.
    Manual,
    /// When rows change.
    OnChange,
    /// At intervals.
    Every(Duration),
}

/// Options of a model, checked, with what holds where nothing was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelOptions {
    /// `type`.
    pub model_type: ModelType,
    /// `label`: the column to predict; None for k-means only.
    pub label: Option<String>,
    /// `key`: the column by whose hash rows are held out, and which is no feature.
    pub key: Option<String>,
    /// `l2`, or `alpha` for linear regression: the penalty. 0 for linear, 1 for logistic regression.
    pub l2: f64,
    /// `class_weights`: `balanced`, or a JSON object of labels and weights.
    pub class_weights: LabelWeights,
    /// `standardize`: whether penalty or distances are of features divided by their deviations. False.
    pub standardize: bool,
    /// `clusters`, or `k`.
    pub clusters: usize,
    /// `seed` of random choices. 0.
    pub seed: u64,
    /// `test`: share of rows that is held out, by a hash of the key. 0.
    pub test: f64,
    /// `refresh`: `manual`, `on_change`, or `every` and a time. Manual.
    pub refresh: Refresh,
    /// `max_iterations`: 100 for logistic regression, 300 for k-means.
    pub max_iterations: u32,
    /// `tolerance`: 1e-10 for logistic regression, 1e-4 for k-means.
    pub tolerance: f64,
    /// `keep_versions`: 10.
    pub keep_versions: u32,
    /// `intercept`: whether there is one. True.
    pub intercept: bool,
}

use ModelType::{GaussianNb, Kmeans, LinearRegression, LogisticRegression};

/// Words, and the types that have them.
const WORDS: &[(&str, &[ModelType])] = &[
    (
        "type",
        &[LinearRegression, LogisticRegression, GaussianNb, Kmeans],
    ),
    ("label", &[LinearRegression, LogisticRegression, GaussianNb]),
    ("key", &[LinearRegression, LogisticRegression, GaussianNb, Kmeans]),
    ("l2", &[LinearRegression, LogisticRegression]),
    ("alpha", &[LinearRegression]),
    ("class_weights", &[LogisticRegression]),
    ("standardize", &[LinearRegression, LogisticRegression, Kmeans]),
    ("clusters", &[Kmeans]),
    ("k", &[Kmeans]),
    ("seed", &[Kmeans]),
    (
        "test",
        &[LinearRegression, LogisticRegression, GaussianNb, Kmeans],
    ),
    (
        "refresh",
        &[LinearRegression, LogisticRegression, GaussianNb, Kmeans],
    ),
    ("max_iterations", &[LogisticRegression, Kmeans]),
    ("tolerance", &[LogisticRegression, Kmeans]),
    (
        "keep_versions",
        &[LinearRegression, LogisticRegression, GaussianNb, Kmeans],
    ),
    ("intercept", &[LinearRegression, LogisticRegression]),
];

impl ModelOptions {
    /// Of words and values, in any order.
    ///
    /// Errors: an unknown word or one that the type does not have; a word twice; a value that is none or out of range;
    /// a word that is needed is missing.
    pub fn parse(options: &[(String, String)]) -> Result<Self, Error> {
        let given = Given(options);
        let Some(model_type) = given.find("type") else {
            return Err(Error::option("a model needs a type").hint(format!("one of {}", list(&type_names()))));
        };
        let found = ModelType::ALL
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(model_type));
        let Some((_, model_type)) = found.copied() else {
            let error = Error::option(format!("there is no type of model '{model_type}'"));
            return Err(error.hint(suggestion(model_type, &type_names())));
        };
        given.check_words(model_type)?;
        let is_logistic = model_type == LogisticRegression;
        let parsed = Self {
            model_type,
            label: given.find("label").map(str::to_owned),
            key: given.find("key").map(str::to_owned),
            l2: given.number("l2", "alpha", 0.0..=1e15, if is_logistic { 1.0 } else { 0.0 })?,
            class_weights: given.class_weights()?,
            standardize: given.boolean("standardize", false)?,
            clusters: given.whole("clusters", "k", 1..=1000, 0)? as usize,
            seed: given.whole("seed", "", 0..=u64::MAX, 0)?,
            test: given.number("test", "", 0.0..=0.9, 0.0)?,
            refresh: given.refresh()?,
            max_iterations: given.whole(
                "max_iterations",
                "",
                1..=100_000,
                if is_logistic { 100 } else { 300 },
            )? as u32,
            tolerance: given.number("tolerance", "", 0.0..=1.0, if is_logistic { 1e-10 } else { 1e-4 })?,
            keep_versions: given.whole("keep_versions", "", 1..=10_000, 10)? as u32,
            intercept: given.boolean("intercept", true)?,
        };
        if parsed.label.is_none() && model_type != Kmeans {
            let error = Error::option(format!("a {} needs a label", model_type.name()));
            return Err(error.hint("label 'column': the column to predict"));
        }
        if parsed.clusters == 0 && model_type == Kmeans {
            return Err(Error::option("a kmeans needs clusters").hint("clusters '8': how many there are"));
        }
        if parsed.test > 0.0 && parsed.key.is_none() {
            let error = Error::option("test needs a key");
            return Err(error.hint("key 'column': rows are held out by a hash of it"));
        }
        Ok(parsed)
    }
}

struct Given<'a>(&'a [(String, String)]);

impl<'a> Given<'a> {
    fn find(&self, word: &str) -> Option<&'a str> {
        let is_word = |(given, _): &&(String, String)| given.eq_ignore_ascii_case(word);
        self.0.iter().find(is_word).map(|(_, value)| value.trim())
    }

    /// Under one of two words.
    fn either(&self, word: &'a str, synonym: &'a str) -> Option<(&'a str, &'a str)> {
        let found = |word: &'a str| self.find(word).map(|value| (word, value));
        found(word).or_else(|| found(synonym))
    }

    fn check_words(&self, model_type: ModelType) -> Result<(), Error> {
        let has = |types: &[ModelType]| types.contains(&model_type);
        let words: Vec<&str> = WORDS
            .iter()
            .filter(|(_, types)| has(types))
            .map(|(word, _)| *word)
            .collect();
        let meaning = |word: &str| match word.to_lowercase().as_str() {
            "alpha" => "l2".to_owned(),
            "k" => "clusters".to_owned(),
            word => word.to_owned(),
        };
        for (place, (given, _)) in self.0.iter().enumerate() {
            if !words.iter().any(|word| word.eq_ignore_ascii_case(given)) {
                let is_of_others = WORDS.iter().any(|(word, _)| word.eq_ignore_ascii_case(given));
                return Err(match is_of_others {
                    true => Error::option(format!("{} has no option '{given}'", model_type.name()))
                        .hint(format!("it has {}", list(&words))),
                    false => {
                        Error::option(format!("there is no option '{given}'")).hint(suggestion(given, &words))
                    }
                });
            }
            if self.0[..place]
                .iter()
                .any(|(before, _)| meaning(before) == meaning(given))
            {
                return Err(Error::option(format!(
                    "option '{}' is there twice",
                    meaning(given)
                )));
            }
        }
        Ok(())
    }

    fn number(
        &self,
        word: &'a str,
        synonym: &'a str,
        range: std::ops::RangeInclusive<f64>,
        otherwise: f64,
    ) -> Result<f64, Error> {
        let Some((word, value)) = self.either(word, synonym) else {
            return Ok(otherwise);
        };
        let number = value.parse::<f64>().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            wrong(
                word,
                value,
                &format!("a number from {} to {:e}", range.start(), range.end()),
            )
        })
    }

    fn whole(
        &self,
        word: &'a str,
        synonym: &'a str,
        range: std::ops::RangeInclusive<u64>,
        otherwise: u64,
    ) -> Result<u64, Error> {
        let Some((word, value)) = self.either(word, synonym) else {
            return Ok(otherwise);
        };
        let number = value.parse::<u64>().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            wrong(
                word,
                value,
                &format!("a whole number from {} to {}", range.start(), range.end()),
            )
        })
    }

    fn boolean(&self, word: &str, otherwise: bool) -> Result<bool, Error> {
        match self.find(word).map(str::to_lowercase).as_deref() {
            None => Ok(otherwise),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(value) => Err(wrong(word, value, "true or false")),
        }
    }

    fn class_weights(&self) -> Result<LabelWeights, Error> {
        let Some(value) = self.find("class_weights") else {
            return Ok(LabelWeights::Equal);
        };
        if value.eq_ignore_ascii_case("balanced") {
            return Ok(LabelWeights::Balanced);
        }
        let weights: Option<std::collections::BTreeMap<String, f64>> = serde_json::from_str(value).ok();
        let is_weight = |weight: &f64| (1e-6..=1e6).contains(weight);
        match weights.filter(|weights| weights.values().all(is_weight)) {
            Some(weights) => Ok(LabelWeights::Given(weights.into_iter().collect())),
            None => Err(wrong(
                "class_weights",
                value,
                r#"balanced, or labels with weights from 1e-6 to 1e6 such as {"yes": 2, "no": 1}"#,
            )),
        }
    }

    fn refresh(&self) -> Result<Refresh, Error> {
        let Some(value) = self.find("refresh") else {
            return Ok(Refresh::Manual);
        };
        let lower = value.to_lowercase();
        match lower.as_str() {
            "manual" => Ok(Refresh::Manual),
            "on_change" => Ok(Refresh::OnChange),
            _ => lower
                .strip_prefix("every ")
                .and_then(interval)
                .map(Refresh::Every)
                .ok_or_else(|| wrong("refresh", value, "manual, on_change, or every 30s (1s to 24h)")),
        }
    }
}

/// Such as `30s`, `5 min` or `1h`: from a second to a day.
fn interval(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text.find(|character: char| !character.is_ascii_digit())?;
    let (count, unit) = text.split_at(unit_at);
    let seconds = match unit.trim() {
        "s" | "second" | "seconds" => 1,
        "m" | "min" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3600,
        _ => return None,
    };
    let total = count.parse::<u64>().ok()?.checked_mul(seconds)?;
    (1..=86_400).contains(&total).then(|| Duration::from_secs(total))
}

fn wrong(word: &str, value: &str, expected: &str) -> Error {
    Error::option(format!("option '{word}' is '{value}'")).hint(format!("it is {expected}"))
}

fn type_names() -> Vec<&'static str> {
    ModelType::ALL.iter().map(|(name, _)| *name).collect()
}

fn list<T: AsRef<str>>(words: &[T]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).take(40).collect();
    words.join(", ")
}

/// `did you mean 'x'?`, or all words if none is near.
pub(crate) fn suggestion<T: AsRef<str>>(word: &str, known: &[T]) -> String {
    let lower = word.to_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&lower, &known.to_lowercase());
    let allowed = (word.chars().count().max(3) as f64 / 3.0).ceil() as usize;
    let nearest = known
        .iter()
        .map(AsRef::as_ref)
        .min_by_key(|known| distance(known));
    match nearest.filter(|known| distance(known) <= allowed) {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None => format!("there are {}", list(known)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<ModelOptions, Error> {
        let owned = |(word, value): &(&str, &str)| ((*word).to_owned(), (*value).to_owned());
        ModelOptions::parse(&options.iter().map(owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_not_said_has_a_value() {
        let options = parse(&[("type", "logistic_regression"), ("LABEL", "bought")]).unwrap();
        assert_eq!(
            (options.l2, options.tolerance, options.max_iterations),
            (1.0, 1e-10, 100)
        );
        assert_eq!(
            (options.refresh, options.test, options.keep_versions),
            (Refresh::Manual, 0.0, 10)
        );
        let options = parse(&[("type", "kmeans"), ("k", "3"), ("refresh", "every 5 min")]).unwrap();
        assert_eq!(
            (options.clusters, options.label, options.tolerance),
            (3, None, 1e-4)
        );
        assert_eq!(options.refresh, Refresh::Every(Duration::from_secs(300)));
        let weights = [
            ("type", "logistic_regression"),
            ("label", "a"),
            ("class_weights", r#"{"yes": 2}"#),
        ];
        let weights = parse(&weights).unwrap().class_weights;
        assert_eq!(weights, LabelWeights::Given(vec![("yes".to_owned(), 2.0)]));
        let labels = ["no", "yes"].map(|label| Label::Text(label.to_owned()));
        assert_eq!(weights.of(&labels).unwrap(), ClassWeights::Given(vec![1.0, 2.0]));
        assert!(
            weights
                .of(&labels[..1])
                .unwrap_err()
                .to_string()
                .contains("'yes', which is no label")
        );
    }

    #[test]
    fn mistakes_say_what_to_do() {
        let check = |options: &[(&str, &str)], expected: &str| {
            let error = parse(options).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        let linear = ("type", "linear_regression");
        check(&[], "needs a type (one of linear_regression");
        let wrong = "linear_regresion"; // misspelt
        check(&[("type", wrong)], "did you mean 'linear_regression'?");
        let wrong = "lable"; // misspelt
        check(&[linear, (wrong, "a")], "(did you mean 'label'?)");
        check(
            &[linear, ("clusters", "3")],
            "linear_regression has no option 'clusters'",
        );
        check(
            &[linear, ("l2", "1"), ("alpha", "2")],
            "option 'l2' is there twice",
        );
        check(
            &[linear, ("label", "a"), ("alpha", "-1")],
            "option 'alpha' is '-1' (it is a number from 0 to 1e15)",
        );
        check(&[linear, ("label", "a"), ("l2", "nan")], "option 'l2' is 'nan'");
        check(&[linear], "needs a label");
        check(&[("type", "kmeans")], "needs clusters");
        check(
            &[("type", "kmeans"), ("k", "1001")],
            "a whole number from 1 to 1000",
        );
        check(&[linear, ("label", "a"), ("test", "0.2")], "test needs a key");
        check(&[linear, ("label", "a"), ("intercept", "no")], "true or false");
        check(
            &[linear, ("label", "a"), ("refresh", "every 0s")],
            "every 30s (1s to 24h)",
        );
        let logistic = [
            ("type", "logistic_regression"),
            ("label", "a"),
            ("class_weights", r#"{"yes": 0}"#),
        ];
        check(&logistic, "balanced, or labels with weights");
    }
}
