//! Bodies across the border, both ways.

use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::JsValue;

use super::super::bytes::{JsBody, body_to_js};
use super::super::environment::Environment;
use super::super::foreign::{JsBytes, blob_to_js};
use super::super::runtime::WorkerRuntime;
use super::case::{Case, cases, expect, js_words, words};
use crate::bytes::{Blob, Body, BodyError, ByteSource};
use crate::store::conformance::Outcome;

pub(super) const CASES: &[Case] = cases![
    js_bytes_are_copied_and_sliced,
    local_and_js_blobs_become_typed_arrays,
    a_pulled_stream_gives_the_sources_bytes,
    a_pulled_stream_of_promised_length_gives_the_sources_bytes,
    runs_have_the_length_asked_for,
    peeking_leaves_the_bytes_in_place,
    an_unread_stream_is_handed_back_untouched,
    a_read_stream_is_handed_on_with_the_rest,
    a_pulled_stream_reads_no_further_than_one_run_ahead,
    dropping_the_reader_drops_the_source,
    a_failing_source_breaks_the_stream,
    a_source_shorter_than_its_promise_breaks_the_stream,
    a_source_longer_than_its_promise_breaks_the_stream,
    a_broken_promise_of_a_stream_is_noticed,
];

const LONG_BYTES: usize = 3 << 20;

fn pattern(size_bytes: usize) -> Vec<u8> {
    // 251 is prime, so that runs of usual lengths do not look alike.
    (0..=250).cycle().take(size_bytes).collect()
}

/// Counts what is read of it, and says when it is dropped.
#[derive(Default)]
struct Watch {
    reads: Cell<u32>,
    dropped: Cell<bool>,
}

struct Watched {
    rest: Blob,
    fails_at_end: bool,
    watch: Rc<Watch>,
}

impl Watched {
    fn body(bytes: Vec<u8>, promised_bytes: Option<u64>) -> (Body, Rc<Watch>) {
        Self::make(bytes, promised_bytes, false)
    }

    fn make(bytes: Vec<u8>, promised_bytes: Option<u64>, fails_at_end: bool) -> (Body, Rc<Watch>) {
        let watch = Rc::new(Watch::default());
        let source = Self { rest: bytes.into(), fails_at_end, watch: Rc::clone(&watch) };
        (Body::from_source(Box::new(source), promised_bytes), watch)
    }
}

#[async_trait(?Send)]
impl ByteSource for Watched {
    async fn peek(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        Ok(self.rest.prefix(max_bytes))
    }

    async fn next(&mut self, max_bytes: usize) -> Result<Option<Blob>, BodyError> {
        self.watch.reads.set(self.watch.reads.get() + 1);
        let run = self.rest.slice(0..max_bytes);
        self.rest = self.rest.slice(max_bytes..self.rest.size_bytes());
        if run.is_empty() && self.fails_at_end {
            return Err(BodyError::Interrupted("the source broke".to_owned()));
        }
        Ok(Some(run).filter(|run| !run.is_empty()))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.dropped.set(true);
    }
}

/// Through JS and back; the far side does not know the length.
fn through_js(body: Body) -> Body {
    JsBody::body(&body_to_js(body), None)
}

async fn read_all(mut body: Body, run_bytes: usize) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::new();
    while let Some(run) = body.next(run_bytes).await? {
        bytes.extend(run.to_vec());
    }
    Ok(bytes)
}

/// Lets JS and other futures run.
async fn turn() {
    use crate::runtime::Runtime as _;
    WorkerRuntime.sleep(1).await;
}

async fn js_bytes_are_copied_and_sliced(_: Rc<Environment>) -> Outcome {
    let bytes = pattern(1_000);
    let blob = JsBytes::blob(Uint8Array::from(bytes.as_slice()));
    expect(blob.size_bytes() == 1_000 && blob.as_local().is_none(), "the blob has the array's length")?;
    expect(blob.to_vec() == bytes, "the whole is copied")?;
    let part = blob.slice(100..900).slice(10..20);
    expect(Some(part.to_vec().as_slice()) == bytes.get(110..120), "a slice of a slice is that part")?;
    expect(blob.slice(990..2_000).to_vec().len() == 10, "a slice ends with the blob")?;
    expect(blob.slice(5..5).to_vec().is_empty(), "an empty slice is empty")
}

async fn local_and_js_blobs_become_typed_arrays(_: Rc<Environment>) -> Outcome {
    let bytes = pattern(1_000);
    expect(blob_to_js(&Blob::from(bytes.clone())).to_vec() == bytes, "a local blob is copied")?;
    let array = Uint8Array::from(bytes.as_slice());
    let same = blob_to_js(&JsBytes::blob(array.clone()));
    expect(JsValue::from(same) == JsValue::from(array), "a JS blob is the very array")
}

async fn a_pulled_stream_gives_the_sources_bytes(_: Rc<Environment>) -> Outcome {
    for size_bytes in [0, 1, LONG_BYTES + 1] {
        let (body, watch) = Watched::body(pattern(size_bytes), None);
        let read = read_all(through_js(body), 700_001).await.map_err(words)?;
        expect(read == pattern(size_bytes), format!("{size_bytes} bytes arrive, not {}", read.len()))?;
        turn().await;
        expect(watch.dropped.get(), "the source is dropped at its end")?;
    }
    Ok(())
}

async fn a_pulled_stream_of_promised_length_gives_the_sources_bytes(_: Rc<Environment>) -> Outcome {
    for size_bytes in [0, 1, LONG_BYTES + 1] {
        let (body, _) = Watched::body(pattern(size_bytes), Some(size_bytes as u64));
        let read = read_all(through_js(body), 700_001).await.map_err(words)?;
        expect(read == pattern(size_bytes), format!("{size_bytes} bytes arrive, not {}", read.len()))?;
    }
    Ok(())
}

async fn runs_have_the_length_asked_for(_: Rc<Environment>) -> Outcome {
    for promised_bytes in [None, Some(LONG_BYTES as u64)] {
        for run_bytes in [10_000, 262_144, 1_048_577, LONG_BYTES, usize::MAX] {
            let (body, _) = Watched::body(pattern(LONG_BYTES), promised_bytes);
            let mut body = through_js(body);
            let mut left_bytes = LONG_BYTES;
            while let Some(run) = body.next(run_bytes).await.map_err(words)? {
                let expected_bytes = run_bytes.min(left_bytes);
                expect(run.size_bytes() == expected_bytes, format!("{expected_bytes}, not {}", run.size_bytes()))?;
                left_bytes -= run.size_bytes();
            }
            expect(left_bytes == 0, format!("runs of {run_bytes} give everything"))?;
        }
    }
    Ok(())
}

async fn peeking_leaves_the_bytes_in_place(_: Rc<Environment>) -> Outcome {
    let bytes = pattern(10_000);
    for promised_bytes in [None, Some(10_000)] {
        let (body, _) = Watched::body(bytes.clone(), promised_bytes);
        let mut body = through_js(body);
        for peek_bytes in [16, 4_096, 8, 20_000, 0] {
            let peeked = body.peek(peek_bytes).await.map_err(words)?;
            expect(Some(peeked.as_slice()) == bytes.get(..peek_bytes.min(10_000)), format!("peeking at {peek_bytes}"))?;
        }
        let run = body.next(6_000).await.map_err(words)?.ok_or("there is a run")?;
        expect(Some(run.to_vec().as_slice()) == bytes.get(..6_000), "the next run starts at the start")?;
        let peeked = body.peek(100).await.map_err(words)?;
        expect(Some(peeked.as_slice()) == bytes.get(6_000..6_100), "peeking goes on from there")?;
        let rest = read_all(body, 1 << 20).await.map_err(words)?;
        expect(Some(rest.as_slice()) == bytes.get(6_000..), "and so do the runs")?;
    }
    Ok(())
}

async fn an_unread_stream_is_handed_back_untouched(_: Rc<Environment>) -> Outcome {
    let (body, _) = Watched::body(pattern(100), Some(100));
    let stream = body_to_js(body);
    expect(body_to_js(JsBody::body(&stream, Some(100))) == stream, "it is the very stream")?;
    let locked = Reflect::get(&stream, &"locked".into()).map_err(|error| js_words(&error))?;
    expect(locked.is_falsy(), "nobody reads it")
}

async fn a_read_stream_is_handed_on_with_the_rest(_: Rc<Environment>) -> Outcome {
    for promised_bytes in [None, Some(LONG_BYTES as u64)] {
        let (body, _) = Watched::body(pattern(LONG_BYTES), promised_bytes);
        let mut body = JsBody::body(&body_to_js(body), promised_bytes);
        body.peek(4_096).await.map_err(words)?;
        let read = read_all(through_js(body), 1 << 20).await.map_err(words)?;
        expect(read == pattern(LONG_BYTES), "what was peeked at and the rest arrive")?;
    }
    Ok(())
}

async fn a_pulled_stream_reads_no_further_than_one_run_ahead(_: Rc<Environment>) -> Outcome {
    let (body, watch) = Watched::body(pattern(LONG_BYTES), None);
    let mut body = through_js(body);
    turn().await;
    expect(watch.reads.get() <= 1, format!("{} runs are read before anyone asks", watch.reads.get()))?;
    body.next(1).await.map_err(words)?;
    turn().await;
    expect(watch.reads.get() <= 2, format!("{} runs are read for the first byte", watch.reads.get()))
}

async fn dropping_the_reader_drops_the_source(_: Rc<Environment>) -> Outcome {
    for promised_bytes in [None, Some(LONG_BYTES as u64)] {
        for started in [false, true] {
            let (body, watch) = Watched::body(pattern(LONG_BYTES), promised_bytes);
            let mut body = through_js(body);
            if started {
                body.next(1).await.map_err(words)?;
            }
            expect(!watch.dropped.get(), "a source that is wanted lives")?;
            drop(body);
            for _ in 0..10 {
                turn().await;
            }
            expect(watch.dropped.get(), format!("it is dropped (promised {promised_bytes:?}, started {started})"))?;
        }
    }
    Ok(())
}

async fn a_failing_source_breaks_the_stream(_: Rc<Environment>) -> Outcome {
    for promised_bytes in [None, Some(2_000)] {
        let (body, watch) = Watched::make(pattern(1_000), promised_bytes, true);
        match read_all(through_js(body), 1 << 20).await {
            Err(BodyError::Interrupted(detail)) => {
                expect(detail.contains("the source broke"), format!("the reason is passed on, not {detail}"))?;
            }
            other => return Err(format!("the reader sees no failure but {other:?}")),
        }
        turn().await;
        expect(watch.dropped.get(), "a broken source is dropped")?;
    }
    Ok(())
}

async fn a_source_shorter_than_its_promise_breaks_the_stream(_: Rc<Environment>) -> Outcome {
    let (body, _) = Watched::body(pattern(1_000), Some(1_001));
    let read = read_all(through_js(body), 1 << 20).await;
    expect(read.is_err(), "the reader sees a failure")
}

async fn a_source_longer_than_its_promise_breaks_the_stream(_: Rc<Environment>) -> Outcome {
    let (body, _) = Watched::body(pattern(1_000), Some(999));
    let read = read_all(through_js(body), 1 << 20).await;
    expect(read.is_err(), "the reader sees a failure")
}

async fn a_broken_promise_of_a_stream_is_noticed(_: Rc<Environment>) -> Outcome {
    for (promised_bytes, expected) in [
        (1_001, BodyError::TooShort { expected_bytes: 1_001, actual_bytes: 1_000 }),
        (999, BodyError::TooLong { limit_bytes: 999 }),
    ] {
        let (body, _) = Watched::body(pattern(1_000), None);
        let body = JsBody::body(&body_to_js(body), Some(promised_bytes));
        let read = read_all(body, 1 << 20).await;
        expect(read.as_ref().err() == Some(&expected), format!("{read:?} is {expected}"))?;
    }
    Ok(())
}
