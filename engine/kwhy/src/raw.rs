//! What other programs published as it is, made signals as it is read.

use kwhy_bus::Raw;
use kwhy_ingest::{
    raw::{self, Kind, Message},
    time,
};
use kwhy_proto::v1::SignalBatch;

/// Says when a body came about, where that is not when it was published: when an alert was delivered, a list was taken,
/// a line without a year was written.
const AT: &str = "Kwhy-At";

/// Makes signals of raw messages, and says on standard error which of their items are left out.
pub(crate) fn reader(
    cluster: String,
) -> impl FnMut(&Raw<'_>) -> Result<SignalBatch, String> + Send + 'static {
    let mut told = 0u64;
    move |stored| {
        let kind = Kind::of(&stored.tokens).map_err(|error| error.to_string())?;
        let at = match stored.header(AT) {
            Some(text) => {
                time::parse(text).ok_or_else(|| format!("its header {AT} is not an RFC 3339 time"))?
            }
            None => stored.published_at,
        };
        let key = raw::key(stored.id(), stored.published_at, stored.sequence);
        let message = Message { cluster: &cluster, kind: &kind, at, key: &key, body: stored.body };
        let read = raw::read(&message).map_err(|error| error.to_string())?;
        if let Some((item, why)) = read.problems.first() {
            told += 1;
            // A shipper that is set up wrongly sends the same again and again.
            if told.is_power_of_two() {
                let more =
                    if read.bad > 1 { format!(", and {} more of it", read.bad - 1) } else { String::new() };
                let place = if *item == 0 { String::new() } else { format!("item {item} of ") };
                eprintln!(
                    "kwhy: {place}raw message {} on {} is left out: {why}{more}",
                    stored.sequence,
                    stored.tokens.join(".")
                );
            }
        }
        Ok(SignalBatch { signals: read.signals })
    }
}
