//! From columns to the numbers that models calculate with: the terms.
//!
//! A number is one term, a boolean one of 0 and 1, a text one of 0 and 1 for each stored category. Terms are SQL over
//! columns, so training and prediction read rows alike.
//!
//! | value | in training | in prediction |
//! | --- | --- | --- |
//! | a feature is null, NaN, infinite or beyond 1e140 | the row is left out and counted | NULL |
//! | the label is null, not finite, or none of the stored labels | the row is left out and counted | does not matter |
//! | a category that is not stored | 0 in all terms of the column | 0 in all terms of the column |

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::label::usable_sql;
use crate::sql;

/// Most terms: their products are about 8 million numbers.
pub const TERMS_MAX: usize = 2048;

/// What a feature is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FeatureKind {
    /// A number of any type.
    Number,
    /// True or false, as 1 and 0.
    Boolean,
    /// A text with these categories, each of which is a term.
    Text {
        /// In the order of terms.
        categories: Vec<String>,
        /// The category that has none: the coefficients of the others are differences from it.
        reference: Option<String>,
    },
}

/// A column that a model learns from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// Name of the column.
    pub name: String,
    /// What it is.
    pub kind: FeatureKind,
}

/// What becomes of the first category of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstCategory {
    /// A term like all others. For naive Bayes, k-means, and linear models with a penalty or without an intercept.
    Kept,
    /// No term: it is the reference. For linear models without a penalty, where the
    /// terms of all categories, which add up to 1, would follow from the intercept.
    Dropped,
}

/// The features of a model. A change of it is another model: sums of one do not fit the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Design {
    features: Vec<Feature>,
}

/// One number that a model calculates with.
#[derive(Debug, Clone, PartialEq)]
pub struct Term<'a> {
    /// The column it comes from.
    pub feature: &'a Feature,
    /// The category for which it is 1, if it is of a text.
    pub category: Option<&'a str>,
}

impl Term<'_> {
    /// Its name: that of the column, and the category behind `=`.
    pub fn name(&self) -> String {
        match self.category {
            Some(category) => format!("{}={category}", self.feature.name),
            None => self.feature.name.clone(),
        }
    }
}

impl Design {
    /// Of features, of whose texts the first category may be dropped, once and for all.
    ///
    /// Errors: there are none, two have one name, there are too many categories.
    pub fn new(mut features: Vec<Feature>, first: FirstCategory) -> Result<Self, Error> {
        for feature in &mut features {
            if let FeatureKind::Text {
                categories,
                reference,
            } = &mut feature.kind
                && first == FirstCategory::Dropped
                && !categories.is_empty()
            {
                *reference = Some(categories.remove(0));
            }
        }
        let design = Self { features };
        for (place, feature) in design.features.iter().enumerate() {
            if design.features[..place]
                .iter()
                .any(|other| other.name == feature.name)
            {
                return Err(Error::option(format!(
                    "there are two features '{}'",
                    feature.name
                )));
            }
        }
        match design.terms().len() {
            0 => Err(Error::option("there is no feature to learn from")
                .hint("the query needs a column besides label and key")),
            1..=TERMS_MAX => Ok(design),
            terms => {
                let error = Error::option(format!("the features have {terms} terms, more than {TERMS_MAX}"));
                Err(error.hint("leave texts with many different values out, or group them"))
            }
        }
    }

    /// The features.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// The terms, in the order of columns of all sums.
    pub fn terms(&self) -> Vec<Term<'_>> {
        self.features.iter().flat_map(Feature::terms).collect()
    }

    /// Names of the terms.
    pub fn names(&self) -> Vec<String> {
        self.terms().iter().map(Term::name).collect()
    }

    /// Each term as `DOUBLE`, over columns whose SQL is given by name; null if the row is to be left out.
    pub fn terms_sql(&self, column: &dyn Fn(&str) -> String) -> Vec<String> {
        let sql = |term: &Term<'_>| {
            let value = column(&term.feature.name);
            match term.category {
                Some(category) => format!("CAST({value} = {} AS DOUBLE)", sql::text(category)),
                None => format!("CAST({value} AS DOUBLE)"),
            }
        };
        self.terms().iter().map(sql).collect()
    }

    /// A condition that holds for a row whose features can all be used.
    pub fn usable_sql(&self, column: &dyn Fn(&str) -> String) -> String {
        let (numbers, others): (Vec<&Feature>, Vec<&Feature>) = self
            .features
            .iter()
            .partition(|feature| feature.kind == FeatureKind::Number);
        let numbers: Vec<String> = numbers.iter().map(|feature| column(&feature.name)).collect();
        let there = |feature: &&Feature| format!("{} IS NOT NULL", column(&feature.name));
        let conditions: Vec<String> = usable_sql(&numbers)
            .into_iter()
            .chain(others.iter().map(there))
            .collect();
        sql::balanced(&conditions, " AND ", "true")
    }

    /// The sum of a function of each term, as SQL. `of_number` is the SQL of the function of a number, `of_flag` its value
    /// at 0 and at 1; both have the place of the term.
    pub(crate) fn sum_sql(
        &self,
        column: &dyn Fn(&str) -> String,
        constant: f64,
        of_number: &dyn Fn(usize, &str) -> Option<String>,
        of_flag: &dyn Fn(usize) -> [f64; 2],
    ) -> String {
        let mut parts = Vec::new();
        let mut constant = constant;
        let mut place = 0;
        for feature in &self.features {
            let value = column(&feature.name);
            match &feature.kind {
                FeatureKind::Number => parts.extend(of_number(place, &format!("CAST({value} AS DOUBLE)"))),
                FeatureKind::Boolean => {
                    let [at_0, at_1] = of_flag(place);
                    constant += at_0;
                    if at_1 != at_0 {
                        let difference = sql::number(at_1 - at_0);
                        parts.push(format!("CASE WHEN {value} THEN {difference} ELSE 0.0 END"));
                    }
                }
                FeatureKind::Text { categories, .. } => {
                    let mut branches = Vec::new();
                    for (at, category) in categories.iter().enumerate() {
                        let [at_0, at_1] = of_flag(place + at);
                        constant += at_0;
                        if at_1 != at_0 {
                            branches.push((sql::text(category), sql::number(at_1 - at_0)));
                        }
                    }
                    if !branches.is_empty() {
                        parts.push(sql::case(&value, &branches, Some("0.0")));
                    }
                }
            }
            place += feature.terms().len();
        }
        if constant != 0.0 || parts.is_empty() {
            parts.insert(0, sql::number(constant));
        }
        sql::balanced(&parts, " + ", "0.0")
    }
}

impl Feature {
    fn terms(&self) -> Vec<Term<'_>> {
        let term = |category| Term {
            feature: self,
            category,
        };
        match &self.kind {
            FeatureKind::Text { categories, .. } => categories
                .iter()
                .map(|category| term(Some(category.as_str())))
                .collect(),
            _ => vec![term(None)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features() -> Vec<Feature> {
        let categories = ["north", "o'hara", "south"].map(str::to_owned).to_vec();
        let feature = |name: &str, kind| Feature {
            name: name.to_owned(),
            kind,
        };
        vec![
            feature("income", FeatureKind::Number),
            feature("member", FeatureKind::Boolean),
            feature(
                "region",
                FeatureKind::Text {
                    categories,
                    reference: None,
                },
            ),
        ]
    }

    #[test]
    fn terms_are_sql_that_is_null_for_rows_to_leave_out() {
        let design = Design::new(features(), FirstCategory::Dropped).unwrap();
        assert_eq!(
            design.names(),
            ["income", "member", "region=o'hara", "region=south"]
        );
        let sql = design.terms_sql(&sql::ident);
        assert_eq!(sql[0], r#"CAST("income" AS DOUBLE)"#);
        assert_eq!(sql[1], r#"CAST("member" AS DOUBLE)"#);
        assert_eq!(sql[2], r#"CAST("region" = 'o''hara' AS DOUBLE)"#);
        let all = Design::new(features(), FirstCategory::Kept).unwrap();
        assert_eq!(all.names()[2], "region=north");
    }

    #[test]
    fn a_design_needs_a_feature_and_not_too_many() {
        let error = Design::new(Vec::new(), FirstCategory::Kept).unwrap_err();
        assert!(error.to_string().starts_with("there is no feature to learn from"));
        let mut twice = features();
        twice.extend(features());
        assert!(Design::new(twice, FirstCategory::Kept).is_err());
        let mut many = features();
        many[2].kind = FeatureKind::Text {
            categories: (0..3000).map(|category| category.to_string()).collect(),
            reference: None,
        };
        let error = Design::new(many, FirstCategory::Kept).unwrap_err();
        assert_eq!(error.what, "the features have 3002 terms, more than 2048");
    }
}
