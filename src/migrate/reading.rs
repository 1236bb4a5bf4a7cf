//! What an isolate fetches for readers at this moment.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

/// The most items at once: each may hold 8 MiB, and an invocation has six connections.
const MOST: usize = 4;
/// The most requests that wait until there is a place for their item. One that waits asks the database every 0.8 s.
const MOST_WAITING: usize = 64;

/// The items that are being fetched.
#[derive(Debug, Default)]
pub struct UnderWay {
    items: RefCell<BTreeSet<String>>,
    waiting: Cell<usize>,
}

/// An item's place among them, until it is dropped.
#[derive(Debug)]
pub struct Place {
    under_way: Rc<UnderWay>,
    item: String,
}

/// A request's place among those that wait for one for their item, until it is dropped.
#[derive(Debug)]
pub struct Waiting {
    under_way: Rc<UnderWay>,
}

impl UnderWay {
    /// Whether an item is being fetched.
    #[must_use]
    pub fn has(&self, item: &str) -> bool {
        self.items.borrow().contains(item)
    }

    /// A place among those that wait; `None` when too many do.
    #[must_use]
    pub fn wait(self: &Rc<Self>) -> Option<Waiting> {
        if self.waiting.get() >= MOST_WAITING {
            return None;
        }
        self.waiting.update(|waiting| waiting + 1);
        Some(Waiting { under_way: Rc::clone(self) })
    }

    /// A place for an item; `None` when it has one already, or all are taken.
    #[must_use]
    pub fn enter(self: &Rc<Self>, item: &str) -> Option<Place> {
        let mut items = self.items.borrow_mut();
        let is_free = items.len() < MOST && items.insert(item.to_owned());
        is_free.then(|| Place { under_way: Rc::clone(self), item: item.to_owned() })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.under_way.waiting.update(|waiting| waiting - 1);
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
        let place = under_way.enter("a");
        assert!(place.is_some() && under_way.has("a"));
        assert!(under_way.enter("a").is_none());
        let others: Vec<_> = ["b", "c", "d"].map(|item| under_way.enter(item).unwrap()).into();
        assert!(under_way.enter("e").is_none(), "four at once");
        drop(place);
        assert!(!under_way.has("a") && under_way.enter("e").is_some());
        drop(others);
    }

    #[test]
    fn so_many_wait_and_no_more() {
        let under_way = Rc::new(UnderWay::default());
        let mut waiting: Vec<_> = (0..MOST_WAITING).map(|_| under_way.wait().unwrap()).collect();
        assert!(under_way.wait().is_none());
        waiting.pop();
        assert!(under_way.wait().is_some());
    }
}
