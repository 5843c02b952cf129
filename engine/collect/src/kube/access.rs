//! What the API server lets kwhy do, asked beforehand by SelfSubjectAccessReview.

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};

use super::{container_log, kinds::WATCHED};

/// Reviews that are asked for at a time.
const AT_ONCE: usize = 8;

/// Something that kwhy may not do, although it should.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    /// As in `pods`; with its subresource, as in `pods/log`.
    pub what: String,
    /// What is missing of `get`, `list`, `watch`.
    pub verbs: Vec<&'static str>,
    /// The rule of a ClusterRole that grants it, to be pasted under `rules:`.
    pub rule: String,
}

/// What kwhy needs and is not granted in the whole cluster, in the order in which it is watched. Of two names for the same
/// objects one is enough.
///
/// # Errors
/// The API server cannot be reached or does not answer reviews.
pub async fn refused(client: Client) -> Result<Vec<Refused>, kube::Error> {
    let mut refused = Vec::new();
    for alternatives in WATCHED {
        let mut worst = None;
        for resource in *alternatives {
            let verbs = missing(&client, &resource.group, &resource.plural, "", &["list", "watch"]).await?;
            if verbs.is_empty() {
                worst = None;
                break;
            }
            let rule = resource.rule();
            worst.get_or_insert(Refused { what: resource.plural.clone().into_owned(), verbs, rule });
        }
        refused.extend(worst);
    }
    let verbs = missing(&client, "", "pods", "log", &["get"]).await?;
    if !verbs.is_empty() {
        let rule = container_log::RULE.to_owned();
        refused.push(Refused { what: "pods/log".to_owned(), verbs, rule });
    }
    Ok(refused)
}

/// The verbs that are not granted.
async fn missing(
    client: &Client,
    group: &str,
    resource: &str,
    subresource: &str,
    verbs: &[&'static str],
) -> Result<Vec<&'static str>, kube::Error> {
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let reviews = verbs.iter().map(|verb| {
        let api = api.clone();
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let attributes = ResourceAttributes {
            group: some(group),
            resource: some(resource),
            subresource: some(subresource),
            verb: some(verb),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        async move {
            let answer = api.create(&PostParams::default(), &review).await?;
            Ok::<_, kube::Error>((*verb, answer.status.is_some_and(|status| status.allowed)))
        }
    });
    let asked: Vec<(&'static str, bool)> = stream::iter(reviews).buffered(AT_ONCE).try_collect().await?;
    Ok(asked.into_iter().filter(|(_, allowed)| !allowed).map(|(verb, _)| verb).collect())
}
