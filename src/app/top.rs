//! `larder top`: a running Larder in a terminal, asked again and again.
//!
//! * The terminal is given back as it was, also after a panic.
//! * Keys work while Larder does not answer: it is asked on a thread of its own.

use super::board::Board;
use super::figures::Status;
use super::report::status;
use super::screen::{Paint, draw, plain};
use crate::admin::call::Call;
use crate::config::{Address, Secret};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Statements that are asked for.
const STATEMENTS: usize = 500;
/// How often what has come is shown.
const LOOK: Duration = Duration::from_millis(100);
/// Rows of a page of them.
const PAGE: isize = 10;

/// What to watch.
pub struct Watch {
    pub address: Address,
    /// The file with `admin.token`, to pause and resume.
    pub token: Option<PathBuf>,
    pub every: Duration,
}

/// What the other thread is asked for.
enum Wish {
    Pause,
    Resume,
}

/// What it tells.
enum Told {
    Status(Box<Result<Status, String>>, Instant),
    Done(String),
}

/// One look, as plain text.
///
/// # Errors
/// There is no Larder.
pub fn once(address: &Address) -> Result<String, String> {
    let mut board = Board {
        address: address.to_string(),
        ..Board::default()
    };
    board.take(Ok(status(address, STATEMENTS)?), Duration::ZERO);
    Ok(plain(&board))
}

/// Looks until the person has seen enough.
///
/// # Errors
/// The terminal is none.
pub fn top(watch: Watch) -> Result<(), String> {
    let mut board = Board {
        address: watch.address.to_string(),
        ..Board::default()
    };
    let may = watch.token.is_some();
    let (wish, wishes) = channel();
    let (tell, told) = channel();
    std::thread::spawn(move || ask(&watch, &wishes, &tell));
    let mut terminal =
        ratatui::try_init().map_err(|e| format!("no terminal: {e}; --once prints plain text"))?;
    let seen = show(&mut terminal, &mut board, may, &wish, &told);
    ratatui::restore();
    seen.map_err(|e| format!("the terminal is gone: {e}"))
}

/// Asks the Larder until nobody listens.
fn ask(watch: &Watch, wishes: &Receiver<Wish>, tell: &Sender<Told>) {
    loop {
        let found = status(&watch.address, STATEMENTS);
        if tell
            .send(Told::Status(Box::new(found), Instant::now()))
            .is_err()
        {
            return;
        }
        let path = match wishes.recv_timeout(watch.every) {
            Ok(Wish::Pause) => "/pause",
            Ok(Wish::Resume) => "/resume",
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let said = change(watch, path).unwrap_or_else(|error| error);
        if tell.send(Told::Done(said)).is_err() {
            return;
        }
    }
}

/// The file is read anew: it may have been replaced.
fn change(watch: &Watch, path: &str) -> Result<String, String> {
    let file = watch.token.as_ref().ok_or("there is no token")?;
    let token = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let token = Secret::new(token.trim().to_owned());
    let answer = Call::post(path, &token).ask(&watch.address)?;
    Ok(answer.body)
}

fn show(
    terminal: &mut DefaultTerminal,
    board: &mut Board,
    may: bool,
    wish: &Sender<Wish>,
    told: &Receiver<Told>,
) -> std::io::Result<()> {
    let paint = Paint {
        colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    };
    let mut before = Instant::now();
    loop {
        terminal.draw(|frame| draw(frame, board, paint))?;
        if event::poll(LOOK)? {
            let wanted = match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => pressed(board, may, key),
                _ => Wanted::Nothing,
            };
            match wanted {
                Wanted::Nothing => {}
                Wanted::End => return Ok(()),
                Wanted::Change => {
                    let _ = wish.send(if board.paused() {
                        Wish::Resume
                    } else {
                        Wish::Pause
                    });
                }
            }
        }
        for told in told.try_iter() {
            match told {
                Told::Status(status, at) => {
                    board.take(*status, at - std::mem::replace(&mut before, at))
                }
                Told::Done(said) => board.said = Some(said),
            }
        }
    }
}

/// What a key wants of others.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Nothing,
    End,
    Change,
}

fn pressed(board: &mut Board, may: bool, key: KeyEvent) -> Wanted {
    if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
        return Wanted::End;
    }
    if std::mem::take(&mut board.asks) {
        return match key.code {
            KeyCode::Char('y') => Wanted::Change,
            _ => Wanted::Nothing,
        };
    }
    board.said = None;
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return Wanted::End,
        KeyCode::Right | KeyCode::Tab => board.turn(true),
        KeyCode::Left | KeyCode::BackTab => board.turn(false),
        KeyCode::Down => board.step(1),
        KeyCode::Up => board.step(-1),
        KeyCode::PageDown => board.step(PAGE),
        KeyCode::PageUp => board.step(-PAGE),
        KeyCode::Home => board.selected = 0,
        KeyCode::Char('s') => board.sort_next(),
        KeyCode::Char('r') => board.up = !board.up,
        KeyCode::Char('p') if may => board.asks = true,
        KeyCode::Char('p') => {
            board.said = Some(
                "To pause, start with --token-file FILE (admin.token of the configuration).".into(),
            );
        }
        _ => {}
    }
    Wanted::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(board: &mut Board, may: bool, code: KeyCode) -> Wanted {
        pressed(board, may, KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn nothing_is_paused_without_a_token_or_by_one_key() {
        let mut board = Board::default();
        assert_eq!(
            press(&mut board, false, KeyCode::Char('p')),
            Wanted::Nothing
        );
        assert!(!board.asks && board.said.is_some());
        assert_eq!(
            press(&mut board, false, KeyCode::Char('y')),
            Wanted::Nothing
        );
        assert_eq!(press(&mut board, true, KeyCode::Char('p')), Wanted::Nothing);
        assert!(board.asks);
        assert_eq!(press(&mut board, true, KeyCode::Char('n')), Wanted::Nothing);
        assert_eq!(press(&mut board, true, KeyCode::Char('y')), Wanted::Nothing);
        press(&mut board, true, KeyCode::Char('p'));
        assert_eq!(press(&mut board, true, KeyCode::Char('y')), Wanted::Change);
        let end = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(pressed(&mut board, true, end), Wanted::End);
        assert_eq!(press(&mut board, true, KeyCode::Char('q')), Wanted::End);
    }
}
