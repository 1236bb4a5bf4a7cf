//! A request: identify, authorise, route, answer, record.

use super::App;
use crate::api::{Access, Caller, Code, Exchange, Gate, KnownTokens, Method, Problem, Request, Response, Target};
use crate::library::Library;
use crate::runtime::{Runtime, Timestamp};
use crate::telemetry::Event;

impl App {
    /// Answers a request. Never fails: whatever goes wrong is a problem document.
    pub async fn handle(&self, request: Request) -> Response {
        let runtime = &self.services.runtime;
        let started_at = runtime.now();
        let request_id = request_id(&request, runtime.as_ref());
        let library = self.services.library(&request_id);
        let method = request.method;
        let origin = request.header("origin").map(str::to_owned);
        let target = Target::parse(method, &request.path);
        let route = target.as_ref().map_or("none", |target| target.route.name);

        let (mut response, outcome, cause) = match self.answer(target, request, &library, started_at).await {
            Ok(response) => (response, "ok", None),
            Err(problem) => (problem.clone().into_response(&request_id), problem.code.as_str(), problem.cause),
        };

        self.cors.apply(origin.as_deref(), &mut response);
        // A cache would give the id of one request to all.
        if !response.header("Cache-Control").is_some_and(|policy| policy.starts_with("public")) {
            response.set_header("X-Request-Id", request_id);
        }
        response.set_header("X-Content-Type-Options", "nosniff");
        if method == Method::Head {
            response.body = None;
        }
        library.recorder.record(&Event::Request {
            method: method.as_str().to_owned(),
            route,
            status: response.status,
            outcome,
            duration_ms: runtime.now().millis_since(started_at),
            cause,
        });
        response
    }

    async fn answer(
        &self,
        target: Result<Target, Problem>,
        request: Request,
        library: &Library,
        now: Timestamp,
    ) -> Result<Response, Problem> {
        if request.method == Method::Options {
            return self.cors.preflight(&request).ok_or_else(|| Problem::plain(Code::RouteNotFound));
        }
        let target = target?;
        let gate = Gate::new(&self.services.config.access, request.host());
        // Where anyone may ask, nobody's token is looked at.
        let known = KnownTokens { users: self.services.tokens.as_ref(), access: self.services.assertions.as_ref() };
        let known = if target.route.access == Access::Anyone { KnownTokens::default() } else { known };
        let caller = Caller::identify(&request, &gate, known, target.signed_image(), now).await;
        caller.require(target.route.access)?;
        if target.route.access.is_closed() {
            self.require_sound_configuration()?;
        }
        let exchange = Exchange { services: &self.services, library, gate, caller };
        target.answer(&exchange, request).await
    }

    /// Stored images stay readable whatever is wrong with the configuration; everything else waits for its repair.
    fn require_sound_configuration(&self) -> Result<(), Problem> {
        if self.services.problems.is_empty() {
            return Ok(());
        }
        let problems = self.services.problems.iter().map(|problem| format!("{} {}", problem.variable, problem.rule));
        Err(Problem::new(Code::ConfigurationInvalid, problems.collect::<Vec<_>>().join("; ")))
    }
}

/// The caller's request id when it is a sane one, else a fresh one.
fn request_id(request: &Request, runtime: &dyn Runtime) -> String {
    let is_sane = |id: &&str| {
        (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    request.header("x-request-id").filter(is_sane).map_or_else(|| hex::encode(runtime.random_bytes()), str::to_owned)
}
