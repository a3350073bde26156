//! The writer's side of a live shard.
//!
//! A batch of changes is applied in one go, and is a segment then. Where changes have versions, those that are too old are
//! found first ([`versioned`]); then segments are put in order ([`compact`]).

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

mod compact;
mod expire;
mod merge;
mod versioned;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::row::{Row, Rows};
use datafusion::error::{DataFusionError, Result};
use parking_lot::RwLock;

use self::merge::Merge;
use self::versioned::Verdict;
use super::graves::Graves;
use super::index::KeyIndex;
use super::keys::Keys;
use super::row_ids::{RowId, RowIds};
use super::segment::{Dead, Marks, Prepared, Segment};
use super::segments::Segments;
use super::table::LiveTable;
use super::view::{Origin, View};
use crate::decode::{Changes, Kind};
use crate::error::Error;
use crate::shards::room::Claim;
use crate::shards::store::ShardStore;

/// Keys whose entries are fetched together, before their changes are applied.
const FETCHED_AHEAD: usize = 64;
/// Most rows of a segment that is made of others.
const SEGMENT_ROWS: usize = 65_536;

/// What became of a batch of changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Messages that need a row that is not here. Of those that change a key, nothing was applied.
    pub refused: Vec<Refused>,
    /// Deletes of keys that were not there.
    pub deletes_of_nothing: usize,
    /// Messages with a change that was older than what is there.
    pub stale: usize,
}

/// A message that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its number, as the changes have it.
    pub message: u32,
    /// The reason of its dead letter.
    pub reason: &'static str,
    /// What it needs.
    pub detail: String,
}

/// Why a batch of changes was not applied.
#[derive(Debug)]
pub enum Stalled {
    /// There is no memory for it now; nothing has changed, and it can be tried again.
    NoMemory(Error),
    /// The shard cannot be used any more.
    Broken(Error),
}

impl Refused {
    fn without_old_key(message: u32) -> Self {
        Self {
            message,
            reason: "key_change_across_partitions",
            detail: "the old key of its change is not in this topic partition".to_string(),
        }
    }

    fn without_row(message: u32, column: &str) -> Self {
        Self {
            message,
            reason: "unknown_row",
            detail: format!(
                "there is no row with its key, and it brings nothing for '{column}', which is NOT NULL"
            ),
        }
    }
}

impl From<DataFusionError> for Stalled {
    fn from(error: DataFusionError) -> Self {
        Self::Broken(Error::from_datafusion(error))
    }
}

impl From<datafusion::arrow::error::ArrowError> for Stalled {
    fn from(error: datafusion::arrow::error::ArrowError) -> Self {
        DataFusionError::from(error).into()
    }
}

/// See the module.
pub struct LiveShard {
    store: Arc<ShardStore>,
    pub(super) table: LiveTable,
    /// Of a table with a key.
    pub(super) keys: Option<Keys>,
    /// Column of the version of a row.
    version: Option<usize>,
    /// Of a table whose changes have versions.
    pub(super) graves: Option<Graves>,
    index_claim: Claim,
    pub(super) segments: Segments,
    pub(super) next_segment: u32,
    /// Number of the next row.
    next_row: u64,
    /// As [`SEGMENT_ROWS`], but for tests.
    segment_rows: usize,
    origin: Origin,
    view: Arc<RwLock<Arc<View>>>,
}

impl fmt::Debug for LiveShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveShard")
            .field("table", &self.table.name)
            .field("segments", &self.segments.len())
            .finish_non_exhaustive()
    }
}

impl LiveShard {
    /// A shard without rows, at a position.
    ///
    /// # Errors
    /// A type that cannot be part of a key.
    pub fn new(store: Arc<ShardStore>, table: LiveTable, position: u64) -> Result<Self> {
        let graves = table
            .version
            .map(|version| Graves::new(store.clone(), &table, version));
        let version = table.version.map(|version| version.place);
        Ok(Self {
            graves: graves.transpose()?,
            ..Self::with_versions(store, table, version, position)?
        })
    }

    /// A shard that knows the versions of its rows, and has nothing to do with them.
    pub(super) fn with_versions(
        store: Arc<ShardStore>,
        table: LiveTable,
        version: Option<usize>,
        position: u64,
    ) -> Result<Self> {
        let origin = Origin::next();
        let view = View::new(origin, table.schema.clone(), Vec::new(), Vec::new(), position);
        let has_key = !table.key.is_empty();
        Ok(Self {
            keys: has_key
                .then(|| Keys::new(&table.key, &table.schema))
                .transpose()?,
            version,
            graves: None,
            index_claim: store.live_room().claim(&table.name),
            store,
            table,
            segments: Segments::default(),
            next_segment: 0,
            next_row: 0,
            segment_rows: SEGMENT_ROWS,
            origin,
            view: Arc::new(RwLock::new(Arc::new(view))),
        })
    }

    /// Where readers find the last view that was published.
    pub fn views(&self) -> Arc<RwLock<Arc<View>>> {
        self.view.clone()
    }

    /// Bytes of memory that its rows and its index claim.
    pub fn bytes(&self) -> usize {
        let graves = self.graves.as_ref().map_or(0, |graves| graves.shard.bytes());
        self.segments.iter().map(Segment::bytes).sum::<usize>() + self.index_claim.bytes() + graves
    }

    /// Other columns, other times after which rows and graves go, and another size. The columns of the key and of the
    /// version are the same. Readers see it when [`LiveShard::publish`] is called.
    ///
    /// # Errors
    /// No memory for the columns; values that have no place in them.
    pub fn set_table(&mut self, table: LiveTable) -> std::result::Result<(), Stalled> {
        if table.schema != self.table.schema {
            self.set_columns(&table)?;
        }
        if let (Some(graves), Some(version)) = (&mut self.graves, table.version) {
            graves.set_tombstones(version.tombstones);
        }
        let time = table.expiry.map(|expiry| expiry.place);
        let mut segments = self.segments.to_vec();
        segments.iter_mut().for_each(|segment| segment.set_time(time));
        self.segments.set(segments);
        self.table.expiry = table.expiry;
        self.table.bytes_max = table.bytes_max;
        Ok(())
    }

    fn set_columns(&mut self, table: &LiveTable) -> std::result::Result<(), Stalled> {
        let mut segments = self.segments.to_vec();
        for segment in &mut segments {
            let grow = |claim: &Claim, bytes| self.grow(claim, bytes).map_err(Stalled::NoMemory);
            segment.fit(&self.table.schema, &table.schema, grow)?;
        }
        self.segments.set(segments);
        self.version = table.version.map(|version| version.place);
        self.table.version = table.version;
        self.table.schema = table.schema.clone();
        self.table.required.clone_from(&table.required);
        Ok(())
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.table.schema
    }

    /// Version of the row with a key, if there is one.
    pub(super) fn version_of(&self, key: &[u8]) -> Option<i64> {
        self.version_at(&self.keys.as_ref()?.index, key)
    }

    fn version_at(&self, index: &KeyIndex, key: &[u8]) -> Option<i64> {
        let (segment, row) = self.segments.find(index.get(key)?)?;
        self.segments[segment].version(row)
    }

    /// Applies changes in their order. Readers see them when [`LiveShard::publish`] is called.
    ///
    /// # Errors
    /// No memory, in which case nothing has changed.
    pub fn apply(&mut self, changes: &Changes) -> std::result::Result<Applied, Stalled> {
        if changes.rows.num_rows() == 0 {
            return Ok(Applied::default());
        }
        let prepared = self.prepare(&changes.rows)?;
        let claim = self.claim(prepared.bytes()).map_err(Stalled::NoMemory)?;
        let applied = match self.keys.take() {
            None => {
                self.add(prepared, Dead::none(changes.rows.num_rows()), claim);
                Applied::default()
            }
            Some(mut keys) => {
                let applied = self.apply_keyed(&mut keys, changes, prepared, claim);
                self.keys = Some(keys);
                applied?
            }
        };
        self.segments.retain(|segment| segment.live_rows() > 0);
        self.compact()?;
        Ok(applied)
    }

    /// Makes everything applied so far visible, which is the topic partition up to `position`.
    pub fn publish(&self, position: u64) {
        let graves = self.graves.as_ref().map(|graves| graves.segments().to_vec());
        let view = View::new(
            self.origin,
            self.table.schema.clone(),
            self.segments.to_vec(),
            graves.unwrap_or_default(),
            position,
        );
        *self.view.write() = Arc::new(view);
    }

    /// Segments that stay as they are for long are worth packing.
    fn is_full(&self, rows: usize) -> bool {
        2 * rows >= self.segment_rows
    }

    pub(super) fn prepare(&self, rows: &RecordBatch) -> Result<Prepared> {
        Prepared::new(rows, self.is_full(rows.num_rows()), self.marks())
    }

    fn marks(&self) -> Marks {
        Marks {
            version: self.version,
            time: self.table.expiry.map(|expiry| expiry.place),
        }
    }

    /// Memory for so many bytes.
    pub(super) fn claim(&self, bytes: usize) -> std::result::Result<Claim, Error> {
        let claim = self.store.live_room().claim(&self.table.name);
        self.grow(&claim, bytes)?;
        Ok(claim)
    }

    pub(super) fn claim_index(
        &self,
        keys: &Keys,
        more: usize,
        key_bytes: usize,
    ) -> std::result::Result<(), Error> {
        let wanted = keys.index.bytes() + KeyIndex::bytes_for(more, key_bytes);
        match wanted.saturating_sub(self.index_claim.bytes()) {
            0 => Ok(()),
            missing => self.grow(&self.index_claim, missing),
        }
    }

    fn grow(&self, claim: &Claim, bytes: usize) -> std::result::Result<(), Error> {
        let refused = |refusal| self.store.live_full(&self.table.name, bytes, refusal);
        let claimed = self.store.claim(claim, bytes);
        let claimed = claimed.and_then(|refusal| refusal.map_or(Ok(()), |refusal| Err(refused(refusal))));
        claimed.map_err(Error::from_datafusion)
    }

    fn add(&mut self, prepared: Prepared, dead: Dead, claim: Claim) {
        let rows = prepared.rows();
        let ids = RowIds::contiguous(self.new_ids(rows), rows);
        self.segments
            .push(prepared.segment(self.next_segment, ids, dead, claim));
        self.next_segment += 1;
    }

    /// Numbers for so many rows, of which this is the first.
    pub(super) fn new_ids(&mut self, rows: usize) -> u64 {
        let first = self.next_row;
        self.next_row += rows as u64;
        first
    }

    fn apply_keyed(
        &mut self,
        keys: &mut Keys,
        changes: &Changes,
        mut prepared: Prepared,
        claim: Claim,
    ) -> std::result::Result<Applied, Stalled> {
        let rows = changes.rows.num_rows();
        let row_keys = keys.of(&changes.rows)?;
        self.claim_index(keys, rows, row_keys.size())
            .map_err(Stalled::NoMemory)?;
        let verdict = self.heed_versions(keys, changes, &row_keys, prepared.versions())?;
        let mut applied = Applied::default();
        let mut stale_message = None;
        let mut dead = Dead::none(rows);
        let mut merges = Vec::new();
        // Where the row was whose key the next change of its message makes another.
        let mut renamed = None;
        // Up to there no message is to be looked at as a whole.
        let mut looked_at = 0;
        for (row, (kind, message)) in changes.kinds.iter().zip(&changes.messages).enumerate() {
            let before = renamed.take();
            if row % FETCHED_AHEAD == 0 {
                let ahead = row..rows.min(row + FETCHED_AHEAD);
                keys.index.fetch(ahead.map(|row| row_keys.row(row)));
            }
            if row >= looked_at {
                let run = row..row + rows_of(&changes.messages[row..]);
                looked_at = run.end;
                applied
                    .refused
                    .extend(self.refusal(keys, changes, &row_keys, run, &verdict.is_stale));
            }
            if applied
                .refused
                .last()
                .is_some_and(|last| last.message == *message)
            {
                dead.kill(row);
                continue;
            }
            if verdict.is_stale.get(row) == Some(&true) {
                dead.kill(row);
                applied.stale += usize::from(stale_message.replace(message) != Some(message));
                continue;
            }
            let key = row_keys.row(row);
            let key: &[u8] = key.as_ref();
            let here = RowId(self.next_row + row as u64);
            match kind {
                Kind::Put => {
                    let old = keys.index.put(key, here);
                    self.kill(old, &mut dead);
                }
                Kind::Merge(_) => {
                    let old = keys.index.put(key, here);
                    merges.push(Merge {
                        row,
                        old: before.or(old),
                    });
                    self.kill(old, &mut dead);
                }
                Kind::Delete => {
                    let old = keys.index.remove(key);
                    applied.deletes_of_nothing += usize::from(old.is_none());
                    self.kill(old, &mut dead);
                    dead.kill(row);
                }
                Kind::Rekey => {
                    let old = keys.index.remove(key);
                    renamed = old;
                    self.kill(old, &mut dead);
                    dead.kill(row);
                }
                Kind::Truncate => {
                    keys.clear();
                    self.index_claim = self.store.live_room().claim(&self.table.name);
                    self.segments.clear();
                    (0..=row).for_each(|row| dead.kill(row));
                }
            }
        }
        if !merges.is_empty() {
            let merged = self.merged(&changes.rows, &changes.kinds, &merges)?;
            prepared = self.prepare(&merged)?;
        }
        self.add(prepared, dead, claim);
        Ok(applied)
    }

    /// Why a message is of no use, if one of its changes is: then none of them is applied.
    fn refusal(
        &self,
        keys: &Keys,
        changes: &Changes,
        row_keys: &Rows,
        run: Range<usize>,
        is_stale: &[bool],
    ) -> Option<Refused> {
        let needs_row = |row: usize| matches!(changes.kinds[row], Kind::Merge(_) | Kind::Rekey);
        if !run.clone().any(needs_row) {
            return None;
        }
        let message = changes.messages[run.start];
        let has_others = run.len() > 1;
        // What changes of the message before have made of its keys.
        let mut changed: HashMap<Row<'_>, bool> = HashMap::new();
        let mut is_renamed = false;
        for row in run {
            let was_renamed = std::mem::take(&mut is_renamed);
            if is_stale.get(row) == Some(&true) {
                continue;
            }
            let key = row_keys.row(row);
            let known = changed.get(&key).copied();
            let is_there = || known.unwrap_or_else(|| keys.index.get(key.as_ref()).is_some());
            match &changes.kinds[row] {
                Kind::Merge(given) => {
                    if !was_renamed
                        && let Some(column) = self.left_out(given)
                        && !is_there()
                    {
                        return Some(Refused::without_row(message, column));
                    }
                }
                Kind::Rekey if !is_there() => return Some(Refused::without_old_key(message)),
                Kind::Rekey => is_renamed = true,
                Kind::Put | Kind::Delete | Kind::Truncate => {}
            }
            if has_others {
                changed.insert(key, matches!(changes.kinds[row], Kind::Put | Kind::Merge(_)));
            }
        }
        None
    }

    /// Decides which changes are too old, and digs the graves of the others.
    fn heed_versions(
        &mut self,
        keys: &Keys,
        changes: &Changes,
        row_keys: &Rows,
        versions: &[i64],
    ) -> std::result::Result<Verdict, Stalled> {
        let Some(mut graves) = self.graves.take() else {
            return Ok(Verdict::default());
        };
        let verdict = self.judge(&keys.index, &graves, changes, row_keys, versions);
        let buried = graves.bury(&changes.rows, &verdict.burials, verdict.emptied);
        self.graves = Some(graves);
        buried.map(|()| verdict)
    }

    /// A column that is NOT NULL and that a sparse change does not bring.
    fn left_out(&self, given: &[bool]) -> Option<&str> {
        let mut required = self.table.required.iter();
        let missing = required.find(|column| given.get(**column) == Some(&false))?;
        Some(self.table.schema.field(*missing).name())
    }

    /// A row is there no more. `new` are those of the batch that is applied.
    fn kill(&mut self, id: Option<RowId>, new: &mut Dead) {
        let Some(id) = id else { return };
        match self.in_batch(id) {
            Some(row) => new.kill(row),
            None => self.segments.kill(id),
        }
    }

    /// Which row of the batch that is applied has a number, if one of them has.
    fn in_batch(&self, id: RowId) -> Option<usize> {
        id.0.checked_sub(self.next_row).map(|row| row as usize)
    }
}

/// How many of the first changes are of one message.
fn rows_of(messages: &[u32]) -> usize {
    messages
        .iter()
        .take_while(|message| **message == messages[0])
        .count()
}

#[cfg(test)]
mod tests;
