//! Where a crash test kills the process: at a commit, just before it is durable or just after.

/// Environment variable that says where, as `17:before` or `17:after`, counted from the start of the process.
const FAULT: &str = "TAREFA_CRASH_AT";
/// Environment variable with a file that receives the number of commits of this process.
const COUNT: &str = "TAREFA_COMMIT_COUNT";

/// The commits of a process, as a crash test counts them.
#[derive(Debug, Default)]
pub struct Points {
    fault: Option<(u64, bool)>,
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
        Self { fault, count: std::env::var_os(COUNT).map(Into::into), commits: 0 }
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
        if self.fault == Some((self.commits, after)) {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).ok();
            loop {
                std::thread::park();
            }
        }
    }
}
