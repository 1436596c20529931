//! The live view: the status of a run on the alternate screen, drawn again when something changes. What was on the
//! terminal before is there again afterwards.

use std::io;
use std::mem::ManuallyDrop;
use std::panic;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as TextLine, Span, Text};
use tokio::sync::mpsc;

use super::span::{Line, Tone};

/// What a person typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// Ctrl-C.
    Interrupt,
    /// `q`, where watching is all that is done.
    Quit,
    /// The terminal has another size: draw again.
    Resized,
}

/// The alternate screen; dropping it puts the terminal back.
#[derive(Debug)]
pub(crate) struct Screen {
    /// Never dropped: ratatui's own drop prints where the cursor cannot be shown again, and printing on a terminal that is
    /// gone is a panic.
    terminal: ManuallyDrop<ratatui::DefaultTerminal>,
    color: bool,
}

impl Screen {
    /// Switches to it. The keys come on the channel, because a raw terminal sends no signal on Ctrl-C.
    pub(crate) fn enter(color: bool) -> io::Result<(Self, mpsc::UnboundedReceiver<Key>)> {
        let said = panic::take_hook();
        let terminal = ratatui::try_init();
        // Instead of ratatui's: that prints too, and a panic within a panic ends the process with traffic as it is.
        panic::set_hook(Box::new(move |info| {
            let _gone = ratatui::try_restore();
            said(info);
        }));
        let terminal = ManuallyDrop::new(terminal?);
        let (sender, keys) = mpsc::unbounded_channel();
        std::thread::Builder::new()
            .name("keys".to_owned())
            .spawn(move || read_keys(&sender))?;
        Ok((Self { terminal, color }, keys))
    }

    /// Columns and rows.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.terminal.size().map_or((80, 24), |size| {
            (usize::from(size.width), usize::from(size.height))
        })
    }

    /// Shows these lines.
    pub(crate) fn draw(&mut self, lines: &[Line]) -> io::Result<()> {
        let text: Text<'_> = lines.iter().map(|line| styled(line, self.color)).collect();
        self.terminal
            .draw(|frame| frame.render_widget(text, frame.area()))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone cannot be put back; saying so on it would be a panic.
        if let Err(error) = self.terminal.show_cursor().and(ratatui::try_restore()) {
            tracing::warn!(%error, "the terminal could not be put back");
        }
    }
}

fn styled(line: &Line, color: bool) -> TextLine<'static> {
    line.pieces()
        .map(|(text, tone)| Span::styled(text.to_owned(), style(tone, color)))
        .collect()
}

fn style(tone: Tone, color: bool) -> Style {
    let plain = Style::default();
    let colored = |wanted: Color| if color { plain.fg(wanted) } else { plain };
    match tone {
        Tone::Plain => plain,
        Tone::Dim if color => plain.add_modifier(Modifier::DIM),
        Tone::Dim => plain,
        Tone::Strong => plain.add_modifier(Modifier::BOLD),
        Tone::Good => colored(Color::Green),
        Tone::Bad => colored(Color::Red).add_modifier(Modifier::BOLD),
        Tone::Warn => colored(Color::Yellow).add_modifier(Modifier::BOLD),
        Tone::Busy => colored(Color::Cyan),
    }
}

/// Ends when nobody listens any more.
fn read_keys(sender: &mpsc::UnboundedSender<Key>) {
    while !sender.is_closed() {
        match event::poll(Duration::from_millis(250)) {
            Ok(false) => continue,
            Ok(true) => {}
            Err(_) => return,
        }
        let key = match event::read() {
            Ok(Event::Key(key)) if key.kind == KeyEventKind::Press => match key.code {
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                    Key::Interrupt
                }
                KeyCode::Char('q') => Key::Quit,
                _ => continue,
            },
            Ok(Event::Resize(..)) => Key::Resized,
            Ok(_) => continue,
            Err(_) => return,
        };
        if sender.send(key).is_err() {
            return;
        }
    }
}
