//! The rows of one transaction.

use std::cell::RefCell;
use std::hash::Hash;
use std::sync::Arc;

use alloy_primitives::B256;
use tarefa_channel::chain::{Chain, Ctx};
use tarefa_channel::hub::{Accepted, Decided, HubChannel, HubToken, Invoice, Proposal, Refusal, Rows, Stage, decide};
use tarefa_channel::rules::Every;
use tarefa_channel::sign::{Recover, Signer};
use tarefa_channel::{ChannelId, Time, TokenId, window};

use super::cache::{Cache, Kept, Waiting};
use super::seal::{HubKey, Sealed, Unsigned, seal};
use super::sql::{Cell, Sql};
use super::{StoreError, row};

/// Rows that are looked through at a time, to be forgotten: a few milliseconds. Queries have this number in their text.
const PAGE: usize = 512;

/// A place among the tokens, by their last deadline: behind so many of this one, which stay.
pub type Age = (Time, u64);

/// What was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// How many rows.
    pub rows: usize,
    /// Where to go on, where there may be more.
    pub next: Option<Age>,
}

/// What one transaction sees and writes.
pub struct Book<'a> {
    sql: &'a dyn Sql,
    cache: &'a Cache,
    unsigned: RefCell<Vec<Unsigned>>,
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

/// In whose mailbox a token is.
fn addressee(token: &HubToken) -> Option<ChannelId> {
    match token.stage {
        Stage::Granted => token.token.payee_channel(),
        Stage::Attached { .. } | Stage::Declined(_) => Some(token.token.payer_channel),
        Stage::Landed(_) => None,
    }
}

/// Nothing waits for it.
const LANDED: i64 = 0;
/// It waits for its payee. Queries and indexes have these numbers in their text.
const PROMISED: i64 = 1;
/// What the payee did with it waits for its payer.
const SHOWN: i64 = 2;

impl<'a> Book<'a> {
    pub(super) fn new(sql: &'a dyn Sql, cache: &'a Cache) -> Self {
        Self { sql, cache, unsigned: RefCell::default() }
    }

    /// A row that was read or changed before, or as the database has it.
    fn row<K: Hash + Ord + Copy, V: Clone>(
        kept: &Kept<K, V>,
        key: K,
        read: impl FnOnce() -> Result<Option<V>, StoreError>,
    ) -> Result<Option<V>, StoreError> {
        if let Some(found) = kept.get(&key) {
            return Ok(Some(found));
        }
        let found = read()?;
        if let Some(row) = &found {
            kept.read(key, row.clone());
        }
        Ok(found)
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
        Self::row(&self.cache.channels, id, || {
            let body = self.body("SELECT body FROM channel WHERE id = $1", &[bytes(&id.0)])?;
            body.map(|body| row::read(&body, "channel")).transpose()
        })
    }

    /// Begins a channel that the chain shows; one that is there stays as it is. Whether it is new.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn open_channel(&self, channel: &HubChannel) -> Result<bool, StoreError> {
        let new = self.channel(channel.id)?.is_none();
        if new {
            self.put_channel(channel);
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

    /// Who has the lease of something, and until when, milliseconds.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn leased(&self, what: &str) -> Result<Option<(B256, u64)>, StoreError> {
        let read = |value: Vec<u8>| {
            let (holder, until) = value.split_first_chunk::<32>()?;
            Some((B256::new(*holder), u64::from_be_bytes(until.try_into().ok()?)))
        };
        Ok(self.single(what)?.and_then(read))
    }

    /// Takes the lease of something that one replica does at a time, until a time; whether this one has it. Times in milliseconds.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub fn lease(&self, what: &str, holder: B256, now_ms: u64, until_ms: u64) -> Result<bool, StoreError> {
        if self.leased(what)?.is_some_and(|(other, until)| other != holder && until > now_ms) {
            return Ok(false);
        }
        self.put_single(what, &[holder.as_slice(), &until_ms.to_be_bytes()].concat())?;
        Ok(true)
    }

    /// Keeps a channel as it is now.
    pub fn put_channel(&self, channel: &HubChannel) {
        self.cache.channels.put(channel.id, channel.clone());
    }

    /// Keeps a token as it is now.
    pub fn put_token(&self, token: &HubToken) {
        self.cache.put_token(token.clone());
    }

    /// A token.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn token(&self, id: TokenId) -> Result<Option<HubToken>, StoreError> {
        Self::row(&self.cache.tokens, id, || {
            let body = self.body("SELECT body FROM token WHERE id = $1", &[bytes(&id.0)])?;
            body.map(|body| row::read(&body, "token")).transpose()
        })
    }

    fn tokens(&self, query: &'static str, keys: &[Cell<'_>]) -> Result<Vec<HubToken>, StoreError> {
        // A query finds only what is written.
        self.seal()?;
        self.sql.bodies(query, keys)?.iter().map(|body| row::read(body, "token")).collect()
    }

    /// The tokens that a channel pays with and has not landed.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub fn paid_by(&self, payer: ChannelId) -> Result<Vec<HubToken>, StoreError> {
        self.tokens("SELECT body FROM token WHERE payer = $1 AND stage > 0 ORDER BY id", &[bytes(&payer.0)])
    }

    /// What waits for a channel's client: tokens for a payee, and what payees did with the tokens of a payer.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub fn letters(&self, channel: ChannelId) -> Result<(Vec<HubToken>, Vec<HubToken>), StoreError> {
        let query = "SELECT body FROM token WHERE payee = $1 AND stage = 1 ORDER BY id";
        let mut promised = self.waiting(&self.cache.promised, channel, query)?;
        if let Some(payee) = self.channel(channel)? {
            // What was redeemed and acknowledged waits for its payer, which may be gone, and for its payee no more.
            promised.retain(|token| !window::holds(&payee.position.balances, token.grant.payee_seq));
        }
        // The index is of all that wait.
        let query = "SELECT body FROM token WHERE payer = $1 AND stage > 0 AND stage = 2 ORDER BY id";
        Ok((promised, self.waiting(&self.cache.shown, channel, query)?))
    }

    fn waiting(&self, kept: &Waiting, channel: ChannelId, query: &'static str) -> Result<Vec<HubToken>, StoreError> {
        if let Some(ids) = kept.get(channel) {
            return ids.into_iter().filter_map(|id| self.token(id).transpose()).collect();
        }
        let found = self.tokens(query, &[bytes(&channel.0)])?;
        kept.fill(channel, found.iter().map(HubToken::id));
        found.iter().for_each(|row| self.cache.tokens.read(row.id(), row.clone()));
        Ok(found)
    }

    /// Channels with tokens that must be claimed between two times.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn payers_due(&self, from: Time, before: Time) -> Result<Vec<ChannelId>, StoreError> {
        // Not those whose time is over: nothing can be done for them, and there may be many.
        let query =
            "SELECT DISTINCT payer FROM token WHERE claim_by >= $1 AND claim_by < $2 AND stage = 2 ORDER BY payer";
        self.seal()?;
        let found = self.sql.bodies(query, &[time(from), time(before)])?;
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
        Self::row(&self.cache.invoices, (payee, invoice), || {
            let query = "SELECT body FROM invoice WHERE payee = $1 AND invoice = $2";
            let body = self.body(query, &[bytes(&payee.0), bytes(&invoice)])?;
            body.map(|body| row::read(&body, "invoice")).transpose()
        })
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
        if made == 1 {
            // Not one of this name that has expired and is forgotten.
            self.cache.invoices.read((payee, invoice), *what);
        }
        Ok(made == 1)
    }

    /// Looks through some of the tokens and invoices whose last deadline is before a time, and forgets those that nobody can ask about any
    /// more: whose payers are done with them, or have channels that are over, and whose payees have consumed their sequences, or have
    /// channels that are over.
    ///
    /// # Errors
    /// Where they cannot be removed.
    pub fn forget(
        &self,
        after: Option<Age>,
        before: Time,
        over: impl Fn(&HubChannel) -> bool,
    ) -> Result<Forgotten, StoreError> {
        let (mut last, mut staying) = after.unwrap_or_default();
        // What must stay is passed over the next time, or it would be all that is ever looked at.
        let query = "SELECT body FROM token WHERE claim_by >= $1 AND claim_by < $2 ORDER BY claim_by, rowid LIMIT 512 OFFSET $3";
        let found = self.tokens(query, &[time(last), time(before), number(staying)])?;
        let mut rows = 0;
        for token in &found {
            if token.token.claim_by != last {
                (last, staying) = (token.token.claim_by, 0);
            }
            if self.is_forgettable(token, &over)? {
                rows += self.sql.run("DELETE FROM token WHERE id = $1", &[bytes(&token.id().0)])?;
                self.cache.forget_token(token);
            } else {
                staying += 1;
            }
        }
        let query = "DELETE FROM invoice WHERE (payee, invoice) IN
            (SELECT payee, invoice FROM invoice WHERE expires < $1 ORDER BY expires LIMIT 512)";
        let invoices = self.sql.run(query, &[time(before)])?;
        let more = found.len() == PAGE || invoices == PAGE;
        Ok(Forgotten { rows: rows + invoices, next: more.then_some((last, staying)) })
    }

    fn is_forgettable(&self, token: &HubToken, over: impl Fn(&HubChannel) -> bool) -> Result<bool, StoreError> {
        let done = |party: Option<HubChannel>, else_if: &dyn Fn(&HubChannel) -> bool| {
            party.is_none_or(|party| over(&party) || else_if(&party))
        };
        let landed = |_: &HubChannel| matches!(token.stage, Stage::Landed(_));
        let consumed = |payee: &HubChannel| window::holds(&payee.position.balances, token.grant.payee_seq);
        let payee = token.token.payee_channel().map(|payee| self.channel(payee)).transpose()?.flatten();
        Ok(done(self.channel(token.token.payer_channel)?, &landed) && done(payee, &consumed))
    }

    /// Decides a proposal over these rows and keeps what was accepted. The answer is there after the commit. With it, the channels that have
    /// something in their mailboxes by it.
    ///
    /// # Errors
    /// Where a row cannot be read: then nothing is decided.
    pub fn decide<C: Chain, K: Signer + Recover>(
        &self,
        proposal: &Proposal,
        ctx: &Ctx<'_, C, K, Every>,
        key: &HubKey,
    ) -> Result<Result<(Sealed, Vec<ChannelId>), Refusal>, StoreError> {
        let reader = Reader { book: self, fault: RefCell::new(None) };
        let decided = decide(&reader, proposal, ctx);
        if let Some(fault) = reader.fault.into_inner() {
            return Err(fault);
        }
        let Decided { accepted: Accepted { channels, tokens, invoices, answer }, digests } = match decided {
            Ok(decided) => decided,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let addressees = tokens.iter().filter_map(addressee).collect();
        channels.into_iter().for_each(|channel| self.cache.channels.put(channel.id, channel));
        tokens.into_iter().for_each(|token| self.cache.put_token(token));
        for (payee, name, token) in invoices {
            if let Some(found) = self.invoice(payee, name)? {
                self.cache.invoices.put((payee, name), Invoice { used: Some(token), ..found });
            }
        }
        if digests.is_empty() {
            return Ok(Ok((Sealed::again(answer), addressees)));
        }
        let (channel, seq, sealed) = (proposal.state.channel, proposal.state.seq, Sealed::default());
        let (key, domain) = (Arc::clone(key), *ctx.domain);
        self.unsigned.borrow_mut().push(Unsigned {
            channel,
            seq,
            answer,
            digests,
            key,
            domain,
            sealed: sealed.clone(),
        });
        Ok(Ok((sealed, addressees)))
    }

    /// Signs what was decided, and writes every row that has changed: the end of a transaction, before its commit.
    pub(super) fn seal(&self) -> Result<(), StoreError> {
        seal(self.unsigned.take(), |channel, seq, answer| {
            self.cache.channels.change(&channel, |row| row.signed(seq, &answer.word));
            for (grant, hub) in &answer.grants {
                self.cache.tokens.change(&grant.token, |row| row.hub = hub.clone());
            }
        });
        let put = "INSERT INTO channel (id, body) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET body = excluded.body";
        self.cache
            .channels
            .write(|id, row| self.sql.run(put, &[bytes(&id.0), Cell::Bytes(&row::write(row))]).map(drop))?;
        let put = "INSERT INTO token (id, payer, payee, claim_by, stage, body) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (id) DO UPDATE SET stage = excluded.stage, body = excluded.body";
        self.cache.tokens.write(|id, row| {
            let (payer, payee, body) = (&row.token.payer_channel.0, &row.token.payee, row::write(row));
            let (claim_by, stage) = (time(row.token.claim_by), Cell::Number(stage(row)));
            let cells = [bytes(&id.0), bytes(payer), bytes(payee), claim_by, stage, Cell::Bytes(&body)];
            self.sql.run(put, &cells).map(drop)
        })?;
        let put = "UPDATE invoice SET body = $1 WHERE payee = $2 AND invoice = $3";
        self.cache.invoices.write(|(payee, name), row| {
            self.sql.run(put, &[Cell::Bytes(&row::write(row)), bytes(&payee.0), bytes(&name)]).map(drop)
        })
    }
}

/// SQL has signed integers; times and counts end far below.
fn number(number: u64) -> Cell<'static> {
    Cell::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

fn time(time: Time) -> Cell<'static> {
    number(time.0)
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
