//! The catalog at one version, and what a change does to it. Nothing here reads or writes anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use millpond_engine::session::DEFAULT_SCHEMA;
use millpond_proto::catalog::{
    AlterColumns, Change, ChangeKind, CommitShards, DeleteRows, Entry, FORMAT, MemoryTable, Model, Pipeline,
    PlaceShards, Relation, RelationKind, RenameRelation, SchemaRef, SetCache, Snapshot, TableShard,
};

use super::Error;

/// What schemas, tables and views there are at one version.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogState {
    /// Number of entries of the log that led here; zero is the empty catalog.
    pub version: u64,
    /// Schemas by name.
    pub schemas: BTreeMap<String, SchemaRef>,
    /// Tables and views by schema and name. The schema is always one of `schemas`.
    pub relations: BTreeMap<(String, String), Arc<Relation>>,
    /// Pipelines by name. Each has a version.
    pub pipelines: BTreeMap<String, Arc<Pipeline>>,
    /// Models by name. Each has a version.
    pub models: BTreeMap<String, Arc<Model>>,
}

impl Default for CatalogState {
    /// The catalog before its first entry: the default schema, with nothing in it.
    fn default() -> Self {
        let schema = SchemaRef {
            schema: DEFAULT_SCHEMA.to_string(),
        };
        Self {
            version: 0,
            schemas: BTreeMap::from([(schema.schema.clone(), schema)]),
            relations: BTreeMap::new(),
            pipelines: BTreeMap::new(),
            models: BTreeMap::new(),
        }
    }
}

impl CatalogState {
    /// Makes one change. If it is refused, nothing has changed. The version stays; it counts entries, not changes.
    ///
    /// # Errors
    /// A name that is taken or missing, a schema that is not empty, and [`Error::UnknownChange`] for a change or a
    /// relation of a kind that this version does not know.
    pub fn apply(&mut self, change: &Change) -> Result<(), Error> {
        match &change.kind {
            Some(ChangeKind::CreateSchema(schema)) => self.create_schema(schema),
            Some(ChangeKind::DropSchema(schema)) => self.drop_schema(&schema.schema),
            Some(ChangeKind::DropEmptySchema(schema)) => self.drop_empty_schema(&schema.schema),
            Some(ChangeKind::PutRelation(relation)) => self.put_relation(relation),
            Some(ChangeKind::CreateRelation(relation)) => self.create_relation(relation),
            Some(ChangeKind::DropRelation(relation)) => self.drop_relation(&relation.schema, &relation.name),
            Some(ChangeKind::CommitShards(commit)) => self.commit_shards(commit),
            Some(ChangeKind::DeleteRows(deletion)) => self.delete_rows(deletion),
            Some(ChangeKind::SetCache(set)) => self.set_cache(set),
            Some(ChangeKind::PlaceShards(placed)) => self.place_shards(placed),
            Some(ChangeKind::AlterColumns(altered)) => self.alter_columns(altered),
            Some(ChangeKind::RenameRelation(renamed)) => self.rename_relation(renamed),
            Some(ChangeKind::PlacePartitions(placed)) => self.place_partitions(placed),
            Some(ChangeKind::PauseTable(pause)) => self.pause_table(pause),
            Some(ChangeKind::AlterTopic(altered)) => self.alter_topic(altered),
            Some(ChangeKind::AddPipeline(added)) => self.add_pipeline(added),
            Some(ChangeKind::DropPipeline(dropped)) => self.drop_pipeline(&dropped.name),
            Some(ChangeKind::PutModel(model)) => self.put_model(model),
            Some(ChangeKind::AddModelVersion(added)) => self.add_model_version(added),
            Some(ChangeKind::ServeModel(served)) => self.serve_model(served),
            Some(ChangeKind::DropModel(dropped)) => self.drop_model(&dropped.name),
            None => Err(self.unknown_change()),
        }
    }

    /// Makes all changes of the next entry of the log, and is at its version then.
    ///
    /// # Errors
    /// Those of [`Self::apply`]; the state is of no use afterwards.
    pub(super) fn apply_entry(&mut self, entry: &Entry) -> Result<(), Error> {
        entry.changes.iter().try_for_each(|change| self.apply(change))?;
        self.version += 1;
        Ok(())
    }

    fn create_schema(&mut self, schema: &SchemaRef) -> Result<(), Error> {
        if self.schemas.contains_key(&schema.schema) {
            return Err(Error::SchemaExists {
                schema: schema.schema.clone(),
            });
        }
        self.schemas.insert(schema.schema.clone(), schema.clone());
        Ok(())
    }

    fn drop_schema(&mut self, schema: &str) -> Result<(), Error> {
        self.check_schema(schema)?;
        self.schemas.remove(schema);
        self.relations.retain(|(in_schema, _), _| in_schema != schema);
        Ok(())
    }

    fn drop_empty_schema(&mut self, schema: &str) -> Result<(), Error> {
        match self
            .relations
            .keys()
            .filter(|(in_schema, _)| in_schema == schema)
            .count()
        {
            0 => self.drop_schema(schema),
            relations => Err(Error::SchemaNotEmpty {
                schema: schema.to_string(),
                relations,
            }),
        }
    }

    fn put_relation(&mut self, relation: &Relation) -> Result<(), Error> {
        if relation.kind.is_none() {
            return Err(self.unknown_change());
        }
        self.check_schema(&relation.schema)?;
        self.relations
            .insert(key_of(relation), Arc::new(relation.clone()));
        Ok(())
    }

    fn create_relation(&mut self, relation: &Relation) -> Result<(), Error> {
        let key = key_of(relation);
        if self.relations.contains_key(&key) {
            let (schema, name) = key;
            return Err(Error::RelationExists { schema, name });
        }
        self.put_relation(relation)
    }

    fn drop_relation(&mut self, schema: &str, name: &str) -> Result<(), Error> {
        let key = (schema.to_string(), name.to_string());
        match self.relations.remove(&key) {
            Some(_) => Ok(()),
            None => Err(Error::UnknownRelation {
                schema: key.0,
                name: key.1,
            }),
        }
    }

    fn commit_shards(&mut self, commit: &CommitShards) -> Result<(), Error> {
        let key = (commit.schema.clone(), commit.name.clone());
        let mut table = self.table_to_write(&key, &commit.table_id)?;
        let before = table.shards.len();
        let is_as_read = |shard: &TableShard| {
            let deleted = commit.deleted_when_read.get(&shard.shard);
            deleted.copied().unwrap_or_default() == shard.deleted_rows
        };
        table
            .shards
            .retain(|shard| !(commit.remove.contains(&shard.shard) && is_as_read(shard)));
        if before - table.shards.len() != commit.remove.len() {
            return Err(write_conflict(&key));
        }
        table.shards.extend(commit.add.iter().cloned());
        if !commit.same_rows {
            table.version += 1;
            table.lineage = None;
        }
        self.put_table(key, table)
    }

    /// A table whose rows are to change, if it is still the one with this identifier.
    fn table_to_write(&self, key: &(String, String), table_id: &str) -> Result<MemoryTable, Error> {
        let (_, table) = self.memory_table(key)?;
        // Replaced, or altered: the shards have other columns than the table has now. Those of an outbox stay.
        if table.table_id != table_id || table.outbox.is_some() {
            return Err(write_conflict(key));
        }
        Ok(table.clone())
    }

    fn put_table(&mut self, key: (String, String), table: MemoryTable) -> Result<(), Error> {
        let (relation, _) = self.memory_table(&key)?;
        let changed = Relation {
            kind: Some(RelationKind::Memory(table)),
            ..relation.clone()
        };
        self.relations.insert(key, Arc::new(changed));
        Ok(())
    }

    fn delete_rows(&mut self, deletion: &DeleteRows) -> Result<(), Error> {
        let key = (deletion.schema.clone(), deletion.name.clone());
        let mut table = self.table_to_write(&key, &deletion.table_id)?;
        for deleted in &deletion.shards {
            let is_as_read = |shard: &&mut TableShard| {
                shard.shard == deleted.shard && shard.deleted_rows == deleted.deleted_when_read
            };
            let shard = table.shards.iter_mut().find(is_as_read);
            let shard = shard.ok_or_else(|| write_conflict(&key))?;
            shard.deleted.clone_from(&deleted.deleted);
            shard.deleted_rows = deleted.deleted_rows;
        }
        table.version += 1;
        table.lineage = None;
        self.put_table(key, table)
    }

    fn alter_columns(&mut self, altered: &AlterColumns) -> Result<(), Error> {
        let key = (altered.schema.clone(), altered.name.clone());
        let (relation, table) = self.memory_table(&key)?;
        if table.table_id != altered.table_id || table.version != altered.version || table.outbox.is_some() {
            return Err(write_conflict(&key));
        }
        let table = MemoryTable {
            table_id: altered.new_table_id.clone(),
            version: table.version + 1,
            arrow_schema: altered.arrow_schema.clone(),
            shards: altered.shards.clone(),
            // The definition makes rows with the columns of before.
            lineage: None,
            ..table.clone()
        };
        let changed = Relation {
            kind: Some(RelationKind::Memory(table)),
            ..relation.clone()
        };
        self.relations.insert(key, Arc::new(changed));
        Ok(())
    }

    fn memory_table(&self, key: &(String, String)) -> Result<(&Relation, &MemoryTable), Error> {
        let relation = self.relations.get(key);
        let found = relation.and_then(|relation| match &relation.kind {
            Some(RelationKind::Memory(table)) => Some((relation.as_ref(), table)),
            _ => None,
        });
        found.ok_or_else(|| Error::UnknownRelation {
            schema: key.0.clone(),
            name: key.1.clone(),
        })
    }

    fn rename_relation(&mut self, renamed: &RenameRelation) -> Result<(), Error> {
        let key = (renamed.schema.clone(), renamed.name.clone());
        let relation = self
            .relations
            .get(&key)
            .filter(|relation| relation.created_at_ms == renamed.created_at_ms);
        let Some(relation) = relation else {
            return Err(Error::UnknownRelation {
                schema: key.0,
                name: key.1,
            });
        };
        let changed = Relation {
            name: renamed.new_name.clone(),
            ..relation.as_ref().clone()
        };
        self.create_relation(&changed)?;
        self.relations.remove(&key);
        Ok(())
    }

    fn set_cache(&mut self, set: &SetCache) -> Result<(), Error> {
        let key = (set.schema.clone(), set.name.clone());
        let relation = self
            .relations
            .get(&key)
            .filter(|relation| relation.created_at_ms == set.created_at_ms)
            .filter(|relation| relation.cache.is_some() || !set.only_if_cached);
        let Some(relation) = relation else {
            return Err(Error::UnknownRelation {
                schema: key.0,
                name: key.1,
            });
        };
        let changed = Relation {
            cache: set.cache.clone(),
            ..relation.as_ref().clone()
        };
        self.relations.insert(key, Arc::new(changed));
        Ok(())
    }

    fn place_shards(&mut self, placed: &PlaceShards) -> Result<(), Error> {
        let key = (placed.schema.clone(), placed.name.clone());
        let found = self.relations.get(&key).map(|relation| relation.as_ref().clone());
        let mut relation = found.unwrap_or_default();
        let table = rows_of(&mut relation).filter(|table| table.table_id == placed.table_id);
        let Some(table) = table else {
            return Err(Error::UnknownRelation {
                schema: key.0,
                name: key.1,
            });
        };
        for place in &placed.places {
            let shard = table.shards.iter_mut().find(|shard| shard.shard == place.shard);
            if let (Some(shard), [first, others @ ..]) = (shard, place.holders.as_slice()) {
                shard.holder = first.clone();
                shard.replicas = others.to_vec();
                shard.snapshot = place.snapshot.clone();
            }
        }
        self.relations.insert(key, Arc::new(relation));
        Ok(())
    }

    fn check_schema(&self, schema: &str) -> Result<(), Error> {
        match self.schemas.contains_key(schema) {
            true => Ok(()),
            false => Err(Error::UnknownSchema {
                schema: schema.to_string(),
            }),
        }
    }

    pub(super) fn unknown_change(&self) -> Error {
        Error::UnknownChange {
            version: self.version + 1,
        }
    }

    /// What is stored for this version.
    pub(super) fn to_snapshot(&self) -> Snapshot {
        Snapshot {
            format: FORMAT,
            version: self.version,
            schemas: self.schemas.values().cloned().collect(),
            relations: self
                .relations
                .values()
                .map(|relation| relation.as_ref().clone())
                .collect(),
            written_by: env!("CARGO_PKG_VERSION").to_string(),
            pipelines: self
                .pipelines
                .values()
                .map(|pipeline| pipeline.as_ref().clone())
                .collect(),
            models: self.models.values().map(|model| model.as_ref().clone()).collect(),
        }
    }

    /// The catalog that was stored; `object` names the snapshot in errors.
    ///
    /// # Errors
    /// [`Error::Damaged`] for names that occur twice or relations without their schema; [`Error::UnknownChange`] for
    /// a relation of an unknown kind.
    pub(super) fn from_snapshot(object: &str, snapshot: &Snapshot) -> Result<Self, Error> {
        let mut state = Self {
            version: 0,
            schemas: BTreeMap::new(),
            relations: BTreeMap::new(),
            pipelines: BTreeMap::new(),
            models: BTreeMap::new(),
        };
        let damaged = |error: Error| match error {
            Error::UnknownChange { .. } => Error::UnknownChange {
                version: snapshot.version,
            },
            other => Error::Damaged {
                object: object.to_string(),
                reason: other.to_string(),
            },
        };
        snapshot
            .schemas
            .iter()
            .try_for_each(|schema| state.create_schema(schema))
            .map_err(damaged)?;
        snapshot
            .relations
            .iter()
            .try_for_each(|relation| state.create_relation(relation))
            .map_err(damaged)?;
        let pipelines = snapshot.pipelines.iter();
        state.pipelines = pipelines
            .map(|pipeline| (pipeline.name.clone(), Arc::new(pipeline.clone())))
            .collect();
        let models = snapshot.models.iter();
        state.models = models
            .map(|model| (model.name.clone(), Arc::new(model.clone())))
            .collect();
        Ok(Self {
            version: snapshot.version,
            ..state
        })
    }
}

/// The rows of a relation that are in memory.
fn rows_of(relation: &mut Relation) -> Option<&mut MemoryTable> {
    match &mut relation.kind {
        Some(RelationKind::Memory(table)) => Some(table),
        _ => relation.cache.as_mut()?.rows.as_mut(),
    }
}

fn key_of(relation: &Relation) -> (String, String) {
    (relation.schema.clone(), relation.name.clone())
}

fn write_conflict(key: &(String, String)) -> Error {
    Error::WriteConflict {
        schema: key.0.clone(),
        name: key.1.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::changes::{
        create_schema, create_view, drop_empty_schema, drop_schema, drop_view, put_view, view,
    };
    use super::*;
    use millpond_proto::catalog::{DeletedRows, Outbox, ShardPlaces};

    /// Applies changes to the empty catalog; gives the last refusal and the names that there are in the end.
    fn check(changes: &[Change], expect_refusal: &str, expect_names: &[&str]) {
        let mut state = CatalogState::default();
        let mut refusal = String::new();
        for change in changes {
            let before = state.clone();
            if let Err(error) = state.apply(change) {
                refusal = error.to_string();
                assert_eq!(state, before, "a refused change must leave no trace");
            }
        }
        let relations = state
            .relations
            .keys()
            .map(|(schema, name)| format!("{schema}.{name}"));
        let names: Vec<String> = state.schemas.keys().cloned().chain(relations).collect();
        assert_eq!(
            (refusal.as_str(), names),
            (
                expect_refusal,
                expect_names.iter().map(ToString::to_string).collect()
            )
        );
    }

    #[test]
    fn the_empty_catalog_has_the_default_schema() {
        check(&[], "", &["public"]);
    }

    #[test]
    fn schemas_come_and_go_with_what_is_in_them() {
        check(
            &[create_schema("s"), create_view("s", "v")],
            "",
            &["public", "s", "s.v"],
        );
        check(
            &[create_schema("public")],
            "schema 'public' exists already",
            &["public"],
        );
        check(&[drop_schema("s")], "there is no schema 's'", &["public"]);
        check(&[drop_empty_schema("s")], "there is no schema 's'", &["public"]);
        check(
            &[create_schema("s"), create_view("s", "v"), drop_schema("s")],
            "",
            &["public"],
        );
        check(
            &[create_schema("s"), create_view("s", "v"), drop_empty_schema("s")],
            "schema 's' holds 1 tables or views",
            &["public", "s", "s.v"],
        );
        check(&[create_schema("s"), drop_empty_schema("s")], "", &["public"]);
    }

    #[test]
    fn relations_are_created_once_replaced_on_demand_and_dropped() {
        check(
            &[create_view("public", "v"), create_view("public", "v")],
            "table or view 'public.v' exists already",
            &["public", "public.v"],
        );
        check(
            &[put_view("public", "v", "new"), put_view("public", "v", "newer")],
            "",
            &["public", "public.v"],
        );
        check(&[create_view("s", "v")], "there is no schema 's'", &["public"]);
        check(
            &[drop_view("public", "v")],
            "there is no table or view 'public.v'",
            &["public"],
        );
        check(
            &[create_view("public", "v"), drop_view("public", "v")],
            "",
            &["public"],
        );
    }

    #[test]
    fn what_a_newer_version_has_written_is_refused() {
        let of_unknown_kind = Relation {
            kind: None,
            ..view("public", "v", "select 1")
        };
        let unknown = [
            Change { kind: None },
            Change {
                kind: Some(ChangeKind::PutRelation(of_unknown_kind.clone())),
            },
            Change {
                kind: Some(ChangeKind::CreateRelation(of_unknown_kind)),
            },
        ];
        for change in unknown {
            let error = CatalogState::default().apply(&change).unwrap_err();
            assert!(matches!(error, Error::UnknownChange { version: 1 }), "{error}");
        }
    }

    fn shard(name: &str) -> TableShard {
        TableShard {
            shard: name.to_string(),
            ..Default::default()
        }
    }

    /// A catalog with the table in memory `t` of these shards.
    fn with_table(shards: &[&str]) -> CatalogState {
        let table = MemoryTable {
            table_id: "first".to_string(),
            version: 1,
            shards: shards.iter().map(|name| shard(name)).collect(),
            ..Default::default()
        };
        let relation = Relation {
            kind: Some(RelationKind::Memory(table)),
            ..view("public", "t", "")
        };
        let mut state = CatalogState::default();
        state.create_relation(&relation).unwrap();
        state
    }

    fn commit(table_id: &str, add: &[&str], remove: &[&str]) -> Change {
        Change {
            kind: Some(ChangeKind::CommitShards(CommitShards {
                schema: "public".to_string(),
                name: "t".to_string(),
                table_id: table_id.to_string(),
                add: add.iter().map(|name| shard(name)).collect(),
                remove: remove.iter().map(ToString::to_string).collect(),
                ..Default::default()
            })),
        }
    }

    fn shards_of(state: &CatalogState) -> (u64, Vec<String>) {
        let relation = &state.relations[&("public".to_string(), "t".to_string())];
        let Some(RelationKind::Memory(table)) = &relation.kind else {
            panic!("t is no table in memory");
        };
        let names = table.shards.iter().map(|shard| shard.shard.clone());
        (table.version, names.collect())
    }

    #[test]
    fn a_commit_adds_to_the_newest_version_and_replaces_what_is_still_there() {
        let mut state = with_table(&["a", "b"]);
        state.apply(&commit("first", &["c"], &[])).unwrap();
        state.apply(&commit("first", &["d"], &["a"])).unwrap();
        assert_eq!(shards_of(&state), (3, ["b", "c", "d"].map(String::from).to_vec()));
    }

    fn deletion(shard: &str, deleted_rows: u64, deleted_when_read: u64) -> Change {
        let shards = vec![DeletedRows {
            shard: shard.to_string(),
            deleted: vec![1],
            deleted_rows,
            deleted_when_read,
        }];
        Change {
            kind: Some(ChangeKind::DeleteRows(DeleteRows {
                schema: "public".to_string(),
                name: "t".to_string(),
                table_id: "first".to_string(),
                shards,
            })),
        }
    }

    #[test]
    fn rows_are_deleted_and_shards_go_only_as_they_were_read() {
        let mut state = with_table(&["a", "b"]);
        state.apply(&deletion("a", 2, 0)).unwrap();
        state.apply(&deletion("a", 3, 2)).unwrap();
        let after = state.clone();
        for late in [
            deletion("a", 4, 2),
            deletion("gone", 1, 0),
            commit("first", &["c"], &["a"]),
        ] {
            let refused = state.apply(&late).unwrap_err();
            assert!(matches!(refused, Error::WriteConflict { .. }), "{refused}");
            assert_eq!(state, after);
        }
        let mut last = commit("first", &["c"], &["a", "b"]);
        if let Some(ChangeKind::CommitShards(commit)) = &mut last.kind {
            commit.deleted_when_read = [("a".to_string(), 3)].into();
        }
        state.apply(&last).unwrap();
        assert_eq!(shards_of(&state), (4, vec!["c".to_string()]));
    }

    #[test]
    fn a_commit_over_rows_that_another_has_replaced_is_refused_and_changes_nothing() {
        let mut state = with_table(&["a", "b"]);
        state.apply(&commit("first", &["c"], &["a"])).unwrap();
        let before = state.clone();
        let conflict = state.apply(&commit("first", &["d"], &["a", "b"])).unwrap_err();
        assert!(matches!(conflict, Error::WriteConflict { .. }), "{conflict}");
        let replaced = state.apply(&commit("second", &["d"], &[])).unwrap_err();
        assert!(matches!(replaced, Error::WriteConflict { .. }), "{replaced}");
        assert_eq!(state, before);
    }

    fn alter(table_id: &str, version: u64) -> Change {
        Change {
            kind: Some(ChangeKind::AlterColumns(AlterColumns {
                schema: "public".to_string(),
                name: "t".to_string(),
                table_id: table_id.to_string(),
                version,
                new_table_id: "altered".to_string(),
                arrow_schema: vec![7],
                shards: vec![shard("c")],
            })),
        }
    }

    #[test]
    fn other_columns_come_with_all_rows_and_later_writes_must_know_them() {
        let mut state = with_table(&["a", "b"]);
        state.apply(&alter("first", 1)).unwrap();
        assert_eq!(shards_of(&state), (2, vec!["c".to_string()]));
        let old = state.apply(&commit("first", &["d"], &[])).unwrap_err();
        assert!(matches!(old, Error::WriteConflict { .. }), "{old}");
        state.apply(&commit("altered", &["d"], &[])).unwrap();
        assert_eq!(shards_of(&state), (3, ["c", "d"].map(String::from).to_vec()));
    }

    #[test]
    fn columns_of_a_version_that_is_not_the_newest_are_refused() {
        let mut state = with_table(&["a"]);
        state.apply(&commit("first", &["b"], &[])).unwrap();
        let before = state.clone();
        for stale in [alter("first", 1), alter("second", 2)] {
            let conflict = state.apply(&stale).unwrap_err();
            assert!(matches!(conflict, Error::WriteConflict { .. }), "{conflict}");
        }
        assert_eq!(state, before);
        state.apply(&alter("first", 2)).unwrap();
    }

    #[test]
    fn the_shards_of_an_outbox_stay() {
        let mut state = with_table(&["a", "b"]);
        let key = ("public".to_string(), "t".to_string());
        let mut relation = state.relations[&key].as_ref().clone();
        if let Some(RelationKind::Memory(table)) = &mut relation.kind {
            table.outbox = Some(Outbox::default());
        }
        state.put_relation(&relation).unwrap();
        let before = state.clone();
        for change in [
            commit("first", &["c"], &["a"]),
            commit("first", &["c"], &[]),
            alter("first", 1),
        ] {
            let conflict = state.apply(&change).unwrap_err();
            assert!(matches!(conflict, Error::WriteConflict { .. }), "{conflict}");
        }
        assert_eq!(state, before);
    }

    fn rename(name: &str, created_at_ms: u64, new_name: &str) -> Change {
        Change {
            kind: Some(ChangeKind::RenameRelation(RenameRelation {
                schema: "public".to_string(),
                name: name.to_string(),
                created_at_ms,
                new_name: new_name.to_string(),
            })),
        }
    }

    #[test]
    fn a_name_changes_if_it_is_free_and_everything_else_stays() {
        let mut state = with_table(&["a"]);
        state.apply(&create_view("public", "v")).unwrap();
        let key = |name: &str| ("public".to_string(), name.to_string());
        let old = state.relations[&key("t")].as_ref().clone();
        let before = state.clone();
        let taken = state.apply(&rename("t", 1, "v")).unwrap_err();
        assert!(matches!(taken, Error::RelationExists { .. }), "{taken}");
        for (name, created_at_ms) in [("gone", 1), ("t", 2)] {
            let unknown = state.apply(&rename(name, created_at_ms, "u")).unwrap_err();
            assert!(matches!(unknown, Error::UnknownRelation { .. }), "{unknown}");
        }
        assert_eq!(state, before);
        state.apply(&rename("t", 1, "u")).unwrap();
        assert!(!state.relations.contains_key(&key("t")));
        let expect = Relation {
            name: "u".to_string(),
            ..old
        };
        assert_eq!(state.relations[&key("u")].as_ref(), &expect);
    }

    #[test]
    fn shards_move_without_a_new_version_and_those_that_are_gone_are_passed_over() {
        let mut state = with_table(&["a", "b"]);
        let place = |shard: &str| ShardPlaces {
            shard: shard.to_string(),
            holders: ["x:1", "y:1"].map(String::from).to_vec(),
            snapshot: "w/a".to_string(),
        };
        let placed = |table_id: &str| Change {
            kind: Some(ChangeKind::PlaceShards(PlaceShards {
                schema: "public".to_string(),
                name: "t".to_string(),
                table_id: table_id.to_string(),
                places: vec![place("a"), place("gone")],
            })),
        };
        state.apply(&placed("first")).unwrap();
        assert_eq!(shards_of(&state), (1, ["a", "b"].map(String::from).to_vec()));
        let relation = &state.relations[&("public".to_string(), "t".to_string())];
        let Some(RelationKind::Memory(table)) = &relation.kind else {
            panic!("t is no table in memory");
        };
        let moved = &table.shards[0];
        assert_eq!(
            (moved.holder.as_str(), moved.replicas.as_slice()),
            ("x:1", ["y:1".to_string()].as_slice())
        );
        assert_eq!(table.shards[1], shard("b"));
        let replaced = state.apply(&placed("second")).unwrap_err();
        assert!(matches!(replaced, Error::UnknownRelation { .. }), "{replaced}");
    }

    #[test]
    fn a_snapshot_that_contradicts_itself_is_damaged() {
        let mut snapshot = CatalogState::default().to_snapshot();
        snapshot.relations.push(view("nowhere", "v", "select 1"));
        let error = CatalogState::from_snapshot("catalog/snapshot/v1", &snapshot).unwrap_err();
        assert!(
            matches!(&error, Error::Damaged { object, .. } if object == "catalog/snapshot/v1"),
            "{error}"
        );
    }
}
