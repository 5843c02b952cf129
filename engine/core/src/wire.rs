//! How the parts of a snapshot are stored that have no serde form of their own: messages of the protocol keep their
//! protobuf encoding, what is shared is stored wherever it stands, and a word of a fixed set is looked up in it.

use std::{collections::BTreeSet, sync::Arc};

use imbl::{OrdMap, OrdSet};
use kwhy_proto::{Message, v1};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error},
};

use crate::{
    change::Change,
    incident::{FoldedBy, Incident, IncidentKey, MadeFrom},
    key::Key,
    reach::Reach,
    rule::{Diagnosis, Rejection},
    template::First,
};

/// One of a few words that the core itself writes.
pub(crate) type Word = &'static str;

/// Something that serde knows no form of, or that holds such a thing.
pub(crate) trait Wire: Sized {
    /// A form that it knows.
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

macro_rules! plain {
    ($($plain:ty),*) => {$(
        impl Wire for $plain {
            type Encoded = Self;

            fn encode(&self) -> Self {
                self.clone()
            }

            fn decode(encoded: Self) -> Result<Self, kwhy_proto::DecodeError> {
                Ok(encoded)
            }
        }
    )*};
}

plain!(u64, String, Key, BTreeSet<Key>, IncidentKey, Incident, FoldedBy, MadeFrom);
plain!(Diagnosis, Rejection, Change, Reach, First);

impl Wire for Arc<str> {
    type Encoded = String;

    fn encode(&self) -> String {
        self.to_string()
    }

    fn decode(encoded: String) -> Result<Self, kwhy_proto::DecodeError> {
        Ok(encoded.into())
    }
}

impl Wire for Arc<[u8]> {
    type Encoded = Vec<u8>;

    fn encode(&self) -> Vec<u8> {
        self.to_vec()
    }

    fn decode(encoded: Vec<u8>) -> Result<Self, kwhy_proto::DecodeError> {
        Ok(encoded.into())
    }
}

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

impl<A: Wire, B: Wire> Wire for (A, B) {
    type Encoded = (A::Encoded, B::Encoded);

    fn encode(&self) -> Self::Encoded {
        (self.0.encode(), self.1.encode())
    }

    fn decode((a, b): Self::Encoded) -> Result<Self, kwhy_proto::DecodeError> {
        Ok((A::decode(a)?, B::decode(b)?))
    }
}

impl<T: Wire + Ord + Clone> Wire for OrdSet<T> {
    type Encoded = Vec<T::Encoded>;

    fn encode(&self) -> Self::Encoded {
        self.iter().map(T::encode).collect()
    }

    fn decode(encoded: Self::Encoded) -> Result<Self, kwhy_proto::DecodeError> {
        encoded.into_iter().map(T::decode).collect()
    }
}

impl<K: Wire + Ord + Clone, V: Wire + Clone> Wire for OrdMap<K, V> {
    type Encoded = Vec<(K::Encoded, V::Encoded)>;

    fn encode(&self) -> Self::Encoded {
        self.iter().map(|(key, value)| (key.encode(), value.encode())).collect()
    }

    fn decode(encoded: Self::Encoded) -> Result<Self, kwhy_proto::DecodeError> {
        encoded.into_iter().map(|(key, value)| Ok((K::decode(key)?, V::decode(value)?))).collect()
    }
}
