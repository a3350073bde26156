//! Statements about models.

use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::Words;

/// A statement about a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::statement) enum ModelStatement {
    /// Train a new one.
    Create(CreateModel),
    /// Train it again.
    Refresh {
        name: String,
        /// From nothing, with the categories that there are now.
        full: bool,
    },
    /// Choose the version that answers; `None`: always the newest.
    Serve { name: String, version: Option<u64> },
    /// Forget it.
    Drop {
        name: String,
        /// It need not exist.
        if_exists: bool,
    },
    /// List all.
    Show,
    /// What the version that answers has learned.
    Describe(String),
}

/// `CREATE MODEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::statement) struct CreateModel {
    pub(in crate::statement) name: String,
    /// Takes the place of another one.
    pub(in crate::statement) or_replace: bool,
    /// Does nothing if there is one.
    pub(in crate::statement) if_not_exists: bool,
    /// As they were written, in order.
    pub(in crate::statement) options: Vec<(String, String)>,
    /// Whose rows it learns from.
    pub(in crate::statement) query: String,
}

impl ModelStatement {
    /// First words, for `system.jobs`.
    pub(super) fn verb(&self) -> &'static str {
        match self {
            Self::Create(_) => "CREATE MODEL",
            Self::Refresh { .. } => "REFRESH MODEL",
            Self::Serve { .. } => "ALTER MODEL",
            Self::Drop { .. } => "DROP MODEL",
            Self::Show => "SHOW MODELS",
            Self::Describe(_) => "DESCRIBE MODEL",
        }
    }
}

impl Words<'_> {
    /// A statement about a model, of which nothing was read yet. `None` if it is none, and then nothing was read.
    pub(super) fn model(&mut self) -> Option<Result<ModelStatement, ParserError>> {
        if self.takes(&["CREATE", "MODEL"]) {
            return Some(self.create_model(false));
        }
        if self.takes(&["CREATE", "OR", "REPLACE", "MODEL"]) {
            return Some(self.create_model(true));
        }
        if self.takes(&["REFRESH", "MODEL"]) {
            return Some(self.refresh_model());
        }
        if self.takes(&["ALTER", "MODEL"]) {
            return Some(self.serve_model());
        }
        if self.takes(&["DROP", "MODEL"]) {
            return Some(self.drop_model());
        }
        if self.takes(&["SHOW", "MODELS"]) {
            return Some(Ok(ModelStatement::Show));
        }
        if self.takes(&["DESCRIBE", "MODEL"]) {
            return Some(self.model_name().map(ModelStatement::Describe));
        }
        None
    }

    /// Takes the next words if they are these.
    fn takes(&mut self, words: &[&str]) -> bool {
        let is_there = |(place, word): (usize, &&str)| {
            let token = &self.parser.peek_nth_token(place).token;
            matches!(token, Token::Word(next) if next.value.eq_ignore_ascii_case(word))
        };
        let found = words.iter().enumerate().all(is_there);
        if found {
            words.iter().for_each(|_| {
                self.parser.next_token();
            });
        }
        found
    }

    fn create_model(&mut self, or_replace: bool) -> Result<ModelStatement, ParserError> {
        let if_not_exists = self.take("IF");
        if if_not_exists {
            self.expect("NOT")?;
            self.expect("EXISTS")?;
        }
        let name = self.model_name()?;
        self.expect("OPTIONS")?;
        let options = self.options()?;
        self.expect("AS")?;
        Ok(ModelStatement::Create(CreateModel {
            name,
            or_replace,
            if_not_exists,
            options,
            query: self.parser.parse_query()?.to_string(),
        }))
    }

    fn refresh_model(&mut self) -> Result<ModelStatement, ParserError> {
        let name = self.model_name()?;
        Ok(ModelStatement::Refresh {
            name,
            full: self.take("FULL"),
        })
    }

    /// In lower case unless it is in quotes, as `predict` reads it.
    fn model_name(&mut self) -> Result<String, ParserError> {
        let name = self.parser.parse_identifier()?;
        Ok(match name.quote_style {
            Some(_) => name.value,
            None => name.value.to_lowercase(),
        })
    }

    /// `m SET VERSION 3`, `m SET VERSION NEWEST`.
    fn serve_model(&mut self) -> Result<ModelStatement, ParserError> {
        let name = self.model_name()?;
        self.expect("SET")?;
        self.expect("VERSION")?;
        let version = match self.take("NEWEST") {
            true => None,
            false => Some(self.parser.parse_literal_uint()?),
        };
        Ok(ModelStatement::Serve { name, version })
    }

    fn drop_model(&mut self) -> Result<ModelStatement, ParserError> {
        let if_exists = self.take("IF");
        if if_exists {
            self.expect("EXISTS")?;
        }
        Ok(ModelStatement::Drop {
            name: self.model_name()?,
            if_exists,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{OwnStatement, parse};
    use super::*;

    fn read(sql: &str) -> ModelStatement {
        match parse(sql).unwrap() {
            Some(OwnStatement::Model(statement)) => statement,
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn models() {
        let create = |or_replace, if_not_exists| {
            ModelStatement::Create(CreateModel {
                name: "m".to_string(),
                or_replace,
                if_not_exists,
                options: vec![("type".to_string(), "linear_regression".to_string())],
                query: "SELECT a, b FROM t".to_string(),
            })
        };
        let rest = "m OPTIONS (type 'linear_regression') AS SELECT a, b FROM t";
        assert_eq!(read(&format!("CREATE MODEL {rest}")), create(false, false));
        assert_eq!(
            read(&format!("create or replace model {rest};")),
            create(true, false)
        );
        assert_eq!(
            read(&format!("CREATE MODEL IF NOT EXISTS {rest}")),
            create(false, true)
        );
        let name = || "m".to_string();
        let refresh = |full| ModelStatement::Refresh { name: name(), full };
        assert_eq!(read("REFRESH MODEL M"), refresh(false));
        assert_eq!(read("REFRESH MODEL m FULL"), refresh(true));
        let serve = |version| ModelStatement::Serve {
            name: name(),
            version,
        };
        assert_eq!(read("ALTER MODEL m SET VERSION 3"), serve(Some(3)));
        assert_eq!(read("ALTER MODEL m SET VERSION NEWEST"), serve(None));
        let drop = |if_exists| ModelStatement::Drop {
            name: name(),
            if_exists,
        };
        assert_eq!(read("DROP MODEL IF EXISTS m"), drop(true));
        assert_eq!(read("SHOW MODELS"), ModelStatement::Show);
        assert_eq!(read("DESCRIBE MODEL m"), ModelStatement::Describe(name()));
    }

    #[test]
    fn tables_named_model_are_no_models() {
        for sql in ["DROP TABLE model", "SHOW TABLES", "CREATE TABLE model (a INT)"] {
            assert_eq!(parse(sql).unwrap(), None, "{sql}");
        }
        assert!(parse("CREATE MODEL m AS SELECT 1").is_err(), "it has no options");
    }
}
