//! The Worker shell: translates between the platform and the domain, never decides.

mod app;
mod bytes;
mod codecs;
#[cfg(feature = "conformance")]
mod conformance;
mod d1;
mod environment;
mod foreign;
mod images;
mod messages;
mod outside;
mod queue;
mod r2;
mod r2_multipart;
mod runtime;
mod signatures;

use std::convert::Infallible;

use wasm_bindgen::JsValue;
use worker::{Context, Env, MessageBatch, ScheduleContext, ScheduledEvent, event};

use self::messages::{IncomingRequest, to_js};
use crate::api::{Request, Response};
use crate::queue::Message;

#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
}

// The build has the platform wait for what this returns, so that what a client began is finished or undone although the client
// goes away, for up to 30 seconds (the platform's limit).
#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> Result<web_sys::Response, String> {
    let (request, unread) = IncomingRequest::from_js(&request);
    let mut response = answer(request, env.as_ref()).await;
    if let Some(afterwards) = response.afterwards.take() {
        context.wait_until(afterwards);
    }
    let app = app::app(env.as_ref());
    if app.has_a_bundle() {
        context.wait_until(async move { app.tell_operations().await });
    }
    to_js(response, unread).await
}

async fn answer(request: IncomingRequest, env: &JsValue) -> Response {
    #[cfg(feature = "conformance")]
    let request = match conformance::answer(request, env).await {
        Ok(response) => return response,
        Err(request) => request,
    };
    let app = app::app(env);
    let IncomingRequest { method, url, headers, body } = request;
    app.handle(Request::new(&method, &url, headers, body)).await
}

#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    app::app(env.as_ref()).tick().await;
}

// The macro panics on an error, so that there is none.
#[event(queue)]
async fn queue(batch: MessageBatch<Message>, env: Env, _context: Context) -> Result<(), Infallible> {
    queue::deliver(&batch, &app::app(env.as_ref())).await;
    Ok(())
}
