//! The promises about columns handed out apart, on SQLite.

use std::rc::Rc;

use stillstore::sql::Database;
use stillstore::sql::conformance::{self, CASES};

use crate::runtime::block_on;
use crate::sqlite::Sqlite;

#[test]
fn sqlite_conforms() {
    let database: Rc<dyn Database> = Rc::new(Sqlite::migrated());
    let failures: Vec<_> = CASES
        .iter()
        .filter_map(|case| {
            let reason = block_on(conformance::run(case, Rc::clone(&database))).err()?;
            Some(format!("{}: {reason}", case.name))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
