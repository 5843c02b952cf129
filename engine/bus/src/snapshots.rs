//! Snapshots of engines, in the object store `KWHY_SNAP`: named by their content, so none can be taken for another, and
//! one that is damaged is known by its name.

use std::{collections::BTreeSet, io::Read, time::Duration};

use async_nats::jetstream::{
    context::ObjectStoreErrorKind,
    object_store::{Config, GetErrorKind, ObjectStore},
};
use flate2::{Compression, read::ZlibDecoder, read::ZlibEncoder};
use futures::StreamExt as _;
use sha2::{Digest, Sha256};
use tokio::{io::AsyncReadExt as _, time::timeout};

use crate::{Bus, BusError, Cause, subject};

/// Name of the object store.
const STORE: &str = "KWHY_SNAP";
/// Largest snapshot that is unpacked.
const LARGEST: u64 = 4 << 30;
/// How long storing or fetching one may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A snapshot as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The SHA-256 of its bytes, in hex.
    pub name: String,
    bytes: Vec<u8>,
}

impl Packed {
    /// Packs the content of a snapshot; the same content gives the same bytes.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn new(content: &[u8]) -> std::io::Result<Packed> {
        let mut bytes = Vec::new();
        ZlibEncoder::new(content, Compression::fast()).read_to_end(&mut bytes)?;
        Ok(Packed { name: name(&bytes), bytes })
    }

    /// What it was made of.
    ///
    /// # Errors
    /// Where it is damaged, or larger than any snapshot.
    pub fn content(&self) -> std::io::Result<Vec<u8>> {
        let mut content = Vec::new();
        ZlibDecoder::new(self.bytes.as_slice()).take(LARGEST).read_to_end(&mut content)?;
        Ok(content)
    }

    /// Bytes that are stored.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

fn name(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Bus {
    /// Stores a snapshot; done when all of it is acknowledged.
    ///
    /// # Errors
    /// Where the store has no room or does not answer.
    pub async fn put_snapshot(&self, packed: &Packed) -> Result<(), BusError> {
        let doing = || format!("store a snapshot of {} bytes in {STORE}", packed.bytes.len());
        let store = self.snapshots(&doing).await?;
        let object = self.object(&packed.name);
        let mut content = packed.bytes.as_slice();
        match timeout(PATIENCE, store.put(object.as_str(), &mut content)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(BusError::Api { doing: doing(), cause: Cause::of(error) }),
            Err(_elapsed) => Err(BusError::Api { doing: doing(), cause: Cause::of("it takes too long") }),
        }
    }

    /// The content of a snapshot; none where it is not there or is damaged, which is logged.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn snapshot(&self, wanted: &str) -> Result<Option<Vec<u8>>, BusError> {
        let doing = || format!("fetch snapshot {wanted} from {STORE}");
        let failed = |cause: Cause| BusError::Api { doing: doing(), cause };
        let found = self
            .patiently(async || {
                let store = self.snapshots(&doing).await.map_err(Cause::of)?;
                match store.get(self.object(wanted)).await {
                    Ok(object) => Ok(Some(object)),
                    Err(error) if error.kind() == GetErrorKind::NotFound => Ok(None),
                    Err(error) => Err(Cause::of(error)),
                }
            })
            .await;
        let Some(mut object) = found.map_err(failed)? else {
            tracing::warn!(name = wanted, "A snapshot that the checkpoint names is gone.");
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = match timeout(PATIENCE, object.read_to_end(&mut bytes)).await {
            Ok(read) => read.map_err(|error| error.to_string()),
            Err(_elapsed) => return Err(failed(Cause::of("it takes too long"))),
        };
        let unpacked = read.and_then(|_| {
            if name(&bytes) != wanted {
                return Err("its content is not what its name says".to_owned());
            }
            let packed = Packed { name: wanted.to_owned(), bytes };
            packed.content().map_err(|error| error.to_string())
        });
        match unpacked {
            Ok(content) => Ok(Some(content)),
            Err(problem) => {
                tracing::warn!(name = wanted, problem, "A snapshot is damaged.");
                Ok(None)
            }
        }
    }

    /// Deletes the snapshots of this cluster that are not among these.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn keep_snapshots(&self, keep: &BTreeSet<String>) -> Result<(), BusError> {
        let doing = || format!("tidy up {STORE}");
        let failed = |cause: Cause| BusError::Api { doing: doing(), cause };
        let store = self.snapshots(&doing).await?;
        let own = self.object("");
        let mut all = store.list().await.map_err(|error| failed(Cause::of(error)))?;
        while let Some(object) = all.next().await {
            let object = object.map_err(|error| failed(Cause::of(error)))?;
            if object.name.strip_prefix(&own).is_some_and(|name| !keep.contains(name)) {
                store.delete(&object.name).await.map_err(|error| failed(Cause::of(error)))?;
            }
        }
        Ok(())
    }

    /// What a snapshot of this cluster is called in the store.
    fn object(&self, name: &str) -> String {
        format!("{}/{name}", subject::token(&self.settings.cluster))
    }

    /// The object store, made if need be.
    async fn snapshots(&self, doing: impl Fn() -> String) -> Result<ObjectStore, BusError> {
        let found = self.context.get_object_store(STORE).await;
        let missing = |kind| kind == ObjectStoreErrorKind::GetStore;
        match found {
            Ok(store) => Ok(store),
            Err(error) if missing(error.kind()) => {
                let config = Config {
                    bucket: STORE.to_owned(),
                    description: Some("snapshots of kwhy's engines".to_owned()),
                    num_replicas: usize::from(self.settings.replicas),
                    ..Config::default()
                };
                let made = self.context.create_object_store(config).await;
                made.map_err(|error| BusError::Api { doing: doing(), cause: Cause::of(error) })
            }
            Err(error) => Err(BusError::Api { doing: doing(), cause: Cause::of(error) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_is_packed_under_the_same_name() {
        let (one, two) = (Packed::new(b"known").expect("packed"), Packed::new(b"known").expect("packed"));
        assert_eq!(one, two);
        assert_ne!(one.name, Packed::new(b"other").expect("packed").name);
    }
}
