//! What travels with one statement between client and scheduler: its status and its result tickets.

use prost::Message;

/// Where a statement stands. Sent as `app_metadata` of every `FlightInfo` and `PollInfo` of the public port.
#[derive(Clone, PartialEq, Message)]
pub struct StatementStatus {
    /// Identifier of the statement; also what `CancelFlightInfo` names.
    #[prost(string, tag = "1")]
    pub statement_id: String,
    /// Identifier of the cluster job, empty when the statement needed none.
    #[prost(string, tag = "2")]
    pub job_id: String,
    /// `queued`, `running`, `finished`, `failed` or `cancelled`.
    #[prost(string, tag = "3")]
    pub state: String,
    /// Stages known so far; grows while an adaptive plan unfolds.
    #[prost(uint32, tag = "4")]
    pub stages_total: u32,
    /// Stages that have finished.
    #[prost(uint32, tag = "5")]
    pub stages_done: u32,
    /// Tasks (output partitions to compute) of all known stages.
    #[prost(uint32, tag = "6")]
    pub tasks_total: u32,
    /// Tasks that have finished.
    #[prost(uint32, tag = "7")]
    pub tasks_done: u32,
    /// Rows read by the leaves of the plan so far, as far as their metrics tell.
    #[prost(uint64, tag = "8")]
    pub input_rows: u64,
    /// Bytes written to shuffle files so far.
    #[prost(uint64, tag = "9")]
    pub shuffle_bytes: u64,
    /// Rows that a statement which writes has written; absent for a query.
    #[prost(uint64, optional, tag = "10")]
    pub affected_rows: Option<u64>,
    /// What kind of statement this is, in the words of its SQL: `SELECT`, `CREATE VIEW`, `INSERT`...
    #[prost(string, tag = "11")]
    pub verb: String,
    /// What it has read of tables that follow topics.
    #[prost(message, repeated, tag = "12")]
    pub live_reads: Vec<LiveRead>,
    /// What a statement of several parts is doing; empty: it has one.
    #[prost(string, tag = "13")]
    pub phase: String,
}

/// What a statement has read of a table that follows a topic.
#[derive(Clone, PartialEq, Message)]
pub struct LiveRead {
    /// `schema.name` of the table.
    #[prost(string, tag = "1")]
    pub table: String,
    /// By topic partition the next offset after the messages that it saw.
    #[prost(btree_map = "uint32, uint64", tag = "2")]
    pub positions: std::collections::BTreeMap<u32, u64>,
    /// Milliseconds by which the topic partition that was most behind was behind its topic; absent if not known.
    #[prost(uint64, optional, tag = "3")]
    pub age_ms: Option<u64>,
}

/// What a result ticket says, before it is signed. It names no address and no plan.
#[derive(Clone, PartialEq, Message)]
pub struct TicketClaims {
    /// Statement whose result is meant.
    #[prost(string, tag = "1")]
    pub statement_id: String,
    /// Output partition of the result, from 0.
    #[prost(uint32, tag = "2")]
    pub partition: u32,
    /// Principal to whom the result belongs.
    #[prost(string, tag = "3")]
    pub principal: String,
    /// Seconds since the Unix epoch after which the ticket is void.
    #[prost(uint64, tag = "4")]
    pub expires_at_s: u64,
}

/// A ticket as the client holds it: the claims and their signature.
#[derive(Clone, PartialEq, Message)]
pub struct SignedTicket {
    /// Encoded [`TicketClaims`].
    #[prost(bytes = "vec", tag = "1")]
    pub claims: Vec<u8>,
    /// HMAC-SHA-256 of `claims` under a key that never leaves the scheduler (RFC 2104).
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}
