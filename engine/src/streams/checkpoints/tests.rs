//! Checkpoints that are stored, damaged, fenced and restored, in a store in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use futures::TryStreamExt;
use millpond_proto::checkpoint::{Counts, StoredSums};
use millpond_proto::stream::DeadLetter;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::{CheckpointFolder, Failed, Restored, Saver, ToSave};
use crate::decode::{Changes, Kind};
use crate::shards::{LiveShard, LiveTable, ShardStore};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("text", DataType::Utf8, true),
    ]))
}

fn store() -> Arc<ShardStore> {
    Arc::new(ShardStore::new(
        Arc::new(UnboundedMemoryPool::default()),
        usize::MAX,
    ))
}

fn table() -> LiveTable {
    LiveTable {
        name: "t".to_string(),
        schema: schema(),
        required: Vec::new(),
        key: vec![0],
        version: None,
        expiry: None,
        bytes_max: None,
    }
}

fn shard() -> LiveShard {
    LiveShard::new(store(), table(), 0).unwrap()
}

/// Puts rows, and deletes those whose text is empty.
fn apply(shard: &mut LiveShard, rows: &[(i64, &str)], position: u64) {
    let id = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
    let text = StringArray::from_iter_values(rows.iter().map(|row| row.1));
    let kind = |row: &(i64, &str)| if row.1.is_empty() { Kind::Delete } else { Kind::Put };
    let changes = Changes {
        rows: RecordBatch::try_new(schema(), vec![Arc::new(id), Arc::new(text)]).unwrap(),
        kinds: rows.iter().map(kind).collect(),
        messages: (0..rows.len() as u32).collect(),
    };
    shard.apply(&changes).unwrap();
    shard.publish(position);
}

fn to_save(shard: &LiveShard, letters: Option<Vec<DeadLetter>>) -> ToSave {
    let view = shard.views().read().clone();
    ToSave {
        counts: Counts {
            read: view.position(),
            applied: view.position(),
            ..Default::default()
        },
        view,
        table: Arc::new(table()),
        last_message_ms: 5,
        newest_event_ms: Some(7),
        letters,
        sums: Vec::new(),
        topic_id: "topic".to_string(),
    }
}

fn back(restored: Restored) -> LiveShard {
    let position = restored.position.unwrap_or(0);
    LiveShard::restore(store(), table(), position, restored.segments).unwrap()
}

fn rows_of(shard: &LiveShard) -> BTreeMap<i64, String> {
    let view = shard.views().read().clone();
    let pinned = store().pin(&view, "w");
    let batches = pinned.decoded().collect::<Result<Vec<_>, _>>().unwrap();
    let pairs = batches.iter().flat_map(|batch| {
        let ids = batch.column(0).as_primitive::<Int64Type>().values().to_vec();
        let texts: Vec<String> = batch
            .column(1)
            .as_string::<i32>()
            .iter()
            .map(|text| text.unwrap().to_string())
            .collect();
        ids.into_iter().zip(texts)
    });
    pairs.collect()
}

struct Bench {
    objects: Arc<InMemory>,
    folder: CheckpointFolder,
}

impl Bench {
    fn new() -> Self {
        let objects = Arc::new(InMemory::new());
        let folder = CheckpointFolder::of_test(objects.clone());
        Self { objects, folder }
    }

    async fn restore(&self, epoch: u64) -> Result<(Restored, Saver), Failed> {
        self.folder
            .restore(epoch, &format!("process {epoch}"), &table())
            .await
    }

    async fn names(&self) -> Vec<String> {
        let files: Vec<_> = self.objects.list(None).try_collect().await.unwrap();
        let mut names: Vec<String> = files.iter().map(|file| file.location.to_string()).collect();
        names.sort();
        names
    }

    /// Changes a byte of the newest file of a kind.
    async fn damage(&self, kind: &str) {
        let newest = self
            .names()
            .await
            .into_iter()
            .rfind(|name| name.ends_with(kind))
            .unwrap();
        let path = Path::from(newest);
        let mut content = self
            .objects
            .get(&path)
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            .to_vec();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        self.objects.put(&path, content.into()).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_stored_comes_back_and_goes_on() {
    let bench = Bench::new();
    let (restored, mut saver) = bench.restore(1).await.unwrap();
    assert!(restored.position.is_none() && restored.segments.is_empty());
    let mut shard = shard();
    apply(&mut shard, &[(1, "a"), (2, "b"), (3, "c")], 3);
    let letter = DeadLetter {
        offset: 9,
        ..Default::default()
    };
    saver
        .save(to_save(&shard, Some(vec![letter.clone()])))
        .await
        .unwrap();
    apply(&mut shard, &[(2, "B"), (3, "")], 5);
    saver.save(to_save(&shard, None)).await.unwrap();

    let (restored, mut saver) = bench.restore(2).await.unwrap();
    assert_eq!((restored.position, restored.counts.read), (Some(5), 5));
    assert_eq!(restored.letters, [letter]);
    let mut again = back(restored);
    assert_eq!(rows_of(&again), rows_of(&shard));
    // Keys are known, so that changes find their rows.
    apply(&mut again, &[(1, ""), (2, "x"), (3, "y")], 8);
    saver.save(to_save(&again, None)).await.unwrap();
    let (restored, _) = bench.restore(3).await.unwrap();
    let rows = rows_of(&back(restored));
    assert_eq!(rows, BTreeMap::from([(2, "x".to_string()), (3, "y".to_string())]));
}

#[tokio::test]
async fn one_that_is_damaged_is_passed_over_for_the_one_before() {
    for kind in [".checkpoint", ".segment"] {
        let bench = Bench::new();
        let (_, mut saver) = bench.restore(1).await.unwrap();
        let mut shard = shard();
        apply(&mut shard, &[(1, "a")], 1);
        saver.save(to_save(&shard, None)).await.unwrap();
        let segments = bench.names().await;
        apply(&mut shard, &[(2, "b")], 2);
        saver.save(to_save(&shard, None)).await.unwrap();
        match kind {
            ".segment" => {
                // The one that only the second has.
                let new: Vec<_> = bench
                    .names()
                    .await
                    .into_iter()
                    .filter(|name| !segments.contains(name))
                    .collect();
                let new = new.iter().find(|name| name.ends_with(kind)).unwrap();
                bench.objects.delete(&Path::from(new.as_str())).await.unwrap();
            }
            _ => bench.damage(kind).await,
        }
        let (restored, mut saver) = bench.restore(2).await.unwrap();
        assert_eq!(
            (restored.position, restored.damaged.len()),
            (Some(1), 1),
            "{kind}"
        );
        // The one that was passed over does not come back.
        let again = back(restored);
        saver.save(to_save(&again, None)).await.unwrap();
        assert_eq!(bench.restore(3).await.unwrap().0.position, Some(1));
    }
}

#[tokio::test]
async fn sums_come_back_and_are_not_missed_when_they_are_damaged() {
    let bench = Bench::new();
    let (_, mut saver) = bench.restore(1).await.unwrap();
    let mut shard = shard();
    apply(&mut shard, &[(1, "a")], 1);
    let sums = vec![StoredSums {
        aggregate: b"plan".to_vec(),
        states: vec![vec![1, 2, 3]],
        updates: 4,
    }];
    let mut what = to_save(&shard, None);
    what.sums = sums.clone();
    saver.save(what).await.unwrap();
    assert_eq!(bench.restore(2).await.unwrap().0.sums, sums);
    bench.damage(".sums").await;
    let (restored, _) = bench.restore(3).await.unwrap();
    assert_eq!((restored.position, restored.damaged.len()), (Some(1), 0));
    assert!(restored.sums.is_empty());
}

#[tokio::test]
async fn when_all_are_damaged_everything_is_read_again() {
    let bench = Bench::new();
    let (_, mut saver) = bench.restore(1).await.unwrap();
    saver.save(to_save(&shard(), None)).await.unwrap();
    bench.damage(".checkpoint").await;
    let (restored, _) = bench.restore(2).await.unwrap();
    assert_eq!((restored.position, restored.damaged.len()), (None, 1));
}

#[tokio::test]
async fn an_owner_that_was_cut_off_changes_nothing() {
    let bench = Bench::new();
    let (_, mut old) = bench.restore(1).await.unwrap();
    let mut shard = shard();
    apply(&mut shard, &[(1, "a")], 1);
    old.save(to_save(&shard, None)).await.unwrap();
    let (_, mut new) = bench.restore(2).await.unwrap();
    // It does not know yet.
    apply(&mut shard, &[(1, "zombie")], 2);
    let fenced = old.save(to_save(&shard, None)).await;
    assert!(matches!(fenced, Err(Failed::Fenced(2))), "{fenced:?}");
    let (restored, _) = bench.restore(3).await.unwrap();
    assert_eq!(rows_of(&back(restored)), BTreeMap::from([(1, "a".to_string())]));
    let fenced = new.save(to_save(&shard, None)).await;
    assert!(matches!(fenced, Err(Failed::Fenced(3))), "{fenced:?}");
    for epoch in [1, 2] {
        assert!(matches!(bench.restore(epoch).await, Err(Failed::Fenced(3))));
    }
    // The same process may begin its epoch again, another one may not.
    assert!(bench.restore(3).await.is_ok());
    let other = bench.folder.restore(3, "other", &table()).await;
    assert!(matches!(other, Err(Failed::Fenced(3))));
}

#[tokio::test]
async fn what_is_not_needed_is_deleted() {
    let bench = Bench::new();
    let mut most = 0;
    let mut shard = shard();
    for epoch in 1..=3 {
        let (_, mut saver) = bench.restore(epoch).await.unwrap();
        for number in 0..20 {
            let position = epoch * 100 + number;
            apply(&mut shard, &[(number as i64, "text")], position);
            saver
                .save(to_save(&shard, Some(vec![DeadLetter::default()])))
                .await
                .unwrap();
            if number > 5 {
                most = most.max(bench.names().await.len());
            }
        }
        let (restored, _) = bench
            .restore(epoch)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(restored.position, Some(epoch * 100 + 19));
    }
    assert!(most < 40, "{most} files: {:?}", bench.names().await);
}
