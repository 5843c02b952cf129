//! A page of a list, read item by item: in memory are the page as text and one object, not a page of objects.

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
pub(crate) struct Page<'a> {
    #[serde(borrow)]
    pub(crate) metadata: Metadata<'a>,
    #[serde(borrow, default)]
    pub(crate) items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata<'a> {
    #[serde(borrow, default)]
    pub(crate) resource_version: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default, rename = "continue")]
    pub(crate) next: Option<std::borrow::Cow<'a, str>>,
}
