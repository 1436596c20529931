//! Gates, conditions and evidence (pure), and the sources that evidence comes from (IO).

pub mod duration;
pub mod evidence;
pub mod exposition;
pub mod expr;
pub mod gate;
pub mod metric;
pub mod source;
pub mod unit;
