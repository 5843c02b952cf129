//! The body of a request, within limits: of one body, packed and unpacked, of all that are held at a time, and of time.

use std::{io::Read as _, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
};
use flate2::read::MultiGzDecoder;
use futures::StreamExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{Limits, refusal::Refusal};

/// Bodies of the largest size that may be held at a time.
const HELD: usize = 8;

/// Room for all bodies together.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<Semaphore>);

/// A body that was read.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    /// It is packed and still to be unpacked.
    gzip: bool,
    _room: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(super) fn new(limits: &Limits) -> Self {
        Self(Arc::new(Semaphore::new(limits.body.saturating_mul(HELD).min(Semaphore::MAX_PERMITS))))
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let full = |_| Refusal::busy("kwhy holds as many requests as it may; send it again");
        self.0.clone().try_acquire_many_owned(u32::try_from(bytes).unwrap_or(u32::MAX)).map_err(full)
    }
}

/// Reads a body.
///
/// # Errors
/// Too large (413), too slow (408), broken off or packed by something else than gzip (400, 415), no room (503).
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    limits: &Limits,
    room: &Room,
) -> Result<Held, Refusal> {
    let gzip = match headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim()) {
        None | Some("" | "identity") => false,
        Some(gzip) if gzip.eq_ignore_ascii_case("gzip") => true,
        Some(_) => {
            let line = "the body is packed by something else than gzip; send it plain or by gzip";
            return Err(Refusal::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, line));
        }
    };
    let told = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|told| told > limits.body as u64) {
        return Err(too_large(limits, ""));
    }
    let whole = timeout(limits.reading, collect(body, limits, room)).await;
    let (bytes, held) = whole.map_err(|_elapsed| {
        let line = format!("the body did not arrive within {:?}", limits.reading);
        Refusal::of(StatusCode::REQUEST_TIMEOUT, line)
    })??;
    Ok(Held { bytes, gzip, _room: held })
}

async fn collect(
    body: Body,
    limits: &Limits,
    room: &Room,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Refusal> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut held: Option<OwnedSemaphorePermit> = None;
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|_| Refusal::of(StatusCode::BAD_REQUEST, "the body broke off before its end"))?;
        if bytes.len() + chunk.len() > limits.body {
            return Err(too_large(limits, ""));
        }
        let more = room.take(chunk.len())?;
        match &mut held {
            Some(held) => held.merge(more),
            None => held = Some(more),
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes, held))
}

impl Held {
    /// The body unpacked, which is refused (413) once it passes the limit, however small it was packed.
    pub(super) fn unpacked(self, limits: &Limits, room: &Room) -> Result<Held, Refusal> {
        if !self.gzip {
            return Ok(self);
        }
        let held = room.take(limits.body)?;
        let mut bytes = Vec::new();
        let most = limits.body as u64 + 1;
        let read = MultiGzDecoder::new(self.bytes.as_slice()).take(most).read_to_end(&mut bytes);
        if bytes.len() > limits.body {
            return Err(too_large(limits, " when unpacked"));
        }
        read.map_err(|_| Refusal::of(StatusCode::BAD_REQUEST, "the body is not gzip, or is damaged"))?;
        Ok(Held { bytes, gzip: false, _room: Some(held) })
    }
}

fn too_large(limits: &Limits, when: &str) -> Refusal {
    let line = format!(
        "the body is larger{when} than {} bytes; send fewer alerts at a time or raise alerts.limits.body",
        limits.body
    );
    Refusal::of(StatusCode::PAYLOAD_TOO_LARGE, line)
}
