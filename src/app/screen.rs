//! How `larder top` is painted, on a terminal of any size or as plain text.
//!
//! * Colours are those of the terminal's own palette, and none at all with NO_COLOR; what they say is also said in words.
//!
//! Deliberately not here: what is shown (`board`) and keys (`top`).

use super::board::{Board, Column, Kind, OUTCOMES, TABS, cell};
use super::figures::{Status, bytes, count, line, share, short, span};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState, Wrap};
use serde_json::Value;

/// Lines for what is known of the row that is looked at.
const DETAIL: u16 = 4;
/// Terminals lower than this show rows instead.
const LOW: u16 = 18;

/// How things are coloured.
#[derive(Clone, Copy)]
pub struct Paint {
    pub colours: bool,
}

impl Paint {
    fn of(self, colour: Color) -> Style {
        match self.colours {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    fn outcome(self, at: usize) -> Style {
        self.of([
            Color::Green,
            Color::Yellow,
            Color::Magenta,
            Color::Red,
            Color::Reset,
        ][at])
    }

    fn quiet(self) -> Style {
        match self.colours {
            true => Style::new().fg(Color::DarkGray),
            false => Style::new(),
        }
    }

    fn mode(self, mode: &str) -> Style {
        self.of(match mode {
            "on" => Color::Green,
            "observe" => Color::Yellow,
            _ => Color::Red,
        })
        .add_modifier(Modifier::BOLD)
    }
}

/// Paints everything.
pub fn draw(frame: &mut Frame, board: &Board, paint: Paint) {
    let area = frame.area();
    let detail = if area.height >= LOW { DETAIL } else { 0 };
    let [head, tabs, table, below, foot] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(detail),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(header(board, paint)), head);
    frame.render_widget(Paragraph::new(names(board)), tabs);
    draw_table(frame, table, board, paint);
    if let Some(row) = board.rows(board.tab).get(board.selected) {
        let words = Paragraph::new(about(row)).wrap(Wrap { trim: true });
        frame.render_widget(words.style(paint.quiet()), below);
    }
    frame.render_widget(Paragraph::new(footer(board, paint)), foot);
}

fn header(board: &Board, paint: Paint) -> Vec<Line<'static>> {
    let Some(status) = &board.status else {
        let words = match &board.lost {
            Some(error) => line(error),
            None => format!("Asking {} …", board.address),
        };
        return vec![Line::from(words)];
    };
    let mode = status.word("larder/mode");
    let title = Line::from(vec![
        Span::styled(
            format!("Larder {} ", status.word("larder/version")),
            Modifier::BOLD,
        ),
        Span::styled(mode.clone(), paint.mode(&mode)),
        Span::raw(format!(
            "  up {}  ",
            span(status.number("larder/uptime_seconds"))
        )),
        Span::styled(board.address.clone(), paint.quiet()),
    ]);
    let mut rates = vec![Span::raw("Per second")];
    for (at, (_, name)) in OUTCOMES.iter().enumerate() {
        let rate = board.rates.map_or("-".into(), |rates| short(rates[at]));
        rates.push(Span::styled(format!("  {rate} {name}"), paint.outcome(at)));
    }
    vec![title, Line::from(figures(status)), Line::from(rates)]
}

fn figures(status: &Status) -> String {
    format!(
        "Hit ratio {}  saved {}  memory {} of {}, {} answers",
        share(status.at("cache/hit_ratio")),
        span(status.number("cache/time_saved_seconds")),
        bytes(status.number("cache/bytes")),
        bytes(status.number("cache/limit_bytes")),
        count(status.number("cache/entries"))
    )
}

fn names(board: &Board) -> Line<'static> {
    let tabs = TABS.iter().enumerate().flat_map(|(at, tab)| {
        let style = match at == board.tab {
            true => Modifier::REVERSED | Modifier::BOLD,
            false => Modifier::empty(),
        };
        [
            Span::styled(format!(" {} ", tab.title), style),
            Span::raw(" "),
        ]
    });
    Line::from(tabs.collect::<Vec<_>>())
}

fn aligned(column: &Column) -> Alignment {
    match column.kind {
        Kind::Text => Alignment::Left,
        _ => Alignment::Right,
    }
}

fn draw_table(frame: &mut Frame, area: Rect, board: &Board, paint: Paint) {
    let tab = &TABS[board.tab];
    let rows = board.rows(board.tab);
    if rows.is_empty() && board.status.is_some() {
        let words = Paragraph::new(tab.empty).style(paint.quiet());
        frame.render_widget(words, area);
        return;
    }
    let titles = tab.columns.iter().enumerate().map(|(at, column)| {
        let style = match at == board.sort {
            true => Modifier::BOLD | Modifier::UNDERLINED,
            false => Modifier::BOLD,
        };
        Cell::from(Line::styled(column.title, style).alignment(aligned(column)))
    });
    let lines = rows.iter().map(|row| {
        Row::new(
            tab.columns
                .iter()
                .map(|column| Cell::from(Line::from(cell(row, column)).alignment(aligned(column)))),
        )
    });
    let widths = tab.columns.iter().map(|column| match column.width {
        0 => Constraint::Fill(1),
        width => Constraint::Length(width),
    });
    let table = Table::new(lines, widths)
        .header(Row::new(titles))
        .row_highlight_style(Modifier::REVERSED);
    let mut state =
        TableState::default().with_selected(Some(board.selected.min(rows.len().saturating_sub(1))));
    frame.render_stateful_widget(table, area, &mut state);
}

/// What else is known of a row.
fn about(row: &Value) -> Vec<Line<'static>> {
    let word = |name: &str| line(row[name].as_str().unwrap_or_default());
    let pairs = [
        ("", "query"),
        ("statement ", "id"),
        ("why not from memory: ", "reasons"),
        ("last made untrue by ", "cause"),
        ("", "meaning"),
        ("What helps: ", "remedy"),
    ];
    let said = pairs.iter().filter(|(_, name)| !word(name).is_empty());
    let mut lines = Vec::new();
    let mut small = Vec::new();
    for (before, name) in said {
        match *name {
            "id" | "reasons" | "cause" => small.push(format!("{before}{}", word(name))),
            _ => lines.push(Line::from(format!("{before}{}", word(name)))),
        }
    }
    // The short ones first: a long statement takes what is left.
    if !small.is_empty() {
        lines.insert(0, Line::from(small.join("; ")));
    }
    lines
}

fn footer(board: &Board, paint: Paint) -> Line<'static> {
    let alarm = paint.of(Color::Red).add_modifier(Modifier::BOLD);
    if board.asks {
        let what = match board.paused() {
            true => "Resume the cache?",
            false => "Pause the cache, so that everything goes to the database?",
        };
        return Line::styled(format!("{what} y or n"), alarm);
    }
    match (&board.lost, &board.said) {
        (Some(error), _) => Line::styled(line(error), alarm),
        (None, Some(said)) => Line::from(line(said)),
        (None, None) => Line::styled(
            "q quit  ←→ table  ↑↓ row  s sort by next  r reverse  p pause or resume",
            paint.quiet(),
        ),
    }
}

/// Everything as plain text, for pipes.
pub fn plain(board: &Board) -> String {
    let mut text = String::new();
    let Some(status) = &board.status else {
        return text;
    };
    text += &format!(
        "{} ({})\n{}\n",
        status.title(),
        board.address,
        figures(status)
    );
    let counts = OUTCOMES.map(|(path, name)| format!("{} {name}", count(status.number(path))));
    text += &format!("Since the start: {}\n", counts.join(", "));
    for (at, tab) in TABS.iter().enumerate() {
        text += &format!("\n{}\n", tab.title);
        let rows = board.rows(at);
        if rows.is_empty() {
            text += &format!("{}\n", tab.empty);
            continue;
        }
        let titles = tab.columns.iter().map(|column| column.title.to_owned());
        let lines = rows
            .iter()
            .map(|row| tab.columns.iter().map(|column| cell(row, column)).collect());
        for cells in std::iter::once(titles.collect::<Vec<_>>()).chain(lines) {
            let cells = cells.into_iter().zip(tab.columns);
            let padded = cells.map(|(cell, column)| {
                let width = usize::from(column.width);
                match column.kind {
                    Kind::Text => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                }
            });
            text += padded.collect::<Vec<_>>().join("  ").trim_end();
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::status;
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use std::time::Duration;

    fn painted(board: &Board, width: u16, height: u16, colours: bool) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal
            .draw(|frame| draw(frame, board, Paint { colours }))
            .unwrap();
        let buffer = terminal.backend().buffer();
        if !colours {
            let plain = buffer
                .content
                .iter()
                .all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset);
            assert!(plain, "NO_COLOR");
        }
        let lines = buffer.content.chunks(usize::from(width));
        lines
            .map(|cells| cells.iter().map(|cell| cell.symbol()).collect())
            .collect()
    }

    #[test]
    fn it_fits_any_terminal() {
        let mut board = Board {
            address: "127.0.0.1:9432".into(),
            ..Board::default()
        };
        for known in [false, true] {
            for (width, height) in [(80, 24), (200, 60), (40, 10), (10, 3), (1, 1)] {
                for _ in 0..TABS.len() {
                    painted(&board, width, height, false);
                    board.turn(true);
                }
            }
            if !known {
                board.take(Ok(status(10)), Duration::from_secs(1));
            }
        }
        let screen = painted(&board, 80, 24, true);
        assert!(
            screen[0].starts_with("Larder 1 on  up 60.0 s"),
            "{screen:#?}"
        );
        assert!(
            screen[1]
                .starts_with("Hit ratio 50.0 %  saved 2.0 s  memory 9.8 kB of 1.0 MB, 12 answers"),
            "{screen:#?}"
        );
        assert!(screen[5].contains("SELECT name FROM people"), "{screen:#?}");
        assert!(screen[23].starts_with("q quit"), "{screen:#?}");
        let text = screen.concat() + &plain(&board);
        assert!(!text.contains('\u{1b}') && text.contains("[31mred"));
    }

    #[test]
    fn what_is_asked_and_what_went_wrong_is_said() {
        let mut board = Board::default();
        board.take(Ok(status(10)), Duration::from_secs(1));
        board.asks = true;
        assert!(painted(&board, 80, 24, false)[23].starts_with("Pause the cache"));
        board.asks = false;
        board.take(
            Err("no answer from 127.0.0.1:1: refused".into()),
            Duration::from_secs(1),
        );
        assert!(painted(&board, 80, 24, false)[23].starts_with("no answer"));
    }
}
