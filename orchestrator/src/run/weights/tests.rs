use std::sync::Mutex;

use canary_traffic::{Acceptance, RouterError, RouterErrorKind};
use proptest::prelude::*;

use super::*;
use crate::run::clock::virtual_time::VirtualClock;

/// A router in which a write lands some time after it was sent, and comes back some time after it landed.
#[derive(Debug)]
struct Slow {
    clock: VirtualClock,
    delays: Mutex<Vec<(u64, u64, bool)>>,
    weight: Mutex<Weight>,
    landed: Mutex<Vec<(Weight, jiff::Timestamp)>>,
    /// What was asked for last when each raise was sent.
    asked: Mutex<Weight>,
    stale: Mutex<u32>,
}

impl Slow {
    fn new(clock: &VirtualClock, delays: Vec<(u64, u64, bool)>) -> Arc<Self> {
        Arc::new(Self {
            clock: clock.clone(),
            delays: Mutex::new(delays),
            weight: Mutex::default(),
            landed: Mutex::default(),
            asked: Mutex::default(),
            stale: Mutex::default(),
        })
    }

    fn weight(&self) -> Weight {
        *self.weight.lock().unwrap()
    }

    fn observed(&self) -> Observed {
        Observed {
            weight: self.weight(),
            accepted: Acceptance::Accepted,
            changed_by: None,
            changed_at: None,
            requests: None,
        }
    }
}

impl Router for Slow {
    fn name(&self) -> String {
        "a slow router".to_owned()
    }

    fn observe(&self) -> BoxFuture<'_, Result<Observed, RouterError>> {
        async { Ok(self.observed()) }.boxed()
    }

    fn take_off(&self) -> BoxFuture<'_, Result<Observed, RouterError>> {
        self.set_weight(Weight::ZERO, Weight::ZERO)
    }

    fn set_weight(
        &self,
        _from: Weight,
        weight: Weight,
    ) -> BoxFuture<'_, Result<Observed, RouterError>> {
        if !weight.is_zero() && *self.asked.lock().unwrap() != weight {
            *self.stale.lock().unwrap() += 1;
        }
        let (before, after, fails) = self.delays.lock().unwrap().pop().unwrap_or((0, 0, false));
        async move {
            self.clock.pause(Duration::from_millis(before)).await;
            *self.weight.lock().unwrap() = weight;
            self.landed.lock().unwrap().push((weight, self.clock.now()));
            self.clock.pause(Duration::from_millis(after)).await;
            if fails {
                let kind = RouterErrorKind::TimedOut;
                return Err(RouterError::new(
                    kind,
                    "set the weight",
                    "nothing",
                    "try again",
                ));
            }
            Ok(self.observed())
        }
        .boxed()
    }

    fn remove(&self) -> BoxFuture<'_, Result<(), RouterError>> {
        async { Ok(()) }.boxed()
    }
}

fn weight(percent: u8) -> Weight {
    Weight::try_from(percent).unwrap()
}

fn start(router: &Arc<Slow>) -> (Weights, mpsc::UnboundedReceiver<Said>) {
    let (said, answers) = mpsc::unbounded_channel();
    (
        Weights::start(router.clone(), Arc::new(router.clock.clone()), said),
        answers,
    )
}

#[tokio::test]
async fn a_zero_does_not_wait_for_a_raise_that_hangs_and_has_the_last_word() {
    let clock = VirtualClock::new();
    // Popped from the end: the raise lands after 3 s, the zeros at once.
    let router = Slow::new(
        &clock,
        vec![(0, 0, false), (1, 1, false), (3_000, 100, false)],
    );
    let (weights, mut answers) = start(&router);
    let begin = clock.now();
    clock
        .drive(async {
            weights.set(1, weight(50));
            clock.pause(Duration::from_millis(10)).await;
            weights.set(2, Weight::ZERO);
            let said = answers.recv().await.unwrap();
            assert_eq!(
                (said.command, said.result.unwrap().weight),
                (2, Weight::ZERO)
            );
            assert!(clock.now() <= crate::run::clock::after(begin, Duration::from_millis(15)));
            clock.pause(Duration::from_secs(5)).await;
        })
        .await;
    let landed: Vec<_> = router
        .landed
        .lock()
        .unwrap()
        .iter()
        .map(|(weight, _)| weight.percent())
        .collect();
    assert_eq!(
        landed,
        [0, 50, 0],
        "the raise landed late, and 0 was written again"
    );
    assert!(
        answers.try_recv().is_err(),
        "what was overtaken is not answered"
    );
}

#[tokio::test]
async fn a_raise_that_comes_after_its_time_is_refused() {
    let clock = VirtualClock::new();
    let router = Slow::new(&clock, vec![]);
    let (weights, mut answers) = start(&router);
    clock
        .drive(async {
            weights.set(9, Weight::ZERO);
            weights.set(7, weight(50));
            assert_eq!(answers.recv().await.unwrap().command, 9);
            clock.pause(Duration::from_secs(1)).await;
        })
        .await;
    assert_eq!(router.landed.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn off_goes_on_until_the_router_says_so_and_refuses_raises() {
    let clock = VirtualClock::new();
    let router = Slow::new(
        &clock,
        vec![(0, 0, true), (0, 0, true), (0, 0, true), (0, 0, false)],
    );
    let (weights, mut answers) = start(&router);
    clock
        .drive(async {
            weights.set(1, weight(50));
            assert!(answers.recv().await.unwrap().result.is_ok());
            weights.off().await;
            weights.set(2, weight(60));
            assert!(
                answers
                    .recv()
                    .await
                    .unwrap()
                    .result
                    .unwrap_err()
                    .contains("journal")
            );
            weights.observe(3);
            assert_eq!(
                answers.recv().await.unwrap().result.unwrap().weight,
                Weight::ZERO
            );
        })
        .await;
    assert_eq!(
        router.landed.lock().unwrap().len(),
        5,
        "three failed tries and the one that worked"
    );
}

#[tokio::test]
async fn a_router_that_never_answers_is_an_error_in_bounded_time() {
    let clock = VirtualClock::new();
    let router = Slow::new(&clock, vec![(3_600_000, 0, false)]);
    let (weights, mut answers) = start(&router);
    let begin = clock.now();
    let said = clock
        .drive(async {
            weights.set(1, weight(50));
            answers.recv().await.unwrap()
        })
        .await;
    assert!(
        said.result
            .unwrap_err()
            .contains("did not answer within 10s")
    );
    assert_eq!(clock.now(), crate::run::clock::after(begin, BOUND));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is asked for when, and however long calls take: in the end the router has what was asked for last, and
    /// after a 0 was answered as the last word, no raise changes it for longer than it takes to come back.
    #[test]
    fn the_last_word_holds(
        asked in prop::collection::vec((0_u64..400, prop::sample::select(vec![0_u8, 0, 10, 50, 100]), any::<bool>()), 1..12),
        delays in prop::collection::vec((0_u64..500, 0_u64..500, Just(false)), 0..24),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let clock = VirtualClock::new();
        let router = Slow::new(&clock, delays);
        let last = asked.last().unwrap().1;
        let answers = runtime.block_on(clock.drive(async {
            let (weights, mut answers) = start(&router);
            for (command, (pause, percent, look)) in (1..).zip(&asked) {
                clock.pause(Duration::from_millis(*pause)).await;
                weights.set(command * 2, weight(*percent));
                *router.asked.lock().unwrap() = weight(*percent);
                if *look {
                    weights.observe(command * 2 + 1);
                }
            }
            clock.pause(Duration::from_mins(1)).await;
            let mut said = Vec::new();
            while let Ok(answer) = answers.try_recv() {
                said.push(answer.command);
            }
            said
        }));
        prop_assert_eq!(router.weight(), weight(last));
        let newest = asked.len() as u64 * 2;
        prop_assert!(answers.contains(&newest), "the newest command is always answered");
        prop_assert_eq!(*router.stale.lock().unwrap(), 0, "a raise was sent that was not wanted any more");
        // A raise that was on its way when it was overtaken may land late; 0 comes after it.
        if last == 0 {
            prop_assert!(router.landed.lock().unwrap().last().unwrap().0.is_zero());
        }
    }
}
