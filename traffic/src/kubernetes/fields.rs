//! Who wrote a field last, by `metadata.managedFields`.

use jiff::Timestamp;
use serde_json::Value;

use super::object::annotation;
use super::{ANNOTATION_BY, FIELD_MANAGER};

/// Who wrote a field, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The run or person where it was us, else the field manager's name and how it wrote.
    pub who: String,
    /// When that manager last wrote to the object.
    pub at: Option<Timestamp>,
}

/// Who wrote the field at `path` last, such as `["spec", "rules"]`. Lists that are atomic have no fields of their own:
/// whoever owns a part of the way owns what is below it.
pub(super) fn last_writer(object: &Value, path: &[&str]) -> Option<Writer> {
    let entries = object.pointer("/metadata/managedFields")?.as_array()?;
    let owners = entries.iter().filter(|entry| {
        entry
            .get("fieldsV1")
            .is_some_and(|fields| owns(fields, path))
    });
    let newest = owners
        .enumerate()
        .max_by_key(|(place, entry)| (time(entry), *place))
        .map(|(_, entry)| entry)?;
    let manager = newest.get("manager").and_then(Value::as_str).unwrap_or("");
    let operation = newest
        .get("operation")
        .and_then(Value::as_str)
        .unwrap_or("");
    let who = if manager == FIELD_MANAGER {
        annotation(object, ANNOTATION_BY).map_or_else(|| FIELD_MANAGER.to_owned(), str::to_owned)
    } else if operation == "Apply" {
        format!("{manager} (server-side apply)")
    } else {
        manager.to_owned()
    };
    Some(Writer {
        who,
        at: time(newest),
    })
}

fn time(entry: &Value) -> Option<Timestamp> {
    entry.get("time")?.as_str()?.parse().ok()
}

fn owns(fields: &Value, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return true;
    };
    let Some(fields) = fields.as_object() else {
        return false;
    };
    if fields.is_empty() {
        return true;
    }
    fields
        .get(&format!("f:{first}"))
        .is_some_and(|below| owns(below, rest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(managers: Value) -> Value {
        json!({"metadata": {"annotations": {ANNOTATION_BY: "run checkout-7"}, "managedFields": managers}})
    }

    #[test]
    fn the_newest_owner_of_the_field_wrote_it() {
        let rules = json!({"f:spec": {"f:rules": {}}});
        let object = object(json!([
            {"manager": "kubectl-client-side-apply", "operation": "Update", "time": "2026-11-21T10:00:00Z", "fieldsV1": rules},
            {"manager": "argocd", "operation": "Apply", "time": "2026-11-21T10:00:05Z", "fieldsV1": rules},
            {"manager": "contour", "operation": "Update", "time": "2026-11-21T11:00:00Z", "fieldsV1": {"f:status": {}}},
        ]));
        let writer = last_writer(&object, &["spec", "rules"]).unwrap();
        assert_eq!(writer.who, "argocd (server-side apply)");
        assert_eq!(writer.at, Some("2026-11-21T10:00:05Z".parse().unwrap()));
        // What is below an atomic list belongs to whoever owns the list.
        assert!(last_writer(&object, &["spec", "rules", "0"]).is_some());
        assert_eq!(last_writer(&object, &["spec", "hostnames"]), None);
    }

    #[test]
    fn our_own_writes_carry_the_run() {
        let ours = json!([{"manager": "canary", "operation": "Update", "time": "2026-11-21T10:00:00Z", "fieldsV1": {"f:spec": {"f:rules": {}}}}]);
        let object = object(ours);
        assert_eq!(
            last_writer(&object, &["spec", "rules"]).unwrap().who,
            "run checkout-7"
        );
    }

    #[test]
    fn an_object_without_managers_names_nobody() {
        assert_eq!(last_writer(&json!({}), &["spec"]), None);
        assert_eq!(
            last_writer(
                &json!({"metadata": {"managedFields": [{"manager": 3}]}}),
                &["spec"]
            ),
            None
        );
    }
}
