//! What a pod asks of a node: resources, labels, and which taints it tolerates.

use kwhy_sdk::{Json, ObjectRef, World};

use crate::{
    place::Place,
    quantity::{self, Amount},
    volume::Bound,
};

/// What the pod asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    /// Requests by resource, sorted by name.
    pub(crate) requests: Vec<(String, Amount)>,
    tolerations: Vec<Json>,
    selector: Vec<(String, String)>,
    terms: Option<Vec<Json>>,
    /// Its volumes that can be used on some nodes only.
    pub(crate) volumes: Vec<Bound>,
}

impl Wish {
    /// As the pod says or, where it was never seen, its workload; none where that was not seen either.
    pub(crate) fn of(world: &World<'_>, pod: &ObjectRef, workload: &ObjectRef) -> Option<Self> {
        let spec = world.read(pod, "/spec").or_else(|| world.read(workload, "/spec/template/spec"))?;
        let required =
            "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
        Some(Self {
            requests: requests(&spec),
            tolerations: spec.list("/tolerations"),
            selector: spec.map("/nodeSelector"),
            terms: spec.has(required).then(|| spec.list(required)),
            volumes: Bound::all(world, &spec, &pod.namespace),
        })
    }

    pub(crate) fn request(&self, resource: &str) -> Option<Amount> {
        self.requests.iter().find(|(name, _)| name == resource).map(|(_, value)| *value)
    }

    /// In words what nodes it demands; empty where it takes any.
    pub(crate) fn demands(&self) -> String {
        let mut words: Vec<String> = self.selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
        words.extend(self.terms.iter().flatten().map(self::words));
        words.join("; ")
    }

    /// Each condition on the labels of a node that no node meets, with what the nodes have instead.
    pub(crate) fn unmet(&self, places: &[Place]) -> Vec<Unmet> {
        let mut conditions: Vec<Json> = self
            .selector
            .iter()
            .map(|(k, v)| Json::new(serde_json::json!({"key": k, "operator": "In", "values": [v]})))
            .collect();
        // Of several terms one is enough, so a condition of one of them bars nothing by itself.
        if let Some([term]) = self.terms.as_deref() {
            conditions.extend(term.list("/matchExpressions"));
        }
        conditions.retain(|c| !places.iter().any(|p| holds(c, &p.labels)));
        conditions.iter().map(|condition| Unmet::of(condition, places)).collect()
    }

    pub(crate) fn tolerates(&self, taint: &Json) -> bool {
        let (key, value, effect) = (taint.text("/key"), taint.text("/value"), taint.text("/effect"));
        self.tolerations.iter().any(|t| {
            let (own_effect, own_key) = (t.text("/effect"), t.text("/key"));
            let exists = t.text("/operator") == "Exists";
            (own_effect.is_empty() || own_effect == effect)
                && ((own_key.is_empty() && exists)
                    || (own_key == key && (exists || t.text("/value") == value)))
        })
    }

    pub(crate) fn selects(&self, name: &str, labels: &[(String, String)]) -> bool {
        let has = |k: &str, v: &str| labels.iter().any(|(key, value)| key == k && value == v);
        self.selector.iter().all(|(k, v)| has(k, v))
            && self.terms.as_ref().is_none_or(|terms| terms.iter().any(|term| meets(term, name, labels)))
    }
}

/// A term of an affinity: `disk In (ssd, nvme) and gpu Exists`.
pub(crate) fn words(term: &Json) -> String {
    let expressions = [term.list("/matchExpressions"), term.list("/matchFields")].concat();
    let all = expressions.iter().map(|e| {
        let values = e.texts("/values").join(", ");
        let values = if values.is_empty() { values } else { format!(" ({values})") };
        format!("{} {}{values}", e.text("/key"), e.text("/operator"))
    });
    all.collect::<Vec<_>>().join(" and ")
}

pub(crate) fn meets(term: &Json, name: &str, labels: &[(String, String)]) -> bool {
    let (expressions, fields) = (term.list("/matchExpressions"), term.list("/matchFields"));
    let own = [("metadata.name".to_owned(), name.to_owned())];
    // An empty term selects nothing.
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|e| holds(e, labels))
        && fields.iter().all(|e| holds(e, &own))
}

fn holds(expression: &Json, labels: &[(String, String)]) -> bool {
    let key = expression.text("/key");
    let value = labels.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    let values = expression.texts("/values");
    let number = |text: &str| text.parse::<i64>().ok();
    let limit = values.first().and_then(|v| number(v));
    match expression.text("/operator") {
        "In" => value.is_some_and(|v| values.iter().any(|x| x == v)),
        "NotIn" => !value.is_some_and(|v| values.iter().any(|x| x == v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => value.and_then(number).zip(limit).is_some_and(|(v, l)| v > l),
        "Lt" => value.and_then(number).zip(limit).is_some_and(|(v, l)| v < l),
        _ => true,
    }
}

/// Requests of a pod as the scheduler counts them: containers and sidecars together, or the largest init container.
pub(crate) fn requests(spec: &Json) -> Vec<(String, Amount)> {
    let mut sum: Vec<(String, Amount)> = Vec::new();
    for container in spec.list("/containers") {
        add(&mut sum, &container.at("/resources/requests"));
    }
    let mut first: Vec<(String, Amount)> = Vec::new();
    for container in spec.list("/initContainers") {
        let asks = container.at("/resources/requests");
        if container.text("/restartPolicy") == "Always" {
            add(&mut sum, &asks);
        } else {
            for (name, value) in asks.map("") {
                let value = quantity::parse(&value).unwrap_or(0);
                match first.iter_mut().find(|(n, _)| *n == name) {
                    Some((_, most)) => *most = value.max(*most),
                    None => first.push((name, value)),
                }
            }
        }
    }
    for (name, value) in first {
        match sum.iter_mut().find(|(n, _)| *n == name) {
            Some((_, total)) => *total = value.max(*total),
            None => sum.push((name, value)),
        }
    }
    add(&mut sum, &spec.at("/overhead"));
    sum
}

fn add(sum: &mut Vec<(String, Amount)>, asks: &Json) {
    for (name, value) in asks.map("") {
        let value = quantity::parse(&value).unwrap_or(0);
        match sum.iter_mut().find(|(n, _)| *n == name) {
            Some((_, total)) => *total += value,
            None => sum.push((name, value)),
        }
    }
}

/// A condition on the labels of a node that no node meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unmet {
    pub(crate) key: String,
    pub(crate) wanted: Vec<String>,
    /// A label that nodes have in its place: the same key with other values, or one that is written alike.
    pub(crate) instead: Option<(String, Vec<String>)>,
    /// A node that has it, and its value there.
    pub(crate) node: Option<(String, String)>,
}

impl Unmet {
    fn of(condition: &Json, places: &[Place]) -> Self {
        let key = condition.text("/key").to_owned();
        let alike = |other: &str| plain(other) == plain(&key);
        let mut labels: Vec<&(String, String)> = places.iter().flat_map(|p| &p.labels).collect();
        labels.sort();
        let found = labels.iter().map(|(k, _)| k).filter(|k| alike(k)).min_by_key(|k| **k != key);
        let instead = found.map(|name| {
            let mut values: Vec<String> =
                labels.iter().filter(|(k, _)| k == name).map(|(_, v)| v.clone()).collect();
            values.dedup();
            (name.clone(), values)
        });
        let wanted = condition.texts("/values");
        // The node that is meant has what is wanted under the other name.
        let node = instead.as_ref().and_then(|(name, _)| {
            let having: Vec<&Place> = places.iter().filter(|p| p.label(name).is_some()).collect();
            let meant = |p: &&&Place| p.label(name).is_some_and(|v| wanted.iter().any(|w| w == v));
            having.iter().find(meant).or(having.first()).map(|p| (p.id.name.clone(), p.label(name)))
        });
        let node = node.and_then(|(node, value)| Some((node, value?.to_owned())));
        Self { wanted, node, key, instead }
    }

    /// `the nodes have kubernetes.io/arch=arm64`.
    pub(crate) fn instead(&self) -> Option<String> {
        let (key, values) = self.instead.as_ref()?;
        let some: Vec<&str> = values.iter().take(4).map(String::as_str).collect();
        Some(format!("the nodes have {key}={}", some.join(", ")))
    }
}

/// A key without its prefix, marks and case.
fn plain(key: &str) -> String {
    let name = key.rsplit('/').next().unwrap_or(key);
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}
