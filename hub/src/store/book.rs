//! The rows of one transaction.

use std::cell::RefCell;

use alloy_primitives::B256;
use tarefa_channel::chain::{Chain, Ctx};
use tarefa_channel::hub::{Accepted, Answer, HubChannel, HubToken, Invoice, Proposal, Refusal, Rows, Stage, propose};
use tarefa_channel::rules::Every;
use tarefa_channel::sign::{Recover, Signer};
use tarefa_channel::{ChannelId, Time, TokenId, window};

use super::sql::{Cell, Sql};
use super::{StoreError, row};

/// What one transaction sees and writes.
pub struct Book<'a> {
    sql: &'a dyn Sql,
}

fn bytes(hash: &B256) -> Cell<'_> {
    Cell::Bytes(hash.as_slice())
}

/// What a token waits for, as its row tells queries.
fn stage(token: &HubToken) -> i64 {
    match token.stage {
        Stage::Granted => PROMISED,
        Stage::Attached { .. } | Stage::Declined(_) => SHOWN,
        Stage::Landed(_) => LANDED,
    }
}

/// Nothing waits for it.
const LANDED: i64 = 0;
/// It waits for its payee.
const PROMISED: i64 = 1;
/// What the payee did with it waits for its payer.
const SHOWN: i64 = 2;

impl<'a> Book<'a> {
    pub(super) fn new(sql: &'a dyn Sql) -> Self {
        Self { sql }
    }

    fn body(&self, query: &'static str, keys: &[Cell<'_>]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.sql.bodies(query, keys)?.pop())
    }

    /// A value that all replicas share: the one that is there, or this one from now on.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub fn shared(&self, key: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        let cells = [Cell::Text(key), Cell::Bytes(value)];
        self.sql.run("INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT DO NOTHING", &cells)?;
        let found = self.single(key)?;
        found.ok_or_else(|| StoreError::Unreadable { what: "meta", why: format!("{key} is not there") })
    }

    /// A channel.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn channel(&self, id: ChannelId) -> Result<Option<HubChannel>, StoreError> {
        let body = self.body("SELECT body FROM channel WHERE id = $1", &[bytes(&id.0)])?;
        body.map(|body| row::read(&body, "channel")).transpose()
    }

    /// Begins a channel that the chain shows; one that is there stays as it is. Whether it is new.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn open_channel(&self, channel: &HubChannel) -> Result<bool, StoreError> {
        let new = self.channel(channel.id)?.is_none();
        if new {
            self.put_channel(channel)?;
        }
        Ok(new)
    }

    /// A value that all replicas share, as it is now.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn single(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.body("SELECT value FROM meta WHERE key = $1", &[Cell::Text(key)])
    }

    /// Keeps it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn put_single(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.sql.run(
            "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            &[Cell::Text(key), Cell::Bytes(value)],
        )?;
        Ok(())
    }

    /// Takes the lease of something that one replica does at a time, until a time; whether this one has it. Times in milliseconds.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub fn lease(&self, what: &str, holder: B256, now_ms: u64, until_ms: u64) -> Result<bool, StoreError> {
        let found = self.single(what)?;
        let held = found.filter(|value| value.len() == 40 && value[..32] != holder[..]);
        let until = held.and_then(|value| Some(u64::from_be_bytes(value[32..].try_into().ok()?)));
        if until.is_some_and(|until| until > now_ms) {
            return Ok(false);
        }
        self.put_single(what, &[holder.as_slice(), &until_ms.to_be_bytes()].concat())?;
        Ok(true)
    }

    /// Keeps a channel as it is now.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn put_channel(&self, channel: &HubChannel) -> Result<(), StoreError> {
        self.sql.run(
            "INSERT INTO channel (id, body) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            &[bytes(&channel.id.0), Cell::Bytes(&row::write(channel))],
        )?;
        Ok(())
    }

    /// A token.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn token(&self, id: TokenId) -> Result<Option<HubToken>, StoreError> {
        let body = self.body("SELECT body FROM token WHERE id = $1", &[bytes(&id.0)])?;
        body.map(|body| row::read(&body, "token")).transpose()
    }

    fn put_token(&self, token: &HubToken) -> Result<(), StoreError> {
        let (payer, payee, body) = (&token.token.payer_channel.0, &token.token.payee, row::write(token));
        let (claim_by, stage) = (time(token.token.claim_by), Cell::Number(stage(token)));
        self.sql.run(
            "INSERT INTO token (id, payer, payee, claim_by, stage, body) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (id) DO UPDATE SET stage = excluded.stage, body = excluded.body",
            &[bytes(&token.id().0), bytes(payer), bytes(payee), claim_by, stage, Cell::Bytes(&body)],
        )?;
        Ok(())
    }

    fn tokens(&self, query: &'static str, keys: &[Cell<'_>]) -> Result<Vec<HubToken>, StoreError> {
        self.sql.bodies(query, keys)?.iter().map(|body| row::read(body, "token")).collect()
    }

    /// The tokens that a channel pays with and has not landed.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub fn paid_by(&self, payer: ChannelId) -> Result<Vec<HubToken>, StoreError> {
        self.tokens("SELECT body FROM token WHERE payer = $1 AND stage > 0 ORDER BY id", &[bytes(&payer.0)])
    }

    /// The tokens that a channel earns with, those too that its payers have landed.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub fn paid_to(&self, payee: ChannelId) -> Result<Vec<HubToken>, StoreError> {
        self.tokens("SELECT body FROM token WHERE payee = $1 ORDER BY id", &[bytes(&payee.0)])
    }

    /// What waits for a channel's client: tokens for a payee, and what payees did with the tokens of a payer.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub fn letters(&self, channel: ChannelId) -> Result<(Vec<HubToken>, Vec<HubToken>), StoreError> {
        let find = |query, stage| self.tokens(query, &[bytes(&channel.0), Cell::Number(stage)]);
        let promised = find("SELECT body FROM token WHERE payee = $1 AND stage = $2 ORDER BY id", PROMISED)?;
        let shown = find("SELECT body FROM token WHERE payer = $1 AND stage = $2 ORDER BY id", SHOWN)?;
        Ok((promised, shown))
    }

    /// Channels with tokens that must be claimed before a time.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn payers_due(&self, before: Time) -> Result<Vec<ChannelId>, StoreError> {
        let query = "SELECT DISTINCT payer FROM token WHERE claim_by < $1 AND stage = 2 ORDER BY payer";
        let found = self.sql.bodies(query, &[time(before)])?;
        let id = |bytes: Vec<u8>| {
            let bytes = <[u8; 32]>::try_from(bytes);
            let why = "a payer is not of 32 bytes".to_owned();
            bytes.map(|bytes| ChannelId(B256::new(bytes))).map_err(|_| StoreError::Unreadable { what: "token", why })
        };
        found.into_iter().map(id).collect()
    }

    /// An invoice.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn invoice(&self, payee: ChannelId, invoice: B256) -> Result<Option<Invoice>, StoreError> {
        let query = "SELECT body FROM invoice WHERE payee = $1 AND invoice = $2";
        let body = self.body(query, &[bytes(&payee.0), bytes(&invoice)])?;
        body.map(|body| row::read(&body, "invoice")).transpose()
    }

    /// Registers an invoice. One that is there stays as it is: registering twice does not make a used one new.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn register(&self, payee: ChannelId, invoice: B256, what: &Invoice) -> Result<bool, StoreError> {
        let made = self.sql.run(
            "INSERT INTO invoice (payee, invoice, expires, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            &[bytes(&payee.0), bytes(&invoice), time(what.expires), Cell::Bytes(&row::write(what))],
        )?;
        Ok(made == 1)
    }

    fn use_invoice(&self, payee: ChannelId, invoice: B256, token: TokenId) -> Result<(), StoreError> {
        let Some(mut found) = self.invoice(payee, invoice)? else { return Ok(()) };
        found.used = Some(token);
        self.sql.run(
            "UPDATE invoice SET body = $1 WHERE payee = $2 AND invoice = $3",
            &[Cell::Bytes(&row::write(&found)), bytes(&payee.0), bytes(&invoice)],
        )?;
        Ok(())
    }

    /// Forgets tokens and invoices whose last deadline is before a time and that nobody can ask about any more: their payers are done with
    /// them, and their payees have consumed their sequences. A bounded number at a time.
    ///
    /// # Errors
    /// Where they cannot be removed.
    pub fn forget(&self, before: Time) -> Result<usize, StoreError> {
        let query = "SELECT body FROM token WHERE claim_by < $1 AND stage = 0 ORDER BY claim_by LIMIT 1000";
        let mut forgotten = 0;
        for token in self.tokens(query, &[time(before)])? {
            let payee = token.token.payee_channel().map(|payee| self.channel(payee)).transpose()?.flatten();
            if payee.is_none_or(|payee| window::holds(&payee.position.balances, token.grant.payee_seq)) {
                forgotten += self.sql.run("DELETE FROM token WHERE id = $1", &[bytes(&token.id().0)])?;
            }
        }
        let invoices = self.sql.run("DELETE FROM invoice WHERE expires < $1", &[time(before)])?;
        Ok(forgotten + invoices)
    }

    /// Decides a proposal over these rows and writes what was accepted. The answer may leave after the commit, not before. With it, the
    /// channels that it has changed.
    ///
    /// # Errors
    /// Where a row cannot be read or written: then nothing is decided.
    pub fn decide<C: Chain, K: Signer + Recover>(
        &self,
        proposal: &Proposal,
        ctx: &Ctx<'_, C, K, Every>,
    ) -> Result<Result<(Answer, Vec<ChannelId>), Refusal>, StoreError> {
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
        Ok(Ok((answer, channels.iter().map(|channel| channel.id).collect())))
    }
}

/// SQL has signed integers; times end far below.
fn time(time: Time) -> Cell<'static> {
    Cell::Number(i64::try_from(time.0).unwrap_or(i64::MAX))
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
