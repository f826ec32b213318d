//! The byte streams below: WebSocket on the REST port, TCP on one of its own.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::packet::PACKET_MAX;
use super::session::{Next, Session, Welcome};
use crate::node::Node;

/// A client that does not take a packet within this time is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Far away: no deadline.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3_600);
/// Bytes read at once from a TCP connection.
const CHUNK: usize = 16 << 10;

enum Stream {
    Web(Box<WebSocket>),
    Tcp(TcpStream),
}

impl Stream {
    /// Bytes that arrived; `None` when it is over. Can be cancelled without loss.
    async fn receive(&mut self) -> Option<Bytes> {
        match self {
            Self::Web(socket) => loop {
                match socket.recv().await?.ok()? {
                    Message::Binary(bytes) => return Some(bytes),
                    Message::Ping(_) | Message::Pong(_) => {}
                    // Text is not MQTT.
                    Message::Text(_) | Message::Close(_) => return None,
                }
            },
            Self::Tcp(stream) => {
                let mut bytes = BytesMut::with_capacity(CHUNK);
                match stream.read_buf(&mut bytes).await {
                    Ok(1..) => Some(bytes.freeze()),
                    _ => None,
                }
            }
        }
    }

    async fn send(&mut self, bytes: Bytes) -> bool {
        let write = async {
            match self {
                Self::Web(socket) => socket.send(Message::Binary(bytes)).await.is_ok(),
                Self::Tcp(stream) => stream.write_all(&bytes).await.is_ok(),
            }
        };
        tokio::time::timeout(WRITE_TIMEOUT, write).await.unwrap_or(false)
    }
}

/// Serves a client until one side has had enough. The stream is dropped as it is: the original says no goodbye either.
async fn serve(mut stream: Stream, node: Arc<Node>) {
    let mut session = Session::new(node);
    let mut queue: Option<mpsc::Receiver<Bytes>> = None;
    let mut heard = Instant::now();
    let mut joined = false;
    loop {
        let deadline = heard + session.patience().unwrap_or(NEVER);
        let link = session.link().cloned();
        tokio::select! {
            () = async { match &link { Some(link) => link.closed().await, None => std::future::pending().await } } => return,
            Some(packet) = async { match &mut queue { Some(queue) => queue.recv().await, None => std::future::pending().await } } => {
                if let Some(link) = &link {
                    link.sent(&packet);
                }
                if !stream.send(packet).await {
                    return;
                }
            }
            bytes = stream.receive() => {
                let Some(bytes) = bytes else { return };
                let (next, first) = session.feed(&bytes);
                // Until it has introduced itself, a client gains no time by sending.
                if joined || session.link().is_some() {
                    joined = true;
                    heard = Instant::now();
                }
                if let Some(Welcome { connack, queue: receiver }) = first {
                    queue = receiver;
                    if !stream.send(connack).await {
                        return;
                    }
                }
                if next == Next::Close {
                    // What was answered before the last packet still goes out.
                    while let Some(packet) = queue.as_mut().and_then(|queue| queue.try_recv().ok()) {
                        if !stream.send(packet).await {
                            return;
                        }
                    }
                    return;
                }
            }
            () = sleep_until(deadline) => return,
        }
    }
}

/// Upgrades a request to the event API; `None` if it is no upgrade.
pub async fn serve_web(mut parts: Parts, node: Arc<Node>) -> Option<Response> {
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await.ok()?;
    let upgrade = upgrade.protocols(["mqtt"]).max_message_size(PACKET_MAX).max_frame_size(PACKET_MAX);
    Some(upgrade.on_upgrade(move |socket| serve(Stream::Web(Box::new(socket)), node)).into_response())
}

/// Serves clients over plain TCP until stopped.
pub async fn serve_tcp(listener: TcpListener, node: Arc<Node>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            // The guard that comes back must not live across an await.
            () = async { let _ = stopped.wait_for(|stop| *stop).await; } => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // A hint that may fail; without it packets wait for each other.
                    let _ = stream.set_nodelay(true);
                    tokio::spawn(serve(Stream::Tcp(stream), node.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "an event connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
}
