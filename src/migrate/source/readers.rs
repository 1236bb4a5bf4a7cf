//! Items of a page that readers fetch at this moment: a run leaves them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::migrate::runs::read_through::{Claimed, claimed_of};
use crate::migrate::task::Refusal;
use crate::sql::{QueryResult, Statement};

/// The items of a page that a run is about to move. The database is asked once, after their keys were announced.
pub struct Readers {
    source: String,
    items: RefCell<Vec<String>>,
    was_asked: Cell<bool>,
    claimed: RefCell<Vec<String>>,
}

impl Readers {
    pub fn of(source: &str) -> Rc<Self> {
        Rc::new(Self {
            source: source.to_owned(),
            items: RefCell::default(),
            was_asked: Cell::default(),
            claimed: RefCell::default(),
        })
    }

    /// Adds an item to those that are asked about.
    pub fn ask_of(&self, item: &str) {
        self.items.borrow_mut().push(item.to_owned());
    }

    /// The question, for the first who asks.
    pub fn question(&self) -> Option<Statement> {
        // Strings have a JSON form.
        claimed_of(&self.source, &self.items.borrow()).ok().filter(|_| !self.was_asked.replace(true))
    }

    /// Takes the answer.
    pub fn take(&self, answer: &QueryResult) {
        let claimed = answer.rows::<Claimed>().unwrap_or_default();
        self.claimed.replace(claimed.into_iter().map(|claimed| claimed.item_id).collect());
    }

    /// Refuses an item that a reader fetches.
    ///
    /// # Errors
    /// The refusal.
    pub fn require_none_at(&self, item: &str) -> Result<(), Refusal> {
        if self.claimed.borrow().iter().any(|claimed| claimed == item) {
            return Err(Refusal::skipped("being-read", "somebody who reads the image is having it moved"));
        }
        Ok(())
    }
}
