//! Lists of weighted destinations, as Gateway API routes and Istio's VirtualServices have them: what the canary's weight
//! is, and which patch makes it another one.
//!
//! Only lists that name the stable destination are looked at, and in them only the entries of stable and canary are
//! touched. With other destinations in a list, the canary gets its share of what stable had there, and theirs stay.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::object::{Unfit, annotation};
use super::patch::{PatchOperation, annotate, forget};
use super::patched::Wanted;
use super::{ANNOTATION_BEFORE, ANNOTATION_BY};
use crate::Weight;

/// Requests that go to the canary whatever the weight is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// Those with this header and value.
    Header {
        /// Its name.
        name: String,
        /// Its whole value.
        value: String,
    },
    /// Those with this cookie and value.
    Cookie {
        /// Its name.
        name: String,
        /// Its whole value.
        value: String,
    },
}

impl Match {
    /// A regular expression (RE2, the whole header) for a `Cookie` header with that cookie.
    pub(super) fn cookie_pattern(name: &str, value: &str) -> String {
        format!(
            "^(.*;[ ]*)?{}={}([ ]*;.*)?$",
            escape_pattern(name),
            escape_pattern(value)
        )
    }
}

fn escape_pattern(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if !(c.is_ascii_alphanumeric() || c == '_' || c == '-') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// One destination of a list.
#[derive(Clone, Debug)]
pub(super) struct Arm {
    pub index: usize,
    /// As written.
    pub weight: Option<u64>,
    /// What tells it from other destinations: pointer below the entry, and value.
    pub identity: Vec<(&'static str, Value)>,
}

/// One list that names stable.
#[derive(Clone, Debug)]
pub(super) struct List {
    /// Where it is.
    pub pointer: String,
    /// As it was read.
    pub entries: Vec<Value>,
    pub stable: Arm,
    pub canary: Option<Arm>,
    /// The canary's entry, should it be needed; without a weight.
    pub template: Value,
    /// The weight of an entry that has none written.
    pub unwritten: u64,
}

/// How a list was before us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Was {
    /// Stable's weight; none written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stable: Option<u64>,
    /// The canary's weight, where the manifest names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    canary: Option<u64>,
}

/// What it takes to put an object back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    lists: Vec<Was>,
    /// The rules that send matching requests to the canary are ours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    matches: bool,
}

/// The parts of an object that matter here.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub lists: Vec<List>,
    /// Where rules for matching requests go: list of rules, place, rule. Each stands before the rule it is made from.
    pub inserts: Vec<(String, usize, Value)>,
    /// Rules that send nothing but matching requests to nothing but the canary.
    pub matching: Vec<(String, usize, Value)>,
}

impl List {
    /// Stable's and the canary's weight.
    fn weights(&self) -> (u64, u64) {
        let of = |arm: &Arm| arm.weight.unwrap_or(self.unwritten);
        (of(&self.stable), self.canary.as_ref().map_or(0, of))
    }

    /// Whether other destinations have a share.
    fn has_others(&self) -> bool {
        self.entries.len() > 1 + usize::from(self.canary.is_some())
    }

    /// The canary's part of what stable and canary have together.
    pub(super) fn weight(&self) -> Weight {
        let (stable, canary) = self.weights();
        let sum = stable.saturating_add(canary);
        if canary == 0 {
            return Weight::ZERO;
        }
        // Never 0 for a canary that gets something.
        let percent = (canary.saturating_mul(100).saturating_add(sum / 2) / sum).max(1);
        Weight::saturating(u8::try_from(percent).unwrap_or(100))
    }

    /// Stable's and the canary's weight for this share.
    fn split(&self, to: Weight) -> Result<(u64, u64), Unfit> {
        let (stable, canary) = self.weights();
        // Alone the two may have any weights; among others only what they had.
        let whole = if self.has_others() {
            stable.saturating_add(canary)
        } else {
            100
        };
        let part = whole.saturating_mul(u64::from(to.percent()));
        if !part.is_multiple_of(100) {
            return Err(Unfit::new(
                format!(
                    "{} has other destinations, and {to} of stable's weight {whole} there is no whole number",
                    self.pointer
                ),
                "multiply all weights of that list by 100 in the manifest: the shares stay what they are",
            ));
        }
        Ok((whole - part / 100, part / 100))
    }

    fn at(&self, arm: &Arm, below: &str) -> String {
        format!("{}/{}/{below}", self.pointer, arm.index)
    }

    /// The entries are still where they were, and, if asked, the weights too.
    fn tests(&self, weights: bool, operations: &mut Vec<PatchOperation>) {
        for arm in std::iter::once(&self.stable).chain(&self.canary) {
            for (below, value) in &arm.identity {
                operations.push(PatchOperation::test(self.at(arm, below), value.clone()));
            }
            if let (true, Some(weight)) = (weights, arm.weight) {
                operations.push(PatchOperation::test(self.at(arm, "weight"), weight));
            }
        }
    }

    fn write(&self, arm: &Arm, weight: u64, operations: &mut Vec<PatchOperation>) {
        if arm.weight != Some(weight) {
            operations.push(PatchOperation::add(self.at(arm, "weight"), weight));
        }
    }

    /// Sets the share; `tested`: only if the weights are as they were read.
    fn set(
        &self,
        to: Weight,
        tested: bool,
        operations: &mut Vec<PatchOperation>,
    ) -> Result<(), Unfit> {
        let (stable, canary) = self.split(to)?;
        match &self.canary {
            Some(arm) => {
                self.tests(tested, operations);
                self.write(&self.stable, stable, operations);
                self.write(arm, canary, operations);
            }
            None => {
                // Nobody else may have added it meanwhile.
                operations.push(PatchOperation::test(
                    self.pointer.clone(),
                    Value::Array(self.entries.clone()),
                ));
                self.write(&self.stable, stable, operations);
                let mut entry = self.template.clone();
                entry["weight"] = json!(canary);
                operations.push(PatchOperation::add(format!("{}/-", self.pointer), entry));
            }
        }
        Ok(())
    }

    /// Takes the canary's share away. Only where it has one.
    fn off(&self, operations: &mut Vec<PatchOperation>) {
        let (stable, canary) = self.weights();
        if let (Some(arm), true) = (&self.canary, canary > 0) {
            self.tests(false, operations);
            self.write(
                &self.stable,
                stable.saturating_add(canary).max(1),
                operations,
            );
            self.write(arm, 0, operations);
        }
    }

    /// As it was before us.
    fn put_back(&self, was: Option<Was>, operations: &mut Vec<PatchOperation>) {
        let Some(arm) = &self.canary else { return };
        // Without a note, the canary's backend is ours: manifests name stable only.
        let was = was.unwrap_or_else(|| {
            let (stable, canary) = self.weights();
            Was {
                stable: self.has_others().then_some(stable + canary),
                canary: None,
            }
        });
        self.tests(false, operations);
        match (was.stable, self.stable.weight) {
            (Some(weight), _) => self.write(&self.stable, weight, operations),
            (None, Some(_)) => {
                operations.push(PatchOperation::remove(self.at(&self.stable, "weight")));
            }
            (None, None) => {}
        }
        match was.canary {
            // A manifest that gives the canary traffic is refused at the start; nothing gives it any at the end.
            Some(_) => self.write(arm, 0, operations),
            None => operations.push(PatchOperation::remove(format!(
                "{}/{}",
                self.pointer, arm.index
            ))),
        }
    }

    fn was(&self) -> Was {
        Was {
            stable: self.stable.weight,
            canary: self
                .canary
                .as_ref()
                .map(|arm| arm.weight.unwrap_or(self.unwritten)),
        }
    }
}

impl Parts {
    /// The highest share that the canary has anywhere.
    pub(super) fn weight(&self) -> Weight {
        self.lists
            .iter()
            .map(List::weight)
            .max()
            .unwrap_or_default()
    }

    /// All lists agree.
    pub(super) fn is_even(&self) -> bool {
        self.lists
            .windows(2)
            .all(|pair| pair[0].weight() == pair[1].weight())
    }

    /// Matching requests go to the canary.
    pub(super) fn has_matching(&self, object: &Value) -> bool {
        !self.matching.is_empty() && before(object).is_some_and(|before| before.matches)
    }

    /// Stable and canary are both in the manifest, and the canary gets something.
    pub(super) fn shared_in_manifest(&self, object: &Value) -> bool {
        before(object).is_none() && !self.weight().is_zero()
    }

    /// The patch; empty where nothing is to be done.
    pub(super) fn plan(
        &self,
        object: &Value,
        wanted: &Wanted<'_>,
    ) -> Result<Vec<PatchOperation>, Unfit> {
        let mut operations = Vec::new();
        let noted = before(object);
        let has_matching = self.has_matching(object);
        match *wanted {
            Wanted::Weight { to, by } => {
                for list in &self.lists {
                    list.set(to, true, &mut operations)?;
                }
                // A note from before somebody put the manifest back says nothing any more.
                let pristine = self.lists.iter().all(|list| list.canary.is_none());
                let note = match noted {
                    Some(before) if !pristine && before.lists.len() == self.lists.len() => before,
                    _ => Before {
                        lists: self.lists.iter().map(List::was).collect(),
                        matches: false,
                    },
                };
                let note = Before {
                    matches: note.matches || !self.inserts.is_empty(),
                    ..note
                };
                let note = serde_json::to_string(&note).unwrap_or_default();
                annotate(
                    object,
                    &[(ANNOTATION_BY, by.to_owned()), (ANNOTATION_BEFORE, note)],
                    &mut operations,
                );
                if !has_matching {
                    for (rules, place, rule) in self.inserts.iter().rev() {
                        operations.push(PatchOperation::add(
                            format!("{rules}/{place}"),
                            rule.clone(),
                        ));
                    }
                }
            }
            Wanted::Off { by } => {
                for list in &self.lists {
                    list.off(&mut operations);
                }
                if has_matching {
                    self.remove_matching(&mut operations);
                }
                if !operations.is_empty() {
                    annotate(object, &[(ANNOTATION_BY, by.to_owned())], &mut operations);
                }
            }
            Wanted::Gone => {
                let lists = noted
                    .as_ref()
                    .filter(|before| before.lists.len() == self.lists.len());
                for (place, list) in self.lists.iter().enumerate() {
                    let was = lists.map(|before| before.lists[place]);
                    list.put_back(was, &mut operations);
                }
                if has_matching {
                    self.remove_matching(&mut operations);
                }
                forget(object, &mut operations);
            }
        }
        if !operations.iter().any(PatchOperation::is_change) {
            operations.clear();
        }
        Ok(operations)
    }

    fn remove_matching(&self, operations: &mut Vec<PatchOperation>) {
        for (rules, place, rule) in self.matching.iter().rev() {
            let path = format!("{rules}/{place}");
            operations.push(PatchOperation::test(path.clone(), rule.clone()));
            operations.push(PatchOperation::remove(path));
        }
    }
}

fn before(object: &Value) -> Option<Before> {
    serde_json::from_str(annotation(object, ANNOTATION_BEFORE)?).ok()
}
