//! Watching a worker to its end: time, disk, cancellation; what it claims and what was measured.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tarefa_protocol::result::Limit;

use super::disk;
use super::job::{Ended, Record};
use super::raw::Usage;
use super::spawn::{End, Worker};

/// How often the disk and the cancel flag are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A worker that has not reached its guest after this time never will.
const STARTUP_MAX: Duration = Duration::from_secs(30);

/// Limits that the executor enforces from outside.
pub struct Watch {
    /// From *started* to the end.
    pub time: Duration,
    /// Directory, bytes and entries it may hold.
    pub disk: Option<(PathBuf, u64, u64)>,
    /// Set to end the worker.
    pub cancel: Arc<AtomicBool>,
}

/// Why the executor ended a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// A limit.
    Limit(Limit),
    /// Cancelled.
    Cancelled,
    /// It sent more than its pipe may carry.
    Artifact,
}

/// What became of a worker.
#[derive(Debug)]
pub struct Report {
    /// Why the executor ended it, if it did.
    pub stop: Option<Stop>,
    /// What the worker claims.
    pub ended: Option<Ended>,
    /// How its process ended.
    pub end: End,
    /// What it used.
    pub usage: Usage,
    /// From *started* to the end of the process.
    pub metered: Option<Duration>,
    /// Native probes: (name, what the system said, refused).
    pub probes: Vec<(String, String, bool)>,
}

/// A pipe whose bytes are collected, and how many may come.
pub struct Sink<'a> {
    /// Reading end.
    pub pipe: OwnedFd,
    /// Where they go.
    pub bytes: &'a mut Vec<u8>,
    /// Most of them.
    pub max: u64,
}

/// Watches a worker until its process has ended.
pub fn supervise(mut worker: Worker, watch: &Watch, sink: Option<Sink<'_>>) -> io::Result<Report> {
    let mut stop = None;
    let (mut started, mut claimed, mut probes) = (None::<Instant>, None, vec![]);
    let mut looked = Instant::now();
    let mut sink = match sink {
        Some(sink) => {
            rustix::io::ioctl_fionbio(&sink.pipe, true)?;
            Some((File::from(sink.pipe), sink.bytes, sink.max))
        }
        None => None,
    };
    loop {
        let left = started.map_or(LOOK_EVERY, |at| watch.time.saturating_sub(at.elapsed()));
        let pause = left.min(LOOK_EVERY).max(Duration::from_millis(1));
        let ended = worker.wait(pause, sink.as_ref().map(|(pipe, ..)| pipe.as_fd()))?;
        let now = Instant::now();
        if let Some((pipe, bytes, max)) = &mut sink {
            let closed = pipe.take(max.saturating_sub(bytes.len() as u64) + 1).read_to_end(bytes).is_ok();
            if bytes.len() as u64 > *max {
                stop = stop.or(Some(Stop::Artifact));
            }
            if closed {
                sink = None;
            }
        }
        for record in worker.records() {
            match record {
                Record::Started => started = started.or(Some(now)),
                Record::Ended(ended) => claimed = Some(ended),
                Record::Probe { name, result, refused } => probes.push((name, result, refused)),
                Record::Walled { .. } => {}
            }
        }
        if ended {
            let (end, usage) = worker.reap()?;
            let metered = started.map(|at| now - at);
            return Ok(Report { stop, ended: claimed, end, usage, metered, probes });
        }
        let late = started.map_or(worker.begun.elapsed() > STARTUP_MAX, |at| at.elapsed() >= watch.time);
        if late {
            stop = stop.or(Some(Stop::Limit(Limit::Time)));
        }
        if watch.cancel.load(Ordering::Relaxed) {
            stop = stop.or(Some(Stop::Cancelled));
        }
        // Counted from the end of the last look: a slow disk cannot fill the thread.
        if let Some((dir, bytes, entries)) = &watch.disk
            && looked.elapsed() >= LOOK_EVERY
        {
            stop = stop.or(disk::exceeded(dir, worker.pid, *bytes, *entries).map(Stop::Limit));
            looked = Instant::now();
        }
        if stop.is_some() {
            worker.signal(Signal::KILL)?;
        }
    }
}
