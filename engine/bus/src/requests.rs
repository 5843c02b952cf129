//! Requests for container logs on `KWHY_ASK`. They are kept for as long as their answers are of use, and whoever answers
//! reads them from the oldest: an answer that comes twice is known by the ids of its lines.

use async_nats::{HeaderMap, header::NATS_MESSAGE_ID};
use kwhy_proto::{Message, v1::LogRequest};

use crate::{
    Bus, BusError,
    send::{Outgoing, Sent},
    signals::header_text,
    subject,
};

const CONTENT_TYPE: &str = "application/x-protobuf; message=kwhy.v1.LogRequest";

impl Bus {
    /// Publishes requests; done when every one is acknowledged. One that was published before is known by its id.
    ///
    /// # Errors
    /// A request that is not acknowledged for as long as it may be sent again, or that NATS refuses.
    pub async fn ask(&self, requests: &[LogRequest]) -> Result<(), BusError> {
        let messages = requests.iter().map(|request| {
            let mut headers = HeaderMap::new();
            headers.insert("Content-Type", CONTENT_TYPE);
            headers.insert(NATS_MESSAGE_ID, header_text(&format!("{}/{}", request.cluster, request.id)));
            let namespace = request.pod.as_ref().map_or("", |pod| &pod.namespace);
            let subject = subject::request(&request.cluster, namespace);
            Outgoing { subject, headers, body: request.encode_to_vec().into() }
        });
        self.send_all(messages, |_, message, sent| {
            if let Sent::TooLarge { size, .. } = sent {
                tracing::error!(id = message.id(), size, "A request for a log is too large to be sent.");
            }
        })
        .await
    }
}
