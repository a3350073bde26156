//! What the protocol demands, one by one, so that each can be left out; and how often what may happen.

/// What executors and the scheduler heed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Whoever has stored a checkpoint looks for a higher epoch, before it deletes anything.
    pub(crate) saver_heeds_fence: bool,
    /// Whoever begins looks at no checkpoint behind the one that a fence names.
    pub(crate) reader_heeds_fence: bool,
    /// Parts are there before the checkpoint that names them.
    pub(crate) parts_first: bool,
    /// Another owner gets a higher epoch.
    pub(crate) epoch_raised: bool,
    /// A checkpoint has the position that its rows were published with.
    pub(crate) position_of_rows: bool,
    /// The scheduler knows what was shown, and asks for as much.
    pub(crate) remembers_pins: bool,
    /// A new owner shows nothing before it is where the topic ended when it came.
    pub(crate) waits_for_end: bool,
    /// All scans of a statement read what was pinned for it.
    pub(crate) scans_read_pin: bool,
    /// An executor that begins puts a file of its epoch before it looks for checkpoints.
    pub(crate) claims_first: bool,
    /// A pin counts only if its owner is still the owner in the catalog when it answers.
    pub(crate) pin_checks_owner: bool,
    /// What a standby has asked for about the end of the topic says nothing to the owner that it has become meanwhile.
    pub(crate) asks_end_as_owner: bool,
    /// A standby passes over a checkpoint that is there and cannot be read.
    pub(crate) standby_passes_over: bool,
}

impl Rules {
    /// Everything.
    pub(crate) const ALL: Self = Self {
        saver_heeds_fence: true,
        reader_heeds_fence: true,
        parts_first: true,
        epoch_raised: true,
        position_of_rows: true,
        remembers_pins: true,
        waits_for_end: true,
        scans_read_pin: true,
        claims_first: true,
        pin_checks_owner: true,
        asks_end_as_owner: true,
        standby_passes_over: true,
    };
}

/// How often something may happen, from now on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    /// Messages that come later than the first.
    pub(crate) messages: u8,
    /// An executor is killed and starts again.
    pub(crate) crashes: u8,
    /// An executor that is there is taken for gone.
    pub(crate) suspicions: u8,
    /// A topic partition moves to another executor, by way of a standby.
    pub(crate) moves: u8,
    /// The newest checkpoint is damaged.
    pub(crate) damages: u8,
    /// Segments become one.
    pub(crate) merges: u8,
    /// The scheduler is killed and reads its log again.
    pub(crate) restarts: u8,
    /// Statements that read the table.
    pub(crate) statements: u8,
}

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) executors: u8,
    /// Messages at the begin.
    pub(crate) messages: u8,
    /// Checkpoints of an owner that are kept.
    pub(crate) kept: usize,
    /// If checkpoints are stored.
    pub(crate) stores: bool,
    pub(crate) left: Left,
}
