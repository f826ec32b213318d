//! Messages on their way in and out.

use rusqlite::{OptionalExtension, params};
use tarefa_protocol::codec;
use tarefa_protocol::limits::{OFFERS_PER_KEY_MAX, OFFERS_TOTAL_MAX};
use tarefa_protocol::offer::{KnownOffer, Offer};
use tarefa_protocol::parts::{Part, Room};
use tarefa_protocol::seal::SealingSecret;
use tarefa_protocol::{Digest, LedgerSeconds, MessageId, PartyId, SealingKey, Tag, TaskId};

use super::{StoreError, Tx};

/// Quarantined inputs kept, the newest: enough to see what is going on, and strangers cannot fill the disk.
const QUARANTINE_MAX: u32 = 1_000;

/// What became of a part that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Others are missing.
    Partial,
    /// The message is whole.
    Whole(Vec<u8>),
    /// Acted on before, or held already.
    Old,
}

/// A part to post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingPart {
    /// Posting order.
    pub sequence: u64,
    /// Tag on the wire.
    pub tag: Tag,
    /// Signed part.
    pub data: Vec<u8>,
    /// No use after this ledger time.
    pub not_after: u32,
}

impl Tx<'_> {
    /// Takes a part in; the whole message comes back with its last part, once.
    pub fn part_in(&self, part: &Part) -> Result<Incoming, StoreError> {
        let (sender, message) = (part.header.sender.0, part.header.message.0);
        let acted: Option<i64> = self
            .connection
            .prepare_cached("SELECT 1 FROM inbox WHERE sender = ?1 AND message = ?2")?
            .query_row(params![sender, message], |row| row.get(0))
            .optional()?;
        if acted.is_some() {
            return Ok(Incoming::Old);
        }
        if part.total == 1 {
            return Ok(Incoming::Whole(part.chunk.0.clone()));
        }
        let added = self
            .connection
            .prepare_cached(
                "INSERT INTO part_in (sender, message, idx, total, chunk, not_after) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![sender, message, part.index, part.total, part.chunk.0, part.header.not_after.0])?;
        if added == 0 {
            return Ok(Incoming::Old);
        }
        let held: u32 = self
            .connection
            .prepare_cached("SELECT count(*) FROM part_in WHERE sender = ?1 AND message = ?2 AND total = ?3")?
            .query_row(params![sender, message, part.total], |row| row.get(0))?;
        if held < part.total {
            return Ok(Incoming::Partial);
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT chunk FROM part_in WHERE sender = ?1 AND message = ?2 AND total = ?3 ORDER BY idx",
        )?;
        let mut rows = statement.query(params![sender, message, part.total])?;
        let mut whole = vec![];
        while let Some(row) = rows.next()? {
            whole.extend_from_slice(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?);
        }
        Ok(Incoming::Whole(whole))
    }

    /// Marks a message as acted on, whatever came of it.
    pub fn acted_on(&self, sender: &PartyId, message: &MessageId, not_after: LedgerSeconds) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO inbox (sender, message, not_after) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            )?
            .execute(params![sender.0, message.0, not_after.0])?;
        self.connection
            .prepare_cached("DELETE FROM part_in WHERE sender = ?1 AND message = ?2")?
            .execute(params![sender.0, message.0])?;
        Ok(())
    }

    /// Room taken by unfinished messages.
    pub fn room(&self, sender: &PartyId) -> Result<Room, StoreError> {
        let sum = |sql: &str, own: bool| -> Result<u64, StoreError> {
            let mut statement = self.connection.prepare_cached(sql)?;
            let sum: i64 = if own {
                statement.query_row([sender.0], |row| row.get(0))?
            } else {
                statement.query_row([], |row| row.get(0))?
            };
            Ok(sum as u64)
        };
        Ok(Room {
            of_sender: sum("SELECT coalesce(sum(length(chunk)), 0) FROM part_in WHERE sender = ?1", true)?,
            total: sum("SELECT coalesce(sum(length(chunk)), 0) FROM part_in", false)?,
            known: self.paid_before(sender)? > 0,
        })
    }

    /// Drops the unfinished messages of the sender that holds most, known parties last, and never for a stranger.
    pub fn evict_largest(&self, for_known: bool) -> Result<Option<PartyId>, StoreError> {
        let sender: Option<[u8; 32]> = self
            .connection
            .prepare_cached(
                "SELECT sender FROM part_in WHERE ?1 OR sender NOT IN (SELECT party FROM known) GROUP BY sender
                 ORDER BY sender IN (SELECT party FROM known), sum(length(chunk)) DESC LIMIT 1",
            )?
            .query_row([for_known], |row| row.get(0))
            .optional()?;
        if let Some(sender) = sender {
            self.connection.prepare_cached("DELETE FROM part_in WHERE sender = ?1")?.execute([sender])?;
        }
        Ok(sender.map(PartyId))
    }

    /// Records an input that could not be handled.
    pub fn quarantine(
        &self,
        milestone: u32,
        sender: &PartyId,
        message: &MessageId,
        reason: &str,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT INTO quarantine (milestone, sender, message, reason) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![milestone, sender.0, message.0, reason])?;
        self.connection
            .prepare_cached("DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ?1")?
            .execute([QUARANTINE_MAX])?;
        Ok(())
    }

    /// Number of quarantined inputs.
    pub fn quarantined(&self) -> Result<u64, StoreError> {
        let count: i64 = self.connection.query_row("SELECT count(*) FROM quarantine", [], |row| row.get(0))?;
        Ok(count as u64)
    }

    /// Stores a message's parts for posting; their sequences come back in order.
    pub fn message_out(
        &self,
        message: &MessageId,
        task: &TaskId,
        tag: &Tag,
        parts: &[Vec<u8>],
        not_after: LedgerSeconds,
    ) -> Result<Vec<u64>, StoreError> {
        self.connection
            .prepare_cached("INSERT INTO sent (message, not_after) VALUES (?1, ?2)")?
            .execute(params![message.0, not_after.0])?;
        let mut insert = self
            .connection
            .prepare_cached("INSERT INTO part_out (message, task, tag, data, not_after) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        let mut sequences = vec![];
        for data in parts {
            insert.execute(params![message.0, task.0, tag.0, data, not_after.0])?;
            sequences.push(self.connection.last_insert_rowid() as u64);
        }
        Ok(sequences)
    }

    /// Notes a message that is announced, not delivered (offers).
    pub fn note_sent(&self, message: &MessageId, not_after: LedgerSeconds) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT INTO sent (message, not_after) VALUES (?1, ?2)")?
            .execute(params![message.0, not_after.0])?;
        Ok(())
    }

    /// Whether we sent this message.
    pub fn was_sent(&self, message: &MessageId) -> Result<bool, StoreError> {
        let found: Option<i64> = self
            .connection
            .prepare_cached("SELECT 1 FROM sent WHERE message = ?1")?
            .query_row([message.0], |row| row.get(0))
            .optional()?;
        Ok(found.is_some())
    }

    /// All parts still to be referenced, in posting order.
    pub fn parts_out(&self) -> Result<Vec<OutgoingPart>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT seq, tag, data, not_after FROM part_out ORDER BY seq")?;
        let rows = statement.query_map([], |row| {
            let sequence: i64 = row.get(0)?;
            Ok(OutgoingPart {
                sequence: sequence as u64,
                tag: Tag(row.get(1)?),
                data: row.get(2)?,
                not_after: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Tag and bytes of a part still to be referenced.
    pub fn part_out(&self, sequence: u64) -> Result<Option<(Tag, Vec<u8>)>, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT tag, data FROM part_out WHERE seq = ?1")?
            .query_row([sequence as i64], |row| Ok((Tag(row.get(0)?), row.get(1)?)))
            .optional()?)
    }

    /// A part was referenced, or its time has passed. Returns the task and how many of its parts are left.
    pub fn part_done(&self, sequence: u64) -> Result<Option<(TaskId, u32)>, StoreError> {
        let task: Option<[u8; 16]> = self
            .connection
            .prepare_cached("DELETE FROM part_out WHERE seq = ?1 RETURNING task")?
            .query_row([sequence as i64], |row| row.get(0))
            .optional()?;
        let Some(task) = task else { return Ok(None) };
        let left = self
            .connection
            .prepare_cached("SELECT count(*) FROM part_out WHERE task = ?1")?
            .query_row([task], |row| row.get(0))?;
        Ok(Some((TaskId(task), left)))
    }

    /// Parts of a task's messages that are not referenced yet.
    pub fn parts_left(&self, task: &TaskId) -> Result<u32, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT count(*) FROM part_out WHERE task = ?1")?
            .query_row([task.0], |row| row.get(0))?)
    }

    /// Listens to an inbox until `expires`.
    pub fn add_tag(&self, tag: &Tag, expires: LedgerSeconds) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT INTO inbox_tag (tag, expires) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(params![tag.0, expires.0])?;
        Ok(())
    }

    /// All inboxes listened to.
    pub fn tags(&self) -> Result<Vec<Tag>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT tag FROM inbox_tag")?;
        let rows = statement.query_map([], |row| row.get(0).map(Tag))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Keeps the secret of a sealing key until `expires`.
    pub fn add_sealing(&self, secret: &SealingSecret, expires: LedgerSeconds) -> Result<SealingKey, StoreError> {
        let public = secret.public();
        self.connection
            .prepare_cached("INSERT INTO sealing (public, secret, expires) VALUES (?1, ?2, ?3)")?
            .execute(params![public.0, secret.expose(), expires.0])?;
        Ok(public)
    }

    /// The secret of a sealing key, if it is still kept.
    pub fn sealing(&self, public: &SealingKey) -> Result<Option<SealingSecret>, StoreError> {
        let secret: Option<[u8; 32]> = self
            .connection
            .prepare_cached("SELECT secret FROM sealing WHERE public = ?1")?
            .query_row([public.0], |row| row.get(0))
            .optional()?;
        Ok(secret.map(SealingSecret::from_bytes))
    }

    /// Keeps an offer, within the limits per executor and in total.
    pub fn add_offer(&self, executor: &PartyId, offer: &Offer) -> Result<Digest, StoreError> {
        let id = offer.id(executor);
        self.connection
            .prepare_cached(
                "INSERT INTO offer (id, executor, sequence, body, valid_until) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            )?
            .execute(params![id.0, executor.0, offer.sequence as i64, codec::encode(offer), offer.valid_until.0])?;
        self.connection
            .prepare_cached(
                "DELETE FROM offer WHERE executor = ?1 AND id NOT IN
                 (SELECT id FROM offer WHERE executor = ?1 ORDER BY sequence DESC LIMIT ?2)",
            )?
            .execute(params![executor.0, OFFERS_PER_KEY_MAX as i64])?;
        self.connection
            .prepare_cached(
                "DELETE FROM offer WHERE id NOT IN (SELECT id FROM offer
                 ORDER BY executor IN (SELECT party FROM known) DESC, valid_until DESC LIMIT ?1)",
            )?
            .execute([OFFERS_TOTAL_MAX as i64])?;
        Ok(id)
    }

    /// Keeps an offer of our own: until it expires, however many follow it, since tasks may rely on it.
    pub fn add_own_offer(&self, executor: &PartyId, offer: &Offer) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO offer (id, executor, sequence, body, valid_until) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                offer.id(executor).0,
                executor.0,
                offer.sequence as i64,
                codec::encode(offer),
                offer.valid_until.0
            ])?;
        Ok(())
    }

    /// An offer by its id.
    pub fn offer(&self, id: &Digest) -> Result<Option<Offer>, StoreError> {
        let body: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT body FROM offer WHERE id = ?1")?
            .query_row([id.0], |row| row.get(0))
            .optional()?;
        body.map(|body| codec::decode(&body).map_err(StoreError::from)).transpose()
    }

    /// The newest valid offer of each executor.
    pub fn offers(&self, now: LedgerSeconds) -> Result<Vec<KnownOffer>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT o.executor, o.id, o.body, coalesce(k.paid, 0) FROM offer o LEFT JOIN known k ON k.party = o.executor
             WHERE o.valid_until >= ?1 AND o.sequence = (SELECT max(sequence) FROM offer WHERE executor = o.executor)",
        )?;
        let rows = statement.query_map([now.0], |row| {
            Ok((PartyId(row.get(0)?), Digest(row.get(1)?), row.get::<_, Vec<u8>>(2)?, row.get::<_, u32>(3)?))
        })?;
        let mut offers = vec![];
        for row in rows {
            let (executor, id, body, paid_before) = row?;
            offers.push(KnownOffer { executor, id, offer: codec::decode(&body)?, paid_before });
        }
        Ok(offers)
    }

    /// Deletes what has no use after `now`: inbox rows, secrets, tags, parts, offers.
    pub fn forget_before(&self, now: LedgerSeconds) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM inbox WHERE not_after < ?1",
            "DELETE FROM sent WHERE not_after < ?1",
            "DELETE FROM part_in WHERE not_after < ?1",
            "DELETE FROM sealing WHERE expires < ?1",
            "DELETE FROM inbox_tag WHERE expires < ?1",
            "DELETE FROM offer WHERE valid_until < ?1",
        ] {
            self.connection.prepare_cached(sql)?.execute([now.0])?;
        }
        Ok(())
    }
}
