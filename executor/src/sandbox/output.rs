//! A guest's stdout or stderr: a file with a byte cap. Past the cap the guest traps with [`Flood`].

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Bytes of one write: what a pipe holds.
const WRITE_MAX: usize = 64 * 1024;

/// The error a guest is stopped with when it writes past its cap.
#[derive(Debug, Clone, Copy)]
pub struct Flood;

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the output went past its byte limit")
    }
}

impl std::error::Error for Flood {}

/// A file that takes so many bytes and no more.
#[derive(Clone)]
pub struct CappedFile {
    file: Arc<File>,
    left: Arc<AtomicU64>,
}

impl CappedFile {
    /// At most `cap` bytes into `file`.
    pub fn new(file: File, cap: u64) -> Self {
        Self { file: Arc::new(file), left: Arc::new(AtomicU64::new(cap)) }
    }

    /// Writes what still fits; `false` when something did not.
    fn put(&self, bytes: &[u8]) -> io::Result<bool> {
        let left = self.left.load(Ordering::Relaxed);
        let fits = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        (&*self.file).write_all(&bytes[..fits])?;
        self.left.store(left - fits as u64, Ordering::Relaxed);
        Ok(fits == bytes.len())
    }
}

impl IsTerminal for CappedFile {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for CappedFile {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for CappedFile {
    async fn ready(&mut self) {}
}

impl OutputStream for CappedFile {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        match self.put(&bytes) {
            Ok(true) => Ok(()),
            Ok(false) => Err(StreamError::Trap(wasmtime::Error::new(Flood))),
            Err(e) => Err(StreamError::LastOperationFailed(e.into())),
        }
    }
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }
    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_MAX)
    }
}

impl AsyncWrite for CappedFile {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(match self.put(bytes) {
            Ok(true) => Ok(bytes.len()),
            Ok(false) => Err(io::Error::other(Flood)),
            Err(e) => Err(e),
        })
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
