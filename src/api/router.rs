//! The table of routes, and which of them a request is for. Parsing is total: every method and path is a route or a problem.

use futures::future::LocalBoxFuture;

#[cfg(test)]
use super::openapi::{Operation, Schemas};
use super::request::Method;
use super::{Access, Code, Exchange, ImageName, Problem, Request, Response, routes};
use crate::image::{BatchId, FrameId, ImageId, JobId, SessionId, ShootId};
use crate::migrate::RunId;
use crate::upload::PartId;

/// What a handler returns. The future is boxed, so that no request's future has room for the largest handler's.
type Answer<'a> = LocalBoxFuture<'a, Result<Response, Problem>>;
type PlainHandler = for<'a> fn(&'a Exchange<'a>, Request) -> Answer<'a>;
type HandlerOf<Id> = for<'a> fn(&'a Exchange<'a>, Request, Id) -> Answer<'a>;

/// A route.
pub struct Route {
    /// Its name in logs, without ids, and its operation's id in the `OpenAPI` document.
    pub name: &'static str,
    /// A HEAD is answered as the GET that it mirrors.
    pub method: Method,
    /// The path, with a name in braces where an id stands.
    pub path: &'static str,
    pub access: Access,
    handler: Handler,
    #[cfg(test)]
    pub(super) operation: fn(&mut Schemas) -> Operation,
}

/// Makes [`Handler`], [`Call`] and [`PathIds`] of lines `type missing sample;`: what a path leads to whose id is none, and an id.
macro_rules! path_ids {
    ($($id:ident $missing:ident $sample:literal;)+) => {
        /// A handler, by what its path has in braces.
        #[derive(Clone, Copy)]
        enum Handler {
            Plain(PlainHandler),
            $($id(HandlerOf<$id>),)+
        }

        /// A handler with the ids of a path.
        enum Call {
            Plain(PlainHandler),
            $($id(HandlerOf<$id>, $id),)+
        }

        /// What a route's path has in braces.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum PathIds {
            Nothing,
            $($id,)+
        }

        impl Handler {
            /// The call with what a path has in the route's braces, joined by slashes.
            fn call(self, ids: &str) -> Option<Call> {
                match self {
                    Self::Plain(handler) => Some(Call::Plain(handler)),
                    $(Self::$id(handler) => Some(Call::$id(handler, ids.parse().ok()?)),)+
                }
            }

            const fn ids(self) -> PathIds {
                match self {
                    Self::Plain(_) => PathIds::Nothing,
                    $(Self::$id(_) => PathIds::$id,)+
                }
            }
        }

        impl Call {
            fn ids(&self) -> Option<String> {
                match self {
                    Self::Plain(_) => None,
                    $(Self::$id(_, id) => Some(id.to_string()),)+
                }
            }

            fn answer<'a>(self, exchange: &'a Exchange<'a>, request: Request) -> Answer<'a> {
                match self {
                    Self::Plain(handler) => handler(exchange, request),
                    $(Self::$id(handler, id) => handler(exchange, request, id),)+
                }
            }
        }

        impl PathIds {
            /// What is not there when the ids of a path are none.
            const fn missing(self) -> Code {
                match self {
                    Self::Nothing => Code::RouteNotFound,
                    $(Self::$id => Code::$missing,)+
                }
            }

            /// Ids, joined by slashes.
            const fn sample(self) -> &'static str {
                match self {
                    Self::Nothing => "",
                    $(Self::$id => $sample,)+
                }
            }
        }
    };
}

path_ids! {
    ImageId ImageNotFound "0f8fad5b-d9cb-469f-a165-70867728950e";
    ImageName ImageNotFound "0f8fad5b-d9cb-469f-a165-70867728950e";
    RunId RunNotFound "0f8fad5bd9cb469fa16570867728950e";
    ShootId ShootNotFound "0f8fad5b-d9cb-469f-a165-70867728950e";
    SessionId SessionNotFound "session-7";
    FrameId FrameNotFound "session-7/42";
    PartId UploadNotFound "0f8fad5b-d9cb-469f-a165-70867728950e/42";
    JobId JobNotFound "0f8fad5b-d9cb-469f-a165-70867728950e";
    BatchId BatchNotFound "0f8fad5b-d9cb-469f-a165-70867728950e";
}

/// The route that a request is for, and the id in its path.
pub struct Target {
    pub route: &'static Route,
    call: Call,
}

macro_rules! handler {
    ($module:ident()) => {
        Handler::Plain(|exchange, request| Box::pin(routes::$module::handle(exchange, request)))
    };
    ($module:ident($id:ident)) => {
        Handler::$id(|exchange, request, id| Box::pin(routes::$module::handle(exchange, request, id)))
    };
}

macro_rules! routes {
    ($($name:literal $method:ident $path:literal $access:ident $module:ident($($id:ident)?);)+) => {
        /// Every route.
        pub static ROUTES: &[Route] = &[$(Route {
            name: $name,
            method: Method::$method,
            path: $path,
            access: Access::$access,
            handler: handler!($module($($id)?)),
            #[cfg(test)]
            operation: routes::$module::operation,
        }),+];
    };
}

routes! {
    "generate-image"   Post   "/api/generate-image"                   User     generate_image();
    "upload-image"     Post   "/api/images"                           User     upload_image();
    "list-images"      Get    "/api/images"                           User     list_images();
    "delete-image-by-key" Delete "/api/images"                        User     delete_image_by_key();
    "describe-image"   Get    "/api/images/{id}"                      User     describe_image(ImageId);
    "delete-image"     Delete "/api/images/{id}"                      User     delete_image(ImageId);
    "sign-image-url"   Post   "/api/images/{id}/signed-url"           User     sign_image_url(ImageId);
    "serve-image"      Get    "/images/{id}"                          Holder   serve_image(ImageName);
    "look-at-image"    Post   "/images/{id}/describe"                 User     look_at_image(ImageId);
    "image-description" Get   "/images/{id}/description"              User     image_description(ImageId);
    "migration-status" Get    "/api/migrate-images"                   Operator migration_status();
    "migrate-images"   Post   "/api/migrate-images"                   Operator migrate_images();
    "describe-run"     Get    "/api/migrate-images/runs/{id}"         Operator describe_run(RunId);
    "run-items"        Get    "/api/migrate-images/runs/{id}/items"   Operator run_items(RunId);
    "run-receipt"      Get    "/api/migrate-images/runs/{id}/receipt" Operator run_receipt(RunId);
    "reconcile"        Post   "/api/reconcile"                        Operator reconcile();
    "create-shoot"     Post   "/shoots"                               User     create_shoot();
    "list-shoots"      Get    "/shoots"                               User     list_shoots();
    "describe-shoot"   Get    "/shoots/{id}"                          User     describe_shoot(ShootId);
    "delete-shoot"     Delete "/shoots/{id}"                          User     delete_shoot(ShootId);
    "create-session"   Post   "/sessions"                             User     create_session();
    "upload-frames"    Post   "/sessions/{id}/frames"                 User     upload_frames(SessionId);
    "list-frames"      Get    "/sessions/{id}/frames"                 User     list_frames(SessionId);
    "delete-frames"    Delete "/sessions/{id}/frames"                 User     delete_frames(SessionId);
    "analyze-session"  Post   "/sessions/{id}/analyze"                User     analyze_session(SessionId);
    "session-analysis" Get    "/sessions/{id}/analysis"               User     session_analysis(SessionId);
    "serve-frame"      Get    "/sessions/{id}/frames/{number}"        User     serve_frame(FrameId);
    "list-assets"      Get    "/shoots/{id}/assets"                   User     list_assets(ShootId);
    "create-job"       Post   "/jobs"                                 User     create_job();
    "list-jobs"        Get    "/jobs"                                 User     list_jobs();
    "describe-job"     Get    "/jobs/{id}"                            User     describe_job(JobId);
    "cancel-job"       Delete "/jobs/{id}"                            User     cancel_job(JobId);
    "edit-shoot"       Post   "/shoots/{id}/jobs"                     User     edit_shoot(ShootId);
    "describe-batch"   Get    "/batches/{id}"                         User     describe_batch(BatchId);
    "cancel-batch"     Delete "/batches/{id}"                         User     cancel_batch(BatchId);
    "presign-upload"   Post   "/uploads/presign"                      User     presign_upload();
    "confirm-upload"   Post   "/uploads/confirm"                      User     confirm_upload();
    "receive-upload"   Put    "/uploads/{id}"                         Anyone   receive_upload(ImageId);
    "receive-form"     Post   "/uploads/{id}"                         Anyone   receive_upload_form(ImageId);
    "create-multipart" Post   "/uploads/multipart"                   User     create_multipart();
    "list-parts"       Get    "/uploads/multipart/{id}"              User     list_parts(ImageId);
    "complete-multipart" Post "/uploads/multipart/{id}"              User     complete_multipart(ImageId);
    "abort-multipart"  Delete "/uploads/multipart/{id}"              User     abort_multipart(ImageId);
    "put-part"         Put    "/uploads/multipart/{id}/{number}"     User     put_part(PartId);
    "s3-post"          Post   "/uploads/s3/{id}"                     Anyone   s3_post(ImageId);
    "s3-put-part"      Put    "/uploads/s3/{id}"                     Anyone   s3_put_part(ImageId);
    "s3-list-parts"    Get    "/uploads/s3/{id}"                     Anyone   s3_list_parts(ImageId);
    "s3-abort"         Delete "/uploads/s3/{id}"                     Anyone   s3_abort(ImageId);
    "health"           Get    "/health"                               Anyone   health();
    "describe-caller"  Get    "/api/caller"                           User     describe_caller();
    "usage"            Get    "/api/usage"                            Operator usage();
    "metrics"          Get    "/metrics"                              Operator metrics();
    "openapi"          Get    "/openapi.json"                         Anyone   openapi();
    "index"            Get    "/"                                     Anyone   index();
    "docs"             Get    "/docs"                                 Anyone   docs();
}

impl Route {
    /// The methods of `path`, for `Allow`; `None` when there is no such path.
    #[must_use]
    pub fn allowed_methods(path: &str) -> Option<String> {
        let at_path: Vec<_> = ROUTES.iter().filter(|route| route.call(path).is_some()).collect();
        let is_answered = |method: &Method| at_path.iter().any(|route| route.answers(*method));
        let names = Method::KNOWN.into_iter().filter(is_answered).chain([Method::Options]).map(Method::as_str);
        (!at_path.is_empty()).then(|| names.collect::<Vec<_>>().join(", "))
    }

    /// Whether a request with this method is for the route, when its path is.
    #[must_use]
    pub fn answers(&self, method: Method) -> bool {
        self.method == if method == Method::Head { Method::Get } else { method }
    }

    fn call(&self, path: &str) -> Option<Call> {
        self.handler.call(&self.ids_in(path)?)
    }

    /// What stands in `path` where this route's has braces, joined by slashes; `None` when the rest differs.
    fn ids_in(&self, path: &str) -> Option<String> {
        if self.ids() == PathIds::ImageName {
            // Names may have slashes; a path like another route's is that route's, whatever its ids are.
            let (before, _) = self.path.split_once('{')?;
            if ROUTES.iter().any(|route| route.ids() != PathIds::ImageName && route.ids_in(path).is_some()) {
                return None;
            }
            return path.strip_prefix(before).map(str::to_owned);
        }
        let mut ids = String::new();
        let mut segments = path.split('/');
        for expected in self.path.split('/') {
            let segment = segments.next()?;
            if expected.starts_with('{') {
                ids.extend([if ids.is_empty() { "" } else { "/" }, segment]);
            } else if expected != segment {
                return None;
            }
        }
        segments.next().is_none().then_some(ids)
    }

    /// What a path that begins like this route's does not lead to.
    fn missing(&self, path: &str) -> Option<Code> {
        let (before, _) = self.path.split_once('{')?;
        path.starts_with(before).then(|| self.ids().missing())
    }

    /// What its path has in braces.
    #[must_use]
    pub const fn ids(&self) -> PathIds {
        self.handler.ids()
    }

    /// A path that leads to it, for tests that go through every route.
    #[must_use]
    pub fn sample_path(&self) -> String {
        let mut ids = self.ids().sample().split('/');
        let segments = self.path.split('/');
        let filled =
            segments.map(|segment| if segment.starts_with('{') { ids.next().unwrap_or(segment) } else { segment });
        filled.collect::<Vec<_>>().join("/")
    }
}

impl Target {
    /// The route of `method` and `path`, and the id in it.
    ///
    /// # Errors
    /// 404 for an unknown path, which names the image or the run when its id is none; 405 with `Allow` for an unknown method.
    pub fn parse(method: Method, path: &str) -> Result<Self, Problem> {
        let mut answering = ROUTES.iter().filter(|route| route.answers(method));
        let target = answering.find_map(|route| Some(Self { route, call: route.call(path)? }));
        target.ok_or_else(|| match Route::allowed_methods(path) {
            Some(methods) => Problem::plain(Code::MethodNotAllowed).with_header("Allow", methods),
            None => Problem::plain(ROUTES.iter().find_map(|route| route.missing(path)).unwrap_or(Code::RouteNotFound)),
        })
    }

    /// What the path has in braces, as text, joined by slashes.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        self.call.ids()
    }

    /// The image that a signed URL opens here.
    #[must_use]
    pub const fn signed_image(&self) -> Option<ImageId> {
        match (self.route.access, &self.call) {
            (Access::Holder, Call::ImageName(_, ImageName::Id(id))) => Some(*id),
            _ => None,
        }
    }

    /// Has the handler answer.
    #[must_use]
    pub fn answer<'a>(self, exchange: &'a Exchange<'a>, request: Request) -> Answer<'a> {
        self.call.answer(exchange, request)
    }
}

#[cfg(test)]
mod tests;
