//! The line that a person types into: history, several lines up to the semicolon, completion.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use reedline::{
    ColumnarMenu, Completer, DefaultHinter, EditCommand, Emacs, FileBackedHistory, KeyCode, KeyModifiers,
    MenuBuilder, Reedline, ReedlineEvent, ReedlineMenu, ValidationResult, Validator,
    default_emacs_keybindings,
};

use crate::script::split;
use crate::terminal::{note, wants_colour};

const MENU: &str = "completion";
/// Entries that the history keeps.
const HISTORY_ENTRIES: usize = 10_000;

/// Makes the line. Setting `stop` ends a read from another thread.
pub(super) fn editor(completer: Box<dyn Completer + Send>, stop: Arc<AtomicBool>) -> Reedline {
    let menu = ColumnarMenu::default().with_name(MENU);
    let mut editor = Reedline::create()
        .with_completer(completer)
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_partial_completions(true)
        .with_edit_mode(Box::new(Emacs::new(keys())))
        .with_validator(Box::new(SemicolonValidator))
        .with_ansi_colors(wants_colour())
        .with_break_signal(stop)
        .use_bracketed_paste(true);
    if wants_colour() {
        editor = editor.with_hinter(Box::new(DefaultHinter::default()));
    }
    match history() {
        Some(history) => editor.with_history(Box::new(history)),
        None => editor,
    }
}

fn keys() -> reedline::Keybindings {
    let mut keys = default_emacs_keybindings();
    let open_or_next = ReedlineEvent::UntilFound(vec![
        ReedlineEvent::Menu(MENU.to_owned()),
        ReedlineEvent::MenuNext,
    ]);
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, open_or_next);
    keys.add_binding(KeyModifiers::SHIFT, KeyCode::BackTab, ReedlineEvent::MenuPrevious);
    keys.add_binding(
        KeyModifiers::ALT,
        KeyCode::Enter,
        ReedlineEvent::Edit(vec![EditCommand::InsertNewline]),
    );
    keys
}

/// A statement is complete with its semicolon.
struct SemicolonValidator;

impl Validator for SemicolonValidator {
    fn validate(&self, text: &str) -> ValidationResult {
        if split(text).is_complete() {
            ValidationResult::Complete
        } else {
            ValidationResult::Incomplete
        }
    }
}

fn history() -> Option<FileBackedHistory> {
    let file = history_file()?;
    match FileBackedHistory::with_file(HISTORY_ENTRIES, file.clone()) {
        Ok(history) => Some(history),
        Err(error) => {
            note(&format!("note: no history is kept: {}: {error}", file.display()));
            None
        }
    }
}

/// Below the folder for state of the XDG base directory specification.
fn history_file() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let folder = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(folder.join("millpond/history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_taken_with_its_semicolon() {
        let complete = |text| matches!(SemicolonValidator.validate(text), ValidationResult::Complete);
        assert!(complete("select 1;"));
        assert!(complete("\\dt"));
        assert!(!complete("select 1"));
        assert!(!complete("select ';"));
    }
}
