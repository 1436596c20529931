//! The share of requests that each version gets, over real connections.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use support::{Backend, answer, http1, http2, serve, weight};

/// Sends that many requests, one after the other over kept connections of each of the clients, which run at once.
async fn load(serving: &support::Serving, clients: usize, each: usize, h2: bool) -> usize {
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let requests: Vec<_> = (0..each).map(|_| serving.get("/")).collect();
            tokio::spawn(async move {
                let client = if h2 { http2() } else { http1() };
                let mut canary = 0;
                for request in requests {
                    let (status, body) = answer(&client, request).await;
                    assert_eq!(status, 200);
                    canary += usize::from(body == "canary");
                }
                canary
            })
        })
        .collect();
    let mut canary = 0;
    for task in tasks {
        canary += task.await.unwrap();
    }
    canary
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_share_is_the_weight() {
    let stable = Backend::saying("stable").await;
    let canary = Backend::saying("canary").await;
    for percent in [0, 1, 10, 50, 99, 100] {
        let serving = serve(stable.uri(), canary.uri(), percent, |_| {}).await;
        // 1,000 in a row on one connection, exact because they are whole blocks.
        let got = load(&serving, 1, 1000, false).await;
        assert_eq!(got, usize::from(percent) * 10, "{percent} %, one client");
        // And the ones after those, from several clients at once, half of them over HTTP/2. Nothing or everything needs
        // no large sample.
        let each = if percent % 100 == 0 { 100 } else { 1000 };
        let h1 = load(&serving, 5, each, false).await;
        let h2 = load(&serving, 4, each, true).await;
        let all = 1000 + 9 * each;
        let want = usize::from(percent) * all / 100;
        assert_eq!(got + h1 + h2, want, "{percent} % of {all}");
        // What it says of itself is what the versions saw.
        let state = serving.handle.state();
        assert_eq!(state.requests.canary, want as u64);
        assert_eq!(state.requests.stable, (all - want) as u64);
        assert_eq!(serving.requests("canary", "2xx"), want as u64);
        assert_eq!((state.in_flight.stable, state.in_flight.canary), (0, 0));
        assert_eq!(state.weight, weight(percent));
    }
}
