//! Statements that are ours and not DataFusion's: about caches, tables that follow topics, pipelines and models.
//!
//! ```text
//! CACHE [LAZY] TABLE name [OPTIONS ('key' 'value', ...)] [[AS] query]
//! UNCACHE TABLE [IF EXISTS] name      CLEAR CACHE      REFRESH [TABLE] name
//! PAUSE TABLE name      RESUME TABLE name      WAIT FOR TABLE name [OFFSETS '0:123,1:77'] [TIMEOUT '5s']
//! ALTER TABLE name SET OPTIONS ('key' 'value', ...)      REPLAY DEAD LETTERS FROM name [WHERE condition]
//! RUN PIPELINE 'yaml' | name [WITH REPORT]      CHECK PIPELINE 'yaml'      DROP PIPELINE [IF EXISTS] name
//! APPLY PIPELINE name [VERSION n] TO table AS view      EXPORT PIPELINE name [VERSION n]      IMPORT PIPELINE 'json'
//! SUMMARIZE name | query      PROPOSE PIPELINE name FROM 'source of a pipeline'
//! CREATE [OR REPLACE] MODEL [IF NOT EXISTS] name OPTIONS ('key' 'value', ...) AS query      REFRESH MODEL name [FULL]
//! ALTER MODEL name SET VERSION n | NEWEST      DROP MODEL [IF EXISTS] name      SHOW MODELS      DESCRIBE MODEL name
//! ```

mod model;

use datafusion::common::TableReference;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::ObjectName;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;
use millpond_engine::error::{Code, Error};

pub(super) use self::model::{CreateModel, ModelStatement};

/// A statement of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OwnStatement {
    /// Something about rows in memory beside their source.
    Cache(CacheStatement),
    /// Something about a table that follows a topic.
    Stream(StreamStatement),
    /// Something about a pipeline.
    Pipeline(PipelineStatement),
    /// Something about a model.
    Model(ModelStatement),
}

/// A statement about a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PipelineStatement {
    /// Learn, transform, write.
    Run {
        text: PipelineText,
        /// A page with pictures is wanted too.
        report: bool,
    },
    /// Look whether it can be run. The YAML.
    Check(String),
    /// Look at the columns of what can stand behind FROM.
    Summarize(String),
    /// Write one for a source.
    Propose {
        name: String,
        /// Its part of a pipeline.
        source: String,
    },
    /// Make a view of another table, with what was learned.
    Apply {
        name: String,
        /// The newest, if none is given.
        version: Option<u64>,
        /// The table.
        to: TableReference,
        view: TableReference,
    },
    /// Write a document with its definition and what it has learned.
    Export {
        name: String,
        /// The newest, if none is given.
        version: Option<u64>,
    },
    /// Make a new version of what such a document says.
    Import(String),
    /// Forget it.
    Drop {
        name: String,
        /// It need not exist.
        if_exists: bool,
    },
}

/// Which pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PipelineText {
    /// This one.
    Yaml(String),
    /// The newest version of one that was run.
    Stored(String),
}

/// A statement about caches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CacheStatement {
    /// Keep the rows of a table or view in memory.
    Cache(CacheTable),
    /// Do not any more.
    Uncache {
        /// The table or view.
        name: TableReference,
        /// It need not exist.
        if_exists: bool,
    },
    /// Keep no table's rows any more.
    Clear,
    /// Make the rows anew.
    Refresh(TableReference),
}

/// A statement about a table that follows a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StreamStatement {
    /// Stop following.
    Pause(TableReference),
    /// Go on.
    Resume(TableReference),
    /// Other options, as they were written.
    SetOptions(TableReference, Vec<(String, String)>),
    /// Try again what could not become rows.
    Replay {
        /// The table.
        name: TableReference,
        /// On the columns of `system.dead_letters`.
        condition: Option<String>,
    },
    /// Wait until the table has the messages below some offsets.
    Wait {
        /// The table.
        name: TableReference,
        /// As they were written; none: where the topic ends now.
        offsets: Option<String>,
        /// As it was written.
        timeout: Option<String>,
    },
}

/// `CACHE TABLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CacheTable {
    pub(super) name: TableReference,
    /// Fill it when it is first read.
    pub(super) lazy: bool,
    /// As they were written, in order.
    pub(super) options: Vec<(String, String)>,
    /// Query of the view that is made first.
    pub(super) query: Option<String>,
}

impl OwnStatement {
    /// First words, for `system.jobs`.
    pub(super) fn verb(&self) -> &'static str {
        match self {
            Self::Cache(CacheStatement::Cache(_)) => "CACHE TABLE",
            Self::Cache(CacheStatement::Uncache { .. }) => "UNCACHE TABLE",
            Self::Cache(CacheStatement::Clear) => "CLEAR CACHE",
            Self::Cache(CacheStatement::Refresh(_)) => "REFRESH TABLE",
            Self::Stream(StreamStatement::Pause(_)) => "PAUSE TABLE",
            Self::Stream(StreamStatement::Resume(_)) => "RESUME TABLE",
            Self::Stream(StreamStatement::SetOptions(..)) => "ALTER TABLE",
            Self::Stream(StreamStatement::Replay { .. }) => "REPLAY DEAD LETTERS",
            Self::Stream(StreamStatement::Wait { .. }) => "WAIT FOR TABLE",
            Self::Pipeline(PipelineStatement::Run { .. }) => "RUN PIPELINE",
            Self::Pipeline(PipelineStatement::Check(_)) => "CHECK PIPELINE",
            Self::Pipeline(PipelineStatement::Summarize(_)) => "SUMMARIZE",
            Self::Pipeline(PipelineStatement::Propose { .. }) => "PROPOSE PIPELINE",
            Self::Pipeline(PipelineStatement::Apply { .. }) => "APPLY PIPELINE",
            Self::Pipeline(PipelineStatement::Export { .. }) => "EXPORT PIPELINE",
            Self::Pipeline(PipelineStatement::Import(_)) => "IMPORT PIPELINE",
            Self::Pipeline(PipelineStatement::Drop { .. }) => "DROP PIPELINE",
            Self::Model(statement) => statement.verb(),
        }
    }

    /// True if it answers a number: of the rows in memory now, or of the letters that are no dead ones any more. Else it
    /// answers nothing.
    pub(super) fn answers_count(&self) -> bool {
        match self {
            Self::Cache(CacheStatement::Cache(cache)) => !cache.lazy,
            Self::Cache(CacheStatement::Refresh(_)) | Self::Stream(StreamStatement::Replay { .. }) => true,
            _ => false,
        }
    }
}

/// Reads a statement; `None` if it is none of ours.
///
/// # Errors
/// One of ours that is not complete.
pub(super) fn parse(sql: &str) -> Result<Option<OwnStatement>, Error> {
    let Ok(parser) = Parser::new(&GenericDialect {}).try_with_sql(sql) else {
        // DataFusion's parser says it better.
        return Ok(None);
    };
    let mut words = Words { parser };
    let cache = OwnStatement::Cache;
    let stream = OwnStatement::Stream;
    let read = if let Some(model) = words.model() {
        model.map(OwnStatement::Model)
    } else if words.take("CACHE") {
        words.cache().map(CacheStatement::Cache).map(cache)
    } else if words.take("UNCACHE") {
        words.uncache().map(cache)
    } else if words.take("CLEAR") {
        words.expect("CACHE").map(|()| cache(CacheStatement::Clear))
    } else if words.take("REFRESH") {
        words.refresh().map(cache)
    } else if words.take("PAUSE") {
        words.table().map(StreamStatement::Pause).map(stream)
    } else if words.take("RESUME") {
        words.table().map(StreamStatement::Resume).map(stream)
    } else if words.take("REPLAY") {
        words.replay().map(stream)
    } else if words.take("WAIT") {
        words.wait().map(stream)
    } else if words.take("RUN") {
        words.run_pipeline().map(OwnStatement::Pipeline)
    } else if words.take("SUMMARIZE") {
        words.summarize().map(OwnStatement::Pipeline)
    } else if words.take("PROPOSE") {
        words.propose_pipeline().map(OwnStatement::Pipeline)
    } else if words.take("CHECK") {
        words.check_pipeline().map(OwnStatement::Pipeline)
    } else if words.take("APPLY") {
        words.apply_pipeline().map(OwnStatement::Pipeline)
    } else if words.take("EXPORT") {
        words.export_pipeline().map(OwnStatement::Pipeline)
    } else if words.take("IMPORT") {
        words.import_pipeline().map(OwnStatement::Pipeline)
    } else if words.take("DROP") {
        if !words.take("PIPELINE") {
            return Ok(None);
        }
        words.drop_pipeline().map(OwnStatement::Pipeline)
    } else if words.take("ALTER") {
        // All other forms of it are DataFusion's.
        let Some(name) = words.table_to_set_options() else {
            return Ok(None);
        };
        let options = words.options();
        options.map(|options| stream(StreamStatement::SetOptions(name, options)))
    } else {
        return Ok(None);
    };
    let read = read.and_then(|statement| words.end().map(|()| statement));
    let wrong = |error: ParserError| {
        let text = match error {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
            ParserError::RecursionLimitExceeded => "it is nested too deeply".to_string(),
        };
        Error::user(Code::SYNTAX, text)
    };
    read.map(Some).map_err(wrong)
}

struct Words<'a> {
    parser: Parser<'a>,
}

impl Words<'_> {
    /// Takes the next word if it is this one.
    fn take(&mut self, word: &str) -> bool {
        let found = matches!(&self.parser.peek_token().token, Token::Word(next) if next.value.eq_ignore_ascii_case(word));
        if found {
            self.parser.next_token();
        }
        found
    }

    fn expect(&mut self, word: &str) -> Result<(), ParserError> {
        if self.take(word) {
            return Ok(());
        }
        self.parser.expected(word, self.parser.peek_token())
    }

    fn name(&mut self) -> Result<TableReference, ParserError> {
        let name: ObjectName = self.parser.parse_object_name(false)?;
        object_name_to_table_reference(name, true)
            .map_err(|error| ParserError::ParserError(error.strip_backtrace()))
    }

    fn cache(&mut self) -> Result<CacheTable, ParserError> {
        let lazy = self.take("LAZY");
        self.expect("TABLE")?;
        let name = self.name()?;
        let options = if self.take("OPTIONS") {
            self.options()?
        } else {
            Vec::new()
        };
        let has_query =
            self.take("AS") || matches!(self.parser.peek_token().token, Token::Word(_) | Token::LParen);
        let query = if has_query {
            Some(self.parser.parse_query()?.to_string())
        } else {
            None
        };
        Ok(CacheTable {
            name,
            lazy,
            options,
            query,
        })
    }

    /// `('key' 'value', 'key' = 'value', ...)`.
    fn options(&mut self) -> Result<Vec<(String, String)>, ParserError> {
        self.parser.expect_token(&Token::LParen)?;
        let mut options = Vec::new();
        while !self.parser.consume_token(&Token::RParen) {
            let key = self.word_or_text()?;
            let _ = self.parser.consume_token(&Token::Eq);
            options.push((key.to_ascii_lowercase(), self.word_or_text()?));
            if !self.parser.consume_token(&Token::Comma) {
                self.parser.expect_token(&Token::RParen)?;
                break;
            }
        }
        Ok(options)
    }

    fn word_or_text(&mut self) -> Result<String, ParserError> {
        let token = self.parser.next_token();
        match token.token {
            Token::SingleQuotedString(text) | Token::Number(text, _) => Ok(text),
            Token::Word(word) => Ok(word.value),
            _ => self.parser.expected("a key or a value", token),
        }
    }

    fn uncache(&mut self) -> Result<CacheStatement, ParserError> {
        self.expect("TABLE")?;
        let if_exists = self.take("IF");
        if if_exists {
            self.expect("EXISTS")?;
        }
        let name = self.name()?;
        Ok(CacheStatement::Uncache { name, if_exists })
    }

    fn refresh(&mut self) -> Result<CacheStatement, ParserError> {
        let _ = self.take("TABLE");
        Ok(CacheStatement::Refresh(self.name()?))
    }

    fn table(&mut self) -> Result<TableReference, ParserError> {
        self.expect("TABLE")?;
        self.name()
    }

    /// The name in `TABLE name SET OPTIONS`.
    fn table_to_set_options(&mut self) -> Option<TableReference> {
        let name = self.table().ok()?;
        (self.take("SET") && self.take("OPTIONS")).then_some(name)
    }

    fn replay(&mut self) -> Result<StreamStatement, ParserError> {
        self.expect("DEAD")?;
        self.expect("LETTERS")?;
        self.expect("FROM")?;
        let name = self.name()?;
        let condition = match self.take("WHERE") {
            true => Some(self.parser.parse_expr()?.to_string()),
            false => None,
        };
        Ok(StreamStatement::Replay { name, condition })
    }

    fn wait(&mut self) -> Result<StreamStatement, ParserError> {
        self.expect("FOR")?;
        let name = self.table()?;
        let offsets = self.after("OFFSETS")?;
        let timeout = self.after("TIMEOUT")?;
        Ok(StreamStatement::Wait {
            name,
            offsets,
            timeout,
        })
    }

    /// What follows a word, if that is there.
    fn after(&mut self, word: &str) -> Result<Option<String>, ParserError> {
        match self.take(word) {
            true => self.word_or_text().map(Some),
            false => Ok(None),
        }
    }

    fn run_pipeline(&mut self) -> Result<PipelineStatement, ParserError> {
        self.expect("PIPELINE")?;
        let is_text = !matches!(&self.parser.peek_token().token, Token::Word(_));
        let text = match is_text {
            true => PipelineText::Yaml(self.parser.parse_literal_string()?),
            false => PipelineText::Stored(self.own_name()?),
        };
        let report = self.take("WITH");
        if report {
            self.expect("REPORT")?;
        }
        Ok(PipelineStatement::Run { text, report })
    }

    fn check_pipeline(&mut self) -> Result<PipelineStatement, ParserError> {
        self.expect("PIPELINE")?;
        Ok(PipelineStatement::Check(self.parser.parse_literal_string()?))
    }

    /// A name or a query, as it stands behind FROM.
    fn summarize(&mut self) -> Result<PipelineStatement, ParserError> {
        let is_query = match &self.parser.peek_token().token {
            Token::LParen => true,
            Token::Word(word) => {
                let starts = ["SELECT", "WITH", "VALUES"];
                word.quote_style.is_none()
                    && starts.iter().any(|start| word.value.eq_ignore_ascii_case(start))
            }
            _ => false,
        };
        Ok(PipelineStatement::Summarize(match is_query {
            true => format!("({}) AS query", self.parser.parse_query()?),
            false => millpond_pipeline::sql::table(&self.name()?.to_string()),
        }))
    }

    fn propose_pipeline(&mut self) -> Result<PipelineStatement, ParserError> {
        self.expect("PIPELINE")?;
        let name = self.own_name()?;
        self.expect("FROM")?;
        Ok(PipelineStatement::Propose {
            name,
            source: self.parser.parse_literal_string()?,
        })
    }

    fn apply_pipeline(&mut self) -> Result<PipelineStatement, ParserError> {
        self.expect("PIPELINE")?;
        let name = self.own_name()?;
        let version = self.version()?;
        self.expect("TO")?;
        let to = self.name()?;
        self.expect("AS")?;
        Ok(PipelineStatement::Apply {
            name,
            version,
            to,
            view: self.name()?,
        })
    }

    fn version(&mut self) -> Result<Option<u64>, ParserError> {
        match self.take("VERSION") {
            true => self.parser.parse_literal_uint().map(Some),
            false => Ok(None),
        }
    }

    fn export_pipeline(&mut self) -> Result<PipelineStatement, ParserError> {
        self.expect("PIPELINE")?;
        Ok(PipelineStatement::Export {
            name: self.own_name()?,
            version: self.version()?,
        })
    }

    fn import_pipeline(&mut self) -> Result<PipelineStatement, ParserError> {
        self.expect("PIPELINE")?;
        let token = self.parser.next_token();
        match token.token {
            Token::SingleQuotedString(json) => Ok(PipelineStatement::Import(json)),
            _ => self.parser.expected("a document in quotes", token),
        }
    }

    fn drop_pipeline(&mut self) -> Result<PipelineStatement, ParserError> {
        let if_exists = self.take("IF");
        if if_exists {
            self.expect("EXISTS")?;
        }
        Ok(PipelineStatement::Drop {
            name: self.own_name()?,
            if_exists,
        })
    }

    /// The name of a pipeline or model.
    fn own_name(&mut self) -> Result<String, ParserError> {
        Ok(self.parser.parse_identifier()?.value)
    }

    fn end(&mut self) -> Result<(), ParserError> {
        while self.parser.consume_token(&Token::SemiColon) {}
        match self.parser.peek_token() {
            token if token.token == Token::EOF => Ok(()),
            token => self.parser.expected("the end of the statement", token),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str) -> OwnStatement {
        parse(sql).unwrap().unwrap()
    }

    #[test]
    fn pipelines() {
        let of = OwnStatement::Pipeline;
        let run = |text: PipelineText, report| of(PipelineStatement::Run { text, report });
        assert_eq!(
            read("RUN PIPELINE 'name: it''s'"),
            run(PipelineText::Yaml("name: it's".into()), false)
        );
        assert_eq!(
            read("run pipeline p;"),
            run(PipelineText::Stored("p".into()), false)
        );
        assert_eq!(
            read("RUN PIPELINE p WITH REPORT"),
            run(PipelineText::Stored("p".into()), true)
        );
        assert_eq!(
            read("APPLY PIPELINE p VERSION 3 TO s.t AS v"),
            of(PipelineStatement::Apply {
                name: "p".into(),
                version: Some(3),
                to: "s.t".into(),
                view: "v".into(),
            })
        );
        let export = |version| {
            of(PipelineStatement::Export {
                name: "p".into(),
                version,
            })
        };
        assert_eq!(read("EXPORT PIPELINE p"), export(None));
        assert_eq!(read("export pipeline p version 2;"), export(Some(2)));
        assert_eq!(
            read(r#"IMPORT PIPELINE '{"spec": "it''s\n"}'"#),
            of(PipelineStatement::Import(r#"{"spec": "it's\n"}"#.into()))
        );
        let drop = |if_exists| {
            of(PipelineStatement::Drop {
                name: "p".into(),
                if_exists,
            })
        };
        assert_eq!(read("DROP PIPELINE IF EXISTS p"), drop(true));
        assert_eq!(read("DROP PIPELINE p"), drop(false));
        assert_eq!(parse("DROP TABLE p").unwrap(), None);
        let summarize = |relation: &str| of(PipelineStatement::Summarize(relation.into()));
        assert_eq!(read("SUMMARIZE s.t"), summarize("\"s\".\"t\""));
        assert_eq!(
            read("SUMMARIZE SELECT 1 AS a"),
            summarize("(SELECT 1 AS a) AS query")
        );
    }

    #[test]
    fn cache_with_options_and_query() {
        let cache = |lazy, options: &[(&str, &str)], query: Option<&str>| {
            OwnStatement::Cache(CacheStatement::Cache(CacheTable {
                name: "s.t".into(),
                lazy,
                options: options
                    .iter()
                    .map(|(key, value)| (key.to_string(), value.to_string()))
                    .collect(),
                query: query.map(ToString::to_string),
            }))
        };
        assert_eq!(read("cache table s.t;"), cache(false, &[], None));
        assert_eq!(
            read("CACHE LAZY TABLE s.t OPTIONS ('Replicas' '2', sort_by = 'a, b')"),
            cache(true, &[("replicas", "2"), ("sort_by", "a, b")], None)
        );
        assert_eq!(
            read("CACHE TABLE s.t OPTIONS () AS SELECT 1"),
            cache(false, &[], Some("SELECT 1"))
        );
        assert_eq!(
            read("CACHE TABLE s.t SELECT 1"),
            cache(false, &[], Some("SELECT 1"))
        );
    }

    #[test]
    fn the_others() {
        let name = TableReference::from("t");
        let own = OwnStatement::Cache;
        let uncache = |if_exists| {
            own(CacheStatement::Uncache {
                name: name.clone(),
                if_exists,
            })
        };
        assert_eq!(read("UNCACHE TABLE t"), uncache(false));
        assert_eq!(read("UNCACHE TABLE IF EXISTS t"), uncache(true));
        assert_eq!(read("clear cache"), own(CacheStatement::Clear));
        assert_eq!(
            read("REFRESH TABLE t"),
            own(CacheStatement::Refresh(name.clone()))
        );
        assert_eq!(read("REFRESH t"), own(CacheStatement::Refresh(name)));
    }

    #[test]
    fn statements_about_topics() {
        let wait = |offsets: Option<&str>, timeout: Option<&str>| {
            OwnStatement::Stream(StreamStatement::Wait {
                name: "s.t".into(),
                offsets: offsets.map(ToString::to_string),
                timeout: timeout.map(ToString::to_string),
            })
        };
        assert_eq!(
            read("ALTER TABLE t SET OPTIONS ('memory.max' '1GiB')"),
            OwnStatement::Stream(StreamStatement::SetOptions(
                "t".into(),
                vec![("memory.max".to_string(), "1GiB".to_string())]
            ))
        );
        assert_eq!(parse("ALTER TABLE t RENAME TO u").unwrap(), None);
        let replay = |condition: Option<&str>| {
            OwnStatement::Stream(StreamStatement::Replay {
                name: "s.t".into(),
                condition: condition.map(ToString::to_string),
            })
        };
        assert_eq!(read("REPLAY DEAD LETTERS FROM s.t;"), replay(None));
        assert_eq!(
            read("replay dead letters from s.t where kafka_offset < 9 and reason = 'not_json'"),
            replay(Some("kafka_offset < 9 AND reason = 'not_json'"))
        );
        assert_eq!(
            read("PAUSE TABLE t"),
            OwnStatement::Stream(StreamStatement::Pause("t".into()))
        );
        assert_eq!(
            read("resume table t;"),
            OwnStatement::Stream(StreamStatement::Resume("t".into()))
        );
        assert_eq!(read("WAIT FOR TABLE s.t"), wait(None, None));
        assert_eq!(
            read("WAIT FOR TABLE s.t OFFSETS '0:12,1:7'"),
            wait(Some("0:12,1:7"), None)
        );
        assert_eq!(
            read("WAIT FOR TABLE s.t OFFSETS '0:12,1:7' TIMEOUT '5s'"),
            wait(Some("0:12,1:7"), Some("5s"))
        );
    }

    #[test]
    fn other_statements_are_not_ours_and_half_ones_are_errors() {
        for sql in ["SELECT 1", "", "CREATE TABLE cache (a INT)", "'"] {
            assert_eq!(parse(sql).unwrap(), None, "{sql}");
        }
        for sql in [
            "CACHE t",
            "CACHE TABLE",
            "UNCACHE TABLE IF t",
            "CLEAR",
            "REFRESH TABLE t u",
            "CACHE TABLE t OPTIONS ('a'",
            "PAUSE t",
            "WAIT FOR t",
            "REPLAY LETTERS FROM t",
            "REPLAY DEAD LETTERS FROM t WHERE",
            "REPLAY DEAD LETTERS FROM t LIMIT 3",
            "WAIT FOR TABLE t OFFSETS",
            "EXPORT PIPELINE",
            "EXPORT PIPELINE p VERSION x",
            "IMPORT PIPELINE p",
        ] {
            assert_eq!(parse(sql).unwrap_err().code, Code::SYNTAX, "{sql}");
        }
    }
}
