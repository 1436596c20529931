//! Looks at the router between the machine's own questions, where that is cheap: somebody else's change of the weight is
//! then seen within seconds, and the journal only hears of it when there is one.

use canary_traffic::Observed;
use futures::FutureExt;

use super::{DriveError, Driver};
use crate::machine::Event;
use crate::run::clock::within;
use crate::run::weights::BOUND;

impl Driver {
    /// Arms the next look, as long as the canary has traffic.
    pub(super) fn look_again(&mut self) {
        let Some((router, every)) = &self.looks else {
            return;
        };
        if self.state.weight_to_watch().is_none() {
            self.look = None;
        } else if self.look.is_none() {
            let (router, clock, every) = (router.clone(), self.clock.clone(), *every);
            let look = async move {
                clock.pause(every).await;
                // A router that does not answer is found by the machine's own questions.
                within(clock.as_ref(), BOUND, router.observe()).await?.ok()
            };
            self.look = Some(look.boxed());
        }
    }

    /// What a look saw.
    pub(super) fn looked(&mut self, seen: Option<Observed>) -> Result<(), DriveError> {
        self.look = None;
        if let Some(seen) = seen
            && self
                .state
                .weight_to_watch()
                .is_some_and(|known| known != seen.weight)
        {
            self.feed(&Event::WeightChanged {
                weight: seen.weight,
                foreign: seen.changed_by.filter(|by| *by != self.options.identity),
            })?;
        }
        self.look_again();
        Ok(())
    }
}
