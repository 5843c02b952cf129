//! stub
use kwhy_sdk::{Diagnosis, ObjectRef, World};
pub(crate) fn again(_world: &World<'_>, _id: &ObjectRef) -> Option<Diagnosis> {
    None
}
