//! Where evidence comes from: Prometheus (and all that speaks its API), and the /metrics pages of targets themselves. IO.
//!
//! Before any of these is made, the program installs a TLS provider once: `rustls::crypto::ring::default_provider()
//! .install_default()`, the first thing in `main` (and in tests). Without it, construction answers with a
//! [`SourceError::Setting`](crate::evidence::SourceError::Setting) that says so.

mod http;
pub mod prometheus;
pub mod scrape;

pub use http::{Auth, Tls};
pub use prometheus::{PrometheusOptions, PrometheusSource, Ready};
pub use scrape::{ScrapeOptions, ScrapeReport, Scraper, Targets};
