//! Label selectors, as Deployments, NetworkPolicies and others have them.

use crate::Json;

/// Whether a `LabelSelector` picks an object with these labels; an empty one picks everything.
#[must_use]
pub fn selects(selector: &Json, labels: &[(String, String)]) -> bool {
    let value = |key: &str| labels.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    let matches = selector.map("/matchLabels").iter().all(|(k, v)| value(k) == Some(v.as_str()));
    matches
        && selector.list("/matchExpressions").iter().all(|e| {
            let (held, values) = (value(e.text("/key")), e.texts("/values"));
            let listed = held.is_some_and(|v| values.iter().any(|w| w == v));
            match e.text("/operator") {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => held.is_some(),
                "DoesNotExist" => held.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_selector_picks_by_labels_and_expressions() {
        let labels = [("app".to_owned(), "web".to_owned()), ("tier".to_owned(), "front".to_owned())];
        let picks = |json| selects(&Json::new(json), &labels);
        assert!(picks(json!({})) && picks(json!({"matchLabels": {"app": "web"}})));
        assert!(!picks(json!({"matchLabels": {"app": "web", "tier": "back"}})));
        let expression = |key, operator, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        assert!(picks(expression("app", "In", &["x", "web"])) && !picks(expression("app", "In", &["x"])));
        assert!(picks(expression("app", "NotIn", &["x"])) && picks(expression("other", "NotIn", &["x"])));
        assert!(picks(expression("app", "Exists", &[])) && !picks(expression("app", "DoesNotExist", &[])));
        assert!(!picks(expression("app", "Gt", &["1"])), "what is not known picks nothing");
    }
}
