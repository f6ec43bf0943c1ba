//! The picture of a [`Model`]. Words carry the meaning; colours only repeat it.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table, TableState};

use super::model::{Model, Row, Task};
use crate::decisions::{Tone, told};
use crate::stats::figures::{bytes, cpu, health, memory, pids, span};

const KEYS: &str =
    "arrows choose   a allow   o allow 10 min   s allow and save   d deny   t task   q quit";

/// Whether there are colours, and what time it is.
#[derive(Debug, Clone)]
pub struct Look {
    /// Colours.
    pub color: bool,
    /// Now.
    pub now: Timestamp,
    /// The clock of whoever looks.
    pub zone: TimeZone,
}

impl Look {
    fn paint(&self, tone: Tone) -> Style {
        let style = Style::default();
        let color = |color| if self.color { style.fg(color) } else { style };
        match tone {
            Tone::Fine => color(Color::Green),
            Tone::Refused => color(Color::Red),
            Tone::Failed => color(Color::Yellow),
            Tone::Quiet => style.add_modifier(Modifier::DIM),
        }
    }

    fn clock(&self, at: Timestamp) -> String {
        let zoned = at.to_zoned(self.zone.clone());
        format!(
            "{:02}:{:02}:{:02}",
            zoned.hour(),
            zoned.minute(),
            zoned.second()
        )
    }
}

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, model: &Model, look: &Look) {
    let area = frame.area();
    let tasks = u16::try_from(model.tasks().count()).unwrap_or(u16::MAX);
    let tasks = tasks.saturating_add(1).min(area.height / 3).max(2);
    let [head, top, title, blocked, second, feed, note, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(tasks),
        Constraint::Length(1),
        Constraint::Fill(3),
        Constraint::Length(1),
        Constraint::Fill(2),
        Constraint::Length(2),
        Constraint::Length(1),
    ])
    .areas(area);
    let bold = Style::default().add_modifier(Modifier::BOLD);
    let whose = match model.only() {
        Some(id) => format!("task {id}"),
        None => "all tasks".to_owned(),
    };
    let line = format!("agentnet watch: {whose}, {}", look.clock(look.now));
    frame.render_widget(Paragraph::new(Line::styled(line, bold)), head);
    draw_tasks(frame, top, model, look);
    let rows = model.rows();
    let others = match model.others() {
        0 => String::new(),
        count => format!(", and {count} requests for hosts beyond these"),
    };
    let quiet = rows.iter().filter(|row| row.blocked.quiet).count();
    let text = format!(
        "did not get through: {} hosts, and {quiet} quietly{others}",
        rows.len() - quiet
    );
    frame.render_widget(Paragraph::new(Line::styled(text, bold)), title);
    draw_blocked(frame, blocked, model, &rows, look);
    frame.render_widget(Paragraph::new(Line::styled("decisions", bold)), second);
    draw_feed(frame, feed, model, look);
    let (word, style) = match model.note.bad {
        true => ("! ", look.paint(Tone::Failed)),
        false => ("", Style::default()),
    };
    let text = format!("{word}{}", model.note.text);
    let wrap = ratatui::widgets::Wrap { trim: true };
    frame.render_widget(Paragraph::new(text).style(style).wrap(wrap), note);
    let dim = Style::default().add_modifier(Modifier::DIM);
    frame.render_widget(Paragraph::new(Line::styled(KEYS, dim)), keys);
}

fn draw_tasks(frame: &mut Frame<'_>, area: Rect, model: &Model, look: &Look) {
    let header = [
        "TASK", "STATE", "HEALTH", "CPU", "MEMORY", "PIDS", "UP", "DOWN", "REFUSED", "AGE",
    ];
    let widths = [
        Constraint::Fill(2),
        Constraint::Fill(1),
        Constraint::Length(9),
        Constraint::Length(5),
        Constraint::Length(10),
        Constraint::Length(9),
        Constraint::Length(5),
        Constraint::Length(5),
        Constraint::Length(7),
        Constraint::Length(4),
    ];
    let mut rows: Vec<_> = model
        .tasks()
        .map(|task| task_row(task, model, look))
        .collect();
    // What does not fit is counted, not hidden.
    let room = usize::from(area.height.saturating_sub(1));
    if rows.len() > room {
        let hidden = rows.len() - room.saturating_sub(1);
        rows.truncate(room.saturating_sub(1));
        rows.push(TableRow::new([format!("and {hidden} more: t")]));
    }
    if rows.is_empty() {
        rows.push(TableRow::new(["no task is there"]));
    }
    let bold = Style::default().add_modifier(Modifier::UNDERLINED);
    let table = Table::new(rows, widths).header(TableRow::new(header).style(bold));
    frame.render_widget(table, area);
}

fn task_row<'a>(task: &'a Task, model: &Model, look: &Look) -> TableRow<'a> {
    let stats = task.stats.as_ref();
    let load = stats.and_then(|stats| stats.agent.as_ref());
    let traffic = stats.and_then(|stats| stats.traffic.as_ref());
    let figure = |of: fn(&crate::stats::Traffic) -> String| traffic.map(of).unwrap_or_default();
    let (state, tone) = match (&task.lost, task.record.phase.is_up(), stats) {
        (Some(why), true, _) => (format!("no decisions: {why}"), Tone::Failed),
        (_, true, Some(stats)) if stats.state == "up" => (stats.state.clone(), Tone::Fine),
        (_, true, Some(stats)) => (stats.state.clone(), Tone::Failed),
        (_, true, None) => ("…".to_owned(), Tone::Quiet),
        (_, false, _) => (task.record.phase.to_string(), Tone::Quiet),
    };
    let age = look.now.duration_since(task.record.since).as_secs();
    TableRow::new([
        Cell::from(model.name(&task.record.task)),
        Cell::from(Span::styled(state, look.paint(tone))),
        Cell::from(health(stats.and_then(|stats| stats.health))),
        Cell::from(cpu(load)),
        Cell::from(memory(load)),
        Cell::from(pids(load)),
        Cell::from(figure(|t| bytes(t.up))),
        Cell::from(figure(|t| bytes(t.down))),
        Cell::from(figure(|t| t.denied.to_string())),
        Cell::from(span(age)),
    ])
}

fn draw_blocked(frame: &mut Frame<'_>, area: Rect, model: &Model, rows: &[Row<'_>], look: &Look) {
    let one = model.only().is_some();
    let task = if one { 0 } else { 19 };
    let mut widths = vec![
        Constraint::Length(18),
        Constraint::Fill(3),
        Constraint::Length(6),
        Constraint::Length(8),
        Constraint::Length(17),
        Constraint::Fill(2),
    ];
    // As the layout will have it, so that a long host keeps its end.
    let rest = area.width.saturating_sub(2 + task + 6 + 8 + 17 + 4);
    let room = usize::from(rest) * 3 / 5;
    let made = rows.iter().map(|row| blocked_row(row, model, room, look));
    let underlined = Style::default().add_modifier(Modifier::UNDERLINED);
    let mut header = vec!["TASK", "HOST", "TIMES", "LAST", "REASON", "HOW"];
    if one {
        header.remove(0);
        widths.remove(0);
    }
    let table = Table::new(made, widths)
        .header(TableRow::new(header).style(underlined))
        .row_highlight_style(Style::default().add_modifier(Modifier::REVERSED))
        .highlight_symbol("> ")
        .highlight_spacing(ratatui::widgets::HighlightSpacing::Always);
    let mut state = TableState::new().with_selected(model.selected(rows));
    frame.render_stateful_widget(table, area, &mut state);
}

fn blocked_row<'a>(row: &'a Row<'a>, model: &Model, room: usize, look: &Look) -> TableRow<'a> {
    let blocked = row.blocked;
    let (reason, tone) = match (row.settled, blocked.quiet, blocked.refused) {
        (Some(settled), _, _) => (settled.to_owned(), Tone::Fine),
        (None, true, _) => (format!("({})", blocked.reason), Tone::Quiet),
        (None, false, true) => (blocked.reason.to_string(), Tone::Refused),
        (None, false, false) => (blocked.reason.to_string(), Tone::Failed),
    };
    let ways = blocked.ways.iter().map(|(way, _)| way.as_str().to_owned());
    let agents = blocked.agents.iter().map(ToString::to_string);
    let how: Vec<_> = ways.chain(agents).collect();
    let mut cells = vec![
        Cell::from(model.name(&row.place.task)),
        Cell::from(tail(&blocked.target(), room)),
        Cell::from(blocked.count.to_string()),
        Cell::from(look.clock(blocked.last)),
        Cell::from(Span::styled(reason, look.paint(tone))),
        Cell::from(how.join(", ")),
    ];
    if model.only().is_some() {
        cells.remove(0);
    }
    TableRow::new(cells)
}

fn draw_feed(frame: &mut Frame<'_>, area: Rect, model: &Model, look: &Look) {
    let lines: Vec<_> = model
        .feed()
        .rev()
        .take(usize::from(area.height))
        .map(|(id, event)| {
            let told = told(event);
            let whose = match model.only() {
                Some(_) => String::new(),
                None => format!("{} ", model.name(id)),
            };
            Line::from(vec![
                Span::raw(format!("{} {whose}", look.clock(event.time))),
                Span::styled(told.word, look.paint(told.tone)),
                Span::raw(format!(" {}", told.text)),
            ])
        })
        .collect();
    // The newest at the bottom, as in a log.
    let lines: Vec<_> = lines.into_iter().rev().collect();
    frame.render_widget(Paragraph::new(lines), area);
}

/// The end of a long text: of a host it is what says whose it is.
fn tail(text: &str, room: usize) -> String {
    let count = text.chars().count();
    if count <= room {
        return text.to_owned();
    }
    let kept = text.chars().skip(count.saturating_sub(room.max(2) - 1));
    std::iter::once('…').chain(kept).collect()
}

#[cfg(test)]
mod tests;
