//! `CACHE TABLE`, `UNCACHE TABLE`, `CLEAR CACHE` and `REFRESH TABLE`.
//!
//! The rows of a table over files, or of a view, are computed by a job that leaves them in memory, as `CREATE TABLE AS`
//! does, and a change of the catalog attaches them to the relation. Whether they may be read is decided anew by every
//! statement ([`crate::catalog::cached`]); one that may not reads the source and has `REFRESH TABLE` run for it.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use millpond_engine::error::{Code, Error};
use millpond_engine::schema::encode_schema;
use millpond_engine::session::CATALOG;
use millpond_proto::catalog::{
    Cache, Change, ChangeKind, MemoryTable, Relation, RelationKind, RelationRef, SetCache,
};

use super::frontend::Services;
use super::memory::{self, Storing};
use super::registry::Statement;
use super::result::ResultSet;
use super::syntax::{CacheStatement, CacheTable};
use super::write::count_result;
use super::{run, stream};
use crate::catalog::cached::{self, SourceState, Validate};
use crate::catalog::{Owner, RelationKey, StatementCatalog, TableOptions, checked, ddl};
use millpond_engine::clock::now_ms;

/// Runs a statement about caches.
pub(super) async fn run(
    services: &Services,
    statement: &Arc<Statement>,
    catalog: &StatementCatalog,
    own: CacheStatement,
) -> Result<ResultSet, Error> {
    let default_schema = catalog.default_schema();
    let found = |name: &TableReference| find(catalog, &key_of(name, &default_schema)?);
    match own {
        CacheStatement::Cache(command) => return cache(services, statement, command, &default_schema).await,
        CacheStatement::Uncache { name, if_exists } => match found(&name) {
            Ok(relation) => set(services, &relation, None, false).await?,
            Err(error) if if_exists && error.code == Code::UNKNOWN_RELATION => {}
            Err(error) => return Err(error),
        },
        CacheStatement::Clear => {
            let cached = catalog.version().relations.values();
            for relation in cached.filter(|relation| relation.cache.is_some()) {
                set(services, relation, None, false).await?;
            }
        }
        CacheStatement::Refresh(name) => {
            let relation = found(&name)?;
            if let Some(RelationKind::Kafka(table)) = &relation.kind {
                statement.start_running();
                stream::refresh(services, relation.as_ref().clone(), table.clone()).await?;
                return count_result(0);
            }
            let rows = match &relation.cache {
                Some(cache) => fill(services, statement, &relation, cache.settings.clone(), true).await?,
                None => 0,
            };
            return count_result(rows);
        }
    }
    Ok(ResultSet::nothing())
}

async fn cache(
    services: &Services,
    statement: &Arc<Statement>,
    command: CacheTable,
    default_schema: &str,
) -> Result<ResultSet, Error> {
    let settings = checked(&command.options, Owner::Cache)?;
    let key = key_of(&command.name, default_schema)?;
    let made = match &command.query {
        Some(query) => {
            create_view(services, statement, &command.name, query).await?;
            true
        }
        None => false,
    };
    // The view that was just made is in a newer version of the catalog.
    let cached = async {
        let catalog = run::statement_catalog(services, statement).await;
        let relation = find(&catalog, &key)?;
        if !cached::can_be_cached(&relation) {
            return Err(Error::user(
                Code::NOT_SUPPORTED,
                format!("{} is in memory already", command.name),
            )
            .with_hint("CACHE TABLE is for tables over files and for views"));
        }
        if !command.lazy {
            return fill(services, statement, &relation, settings, false).await;
        }
        let state = catalog.session_state().map_err(Error::from_datafusion)?;
        cached::check_lasting(&source_plan(&state, &relation).await?)?;
        let source = source_state(&catalog, &key).await?;
        let empty = Cache {
            settings,
            local: source.is_local(),
            ..Default::default()
        };
        set(services, &relation, Some(empty), false).await?;
        Ok(0)
    }
    .await;
    match cached {
        Ok(rows) if !command.lazy => count_result(rows),
        Ok(_) => Ok(ResultSet::nothing()),
        Err(error) if made => {
            let (schema, name) = key;
            let drop = ChangeKind::DropRelation(RelationRef { schema, name });
            services.catalog.commit(vec![Change { kind: Some(drop) }]).await?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// Computes the rows of a relation and attaches them to it. `only_if_cached`: not if it has been uncached meanwhile.
async fn fill(
    services: &Services,
    statement: &Arc<Statement>,
    relation: &Relation,
    settings: HashMap<String, String>,
    only_if_cached: bool,
) -> Result<u64, Error> {
    let key = (relation.schema.clone(), relation.name.clone());
    let catalog = run::statement_catalog(services, statement).await;
    let source_catalog = catalog.reading_source_of(key.clone());
    let state = source_catalog.session_state().map_err(Error::from_datafusion)?;
    // Taken before the plan, which may hold on to the rows of another cache: if the source changes meanwhile, the next
    // look notices.
    let source = source_state(&catalog, &key).await?;
    let plan = source_plan(&state, relation).await?;
    cached::check_lasting(&plan)?;
    if let Some(file) = &source.unverifiable
        && settings.get("validate").and_then(|word| Validate::parse(word)) != Some(Validate::Never)
    {
        return Err(Error::user(
            Code::NOT_SUPPORTED,
            format!(
                "{} cannot be verified: {file} has neither a time nor an entity tag",
                relation.name
            ),
        )
        .with_hint(
            "CACHE TABLE ... OPTIONS ('validate' 'never'), and REFRESH TABLE when the file has changed",
        ));
    }
    let options = TableOptions::of(&settings);
    let schema = Arc::new(memory::stored_schema(plan.schema().as_arrow(), true));
    let storing = Storing::cache(&relation.name, &schema, &options);
    let stored = memory::store(services, statement, &state, plan, &storing).await?;
    let rows = stored.shards.iter().map(|shard| shard.rows).sum();
    let cache = Cache {
        rows: Some(MemoryTable {
            table_id: uuid::Uuid::new_v4().simple().to_string(),
            arrow_schema: encode_schema(&schema).map_err(Error::from_datafusion)?,
            version: 1,
            shards: stored.shards,
            settings: settings.clone(),
            ..Default::default()
        }),
        settings,
        source: source.digest.clone(),
        local: source.is_local(),
        filled_at_ms: now_ms(),
    };
    set(services, relation, Some(cache), only_if_cached).await?;
    drop(stored.write);
    services.caches.note(&key, &source);
    statement.update(|status| status.affected_rows = Some(rows));
    Ok(rows)
}

/// A query for all rows of a relation.
pub(super) async fn source_plan(state: &SessionState, relation: &Relation) -> Result<LogicalPlan, Error> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let sql = format!(
        "SELECT * FROM {}.{}.{}",
        quoted(CATALOG),
        quoted(&relation.schema),
        quoted(&relation.name)
    );
    state
        .create_logical_plan(&sql)
        .await
        .map_err(Error::from_datafusion)
}

async fn source_state(catalog: &StatementCatalog, key: &RelationKey) -> Result<SourceState, Error> {
    SourceState::of(catalog, key)
        .await
        .map_err(Error::from_datafusion)
}

async fn set(
    services: &Services,
    relation: &Relation,
    cache: Option<Cache>,
    only_if_cached: bool,
) -> Result<(), Error> {
    let change = ChangeKind::SetCache(SetCache {
        schema: relation.schema.clone(),
        name: relation.name.clone(),
        created_at_ms: relation.created_at_ms,
        cache,
        only_if_cached,
    });
    services
        .catalog
        .commit(vec![Change { kind: Some(change) }])
        .await?;
    Ok(())
}

async fn create_view(
    services: &Services,
    statement: &Arc<Statement>,
    name: &TableReference,
    query: &str,
) -> Result<(), Error> {
    let catalog = run::statement_catalog(services, statement).await;
    let state = catalog.session_state().map_err(Error::from_datafusion)?;
    let sql = format!("CREATE VIEW {} AS {query}", name.to_quoted_string());
    let parsed = catalog.parse(&state, &sql).map_err(Error::from_datafusion)?;
    let plan = state
        .statement_to_plan(parsed)
        .await
        .map_err(Error::from_datafusion)?;
    let LogicalPlan::Ddl(command @ DdlStatement::CreateView(_)) = plan else {
        return Err(Error::bug("a CREATE VIEW that is none"));
    };
    let context = ddl::Context {
        log: &services.catalog,
        streams: &services.streams,
        catalog: &catalog,
        state: &state,
        local_paths: &services.local_paths,
        principal: &statement.session.principal,
        sql: &sql,
    };
    ddl::apply(&context, &command).await
}

pub(super) fn key_of(name: &TableReference, default_schema: &str) -> Result<RelationKey, Error> {
    if let Some(catalog) = name.catalog()
        && catalog != CATALOG
    {
        return Err(
            Error::user(Code::UNKNOWN_RELATION, format!("there is no catalog '{catalog}'"))
                .with_hint(format!("the cluster has one catalog, '{CATALOG}'")),
        );
    }
    let schema = name.schema().unwrap_or(default_schema);
    Ok((schema.to_string(), name.table().to_string()))
}

pub(super) fn find(catalog: &StatementCatalog, key: &RelationKey) -> Result<Arc<Relation>, Error> {
    catalog.version().relations.get(key).cloned().ok_or_else(|| {
        Error::user(
            Code::UNKNOWN_RELATION,
            format!("there is no table or view '{}.{}'", key.0, key.1),
        )
        .with_hint("SHOW TABLES lists what there is")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_engine::session::DEFAULT_SCHEMA;

    #[test]
    fn names_belong_to_the_one_catalog() {
        let key = |schema: &str, name: &str| (schema.to_string(), name.to_string());
        assert_eq!(key_of(&"t".into(), DEFAULT_SCHEMA).unwrap(), key("public", "t"));
        assert_eq!(key_of(&"s.t".into(), DEFAULT_SCHEMA).unwrap(), key("s", "t"));
        assert_eq!(
            key_of(&"millpond.s.t".into(), DEFAULT_SCHEMA).unwrap(),
            key("s", "t")
        );
        assert!(key_of(&"other.s.t".into(), DEFAULT_SCHEMA).is_err());
    }
}
