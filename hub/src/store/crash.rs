//! Where a crash test kills the process: at a commit, just before it is durable or just after.

use rustix::process::{Pid, Signal, getpid, kill_process};

/// Environment variable that says where, as `17:before` or `17:after`, counted from the start of the process.
const FAULT: &str = "TAREFA_CRASH_AT";
/// Environment variable with a file that receives the number of commits of this process.
const COUNT: &str = "TAREFA_COMMIT_COUNT";
/// Environment variable with the process that is killed there, with all its children, instead of this one: a database server.
const VICTIM: &str = "TAREFA_CRASH_VICTIM";

/// The commits of a process, as a crash test counts them.
#[derive(Debug, Default)]
pub struct Points {
    fault: Option<(u64, bool)>,
    victim: Option<Pid>,
    count: Option<std::path::PathBuf>,
    commits: u64,
}

impl Points {
    /// What the environment asks for.
    #[must_use]
    pub fn from_environment() -> Self {
        let fault = std::env::var(FAULT).ok().and_then(|text| {
            let (commit, when) = text.split_once(':')?;
            Some((commit.parse().ok()?, when == "after"))
        });
        let victim = std::env::var(VICTIM).ok().and_then(|text| Pid::from_raw(text.parse().ok()?));
        Self { fault, victim, count: std::env::var_os(COUNT).map(Into::into), commits: 0 }
    }

    /// A commit is about to be made durable.
    pub fn before(&mut self) {
        self.commits += 1;
        self.kill(false);
    }

    /// It is durable.
    pub fn after(&self) {
        if let Some(path) = &self.count {
            // Only a test reads it; losing it makes that test fail, nothing else.
            std::fs::write(path, self.commits.to_string()).ok();
        }
        self.kill(true);
    }

    /// SIGKILL, so that nothing is cleaned up: what a power cut or the kernel's memory killer does.
    fn kill(&self, after: bool) {
        if self.fault != Some((self.commits, after)) {
            return;
        }
        if let Some(victim) = self.victim {
            // First the one that would start others.
            let children = format!("/proc/{0}/task/{0}/children", victim.as_raw_nonzero());
            let children = std::fs::read_to_string(children).unwrap_or_default();
            let children = children.split_whitespace().filter_map(|child| Pid::from_raw(child.parse().ok()?));
            for one in std::iter::once(victim).chain(children) {
                kill_process(one, Signal::KILL).ok();
            }
            return;
        }
        kill_process(getpid(), Signal::KILL).ok();
        loop {
            std::thread::park();
        }
    }
}
