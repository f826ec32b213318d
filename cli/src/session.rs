//! One command's session on a submitter's data directory: the loop runs while the command waits.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tarefa_daemon::home::Home;
use tarefa_daemon::run::{self, Handle, Nothing, RunError, StartAt};
use tarefa_daemon::store::EventRow;
use tarefa_daemon::{Driver, StoreError};
use tarefa_protocol::limits::OFFER_SCAN_MILESTONES;
use tarefa_submitter::SubmitterRole;
use tarefa_tangle::rest::Rest;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::args;
use crate::party;
use crate::ui::Ui;

/// Reading up a long absence takes time; a node that sends nothing for this long is stuck.
const CATCH_UP_MAX: Duration = Duration::from_secs(300);

/// A running submitter.
pub struct Session {
    /// Talks to the driver.
    pub handle: Handle<SubmitterRole>,
    /// What happens.
    pub events: mpsc::UnboundedReceiver<EventRow>,
    /// The node.
    pub node: Arc<Rest>,
    caught_up: watch::Receiver<bool>,
    task: JoinHandle<Result<(), RunError>>,
    _home: Home,
}

impl Session {
    /// Opens the data directory and reads up to the newest milestone.
    pub async fn open(args: &args::Party, ui: &Ui) -> Result<Self> {
        let opened = party::open(args.data_dir.as_deref(), "submitter")?;
        if opened.is_new {
            ui.say(&format!("new keys in {} (back up the file `mnemonic`)", opened.home.path().display()));
        }
        let node = Arc::new(Rest::new(&args.node)?);
        let at = StartAt { back: OFFER_SCAN_MILESTONES, accept_gap: args.accept_gap };
        let started = run::start(node.clone(), opened.store, SubmitterRole, opened.keys, Nothing, at).await?;
        let task = tokio::spawn(started.runner.run());
        let mut session = Self {
            handle: started.handle,
            events: started.events,
            node,
            caught_up: started.caught_up,
            task,
            _home: opened.home,
        };
        ui.waiting("reading the Tangle");
        let mut caught_up = session.caught_up.clone();
        let wait = tokio::time::timeout(CATCH_UP_MAX, caught_up.wait_for(|up| *up));
        tokio::select! {
            result = wait => {
                result.context("the node sends no milestones")?.map_err(|_| anyhow!("the session ended"))?;
            }
            ended = &mut session.task => return Err(ended_early(ended)),
        }
        Ok(session)
    }

    /// Asks the driver something.
    pub async fn with<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Driver<SubmitterRole>) -> T + Send + 'static,
    ) -> Result<T> {
        self.handle.with(question).await.ok_or_else(|| anyhow!("the session has ended"))
    }

    /// As [`Self::with`], for questions to the store.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Driver<SubmitterRole>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T> {
        Ok(self.with(question).await??)
    }

    /// The next event, or the error that ended the session.
    pub async fn event(&mut self) -> Result<EventRow> {
        tokio::select! {
            Some(event) = self.events.recv() => Ok(event),
            ended = &mut self.task => Err(ended_early(ended)),
        }
    }

    /// Ends the session after what it is doing.
    pub async fn close(self) -> Result<()> {
        self.handle.stop();
        self.task.await.context("the session panicked")??;
        Ok(())
    }
}

fn ended_early(ended: Result<Result<(), RunError>, tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow!("the session ended"),
        Ok(Err(error)) => error.into(),
        Err(error) => anyhow!("the session panicked: {error}"),
    }
}
