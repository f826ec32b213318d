//! One task with one kill: processes, restarts, and what must be true in the end.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

const KILLED: i32 = 9;
/// No scenario takes longer; at 100 ms milestones one takes about three seconds.
const SCENARIO_MAX: Duration = Duration::from_secs(90);
/// Commits that follow the end of a task (its last message is referenced) come within this time.
const AFTERMATH: Duration = Duration::from_millis(700);
const PAUSE: Duration = Duration::from_millis(20);

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    Executor,
    Submitter,
}

/// Where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boundary {
    pub victim: Victim,
    pub commit: u64,
    pub after: bool,
}

impl fmt::Display for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.after { "after" } else { "before" };
        write!(f, "{:?}, {when} commit {}", self.victim, self.commit)
    }
}

/// What a run came to.
pub struct Outcome {
    pub executor: u64,
    pub submitter: u64,
    pub hit: bool,
}

pub struct Scenario {
    binary: PathBuf,
    dir: tempfile::TempDir,
    node: String,
    tangle: Child,
    until: Instant,
}

impl Drop for Scenario {
    fn drop(&mut self) {
        end(&mut self.tangle);
    }
}

pub fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

impl Scenario {
    pub fn new(binary: &Path) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut tangle = Command::new(binary)
            .args(["testnet", "up", "--memory", "--listen", "127.0.0.1:0", "--interval", "100ms", "--json"])
            .stdout(Stdio::piped())
            .spawn()?;
        let ready = first_line(&mut tangle)?;
        let node = ready["node"].as_str().context("the dev Tangle names no URL")?.to_owned();
        Ok(Self { binary: binary.to_owned(), dir, node, tangle, until: Instant::now() + SCENARIO_MAX })
    }

    fn command(&self, args: &[&str], role: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(args)
            .env("TAREFA_NODE", &self.node)
            .env("TAREFA_DATA_DIR", self.dir.path().join(role))
            .env("TAREFA_COMMIT_COUNT", self.dir.path().join(format!("{role}.commits")))
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    fn commits(&self, role: &str) -> u64 {
        let text = std::fs::read_to_string(self.dir.path().join(format!("{role}.commits"))).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// One task from the faucet to the result, with a kill at the boundary.
    pub fn run(&self, boundary: Option<Boundary>) -> Result<Outcome> {
        let fault = |victim| boundary.filter(|b| b.victim == victim);
        self.ask(&["wallet", "faucet", "--json"], "submitter")?;
        let mut executor = Executor::start(self, fault(Victim::Executor))?;
        let mut fault_left = fault(Victim::Submitter);
        let mut hit = false;
        let mut submitter_commits = 0;
        let result = loop {
            ensure!(Instant::now() < self.until, "the task did not end within {} s", SCENARIO_MAX.as_secs());
            let (status, lines) = self.submit(fault_left.take(), &mut executor, &mut hit)?;
            submitter_commits = submitter_commits.max(self.commits("submitter"));
            match status.signal() {
                Some(KILLED) => hit = true,
                _ => break (status, lines),
            }
        };
        std::thread::sleep(AFTERMATH);
        hit |= executor.revive_if_killed(self)?;
        let executor_commits = self.commits("executor");
        hit |= executor.stop()?;
        self.check(&result.0, &result.1)?;
        Ok(Outcome { executor: executor_commits, submitter: submitter_commits, hit })
    }

    /// Runs the task, or carries on the one that a killed process has left behind.
    fn submit(
        &self,
        fault: Option<Boundary>,
        executor: &mut Executor,
        hit: &mut bool,
    ) -> Result<(ExitStatus, Vec<Value>)> {
        let left = self.ask(&["task", "ls", "--json"], "submitter")?;
        let id = left.first().and_then(|task| task["id"].as_str()).map(str::to_owned);
        let mut command = match &id {
            Some(id) => self.command(&["task", "fetch", id, "--json", "--result-dir", "result"], "submitter"),
            None => {
                let run = ["run", "demo:primes", "--json", "--result-dir", "result", "--", "1000"];
                self.command(&run, "submitter")
            }
        };
        if let Some(fault) = fault {
            command.env("TAREFA_CRASH_AT", text(fault));
        }
        let mut child = command.spawn()?;
        let reader = child.stdout.take().map(collect);
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            *hit |= executor.revive_if_killed(self)?;
            if Instant::now() >= self.until {
                end(&mut child);
                bail!("the submitter did not end within {} s", SCENARIO_MAX.as_secs());
            }
            std::thread::sleep(PAUSE);
        };
        let lines = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
        Ok((status, lines))
    }

    fn ask(&self, args: &[&str], role: &str) -> Result<Vec<Value>> {
        let output = self.command(args, role).stderr(Stdio::piped()).output()?;
        ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// One payment, one result, no address used twice.
    fn check(&self, status: &ExitStatus, lines: &[Value]) -> Result<()> {
        ensure!(status.success(), "the task ended with {status}: {lines:?}");
        let stdout = std::fs::read_to_string(self.dir.path().join("result/stdout"))?;
        ensure!(stdout == "168 primes below 1000, the largest is 997\n", "wrong result: {stdout}");
        let history = |role| self.ask(&["wallet", "history", "--offline", "--json"], role);
        let received = history("executor")?;
        ensure!(received.len() == 1, "the executor received {} payments: {received:?}", received.len());
        let sent: Vec<Value> = history("submitter")?.into_iter().filter(|row| row["direction"] == "out").collect();
        ensure!(sent.len() == 1, "the submitter made {} payments: {sent:?}", sent.len());
        ensure!(sent[0]["transaction"] == received[0]["transaction"], "two different payments");
        let tasks = self.ask(&["task", "ls", "--json"], "submitter")?;
        ensure!(tasks.len() == 1, "one task became {}", tasks.len());
        let shown = self.ask(&["wallet", "addresses", "--offline", "--json"], "executor")?;
        let unique: BTreeSet<String> = shown.iter().map(|row| row["address"].to_string()).collect();
        ensure!(unique.len() == shown.len(), "an address was used twice: {shown:?}");
        let quotes = shown.iter().filter(|row| row["purpose"] == "quote").count();
        ensure!(quotes == 1, "{quotes} addresses were quoted for one task");
        Ok(())
    }
}

fn text(boundary: Boundary) -> String {
    format!("{}:{}", boundary.commit, if boundary.after { "after" } else { "before" })
}

fn collect(stdout: ChildStdout) -> std::thread::JoinHandle<Vec<Value>> {
    std::thread::spawn(move || {
        BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str(&line).ok())
            .collect()
    })
}

pub fn first_line(child: &mut Child) -> Result<Value> {
    let stdout = child.stdout.take().context("no output")?;
    let mut reader = BufReader::new(stdout);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    // Keep the pipe open and drained, or the process would block on it.
    std::thread::spawn(move || reader.lines().map_while(Result::ok).for_each(drop));
    serde_json::from_str(&line).with_context(|| format!("not a ready line: `{line}`"))
}

/// The executor, started again when it was killed.
struct Executor {
    child: Child,
}

impl Executor {
    fn start(scenario: &Scenario, fault: Option<Boundary>) -> Result<Self> {
        let mut command = scenario.command(&["executor", "run", "--allow-weak-sandbox", "--json"], "executor");
        if let Some(fault) = fault {
            command.env("TAREFA_CRASH_AT", text(fault));
        }
        let mut child = command.spawn()?;
        if let Some(stdout) = child.stdout.take() {
            collect(stdout);
        }
        Ok(Self { child })
    }

    fn revive_if_killed(&mut self, scenario: &Scenario) -> Result<bool> {
        match self.child.try_wait()? {
            None => Ok(false),
            Some(status) if status.signal() == Some(KILLED) => {
                *self = Self::start(scenario, None)?;
                Ok(true)
            }
            Some(status) => bail!("the executor ended with {status}"),
        }
    }

    fn stop(mut self) -> Result<bool> {
        let terminate = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        ensure!(terminate.success(), "the executor cannot be stopped");
        let status = self.child.wait()?;
        Ok(status.signal() == Some(KILLED))
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
