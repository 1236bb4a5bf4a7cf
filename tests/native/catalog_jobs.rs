//! Jobs as rows: plans of their queries, and what a worker without its lease cannot change.

use async_trait::async_trait;
use stillstore::bytes::Blob;
use stillstore::catalog::jobs::{
    BatchProgress, JobClaim, JobEvent, JobFailure, JobFilter, JobKind, JobRequest, JobState, JobSubject, NewJob,
    complete_job,
};
use stillstore::catalog::{IdempotencyKey, OwnerFilter, PageSize, UserLimits};
use stillstore::image::{BatchId, ImageId, JobId, Sha256Digest};
use stillstore::runtime::{Runtime, Timestamp};
use stillstore::sql::{Database, Lease};

use crate::catalog_database::{Shelf, at, done, id, user};

/// Draws another token each time.
struct Clock(std::cell::Cell<u8>);

#[async_trait(?Send)]
impl Runtime for Clock {
    fn now(&self) -> Timestamp {
        at(100)
    }

    fn random_bytes(&self) -> [u8; 16] {
        self.0.set(self.0.get() + 1);
        [self.0.get(); 16]
    }

    async fn sleep(&self, _duration_ms: u64) {}

    async fn sha256(&self, blob: &Blob) -> Sha256Digest {
        Sha256Digest::of(&blob.to_vec())
    }
}

fn clock() -> Clock {
    Clock(std::cell::Cell::new(0))
}

fn job_id(number: u8) -> JobId {
    JobId::from_random_bytes([number; 16])
}

fn batch_id() -> BatchId {
    BatchId::from_random_bytes([9; 16])
}

fn new_job(number: u8, image: ImageId) -> NewJob {
    NewJob {
        id: job_id(number),
        kind: JobKind::Edit,
        owner_id: Some(user("jane")),
        subject: JobSubject::Image(image),
        batch_id: None,
        request: JobRequest { prompt: Some(format!("prompt {number}")), ..JobRequest::default() },
        calls: 0,
        output_id: Some(ImageId::from_random_bytes([100 + number; 16])),
    }
}

fn failure() -> JobFailure {
    JobFailure::new("because", "of this")
}

#[test]
fn no_query_of_jobs_scans_or_sorts() {
    let shelf = Shelf::new();
    let catalog = shelf.catalog.clone().with_limits(UserLimits { bytes: Some(1_000), ..UserLimits::default() });
    let key: IdempotencyKey = "k".parse().unwrap();
    let body = Sha256Digest::of(b"a");
    done(catalog.create_job(&new_job(1, id(1)), Some((&key, body)), at(1))).unwrap().unwrap();
    done(shelf.catalog.create_job(&new_job(2, id(1)), None, at(2))).unwrap().unwrap();
    assert!(done(catalog.find_job_by_key(&key, at(3))).unwrap().is_some());
    let jobs = [3, 4].map(|number| NewJob {
        batch_id: Some(batch_id()),
        request: JobRequest { prompt: Some("one for all".to_owned()), ..JobRequest::default() },
        ..new_job(number, id(number.into()))
    });
    assert!(done(catalog.create_batch(batch_id(), &jobs, at(3))).unwrap());
    let owners = [OwnerFilter::Any, OwnerFilter::Only(user("jane"))];
    for owner in owners {
        for state in [None, Some(JobState::Queued)] {
            for image_id in [None, Some(id(1))] {
                for batch_id in [None, Some(batch_id())] {
                    let filter = JobFilter { owner: owner.clone(), state, image_id, batch_id };
                    let size = PageSize::try_from(1).unwrap();
                    let page = done(catalog.list_jobs(&filter, None, size)).unwrap();
                    let next = page.next.or(done(catalog.list_jobs(&JobFilter::default(), None, size)).unwrap().next);
                    drop(done(catalog.list_jobs(&filter, next, size)).unwrap());
                }
            }
        }
        assert!(done(catalog.find_job(job_id(1), &owner)).unwrap().is_some());
        let progress = done(catalog.batch_progress(batch_id(), &owner)).unwrap();
        assert_eq!(progress.map(|progress| progress.total()), Some(2));
        assert!(done(catalog.cancel_batch(batch_id(), &owner, at(4))).unwrap().is_some());
        drop(done(catalog.cancel_job(job_id(2), &owner, at(4))).unwrap());
    }
    let other = OwnerFilter::Only(user("john"));
    assert_eq!(done(catalog.batch_progress(batch_id(), &other)).unwrap(), None);
    let cancelled = BatchProgress { cancelled: 2, ..BatchProgress::default() };
    assert_eq!(done(catalog.batch_progress(batch_id(), &OwnerFilter::Any)).unwrap(), Some(cancelled));
    let lease = Lease::begin(&clock(), 1_000);
    assert!(matches!(done(catalog.claim_job(job_id(1), &lease, 5, &failure(), at(5))), Ok(JobClaim::Claimed(_))));
    assert!(done(catalog.replace_output(job_id(1), &lease, id(7))).unwrap());
    let event = JobEvent::new(at(6), JobState::Completed);
    done(shelf.database.batch(vec![complete_job(job_id(1), &lease, &event).unwrap()])).unwrap();
    assert!(!done(catalog.retry_job(job_id(1), &lease, &failure(), at(7), at(7))).unwrap());
    assert!(!done(catalog.fail_job(job_id(1), &lease, &failure(), at(7))).unwrap());
    assert!(!done(catalog.bury_job(job_id(1), &failure(), at(7))).unwrap());
    assert!(done(catalog.due_jobs(at(7), 10)).unwrap().is_empty());
    drop(done(catalog.find_all_stored(&[id(1)])).unwrap());
    done(catalog.purge_jobs(at(100), 10)).unwrap();
    assert!(shelf.sql("SELECT id FROM stillstore_jobs").unwrap().is_empty());
}

#[test]
fn a_worker_whose_lease_is_over_changes_nothing() {
    let shelf = Shelf::new();
    let catalog = &shelf.catalog;
    let clock = clock();
    done(catalog.create_job(&new_job(1, id(1)), None, at(1))).unwrap().unwrap();
    let claim = |lease: &Lease, now| done(catalog.claim_job(job_id(1), lease, 2, &failure(), now)).unwrap();
    let first = Lease::begin(&clock, 10_000);
    let second = Lease::begin(&clock, 10_000);
    assert!(matches!(claim(&first, at(100)), JobClaim::Claimed(job) if job.attempts == 1));
    assert!(matches!(claim(&first, at(100)), JobClaim::Claimed(job) if job.attempts == 1), "its answer was lost");
    assert_eq!(claim(&second, at(109)), JobClaim::NotYet { due_at: at(110) });
    assert!(matches!(claim(&second, at(110)), JobClaim::Claimed(job) if job.attempts == 2));
    let event = JobEvent::new(at(111), JobState::Completed);
    let complete = |lease: &Lease| done(shelf.database.batch(vec![complete_job(job_id(1), lease, &event).unwrap()]));
    assert!(complete(&first).is_err());
    assert!(!done(catalog.fail_job(job_id(1), &first, &failure(), at(111))).unwrap());
    assert!(!done(catalog.retry_job(job_id(1), &first, &failure(), at(111), at(111))).unwrap());
    assert!(!done(catalog.replace_output(job_id(1), &first, id(8))).unwrap());
    complete(&second).unwrap();
    assert!(complete(&second).is_err(), "once");
    let job = done(catalog.find_job(job_id(1), &OwnerFilter::Any)).unwrap().unwrap();
    assert_eq!((job.state, job.events.len(), job.error), (JobState::Completed, 4, None));
    assert_eq!(job.events[3].duration_ms, Some(1_000));
}

#[test]
fn a_batch_asks_for_one_thing() {
    let shelf = Shelf::new();
    let catalog = &shelf.catalog;
    let of = |number: u8, prompt: &str| NewJob {
        batch_id: Some(batch_id()),
        request: JobRequest { prompt: Some(prompt.to_owned()), ..JobRequest::default() },
        ..new_job(number, id(number.into()))
    };
    let create = |jobs: &[NewJob]| done(catalog.create_batch(batch_id(), jobs, at(1))).unwrap();
    assert!(create(&[of(1, "warm"), of(2, "warm")]));
    assert!(create(&[of(1, "warm"), of(2, "warm"), of(3, "warm")]), "and what was added meanwhile");
    assert!(!create(&[of(1, "cold"), of(4, "cold")]));
    assert_eq!(shelf.sql("SELECT id FROM stillstore_jobs").unwrap().len(), 3);
}

#[test]
fn a_deleted_image_takes_its_prompts_along() {
    let shelf = Shelf::new();
    shelf.image_in(1, stillstore::catalog::Status::Stored);
    done(shelf.catalog.create_job(&new_job(1, id(1)), None, at(1))).unwrap().unwrap();
    done(shelf.catalog.create_job(&new_job(2, id(2)), None, at(1))).unwrap().unwrap();
    shelf.sql("UPDATE stillstore_images SET status = 'deleting'").unwrap();
    let prompts = shelf.sql("SELECT request ->> 'prompt' AS prompt FROM stillstore_jobs ORDER BY id").unwrap();
    assert_eq!(prompts, [serde_json::json!({"prompt": null}), serde_json::json!({"prompt": "prompt 2"})]);
}
