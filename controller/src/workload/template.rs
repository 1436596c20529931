//! Whether two pod templates are the same version.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Set by `kubectl rollout restart`: the same version again.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";

/// Set by the Deployment controller on the templates of its ReplicaSets.
const HASH_LABEL: &str = "pod-template-hash";

/// A short fingerprint of a pod template: equal for a Deployment's template and that of the ReplicaSet made from it, and for
/// a restart of the same version. 16 hexadecimal digits.
pub fn hash(template: &Value) -> String {
    let mut hash = Sha256::new();
    feed(&mut hash, template, &mut Vec::new());
    hash.finalize()
        .iter()
        .take(8)
        .fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ok = write!(text, "{byte:02x}");
            text
        })
}

/// The template of a ReplicaSet as its Deployment has it.
pub fn of_replica_set(replica_set: &Value) -> Option<Value> {
    let mut template = replica_set.pointer("/spec/template")?.clone();
    if let Some(labels) = template
        .pointer_mut("/metadata/labels")
        .and_then(Value::as_object_mut)
    {
        labels.remove(HASH_LABEL);
    }
    Some(template)
}

/// Members in the order of their names, without nulls and empty maps, which an API server leaves out or not as it likes.
fn feed<'a>(hash: &mut Sha256, value: &'a Value, path: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            hash.update(b"{");
            for name in names {
                let member = &members[name];
                let ours = match path.as_slice() {
                    ["metadata", "labels"] => name == HASH_LABEL,
                    ["metadata", "annotations"] => name == RESTARTED,
                    _ => false,
                };
                path.push(name);
                let nothing = is_nothing(member, path);
                if !ours && !nothing {
                    hash.update((name.len() as u64).to_le_bytes());
                    hash.update(name.as_bytes());
                    feed(hash, member, path);
                }
                path.pop();
            }
            hash.update(b"}");
        }
        Value::Array(items) => {
            hash.update(b"[");
            for item in items {
                feed(hash, item, path);
            }
            hash.update(b"]");
        }
        other => {
            let text = other.to_string();
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
    }
}

/// Says nothing: a null, or annotations of which none counts.
fn is_nothing(value: &Value, path: &[&str]) -> bool {
    match (value, path) {
        (Value::Null, _) => true,
        (Value::Object(members), ["metadata", "annotations"]) => {
            members.keys().all(|name| name == RESTARTED)
        }
        (Value::Object(members), ["metadata", ..]) => members.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_version_whoever_wrote_it_down() {
        let deployment = json!({"metadata": {"creationTimestamp": null, "labels": {"app": "a"}},
            "spec": {"containers": [{"name": "a", "image": "a:1"}], "volumes": [{"name": "v", "emptyDir": {}}]}});
        let replica_set = json!({"spec": {"template": {"spec": {"volumes": [{"emptyDir": {}, "name": "v"}],
            "containers": [{"image": "a:1", "name": "a"}]}, "metadata": {"labels": {"pod-template-hash": "x", "app": "a"}}}}});
        let template = of_replica_set(&replica_set).unwrap();
        assert_eq!(hash(&deployment), hash(&template));
        assert_eq!(hash(&deployment).len(), 16);
        let mut restarted = deployment.clone();
        restarted["metadata"]["annotations"] = json!({RESTARTED: "2026-11-21T10:00:00Z"});
        assert_eq!(hash(&deployment), hash(&restarted));
    }

    #[test]
    fn anything_else_is_another_version() {
        let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a:1", "args": ["b", "c"]}]}});
        let mut seen = std::collections::BTreeSet::from([hash(&template)]);
        for (path, value) in [
            ("/spec/containers/0/image", json!("a:2")),
            ("/spec/containers/0/args", json!(["c", "b"])),
            ("/metadata/labels", json!({"app": "b"})),
            ("/metadata/labels", json!({"app": "a", "x": "y"})),
        ] {
            let mut other = template.clone();
            *other.pointer_mut(path).unwrap() = value;
            assert!(seen.insert(hash(&other)), "{other}");
        }
    }
}
