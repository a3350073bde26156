//! Bulk ingest at the door: Flight SQL's command and the rows that follow it, as a statement.

use std::sync::Arc;

use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::server::PeekableFlightDataStream;
use arrow_flight::sql::{CommandStatementIngest, TableExistsOption, TableNotExistOption};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use millpond_engine::error::{Code, Error};
use tonic::Status;

use super::door::Caller;
use super::service::FlightSql;
use super::status::to_status;
use crate::statement::{Existing, Ingest, Missing, Statement};

/// Starts the statement of a bulk ingest.
pub(super) async fn start(
    service: &FlightSql,
    caller: &Caller,
    command: CommandStatementIngest,
    data: PeekableFlightDataStream,
) -> Result<Arc<Statement>, Status> {
    let session = service.session(caller)?;
    let asked = check(&command).map_err(|error| to_status(&error));
    let (table, missing, existing) = asked?;
    let (schema, rows) = open(data).await?;
    let ingest = Ingest {
        table,
        missing,
        existing,
        schema,
        rows,
    };
    Ok(service.frontend.ingest(session, ingest))
}

/// What a command asks for.
fn check(command: &CommandStatementIngest) -> Result<(TableReference, Missing, Existing), Error> {
    let refused = |what: &str, hint: &str| {
        Err(Error::user(Code::NOT_SUPPORTED, format!("{what} not supported")).with_hint(hint))
    };
    if command.temporary {
        return refused(
            "temporary tables are",
            "ingest into a table, and drop it when you are done",
        );
    }
    if command.transaction_id.as_ref().is_some_and(|id| !id.is_empty()) {
        return refused("transactions over several statements are", "use autocommit");
    }
    if let Some(option) = command.options.keys().min() {
        return Err(Error::user(
            Code::UNKNOWN_SETTING,
            format!("there is no option '{option}' of bulk ingest"),
        ));
    }
    let invalid = |what: &str| {
        Error::user(
            Code::INVALID_STATEMENT,
            format!("the ingest does not say what to do if the table {what}"),
        )
        .with_hint("set the mode to create, append, replace or create_append")
    };
    let options = command.table_definition_options.unwrap_or_default();
    let missing = match options.if_not_exist() {
        TableNotExistOption::Create => Missing::Create,
        TableNotExistOption::Fail => Missing::Fail,
        TableNotExistOption::Unspecified => return Err(invalid("is not there")),
    };
    let existing = match options.if_exists() {
        TableExistsOption::Fail => Existing::Fail,
        TableExistsOption::Append => Existing::Append,
        TableExistsOption::Replace => Existing::Replace,
        TableExistsOption::Unspecified => return Err(invalid("is there")),
    };
    Ok((name_of(command)?, missing, existing))
}

/// Names are taken as they are, capitals included.
fn name_of(command: &CommandStatementIngest) -> Result<TableReference, Error> {
    let given = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    let table = command.table.clone();
    if table.is_empty() {
        return Err(Error::user(Code::INVALID_STATEMENT, "the ingest names no table"));
    }
    Ok(match (given(&command.catalog), given(&command.schema)) {
        (None, None) => TableReference::bare(table),
        (None, Some(schema)) => TableReference::partial(schema, table),
        (Some(catalog), schema) => TableReference::full(
            catalog,
            schema.unwrap_or_else(|| millpond_engine::session::DEFAULT_SCHEMA.to_string()),
            table,
        ),
    })
}

type Rows = BoxStream<'static, Result<RecordBatch, Error>>;

/// Reads the schema, which comes before the rows.
async fn open(data: PeekableFlightDataStream) -> Result<(SchemaRef, Rows), Status> {
    let data = data.map_err(|status| FlightError::Tonic(Box::new(status)));
    let mut rows = FlightRecordBatchStream::new_from_flight_data(data);
    let first = rows.try_next().await.map_err(Status::from)?;
    let schema = rows
        .schema()
        .cloned()
        .ok_or_else(|| Status::invalid_argument("the stream has no schema"))?;
    let rows = rows.map_err(|error| match error {
        FlightError::Tonic(status) => Error::user(Code::CANCELLED, "the client has ended the stream of rows")
            .with_detail(status.message()),
        other => Error::user(Code::BAD_DATA, "the rows of the client cannot be read")
            .with_detail(other.to_string()),
    });
    Ok((schema, stream::iter(first).map(Ok).chain(rows).boxed()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_flight::sql::TableDefinitionOptions;

    fn command(if_not_exist: TableNotExistOption, if_exists: TableExistsOption) -> CommandStatementIngest {
        CommandStatementIngest {
            table_definition_options: Some(TableDefinitionOptions {
                if_not_exist: if_not_exist.into(),
                if_exists: if_exists.into(),
            }),
            table: "T".to_string(),
            ..Default::default()
        }
    }

    #[test]
    fn modes_and_names_are_taken_as_they_are() {
        let mut asked = command(TableNotExistOption::Create, TableExistsOption::Append);
        let expect = |table| (table, Missing::Create, Existing::Append);
        assert_eq!(check(&asked).unwrap(), expect(TableReference::bare("T")));
        asked.schema = Some("S".to_string());
        assert_eq!(check(&asked).unwrap(), expect(TableReference::partial("S", "T")));
        asked.catalog = Some("C".to_string());
        assert_eq!(
            check(&asked).unwrap(),
            expect(TableReference::full("C", "S", "T"))
        );
        asked.schema = Some(String::new());
        assert_eq!(
            check(&asked).unwrap(),
            expect(TableReference::full("C", "public", "T"))
        );
    }

    #[test]
    fn what_there_is_not_is_refused() {
        let create = || command(TableNotExistOption::Create, TableExistsOption::Fail);
        let with = |change: fn(&mut CommandStatementIngest)| {
            let mut command = create();
            change(&mut command);
            check(&command).unwrap_err().code
        };
        assert_eq!(with(|command| command.temporary = true), Code::NOT_SUPPORTED);
        assert_eq!(
            with(|command| command.transaction_id = Some("t".into())),
            Code::NOT_SUPPORTED
        );
        let option = |command: &mut CommandStatementIngest| {
            command.options.insert("colour".to_string(), "red".to_string());
        };
        assert_eq!(with(option), Code::UNKNOWN_SETTING);
        assert_eq!(with(|command| command.table.clear()), Code::INVALID_STATEMENT);
        assert_eq!(
            with(|command| command.table_definition_options = None),
            Code::INVALID_STATEMENT
        );
        assert!(
            check(&command(
                TableNotExistOption::Unspecified,
                TableExistsOption::Fail
            ))
            .is_err()
        );
    }
}
