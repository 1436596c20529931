//! Every graph of three nodes and every graph of four, with sequential and fallback edges and every outcome of every node,
//! against a model of S1 and S2 that is a page long.

use super::build::*;
use crate::machine::{NodePhase, NodeStatus, Outcome, report};
use crate::plan::{EdgeMode, Plan};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Is {
    Done,
    Failed,
    Skipped,
    Blocked,
}

/// Edges by pair (from, to): 0 none, 1 sequential, 2 fallback.
fn edges(size: usize, mut code: usize) -> Vec<(usize, usize, usize)> {
    let mut found = Vec::new();
    for to in 1..size {
        for from in 0..to {
            found.push((from, to, code % 3));
            code /= 3;
        }
    }
    found.retain(|(_, _, mode)| *mode > 0);
    found
}

/// What happens, by the rules; `None`: a failure that nothing handles.
fn model(size: usize, edges: &[(usize, usize, usize)], fails: usize) -> Option<Vec<Is>> {
    let mut is: Vec<Is> = Vec::new();
    // Failures whose handlers lead to the node, and failures behind a node that cannot start.
    let mut handled: Vec<u32> = Vec::new();
    let mut behind: Vec<u32> = Vec::new();
    for node in 0..size {
        let incoming: Vec<_> = edges.iter().filter(|(_, to, _)| *to == node).collect();
        let (mut taken, mut reaches, mut failed) = (incoming.is_empty(), 0_u32, Vec::new());
        for (from, _, mode) in incoming {
            match (is[*from], mode) {
                (Is::Done, 1) => {
                    taken = true;
                    reaches |= handled[*from];
                }
                (Is::Failed, 2) => {
                    taken = true;
                    reaches |= handled[*from] | 1 << from;
                }
                (Is::Failed | Is::Blocked, 1) => failed.push(behind[*from]),
                _ => {}
            }
        }
        let broken: u32 = failed
            .iter()
            .filter(|who| **who & !reaches != 0)
            .fold(0, |all, who| all | who);
        let state = match (taken, broken, failed.is_empty()) {
            (true, 0, _) if fails >> node & 1 == 1 => Is::Failed,
            (true, 0, _) => Is::Done,
            (false, 0, true) => Is::Skipped,
            _ => Is::Blocked,
        };
        if state == Is::Failed
            && !edges
                .iter()
                .any(|(from, _, mode)| *from == node && *mode == 2)
        {
            return None;
        }
        handled.push(reaches);
        behind.push(match state {
            Is::Failed => 1 << node,
            Is::Blocked => failed.iter().fold(0, |all, who| all | who),
            _ => 0,
        });
        is.push(state);
    }
    Some(is)
}

fn plan_of(size: usize, edges: &[(usize, usize, usize)]) -> Plan {
    let mut plan = plan();
    for node in 0..size {
        plan.add(&format!("n{node}"), task());
    }
    for (from, to, mode) in edges {
        let mode = if *mode == 1 {
            EdgeMode::Sequential
        } else {
            EdgeMode::Fallback(None)
        };
        plan.edge(&format!("n{from}"), &format!("n{to}"), mode);
    }
    plan
}

fn check(size: usize) {
    let pairs = u32::try_from(size * (size - 1) / 2).unwrap();
    for code in 0..3_usize.pow(pairs) {
        let edges = edges(size, code);
        let plan = plan_of(size, &edges);
        for fails in 0..1_usize << size {
            let wanted = model(size, &edges, fails);
            let mut world = Told::good(&plan);
            world.nodes = Box::new(move |id, _, _| {
                let index: usize = id[1..].parse().unwrap();
                let failed = fails >> index & 1 == 1;
                Some((
                    secs(1),
                    result(if failed {
                        NodeStatus::Failed
                    } else {
                        NodeStatus::Completed
                    }),
                ))
            });
            let simulation = run(&plan, world);
            let place = format!("edges {edges:?}, failing {fails:b}");
            let Some(wanted) = wanted else {
                assert_eq!(
                    simulation.state().outcome(),
                    Some(Outcome::Failed),
                    "{place}"
                );
                continue;
            };
            let stuck = wanted.contains(&Is::Blocked);
            let outcome = if stuck {
                Outcome::Failed
            } else {
                Outcome::Completed
            };
            assert_eq!(simulation.state().outcome(), Some(outcome), "{place}");
            let seen = report(&plan, simulation.state(), simulation.now());
            let was: Vec<_> = seen
                .nodes
                .iter()
                .map(|node| match node.status {
                    NodePhase::Completed => Is::Done,
                    NodePhase::Failed => Is::Failed,
                    NodePhase::Skipped => Is::Skipped,
                    _ => Is::Blocked,
                })
                .collect();
            assert_eq!(was, wanted, "{place}");
        }
    }
}

#[test]
fn every_graph_of_three() {
    check(3);
}

#[test]
fn every_graph_of_four() {
    check(4);
}
