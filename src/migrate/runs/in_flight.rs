//! Objects on their way into the bucket.

use serde::{Deserialize, Serialize};

use super::item::ItemId;
use crate::image::ObjectKey;

/// An object that a slice is about to put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    pub item: ItemId,
    pub key: ObjectKey,
}

/// Keys of both, each once.
pub fn together(some: &[InFlight], others: &[InFlight]) -> Vec<InFlight> {
    let mut keys: Vec<InFlight> = Vec::with_capacity(some.len() + others.len());
    for key in some.iter().chain(others) {
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_down_once() {
        let key = |name: &str| InFlight {
            item: name.to_owned().try_into().unwrap(),
            key: format!("stillstore/{name}").try_into().unwrap(),
        };
        let keys = together(&[key("a"), key("b")], &[key("b"), key("c"), key("c")]);
        assert_eq!(keys, [key("a"), key("b"), key("c")]);
    }
}
