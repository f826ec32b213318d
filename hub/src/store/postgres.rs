//! PostgreSQL: one store of several replicas. An advisory lock makes one writer of all of them, so that whatever a proposal is decided
//! over (payer, payee and token rows) cannot change until its commit.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use postgres::types::{IsNull, ToSql, Type, private::BytesMut};
use postgres::{Client, Config, NoTls, Statement};

use super::StoreError;
use super::schema;
use super::sql::{Cell, Database, Sql};

/// The advisory lock of all replicas: "FULGUR" as a number.
const LOCK: i64 = 0x4655_4c47_5552;

/// How long a replica waits for another one's transaction, and for the server: longer than any group takes, shorter than a client waits.
const PATIENCE: Duration = Duration::from_secs(5);

struct Link {
    client: Client,
    statements: HashMap<&'static str, Statement>,
}

/// A connection to a server.
pub struct Postgres {
    config: Config,
    link: RefCell<Link>,
}

fn connect(config: &Config) -> Result<Link, StoreError> {
    let mut client = config.connect(NoTls)?;
    let patience = PATIENCE.as_millis();
    // Whoever disables it for the database does not disable it here: an answer leaves once the commit is on the disk.
    client.batch_execute(&format!(
        "SET lock_timeout = {patience}; SET statement_timeout = {patience}; SET synchronous_commit = on"
    ))?;
    Ok(Link { client, statements: HashMap::new() })
}

impl Postgres {
    /// Connects, and makes or migrates the tables.
    pub fn new(address: &str) -> Result<Self, StoreError> {
        let mut config: Config = address.parse()?;
        config.connect_timeout(PATIENCE).keepalives_idle(PATIENCE).tcp_user_timeout(PATIENCE);
        let mut link = connect(&config)?;
        schema::migrate_postgres(&mut link.client, LOCK)?;
        Ok(Self { config, link: RefCell::new(link) })
    }
}

impl ToSql for Cell<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Bytes(bytes) => bytes.to_sql(kind, out),
            Self::Number(number) => number.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    postgres::types::to_sql_checked!();
}

impl Link {
    fn prepared(&mut self, text: &'static str) -> Result<Statement, StoreError> {
        if let Some(found) = self.statements.get(text) {
            return Ok(found.clone());
        }
        let made = self.client.prepare(text)?;
        self.statements.insert(text, made.clone());
        Ok(made)
    }
}

fn dynamic<'a>(keys: &'a [Cell<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    keys.iter().map(|key| -> &(dyn ToSql + Sync) { key }).collect()
}

impl Sql for Postgres {
    fn bodies(&self, query: &'static str, keys: &[Cell<'_>]) -> Result<Vec<Vec<u8>>, StoreError> {
        let link = &mut *self.link.borrow_mut();
        let statement = link.prepared(query)?;
        let found = link.client.query(&statement, &dynamic(keys))?;
        found.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    fn run(&self, statement: &'static str, keys: &[Cell<'_>]) -> Result<usize, StoreError> {
        let link = &mut *self.link.borrow_mut();
        let statement = link.prepared(statement)?;
        let touched = link.client.execute(&statement, &dynamic(keys))?;
        Ok(usize::try_from(touched).unwrap_or(usize::MAX))
    }
}

impl Database for Postgres {
    fn begin(&self) -> Result<(), StoreError> {
        self.batch(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK})"))
    }

    fn begin_read(&self) -> Result<(), StoreError> {
        self.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    }

    fn batch(&self, statements: &str) -> Result<(), StoreError> {
        Ok(self.link.borrow_mut().client.batch_execute(statements)?)
    }

    fn recover(&self) {
        let link = &mut *self.link.borrow_mut();
        if link.client.batch_execute("ROLLBACK").is_ok() {
            return;
        }
        match connect(&self.config) {
            Ok(new) => *link = new,
            Err(error) => tracing::error!(%error, "the hub's store cannot be reached"),
        }
    }
}
