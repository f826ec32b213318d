//! Answers and failures in the form of the original.

use axum::extract::Request;
use axum::http::header::{ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, ORIGIN, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Media type of raw bytes.
pub const RAW: &str = "application/vnd.iota.serializer-v1";
const JSON: &str = "application/json; charset=UTF-8";

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
        let reason = status.canonical_reason().unwrap_or("Error");
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
}

fn reason(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "invalid parameter",
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
        Err(error) => Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
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

/// Lets pages of any origin read the answers, as the original does.
pub async fn allow_origin(request: Request, next: Next) -> Response {
    let asked = request.headers().contains_key(ORIGIN);
    let mut response = next.run(request).await;
    response.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
    if asked {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    response
}
