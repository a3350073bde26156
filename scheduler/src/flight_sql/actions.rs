//! Actions: cancelling, closing a session, and two of our own for jobs that outlive their client.

use arrow_flight::sql::ActionCancelQueryResult;
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo,
};
use millpond_engine::error::{Code, Error};
use millpond_proto::Message;
use millpond_proto::statement::StatementStatus;
use serde::{Deserialize, Serialize};
use tonic::Status;

use super::door::Caller;
use super::service::FlightSql;
use super::{script, status::to_status};

const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";
const CLOSE_SESSION: &str = "CloseSession";
const SUBMIT_SCRIPT: &str = "millpond.SubmitScript";
const CANCEL_JOB: &str = "millpond.CancelJob";
const DRAIN: &str = "millpond.Drain";
const STOP_DRAINING: &str = "millpond.StopDraining";

/// Values of Flight SQL's `ActionCancelQueryResult.CancelResult`, which arrow-flight does not export.
const RESULT_CANCELLING: i32 = 2;
const RESULT_NOT_CANCELLABLE: i32 = 3;

/// Body of `millpond.SubmitScript`.
#[derive(Deserialize)]
struct Script {
    #[serde(default)]
    name: String,
    sql: String,
}

/// Answer to `millpond.SubmitScript`.
#[derive(Serialize)]
struct Submitted {
    job: String,
}

/// What `ListActions` adds to Flight SQL's own actions.
pub(super) fn list() -> Vec<Result<ActionType, Status>> {
    [
        (
            CANCEL_FLIGHT_INFO,
            "cancels a statement; body: CancelFlightInfoRequest",
        ),
        (CLOSE_SESSION, "ends the caller's session; no body"),
        (
            SUBMIT_SCRIPT,
            "runs a script that outlives its client; body: {\"name\": ..., \"sql\": ...}",
        ),
        (
            CANCEL_JOB,
            "cancels a job by its number, its statement or the name of its script; body: the text",
        ),
        (
            DRAIN,
            "gives an executor no new work and moves its shards elsewhere; answers when that is done; body: its name",
        ),
        (
            STOP_DRAINING,
            "gives an executor work again that was draining; body: its name",
        ),
    ]
    .into_iter()
    .map(|(name, description)| {
        Ok(ActionType {
            r#type: name.to_string(),
            description: description.to_string(),
        })
    })
    .collect()
}

/// Carries out one action and answers its result body.
pub(super) async fn run(service: &FlightSql, caller: &Caller, action: Action) -> Result<Vec<u8>, Status> {
    match action.r#type.as_str() {
        CANCEL_FLIGHT_INFO => {
            let request = CancelFlightInfoRequest::decode(&*action.body).map_err(malformed)?;
            let info = request
                .info
                .ok_or_else(|| Status::invalid_argument("the request names no FlightInfo"))?;
            let status = if cancel_statement(service, caller, &info)? {
                CancelStatus::Cancelling
            } else {
                CancelStatus::NotCancellable
            };
            Ok(CancelFlightInfoResult {
                status: status as i32,
            }
            .encode_to_vec())
        }
        CLOSE_SESSION => {
            service
                .frontend
                .services
                .sessions
                .close(&caller.principal, &caller.session_id);
            // CloseSessionResult { status: CLOSED } of the Flight specification.
            Ok(vec![0x08, 0x01])
        }
        SUBMIT_SCRIPT => {
            let asked: Script = serde_json::from_slice(&action.body)
                .map_err(|error| Status::invalid_argument(format!("the body is no script: {error}")))?;
            let session = service.session(caller)?;
            let job = script::start(&service.frontend, session, &asked.name, &asked.sql)
                .map_err(|error| to_status(&error))?;
            serde_json::to_vec(&Submitted { job }).map_err(|error| Status::internal(error.to_string()))
        }
        CANCEL_JOB => {
            cancel_job(service, caller, text_of(&action)?).map_err(|error| to_status(&error))?;
            Ok(Vec::new())
        }
        DRAIN => {
            let drained = service.frontend.drain(text_of(&action)?).await;
            drained.map_err(|error| to_status(&error))?;
            Ok(Vec::new())
        }
        STOP_DRAINING => {
            let stopped = service.frontend.stop_draining(text_of(&action)?).await;
            stopped.map_err(|error| to_status(&error))?;
            Ok(Vec::new())
        }
        other => Err(Status::unimplemented(format!("there is no action '{other}'"))),
    }
}

/// The body of an action whose body is a name.
fn text_of(action: &Action) -> Result<&str, Status> {
    std::str::from_utf8(&action.body)
        .map(str::trim)
        .map_err(|_| Status::invalid_argument("the body is a name as text"))
}

/// Cancels by a `FlightInfo`, in the older form of the action.
pub(super) fn cancel_query(
    service: &FlightSql,
    caller: &Caller,
    info: &[u8],
) -> Result<ActionCancelQueryResult, Status> {
    let info = FlightInfo::decode(info).map_err(malformed)?;
    let cancelling = cancel_statement(service, caller, &info)?;
    Ok(ActionCancelQueryResult {
        result: if cancelling {
            RESULT_CANCELLING
        } else {
            RESULT_NOT_CANCELLABLE
        },
    })
}

/// True if the statement was still running.
fn cancel_statement(service: &FlightSql, caller: &Caller, info: &FlightInfo) -> Result<bool, Status> {
    let named = StatementStatus::decode(&*info.app_metadata).map_err(malformed)?;
    let found = service
        .frontend
        .services
        .statements
        .find(&named.statement_id, &caller.principal);
    let statement = found.ok_or_else(|| {
        to_status(&Error::user(
            Code::STATEMENT_UNKNOWN,
            "there is no such statement, or it ended long ago",
        ))
    })?;
    let running = !statement.progress().phase.is_over();
    statement.cancel.cancel();
    Ok(running)
}

fn cancel_job(service: &FlightSql, caller: &Caller, job: &str) -> Result<(), Error> {
    match service
        .frontend
        .services
        .statements
        .find_job(job, &caller.principal)
    {
        Some(statement) if !statement.progress().phase.is_over() => {
            statement.cancel.cancel();
            Ok(())
        }
        Some(_) => Err(Error::user(
            Code::STATEMENT_UNKNOWN,
            format!("job '{job}' has ended already"),
        )),
        None => Err(
            Error::user(Code::STATEMENT_UNKNOWN, format!("there is no job '{job}'"))
                .with_hint("`millpond jobs` lists the jobs of this scheduler"),
        ),
    }
}

fn malformed(error: prost::DecodeError) -> Status {
    Status::invalid_argument(format!("malformed request: {error}"))
}
