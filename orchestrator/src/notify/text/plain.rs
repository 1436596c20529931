//! For terminals, logs and mails.

use super::{Message, time};

/// Lines of text, without a line end at the end.
pub fn plain(message: &Message) -> String {
    let mut lines = vec![format!(
        "{} {}: {}",
        message.service,
        message.title(),
        message.headline
    )];
    let mut section = |name: &str, items: &[String]| {
        for (index, item) in items.iter().enumerate() {
            let head = if index == 0 { name } else { "" };
            lines.push(format!("  {head:<6}{item}"));
        }
    };
    section("Why:", &message.why);
    section("Cost:", message.cost.as_slice());
    if !message.done.is_empty() {
        section("Done:", std::slice::from_ref(&message.done));
    }
    section("Next:", &message.next);
    section(
        "Run:",
        &[format!(
            "{} of {}, {}",
            message.run,
            message.workflow,
            time(message.at)
        )],
    );
    lines.join("\n")
}
