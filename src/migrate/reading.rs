//! What an isolate fetches for readers at this moment.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// The most items at once: each may hold 8 MiB, and an invocation has six connections.
const MOST: usize = 4;

/// The items that are being fetched.
#[derive(Debug, Default)]
pub struct UnderWay {
    items: RefCell<BTreeSet<String>>,
}

/// An item's place among them, until it is dropped.
#[derive(Debug)]
pub struct Place {
    under_way: Rc<UnderWay>,
    item: String,
}

/// All places are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl UnderWay {
    /// Whether an item is being fetched.
    #[must_use]
    pub fn has(&self, item: &str) -> bool {
        self.items.borrow().contains(item)
    }

    /// A place for an item; `None` when it has one already.
    ///
    /// # Errors
    /// `Full`.
    pub fn enter(self: &Rc<Self>, item: &str) -> Result<Option<Place>, Full> {
        let mut items = self.items.borrow_mut();
        if items.contains(item) {
            return Ok(None);
        }
        if items.len() >= MOST {
            return Err(Full);
        }
        items.insert(item.to_owned());
        Ok(Some(Place { under_way: Rc::clone(self), item: item.to_owned() }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.under_way.items.borrow_mut().remove(&self.item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_has_one_place_and_gives_it_back() {
        let under_way = Rc::new(UnderWay::default());
        let place = under_way.enter("a").unwrap();
        assert!(place.is_some() && under_way.has("a"));
        assert!(under_way.enter("a").unwrap().is_none());
        let others: Vec<_> = ["b", "c", "d"].map(|item| under_way.enter(item).unwrap()).into();
        assert_eq!(under_way.enter("e").err(), Some(Full));
        drop(place);
        assert!(!under_way.has("a") && under_way.enter("e").unwrap().is_some());
        drop(others);
    }
}
