//! The writer: a thread that owns the connection and commits in groups.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::sync::oneshot;

use super::crash::Points;
use super::sql::{Database, Sql};
use super::{Book, StoreError};

/// Requests in one commit: the flush costs as much as a few of them, and the first waits for the last.
pub const GROUP: usize = 64;

/// Requests that wait for the writer: beyond, new ones are refused at once rather than late.
const QUEUE: usize = 4096;

/// Tells a request how its transaction ended.
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// A request: does its work (without a database: nothing) and says whether that is kept, and whom to tell.
type Job = Box<dyn FnOnce(Option<&dyn Sql>) -> (bool, Reply) + Send>;

#[derive(Clone, Debug)]
pub struct Writer {
    jobs: SyncSender<Job>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    pub fn start(database: impl Database + 'static) -> Self {
        let (jobs, queue) = sync_channel(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&commits);
        // It ends when the last clone of the store is gone.
        std::thread::spawn(move || run(&database, &queue, &counter, Points::from_environment()));
        Self { jobs, commits }
    }

    /// For work that only reads: each by itself, without a wait for the disk.
    pub fn reader(database: impl Database + 'static) -> Self {
        let (jobs, queue) = sync_channel::<Job>(QUEUE);
        std::thread::spawn(move || {
            while let Ok(job) = queue.recv() {
                let begun = database.begin_read().or_else(|_| {
                    database.recover();
                    database.begin_read()
                });
                let (read, reply) = job(begun.is_ok().then_some(as_sql(&database)));
                let ended = begun.and_then(|()| database.batch("COMMIT"));
                if ended.is_err() || !read {
                    database.recover();
                }
                reply(ended);
            }
        });
        Self { jobs, commits: Arc::default() }
    }

    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Book<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError> {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |sql| {
            let result = sql.map_or(Err(StoreError::Closed), |sql| {
                let done = catch_unwind(AssertUnwindSafe(|| work(&Book::new(sql))));
                done.unwrap_or(Err(StoreError::Panic))
            });
            // What was not tried has lost as much as what was.
            let keep = result.is_ok() || sql.is_none();
            // Who asked may be gone: then nobody is told.
            let reply: Reply = Box::new(move |committed| drop(tell.send(committed.and(result))));
            (keep, reply)
        });
        match self.jobs.try_send(job) {
            Ok(()) => Ok(told),
            Err(std::sync::mpsc::TrySendError::Full(_)) => {
                Err(StoreError::Commit(format!("{QUEUE} requests are waiting already: try again")))
            }
            Err(std::sync::mpsc::TrySendError::Disconnected(_)) => Err(StoreError::Closed),
        }
    }
}

fn run(database: &dyn Database, queue: &Receiver<Job>, commits: &AtomicU64, mut points: Points) {
    while let Ok(first) = queue.recv() {
        let jobs = std::iter::once(first).chain(queue.try_iter().take(GROUP - 1));
        let mut replies: Vec<(bool, Reply)> = vec![];
        let committed = transaction(database, jobs, &mut replies, &mut points);
        match &committed {
            Ok(true) => {
                commits.fetch_add(1, Ordering::Relaxed);
            }
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "the hub's store could not commit");
                // A transaction that is half open would hold up all that follow.
                database.recover();
            }
        }
        for (kept, reply) in replies {
            match &committed {
                // What failed by itself says why; only what would have been kept has lost something.
                Err(error) if kept => reply(Err(StoreError::Commit(error.to_string()))),
                Ok(_) | Err(_) => reply(Ok(())),
            }
        }
    }
}

/// One transaction of several requests; whether anything was kept.
fn transaction(
    database: &dyn Database,
    jobs: impl Iterator<Item = Job>,
    replies: &mut Vec<(bool, Reply)>,
    points: &mut Points,
) -> Result<bool, StoreError> {
    // A server that was away is asked once more.
    let mut sound = database.begin().or_else(|_| {
        database.recover();
        database.begin()
    });
    for job in jobs {
        sound = sound.and_then(|()| database.batch("SAVEPOINT request"));
        let (keep, reply) = job(sound.is_ok().then_some(as_sql(database)));
        replies.push((keep, reply));
        let end =
            if keep { "RELEASE SAVEPOINT request" } else { "ROLLBACK TO SAVEPOINT request; RELEASE SAVEPOINT request" };
        sound = sound.and_then(|()| database.batch(end));
    }
    sound?;
    let any = replies.iter().any(|(kept, _)| *kept);
    if any {
        points.before();
        database.batch("COMMIT")?;
        points.after();
    } else {
        database.batch("ROLLBACK")?;
    }
    Ok(any)
}

fn as_sql(database: &dyn Database) -> &dyn Sql {
    database
}
