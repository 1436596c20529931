//! Gates, conditions and evidence (pure), and the sources that evidence comes from (IO).

pub mod evidence;
pub mod exposition;
