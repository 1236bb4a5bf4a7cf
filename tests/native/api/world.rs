//! A whole deployment in memory, every seam of which can be made to fail.

use std::any::Any;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use async_trait::async_trait;

use stillstore::api::Request;
use stillstore::app::{App, Bindings};
use stillstore::bytes::{Blob, Body, BodyError, ByteSource};
use stillstore::catalog::Status;
use stillstore::config::{Config, JobVariables};
use stillstore::edit::builtin::{BuiltinEditor, BuiltinEditorSettings};
use stillstore::edit::{Editor, EditorName};
use stillstore::generate::{GenerateError, GenerateRequest, GeneratedImage, Generator, ImageFile};
use stillstore::http::{HttpAnswer, HttpClient, HttpError, HttpRequest, HttpResponse};
use stillstore::image::{Format, ImageId, ObjectKey, Sha256Digest};
use stillstore::jwt::{PublicKey, SignatureCheck};
use stillstore::library::{EdgeCache, GenerationShare, PURGE_AT_ONCE, Swept};
use stillstore::queue::RunQueue;
use stillstore::runtime::Runtime;
use stillstore::sql::{Database, FaultyDatabase, Statement};
use stillstore::store::{
    EMBEDDED_MAX_BYTES, Faulty, ImageStore, MemoryStore, MultipartStore, ObjectMetadata, PutObject, StorageKind,
};
use stillstore::telemetry::Sink;
use stillstore::upload;
use stillstore::variants::{CodecError, Codecs, Job, MadeVariant, MeasureJob, Measures};
use stillstore::vision::builtin::BuiltinVision;
use stillstore::vision::{Vision, VisionName};

use super::contract::assert_documented;
use super::job_fakes::{Mailbox, Onlooker, Retoucher};
use crate::runtime::{TestRuntime, block_on, run_until_stalled};
use crate::sqlite::Sqlite;
use crate::variant_codecs::CountedCodecs;

pub const TOKEN: &str = "correct horse battery staple, twice";
/// The smallest whole PNG: one grey pixel.
pub const PNG: &[u8] = include_bytes!("../../fixtures/images/pixel.png");
const BUCKET_LIMIT_BYTES: u64 = 100_000_000;

#[derive(Default)]
pub struct Lines(RefCell<Vec<String>>);

impl Sink for Lines {
    fn write(&self, line: &str, _error: bool) {
        self.0.borrow_mut().push(line.to_owned());
    }
}

/// Answers with [`PNG`], or with the errors that a test lines up.
#[derive(Default)]
pub struct Studio {
    pub calls: Cell<usize>,
    pub errors: RefCell<Vec<GenerateError>>,
    /// The call to fail, counted from 1.
    pub fails_at: Cell<Option<(usize, GenerateError)>>,
    /// Others go on while an image is made.
    pub yields: Cell<bool>,
    /// What was asked for, call by call.
    pub requests: RefCell<Vec<GenerateRequest>>,
}

struct StudioHandle(Rc<Studio>, &'static str);

#[async_trait(?Send)]
impl Generator for StudioHandle {
    fn name(&self) -> &'static str {
        self.1
    }

    async fn generate(
        &self,
        request: &GenerateRequest,
        memory: &GenerationShare<'_>,
    ) -> Result<GeneratedImage, GenerateError> {
        self.0.calls.set(self.0.calls.get() + 1);
        self.0.requests.borrow_mut().push(request.clone());
        if self.0.yields.get() {
            let mut has_yielded = false;
            poll_fn(|context| {
                if std::mem::replace(&mut has_yielded, true) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
        if let Some((call, error)) = self.0.fails_at.get()
            && call == self.0.calls.get()
        {
            return Err(error);
        }
        let error = self.0.errors.borrow_mut().pop();
        if let Some(error) = error {
            return Err(error);
        }
        memory.hold_answer(PNG.len() as u64).await;
        Ok(GeneratedImage::new(ImageFile::inspect(PNG.to_vec())?))
    }
}

#[derive(Default)]
pub struct Cache {
    pub purged: RefCell<Vec<ImageId>>,
    /// Calls that it takes before it refuses all; any number when `None`.
    pub allows: Cell<Option<usize>>,
    pub calls: Cell<usize>,
}

impl Cache {
    /// Whether it was made to forget an image.
    pub fn forgot(&self, id: &str) -> bool {
        self.purged.borrow().iter().any(|purged| purged.to_string() == id)
    }
}

#[async_trait(?Send)]
impl EdgeCache for Cache {
    async fn purge(&self, ids: &[ImageId]) -> Result<(), String> {
        assert!((1..=usize::from(PURGE_AT_ONCE)).contains(&ids.len()), "{} images", ids.len());
        self.calls.set(self.calls.get() + 1);
        match self.allows.get() {
            Some(0) => return Err("over the rate limit".to_owned()),
            Some(calls) => self.allows.set(Some(calls - 1)),
            None => {}
        }
        self.purged.borrow_mut().extend(ids);
        Ok(())
    }
}

/// A server that knows its own URLs.
pub type IsDue = dyn Fn(&HttpRequest) -> bool;
pub type Server = dyn Fn(&HttpRequest) -> Option<Result<HttpResponse, HttpError>>;

/// What is out there: answers by URL, any other URL has no host.
#[derive(Default)]
pub struct Outside {
    pub pages: RefCell<BTreeMap<String, HttpResponse>>,
    /// Answers before anything else, where it has an answer.
    pub server: RefCell<Option<Rc<Server>>>,
    /// Answers that come before those, once each.
    pub first: RefCell<BTreeMap<String, VecDeque<Result<HttpResponse, HttpError>>>>,
    /// Asked again and again before an answer comes, until it says yes.
    pub is_due: RefCell<Option<Rc<IsDue>>>,
    /// Bodies that end with this, in place of their end.
    pub breaks: Cell<Option<fn() -> BodyError>>,
    pub requests: RefCell<Vec<HttpRequest>>,
}

impl Outside {
    /// Answers for `url` once with this, before anything else.
    pub fn has_first(&self, url: &str, answer: Result<HttpResponse, HttpError>) {
        self.first.borrow_mut().entry(url.to_owned()).or_default().push_back(answer);
    }

    /// What was asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.requests.borrow().iter().map(|request| request.url.clone()).collect()
    }

    /// Answers for `url` with this body.
    pub fn has(&self, url: &str, status: u16, body: &[u8]) {
        let page = HttpResponse { status, headers: Vec::new(), body: body.to_vec() };
        self.pages.borrow_mut().insert(url.to_owned(), page);
    }
}

/// Bytes, then a failure.
struct Breaking(Arriving, fn() -> BodyError);

#[async_trait(?Send)]
impl ByteSource for Breaking {
    async fn peek(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        self.0.peek(max_bytes).await
    }

    async fn next(&mut self, max_bytes: usize) -> Result<Option<Blob>, BodyError> {
        match self.0.next(max_bytes).await? {
            None => Err((self.1)()),
            run => Ok(run),
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[async_trait(?Send)]
impl HttpClient for Shared<Outside> {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        let server = self.0.server.borrow().clone();
        let answered = server.and_then(|server| server(&request));
        let first = self.0.first.borrow_mut().get_mut(&request.url).and_then(VecDeque::pop_front);
        let page = self.0.pages.borrow().get(&request.url).cloned().ok_or(HttpError::Connect);
        let is_due = self.0.is_due.borrow().clone();
        if let Some(is_due) = is_due {
            poll_fn(|context| {
                context.waker().wake_by_ref();
                if is_due(&request) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        self.0.requests.borrow_mut().push(request);
        let page = answered.or(first).unwrap_or(page)?;
        let arriving = Arriving::of(page.body);
        let body: Box<dyn ByteSource> = match self.0.breaks.get() {
            Some(error) => Box::new(Breaking(arriving, error)),
            None => Box::new(arriving),
        };
        let body = Body::from_source(body, None);
        Ok(HttpAnswer { status: page.status, headers: page.headers, body, requests: 1 })
    }
}

struct Shared<T>(Rc<T>);

#[async_trait(?Send)]
impl EdgeCache for Shared<Cache> {
    async fn purge(&self, ids: &[ImageId]) -> Result<(), String> {
        self.0.purge(ids).await
    }
}

#[async_trait(?Send)]
impl Codecs for Shared<CountedCodecs> {
    fn decodes(&self, format: Format) -> bool {
        self.0.decodes(format)
    }

    fn works_elsewhere(&self) -> bool {
        self.0.works_elsewhere()
    }

    async fn transform(&self, job: Job) -> Result<MadeVariant, CodecError> {
        self.0.transform(job).await
    }

    async fn measure(&self, job: MeasureJob) -> Result<Measures, CodecError> {
        self.0.measure(job).await
    }
}

/// No signature is good.
struct NoSignatures;

#[async_trait(?Send)]
impl SignatureCheck for NoSignatures {
    async fn is_signed(&self, _key: &PublicKey, _message: &[u8], _signature: &[u8]) -> bool {
        false
    }
}

pub struct World {
    pub app: App,
    pub sqlite: Rc<Sqlite>,
    pub database: Rc<FaultyDatabase>,
    pub bucket: Rc<Faulty<MemoryStore>>,
    pub runtime: Rc<TestRuntime>,
    pub studio: Rc<Studio>,
    /// There when `EDIT_PROVIDER` is set.
    pub retoucher: Rc<Retoucher>,
    /// There when `VISION_PROVIDER` names a model.
    pub onlooker: Rc<Onlooker>,
    /// There when `EDIT_PROVIDER` is set.
    pub mailbox: Rc<Mailbox>,
    pub cache: Rc<Cache>,
    pub outside: Rc<Outside>,
    pub codecs: Rc<CountedCodecs>,
    lines: Rc<Lines>,
}

/// A body that arrives in runs of its own: some bytes, then zeros.
pub struct Arriving {
    start: Vec<u8>,
    total_bytes: usize,
    passed_bytes: usize,
}

impl Arriving {
    pub fn png(total_bytes: u64) -> Self {
        Self { start: PNG.to_vec(), total_bytes: usize::try_from(total_bytes).unwrap(), passed_bytes: 0 }
    }

    pub fn of(bytes: Vec<u8>) -> Self {
        Self { total_bytes: bytes.len(), start: bytes, passed_bytes: 0 }
    }

    fn run(&self, max_bytes: usize) -> Vec<u8> {
        let range = self.passed_bytes..self.total_bytes.min(self.passed_bytes + max_bytes);
        range.map(|at| self.start.get(at).copied().unwrap_or(0)).collect()
    }
}

#[async_trait(?Send)]
impl ByteSource for Arriving {
    async fn peek(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        Ok(self.run(max_bytes))
    }

    async fn next(&mut self, max_bytes: usize) -> Result<Option<Blob>, BodyError> {
        let run = self.run(max_bytes);
        self.passed_bytes += run.len();
        Ok(Some(run).filter(|run| !run.is_empty()).map(Blob::from))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// An answer, read to its end.
pub struct Answer {
    pub status: u16,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    pub body: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = String::from_utf8_lossy(self.body.get(..400).unwrap_or(&self.body));
        write!(formatter, "{} {:?} {start:?}", self.status, self.headers)
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// The code of a problem document, whose form is checked too.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let document = self.json();
        assert_eq!(document["status"], self.status);
        assert_eq!(document["request_id"], self.header("x-request-id").unwrap());
        for field in ["type", "title", "detail", "remedy"] {
            assert!(document[field].as_str().is_some_and(|text| !text.is_empty()), "{field}");
        }
        document["code"].as_str().unwrap().to_owned()
    }
}

impl World {
    /// A deployment with a token, and R2 enabled or not.
    pub fn new(r2_enabled: bool) -> Self {
        Self::with_vars(&[("ENABLE_R2_STORAGE", if r2_enabled { "true" } else { "false" }), ("API_TOKEN", TOKEN)])
    }

    pub fn with_vars(vars: &[(&str, &str)]) -> Self {
        Self::with_databases(vars, Vec::new())
    }

    /// A deployment with further D1 bindings.
    pub fn with_databases(vars: &[(&str, &str)], databases: Vec<(String, Rc<dyn Database>)>) -> Self {
        Self::with(Rc::new(Sqlite::migrated()), vars, databases)
    }

    /// A deployment over a database that may be another's too.
    pub fn over(sqlite: Rc<Sqlite>, vars: &[(&str, &str)]) -> Self {
        Self::with(sqlite, vars, Vec::new())
    }

    fn with(sqlite: Rc<Sqlite>, vars: &[(&str, &str)], databases: Vec<(String, Rc<dyn Database>)>) -> Self {
        let lookup = |name: &str| vars.iter().find(|(var, _)| *var == name).map(|(_, value)| (*value).to_owned());
        let (config, problems) = Config::parse(lookup);
        let runtime = TestRuntime::impatient();
        let as_runtime = Rc::clone(&runtime) as Rc<dyn Runtime>;
        let database = Rc::new(FaultyDatabase::new(Rc::clone(&sqlite) as Rc<dyn Database>));
        let as_database = Rc::clone(&database) as Rc<dyn Database>;
        let memory = MemoryStore::new(StorageKind::R2, BUCKET_LIMIT_BYTES, Rc::clone(&as_runtime));
        let bucket = Rc::new(Faulty::new(memory));
        let studio = Rc::new(Studio::default());
        let cache = Rc::new(Cache::default());
        let outside = Rc::new(Outside::default());
        let codecs = Rc::new(CountedCodecs::default());
        let lines = Rc::new(Lines::default());
        let generators: Vec<Box<dyn Generator>> = config
            .providers
            .iter()
            .map(|name| Box::new(StudioHandle(Rc::clone(&studio), name.as_str())) as Box<dyn Generator>)
            .collect();
        let retoucher = Retoucher::new(&config.jobs);
        let JobVariables { standard, premium, .. } = config.jobs.clone();
        let builtin = BuiltinEditorSettings { standard, premium, max_pixels: config.variants.max_pixels };
        let editor: Rc<dyn Editor> = match config.jobs.editor {
            EditorName::Builtin => Rc::new(BuiltinEditor::new(builtin, Rc::new(Shared(Rc::clone(&codecs))))),
            EditorName::OpenAi | EditorName::WorkersAi => Rc::clone(&retoucher) as Rc<dyn Editor>,
        };
        let onlooker = Rc::new(Onlooker::default());
        let vision: Rc<dyn Vision> = match config.vision.provider {
            VisionName::Builtin => {
                Rc::new(BuiltinVision::new(Rc::new(Shared(Rc::clone(&codecs))), config.variants.max_pixels))
            }
            VisionName::OpenAi | VisionName::WorkersAi => Rc::clone(&onlooker) as Rc<dyn Vision>,
        };
        let mailbox = Rc::new(Mailbox::default());
        let runs = lookup("EDIT_PROVIDER").is_some().then(|| Rc::clone(&mailbox) as Rc<dyn RunQueue>);
        let app = App::new(Bindings {
            config,
            problems,
            database: as_database,
            databases: databases.into(),
            r2: Some(Rc::clone(&bucket) as Rc<dyn ImageStore>),
            parts: Some(Rc::clone(&bucket) as Rc<dyn MultipartStore>),
            runs,
            generators,
            editor: Some(editor),
            vision: Some(vision),
            http: Rc::new(Shared(Rc::clone(&outside))),
            signatures: Rc::new(NoSignatures),
            runtime: as_runtime,
            sink: Rc::clone(&lines) as Rc<dyn Sink>,
            cache: Rc::new(Shared(Rc::clone(&cache))),
            codecs: Rc::new(Shared(Rc::clone(&codecs))),
        });
        Self {
            app,
            sqlite,
            database,
            bucket,
            runtime,
            studio,
            retoucher,
            onlooker,
            mailbox,
            cache,
            outside,
            codecs,
            lines,
        }
    }

    /// Takes all the room for uploads in memory, until what it answers with is dropped.
    pub fn fill_memory_budget(&self) -> impl Sized + '_ {
        self.app.services.budget.take_for_upload(EMBEDDED_MAX_BYTES, self.runtime.now()).expect("nothing is held")
    }

    /// Sends a request with these headers and nothing else.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Body>) -> Answer {
        self.send_until_crash(method, path, headers, body).expect("the request hangs")
    }

    /// Sends a request to another address of the Worker, such as `http://localhost:8787`.
    pub fn send_at(
        &self,
        origin: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Body>,
    ) -> Answer {
        self.exchange(origin, method, path, headers, body).expect("the request hangs")
    }

    /// Sends a request; `None` when it hangs, and is dropped where it stands as if the isolate had been killed.
    pub fn send_until_crash(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Body>,
    ) -> Option<Answer> {
        self.exchange("https://images.example", method, path, headers, body)
    }

    fn exchange(
        &self,
        origin: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Body>,
    ) -> Option<Answer> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = Request::new(method, &format!("{origin}{path}"), headers, body);
        run_until_stalled(async {
            let response = self.app.handle(request).await;
            let body = match response.body {
                Some(body) => body.collect(BUCKET_LIMIT_BYTES).await.expect("the answer's body").to_vec(),
                None => Vec::new(),
            };
            if let Some(afterwards) = response.afterwards {
                afterwards.await;
            }
            Answer { status: response.status, headers: response.headers, body }
        })
        .inspect(|answer| assert_documented(method, path, answer))
    }

    /// Sends a request with the token.
    pub fn call(&self, method: &str, path: &str, body: Option<Body>) -> Answer {
        self.send(method, path, &[("authorization", &format!("Bearer {TOKEN}"))], body)
    }

    /// Posts JSON with the token and further headers.
    pub fn post_json(&self, path: &str, body: &serde_json::Value, headers: &[(&str, &str)]) -> Answer {
        let authorization = format!("Bearer {TOKEN}");
        let mut all = vec![("authorization", authorization.as_str()), ("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send("POST", path, &all, Some(body.to_string().into_bytes().into()))
    }

    pub fn generate(&self, headers: &[(&str, &str)]) -> Answer {
        self.post_json(
            "/api/generate-image",
            &serde_json::json!({"prompt": "a lighthouse", "personaId": "p1"}),
            headers,
        )
    }

    pub fn upload(&self, query: &str, bytes: &[u8]) -> Answer {
        self.call("POST", &format!("/api/images?{query}"), Some(bytes.to_vec().into()))
    }

    pub fn sweep(&self) -> Swept {
        let library = self.app.services.library("sweep");
        block_on(upload::sweep(&library));
        block_on(library.sweep())
    }

    /// The log so far, a JSON object a line.
    pub fn log(&self) -> Vec<serde_json::Value> {
        self.lines.0.borrow().iter().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }

    pub fn log_text(&self) -> String {
        self.lines.0.borrow().join("\n")
    }

    /// Rows of a table, past the faults.
    pub fn rows(&self, sql: &'static str) -> Vec<serde_json::Value> {
        block_on(self.sqlite.run(Statement::new(sql))).expect("query").rows().expect("rows")
    }

    /// The metadata of an object in the bucket, past the faults.
    pub fn metadata(&self, key: &str) -> ObjectMetadata {
        let key = ObjectKey::try_from(key.to_owned()).expect("a key");
        block_on(self.bucket.inner.head(&key)).expect("head").expect("an object").metadata
    }

    /// Puts an object into the bucket as another program would.
    pub fn put_foreign_object(&self, key: &str, bytes: &[u8]) {
        let object = PutObject {
            key: ObjectKey::try_from(key.to_owned()).expect("a key"),
            body: bytes.to_vec().into(),
            media: Format::Png.into(),
            sha256: None,
            metadata: ObjectMetadata::new(),
        };
        block_on(self.bucket.inner.put(object)).expect("put");
    }

    /// Loses an object, as an operator with the dashboard could.
    pub fn lose_object(&self, key: &str) {
        let key = ObjectKey::try_from(key.to_owned()).expect("a key");
        block_on(self.bucket.inner.delete(&key)).expect("delete");
    }

    /// Asserts the status that whoever has no token gets for an image.
    pub fn assert_readable_as(&self, id: &str, status: u16) {
        let answer = self.send("GET", &format!("/images/{id}"), &[], None);
        assert_eq!(answer.status, status, "{id}: {answer:?}");
    }

    /// Every statement about rows and bytes that holds at any moment, whatever failed before.
    pub fn assert_invariants(&self) {
        let mut named = BTreeMap::new();
        for row in self.rows("SELECT id, status, storage, storage_key, sha256 FROM stillstore_images") {
            let text = |column: &str| row[column].as_str().map(str::to_owned);
            named.insert(text("storage_key").unwrap(), text("status").unwrap());
            if text("status").as_deref() != Some("stored") {
                continue;
            }
            let id: ImageId = text("id").unwrap().parse().unwrap();
            let answer = self.call("GET", &format!("/images/{id}"), None);
            assert_eq!(answer.status, 200, "a stored image is readable: {row}");
            assert_eq!(Some(Sha256Digest::of(&answer.body).to_string()), text("sha256"), "and whole");
        }
        let uploads = self.rows("SELECT storage_key FROM stillstore_uploads");
        let frames = self.rows("SELECT session_id FROM stillstore_frame_uploads");
        let prefixes: Vec<_> =
            frames.iter().map(|row| format!("frames/{}/", row["session_id"].as_str().unwrap())).collect();
        let variants = self.rows("SELECT storage_key FROM stillstore_variants");
        let is_granted = |key: &String| {
            uploads.iter().any(|row| row["storage_key"] == **key)
                || variants.iter().any(|row| row["storage_key"] == **key)
                || prefixes.iter().any(|prefix| key.starts_with(prefix))
        };
        let in_parts = self.rows(
            "SELECT storage_key FROM stillstore_uploads WHERE asset_id IN (SELECT asset_id FROM stillstore_multipart_uploads)",
        );
        for (key, parts) in self.bucket.inner.unfinished_uploads() {
            let is_named = in_parts.iter().any(|row| row["storage_key"] == *key);
            assert!(is_named || parts == 0, "a row names the upload of {key} with {parts} parts");
        }
        for key in self.bucket.inner.contents().keys().filter(|key| !is_granted(key)) {
            let status = named.get(key);
            assert!(status.is_some_and(|status| *status != "deleted"), "a row names {key}: {status:?}");
        }
    }

    /// What holds once the sweep has been over everything: bytes and stored rows are one to one, and nothing is unfinished.
    pub fn assert_swept(&self) {
        let keys = |sql| -> Vec<String> {
            self.rows(sql).iter().map(|row| row["storage_key"].as_str().unwrap().to_owned()).collect()
        };
        let in_r2 = keys(
            "SELECT storage_key FROM stillstore_images WHERE status = 'stored' AND storage = 'r2' \
             UNION SELECT storage_key FROM stillstore_variants WHERE storage = 'r2' ORDER BY 1",
        );
        let in_database = keys(
            "SELECT storage_key FROM stillstore_images WHERE status = 'stored' AND storage = 'd1' \
             UNION SELECT storage_key FROM stillstore_variants WHERE storage = 'd1' ORDER BY 1",
        );
        let objects: Vec<String> = self.bucket.inner.contents().into_keys().collect();
        assert!(
            objects.iter().all(|key| in_r2.contains(key) || in_database.contains(key)),
            "no orphan in R2: {objects:?}"
        );
        assert!(in_r2.iter().all(|key| objects.contains(key)));
        assert_eq!(keys("SELECT object_key AS storage_key FROM stillstore_blobs ORDER BY 1"), in_database);
        let unfinished = format!("'{}', '{}'", Status::Pending.as_str(), Status::Deleting.as_str());
        assert_eq!(unfinished, "'pending', 'deleting'");
        assert!(self.rows("SELECT id FROM stillstore_images WHERE status IN ('pending', 'deleting')").is_empty());
        assert!(self.rows("SELECT form FROM stillstore_variants WHERE state <> 'stored'").is_empty());
        let orphans = "SELECT form FROM stillstore_variants WHERE image_id NOT IN (SELECT id FROM stillstore_images WHERE status = 'stored')";
        assert!(self.rows(orphans).is_empty());
        assert!(self.rows("SELECT asset_id FROM stillstore_uploads").is_empty());
        assert!(self.rows("SELECT asset_id FROM stillstore_multipart_uploads").is_empty());
        assert!(self.rows("SELECT asset_id FROM stillstore_upload_parts").is_empty());
        assert!(self.bucket.inner.unfinished_uploads().iter().all(|(_, parts)| *parts == 0), "no parts are left");
        assert!(self.rows("SELECT token FROM stillstore_frame_uploads").is_empty());
        assert!(self.rows("SELECT id FROM stillstore_collections WHERE state <> 'open'").is_empty());
    }
}
