//! The smallest program around the splitter, for trying it and for the benchmark.
//!
//! ```text
//! cargo run --release -p canary-traffic --example splitter -- 127.0.0.1:8080 http://127.0.0.1:8081 http://127.0.0.1:8082 10
//! ```
//!
//! Serves on one core until Ctrl-C, then drains. A fifth argument is the path of the admin socket:
//! `curl --unix-socket PATH http://splitter/v1/state`.

#![expect(
    clippy::print_stderr,
    reason = "an example talks to the person who runs it"
)]

use std::error::Error;

use canary_traffic::splitter::{Splitter, SplitterOptions};
use tokio_util::sync::CancellationToken;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [listen, stable, canary, weight, rest @ ..] = args.as_slice() else {
        return Err("usage: splitter LISTEN STABLE-URL CANARY-URL WEIGHT [ADMIN-SOCKET]".into());
    };
    let mut options = SplitterOptions::new(listen.parse()?, stable.parse()?, canary.parse()?);
    options.weight = weight.parse()?;
    options.admin = rest.first().map(Into::into);

    // One thread is enough for tens of thousands of requests per second, and has no other thread to wait for.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let splitter = Splitter::bind(options).await?;
        eprintln!("splitting on http://{}, Ctrl-C ends it", splitter.addr());
        let stop = CancellationToken::new();
        let serving = tokio::spawn(splitter.serve(stop.clone()));
        tokio::signal::ctrl_c().await?;
        stop.cancel();
        serving.await?;
        Ok(())
    })
}
