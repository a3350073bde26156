//! Which changes of a batch are too old, where changes have versions.
//!
//! A row gives way to a change of the same version or a newer one, a grave only to a newer one. A delete without a version is
//! meant for the row that is there. It is decided for the whole batch before anything changes, so that graves can be dug first:
//! that may fail for want of memory, and what comes after it does not.

use std::collections::HashMap;

use datafusion::arrow::row::Rows;

use super::LiveShard;
use crate::decode::{Changes, Kind};
use crate::shards::live::graves::{Burial, Graves};
use crate::shards::live::index::KeyIndex;
use crate::shards::live::moment::NO_VERSION;

/// The verdict on a batch.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// True for each row that is too old.
    pub(super) is_stale: Vec<bool>,
    pub(super) burials: Vec<Burial>,
    /// True if the table was emptied on the way.
    pub(super) emptied: bool,
}

/// A key in the course of a batch.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// Version of its row, if there is one.
    row: Option<i64>,
    /// Version of its grave, if there is one.
    grave: Option<i64>,
    /// The last change of the grave is by this row.
    buried_by: Option<usize>,
}

impl Known {
    /// Puts a row, unless it is too old.
    fn put(&mut self, version: i64, row: usize) -> bool {
        let is_admitted = match (self.row, self.grave) {
            (Some(there), _) => version >= there,
            (None, Some(grave)) => version > grave,
            (None, None) => true,
        };
        if is_admitted {
            self.row = Some(version);
            if self.grave.take().is_some() {
                self.buried_by = Some(row);
            }
        }
        is_admitted
    }

    /// Deletes the row, unless the delete is too old.
    fn delete(&mut self, version: i64, row: usize) -> bool {
        let is_late = version != NO_VERSION && self.row.is_some_and(|there| version < there);
        if is_late {
            return false;
        }
        let newest = self.row.into_iter().chain(self.grave).fold(version, i64::max);
        self.row = None;
        if newest != NO_VERSION && self.grave != Some(newest) {
            self.grave = Some(newest);
            self.buried_by = Some(row);
        }
        true
    }
}

impl LiveShard {
    /// Judges a batch; `versions` and `keys` are those of its rows.
    pub(super) fn judge(
        &self,
        index: &KeyIndex,
        graves: &Graves,
        changes: &Changes,
        keys: &Rows,
        versions: &[i64],
    ) -> Verdict {
        let mut verdict = Verdict::default();
        let mut known: HashMap<&[u8], Known> = HashMap::new();
        // A message whose first row was too old, or will be refused: nothing of it happens.
        let mut stale_message = None;
        let mut refused_message = None;
        // Version of the row whose key the next change of its message makes another.
        let mut moved = None;
        // Keys as they were before the message.
        let mut before: Vec<(&[u8], Known)> = Vec::new();
        let mut current = None;
        for (row, (kind, message)) in changes.kinds.iter().zip(&changes.messages).enumerate() {
            let moved_version = moved.take();
            if current.replace(message) != Some(message) {
                before.clear();
            }
            let is_stale = if stale_message == Some(message) {
                true
            } else if refused_message == Some(message) {
                false
            } else if *kind == Kind::Truncate {
                known.clear();
                verdict.emptied = true;
                false
            } else {
                let emptied = verdict.emptied;
                let data = keys.row(row).data();
                let key = known.entry(data).or_insert_with_key(|key| Known {
                    row: (!emptied).then(|| self.version_at(index, key)).flatten(),
                    grave: (!emptied).then(|| graves.version(key)).flatten(),
                    buried_by: None,
                });
                before.push((data, *key));
                match kind {
                    Kind::Merge(given)
                        if moved_version.is_none() && key.row.is_none() && self.left_out(given).is_some() =>
                    {
                        let is_stale = match key.grave {
                            Some(grave) => !self.gives_version(given) || versions[row] <= grave,
                            None => false,
                        };
                        refused_message = (!is_stale).then_some(message);
                        is_stale
                    }
                    Kind::Merge(given) if !self.gives_version(given) => {
                        match (moved_version, key.row, key.grave) {
                            (Some(version), ..) => !key.put(version, row),
                            (None, None, Some(_)) => true,
                            (None, there, _) => !key.put(there.unwrap_or(NO_VERSION), row),
                        }
                    }
                    Kind::Put | Kind::Merge(_) => !key.put(versions[row], row),
                    Kind::Rekey if key.row.is_none() && key.grave.is_none() => {
                        refused_message = Some(message);
                        false
                    }
                    Kind::Rekey => {
                        let version = versions.get(row + 1).copied().unwrap_or(NO_VERSION);
                        let there = key.row;
                        let is_stale = there.is_none() || !key.delete(version, row);
                        moved = there.filter(|_| !is_stale);
                        stale_message = is_stale.then_some(message);
                        is_stale
                    }
                    Kind::Delete | Kind::Truncate => !key.delete(versions[row], row),
                }
            };
            verdict.is_stale.push(is_stale);
            if refused_message == Some(message) {
                known.extend(before.drain(..).rev());
            }
        }
        let buried = known.into_values().filter_map(|key| {
            let row = key.buried_by?;
            Some(Burial {
                row,
                version: key.grave,
            })
        });
        verdict.burials.extend(buried);
        verdict.burials.sort_by_key(|burial| burial.row);
        verdict
    }

    /// True if a sparse change brings a version.
    fn gives_version(&self, given: &[bool]) -> bool {
        let place = self.version.and_then(|place| given.get(place));
        place.copied().unwrap_or(true)
    }
}
