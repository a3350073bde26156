//! Changes of tables that follow topics.

use std::sync::Arc;

use millpond_proto::catalog::{
    AlterTopic, KafkaTable, PauseTable, PlacePartitions, Relation, RelationKind, TopicBefore, TopicPartition,
};

use super::Error;
use super::catalog_state::CatalogState;

impl CatalogState {
    /// The tables that follow topics.
    pub(crate) fn kafka_tables(&self) -> impl Iterator<Item = (&Relation, &KafkaTable)> {
        self.relations
            .values()
            .filter_map(|relation| match &relation.kind {
                Some(RelationKind::Kafka(table)) => Some((relation.as_ref(), table)),
                _ => None,
            })
    }

    /// Gives topic partitions new owners, or writes down where they stand still. Those that a topic has got are the next ones.
    ///
    /// # Errors
    /// Another table under the name, and an epoch that is not later: somebody else has placed it meanwhile.
    pub(super) fn place_partitions(&mut self, placed: &PlacePartitions) -> Result<(), Error> {
        let conflict = || Error::WriteConflict {
            schema: placed.schema.clone(),
            name: placed.name.clone(),
        };
        self.change_topic(&placed.schema, &placed.name, &placed.table_id, |table| {
            let paused = table.paused;
            for new in &placed.partitions {
                let is_next = new.number as usize == table.partitions.len();
                if is_next && new.owner.is_none() && table.key.is_empty() {
                    table.partitions.push(new.clone());
                    continue;
                }
                let known = table
                    .partitions
                    .iter_mut()
                    .find(|known| known.number == new.number);
                let follows = |known: &TopicPartition| {
                    epoch_of(new) > epoch_of(known)
                        || new.owner == known.owner
                            && (new.standby != known.standby || paused && new.paused_at > known.paused_at)
                };
                let known = known.filter(|known| follows(known)).ok_or_else(conflict)?;
                known.owner.clone_from(&new.owner);
                known.standby.clone_from(&new.standby);
                // Who has placed it may not have known.
                known.paused_at = new.paused_at.or(known.paused_at).filter(|_| paused);
            }
            Ok(())
        })
    }

    /// Stops or goes on.
    ///
    /// # Errors
    /// Another table under the name.
    pub(super) fn pause_table(&mut self, pause: &PauseTable) -> Result<(), Error> {
        self.change_topic(&pause.schema, &pause.name, &pause.table_id, |table| {
            table.paused = pause.paused;
            for partition in &mut table.partitions {
                partition.paused_at = None;
            }
            Ok(())
        })
    }

    /// Gives a table other options and columns, and has it begin anew if that is asked for.
    ///
    /// # Errors
    /// Another table under the name, and one that was altered meanwhile.
    pub(super) fn alter_topic(&mut self, altered: &AlterTopic) -> Result<(), Error> {
        self.change_topic(&altered.schema, &altered.name, &altered.table_id, |table| {
            if altered
                .before
                .as_ref()
                .is_some_and(|before| !is_as(table, before))
            {
                return Err(Error::WriteConflict {
                    schema: altered.schema.clone(),
                    name: altered.name.clone(),
                });
            }
            table.settings.clone_from(&altered.settings);
            if !altered.arrow_schema.is_empty() {
                table.arrow_schema.clone_from(&altered.arrow_schema);
            }
            if let Some(restart) = &altered.restart {
                table.table_id.clone_from(&restart.table_id);
                table.partitions.clone_from(&restart.partitions);
            }
            Ok(())
        })
    }

    fn change_topic(
        &mut self,
        schema: &str,
        name: &str,
        table_id: &str,
        change: impl FnOnce(&mut KafkaTable) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let key = (schema.to_string(), name.to_string());
        let found = self
            .relations
            .get(&key)
            .and_then(|relation| match &relation.kind {
                Some(RelationKind::Kafka(table)) if table.table_id == table_id => {
                    Some((relation.as_ref().clone(), table.clone()))
                }
                _ => None,
            });
        let (relation, mut table) = found.ok_or_else(|| Error::UnknownRelation {
            schema: schema.to_string(),
            name: name.to_string(),
        })?;
        change(&mut table)?;
        let changed = Relation {
            kind: Some(RelationKind::Kafka(table)),
            ..relation
        };
        self.relations.insert(key, Arc::new(changed));
        Ok(())
    }
}

fn is_as(table: &KafkaTable, before: &TopicBefore) -> bool {
    table.settings == before.settings && table.arrow_schema == before.arrow_schema
}

fn epoch_of(partition: &TopicPartition) -> u64 {
    partition.owner.as_ref().map_or(0, |owner| owner.epoch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_proto::catalog::{Change, ChangeKind, PartitionOwner};

    fn owned(number: u32, address: &str, epoch: u64) -> TopicPartition {
        TopicPartition {
            number,
            start: 0,
            owner: Some(PartitionOwner {
                address: address.to_string(),
                instance: "i".to_string(),
                epoch,
            }),
            standby: None,
            paused_at: None,
            added: false,
        }
    }

    fn with_table() -> CatalogState {
        let mut state = CatalogState::default();
        let free = |number| TopicPartition {
            number,
            start: 7,
            owner: None,
            standby: None,
            paused_at: None,
            added: false,
        };
        let relation = Relation {
            schema: "public".to_string(),
            name: "t".to_string(),
            kind: Some(RelationKind::Kafka(KafkaTable {
                table_id: "id".to_string(),
                partitions: vec![free(0), free(1)],
                ..Default::default()
            })),
            ..Default::default()
        };
        apply(&mut state, ChangeKind::CreateRelation(relation)).unwrap();
        state
    }

    fn apply(state: &mut CatalogState, kind: ChangeKind) -> Result<(), Error> {
        state.apply(&Change { kind: Some(kind) })
    }

    fn place(state: &mut CatalogState, table_id: &str, partition: TopicPartition) -> Result<(), Error> {
        let placed = PlacePartitions {
            schema: "public".to_string(),
            name: "t".to_string(),
            table_id: table_id.to_string(),
            partitions: vec![partition],
        };
        apply(state, ChangeKind::PlacePartitions(placed))
    }

    fn pause(state: &mut CatalogState, paused: bool) {
        let pause = PauseTable {
            schema: "public".to_string(),
            name: "t".to_string(),
            table_id: "id".to_string(),
            paused,
        };
        apply(state, ChangeKind::PauseTable(pause)).unwrap();
    }

    fn table(state: &CatalogState) -> &KafkaTable {
        match &state.relations[&("public".to_string(), "t".to_string())].kind {
            Some(RelationKind::Kafka(table)) => table,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn owners_follow_each_other_by_epoch() {
        let mut state = with_table();
        place(&mut state, "id", owned(1, "a:1", 1)).unwrap();
        for late in [owned(1, "b:1", 1), owned(1, "b:1", 0), owned(2, "b:1", 1)] {
            let error = place(&mut state, "id", late).unwrap_err();
            assert!(matches!(error, Error::WriteConflict { .. }), "{error}");
        }
        assert!(place(&mut state, "other", owned(0, "b:1", 1)).is_err());
        place(&mut state, "id", owned(1, "b:1", 2)).unwrap();
        let partitions = &table(&state).partitions;
        assert_eq!(partitions[0].owner, None);
        assert_eq!(partitions[1].owner, owned(1, "b:1", 2).owner);
        assert_eq!(partitions[1].start, 7, "where it starts does not change");
    }

    #[test]
    fn tables_without_keys_get_more_topic_partitions() {
        let mut state = with_table();
        let new = |number| TopicPartition {
            number,
            ..TopicPartition::default()
        };
        assert!(place(&mut state, "id", new(3)).is_err(), "there is no number 2");
        place(&mut state, "id", new(2)).unwrap();
        assert!(place(&mut state, "id", new(2)).is_err(), "it is there");
        place(&mut state, "id", owned(2, "a:1", 1)).unwrap();
        let partitions = &table(&state).partitions;
        assert_eq!(partitions.len(), 3);
        assert_eq!(partitions[2].owner, owned(2, "a:1", 1).owner);
    }

    #[test]
    fn a_standby_comes_and_becomes_the_owner() {
        let mut state = with_table();
        place(&mut state, "id", owned(1, "a:1", 1)).unwrap();
        let moving = TopicPartition {
            standby: owned(1, "b:1", 2).owner,
            ..owned(1, "a:1", 1)
        };
        place(&mut state, "id", moving.clone()).unwrap();
        assert_eq!(table(&state).partitions[1].standby, moving.standby);
        assert!(place(&mut state, "id", moving).is_err(), "it says nothing new");
        place(&mut state, "id", owned(1, "b:1", 2)).unwrap();
        assert_eq!(table(&state).partitions[1].standby, None);
    }

    #[test]
    fn pause_and_resume() {
        let mut state = with_table();
        for paused in [true, false] {
            pause(&mut state, paused);
            assert_eq!(table(&state).paused, paused);
        }
    }

    #[test]
    fn a_paused_table_knows_where_it_stands_until_it_goes_on() {
        let mut state = with_table();
        let stands = |epoch, paused_at| TopicPartition {
            paused_at,
            ..owned(1, "a:1", epoch)
        };
        let stands_at = |state: &CatalogState| table(state).partitions[1].paused_at;
        place(&mut state, "id", stands(1, Some(5))).unwrap();
        assert_eq!(stands_at(&state), None, "it is not paused");
        pause(&mut state, true);
        place(&mut state, "id", stands(1, Some(7))).unwrap();
        assert!(
            place(&mut state, "id", stands(1, Some(7))).is_err(),
            "it says nothing new"
        );
        place(&mut state, "id", stands(2, None)).unwrap();
        assert_eq!(stands_at(&state), Some(7), "its next owner stands there too");
        pause(&mut state, false);
        assert_eq!(stands_at(&state), None);
        assert!(place(&mut state, "id", stands(2, Some(7))).is_err(), "it goes on");
    }

    #[test]
    fn of_two_that_alter_a_table_at_once_the_second_is_refused() {
        let mut state = with_table();
        let altered = |state: &CatalogState, key: &str| {
            let now = table(state);
            let mut settings = now.settings.clone();
            settings.insert(key.to_string(), "1".to_string());
            ChangeKind::AlterTopic(AlterTopic {
                schema: "public".to_string(),
                name: "t".to_string(),
                table_id: "id".to_string(),
                settings,
                before: Some(TopicBefore {
                    settings: now.settings.clone(),
                    arrow_schema: now.arrow_schema.clone(),
                }),
                ..Default::default()
            })
        };
        let (first, second) = (altered(&state, "a"), altered(&state, "b"));
        apply(&mut state, first).unwrap();
        let error = apply(&mut state, second).unwrap_err();
        assert!(matches!(error, Error::WriteConflict { .. }), "{error}");
        let again = altered(&state, "b");
        apply(&mut state, again).unwrap();
        assert_eq!(table(&state).settings.len(), 2);
    }
}
