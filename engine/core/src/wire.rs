//! How the parts of a snapshot are stored that serde has no form of: messages of the protocol keep their protobuf encoding,
//! since their serde form is JSON for people, and a word of a fixed set is looked up in it.

use std::sync::Arc;

use imbl::OrdMap;
use kwhy_proto::{Message, v1};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error},
};

/// One of a few words that the core itself writes.
pub(crate) type Word = &'static str;

/// Messages, and what holds them.
pub(crate) trait Wire: Sized {
    /// The same with each message encoded.
    type Encoded: Serialize + DeserializeOwned;

    fn encode(&self) -> Self::Encoded;

    /// # Errors
    /// Bytes that are no such message.
    fn decode(encoded: Self::Encoded) -> Result<Self, kwhy_proto::DecodeError>;
}

/// For `#[serde(with = "wire")]`.
pub(crate) fn serialize<T: Wire, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    value.encode().serialize(to)
}

/// For `#[serde(with = "wire")]`.
pub(crate) fn deserialize<'de, T: Wire, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    T::decode(T::Encoded::deserialize(from)?).map_err(D::Error::custom)
}

/// The word of the set that was stored.
pub(crate) fn one_of<'de, D: Deserializer<'de>>(words: &[Word], from: D) -> Result<Word, D::Error> {
    let stored = String::deserialize(from)?;
    let known = words.iter().find(|word| **word == stored);
    known.copied().ok_or_else(|| D::Error::custom(format_args!("`{stored}` is none of {words:?}")))
}

macro_rules! messages {
    ($($message:ty),*) => {$(
        impl Wire for $message {
            type Encoded = Vec<u8>;

            fn encode(&self) -> Vec<u8> {
                self.encode_to_vec()
            }

            fn decode(encoded: Vec<u8>) -> Result<Self, kwhy_proto::DecodeError> {
                Message::decode(encoded.as_slice())
            }
        }
    )*};
}

messages!(v1::ObjectRef, v1::Evidence, v1::PathStep, v1::Finding);

impl<T: Wire> Wire for Option<T> {
    type Encoded = Option<T::Encoded>;

    fn encode(&self) -> Self::Encoded {
        self.as_ref().map(T::encode)
    }

    fn decode(encoded: Self::Encoded) -> Result<Self, kwhy_proto::DecodeError> {
        encoded.map(T::decode).transpose()
    }
}

impl<T: Wire> Wire for Arc<T> {
    type Encoded = T::Encoded;

    fn encode(&self) -> Self::Encoded {
        T::encode(self)
    }

    fn decode(encoded: Self::Encoded) -> Result<Self, kwhy_proto::DecodeError> {
        T::decode(encoded).map(Arc::new)
    }
}

impl<T: Wire> Wire for Vec<T> {
    type Encoded = Vec<T::Encoded>;

    fn encode(&self) -> Self::Encoded {
        self.iter().map(T::encode).collect()
    }

    fn decode(encoded: Self::Encoded) -> Result<Self, kwhy_proto::DecodeError> {
        encoded.into_iter().map(T::decode).collect()
    }
}

impl<T: Wire + Clone> Wire for OrdMap<String, T> {
    type Encoded = Vec<(String, T::Encoded)>;

    fn encode(&self) -> Self::Encoded {
        self.iter().map(|(key, value)| (key.clone(), value.encode())).collect()
    }

    fn decode(encoded: Self::Encoded) -> Result<Self, kwhy_proto::DecodeError> {
        encoded.into_iter().map(|(key, value)| Ok((key, T::decode(value)?))).collect()
    }
}
