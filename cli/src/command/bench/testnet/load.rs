//! The load generator: asks for tips, posts a block, again and again, on some connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use iota_sdk::packable::PackableExt;
use serde::Deserialize;
use serde_json::Value;
use tarefa_ledger::{BlockId, build};
use tokio::net::TcpStream;

/// Most tagged data of one block: what its other fields leave of 32 KiB.
pub const DATA_MAX: usize = 32_000;
/// How often the newest milestone is looked up.
const WATCH: Duration = Duration::from_millis(20);
/// A node that leaves a request unanswered for this long is stuck.
const ANSWER_MAX: Duration = Duration::from_secs(30);
const RAW: &str = "application/vnd.iota.serializer-v1";

/// How fast.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// The next block as soon as the last was taken.
    Full,
    /// So many per second over all connections.
    PerSecond(u32),
}

/// What is posted.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// To whom.
    pub node: SocketAddr,
    /// Bytes of tagged data.
    pub data: usize,
    /// Connections at once.
    pub connections: usize,
    /// How fast.
    pub pace: Pace,
}

/// Blocks that were answered with 201, each with the newest milestone known before.
#[derive(Debug, Default)]
pub struct Posted {
    /// The blocks.
    pub blocks: Vec<(BlockId, u32)>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    times: Vec<u32>,
}

impl Posted {
    /// The nearest-rank percentile of the POST requests, microseconds.
    pub fn post(&self, percent: usize) -> u32 {
        let mut times = self.times.clone();
        times.sort_unstable();
        let rank = (times.len() * percent).div_ceil(100).max(1);
        times.get(rank - 1).copied().unwrap_or(0)
    }
}

/// One keep-alive connection.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    pub async fn open(node: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(node).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Its end is seen by the next request.
        tokio::spawn(connection);
        Ok(Self { sender, host: node.to_string() })
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<(u16, Bytes)> {
        let request = Request::builder().method(method).uri(path).header("host", &self.host);
        let request = request.header("content-type", RAW).body(Full::new(body))?;
        let answer = async {
            self.sender.ready().await?;
            let answer = self.sender.send_request(request).await?;
            let status = answer.status().as_u16();
            anyhow::Ok((status, answer.into_body().collect().await?.to_bytes()))
        };
        tokio::time::timeout(ANSWER_MAX, answer).await.with_context(|| format!("no answer to {path}"))?
    }

    /// `GET`, to JSON; `None` where the node says 404.
    pub async fn get(&mut self, path: &str) -> Result<Option<Value>> {
        let (status, body) = self.send(Method::GET, path, Bytes::new()).await?;
        match status {
            200 => Ok(Some(serde_json::from_slice(&body)?)),
            404 => Ok(None),
            _ => bail!("{path}: {status} {}", String::from_utf8_lossy(&body)),
        }
    }

    async fn tips(&mut self) -> Result<Vec<BlockId>> {
        #[derive(Deserialize)]
        struct Tips {
            tips: Vec<BlockId>,
        }
        let (_, body) = self.send(Method::GET, "/api/core/v2/tips", Bytes::new()).await?;
        Ok(serde_json::from_slice::<Tips>(&body)?.tips)
    }

    async fn post(&mut self, block: Vec<u8>) -> Result<()> {
        let (status, body) = self.send(Method::POST, "/api/core/v2/blocks", block.into()).await?;
        match status {
            201 => Ok(()),
            _ => bail!("a block was answered {status} {}", String::from_utf8_lossy(&body)),
        }
    }

    /// Index of the newest milestone.
    pub async fn confirmed(&mut self) -> Result<u32> {
        let info = self.get("/api/core/v2/info").await?.context("the node says nothing of itself")?;
        let index = info["status"]["confirmedMilestone"]["index"].as_u64().unwrap_or(0);
        Ok(u32::try_from(index)?)
    }
}

struct Shared {
    load: Load,
    confirmed: AtomicU32,
    left: AtomicU64,
    stop: AtomicBool,
    begun: Instant,
}

/// Rises over all blocks that this process posts, so that no two are the same.
static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Load {
    /// Posts for some time.
    pub async fn for_time(&self, time: Duration) -> Result<Posted> {
        self.run(u64::MAX, Some(time)).await
    }

    /// Posts so many blocks.
    pub async fn for_count(&self, count: u64) -> Result<Posted> {
        self.run(count, None).await
    }

    /// Posts until the node is gone; what was answered until then.
    pub async fn until_gone(&self) -> Result<Posted> {
        let (posted, ended) = self.gather(u64::MAX, None).await?;
        match ended {
            Err(error) if error.downcast_ref::<hyper::Error>().is_some() => Ok(posted),
            Err(error) => Err(error.context("the node refused before it was gone")),
            Ok(()) => bail!("the node is not gone"),
        }
    }

    async fn run(&self, count: u64, time: Option<Duration>) -> Result<Posted> {
        let (posted, ended) = self.gather(count, time).await?;
        ended.map(|()| posted)
    }

    async fn gather(&self, count: u64, time: Option<Duration>) -> Result<(Posted, Result<()>)> {
        let mut watcher = Connection::open(self.node).await?;
        let shared = Arc::new(Shared {
            load: *self,
            confirmed: AtomicU32::new(watcher.confirmed().await?),
            left: AtomicU64::new(count),
            stop: AtomicBool::new(false),
            begun: Instant::now(),
        });
        let watching = shared.clone();
        let watch = tokio::spawn(async move {
            while !watching.stop.load(Ordering::Relaxed) {
                tokio::time::sleep(WATCH).await;
                // A node that is gone is reported by those who post.
                let Ok(index) = watcher.confirmed().await else { return };
                watching.confirmed.store(index, Ordering::Release);
            }
        });
        let workers: Vec<_> = (0..self.connections).map(|n| tokio::spawn(work(shared.clone(), n))).collect();
        if let Some(time) = time {
            tokio::time::sleep(time).await;
            shared.stop.store(true, Ordering::Relaxed);
        }
        let mut posted = Posted::default();
        let mut ended = Ok(());
        for worker in workers {
            let (part, result) = worker.await?;
            posted.blocks.extend(part.blocks);
            posted.times.extend(part.times);
            ended = ended.and(result);
        }
        posted.elapsed = shared.begun.elapsed();
        shared.stop.store(true, Ordering::Relaxed);
        watch.await?;
        Ok((posted, ended))
    }
}

async fn work(shared: Arc<Shared>, number: usize) -> (Posted, Result<()>) {
    let mut posted = Posted::default();
    let ended = post_all(&shared, number, &mut posted).await;
    (posted, ended)
}

async fn post_all(shared: &Shared, number: usize, posted: &mut Posted) -> Result<()> {
    let mut connection = Connection::open(shared.load.node).await?;
    let mut turn = number;
    let is_left = |left: u64| left.checked_sub(1);
    while !shared.stop.load(Ordering::Relaxed)
        && shared.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_left).is_ok()
    {
        if let Pace::PerSecond(rate) = shared.load.pace {
            let due = shared.begun + Duration::from_secs_f64(turn as f64 / f64::from(rate));
            tokio::time::sleep_until(due.into()).await;
            turn += shared.load.connections;
        }
        let parents = connection.tips().await?;
        let mut data = vec![0x5a; shared.load.data.max(8)];
        data[..8].copy_from_slice(&NUMBER.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        let block = build::tagged(b"tarefa bench", &data)
            .and_then(|payload| build::block(parents, Some(payload)))
            .map_err(|error| anyhow!("no block can be made: {error}"))?;
        let before = shared.confirmed.load(Ordering::Acquire);
        let begun = Instant::now();
        connection.post(block.pack_to_vec()).await?;
        posted.times.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
        posted.blocks.push((block.id(), before));
    }
    Ok(())
}
