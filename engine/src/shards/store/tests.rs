//! Room for shards: what is counted, what goes to disk and in which order, and what happens when nothing can.

use std::fs;
use std::io::{self, Write};

use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray, new_null_array};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::arrow::ipc::reader::FileReader;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::physical_plan::metrics::Count;
use tempfile::TempDir;

use super::*;
use crate::shards::{Deleted, ShardRead, StorageLevel, write_ipc};

const MIB: usize = 1 << 20;
/// Rows of [`numbers`] that take a little more than 8 bytes each.
const ROWS: i64 = 10_000;

/// Numbers that do not pack.
fn numbers(count: i64) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let numbers = (0..count).map(|number| number << 40);
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(numbers))]).unwrap()
}

fn store(limit: usize) -> ShardStore {
    ShardStore::new(Arc::new(GreedyMemoryPool::new(limit)), limit)
}

/// A store with room for three shards of [`ROWS`].
fn store_on_disk() -> (ShardStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = store(270_000).with_folder(folder.path().to_path_buf());
    (store, folder)
}

fn filled(store: &ShardStore, level: StorageLevel, batch: RecordBatch) -> Result<Arc<Shard>> {
    let mut writer = store.start("t", "w", batch.schema()).with_level(level);
    writer.push(batch)?;
    Ok(writer.finish()?.unwrap())
}

fn written(store: &ShardStore) -> ShardId {
    filled(store, StorageLevel::MemoryAndDisk, numbers(ROWS))
        .unwrap()
        .id()
}

fn on_disk(store: &ShardStore) -> Vec<ShardId> {
    let stored = store.list().into_iter();
    stored
        .filter(|shard| shard.disk_bytes > 0)
        .map(|shard| shard.id)
        .collect()
}

fn files(folder: &TempDir) -> usize {
    fs::read_dir(folder.path()).unwrap().count()
}

fn rows_of(shard: &Shard) -> RecordBatch {
    let batches: Vec<RecordBatch> = shard.decoded().map(Result::unwrap).collect();
    concat_batches(shard.schema(), &batches).unwrap()
}

#[test]
fn a_shard_holds_its_rows_and_counts_their_bytes() {
    let store = store(MIB);
    let mut writer = store.start("t", "w", numbers(0).schema());
    // A slice of a large batch must not keep the large one.
    for start in (0..1000).step_by(10) {
        writer.push(numbers(50_000).slice(start, 10)).unwrap();
    }
    let shard = writer.finish().unwrap().unwrap();
    assert_eq!(shard.rows(), 1000);
    assert!((8_000..9_000).contains(&shard.bytes()), "{}", shard.bytes());
    assert_eq!(store.bytes(), shard.bytes());
    assert_eq!(store.read(shard.id()).unwrap().rows(), 1000);
    assert_eq!(store.list()[0].hits, 1);
}

#[test]
fn memory_is_free_when_the_last_reader_is_done() {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(MIB));
    let store = ShardStore::new(pool.clone(), MIB);
    let shard = filled(&store, StorageLevel::Memory, numbers(1000)).unwrap();
    let reader = store.read(shard.id()).unwrap();
    assert_eq!(store.drop_shards([shard.id(), ShardId::random()]), 1);
    assert_eq!(store.bytes(), 0);
    drop(shard);
    assert!(pool.reserved() > 0);
    assert_eq!(reader.rows(), 1000);
    drop(reader);
    assert_eq!(pool.reserved(), 0);
}

#[test]
fn a_full_store_names_table_and_remedy_and_keeps_nothing() {
    let (store, folder) = store_on_disk();
    let write = |rows| filled(&store, StorageLevel::Memory, numbers(rows));
    write(ROWS).unwrap();
    let used = store.bytes();
    let error = Error::from_datafusion(write(5 * ROWS).unwrap_err());
    assert_eq!(error.code, Code::MEMORY_LIMIT);
    for part in ["table t", "executor.storage_limit", "storage_level"] {
        assert!(error.user_text().contains(part), "{}", error.user_text());
    }
    assert_eq!((store.list().len(), store.bytes(), files(&folder)), (1, used, 0));
    assert_eq!(store.spilled(), 0);
}

#[test]
fn nothing_is_stored_of_no_rows() {
    let store = store(MIB);
    let writer = store.start("t", "w", numbers(0).schema());
    assert!(writer.finish().unwrap().is_none());
    assert_eq!(store.bytes(), 0);
}

#[test]
fn shards_that_were_not_read_for_longest_go_to_disk() {
    let (store, folder) = store_on_disk();
    let [first, second, third] = [(); 3].map(|()| written(&store));
    assert!(on_disk(&store).is_empty());
    store.read(first).unwrap();
    let fourth = written(&store);
    assert_eq!(on_disk(&store), [second]);
    store.read(third).unwrap();
    written(&store);
    let mut moved = on_disk(&store);
    moved.sort();
    let mut expected = [first, second];
    expected.sort();
    assert_eq!(moved, expected);
    assert_eq!((store.spilled(), files(&folder)), (2, 2));
    assert!(store.bytes() <= store.limit_bytes() && store.disk_bytes() > 2 * 8 * ROWS as usize);
    assert_eq!(rows_of(&store.read(fourth).unwrap()), numbers(ROWS));
    assert_eq!(rows_of(&store.read(second).unwrap()), numbers(ROWS));
}

#[test]
fn a_reader_keeps_a_shard_that_goes_to_disk() {
    let (store, _folder) = store_on_disk();
    let id = written(&store);
    // A pool that others use too: what readers hold is still taken from it.
    let reader = store.read(id).unwrap();
    let bytes = reader.bytes();
    let moved = store.spill_one().unwrap();
    assert!(moved && reader.bytes() == bytes && store.bytes() == 0);
    assert_eq!(rows_of(&reader), numbers(ROWS));
    let again = store.read(id).unwrap();
    assert_eq!((again.bytes(), again.rows()), (0, reader.rows()));
    assert_eq!(rows_of(&again), numbers(ROWS));
    assert_eq!(store.list()[0].hits, 2);
    assert!(!store.spill_one().unwrap());
}

#[test]
fn a_file_goes_with_the_last_reader_of_its_shard() {
    let (store, folder) = store_on_disk();
    let shard = filled(&store, StorageLevel::Disk, numbers(ROWS)).unwrap();
    assert_eq!((shard.bytes(), files(&folder), store.spilled()), (0, 1, 0));
    assert!(shard.disk_bytes() > 8 * ROWS as usize);
    assert_eq!(store.list()[0].disk_bytes, shard.disk_bytes());
    store.drop_shards([shard.id()]);
    assert_eq!((files(&folder), rows_of(&shard)), (1, numbers(ROWS)));
    drop(shard);
    assert_eq!(files(&folder), 0);
}

#[test]
fn a_writer_that_is_given_up_leaves_no_file() {
    let (store, folder) = store_on_disk();
    let mut writer = store
        .start("t", "w", numbers(0).schema())
        .with_level(StorageLevel::Disk);
    writer.push(numbers(70_000)).unwrap();
    assert_eq!(files(&folder), 1);
    drop(writer);
    assert_eq!((files(&folder), store.list().len()), (0, 0));
}

#[test]
fn a_shard_that_is_larger_than_memory_goes_to_disk_while_it_is_written() {
    let (store, folder) = store_on_disk();
    let mut writer = store.start("t", "w", numbers(0).schema());
    for start in 0..8 {
        writer
            .push(numbers(160_000).slice(start * 20_000, 20_000))
            .unwrap();
    }
    let shard = writer.finish().unwrap().unwrap();
    assert_eq!((store.bytes(), files(&folder), store.spilled()), (0, 1, 1));
    assert_eq!(rows_of(&shard), numbers(160_000));
}

#[test]
fn a_disk_that_cannot_be_written_fails_the_writer_and_leaves_the_shards() {
    let (store, folder) = store_on_disk();
    let [first, ..] = [(); 3].map(|()| written(&store));
    fs::remove_dir_all(folder.path()).unwrap();
    let error = filled(&store, StorageLevel::Memory, numbers(ROWS)).unwrap_err();
    assert!(error.to_string().contains("No such file"), "{error}");
    assert_eq!((store.list().len(), on_disk(&store).len()), (3, 0));
    assert_eq!(rows_of(&store.read(first).unwrap()), numbers(ROWS));
}

/// A file system with no space left.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_says_so() {
    let store = store(MIB);
    // One fails while rows are written, the other when the file is closed.
    for rows in [ROWS, 10] {
        let shard = filled(&store, StorageLevel::Memory, numbers(rows)).unwrap();
        let error = Error::from_datafusion(write_ipc(&shard, Full, None).unwrap_err());
        assert_eq!(error.code, Code::DISK_FULL);
    }
}

/// Rows of the types that are packed and those that files have no place for.
fn mixed(rows: usize) -> RecordBatch {
    let words = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let schema = Schema::new(vec![
        Field::new("n", DataType::Int64, true),
        Field::new("word", DataType::Utf8View, true),
        Field::new("text", DataType::Utf8View, true),
        Field::new("listed", words.clone(), true),
    ]);
    let texts = |different| -> ArrayRef {
        let of =
            move |row: usize| (!row.is_multiple_of(5)).then(|| format!("text number {}", row % different));
        Arc::new(StringViewArray::from_iter((0..rows).map(of)))
    };
    let numbers = (0..rows as i64).map(|row| (row % 3 > 0).then_some(row));
    let listed = cast(&texts(3), &words).unwrap();
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(Int64Array::from_iter(numbers)),
            texts(7),
            texts(1 << 30),
            listed,
        ],
    )
    .unwrap()
}

#[test]
fn rows_are_the_same_in_memory_and_on_disk() {
    let (store, folder) = (store(10 * MIB), tempfile::tempdir().unwrap());
    let store = store.with_folder(folder.path().to_path_buf());
    // Two batches, of which the second has other words.
    let rows = mixed(150_000);
    let mut writer = store.start("t", "w", rows.schema());
    for start in (0..150_000).step_by(7_500) {
        writer.push(rows.slice(start, 7_500)).unwrap();
    }
    let in_memory = writer.finish().unwrap().unwrap();
    let moved = in_memory.on_disk(folder.path()).unwrap();
    assert_eq!((moved.bytes(), moved.schema()), (0, in_memory.schema()));
    assert_eq!(rows_of(&in_memory), rows);
    assert_eq!(rows_of(&moved), rows);
}

#[test]
fn scans_of_files_skip_batches_and_copy_what_they_answer() {
    let (store, _folder) = store_on_disk();
    let batch = numbers(200_000);
    let mut writer = store
        .start("t", "w", batch.schema())
        .with_level(StorageLevel::Disk);
    for start in (0..200_000).step_by(8_000) {
        writer.push(batch.slice(start, 8_000)).unwrap();
    }
    let shard = writer.finish().unwrap().unwrap();
    let read = ShardRead {
        range: 199_990..usize::MAX,
        columns: vec![0],
        predicate: None,
        limit: Some(5),
        deleted: Deleted::default(),
    };
    let rows: Vec<RecordBatch> = read.rows(shard, &Count::new()).map(Result::unwrap).collect();
    let [rows] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    let column = rows.column(0).as_primitive::<Int64Type>();
    assert_eq!(column.value(0), 199_990 << 40);
    assert_eq!(rows.num_rows(), 5);
    assert!(rows.get_array_memory_size() < 1_000);
}

#[test]
fn rows_that_files_have_no_place_for_stay_in_memory() {
    let (store, folder) = store_on_disk();
    let words = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let nested = DataType::Struct(vec![Field::new("word", words, true)].into());
    let schema = Arc::new(Schema::new(vec![Field::new("nested", nested.clone(), true)]));
    let rows = RecordBatch::try_new(schema, vec![new_null_array(&nested, 10)]).unwrap();
    let shard = filled(&store, StorageLevel::MemoryAndDisk, rows.clone()).unwrap();
    assert!(!store.spill_one().unwrap());
    assert_eq!(rows_of(&shard), rows);
    let error = filled(&store, StorageLevel::Disk, rows).unwrap_err();
    assert_eq!(Error::from_datafusion(error).code, Code::NOT_SUPPORTED);
    assert_eq!(files(&folder), 0);
}

#[test]
fn a_file_for_others_holds_the_rows() {
    let store = store(MIB);
    let shard = filled(&store, StorageLevel::Memory, numbers(ROWS)).unwrap();
    let mut bytes = Vec::new();
    write_ipc(&shard, &mut bytes, None).unwrap();
    let mut rows = FileReader::try_new(std::io::Cursor::new(bytes), None).unwrap();
    assert_eq!(rows.next().unwrap().unwrap(), numbers(ROWS));
    assert!(rows.next().is_none());
}
