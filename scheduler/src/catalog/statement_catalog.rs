//! What one statement sees of the catalog.
//!
//! The statement holds one version of the catalog; every table it names is opened once and kept, so that a table
//! that occurs twice, or once directly and once in a view, is the same table. Nothing can be registered here: what
//! exists is changed through the log only.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use datafusion::catalog::information_schema::{INFORMATION_SCHEMA_TABLES, InformationSchemaProvider};
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProviderList, SchemaProvider, TableProvider,
};
use datafusion::common::TableReference;
use datafusion::datasource::ViewTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{DdlStatement, LogicalPlan, TableType};
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use millpond_engine::error::{Code, Error};
use millpond_engine::session::CATALOG;
use millpond_proto::catalog::{KafkaTable, MemoryTable as Stored, Relation, RelationKind, View};
use parking_lot::Mutex;

use super::live_table::LiveTable;
use super::memory_table::MemoryTable;
use super::metadata::{MetadataTable, rows_fn};
use super::predict;
use super::readable::Readable;
use super::relation::open_files;
use super::system::SystemTables;
use crate::session::changed_settings;
use crate::state::CatalogState;
use crate::streams::{LiveReads, Pin as LivePin};
use crate::upkeep::Task;

/// Schema with the standard's description of the catalog.
pub(crate) const INFORMATION_SCHEMA: &str = "information_schema";
/// Schema with the state of the cluster.
pub(crate) const SYSTEM_SCHEMA: &str = "system";

/// Schema and name of a table or view.
pub(crate) type RelationKey = (String, String);

/// Makes session states that see the cluster's catalog. Made once; the functions and rules in it are shared.
pub(crate) struct SessionFactory {
    /// Behind a function, for the compiler's sake: a state may hold plans, and whatever holds a state would be proven to be
    /// fit for other threads by way of all of SQL, again and again.
    base: Arc<dyn Fn() -> SessionState + Send + Sync>,
}

impl fmt::Debug for SessionFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionFactory").finish_non_exhaustive()
    }
}

impl SessionFactory {
    /// Makes a factory whose sessions run with `runtime`.
    pub(crate) fn new(runtime: Arc<RuntimeEnv>) -> Result<Self> {
        let nothing = Arc::new(MemoryCatalogProviderList::new());
        let base = millpond_engine::session::session_state(
            millpond_engine::session::session_config(),
            nothing,
            runtime,
        )?;
        Ok(Self {
            base: Arc::new(move || base.clone()),
        })
    }

    /// A session state with the given settings and catalog. All states have one session id; see
    /// [`SessionFactory::of_job`].
    pub(crate) fn state(
        &self,
        config: SessionConfig,
        catalogs: Arc<dyn CatalogProviderList>,
    ) -> SessionState {
        // Building a state anew takes longer than many a query.
        let mut state = (self.base)();
        *state.config_mut() = config;
        state.register_catalog_list(catalogs);
        // What `now()` is.
        state.mark_start_execution();
        state
    }

    /// The same state with a session id of its own, as Ballista wants it for each job, and without the catalog: the
    /// plan of a job has its tables already, and Ballista keeps the state for minutes, with every shard of that version.
    pub(crate) fn of_job(state: &SessionState) -> Arc<SessionContext> {
        let state = SessionStateBuilder::new_from_existing(state.clone())
            .with_session_id(uuid::Uuid::new_v4().to_string())
            .with_catalog_list(Arc::new(MemoryCatalogProviderList::new()))
            .build();
        Arc::new(SessionContext::new_with_state(state))
    }
}

/// A table that a statement has named.
enum Pin {
    /// It is being opened; meeting it again means that a view refers to itself.
    Opening,
    Open(Arc<dyn TableProvider>),
}

/// One version of the catalog with the tables that one statement has opened.
pub(crate) struct StatementCatalog {
    version: Arc<CatalogState>,
    factory: Arc<SessionFactory>,
    config: SessionConfig,
    system: Arc<SystemTables>,
    /// Relations that are read from their source although they are cached.
    from_source: HashSet<RelationKey>,
    pins: Mutex<HashMap<RelationKey, Pin>>,
    /// Rows of tables that follow topics, which executors keep as long as this is here.
    live: Mutex<Vec<LivePin>>,
    /// How far they are.
    reads: LiveReads,
    /// Models that it has asked for predictions, and their versions.
    models: Mutex<BTreeMap<String, (u64, u64)>>,
    this: Weak<StatementCatalog>,
}

impl std::fmt::Debug for StatementCatalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatementCatalog")
            .field("version", &self.version.version)
            .finish_non_exhaustive()
    }
}

impl StatementCatalog {
    /// Looks at `version` with the settings of one statement. What it reads of tables that follow topics is noted in
    /// `reads`.
    pub(crate) fn new(
        version: Arc<CatalogState>,
        factory: Arc<SessionFactory>,
        config: SessionConfig,
        system: Arc<SystemTables>,
        reads: LiveReads,
    ) -> Arc<Self> {
        Self::with(version, factory, config, system, reads, HashSet::new())
    }

    /// The same version, but `key` is read from its source. No table is open yet.
    pub(crate) fn reading_source_of(&self, key: RelationKey) -> Arc<Self> {
        let mut from_source = self.from_source.clone();
        from_source.insert(key);
        self.reading_from(from_source, self.config.clone())
    }

    /// The same version, but everything is read from its source, and names without a schema belong to
    /// `default_schema`. No table is open yet.
    pub(crate) fn reading_all_sources(&self, default_schema: &str) -> Arc<Self> {
        let cached = self
            .version
            .relations
            .iter()
            .filter(|(_, relation)| relation.cache.is_some());
        let from_source = cached.map(|(key, _)| key.clone()).collect();
        let config = self
            .config
            .clone()
            .with_default_catalog_and_schema(CATALOG, default_schema);
        self.reading_from(from_source, config)
    }

    fn reading_from(&self, from_source: HashSet<RelationKey>, config: SessionConfig) -> Arc<Self> {
        let (version, factory, system) = (self.version.clone(), self.factory.clone(), self.system.clone());
        Self::with(version, factory, config, system, self.reads.clone(), from_source)
    }

    fn with(
        version: Arc<CatalogState>,
        factory: Arc<SessionFactory>,
        config: SessionConfig,
        system: Arc<SystemTables>,
        reads: LiveReads,
        from_source: HashSet<RelationKey>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            version,
            factory,
            config,
            system,
            from_source,
            pins: Mutex::default(),
            live: Mutex::default(),
            reads,
            models: Mutex::default(),
            this: this.clone(),
        })
    }

    /// The catalog at the statement's version.
    pub(crate) fn version(&self) -> &Arc<CatalogState> {
        &self.version
    }

    /// A session state that plans against this catalog.
    pub(crate) fn session_state(&self) -> Result<SessionState> {
        Ok(self.factory.state(self.config.clone(), self.strong()?))
    }

    /// Settings of the statement's session that were set.
    pub(crate) fn changed_settings(&self) -> Arc<BTreeMap<String, String>> {
        changed_settings(&self.config)
    }

    /// Schema of names that have none.
    pub(crate) fn default_schema(&self) -> String {
        self.config.options().catalog.default_schema.clone()
    }

    /// Reads the text of a statement, and writes its predictions out.
    ///
    /// # Errors
    /// What is no SQL; predictions as in [`predict::write_out`].
    pub(crate) fn parse(&self, state: &SessionState, sql: &str) -> Result<Statement> {
        let dialect = state.config().options().sql_parser.dialect;
        let mut statement = state.sql_to_statement(sql, &dialect)?;
        let used = predict::write_out(&self.version, &mut statement)?;
        self.models.lock().extend(used);
        Ok(statement)
    }

    /// Models that were asked for predictions, by name: when they were made and which version answered.
    pub(crate) fn models(&self) -> BTreeMap<String, (u64, u64)> {
        self.models.lock().clone()
    }

    /// Names of the tables and views that were opened.
    pub(crate) fn opened_names(&self) -> Vec<RelationKey> {
        self.opened().into_iter().map(|(key, _)| key).collect()
    }

    /// Tables and views that were opened, in order of name.
    pub(super) fn opened(&self) -> Vec<(RelationKey, Arc<dyn TableProvider>)> {
        let pins = self.pins.lock();
        let open = pins.iter().filter_map(|(key, pin)| match pin {
            Pin::Open(table) => Some((key.clone(), table.clone())),
            Pin::Opening => None,
        });
        let mut open: Vec<_> = open.collect();
        open.sort_by(|a, b| a.0.cmp(&b.0));
        open
    }

    fn strong(&self) -> Result<Arc<Self>> {
        self.this
            .upgrade()
            .ok_or_else(|| DataFusionError::from(Error::bug("the statement has ended")))
    }

    pub(super) async fn open(&self, key: RelationKey) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(relation) = self.version.relations.get(&key) else {
            return Ok(None);
        };
        match self.pins.lock().get(&key) {
            Some(Pin::Open(table)) => return Ok(Some(table.clone())),
            Some(Pin::Opening) => {
                return Err(Error::user(
                    Code::UNKNOWN_RELATION,
                    format!("view {}.{} refers to itself", key.0, key.1),
                )
                .with_hint("drop it and create it anew")
                .into());
            }
            None => {}
        }
        self.pins.lock().insert(key.clone(), Pin::Opening);
        let opened = match self.open_cached(&key, relation).await {
            Ok(None) => self.open_relation(relation).await,
            Ok(Some(cached)) => Ok(cached),
            Err(error) => Err(error),
        };
        match &opened {
            Ok(table) => self.pins.lock().insert(key, Pin::Open(table.clone())),
            Err(_) => self.pins.lock().remove(&key),
        };
        opened.map(Some)
    }

    /// True if a relation is read from memory, or is a view: then what it reads is.
    ///
    /// # Errors
    /// The source of a cache that cannot be read.
    pub(crate) async fn is_in_memory(&self, key: &RelationKey) -> Result<bool> {
        let Some(relation) = self.version.relations.get(key) else {
            return Ok(false);
        };
        let Some(cache) = &relation.cache else {
            let kind = relation.kind.as_ref();
            return Ok(matches!(
                kind,
                Some(RelationKind::Memory(_) | RelationKind::View(_))
            ));
        };
        let present = self.present_executors().await;
        Box::pin(self.system.caches.is_readable(self, key, cache, &present)).await
    }

    /// The rows of a relation that are kept in memory, if they may be read.
    async fn open_cached(
        &self,
        key: &RelationKey,
        relation: &Relation,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(cache) = relation
            .cache
            .as_ref()
            .filter(|_| !self.from_source.contains(key))
        else {
            return Ok(None);
        };
        let present = self.present_executors().await;
        let caches = &self.system.caches;
        // The source of a cached view is planned in here, which may open the next cached view.
        let readable = Box::pin(caches.is_readable(self, key, cache, &present)).await?;
        let Some(rows) = cache.rows.as_ref().filter(|_| readable) else {
            return Ok(None);
        };
        let name = format!("{}.{}", relation.schema, relation.name);
        Ok(Some(Arc::new(MemoryTable::open(&name, rows, &present, false)?)))
    }

    /// Data addresses of the executors there are now.
    async fn present_executors(&self) -> HashSet<String> {
        let members = self.system.cluster.members().await;
        members.into_iter().map(|member| member.address).collect()
    }

    async fn open_relation(&self, relation: &Relation) -> Result<Arc<dyn TableProvider>> {
        let name = TableReference::full(CATALOG, relation.schema.clone(), relation.name.clone());
        match &relation.kind {
            Some(RelationKind::Files(table)) => open_files(&self.session_state()?, name, table).await,
            Some(RelationKind::View(view)) => self.open_view(view).await,
            Some(RelationKind::Memory(table)) => {
                let key = (relation.schema.clone(), relation.name.clone());
                Ok(Arc::new(self.open_rows(&key, table).await?))
            }
            Some(RelationKind::Kafka(table)) => {
                let name = format!("{}.{}", relation.schema, relation.name);
                Ok(Arc::new(LiveTable::new(name, table, self.this.clone())?))
            }
            None => Err(Error::bug(format!("{name} is of a kind that this version does not know")).into()),
        }
    }

    /// Opens a table in memory, or a part of one.
    pub(crate) async fn open_rows(&self, key: &RelationKey, table: &Stored) -> Result<MemoryTable> {
        let present = self.present_executors().await;
        let rebuild = Task::Rebuild(key.clone());
        let can_rebuild = table.lineage.is_some() && !self.system.upkeep.has_failed(&rebuild);
        let name = format!("{}.{}", key.0, key.1);
        Ok(MemoryTable::open(&name, table, &present, can_rebuild)?)
    }

    /// Has the rows of a table that follows a topic kept for the statement.
    pub(super) async fn pin(&self, name: &str, table: &KafkaTable) -> Result<MemoryTable, Error> {
        let (rows, read, pin) = self.system.streams.pin(name, table).await?;
        self.live.lock().push(pin);
        self.reads.lock().insert(name.to_string(), read);
        let present = self.present_executors().await;
        // What is lost with its owner is read again by the next one.
        MemoryTable::open(name, &rows, &present, true)
    }

    /// Plans a view's definition anew, with the default schema it was created in.
    async fn open_view(&self, view: &View) -> Result<Arc<dyn TableProvider>> {
        let config = self
            .config
            .clone()
            .with_default_catalog_and_schema(CATALOG, &view.default_schema);
        let state = self.factory.state(config, self.strong()?);
        let definition = self.parse(&state, &view.definition)?;
        match state.statement_to_plan(definition).await? {
            LogicalPlan::Ddl(DdlStatement::CreateView(create)) => Ok(Arc::new(ViewTable::new(
                create.input.as_ref().clone(),
                Some(view.definition.clone()),
            ))),
            _ => Err(Error::bug("the stored definition of a view is no CREATE VIEW").into()),
        }
    }

    async fn information_schema(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let catalogs: Arc<dyn CatalogProviderList> = self.strong()?;
        let provider = InformationSchemaProvider::new(Arc::new(Readable(catalogs)));
        let Some(table) = provider.table(name).await? else {
            return Ok(None);
        };
        let schema = table.schema();
        Ok(Some(Arc::new(MetadataTable::new(
            schema,
            rows_fn(move |session| {
                let table = table.clone();
                Box::pin(async move {
                    let plan = table.scan(session, None, &[], None).await?;
                    collect(plan, session.task_ctx()).await
                })
            }),
        ))))
    }
}

impl CatalogProviderList for StatementCatalog {
    fn register_catalog(
        &self,
        _name: String,
        _catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_string()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG)
            .then(|| self.this.upgrade())?
            .map(|catalog| catalog as Arc<dyn CatalogProvider>)
    }
}

impl CatalogProvider for StatementCatalog {
    fn schema_names(&self) -> Vec<String> {
        let stored = self.version.schemas.keys().cloned();
        stored
            .chain([INFORMATION_SCHEMA.to_string(), SYSTEM_SCHEMA.to_string()])
            .collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let catalog = self.this.upgrade()?;
        self.schema_names().iter().any(|known| known == name).then(|| {
            let schema = name.to_string();
            Arc::new(StatementSchema { catalog, schema }) as Arc<dyn SchemaProvider>
        })
    }
}

/// One schema of the statement's catalog.
#[derive(Debug)]
struct StatementSchema {
    catalog: Arc<StatementCatalog>,
    schema: String,
}

#[async_trait]
impl SchemaProvider for StatementSchema {
    fn table_names(&self) -> Vec<String> {
        match self.schema.as_str() {
            INFORMATION_SCHEMA => INFORMATION_SCHEMA_TABLES
                .iter()
                .map(ToString::to_string)
                .collect(),
            SYSTEM_SCHEMA => SystemTables::names(),
            schema => self
                .catalog
                .version
                .relations
                .keys()
                .filter(|key| key.0 == schema)
                .map(|key| key.1.clone())
                .collect(),
        }
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.schema.as_str() {
            INFORMATION_SCHEMA => self.catalog.information_schema(name).await,
            SYSTEM_SCHEMA => Ok(self.catalog.system.table(name, self.catalog.version.clone())),
            schema => self.catalog.open((schema.to_string(), name.to_string())).await,
        }
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        // Known without opening the table, so that a missing file does not break SHOW TABLES.
        let stored = self
            .catalog
            .version
            .relations
            .get(&(self.schema.clone(), name.to_string()));
        Ok(match stored.map(|relation| &relation.kind) {
            Some(Some(RelationKind::View(_))) => Some(TableType::View),
            Some(_) => Some(TableType::Base),
            None => self.table_exist(name).then_some(TableType::View),
        })
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }
}
