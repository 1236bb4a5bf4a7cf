//! The databases that sources are in.

use std::rc::Rc;

use crate::migrate::runs::Ledger;
use crate::sql::{Database, DatabaseError, DatabaseErrorKind};

/// The binding of the catalogue's own database.
pub const OWN_BINDING: &str = "DB";

/// The catalogue's database, and further ones by their bindings. Cheap to clone.
#[derive(Clone)]
pub struct Databases {
    own: Rc<dyn Database>,
    others: Rc<[(String, Rc<dyn Database>)]>,
}

impl Databases {
    /// `own` is bound as [`OWN_BINDING`].
    #[must_use]
    pub fn new(own: Rc<dyn Database>, others: Rc<[(String, Rc<dyn Database>)]>) -> Self {
        Self { own, others }
    }

    /// The catalogue's.
    #[must_use]
    pub fn own(&self) -> &Rc<dyn Database> {
        &self.own
    }

    /// Whether the catalogue's is the only one.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.others.is_empty()
    }

    /// The one bound as `binding`; the catalogue's when none is.
    #[must_use]
    pub fn at(&self, binding: &str) -> Rc<dyn Database> {
        let other = self.others.iter().find(|(name, _)| name == binding);
        Rc::clone(other.map_or(&self.own, |(_, database)| database))
    }

    /// The ledgers of every database, that of the catalogue first and marked as such.
    pub fn ledgers(&self) -> impl Iterator<Item = (bool, Ledger)> {
        let others = self.others.iter().map(|(_, database)| (false, database));
        let all = std::iter::once((true, &self.own)).chain(others);
        all.map(|(is_own, database)| (is_own, Ledger::new(Rc::clone(database))))
    }
}

/// What a database answered: nothing, when it is a further one and Stillstore's tables are not in it.
pub fn ledger_answer<T: Default>(is_own: bool, answer: Result<T, DatabaseError>) -> Result<T, DatabaseError> {
    match answer {
        Err(error) if error.kind == DatabaseErrorKind::Schema && !is_own => Ok(T::default()),
        answer => answer,
    }
}
