//! How an error of ours looks on the wire.

use millpond_engine::error::{Class, Code, Error};
use tonic::Status;

/// Bytes of text in a status. It travels in a header, which clients limit to 8 KiB or 16 KiB, percent-encoded.
const TEXT_BYTES_MAX: usize = 3_000;

/// Turns an error into a gRPC status. The text is the whole text for the user, shortened if it must be.
pub(super) fn to_status(error: &Error) -> Status {
    let text = error.user_text_within(TEXT_BYTES_MAX);
    match error.code {
        Code::NOT_LET_IN => Status::unauthenticated(text),
        Code::CANCELLED => Status::cancelled(text),
        Code::DEADLINE => Status::deadline_exceeded(text),
        Code::UNKNOWN_RELATION | Code::STATEMENT_UNKNOWN | Code::STATEMENT_EXPIRED => Status::not_found(text),
        Code::RELATION_EXISTS => Status::already_exists(text),
        Code::EXECUTOR_LOST | Code::STATE_CONFLICT | Code::LEASE_LOST => Status::aborted(text),
        Code::NO_EXECUTORS => Status::failed_precondition(text),
        _ => match error.class {
            Class::User => Status::invalid_argument(text),
            Class::External => Status::failed_precondition(text),
            Class::Resource => Status::resource_exhausted(text),
            Class::Bug => Status::internal(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_details_are_cut_and_keep_code_and_hint() {
        let error = Error::user(Code::BAD_DATA, "bad")
            .with_detail("ä".repeat(100_000))
            .with_hint("repair it");
        let status = to_status(&error);
        assert!(status.message().len() < TEXT_BYTES_MAX);
        assert!(status.message().contains("[MP0032]") && status.message().ends_with("hint: repair it"));
    }
}
