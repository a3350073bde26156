//! The columns that a table will have, and what its rows have in them.

use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::Expr;
use millpond_engine::config::nearest;
use millpond_engine::error::{Code, Error};
use millpond_engine::schema::is_wider;

/// Columns while they change.
pub(super) struct Columns {
    table: String,
    has_rows: bool,
    columns: Vec<Column>,
    changed: bool,
}

struct Column {
    field: Field,
    value: Value,
}

/// What the rows have in a column.
enum Value {
    /// What they had in the column of this place.
    Old(usize),
    /// All of them this.
    New(ScalarValue),
}

impl Columns {
    /// The columns there are; `table` names the table in errors.
    pub(super) fn new(table: &str, schema: &Schema, has_rows: bool) -> Self {
        let columns = schema.fields().iter().enumerate().map(|(place, field)| Column {
            field: field.as_ref().clone(),
            value: Value::Old(place),
        });
        Self {
            table: table.to_string(),
            has_rows,
            columns: columns.collect(),
            changed: false,
        }
    }

    /// True if they are not those there were.
    pub(super) fn have_changed(&self) -> bool {
        self.changed
    }

    pub(super) fn schema(&self) -> Schema {
        Schema::new(
            self.columns
                .iter()
                .map(|column| column.field.clone())
                .collect::<Vec<_>>(),
        )
    }

    /// The columns as expressions over those there were.
    pub(super) fn values(&self, old: &DFSchema) -> Vec<Expr> {
        let old = old.columns();
        let values = self.columns.iter().map(|column| {
            let value = match &column.value {
                Value::Old(place) => Expr::Column(old[*place].clone()),
                Value::New(value) => Expr::Literal(value.clone(), None),
            };
            value.alias(column.field.name())
        });
        values.collect()
    }

    /// Gives a column another name.
    ///
    /// # Errors
    /// No such column, or one that has the name.
    pub(super) fn rename(&mut self, old: &str, new: &str) -> Result<(), Error> {
        let place = self.find(old).ok_or_else(|| self.unknown(old))?;
        if self.find(new).is_some() {
            return Err(self.taken(new));
        }
        let column = &mut self.columns[place];
        column.field = column.field.clone().with_name(new);
        self.changed = true;
        Ok(())
    }

    /// Gives a column a type in which all values of the one it has have a place.
    ///
    /// # Errors
    /// No such column, or a type that is not like this.
    pub(super) fn widen(&mut self, wanted: &Field) -> Result<(), Error> {
        let name = wanted.name();
        let place = self.find(name).ok_or_else(|| self.unknown(name))?;
        let field = &mut self.columns[place].field;
        let (from, to) = (field.data_type(), wanted.data_type());
        if from == to {
            return Ok(());
        }
        if !is_wider(from, to) {
            return Err(Error::user(
                Code::TYPE_MISMATCH,
                format!("column '{name}' cannot become {to}: not every {from} has a place in it"),
            )
            .with_hint("use a cast in a view"));
        }
        *field = field.clone().with_data_type(to.clone());
        self.changed = true;
        Ok(())
    }

    /// Adds a column with a value for the rows there are.
    ///
    /// # Errors
    /// A column that has the name, a value of another type, and no value for rows that must have one.
    pub(super) fn add(
        &mut self,
        field: Field,
        value: Option<ScalarValue>,
        if_not_exists: bool,
    ) -> Result<(), Error> {
        let name = field.name();
        if self.find(name).is_some() {
            return match if_not_exists {
                true => Ok(()),
                false => Err(self.taken(name)),
            };
        }
        let value = value.unwrap_or(ScalarValue::Null);
        if value.is_null() && !field.is_nullable() && self.has_rows {
            return Err(Error::user(
                Code::TYPE_MISMATCH,
                format!(
                    "column '{name}' is NOT NULL, and the rows of {} have no value for it",
                    self.table
                ),
            )
            .with_hint("give one with DEFAULT"));
        }
        let value = value.cast_to(field.data_type()).map_err(|error| {
            Error::user(
                Code::TYPE_MISMATCH,
                format!("the DEFAULT of column '{name}' is no {}", field.data_type()),
            )
            .with_detail(error.strip_backtrace())
        })?;
        self.columns.push(Column {
            field,
            value: Value::New(value),
        });
        self.changed = true;
        Ok(())
    }

    /// Takes a column away.
    ///
    /// # Errors
    /// No such column, or the only one.
    pub(super) fn drop(&mut self, name: &str, if_exists: bool) -> Result<(), Error> {
        let Some(place) = self.find(name) else {
            return match if_exists {
                true => Ok(()),
                false => Err(self.unknown(name)),
            };
        };
        if self.columns.len() == 1 {
            return Err(Error::user(
                Code::INVALID_STATEMENT,
                format!("'{name}' is the only column of {}", self.table),
            )
            .with_hint("add another one first, or DROP TABLE"));
        }
        self.columns.remove(place);
        self.changed = true;
        Ok(())
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.field.name() == name)
    }

    fn unknown(&self, name: &str) -> Error {
        let names: Vec<&str> = self
            .columns
            .iter()
            .map(|column| column.field.name().as_str())
            .collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("its columns are {}", names.join(", ")),
        };
        Error::user(
            Code::UNKNOWN_COLUMN,
            format!("table {} has no column '{name}'", self.table),
        )
        .with_hint(hint)
    }

    fn taken(&self, name: &str) -> Error {
        Error::user(
            Code::INVALID_STATEMENT,
            format!("table {} has a column '{name}' already", self.table),
        )
        .with_hint("choose another name")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::DataType;

    fn columns(has_rows: bool) -> Columns {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("name", DataType::Utf8, true),
        ]);
        Columns::new("public.t", &schema, has_rows)
    }

    fn number(nullable: bool) -> Field {
        Field::new("n", DataType::Int32, nullable)
    }

    fn text(columns: &Columns) -> String {
        let old = DFSchema::try_from(Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("name", DataType::Utf8, true),
        ]));
        let values: Vec<String> = columns
            .values(&old.unwrap())
            .iter()
            .map(ToString::to_string)
            .collect();
        let schema = columns.schema();
        let fields = schema.fields().iter();
        let nulls = fields.map(|field| if field.is_nullable() { "NULL" } else { "NOT NULL" });
        values
            .iter()
            .zip(nulls)
            .map(|(value, nulls)| format!("{value} {nulls}"))
            .collect::<Vec<_>>()
            .join(", ")
    }

    #[test]
    fn columns_are_renamed_added_and_dropped_in_order() {
        let mut columns = columns(true);
        columns.rename("name", "id2").unwrap();
        columns
            .add(number(false), Some(ScalarValue::Int64(Some(7))), false)
            .unwrap();
        columns.drop("id", false).unwrap();
        columns.rename("id2", "id").unwrap();
        assert!(columns.have_changed());
        assert_eq!(text(&columns), "name AS id NULL, Int32(7) AS n NOT NULL");
    }

    #[test]
    fn what_is_there_or_not_already_changes_nothing() {
        let mut columns = columns(true);
        columns.drop("gone", true).unwrap();
        columns
            .add(Field::new("id", DataType::Utf8, true), None, true)
            .unwrap();
        assert!(!columns.have_changed());
        assert_eq!(text(&columns), "id AS id NOT NULL, name AS name NULL");
    }

    #[test]
    fn not_null_needs_a_value_if_there_are_rows() {
        assert_eq!(
            columns(true).add(number(false), None, false).unwrap_err().code,
            Code::TYPE_MISMATCH
        );
        columns(false).add(number(false), None, false).unwrap();
        let mut nullable = columns(true);
        nullable.add(number(true), None, false).unwrap();
        assert!(text(&nullable).ends_with("Int32(NULL) AS n NULL"));
    }

    #[test]
    fn wrong_names_and_values_are_refused() {
        let error = columns(true).rename("names", "x").unwrap_err();
        assert_eq!(error.code, Code::UNKNOWN_COLUMN);
        assert_eq!(error.hint.as_deref(), Some("did you mean 'name'?"));
        let error = columns(true).drop("zzzzzz", false).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("its columns are id, name"));
        for taken in [
            columns(true).rename("id", "name").unwrap_err(),
            columns(true).rename("id", "id").unwrap_err(),
            columns(true)
                .add(Field::new("id", DataType::Utf8, true), None, false)
                .unwrap_err(),
        ] {
            assert_eq!(taken.code, Code::INVALID_STATEMENT);
        }
        let text = Some(ScalarValue::Utf8(Some("abc".to_string())));
        assert_eq!(
            columns(true).add(number(true), text, false).unwrap_err().code,
            Code::TYPE_MISMATCH
        );
        let mut one = columns(true);
        one.drop("id", false).unwrap();
        assert_eq!(one.drop("name", false).unwrap_err().code, Code::INVALID_STATEMENT);
    }
}
