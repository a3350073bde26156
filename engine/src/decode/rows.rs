//! The rows that a message asks for, before it is sure that all of it is good.
//!
//! A reader of a format brings images of rows here and says what happens to them. Here they get their key, from the
//! message itself or from its key, and become cells in the types of the columns. Only when the whole message is read
//! do the cells go into the columns; until then, forgetting the message is clearing two lists.

mod cells;

use super::cell::{Cell, Shape, Stock, Writing};
use super::change::{Kind, Message, Skip, Table};
use super::hints::Hints;
use super::image::Image;
use super::key;
use super::names::Names;
use super::options::Options;
use super::rejected::{Reason, Rejected};
use super::scanner::Scratch;
use super::slot::{Piece, Slot, Texts};
use super::target::Target;
use super::unavailable::Unavailable;

/// Most cells of the rows of one message.
const CELLS_MAX: usize = 1 << 21;
/// Most cells and bytes that are kept from one message to the next.
const KEPT_MAX: usize = 1 << 16;

/// The rows of one message.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) names: Names,
    pub(super) scratch: Scratch,
    pub(super) key: Vec<usize>,
    targets: Vec<Target>,
    writing: Writing,
    hints: Hints,
    unavailable: Option<Unavailable>,
    key_only: bool,
    /// Reads keys of a binary format.
    binary_key: Option<Box<dyn BinaryKey>>,
    /// The row that the key of the message names.
    of_key: Image,
    cells: Vec<Cell>,
    bytes: Vec<u8>,
    kinds: Vec<Kind>,
}

/// What a change says of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Images<'i> {
    /// The row as it is now.
    pub(super) row: &'i Image,
    /// The row as it was.
    pub(super) before: Option<&'i Image>,
    /// Other places where a key may be, in their order.
    pub(super) others: &'i [&'i Image],
}

/// What a column takes best of a binary format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// The value as it is.
    Value,
    Bytes,
    /// A text for anything.
    Text,
}

/// Where slots point to that are not in the message.
#[derive(Debug)]
pub(super) struct Stores<'r> {
    pub(super) text: &'r mut String,
    pub(super) bytes: &'r mut Vec<u8>,
}

/// What a put does with columns that its row does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    BecomeNull,
    Stay,
    /// They stay, but for those that the row as it was names: these have changed, and become null.
    StayUnlessOld,
}

/// Whether the row as it was names another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// It is not looked at.
    Ignored,
    /// If it has the whole key.
    Whole,
    /// It has only columns that changed.
    Changed,
}

impl Absent {
    /// Whether a column that the row does not name keeps its value.
    fn stays(self, column: usize, before: Option<&Image>) -> bool {
        match self {
            Self::BecomeNull => false,
            Self::Stay => true,
            Self::StayUnlessOld => before.is_none_or(|before| before.get(column).is_absent()),
        }
    }
}

/// Reads keys of a binary format.
pub(super) trait BinaryKey: std::fmt::Debug + Send {
    /// Reads a key; false if it is of no binary format.
    fn read(&mut self, key: &[u8], image: &mut Image, rows: &mut Rows) -> Result<bool, Rejected>;

    /// An error if the schema of the key that was read last is still not there.
    fn retry(&mut self) -> Result<(), Rejected>;
}

impl Rows {
    pub(super) fn new(targets: Vec<Target>, table: &Table, writing: Writing, options: &Options) -> Self {
        Self {
            names: Names::new(targets.iter().map(|target| target.name.as_str())),
            scratch: Scratch::default(),
            key: table.key.clone(),
            of_key: Image::new(targets.len()),
            targets,
            writing,
            hints: Hints::default(),
            unavailable: None,
            key_only: options.key_only,
            binary_key: None,
            cells: Vec::new(),
            bytes: Vec::new(),
            kinds: Vec::new(),
        }
    }

    /// Reads values as the schema of a message says, if it has one.
    pub(super) fn heed_schema(&mut self, schema: Slot, text: &str) {
        let texts = Texts {
            message: text,
            scratch: &self.scratch.text,
        };
        let schema = match schema {
            Slot::Nested(piece) => Some(texts.get(piece)),
            _ => None,
        };
        self.hints
            .heed(schema, self.targets.iter().map(|target| target.name.as_str()));
    }

    /// From now on columns with this value keep what they have.
    pub(super) fn keep_unavailable(&mut self, unavailable: Unavailable) {
        self.unavailable = Some(unavailable);
    }

    /// From now on keys are of a binary format.
    pub(super) fn keep_binary_key(&mut self, reader: Box<dyn BinaryKey>) {
        self.binary_key = Some(reader);
    }

    /// Lends the reader of keys out, which is to be given back with [`Rows::keep_binary_key`].
    pub(super) fn take_binary_key(&mut self) -> Option<Box<dyn BinaryKey>> {
        self.binary_key.take()
    }

    /// What is wrong with the reader of keys, if a schema that it needs is not there yet.
    pub(super) fn retry_key(&mut self) -> Result<(), Rejected> {
        self.binary_key.as_mut().map_or(Ok(()), |reader| reader.retry())
    }

    /// Where binary formats leave what slots point to.
    pub(super) fn stores(&mut self) -> Stores<'_> {
        Stores {
            text: &mut self.scratch.text,
            bytes: &mut self.bytes,
        }
    }

    /// What each column takes best.
    pub(super) fn wants(&self) -> Vec<Want> {
        let want = |target: &Target| match target.shape {
            Shape::Text => Want::Text,
            Shape::Bytes => Want::Bytes,
            _ => Want::Value,
        };
        self.targets.iter().map(want).collect()
    }

    /// Bytes beside the message that its rows point to.
    pub(super) fn held(&self) -> usize {
        self.scratch.text.len() + self.bytes.len()
    }

    /// An image of a row of this table.
    pub(super) fn image(&self) -> Image {
        Image::new(self.targets.len())
    }

    /// How many columns there are.
    pub(super) fn width(&self) -> usize {
        self.targets.len()
    }

    /// Forgets the last message.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.scratch.clear();
        self.cells.clear();
        self.cells.shrink_to(KEPT_MAX);
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_MAX);
        self.kinds.clear();
    }

    /// Cells by row, as many each as there are columns.
    pub(super) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// True if the message empties the table.
    pub(super) fn truncates(&self) -> bool {
        self.kinds.contains(&Kind::Truncate)
    }

    /// Moves the kinds of the rows behind others.
    pub(super) fn move_kinds(&mut self, to: &mut Vec<Kind>) {
        to.append(&mut self.kinds);
    }

    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    /// What slots point to.
    #[inline]
    pub(super) fn texts<'a>(&'a self, message: &'a str) -> Texts<'a> {
        Texts {
            message,
            scratch: &self.scratch.text,
        }
    }

    /// What cells point to.
    #[inline]
    pub(super) fn stock<'a>(&'a self, message: &'a str) -> Stock<'a> {
        Stock {
            texts: self.texts(message),
            bytes: &self.bytes,
        }
    }

    /// A row alone is put.
    pub(super) fn put_row(&mut self, row: &Image, from: (Message<'_>, &str)) -> Result<(), Rejected> {
        let images = Images {
            row,
            before: None,
            others: &[],
        };
        self.put(images, Absent::BecomeNull, Before::Ignored, from)
    }

    /// The row of a change is put, which must be there; `missing` is said if it is not.
    pub(super) fn put_change(
        &mut self,
        (row, before): (&Image, &Image),
        missing: &'static str,
        says: (Absent, Before),
        from: (Message<'_>, &str),
    ) -> Result<(), Rejected> {
        if !row.is_present() {
            return Err(Rejected::new(Reason::MissingRow, missing));
        }
        let images = Images {
            row,
            before: before.is_present().then_some(before),
            others: &[],
        };
        self.put(images, says.0, says.1, from)
    }

    /// A row is put, and one with an old key goes.
    #[inline]
    pub(super) fn put(
        &mut self,
        images: Images<'_>,
        absent: Absent,
        before: Before,
        (message, text): (Message<'_>, &str),
    ) -> Result<(), Rejected> {
        let candidates = std::iter::once(images.row)
            .chain(images.before)
            .chain(images.others.iter().copied());
        self.with_identity(candidates, message, |rows, identity| {
            let start = rows.cells.len();
            let has_old = before != Before::Ignored;
            let kind = rows.push_put((images, has_old), identity, absent, text)?;
            if before != Before::Ignored
                && let Some(old) = images.before
            {
                rows.push_old_key(old, before, start, text)?;
            }
            rows.kinds.push(kind);
            rows.check_count()
        })
    }

    /// The row that one of the images names goes.
    pub(super) fn delete(
        &mut self,
        images: &[&Image],
        (message, text): (Message<'_>, &str),
    ) -> Result<(), Rejected> {
        self.with_identity(images.iter().copied(), message, |rows, identity| {
            let given = images.iter().find(|image| image.is_present());
            rows.push_delete(identity, given.copied().unwrap_or(identity), text)
        })
    }

    /// A message without a value: the row that its key names goes, if it names one.
    pub(super) fn tombstone(&mut self, message: Message<'_>) -> Result<Option<Skip>, Rejected> {
        let mut of_key = std::mem::take(&mut self.of_key);
        let found = key::read(message.key, &mut of_key, self);
        self.heed_schema(*found.as_ref().unwrap_or(&Slot::Absent), "");
        let pushed = match found {
            Ok(_) if !self.key.is_empty() && of_key.has(&self.key) => {
                self.push_delete(&of_key, &of_key, "").map(|()| None)
            }
            Err(rejected) if rejected.reason().is_about_schemas() => Err(rejected),
            _ => Ok(Some(Skip::Tombstone)),
        };
        self.of_key = of_key;
        pushed
    }

    /// True if a change among them is of no use without the row that it changes.
    pub(super) fn need_others(&self) -> bool {
        self.kinds.iter().any(|kind| match kind {
            Kind::Rekey => true,
            Kind::Merge(given) => {
                let mut targets = self.targets.iter().zip(given);
                targets.any(|(target, given)| target.is_required && !given)
            }
            Kind::Put | Kind::Delete | Kind::Truncate => false,
        })
    }

    /// All rows go.
    pub(super) fn truncate(&mut self) {
        self.cells
            .resize(self.cells.len() + self.targets.len(), Cell::Null);
        self.kinds.push(Kind::Truncate);
    }

    /// A row of one column is put.
    pub(super) fn put_text(&mut self, text: &str) {
        self.cells.push(Cell::Text(Piece::of_message(0, text.len())));
        self.kinds.push(Kind::Put);
    }

    /// The same with bytes.
    pub(super) fn put_bytes(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.cells.push(Cell::Bytes(0, value.len()));
        self.kinds.push(Kind::Put);
    }

    /// The same with nothing.
    pub(super) fn put_null(&mut self) -> Result<(), Rejected> {
        if self.targets.iter().any(|target| target.is_required) {
            let detail = "the message has no value, and the column is NOT NULL";
            return Err(Rejected::new(Reason::NullValue, detail));
        }
        self.cells.push(Cell::Null);
        self.kinds.push(Kind::Put);
        Ok(())
    }

    /// Finds the first image that has the whole key, and the key of the message after them all.
    #[inline]
    fn with_identity<'i>(
        &mut self,
        candidates: impl Iterator<Item = &'i Image>,
        message: Message<'_>,
        then: impl FnOnce(&mut Self, &Image) -> Result<(), Rejected>,
    ) -> Result<(), Rejected> {
        let mut candidates = candidates.filter(|_| !self.key_only);
        if let Some(image) = candidates.find(|image| image.has(&self.key)) {
            return then(self, image);
        }
        let mut of_key = std::mem::take(&mut self.of_key);
        let done = key::read(message.key, &mut of_key, self).and_then(|_| {
            if of_key.has(&self.key) {
                then(self, &of_key)
            } else {
                Err(self.missing_key(message, &of_key))
            }
        });
        self.of_key = of_key;
        done
    }

    #[inline]
    fn check_count(&self) -> Result<(), Rejected> {
        if self.cells.len() > CELLS_MAX {
            let detail = format!("more than {} rows in a message", CELLS_MAX / self.width());
            return Err(Rejected::new(Reason::TooLarge, detail));
        }
        Ok(())
    }

    #[cold]
    fn missing_key(&self, message: Message<'_>, of_key: &Image) -> Rejected {
        let missing = self.key.iter().find(|column| !of_key.get(**column).is_set());
        let name = missing.map_or("", |column| self.targets[*column].name.as_str());
        let of_message = if message.key.is_some() {
            "nor does the message key"
        } else {
            "and the message has no key"
        };
        let detail = if self.key_only {
            format!("the message key has no value for key column {name:?}")
        } else {
            format!(
                "no row of the message has the whole primary key, {of_message}: column {name:?} has no value"
            )
        };
        Rejected::new(Reason::MissingKey, detail)
    }
}
