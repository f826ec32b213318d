//! A part of a demo in a process of its own, speaking JSON lines.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A part that is not ready after this time is stuck.
const READY_MAX: Duration = Duration::from_secs(30);
/// The task itself: a slow machine and a slow network included.
pub const TASK_MAX: Duration = Duration::from_secs(240);
/// A part that is asked to stop gets this long.
const STOP_MAX: Duration = Duration::from_secs(20);

/// A part of the market in a process of its own, speaking JSON lines.
pub struct Part {
    name: &'static str,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Part {
    pub fn start(name: &'static str, args: &[&str]) -> Result<Self> {
        let program = std::env::current_exe().context("where is this binary?")?;
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let stdout = child.stdout.take().with_context(|| format!("{name} has no output"))?;
        Ok(Self { name, child, lines: BufReader::new(stdout).lines() })
    }

    /// The next line it says, `None` at its end.
    pub async fn line(&mut self, patience: Duration) -> Result<Option<Value>> {
        let line = tokio::time::timeout(patience, self.lines.next_line())
            .await
            .with_context(|| format!("{} says nothing for {} s", self.name, patience.as_secs()))??;
        line.map(|line| serde_json::from_str(&line).with_context(|| format!("{} says `{line}`", self.name))).transpose()
    }

    /// Waits for its line of this stage.
    pub async fn stage(&mut self, stage: &str) -> Result<Value> {
        while let Some(line) = self.line(READY_MAX).await? {
            if line["stage"] == stage {
                return Ok(line);
            }
        }
        bail!("{} ended before it was {stage}", self.name)
    }

    /// Waits for its end, which is a good one.
    pub async fn ended(mut self) -> Result<()> {
        let status = self.child.wait().await?;
        ensure!(status.success(), "{} failed with {status}", self.name);
        Ok(())
    }

    /// Its process.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills it, as a power cut would.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Asks it to stop and waits; its last words.
    pub async fn stop(mut self) -> Result<Option<Value>> {
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        {
            rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        }
        let mut last = None;
        while let Some(line) = self.line(STOP_MAX).await? {
            last = Some(line);
        }
        self.child.wait().await?;
        Ok(last)
    }
}

/// One command in a process of its own; all it says.
pub async fn ask(name: &'static str, args: &[&str]) -> Result<Value> {
    let mut part = Part::start(name, args)?;
    let mut last = Value::Null;
    while let Some(line) = part.line(TASK_MAX).await? {
        last = line;
    }
    let status = part.child.wait().await?;
    ensure!(status.success(), "{name} failed with {status}");
    Ok(last)
}
