//! DDL: from a planned `CREATE` or `DROP` to changes of the catalog log.
//!
//! The names are checked against the statement's version for a clear message; the log checks again when it commits,
//! so that two statements that race cannot both win.

use datafusion::common::{SchemaReference, TableReference};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{
    CreateExternalTable, CreateMemoryTable, CreateView, DdlStatement, DropCatalogSchema,
};
use millpond_engine::error::{Code, Error};
use millpond_engine::session::CATALOG;
use millpond_engine::streams::{Delivery, StreamOptions};
use millpond_proto::catalog::{Change, ChangeKind, Relation, RelationKind, RelationRef, SchemaRef, View};

use super::descriptor::{DESCRIPTOR, descriptor};
use super::kafka_table;
use super::location::resolve_location;
use super::relation::describe_files;
use super::statement_catalog::{INFORMATION_SCHEMA, SYSTEM_SCHEMA, StatementCatalog};
use crate::options::LocalPaths;
use crate::state::CatalogLog;
use crate::streams::Streams;
use millpond_engine::clock::now_ms;

/// Parts of option names that would carry a secret into the catalog.
const SECRET_WORDS: &[&str] = &[
    "secret",
    "password",
    "token",
    "access_key",
    "account_key",
    "sas_key",
    "credential",
    "private_key",
    "key_pem",
    "passphrase",
    "oauthbearer_config",
];

/// What DDL works with.
pub(crate) struct Context<'a> {
    pub(crate) log: &'a CatalogLog,
    pub(crate) catalog: &'a StatementCatalog,
    pub(crate) streams: &'a Streams,
    pub(crate) state: &'a SessionState,
    pub(crate) local_paths: &'a LocalPaths,
    pub(crate) principal: &'a str,
    /// The statement as it was written.
    pub(crate) sql: &'a str,
}

/// Carries out one DDL statement. When it returns, the change is durable and every new statement sees it.
///
/// # Errors
/// A name that is taken or missing, a location that is refused or empty, a kind of object there is not.
pub(crate) async fn apply(context: &Context<'_>, command: &DdlStatement) -> Result<(), Error> {
    let change = match command {
        DdlStatement::CreateExternalTable(command) => create_external_table(context, command).await?,
        DdlStatement::CreateView(command) => create_view(context, command)?,
        DdlStatement::CreateCatalogSchema(command) => {
            create_schema(context, &command.schema_name, command.if_not_exists)?
        }
        DdlStatement::DropTable(command) => {
            drop_relation(context, &command.name, command.if_exists, Wanted::Table)?
        }
        DdlStatement::DropView(command) => {
            drop_relation(context, &command.name, command.if_exists, Wanted::View)?
        }
        DdlStatement::DropCatalogSchema(command) => drop_schema(context, command)?,
        other => {
            return Err(Error::user(
                Code::NOT_SUPPORTED,
                format!("{} is not supported", other.name()),
            ));
        }
    };
    let Some(change) = change else {
        return Ok(());
    };
    commit(context, change, |code| is_excused(command, code)).await?;
    context.streams.look_now();
    Ok(())
}

/// Makes a change, passing over a refusal that `excused` allows: somebody else was faster.
async fn commit(
    context: &Context<'_>,
    change: ChangeKind,
    excused: impl Fn(Code) -> bool,
) -> Result<(), Error> {
    match context.log.commit(vec![Change { kind: Some(change) }]).await {
        Err(error) if excused(error.code()) => Ok(()),
        committed => Ok(committed.map(drop)?),
    }
}

/// Schema and name of a relation that is about to be made.
pub(crate) struct Place {
    pub(crate) schema: String,
    pub(crate) name: String,
}

/// Checks a `CREATE TABLE` in memory. `None` if `IF NOT EXISTS` leaves nothing to do.
///
/// # Errors
/// A name that is taken, and what such a table cannot have.
pub(crate) fn new_memory_table(
    context: &Context<'_>,
    command: &CreateMemoryTable,
) -> Result<Option<Place>, Error> {
    let (schema, name) = writable_name(context, &command.name)?;
    if name_is_taken(context, &schema, &name, command.if_not_exists, command.or_replace)? {
        return Ok(None);
    }
    let refused = |what: &str, hint: &str| {
        Err(Error::user(
            Code::NOT_SUPPORTED,
            format!("{what} not supported on a table in memory"),
        )
        .with_hint(hint))
    };
    if command.constraints.iter().next().is_some() {
        return refused(
            "PRIMARY KEY and UNIQUE are",
            "nothing enforces them there, and a planner that trusts them would give wrong answers",
        );
    }
    if !command.column_defaults.is_empty() {
        return refused("DEFAULT is", "give every value in INSERT");
    }
    if command.temporary {
        return refused("TEMPORARY is", "create the table, and drop it when you are done");
    }
    Ok(Some(Place { schema, name }))
}

/// Makes a table in memory visible.
///
/// # Errors
/// A name that somebody else has taken meanwhile.
pub(crate) async fn commit_relation(
    context: &Context<'_>,
    place: Place,
    kind: RelationKind,
    command: &CreateMemoryTable,
) -> Result<(), Error> {
    let change = put(context, place.schema, place.name, command.or_replace, kind);
    let excused = |code| command.if_not_exists && code == Code::RELATION_EXISTS;
    commit(context, change, excused).await
}

/// True for what `IF NOT EXISTS` and `IF EXISTS` ask to pass over.
fn is_excused(command: &DdlStatement, code: Code) -> bool {
    match command {
        DdlStatement::CreateExternalTable(command) => command.if_not_exists && code == Code::RELATION_EXISTS,
        DdlStatement::CreateCatalogSchema(command) => command.if_not_exists && code == Code::RELATION_EXISTS,
        DdlStatement::DropTable(command) => command.if_exists && code == Code::UNKNOWN_RELATION,
        DdlStatement::DropView(command) => command.if_exists && code == Code::UNKNOWN_RELATION,
        DdlStatement::DropCatalogSchema(command) => command.if_exists && code == Code::UNKNOWN_RELATION,
        _ => false,
    }
}

async fn create_external_table(
    context: &Context<'_>,
    command: &CreateExternalTable,
) -> Result<Option<ChangeKind>, Error> {
    let (schema, name) = writable_name(context, &command.name)?;
    if name_is_taken(context, &schema, &name, command.if_not_exists, command.or_replace)? {
        return Ok(None);
    }
    if let Some(option) = command.options.keys().find(|key| carries_secret(key)) {
        return Err(secret_refused(option));
    }
    if kafka_table::is_kafka(command) {
        let mut command = command.clone();
        if let Some(written) = command.options.get_mut(DESCRIPTOR) {
            *written = descriptor(written, context.local_paths).await?;
        }
        let full_name = format!("{schema}.{name}");
        let asked = match kafka_table::without_columns(&command)? {
            Some(table) => Some(context.streams.columns(&table, &full_name).await?),
            None => None,
        };
        let with_columns = asked.map(|(columns, key)| kafka_table::with_columns(&command, &columns, &key));
        let with_columns = with_columns.transpose()?;
        let command = with_columns.as_ref().unwrap_or(&command);
        let mut table = kafka_table::describe(command, context.sql)?;
        let topic = context.streams.describe(&table, &full_name).await?;
        if StreamOptions::parse(&table.settings)?.delivery == Delivery::ExactlyOnce {
            context.streams.check_transactions(&table, &full_name).await?;
        }
        table.partitions = kafka_table::partitions(topic.starts);
        let kind = RelationKind::Kafka(table);
        return Ok(Some(put(context, schema, name, command.or_replace, kind)));
    }
    if command.constraints.iter().next().is_some() {
        return Err(Error::user(
            Code::NOT_SUPPORTED,
            "PRIMARY KEY and UNIQUE are not supported on tables over files",
        )
        .with_hint("nothing enforces them there, and a planner that trusts them would give wrong answers"));
    }
    if command.unbounded {
        return Err(Error::user(
            Code::NOT_SUPPORTED,
            "UNBOUNDED is not supported on tables over files",
        ));
    }
    let mut resolved = command.clone();
    for location in &mut resolved.locations {
        *location = folder_with_slash(resolve_location(location, context.local_paths)?);
    }
    let mut files = describe_files(context.state, &resolved)
        .await
        .map_err(Error::from_datafusion)?;
    files.definition = context.sql.trim().trim_end_matches(';').to_string();
    Ok(Some(put(
        context,
        schema,
        name,
        command.or_replace,
        RelationKind::Files(files),
    )))
}

/// A local folder that was named without its slash gets one, because a location without is one file.
fn folder_with_slash(location: String) -> String {
    if !location.contains("://") && !location.ends_with('/') && std::path::Path::new(&location).is_dir() {
        return format!("{location}/");
    }
    location
}

fn create_view(context: &Context<'_>, command: &CreateView) -> Result<Option<ChangeKind>, Error> {
    let (schema, name) = writable_name(context, &command.name)?;
    if command.temporary {
        return Err(
            Error::user(Code::NOT_SUPPORTED, "temporary views are not supported")
                .with_hint("create a view and drop it, or use WITH"),
        );
    }
    if name_is_taken(context, &schema, &name, false, command.or_replace)? {
        return Ok(None);
    }
    let view = View {
        default_schema: context.state.config().options().catalog.default_schema.clone(),
        definition: context.sql.trim().trim_end_matches(';').to_string(),
    };
    Ok(Some(put(
        context,
        schema,
        name,
        command.or_replace,
        RelationKind::View(view),
    )))
}

/// The change that makes a relation visible.
pub(crate) fn put(
    context: &Context<'_>,
    schema: String,
    name: String,
    or_replace: bool,
    kind: RelationKind,
) -> ChangeKind {
    let relation = Relation {
        schema,
        name,
        created_at_ms: now_ms(),
        owner: context.principal.to_string(),
        kind: Some(kind),
        cache: None,
    };
    if or_replace {
        ChangeKind::PutRelation(relation)
    } else {
        ChangeKind::CreateRelation(relation)
    }
}

fn create_schema(
    context: &Context<'_>,
    name: &str,
    if_not_exists: bool,
) -> Result<Option<ChangeKind>, Error> {
    let name = match name.split_once('.') {
        Some((CATALOG, schema)) => schema,
        Some((catalog, _)) => return Err(wrong_catalog(catalog)),
        None => name,
    };
    if is_built_in(name) || context.catalog.version().schemas.contains_key(name) {
        return if if_not_exists {
            Ok(None)
        } else {
            Err(
                Error::user(Code::RELATION_EXISTS, format!("schema '{name}' exists already"))
                    .with_hint("use CREATE SCHEMA IF NOT EXISTS, or another name"),
            )
        };
    }
    Ok(Some(ChangeKind::CreateSchema(SchemaRef {
        schema: name.to_string(),
    })))
}

fn drop_schema(context: &Context<'_>, command: &DropCatalogSchema) -> Result<Option<ChangeKind>, Error> {
    let name = match &command.name {
        SchemaReference::Bare { schema } => schema.to_string(),
        SchemaReference::Full { catalog, schema } if catalog.as_ref() == CATALOG => schema.to_string(),
        SchemaReference::Full { catalog, .. } => return Err(wrong_catalog(catalog)),
    };
    if is_built_in(&name) || name == millpond_engine::session::DEFAULT_SCHEMA {
        return Err(Error::user(
            Code::NOT_SUPPORTED,
            format!("schema '{name}' belongs to the system"),
        ));
    }
    let version = context.catalog.version();
    if !version.schemas.contains_key(&name) {
        return if command.if_exists {
            Ok(None)
        } else {
            Err(unknown("schema", &name))
        };
    }
    let inside = version.relations.keys().filter(|key| key.0 == name).count();
    if inside > 0 && !command.cascade {
        return Err(Error::user(
            Code::INVALID_STATEMENT,
            format!("schema '{name}' holds {inside} tables or views"),
        )
        .with_hint("drop them first, or use DROP SCHEMA ... CASCADE"));
    }
    let schema = SchemaRef { schema: name };
    Ok(Some(if command.cascade {
        ChangeKind::DropSchema(schema)
    } else {
        ChangeKind::DropEmptySchema(schema)
    }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Table,
    View,
}

fn drop_relation(
    context: &Context<'_>,
    name: &TableReference,
    if_exists: bool,
    wanted: Wanted,
) -> Result<Option<ChangeKind>, Error> {
    let (schema, name) = writable_name(context, name)?;
    let stored = context
        .catalog
        .version()
        .relations
        .get(&(schema.clone(), name.clone()));
    let Some(relation) = stored else {
        return if if_exists {
            Ok(None)
        } else {
            Err(unknown("table or view", &format!("{schema}.{name}")))
        };
    };
    let is_view = matches!(relation.kind, Some(RelationKind::View(_)));
    match (wanted, is_view) {
        (Wanted::Table, true) => Err(Error::user(
            Code::INVALID_STATEMENT,
            format!("'{schema}.{name}' is a view"),
        )
        .with_hint("use DROP VIEW")),
        (Wanted::View, false) => Err(Error::user(
            Code::INVALID_STATEMENT,
            format!("'{schema}.{name}' is a table"),
        )
        .with_hint("use DROP TABLE; the files stay where they are")),
        _ => Ok(Some(ChangeKind::DropRelation(RelationRef { schema, name }))),
    }
}

/// Resolves a name in the session's default schema; refuses other catalogs and the schemas of the system.
pub(crate) fn writable_name(context: &Context<'_>, name: &TableReference) -> Result<(String, String), Error> {
    let catalog = &context.state.config().options().catalog;
    let name = name
        .clone()
        .resolve(&catalog.default_catalog, &catalog.default_schema);
    if name.catalog.as_ref() != CATALOG {
        return Err(wrong_catalog(&name.catalog));
    }
    if is_built_in(&name.schema) {
        return Err(Error::user(
            Code::NOT_SUPPORTED,
            format!("schema '{}' belongs to the system", name.schema),
        ));
    }
    if !context
        .catalog
        .version()
        .schemas
        .contains_key(name.schema.as_ref())
    {
        return Err(unknown("schema", &name.schema));
    }
    Ok((name.schema.to_string(), name.table.to_string()))
}

/// True if there is nothing to do because of `IF NOT EXISTS`.
fn name_is_taken(
    context: &Context<'_>,
    schema: &str,
    name: &str,
    if_not_exists: bool,
    or_replace: bool,
) -> Result<bool, Error> {
    let taken = context
        .catalog
        .version()
        .relations
        .contains_key(&(schema.to_string(), name.to_string()));
    match (taken, if_not_exists, or_replace) {
        (false, ..) | (true, false, true) => Ok(false),
        (true, true, _) => Ok(true),
        (true, false, false) => Err(Error::user(
            Code::RELATION_EXISTS,
            format!("table or view '{schema}.{name}' exists already"),
        )
        .with_hint("drop it first, or use CREATE OR REPLACE or IF NOT EXISTS")),
    }
}

fn is_built_in(schema: &str) -> bool {
    schema == INFORMATION_SCHEMA || schema == SYSTEM_SCHEMA
}

pub(crate) fn unknown(kind: &str, name: &str) -> Error {
    Error::user(Code::UNKNOWN_RELATION, format!("there is no {kind} '{name}'"))
        .with_hint("SHOW TABLES lists what there is")
}

fn wrong_catalog(name: &str) -> Error {
    Error::user(Code::UNKNOWN_RELATION, format!("there is no catalog '{name}'"))
        .with_hint(format!("the only catalog is '{CATALOG}'"))
}

/// What to say about an option with a secret.
pub(crate) fn secret_refused(option: &str) -> Error {
    Error::user(
        Code::SECRET_REFUSED,
        format!("option '{option}' would store a secret in the catalog"),
    )
    .with_hint("put it into a [[storage.bucket]] or [[kafka.cluster]] of millpond.toml, or a variable, on every node")
}

/// True if the name of an option says that its value is a secret.
pub(crate) fn carries_secret(option: &str) -> bool {
    let option = option.to_ascii_lowercase().replace(['.', '-'], "_");
    SECRET_WORDS.iter().any(|word| option.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_with_secrets_are_recognised() {
        for option in [
            "aws.secret_access_key",
            "AWS.ACCESS_KEY_ID",
            "google.token",
            "password",
            "kafka.ssl.key.pem",
            "kafka.ssl.key.password",
            "kafka.sasl.oauthbearer.assertion.private.key.pem",
            "kafka.sasl.oauthbearer.assertion.private.key.passphrase",
            "kafka.sasl.oauthbearer.config",
        ] {
            assert!(carries_secret(option), "{option}");
        }
        for option in [
            "format.delimiter",
            "format.has_header",
            "kafka.ssl.key.location",
            "kafka.ssl.ca.pem",
        ] {
            assert!(!carries_secret(option), "{option}");
        }
    }
}
