//! What people see of a run. Everything renders the one `Report`; the lines are made once and shown as plain text, as
//! coloured text, or in the live view.

pub(crate) mod afterwards;
pub(crate) mod analysis;
mod gates;
pub(crate) mod html;
pub(crate) mod live;
pub(crate) mod log;
pub(crate) mod repeats;
pub(crate) mod safe;
pub(crate) mod said;
pub(crate) mod span;
pub(crate) mod sparkline;
pub(crate) mod status;
pub(crate) mod time;
