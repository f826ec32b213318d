//! The PostgreSQL server that `hub/with-postgres.sh` runs, with a database for each scenario.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How long it may take to come back: it reads its log first, and children of the one that was killed may still hold its memory.
const BACK: Duration = Duration::from_secs(60);

pub struct Server {
    /// The address of the scenario's own database.
    pub database: String,
    data: PathBuf,
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set: run this through hub/with-postgres.sh"))
}

impl Server {
    /// A new database, whose name nobody else may have used.
    pub fn new(name: &str) -> Result<Self> {
        let (server, data) = (variable("HUB_POSTGRES")?, PathBuf::from(variable("HUB_POSTGRES_DATA")?));
        let base = server.rsplit_once('/').context("HUB_POSTGRES is no address")?.0;
        let new = Self { database: format!("{base}/{name}"), data };
        // A scenario that failed may have left it as it was then.
        if !new.runs() {
            new.start()?;
        }
        let made = Command::new("psql").args([&server, "--quiet", "-c", &format!("CREATE DATABASE {name}")]).status();
        ensure!(made.context("psql is missing")?.success(), "no new database");
        Ok(new)
    }

    /// Its first process.
    pub fn process(&self) -> Result<String> {
        let text = std::fs::read_to_string(self.data.join("postmaster.pid")).context("the server does not run")?;
        Ok(text.lines().next().context("postmaster.pid is empty")?.to_owned())
    }

    pub fn runs(&self) -> bool {
        let stat = self.process().and_then(|process| Ok(std::fs::read_to_string(format!("/proc/{process}/stat"))?));
        // One that has ended and that nobody has asked for is still listed.
        stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
    }

    /// Starts it again.
    pub fn start(&self) -> Result<()> {
        let command = variable("HUB_POSTGRES_START")?;
        let until = Instant::now() + BACK;
        let start = || Command::new(&command).stderr(Stdio::null()).status();
        while !start().is_ok_and(|status| status.success()) {
            ensure!(Instant::now() < until, "the server does not come back");
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }
}
