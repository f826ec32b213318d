//! Answers and failures in the form of the original.

use std::io::Write;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

/// Media type of raw bytes.
pub const RAW: &str = "application/vnd.iota.serializer-v1";
const JSON: &str = "application/json; charset=UTF-8";
/// Largest answer: a page of the indexer, or a block in JSON, is far below.
const ANSWER_MAX: usize = 64 << 20;

/// A refusal: `{"error":{"code":"404","message":"Not Found, error: …"}}`.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    message: String,
}

impl Failure {
    /// In the node's form: reason, what exactly, code.
    pub fn new(status: StatusCode, what: impl std::fmt::Display) -> Self {
        let reason = reason(status);
        let code = status.as_u16();
        Self { status, message: format!("{reason}, error: {what}: code={code}, message={reason}") }
    }

    /// Without anything exact.
    pub fn plain(status: StatusCode) -> Self {
        let reason = reason(status);
        Self { status, message: format!("{reason}, error: code={}, message={reason}", status.as_u16()) }
    }

    /// With the bare text, as the faucet does.
    pub fn bare(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// 400.
    pub fn bad(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, what)
    }

    /// 404.
    pub fn missing(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, what)
    }

    /// 413.
    pub fn too_large() -> Self {
        Self::plain(StatusCode::PAYLOAD_TOO_LARGE)
    }

    /// An error that the original did not expect.
    pub fn internal(what: impl std::fmt::Display) -> Self {
        let message = format!("internal server error. error: {what}");
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message }
    }

    /// A path that nothing answers: 404 below `/api/`, 403 elsewhere.
    pub fn unknown(path: &str) -> Self {
        let below_api = path.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("/api/"));
        Self::plain(if below_api { StatusCode::NOT_FOUND } else { StatusCode::FORBIDDEN })
    }
}

fn reason(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "invalid parameter",
        // Go's name for it.
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        other => other.canonical_reason().unwrap_or("Error"),
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code = self.status.as_u16().to_string();
        let body = serde_json::json!({ "error": { "code": code, "message": self.message } });
        (self.status, [(CONTENT_TYPE, JSON)], body.to_string()).into_response()
    }
}

/// A JSON body with the original's content type.
pub fn json<T: Serialize>(value: &T) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => ([(CONTENT_TYPE, JSON)], text).into_response(),
        Err(error) => Failure::internal(error).into_response(),
    }
}

/// Raw bytes.
pub fn raw(bytes: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, RAW)], bytes).into_response()
}

/// Whether the client wants raw bytes: the header must begin with the media type.
pub fn wants_raw(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(RAW.as_bytes()))
}

/// A method that a known path does not take; OPTIONS is answered for every path.
pub fn not_allowed(method: &Method, methods: &str) -> Response {
    let mut response = if method == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        Failure::plain(StatusCode::METHOD_NOT_ALLOWED).into_response()
    };
    if let Ok(allow) = HeaderValue::from_str(&format!("OPTIONS, {methods}")) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// Lets pages of any origin read the node's answers, and compresses them for who can read that.
pub async fn node_headers(request: Request, next: Next) -> Response {
    let asked = Asked::of(&request);
    let mut response = cors(&asked, next.run(request).await, "GET,HEAD,PUT,PATCH,POST,DELETE");
    if !asked.options {
        response.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
        if asked.gzip {
            response = compressed(response).await;
        }
    }
    response
}

/// As [`node_headers`], with the faucet's smaller set of methods and no compression.
pub async fn faucet_headers(request: Request, next: Next) -> Response {
    let asked = Asked::of(&request);
    let response = next.run(request).await;
    // A path that is refused as such gets no further in the original.
    if response.status() == StatusCode::FORBIDDEN { response } else { cors(&asked, response, "GET,POST") }
}

/// What a request says about origin and encoding.
struct Asked {
    options: bool,
    origin: bool,
    gzip: bool,
    headers: Option<HeaderValue>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let headers = request.headers();
        let accepts = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains("gzip"));
        Self {
            options: request.method() == Method::OPTIONS,
            origin: headers.contains_key(ORIGIN),
            gzip: headers.get(ACCEPT_ENCODING).is_some_and(accepts),
            headers: headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned(),
        }
    }
}

fn cors(asked: &Asked, mut response: Response, methods: &'static str) -> Response {
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if !asked.origin {
        return response;
    }
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if asked.options {
        // Answered before any route is looked up.
        headers.append(VARY, HeaderValue::from_static("Access-Control-Request-Method"));
        headers.append(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        if let Some(wanted) = &asked.headers {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
    }
    response
}

async fn compressed(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, ANSWER_MAX).await else {
        return Failure::internal("an answer is too large").into_response();
    };
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    let small = match encoder.write_all(&bytes).and_then(|()| encoder.finish()) {
        Ok(small) if !bytes.is_empty() => small,
        // Nothing to compress, or memory that does not take bytes: send them as they are.
        _ => return Response::from_parts(head, Body::from(bytes)),
    };
    head.headers.remove(CONTENT_LENGTH);
    head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Response::from_parts(head, Body::from(small))
}
