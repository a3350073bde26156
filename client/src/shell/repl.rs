//! The loop of the shell: read, run, tell what went wrong, read again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reedline::{Reedline, Signal};
use tokio::runtime::Handle;

use super::completion::CatalogCompleter;
use super::editor::editor;
use super::prompt::ShellPrompt;
use super::vocabulary::Vocabulary;
use crate::error::Error;
use crate::session::{Flow, Session};
use crate::terminal::{note, report};

/// Reads and runs until the user leaves. A statement that fails does not end the shell.
///
/// # Errors
/// The cluster cannot be reached or does not let us in, or the terminal cannot be read.
pub async fn run(session: &mut Session) -> Result<(), Error> {
    let vocabulary = first_vocabulary(session).await?;
    note(&format!(
        "connected to {}. \\? lists the commands, \\q leaves.",
        session.connection.url()
    ));
    let stop = Arc::new(AtomicBool::new(false));
    let completer = CatalogCompleter::new(session.connection.clone(), Handle::current(), vocabulary);
    let mut editor = editor(Box::new(completer), stop.clone());
    loop {
        let (returned, read) = read(editor, &stop, session).await?;
        editor = returned;
        let text = match read {
            Signal::Success(text) => text,
            Signal::CtrlC => continue,
            _ => return Ok(()),
        };
        // A Ctrl-C from before the statement is not meant for it.
        session.interrupts.forget();
        match session.run_script(&text, None).await {
            Ok(Flow::Continue) => {}
            Ok(Flow::Quit) => return Ok(()),
            Err(error) if session.interrupts.is_terminated() => return Err(error),
            Err(error) => report(&error),
        }
    }
}

/// The first contact. Names that cannot be read are no reason to end; a closed door is.
async fn first_vocabulary(session: &Session) -> Result<Vocabulary, Error> {
    match Vocabulary::load(&session.connection).await {
        Ok(vocabulary) => Ok(vocabulary),
        Err(error @ (Error::Connect { .. } | Error::NotLetIn(_))) => Err(error),
        Err(error) => {
            note(&format!("note: names cannot be completed: {error}"));
            Ok(Vocabulary::default())
        }
    }
}

/// Reads in a thread of its own, so that signals are heard meanwhile.
async fn read(
    mut editor: Reedline,
    stop: &AtomicBool,
    session: &mut Session,
) -> Result<(Reedline, Signal), Error> {
    let mut reading = tokio::task::spawn_blocking(move || {
        let signal = editor.read_line(&ShellPrompt);
        (editor, signal)
    });
    let ended = tokio::select! {
        ended = &mut reading => ended,
        () = session.interrupts.terminated() => {
            stop.store(true, Ordering::Relaxed);
            reading.await
        }
    };
    let (editor, signal) =
        ended.map_err(|error| Error::Node(format!("the shell's reader ended: {error}")))?;
    let signal = signal.map_err(|error| Error::Input {
        path: "the terminal".to_owned(),
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok((editor, signal))
}
