//! What the operator sees of the whole store: who and what the images belong to, operations of this month, and what each day ended with.

use serde::{Deserialize, Serialize};

use super::limits::DAY_MS;
use super::{Catalog, CatalogError};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, QueryResult, Statement, Value};
use crate::store::StorageKind;
use crate::telemetry::R2Operations;

/// Days before today that are listed and kept.
pub const USAGE_DAYS: i64 = 90;

// A row for each kind, context and owner is read, in no use of the store but for whoever looks at all of it.
const SELECT_KINDS: &str = "SELECT kind AS name, sum(images) AS images, sum(bytes) AS bytes FROM stillstore_holdings \
    GROUP BY kind HAVING sum(images) > 0 ORDER BY sum(bytes) DESC, kind";
const SELECT_CONTEXTS: &str = "SELECT context AS name, sum(images) AS images, sum(bytes) AS bytes FROM stillstore_holdings \
    GROUP BY context HAVING sum(images) > 0 ORDER BY sum(bytes) DESC, context LIMIT ?1";
const SELECT_OWNERS: &str = "SELECT owner_id AS name, sum(images) AS images, sum(bytes) AS bytes FROM stillstore_holdings \
    GROUP BY owner_id HAVING sum(images) > 0 ORDER BY sum(bytes) DESC, owner_id LIMIT ?1";

const SELECT_HOMES: &str = "SELECT storage, sum(images) AS images, sum(bytes) AS bytes, sum(puts) AS puts, \
    sum(iif(month = ?1, month_puts, 0)) AS month_puts FROM stillstore_counters \
    WHERE status IN ('stored', 'moved') AND storage = ?2";

const SELECT_DAYS: &str = "SELECT day, class_a, class_b, r2_images, r2_bytes, d1_images, d1_bytes, puts, database_bytes \
    FROM stillstore_usage_days WHERE day > ?1 ORDER BY day";

const COUNT: &str = "INSERT INTO stillstore_usage_days (day, class_a, class_b) VALUES (?1, ?2, ?3) \
    ON CONFLICT (day) DO UPDATE SET class_a = class_a + excluded.class_a, class_b = class_b + excluded.class_b";

const KEEP_DAY: &str = "INSERT INTO stillstore_usage_days (day, r2_images, r2_bytes, d1_images, d1_bytes, puts, database_bytes) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (day) DO UPDATE SET r2_images = excluded.r2_images, \
    r2_bytes = excluded.r2_bytes, d1_images = excluded.d1_images, d1_bytes = excluded.d1_bytes, puts = excluded.puts, \
    database_bytes = excluded.database_bytes";

const FORGET_DAYS: &str = "DELETE FROM stillstore_usage_days WHERE day <= ?1";

/// Images together, and their bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Holding {
    /// The kind, context or owner; empty for images that have none.
    pub name: String,
    pub images: u64,
    pub bytes: u64,
}

/// What is in one home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct Home {
    pub images: u64,
    pub bytes: u64,
    /// Objects put there for images since they are counted.
    pub puts: u64,
    /// Of these, in the month that was asked for.
    pub month_puts: u64,
}

/// One day, as cron saw it last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct UsageDay {
    /// Days since 1970 in UTC.
    pub day: i64,
    pub class_a: u64,
    pub class_b: u64,
    pub r2_images: Option<u64>,
    pub r2_bytes: Option<u64>,
    pub d1_images: Option<u64>,
    pub d1_bytes: Option<u64>,
    pub puts: Option<u64>,
    pub database_bytes: Option<u64>,
}

/// The whole store at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    pub r2: Home,
    pub d1: Home,
    /// By bytes, the largest first.
    pub kinds: Vec<Holding>,
    pub contexts: Vec<Holding>,
    pub owners: Vec<Holding>,
    /// Operations of this month.
    pub operations: R2Operations,
    /// The oldest first.
    pub days: Vec<UsageDay>,
    /// What the database takes, where it says so.
    pub database_bytes: Option<u64>,
}

impl Catalog {
    /// Everything that is counted, with the `longest` largest contexts and owners. It reads a row for each kind, context and owner.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn usage(&self, longest: u16, now: Timestamp) -> Result<Usage, CatalogError> {
        let during = CatalogError::during("usage");
        let longest = i64::from(longest);
        let holdings = [
            Statement::new(SELECT_KINDS),
            Statement::new(SELECT_CONTEXTS).bind(longest),
            Statement::new(SELECT_OWNERS).bind(longest),
        ];
        let [r2, d1, days, kinds, contexts, owners] = {
            let [r2, d1, days] = totals(now);
            let [kinds, contexts, owners] = holdings;
            self.batch("usage", [r2, d1, days, kinds, contexts, owners]).await?
        };
        Ok(Usage {
            kinds: kinds.rows().map_err(&during)?,
            contexts: contexts.rows().map_err(&during)?,
            owners: owners.rows().map_err(&during)?,
            ..read_totals([r2, d1, days], now).map_err(&during)?
        })
    }

    /// As [`Catalog::usage`], without kinds, contexts and owners: costs the same however many there are.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn totals(&self, now: Timestamp) -> Result<Usage, CatalogError> {
        let answers = self.batch("totals", totals(now)).await?;
        read_totals(answers, now).map_err(CatalogError::during("totals"))
    }

    /// Adds operations of R2 that no image's row tells of to the day's.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; they may be added.
    pub async fn count_operations(&self, operations: R2Operations, now: Timestamp) -> Result<(), CatalogError> {
        let R2Operations { class_a, class_b } = operations;
        let count = Statement::new(COUNT).bind(day(now)).bind(whole(class_a)).bind(whole(class_b));
        self.batch("count_operations", [count]).await.map(drop)
    }

    /// Keeps what the day ends with, until the next time, and forgets the days that are not listed any more.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; repeating it is safe.
    pub async fn keep_day(&self, now: Timestamp) -> Result<(), CatalogError> {
        let during = CatalogError::during("keep_day");
        let [r2, d1] = self.batch("keep_day", [home(StorageKind::R2, now), home(StorageKind::D1, now)]).await?;
        let database_bytes = r2.database_bytes;
        let r2: Home = r2.first().map_err(&during)?.unwrap_or_default();
        let d1: Home = d1.first().map_err(&during)?.unwrap_or_default();
        let keep = [r2.images, r2.bytes, d1.images, d1.bytes, r2.puts].into_iter().map(whole);
        let keep = keep.fold(Statement::new(KEEP_DAY).bind(day(now)), Statement::bind);
        let keep = keep.bind(Value::from(database_bytes.map(whole)));
        let forget = Statement::new(FORGET_DAYS).bind(day(now) - USAGE_DAYS - 1);
        self.batch("keep_day", [keep, forget]).await.map(drop)
    }
}

fn totals(now: Timestamp) -> [Statement; 3] {
    let days = Statement::new(SELECT_DAYS).bind(day(now) - USAGE_DAYS);
    [home(StorageKind::R2, now), home(StorageKind::D1, now), days]
}

fn read_totals([r2, d1, days]: [QueryResult; 3], now: Timestamp) -> Result<Usage, DatabaseError> {
    let database_bytes = r2.database_bytes;
    let r2: Home = r2.first()?.unwrap_or_default();
    let days: Vec<UsageDay> = days.rows()?;
    let first_of_month = first_day_of_month(now);
    let this_month = days.iter().filter(|day| day.day >= first_of_month);
    let bundled = this_month.fold(R2Operations::default(), |sum, day| R2Operations {
        class_a: sum.class_a.saturating_add(day.class_a),
        class_b: sum.class_b.saturating_add(day.class_b),
    });
    Ok(Usage {
        operations: R2Operations { class_a: bundled.class_a.saturating_add(r2.month_puts), ..bundled },
        r2,
        d1: d1.first()?.unwrap_or_default(),
        kinds: Vec::new(),
        contexts: Vec::new(),
        owners: Vec::new(),
        days,
        database_bytes,
    })
}

fn home(storage: StorageKind, now: Timestamp) -> Statement {
    let (year, month, _) = now.utc_date();
    Statement::new(SELECT_HOMES).bind(year * 100 + month).bind(storage.as_str())
}

/// Days since 1970 in UTC.
const fn day(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(DAY_MS)
}

/// The number of the day with which the month began.
const fn first_day_of_month(now: Timestamp) -> i64 {
    let (_, _, day_of_month) = now.utc_date();
    day(now) - day_of_month + 1
}

/// As the database takes it: up to 2^53.
fn whole(number: u64) -> i64 {
    i64::try_from(number).map_or(1 << 53, |number| number.min(1 << 53))
}
