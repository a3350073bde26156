//! What is to be applied of letters and of the messages behind them.

use std::collections::{BTreeSet, HashMap, HashSet};

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use millpond_engine::decode::{Changes, Decoder, Kind, Message, Outcome, Rejected};
use millpond_engine::error::{Code, Error};
use millpond_engine::streams::MetadataColumn;
use millpond_proto::stream::DeadLetter;
use rdkafka::message::BorrowedMessage;

use super::super::framed::Framed;
use super::super::pushed::Pushed;

/// Messages and bytes that are decoded before it is seen which of them matter.
const CHUNK_MESSAGES: usize = 65_536;
const CHUNK_BYTES: usize = 32 << 20;
/// Bytes of changes that are applied at once, in which time nothing else is.
const KEPT_BYTES_MAX: usize = 256 << 20;
/// Reason of a letter that cannot be replayed.
const TRUNCATE: &str = "truncate_too_late";

/// Letters that were decoded, and what is to be applied.
pub(in crate::streams) struct Tried {
    pub(in crate::streams) changes: Changes,
    /// The messages that they came from.
    pub(in crate::streams) pushed: Vec<Pushed>,
    /// Those of them that are letters, by their place.
    pub(in crate::streams) letters: HashMap<u32, DeadLetter>,
    /// Offsets of letters that are none any more.
    pub(in crate::streams) settled: BTreeSet<u64>,
    /// How many of them say nothing about rows.
    pub(in crate::streams) filtered: u64,
    /// Letters that still are, with their reasons now.
    pub(in crate::streams) dead: Vec<DeadLetter>,
}

/// See the module. Messages come in the order of their offsets.
pub(super) struct Gathered {
    decoder: Decoder,
    key: Vec<usize>,
    converter: Option<RowConverter>,
    /// Keys of the rows that matter.
    wanted: HashSet<OwnedRow>,
    /// Messages that are decoded, and those of them that are letters.
    chunk: Vec<(Pushed, Option<DeadLetter>)>,
    chunk_bytes: usize,
    kept: Kept,
    settled: BTreeSet<u64>,
    filtered: u64,
    dead: Vec<DeadLetter>,
}

/// Of the messages before the chunk those that matter.
#[derive(Default)]
struct Kept {
    rows: Vec<RecordBatch>,
    bytes: usize,
    kinds: Vec<Kind>,
    messages: Vec<u32>,
    pushed: Vec<Pushed>,
    letters: HashMap<u32, DeadLetter>,
}

impl Kept {
    /// Keeps the changes of a message. Those of one that was applied before stand each for itself: rows that some of them
    /// need may have gone since.
    fn keep(&mut self, kinds: &[Kind], pushed: &Pushed, letter: Option<DeadLetter>) {
        let place = self.pushed.len() as u32;
        if let Some(letter) = letter {
            self.kinds.extend_from_slice(kinds);
            self.messages.extend(kinds.iter().map(|_| place));
            self.pushed.push(pushed.clone());
            self.letters.insert(place, letter);
            return;
        }
        for (place, kind) in (place..).zip(kinds) {
            self.kinds.push(match kind {
                // Its old key is gone.
                Kind::Rekey => Kind::Delete,
                kind => kind.clone(),
            });
            self.messages.push(place);
            self.pushed.push(pushed.clone());
        }
    }
}

impl Gathered {
    /// Nothing yet, of a table with these columns.
    ///
    /// # Errors
    /// A key of a type that cannot be compared.
    pub(super) fn new(decoder: Decoder, key: &[usize], schema: &SchemaRef) -> Result<Self, Error> {
        let fields = key
            .iter()
            .map(|column| SortField::new(schema.field(*column).data_type().clone()));
        let converter = (!key.is_empty()).then(|| RowConverter::new(fields.collect()));
        Ok(Self {
            decoder,
            key: key.to_vec(),
            converter: converter.transpose().map_err(broken)?,
            wanted: HashSet::new(),
            chunk: Vec::new(),
            chunk_bytes: 0,
            kept: Kept::default(),
            settled: BTreeSet::new(),
            filtered: 0,
            dead: Vec::new(),
        })
    }

    /// Takes a letter. One that is still bad stays a letter.
    ///
    /// # Errors
    /// A schema that cannot be had now.
    pub(super) fn add_letter(&mut self, letter: DeadLetter) -> Result<(), Error> {
        let framed = Framed::of_letter(&letter, self.decoder.heeds_frames());
        let pushed = Pushed::of_letter(&letter);
        let outcome = self.decoder.push(framed.message());
        self.chunk_bytes += letter.value.as_ref().map_or(0, Vec::len);
        let offset = letter.offset;
        match outcome {
            Ok(Outcome::Rows(_) | Outcome::Doubtful(_)) => {
                self.settled.insert(offset);
                self.push(pushed, Some(letter))
            }
            Ok(Outcome::Skipped(_)) => {
                self.settled.insert(offset);
                self.filtered += 1;
                self.push(pushed, None)
            }
            Err(rejected) if rejected.reason().passes() => Err(away(&rejected)),
            Err(rejected) => {
                self.dead.push(DeadLetter {
                    reason: rejected.reason().name().to_string(),
                    detail: rejected.detail().to_string(),
                    ..letter
                });
                self.push(pushed, None)
            }
        }
    }

    /// Takes a message that was applied before, in a table with such columns about messages.
    ///
    /// # Errors
    /// A schema that cannot be had now; a message behind a letter that cannot be read any more.
    pub(super) fn add_message(
        &mut self,
        message: &BorrowedMessage<'_>,
        columns: &[MetadataColumn],
    ) -> Result<(), Error> {
        let framed = Framed::of(message, self.decoder.heeds_frames());
        self.add(Pushed::of(message, columns), framed.message())
    }

    fn add(&mut self, pushed: Pushed, message: Message<'_>) -> Result<(), Error> {
        let outcome = self.decoder.push(message);
        self.chunk_bytes += message.value.map_or(0, <[u8]>::len);
        match outcome {
            Err(rejected) if rejected.reason().passes() => Err(away(&rejected)),
            // It may be newer than a letter, and nobody knows of which row.
            Err(rejected) if !self.settled.is_empty() => Err(unreadable(pushed.offset, &rejected)),
            Ok(_) | Err(_) => self.push(pushed, None),
        }
    }

    fn push(&mut self, pushed: Pushed, letter: Option<DeadLetter>) -> Result<(), Error> {
        self.chunk.push((pushed, letter));
        match self.chunk.len() >= CHUNK_MESSAGES || self.chunk_bytes >= CHUNK_BYTES {
            true => self.close_chunk(),
            false => Ok(()),
        }
    }

    /// Everything that is to be applied.
    ///
    /// # Errors
    /// More than can be applied at once.
    pub(super) fn finish(mut self) -> Result<Tried, Error> {
        self.close_chunk()?;
        let Kept {
            rows,
            bytes: _,
            kinds,
            messages,
            pushed,
            letters,
        } = self.kept;
        let rows = match rows.first() {
            Some(first) => concat_batches(&first.schema(), &rows).map_err(broken)?,
            None => self.decoder.take().map_err(broken)?.rows,
        };
        Ok(Tried {
            changes: Changes {
                rows,
                kinds,
                messages,
            },
            pushed,
            letters,
            settled: self.settled,
            filtered: self.filtered,
            dead: self.dead,
        })
    }

    /// Keeps what matters of the messages that are decoded.
    fn close_chunk(&mut self) -> Result<(), Error> {
        self.keep_chunk().map_err(broken)?;
        match self.kept.bytes > KEPT_BYTES_MAX {
            true => Err(too_many(self.kept.letters.len())),
            false => Ok(()),
        }
    }

    fn keep_chunk(&mut self) -> Result<(), ArrowError> {
        let changes = self.decoder.take()?;
        let mut chunk = std::mem::take(&mut self.chunk);
        self.chunk_bytes = 0;
        let keys = self.keys(&changes.rows)?;
        let mut rows = Vec::new();
        for run in runs(&changes.messages) {
            let (pushed, letter) = &mut chunk[changes.messages[run.start] as usize];
            let truncates = changes.kinds[run.clone()].contains(&Kind::Truncate);
            let keys = keys.get(run.clone()).unwrap_or_default();
            match letter {
                None if truncates => {
                    // Nothing of what was before it is left.
                    rows.clear();
                    self.kept = Kept::default();
                    self.wanted.clear();
                    continue;
                }
                Some(letter) if truncates => {
                    self.settled.remove(&letter.offset);
                    self.dead.push(DeadLetter {
                        reason: TRUNCATE.to_string(),
                        detail: "it empties the table, and rows have come since".to_string(),
                        ..letter.clone()
                    });
                    continue;
                }
                None if !keys.iter().any(|key| self.wanted.contains(key)) => continue,
                _ => {}
            }
            self.wanted.extend(keys.iter().cloned());
            rows.extend(run.clone().map(|row| row as u32));
            self.kept.keep(&changes.kinds[run], pushed, letter.take());
        }
        if !rows.is_empty() {
            let rows = take_record_batch(&changes.rows, &UInt32Array::from(rows))?;
            self.kept.bytes += rows.get_array_memory_size();
            self.kept.rows.push(rows);
        }
        Ok(())
    }

    fn keys(&self, rows: &RecordBatch) -> Result<Vec<OwnedRow>, ArrowError> {
        let Some(converter) = &self.converter else {
            return Ok(Vec::new());
        };
        let columns: Vec<ArrayRef> = self
            .key
            .iter()
            .map(|column| rows.column(*column).clone())
            .collect();
        let keys = converter.convert_columns(&columns)?;
        Ok(keys.iter().map(|key| key.owned()).collect())
    }
}

/// The rows of each message.
fn runs(messages: &[u32]) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let lengths = messages.chunk_by(|left, right| left == right).map(<[u32]>::len);
    lengths.scan(0, |start, length| {
        let run = *start..*start + length;
        *start = run.end;
        Some(run)
    })
}

fn away(rejected: &Rejected) -> Error {
    Error::external(Code::REGISTRY_SILENT, "letters cannot be decoded now")
        .with_detail(rejected.to_string())
        .with_hint("run the statement again when the registry of schemas answers")
}

fn unreadable(offset: i64, rejected: &Rejected) -> Error {
    Error::user(
        Code::NOT_SUPPORTED,
        format!("the message at offset {offset}, behind a letter, cannot be read with the options of now"),
    )
    .with_detail(format!("{rejected}; it may be a newer change of the same row"))
    .with_hint(format!(
        "give options that fit both, or replay letters with kafka_offset > {offset} only"
    ))
}

fn too_many(letters: usize) -> Error {
    Error::user(
        Code::MEMORY_LIMIT,
        format!("{letters} letters, and what came behind them, are too many changes to be tried at once"),
    )
    .with_detail(format!("they are more than {} MiB", KEPT_BYTES_MAX >> 20))
    .with_hint("replay fewer at a time: add a WHERE with kafka_offset or kafka_partition")
}

fn broken(error: ArrowError) -> Error {
    Error::from_datafusion(error.into())
}

#[cfg(test)]
mod tests;
