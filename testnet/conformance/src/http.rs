//! Requests exactly as recorded: no header of our own besides Host and Content-Length, no path tidied.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// A node that does not answer for so long does not answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An answer with its body decompressed.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Lower-case names; a header sent twice is here twice.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// Sends one request on a connection of its own.
pub async fn send(
    base: &str,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: Option<Vec<u8>>,
) -> Result<Answer> {
    let exchange = exchange(base, method, path, headers, body);
    tokio::time::timeout(TIMEOUT, exchange).await.with_context(|| format!("{method} {path}: no answer"))?
}

async fn exchange(
    base: &str,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: Option<Vec<u8>>,
) -> Result<Answer> {
    let host = base.strip_prefix("http://").context("base URLs begin with http://")?.trim_end_matches('/');
    let stream = TcpStream::connect(host).await.with_context(|| format!("{host} cannot be reached"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let mut request = Request::builder().method(method.parse::<Method>()?).uri(path.parse::<Uri>()?).header(HOST, host);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())))?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let headers: Vec<(String, String)> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let mut body = response.into_body().collect().await?.to_bytes().to_vec();
    driver.abort();
    if headers.iter().any(|(name, value)| name == "content-encoding" && value == "gzip") {
        let mut plain = vec![];
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).context("what is called gzip is not")?;
        body = plain;
    }
    Ok(Answer { status, headers, body })
}

/// A JSON answer of the node, which must be one.
pub async fn get(base: &str, path: &str) -> Result<Value> {
    let answer = send(base, "GET", path, &[], None).await?;
    if answer.status != 200 {
        bail!("GET {path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    answer.json().with_context(|| format!("GET {path}: not JSON"))
}
