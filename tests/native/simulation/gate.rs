//! One gate before and behind every call to the database and the bucket, where a call can be failed, killed or held.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

use async_trait::async_trait;
use stillstore::image::ObjectKey;
use stillstore::sql::{Database, DatabaseError, DatabaseErrorKind, QueryResult, Statement};
use stillstore::store::{
    ByteRange, ImageStore, ListPage, ObjectInfo, PutObject, PutReceipt, StorageKind, StoreError, StoreErrorKind,
    StoredObject,
};

use crate::runtime::TestRuntime;

/// Before the call took effect, or when it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Fails(When),
    /// It never answers: its process is to be killed.
    Hangs(When),
    /// It answers once the gate is opened again.
    Waits(When),
    /// As `Waits`, for a call to the database, and for longer than a lease.
    Lags(When),
    /// It never answers, and deadlines pass.
    TimesOut(When),
}

impl Trouble {
    const fn when(self) -> When {
        match self {
            Self::Fails(when) | Self::Hangs(when) | Self::Waits(when) | Self::Lags(when) | Self::TimesOut(when) => when,
        }
    }
}

type Plans = (Option<(usize, Trouble)>, Option<When>);

pub struct Gate {
    /// The call that gets into trouble, counted down, the next being 1.
    planned: Cell<Option<(usize, Trouble)>>,
    /// Every call to the bucket fails.
    outage: Cell<Option<When>>,
    waiting: RefCell<Option<Waker>>,
    is_shut: Cell<bool>,
    /// Calls while one was planned.
    pub passed: Cell<usize>,
    runtime: Rc<TestRuntime>,
}

impl Gate {
    pub fn new(runtime: Rc<TestRuntime>) -> Rc<Self> {
        Rc::new(Self {
            planned: Cell::default(),
            outage: Cell::default(),
            waiting: RefCell::default(),
            is_shut: Cell::default(),
            passed: Cell::default(),
            runtime,
        })
    }

    /// The `nth` call from here on gets into trouble.
    pub fn plan(&self, nth: usize, trouble: Trouble) {
        self.planned.set(Some((nth, trouble)));
    }

    /// Whether the planned trouble has come.
    pub fn heal(&self) -> bool {
        self.planned.take().is_none()
    }

    pub fn set_outage(&self, outage: Option<When>) {
        self.outage.set(outage);
    }

    /// Takes away what is planned, for [`Gate::restore`].
    pub fn set_aside(&self) -> Plans {
        (self.planned.take(), self.outage.take())
    }

    pub fn restore(&self, (planned, outage): Plans) {
        self.planned.set(planned);
        self.outage.set(outage);
    }

    /// Whether a call waits to be let through.
    pub fn is_shut(&self) -> bool {
        self.is_shut.get()
    }

    pub fn open(&self) {
        self.is_shut.set(false);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    fn arrive(&self, is_bucket: bool) -> Option<Trouble> {
        self.passed.set(self.passed.get() + 1);
        let (nth, trouble) = self.planned.take()?;
        if nth > 1 || (is_bucket && matches!(trouble, Trouble::Lags(_))) {
            self.planned.set(Some((nth.saturating_sub(1).max(1), trouble)));
            return None;
        }
        Some(trouble)
    }

    async fn wait(&self) {
        self.is_shut.set(true);
        poll_fn(|context| {
            if self.is_shut.get() {
                self.waiting.replace(Some(context.waker().clone()));
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }

    async fn meet<E>(&self, trouble: Trouble, error: fn(&'static str) -> E) -> Result<(), E> {
        match trouble {
            Trouble::Fails(_) => return Err(error("planned")),
            Trouble::Hangs(_) => pending().await,
            Trouble::Waits(_) | Trouble::Lags(_) => self.wait().await,
            Trouble::TimesOut(_) => {
                self.runtime.end_sleeps_up_to(u64::MAX);
                pending::<()>().await;
            }
        }
        Ok(())
    }

    async fn pass<T, E>(
        &self,
        is_bucket: bool,
        error: fn(&'static str) -> E,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let outage = self.outage.get().filter(|_| is_bucket).map(Trouble::Fails);
        let Some(trouble) = self.arrive(is_bucket).or(outage) else { return call.await };
        if trouble.when() == When::Before {
            self.meet(trouble, error).await?;
            return call.await;
        }
        let answer = call.await?;
        self.meet(trouble, error).await?;
        Ok(answer)
    }
}

pub struct GatedDatabase(pub Rc<dyn Database>, pub Rc<Gate>);

#[async_trait(?Send)]
impl Database for GatedDatabase {
    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<QueryResult>, DatabaseError> {
        let error = |detail| DatabaseError::new(DatabaseErrorKind::Unavailable, detail);
        self.1.pass(false, error, self.0.batch(statements)).await
    }
}

pub struct GatedStore(pub Rc<dyn ImageStore>, pub Rc<Gate>);

fn unavailable(detail: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, detail)
}

#[async_trait(?Send)]
impl ImageStore for GatedStore {
    fn kind(&self) -> StorageKind {
        self.0.kind()
    }

    async fn put(&self, object: PutObject) -> Result<PutReceipt, StoreError> {
        self.1.pass(true, unavailable, self.0.put(object)).await
    }

    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<StoredObject>, StoreError> {
        self.1.pass(true, unavailable, self.0.get(key, range)).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        self.1.pass(true, unavailable, self.0.head(key)).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.1.pass(true, unavailable, self.0.delete(key)).await
    }

    async fn list(&self, prefix: &str, start_after: Option<&ObjectKey>, limit: u16) -> Result<ListPage, StoreError> {
        self.1.pass(true, unavailable, self.0.list(prefix, start_after, limit)).await
    }
}
