//! The desk a role works at: the open transaction and a queue of effects, carried out only if it commits.

use serde::Serialize;
use tarefa_ledger::wallet::NewOrder;
use tarefa_protocol::envelope::{self, Header};
use tarefa_protocol::message::Letter;
use tarefa_protocol::parts;
use tarefa_protocol::rng::Entropy;
use tarefa_protocol::seal::SealingSecret;
use tarefa_protocol::time::Now;
use tarefa_protocol::{Address, LedgerId, LedgerSeconds, MessageId, PartyId, SealingKey, Tag, TaskId};

use crate::keys::Keys;
use crate::role::RunGuest;
use crate::store::{EventRow, OutboxRow, StoreError, Tx};

/// Effects of one commit.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub wallet: Vec<WalletCommand>,
    pub parts: Vec<(u64, [u8; 32], u32)>,
    pub once: Vec<OutboxRow>,
    pub stops: Vec<TaskId>,
    pub events: Vec<EventRow>,
    pub tags: Vec<Tag>,
    pub announcement: Option<Announcement>,
}

/// Lengths of a [`Queue`], to undo what one failed input added.
pub(crate) struct Mark([usize; 6]);

impl Queue {
    pub fn mark(&self) -> Mark {
        Mark([
            self.wallet.len(),
            self.parts.len(),
            self.once.len(),
            self.stops.len(),
            self.events.len(),
            self.tags.len(),
        ])
    }

    pub fn undo_to(&mut self, mark: &Mark) {
        let Mark([wallet, parts, once, stops, events, tags]) = *mark;
        self.wallet.truncate(wallet);
        self.parts.truncate(parts);
        self.once.truncate(once);
        self.stops.truncate(stops);
        self.events.truncate(events);
        self.tags.truncate(tags);
    }
}

#[derive(Debug)]
pub(crate) enum WalletCommand {
    Order(NewOrder),
    GiveUp(String),
    Watch(u32),
    Unwatch(u32),
}

/// A message posted again and again while it is valid (an offer). Stored, so that a restart goes on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub(crate) struct Announcement {
    pub tag: Tag,
    pub parts: Vec<tarefa_protocol::codec::Bytes>,
    pub not_after: LedgerSeconds,
}

/// Who a letter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    /// The party.
    pub party: PartyId,
    /// Its sealing key.
    pub key: SealingKey,
    /// Its inbox.
    pub tag: Tag,
}

/// One commit as a role sees it.
pub struct Desk<'a> {
    /// The open transaction.
    pub tx: Tx<'a>,
    /// Ledger time.
    pub now: Now,
    /// Fresh keys and ids.
    pub entropy: &'a mut Entropy,
    /// Our keys.
    pub keys: &'a Keys,
    /// The ledger we are on.
    pub ledger: LedgerId,
    /// The least amount a plain output can hold there, base units.
    pub least_output: u64,
    pub(crate) queue: &'a mut Queue,
}

impl Desk<'_> {
    /// An address that was never shown; burn it in the same commit if it is shown.
    pub fn next_address(&self) -> Result<(u32, Address), StoreError> {
        let index = self.tx.next_address()?;
        Ok((index, Address(self.keys.address(index))))
    }

    /// Burns the next address and returns it.
    pub fn fresh_address(&self, purpose: &str, task: Option<&TaskId>) -> Result<(u32, Address), StoreError> {
        let (index, address) = self.next_address()?;
        self.tx.burn_address(index, &address.0, purpose, task)?;
        Ok((index, address))
    }

    /// A new sealing key, kept until `expires`.
    pub fn new_sealing_key(&mut self, expires: LedgerSeconds) -> Result<SealingKey, StoreError> {
        self.tx.add_sealing(&SealingSecret::generate(self.entropy), expires)
    }

    /// Listens to this inbox until `expires`.
    pub fn listen(&mut self, tag: Tag, expires: LedgerSeconds) -> Result<(), StoreError> {
        self.tx.add_tag(&tag, expires)?;
        self.queue.tags.push(tag);
        Ok(())
    }

    /// Seals, signs, cuts and stores a letter; it is posted until it is referenced or `not_after` has passed.
    pub fn send(&mut self, reader: &Reader, letter: &Letter, not_after: LedgerSeconds) -> Result<(), StoreError> {
        let header = self.header(Some(reader.party), not_after);
        let packed = envelope::pack(&header, letter, self.keys.party(), Some(&reader.key), self.entropy)?;
        let parts = parts::cut(&header, &packed, self.keys.party());
        let sequences = self.tx.message_out(&header.message, &letter.task, &reader.tag, &parts, not_after)?;
        for (sequence, part) in sequences.into_iter().zip(&parts) {
            self.queue.parts.push((sequence, tarefa_ledger::blake2b(part), not_after.0));
        }
        tracing::debug!(task = %letter.task, kind = letter.body.kind(), parts = parts.len(), "message out");
        Ok(())
    }

    /// Announces an open letter to everyone, again and again until `not_after` or the next announcement.
    pub fn announce(&mut self, tag: Tag, letter: &Letter, not_after: LedgerSeconds) -> Result<(), StoreError> {
        let header = self.header(None, not_after);
        let packed = envelope::pack(&header, letter, self.keys.party(), None, self.entropy)?;
        let parts = parts::cut(&header, &packed, self.keys.party()).into_iter().map(Into::into).collect();
        let announcement = Announcement { tag, parts, not_after };
        self.tx.note_sent(&header.message, not_after)?;
        self.tx.set(crate::driver::ANNOUNCEMENT, &announcement)?;
        self.queue.announcement = Some(announcement);
        Ok(())
    }

    fn header(&mut self, recipient: Option<PartyId>, not_after: LedgerSeconds) -> Header {
        Header {
            ledger: self.ledger,
            sender: self.keys.party_id(),
            recipient,
            message: MessageId(self.entropy.bytes()),
            not_after,
        }
    }

    /// Orders a payment; one per name, for ever.
    pub fn pay(&mut self, order: NewOrder) {
        self.queue.wallet.push(WalletCommand::Order(order));
    }

    /// Takes a payment back.
    pub fn give_up(&mut self, name: &str) {
        self.queue.wallet.push(WalletCommand::GiveUp(name.to_owned()));
    }

    /// Keeps what arrives at an own address unspent.
    pub fn watch(&mut self, index: u32) {
        self.queue.wallet.push(WalletCommand::Watch(index));
    }

    /// Frees what arrived at an own address.
    pub fn unwatch(&mut self, address: &Address) -> Result<(), StoreError> {
        if let Some(index) = self.tx.index_of_address(&address.0)? {
            self.queue.wallet.push(WalletCommand::Unwatch(index));
        }
        Ok(())
    }

    /// Runs a guest after the commit, at most once.
    pub fn run_once(&mut self, guest: &RunGuest) -> Result<(), StoreError> {
        let row = self.tx.add_once(&guest.task, guest)?;
        self.queue.once.push(row);
        Ok(())
    }

    /// Ends the guest of this task after the commit, if it runs.
    pub fn stop(&mut self, task: TaskId) {
        self.queue.stops.push(task);
    }

    /// Records something a user may want to see.
    pub fn event<T: Serialize>(&mut self, task: &TaskId, event: &T) -> Result<(), StoreError> {
        let json = serde_json::to_string(event).map_err(|error| StoreError::Rule(error.to_string()))?;
        let row = self.tx.add_event(task, self.now.time, json)?;
        self.queue.events.push(row);
        Ok(())
    }
}
