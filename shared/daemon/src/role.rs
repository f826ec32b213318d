//! What makes a driver an executor or a submitter.

use serde::{Deserialize, Serialize};
use tarefa_protocol::envelope::Header;
use tarefa_protocol::executor::Execution;
use tarefa_protocol::message::Letter;
use tarefa_protocol::{PartyId, Tag, TaskId};

use crate::desk::Desk;
use crate::store::StoreError;

/// How an effect that runs once ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The guest ended.
    Executed(Box<Execution>),
    /// The module does not compile within the limits; the engine's words.
    BadModule(String),
    /// The executor itself failed, or was stopped, while it ran.
    Interrupted,
}

/// A guest to run; stored before it is started, never started twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunGuest {
    /// Its task.
    pub task: TaskId,
    /// Blob with the encoded submit.
    pub submit: tarefa_protocol::Digest,
    /// Limits that apply.
    pub limits: tarefa_protocol::offer::TaskLimits,
    /// Longest billed time.
    pub time_allowed: tarefa_protocol::Millis,
}

/// Decisions of one side of the market. Every method runs inside a commit; an error rolls it back.
pub trait Role: Send + 'static {
    /// Inboxes this role always listens to; those of single tasks are rows of the store.
    fn standing_tags(&self, party: &PartyId) -> Vec<Tag>;

    /// A message for us was opened. Called once per (sender, message id).
    fn opened(&mut self, desk: &mut Desk<'_>, header: &Header, letter: Letter) -> Result<(), StoreError>;

    /// An order is paid.
    fn settled(&mut self, desk: &mut Desk<'_>, order: &str, booked: u32) -> Result<(), StoreError>;

    /// An order came back.
    fn returned(&mut self, desk: &mut Desk<'_>, order: &str) -> Result<(), StoreError>;

    /// Money that counts arrived at an own address that a task watches.
    fn received(&mut self, desk: &mut Desk<'_>, task: TaskId, amount: u64, booked: u32) -> Result<(), StoreError>;

    /// A timer of this task is due.
    fn timer(&mut self, desk: &mut Desk<'_>, task: TaskId) -> Result<(), StoreError>;

    /// Every part that was sent about this task is referenced.
    fn delivered(&mut self, desk: &mut Desk<'_>, task: TaskId) -> Result<(), StoreError>;

    /// An effect that runs once ended.
    fn answered(&mut self, desk: &mut Desk<'_>, task: TaskId, answer: Answer) -> Result<(), StoreError>;

    /// Whether [`Self::tick`] has something to do: asked after every input, so that idle milestones cost no commit.
    fn wants_tick(&self, now: tarefa_protocol::time::Now) -> bool;

    /// Work that no single input causes: start what is queued, renew the offer.
    fn tick(&mut self, desk: &mut Desk<'_>) -> Result<(), StoreError>;

    /// The store was opened or a commit was rolled back: forget everything remembered outside of it.
    fn reload(&mut self, store: &crate::store::Tx<'_>) -> Result<(), StoreError>;
}
