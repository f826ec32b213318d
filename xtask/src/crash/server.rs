//! The PostgreSQL server that `hub/with-postgres.sh` runs, with a database for each scenario.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How long it may take to come back: it looks through its files and reads its log first, and children of the one that was killed may still
/// hold its memory. A server that takes longer than this on a busy machine is broken; in the middle of a scenario clients leave its hub before.
const BACK: Duration = Duration::from_secs(120);
/// How often it is asked whether it is back.
const PAUSE: Duration = Duration::from_millis(200);

pub struct Server {
    /// The address of the scenario's own database.
    pub database: String,
    name: String,
    data: PathBuf,
}

/// A server that was killed looks through the files of all its databases: without those of earlier scenarios each start takes as long as the first.
impl Drop for Server {
    fn drop(&mut self) {
        // One that does not run, after a failure, keeps it.
        let _ = sql(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set: run this through hub/with-postgres.sh"))
}

impl Server {
    /// A new database, whose name nobody else may have used.
    pub fn new(name: &str) -> Result<Self> {
        let (address, data) = (variable("HUB_POSTGRES")?, PathBuf::from(variable("HUB_POSTGRES_DATA")?));
        let base = address.rsplit_once('/').context("HUB_POSTGRES is no address")?.0;
        let new = Self { database: format!("{base}/{name}"), name: name.to_owned(), data };
        // A scenario that failed may have left it as it was then.
        new.start()?;
        sql(&format!("CREATE DATABASE {name}"))?;
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

    /// Starts it unless it runs, and waits until it answers.
    pub fn start(&self) -> Result<()> {
        let command = variable("HUB_POSTGRES_START")?;
        let until = Instant::now() + BACK;
        while !answers()? {
            ensure!(Instant::now() < until, "the server does not come back within {} s", BACK.as_secs());
            if !self.runs() {
                // It fails while the one before it is not quite gone.
                Command::new(&command).stderr(Stdio::null()).status()?;
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

/// Whether the server takes connections: while it reads its log it takes none.
fn answers() -> Result<bool> {
    let asked = Command::new("pg_isready").args(["--quiet", "--dbname", &variable("HUB_POSTGRES")?]).status();
    Ok(asked.context("pg_isready is missing")?.success())
}

fn sql(statement: &str) -> Result<()> {
    let asked = Command::new("psql").args([&variable("HUB_POSTGRES")?, "--quiet", "-c", statement]).status();
    ensure!(asked.context("psql is missing")?.success(), "the server refused: {statement}");
    Ok(())
}
