//! The rows of one transaction.

use std::cell::RefCell;

use alloy_primitives::B256;
use rusqlite::{Connection, OptionalExtension as _, params};
use tarefa_channel::chain::{Chain, Ctx};
use tarefa_channel::hub::{Accepted, Answer, HubChannel, HubToken, Invoice, Proposal, Refusal, Rows, propose};
use tarefa_channel::rules::Every;
use tarefa_channel::sign::{Recover, Signer};
use tarefa_channel::{ChannelId, Time, TokenId};

use super::{StoreError, row};

/// What one transaction sees and writes.
pub struct Book<'a> {
    connection: &'a Connection,
}

impl<'a> Book<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self { connection }
    }

    fn body(&self, query: &str, keys: impl rusqlite::Params) -> Result<Option<Vec<u8>>, StoreError> {
        let mut statement = self.connection.prepare_cached(query)?;
        Ok(statement.query_row(keys, |found| found.get(0)).optional()?)
    }

    /// A value that all replicas share: the one that is there, or this one from now on.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub fn shared(&self, key: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.connection
            .execute("INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING", params![key, value])?;
        let found = self.body("SELECT value FROM meta WHERE key = ?1", [key])?;
        found.ok_or_else(|| StoreError::Unreadable { what: "meta", why: format!("{key} is not there") })
    }

    /// A channel.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn channel(&self, id: ChannelId) -> Result<Option<HubChannel>, StoreError> {
        let body = self.body("SELECT body FROM channel WHERE id = ?1", [id.as_slice()])?;
        body.map(|body| row::read(&body, "channel")).transpose()
    }

    /// Keeps a channel as it is now.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn put_channel(&self, channel: &HubChannel) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO channel (id, body) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        )?;
        statement.execute(params![channel.id.as_slice(), row::write(channel)])?;
        Ok(())
    }

    /// A token.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn token(&self, id: TokenId) -> Result<Option<HubToken>, StoreError> {
        let body = self.body("SELECT body FROM token WHERE id = ?1", [id.as_slice()])?;
        body.map(|body| row::read(&body, "token")).transpose()
    }

    fn put_token(&self, token: &HubToken) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO token (id, payer, payee, claim_by, body) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        )?;
        let (payer, payee) = (token.token.payer_channel, token.token.payee);
        let claim_by = time(token.token.claim_by);
        statement.execute(params![
            token.id().as_slice(),
            payer.as_slice(),
            payee.as_slice(),
            claim_by,
            row::write(token)
        ])?;
        Ok(())
    }

    fn tokens(&self, query: &str, key: &[u8]) -> Result<Vec<HubToken>, StoreError> {
        let mut statement = self.connection.prepare_cached(query)?;
        let bodies = statement.query_map([key], |found| found.get::<_, Vec<u8>>(0))?;
        bodies.map(|body| row::read(&body?, "token")).collect()
    }

    /// The tokens that a channel pays with.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub fn paid_by(&self, payer: ChannelId) -> Result<Vec<HubToken>, StoreError> {
        self.tokens("SELECT body FROM token WHERE payer = ?1 ORDER BY id", payer.as_slice())
    }

    /// The tokens that a channel earns with.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub fn paid_to(&self, payee: ChannelId) -> Result<Vec<HubToken>, StoreError> {
        self.tokens("SELECT body FROM token WHERE payee = ?1 ORDER BY id", payee.as_slice())
    }

    /// An invoice.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn invoice(&self, payee: ChannelId, invoice: B256) -> Result<Option<Invoice>, StoreError> {
        let query = "SELECT body FROM invoice WHERE payee = ?1 AND invoice = ?2";
        let body = self.body(query, [payee.as_slice(), invoice.as_slice()])?;
        body.map(|body| row::read(&body, "invoice")).transpose()
    }

    /// Registers an invoice. One that is there stays as it is: registering twice does not make a used one new.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn register(&self, payee: ChannelId, invoice: B256, what: &Invoice) -> Result<bool, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO invoice (payee, invoice, expires, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        )?;
        let expires = time(what.expires);
        let made = statement.execute(params![payee.as_slice(), invoice.as_slice(), expires, row::write(what)])?;
        Ok(made == 1)
    }

    fn use_invoice(&self, payee: ChannelId, invoice: B256, token: TokenId) -> Result<(), StoreError> {
        let Some(mut found) = self.invoice(payee, invoice)? else { return Ok(()) };
        found.used = Some(token);
        let mut statement =
            self.connection.prepare_cached("UPDATE invoice SET body = ?3 WHERE payee = ?1 AND invoice = ?2")?;
        statement.execute(params![payee.as_slice(), invoice.as_slice(), row::write(&found)])?;
        Ok(())
    }

    /// Forgets tokens and invoices whose last deadline is before a time: nothing on chain can be about them any more.
    ///
    /// # Errors
    /// Where they cannot be removed.
    pub fn forget(&self, before: Time) -> Result<usize, StoreError> {
        let tokens = self.connection.execute("DELETE FROM token WHERE claim_by < ?1", [time(before)])?;
        let invoices = self.connection.execute("DELETE FROM invoice WHERE expires < ?1", [time(before)])?;
        Ok(tokens + invoices)
    }

    /// Decides a proposal over these rows and writes what was accepted. The answer may leave after the commit, not before.
    ///
    /// # Errors
    /// Where a row cannot be read or written: then nothing is decided.
    pub fn decide<C: Chain, K: Signer + Recover>(
        &self,
        proposal: &Proposal,
        ctx: &Ctx<'_, C, K, Every>,
    ) -> Result<Result<Answer, Refusal>, StoreError> {
        let reader = Reader { book: self, fault: RefCell::new(None) };
        let decided = propose(&reader, proposal, ctx);
        if let Some(fault) = reader.fault.into_inner() {
            return Err(fault);
        }
        let Accepted { channels, tokens, invoices, answer } = match decided {
            Ok(accepted) => accepted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        for channel in &channels {
            self.put_channel(channel)?;
        }
        for token in &tokens {
            self.put_token(token)?;
        }
        for (payee, invoice, token) in invoices {
            self.use_invoice(payee, invoice, token)?;
        }
        Ok(Ok(answer))
    }
}

/// SQLite has signed integers; times end far below.
fn time(time: Time) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

/// The rows as the machine asks for them. It knows no failing store: a fault is kept, and nothing that it decided counts.
struct Reader<'a> {
    book: &'a Book<'a>,
    fault: RefCell<Option<StoreError>>,
}

impl Reader<'_> {
    fn kept<T>(&self, found: Result<Option<T>, StoreError>) -> Option<T> {
        found.unwrap_or_else(|fault| {
            self.fault.borrow_mut().get_or_insert(fault);
            None
        })
    }
}

impl Rows for Reader<'_> {
    fn channel(&self, id: ChannelId) -> Option<HubChannel> {
        self.kept(self.book.channel(id))
    }

    fn token(&self, id: TokenId) -> Option<HubToken> {
        self.kept(self.book.token(id))
    }

    fn invoice(&self, payee: ChannelId, invoice: B256) -> Option<Invoice> {
        self.kept(self.book.invoice(payee, invoice))
    }
}
