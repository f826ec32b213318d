//! The writer: owns a connection and commits in groups. Over a file it is a task among those that wait for it, so that no thread has to wake
//! another one; over a server, whose calls wait for the network, it has a thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

use super::cache::Cache;
use super::crash::Points;
use super::sql::Database;
use super::{Book, StoreError};

/// Requests in one commit: the flush costs as much as a few of them, and the first waits for the last.
pub const GROUP: usize = 64;

/// Requests that wait for the writer: beyond, new ones are refused at once rather than late.
const QUEUE: usize = 4096;

/// A request that waits for the writer.
trait Job: Send {
    /// Does the work; whether it is to be kept. It may be done again, after all that it did was undone.
    fn run(&mut self, book: &Book<'_>) -> bool;
    /// Tells whoever asked how it has ended: a failed commit takes with it what would have been kept.
    fn reply(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Request<T, W, F> {
    work: W,
    /// What follows from it once it is kept.
    then: F,
    /// None before it has run.
    result: Option<Result<T, StoreError>>,
    tell: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W, F> Job for Request<T, W, F>
where
    T: Send,
    W: Fn(&Book<'_>) -> Result<T, StoreError> + Send,
    F: FnOnce(&T) + Send,
{
    fn run(&mut self, book: &Book<'_>) -> bool {
        let result = caught(|| (self.work)(book));
        self.result.insert(result).is_ok()
    }

    fn reply(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match (self.result, committed) {
            // What failed by itself says why.
            (Some(Err(fault)), _) | (_, Err(fault)) => Err(fault),
            (Some(done), Ok(())) => done,
            (None, Ok(())) => Err(StoreError::Closed),
        };
        if let Ok(done) = &result {
            (self.then)(done);
        }
        // Who asked may be gone: then nobody is told.
        self.tell.send(result).ok();
    }
}

#[derive(Clone, Debug)]
pub struct Writer {
    jobs: Sender<Box<dyn Job>>,
    commits: Arc<AtomicU64>,
}

/// A database with the rows that are known of it: one transaction at a time.
#[derive(Debug)]
pub struct Shelf<D> {
    database: D,
    cache: Cache,
    /// Others write to it too.
    is_shared: bool,
}

impl<D: Database> Shelf<D> {
    pub fn new(database: D, is_shared: bool) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { database, cache: Cache::default(), is_shared }))
    }

    /// Before a transaction: what others have written since is not in the cache.
    fn refresh(&self) {
        if self.is_shared { self.cache.forget() } else { self.cache.trim() }
    }

    fn book(&self) -> Book<'_> {
        Book::new(&self.database, &self.cache)
    }

    /// One transaction that only reads.
    fn read(&self, work: impl FnOnce(&Book<'_>) -> bool) -> Result<(), StoreError> {
        self.refresh();
        // A server that was away is asked once more.
        self.database.begin_read().or_else(|_| {
            self.database.recover();
            self.database.begin_read()
        })?;
        let read = work(&self.book());
        let ended = self.database.batch("COMMIT");
        if ended.is_err() || !read {
            self.database.recover();
        }
        // What the work says of itself comes before what its end says.
        if read { ended } else { Ok(()) }
    }
}

/// The writer's end of the queue. It ends when the last clone of the store is gone.
struct Desk<D> {
    shelf: Arc<Mutex<Shelf<D>>>,
    queue: Receiver<Box<dyn Job>>,
    commits: Arc<AtomicU64>,
    points: Points,
}

impl Writer {
    fn new<D: Database>(shelf: Arc<Mutex<Shelf<D>>>) -> (Self, Desk<D>) {
        let (jobs, queue) = channel(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let desk = Desk { shelf, queue, commits: Arc::clone(&commits), points: Points::from_environment() };
        (Self { jobs, commits }, desk)
    }

    /// A task of the runtime that this is called in, for a database that nobody else writes to.
    pub fn task(shelf: Arc<Mutex<Shelf<impl Database + 'static>>>) -> Result<Self, StoreError> {
        let runtime = Handle::try_current().map_err(|_| StoreError::Runtime)?;
        let (writer, mut desk) = Self::new(shelf);
        runtime.spawn(async move {
            while let Some(first) = desk.queue.recv().await {
                // Whoever is ready to ask joins the same commit.
                tokio::task::yield_now().await;
                desk.group(first);
            }
        });
        Ok(writer)
    }

    /// A thread, for a database that others write to too.
    pub fn thread(database: impl Database + 'static) -> Self {
        let (writer, mut desk) = Self::new(Shelf::new(database, true));
        std::thread::spawn(move || {
            while let Some(first) = desk.queue.blocking_recv() {
                desk.group(first);
            }
        });
        writer
    }

    /// A thread for work that only reads: each by itself, without a wait for the disk.
    pub fn reader(database: impl Database + 'static) -> Self {
        let (reader, mut desk) = Self::new(Shelf::new(database, true));
        std::thread::spawn(move || {
            while let Some(mut job) = desk.queue.blocking_recv() {
                let ended = locked(&desk.shelf).read(|book| job.run(book));
                job.reply(ended);
            }
        });
        reader
    }

    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub fn submit<T: Send + 'static>(
        &self,
        work: impl Fn(&Book<'_>) -> Result<T, StoreError> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError> {
        let (tell, told) = oneshot::channel();
        let job: Box<dyn Job> = Box::new(Request { work, then, result: None, tell });
        match self.jobs.try_send(job) {
            Ok(()) => Ok(told),
            Err(TrySendError::Full(_)) => {
                Err(StoreError::Commit(format!("{QUEUE} requests are waiting already: try again")))
            }
            Err(TrySendError::Closed(_)) => Err(StoreError::Closed),
        }
    }
}

/// A panic while it was held has been followed by a rollback.
fn locked<D>(shelf: &Mutex<Shelf<D>>) -> MutexGuard<'_, Shelf<D>> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads something here and now.
pub fn read_now<T>(
    shelf: &Mutex<Shelf<impl Database>>,
    work: impl FnOnce(&Book<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut result = None;
    locked(shelf).read(|book| result.insert(caught(|| work(book))).is_ok())?;
    result.unwrap_or(Err(StoreError::Closed))
}

fn caught<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(StoreError::Panic))
}

impl<D: Database> Desk<D> {
    /// Commits this request, and those that wait already.
    fn group(&mut self, first: Box<dyn Job>) {
        let mut jobs = vec![first];
        while jobs.len() < GROUP
            && let Ok(next) = self.queue.try_recv()
        {
            jobs.push(next);
        }
        let mut committed = self.transaction(&mut jobs);
        let apart = matches!(committed, Ok(false)) && jobs.len() > 1;
        for mut job in jobs {
            // One of them failed, and nothing of the others is kept: each by itself, so that it takes nobody along.
            if apart && committed.is_ok() {
                committed = self.transaction(std::slice::from_mut(&mut job));
            }
            job.reply(committed.as_ref().map(drop).map_err(|fault| StoreError::Commit(fault.to_string())));
        }
    }

    /// One transaction of several requests; whether all of them were kept, else none was.
    fn transaction(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<bool, StoreError> {
        let shelf = Arc::clone(&self.shelf);
        let shelf = &*locked(&shelf);
        shelf.refresh();
        let done = self.attempt(shelf, jobs);
        if !matches!(done, Ok(true)) {
            if let Err(error) = &done {
                tracing::error!(%error, "the hub's store could not commit");
            }
            // A transaction that is half open would hold up all that follow.
            shelf.database.recover();
            shelf.cache.forget();
        }
        done
    }

    fn attempt(&mut self, shelf: &Shelf<D>, jobs: &mut [Box<dyn Job>]) -> Result<bool, StoreError> {
        // A server that was away is asked once more.
        shelf.database.begin().or_else(|_| {
            shelf.database.recover();
            shelf.database.begin()
        })?;
        let book = shelf.book();
        if !jobs.iter_mut().all(|job| job.run(&book)) {
            return Ok(false);
        }
        caught(|| book.seal())?;
        self.points.before();
        shelf.database.batch("COMMIT")?;
        self.points.after();
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }
}
