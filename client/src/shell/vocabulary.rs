//! The names that can be completed, read from the live catalog.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::describe;
use crate::connection::Connection;
use crate::error::Error;

/// Schema of names without one.
const DEFAULT_SCHEMA: &str = "public";
/// Columns that are read at most; more would make typing slow and help nobody.
const COLUMNS_MAX: usize = 50_000;

/// Names of the cluster's catalog.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Vocabulary {
    /// Columns of each table, by schema and table.
    tables: BTreeMap<(String, String), BTreeSet<String>>,
    functions: BTreeSet<String>,
    settings: BTreeSet<String>,
}

impl Vocabulary {
    /// Reads functions and settings, which stay the same as long as the shell runs, and the tables.
    pub(super) async fn load(connection: &Connection) -> Result<Self, Error> {
        let mut vocabulary = Self::default();
        for [name] in texts(connection, describe::FUNCTION_NAMES).await? {
            vocabulary.functions.insert(name);
        }
        for [name] in texts(connection, describe::SETTING_NAMES).await? {
            vocabulary.settings.insert(name);
        }
        vocabulary.refresh(connection).await?;
        Ok(vocabulary)
    }

    /// Reads the tables again.
    pub(super) async fn refresh(&mut self, connection: &Connection) -> Result<(), Error> {
        let rows = texts(connection, describe::NAMES).await?;
        self.tables.clear();
        for [schema, table, column] in rows {
            self.add_column(schema, table, column);
        }
        Ok(())
    }

    fn add_column(&mut self, schema: String, table: String, column: String) {
        self.tables.entry((schema, table)).or_default().insert(column);
    }

    /// Tables as they are written: with their schema, unless it is the default one.
    pub(super) fn tables(&self) -> impl Iterator<Item = String> {
        self.tables.keys().map(|(schema, table)| {
            let table = identifier(table);
            if schema == DEFAULT_SCHEMA {
                table
            } else {
                format!("{}.{table}", identifier(schema))
            }
        })
    }

    /// What may follow `qualifier.`: tables of a schema, columns of a table, or of any table if it is an alias.
    pub(super) fn members(&self, qualifier: &str) -> BTreeSet<String> {
        let of_schema = self
            .tables
            .keys()
            .filter(|(schema, _)| schema.eq_ignore_ascii_case(qualifier));
        let tables: BTreeSet<String> = of_schema.map(|(_, table)| identifier(table)).collect();
        if !tables.is_empty() {
            return tables;
        }
        let of_table = self
            .tables
            .iter()
            .filter(|((_, table), _)| table.eq_ignore_ascii_case(qualifier));
        let columns: BTreeSet<String> = of_table
            .flat_map(|(_, columns)| columns)
            .map(|name| identifier(name))
            .collect();
        if columns.is_empty() {
            self.user_columns().collect()
        } else {
            columns
        }
    }

    /// Columns of all tables but the system's.
    pub(super) fn user_columns(&self) -> impl Iterator<Item = String> {
        let tables = self
            .tables
            .iter()
            .filter(|((schema, _), _)| !matches!(schema.as_str(), "information_schema" | "system"));
        tables
            .flat_map(|(_, columns)| columns)
            .map(|name| identifier(name))
    }

    pub(super) fn functions(&self) -> impl Iterator<Item = String> {
        self.functions.iter().map(|name| format!("{name}("))
    }

    pub(super) fn settings(&self) -> impl Iterator<Item = String> {
        self.settings.iter().cloned()
    }
}

/// Writes a name so that SQL reads it back: with quotes unless it is plain lower case.
fn identifier(name: &str) -> String {
    let plain = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty();
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Rows of a query whose first `N` columns are text.
async fn texts<const N: usize>(connection: &Connection, sql: &str) -> Result<Vec<[String; N]>, Error> {
    let answer = connection.start(sql).await?.finish().await?;
    let mut batches = answer.rows();
    let mut rows = Vec::new();
    while let Some(batch) = batches.next().await? {
        rows.extend(texts_of(&batch)?);
        if rows.len() >= COLUMNS_MAX {
            break;
        }
    }
    Ok(rows)
}

fn texts_of<const N: usize>(batch: &RecordBatch) -> Result<Vec<[String; N]>, Error> {
    let wrong = || Error::Protocol("names of the catalog are no text".to_owned());
    let columns = batch
        .columns()
        .iter()
        .take(N)
        .map(|column| cast(column, &DataType::Utf8));
    let columns: Vec<_> = columns.collect::<Result<_, _>>().map_err(|_| wrong())?;
    if columns.len() < N {
        return Err(wrong());
    }
    let cell = |column: usize, row: usize| {
        let texts = columns[column].as_string::<i32>();
        if texts.is_null(row) {
            String::new()
        } else {
            texts.value(row).to_owned()
        }
    };
    Ok((0..batch.num_rows())
        .map(|row| std::array::from_fn(|column| cell(column, row)))
        .collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::shell) fn sample() -> Vocabulary {
        let mut vocabulary = Vocabulary::default();
        for (schema, table, column) in [
            ("public", "campaign", "income"),
            ("public", "campaign", "Year_Birth"),
            ("public", "customers", "id"),
            ("lab", "runs", "speed"),
            ("system", "jobs", "job_id"),
        ] {
            vocabulary.add_column(schema.into(), table.into(), column.into());
        }
        vocabulary.functions.insert("count".into());
        vocabulary
            .settings
            .insert("datafusion.execution.batch_size".into());
        vocabulary
    }

    #[test]
    fn names_are_written_so_that_sql_reads_them_back() {
        assert_eq!(identifier("income"), "income");
        assert_eq!(identifier("Year_Birth"), "\"Year_Birth\"");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(identifier("1a"), "\"1a\"");
    }

    #[test]
    fn tables_of_other_schemas_are_qualified() {
        let tables: Vec<String> = sample().tables().collect();
        assert_eq!(tables, ["lab.runs", "campaign", "customers", "system.jobs"]);
    }

    #[test]
    fn members_are_tables_or_columns() {
        let members = |qualifier: &str| sample().members(qualifier).into_iter().collect::<Vec<_>>();
        assert_eq!(members("lab"), ["runs"]);
        assert_eq!(members("CAMPAIGN"), ["\"Year_Birth\"", "income"]);
        assert_eq!(members("c"), ["\"Year_Birth\"", "id", "income", "speed"]);
    }

    #[test]
    fn texts_come_from_any_text_type() {
        use std::sync::Arc;
        let names = arrow::array::StringViewArray::from(vec![Some("a"), None]);
        let batch = RecordBatch::try_from_iter([("n", Arc::new(names) as arrow::array::ArrayRef)]).unwrap();
        assert_eq!(
            texts_of::<1>(&batch).unwrap(),
            [["a".to_owned()], [String::new()]]
        );
        assert!(texts_of::<2>(&batch).is_err());
    }
}
