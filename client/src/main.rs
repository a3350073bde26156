//! The `millpond` command: reads the command line, catches signals, and ends with the exit code of what it ran.

use std::process::ExitCode;

use clap::Parser;
use millpond_client::cli::{self, Cli};
use millpond_client::error::Error;
use millpond_client::exit::Exit;
use millpond_client::interrupt::{Interrupter, interrupts};
use millpond_client::terminal::report;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Queries allocate and free large blocks all the time; the system's allocator gives each back to the kernel, which
/// clears it anew.
#[cfg(feature = "server")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Of each thread. Planning recurses into expressions, and dropping them does: the depth that a statement may have
/// (`scheduler`'s `statement::limits`) takes some 10 MiB of it. What is not used takes no memory.
const STACK_BYTES: usize = 64 << 20;

/// Blocks come and go, and the kernel clears a huge page as a whole for the first byte of it. Preparing 5 million rows takes
/// 16 % less without, in less memory. Processes that are started from here have the same.
#[cfg(all(feature = "server", target_os = "linux"))]
#[expect(unsafe_code, reason = "a system call without a safe form among our libraries")]
fn do_without_huge_pages() {
    let (yes, unused): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: it reads its arguments, which are numbers, and changes nothing but how the kernel maps memory from now on. A
    // kernel that knows no such setting says so, and does as before.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, yes, unused, unused, unused) };
}

#[cfg(not(all(feature = "server", target_os = "linux")))]
fn do_without_huge_pages() {}

fn main() -> ExitCode {
    do_without_huge_pages();
    let cli = Cli::parse();
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let runtime = match threads.enable_all().thread_stack_size(STACK_BYTES).build() {
        Ok(runtime) => runtime,
        Err(error) => return end(Err(Error::Node(format!("cannot start threads: {error}")))),
    };
    let outcome = runtime.block_on(run(cli));
    // A thread that waits for the terminal would keep the process alive.
    runtime.shutdown_background();
    end(outcome)
}

async fn run(cli: Cli) -> Result<(), Error> {
    let (interrupter, interrupts) = interrupts();
    let listening = listen().map_err(|error| Error::Node(format!("cannot catch signals: {error}")))?;
    tokio::spawn(forward(listening, interrupter));
    cli::run(cli, interrupts).await
}

/// SIGINT stops what is running; SIGTERM and SIGHUP end the process in good order.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

fn listen() -> std::io::Result<Signals> {
    Ok(Signals {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
        hang_up: signal(SignalKind::hangup())?,
    })
}

async fn forward(mut signals: Signals, interrupter: Interrupter) {
    loop {
        tokio::select! {
            _ = signals.interrupt.recv() => interrupter.interrupt(),
            _ = signals.terminate.recv() => interrupter.terminate(),
            _ = signals.hang_up.recv() => interrupter.terminate(),
        }
    }
}

fn end(outcome: Result<(), Error>) -> ExitCode {
    match outcome {
        Ok(()) => Exit::Ok.into(),
        Err(error) if error.is_broken_pipe() => Exit::Ok.into(),
        Err(error) => {
            report(&error);
            error.exit().into()
        }
    }
}
