//! Objects of a page that readers fetch at this moment: a run leaves them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::config::BucketSource;
use crate::migrate::runs::read_through::{Claimed, claimed_of};
use crate::sql::{QueryResult, Statement};

/// The objects of a page that a run is about to copy. The database is asked once, after their keys were announced.
pub struct Readers {
    source: Rc<BucketSource>,
    objects: RefCell<Vec<String>>,
    was_asked: Cell<bool>,
    claimed: RefCell<Vec<String>>,
}

impl Readers {
    pub fn of(source: &Rc<BucketSource>) -> Rc<Self> {
        Rc::new(Self {
            source: Rc::clone(source),
            objects: RefCell::default(),
            was_asked: Cell::default(),
            claimed: RefCell::default(),
        })
    }

    /// Adds an object to those that are asked about.
    pub fn ask_of(&self, object: &str) {
        self.objects.borrow_mut().push(object.to_owned());
    }

    /// The question, for the first who asks.
    pub fn question(&self) -> Option<Statement> {
        // Strings have a JSON form.
        claimed_of(&self.source.name, &self.objects.borrow()).ok().filter(|_| !self.was_asked.replace(true))
    }

    /// Takes the answer.
    pub fn take(&self, answer: &QueryResult) {
        let claimed = answer.rows::<Claimed>().unwrap_or_default();
        self.claimed.replace(claimed.into_iter().map(|claimed| claimed.item_id).collect());
    }

    /// Whether a reader fetches an object.
    pub fn have(&self, object: &str) -> bool {
        self.claimed.borrow().iter().any(|claimed| claimed == object)
    }
}
