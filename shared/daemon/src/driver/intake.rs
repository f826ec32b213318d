//! What a milestone brings for us: parts of messages, references to our own posts.

use iota_sdk::types::block::payload::Payload;
use tarefa_ledger::blake2b;
use tarefa_ledger::confirmed::Confirmed;
use tarefa_protocol::envelope;
use tarefa_protocol::parts::{self, Admission, Part};
use tarefa_protocol::{PartyId, Tag};

use super::{Driver, guard};
use crate::desk::Desk;
use crate::role::Role;
use crate::store::{Incoming, StoreError};

/// Sorted out before the transaction: signatures are checked already.
pub(super) struct Intake {
    parts: Vec<Part>,
    referenced: Vec<u64>,
    wallet: bool,
}

impl<R: Role> Driver<R> {
    /// Looks at every block of the cone once. Blocks that are not ours are foreign, not errors.
    pub(super) fn sort_out(&mut self, confirmed: &Confirmed) -> Result<Intake, StoreError> {
        let own = self.keys.party_id();
        let mut intake = Intake { parts: vec![], referenced: vec![], wallet: false };
        for (_, block) in &confirmed.blocks {
            let Some(Payload::TaggedData(data)) = block.payload() else { continue };
            let Some(tag) = Tag::from_wire(data.tag()) else { continue };
            if let Some(sequence) = self.parts.referenced(&blake2b(data.data())) {
                intake.referenced.push(sequence);
                continue;
            }
            let ours = self.tags.contains(&tag);
            if !ours && !names(data.data(), &own) {
                continue;
            }
            match parts::read(data.data(), &self.ledger.id, self.now.time) {
                Ok(part) if part.header.sender == own => self.check_own(&part, confirmed.index)?,
                Ok(part) if ours => intake.parts.push(part),
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, milestone = confirmed.index, "a foreign or forged part"),
            }
        }
        intake.wallet = self.store.read(|tx| {
            // A failing look-up counts as a hit: the commit looks again, and fails if it must.
            let index = |hash: &[u8; 32]| tx.index_of_address(hash).unwrap_or(Some(0));
            self.wallet.is_concerned(confirmed, &index)
        });
        Ok(intake)
    }

    /// A message signed with our key that this store did not send: somebody else has the key.
    fn check_own(&self, part: &Part, milestone: u32) -> Result<(), StoreError> {
        let known = self.store.read(|tx| tx.was_sent(&part.header.message))?;
        if known || milestone <= self.cursor.born { Ok(()) } else { Err(StoreError::SecondInstance) }
    }
}

/// Whether our party id stands somewhere in these bytes: cheaper than decoding every foreign part.
fn names(data: &[u8], party: &PartyId) -> bool {
    data.len() >= 512 && data[..512].windows(32).any(|window| window == party.0)
        || data.len() < 512 && data.windows(32).any(|window| window == party.0)
}

impl Intake {
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.referenced.is_empty() && !self.wallet
    }

    /// Stores and acts, inside the transaction.
    pub(super) fn take_in<R: Role>(
        self,
        role: &mut R,
        desk: &mut Desk<'_>,
        confirmed: &Confirmed,
    ) -> Result<(), StoreError> {
        for sequence in self.referenced {
            if let Some((task, 0)) = desk.tx.part_done(sequence)? {
                guard::guarded(role, desk, "a delivery", |role, desk| role.delivered(desk, task))?;
            }
        }
        for part in self.parts {
            take_part(role, desk, part, confirmed.index)?;
        }
        Ok(())
    }
}

fn take_part<R: Role>(role: &mut R, desk: &mut Desk<'_>, part: Part, milestone: u32) -> Result<(), StoreError> {
    let sender = part.header.sender;
    loop {
        let mut room = desk.tx.room(&sender)?;
        if part.total == 1 {
            // A message of one part is handled at once and takes no room.
            (room.total, room.of_sender) = (0, 0);
        }
        match parts::admit(part.chunk.0.len(), room) {
            Admission::Keep => break,
            Admission::Drop => {
                tracing::warn!(%sender, "a sender holds too many unfinished messages: part dropped");
                return Ok(());
            }
            Admission::Evict => match desk.tx.evict_largest(room.known)? {
                Some(evicted) => tracing::warn!(%evicted, "unfinished messages evicted"),
                None => return Ok(()),
            },
        }
    }
    let Incoming::Whole(wire) = desk.tx.part_in(&part)? else { return Ok(()) };
    if let Some(error) = guard::attempt(role, desk, |role, desk| open(role, desk, &part, &wire))? {
        tracing::warn!(%sender, message = %part.header.message, %error, "a message cannot be handled: quarantined");
        desk.tx.quarantine(milestone, &sender, &part.header.message, &error.to_string())?;
    }
    desk.tx.acted_on(&sender, &part.header.message, part.header.not_after)
}

fn open<R: Role>(role: &mut R, desk: &mut Desk<'_>, part: &Part, wire: &[u8]) -> Result<(), StoreError> {
    let mut failed = None;
    let find = |public: &_| match desk.tx.sealing(public) {
        Ok(secret) => secret,
        Err(error) => {
            failed = Some(error);
            None
        }
    };
    let letter = envelope::open(&part.header, wire, find);
    if let Some(error) = failed {
        return Err(error);
    }
    let letter = letter?;
    tracing::debug!(task = %letter.task, kind = letter.body.kind(), from = %part.header.sender, "message in");
    role.opened(desk, &part.header, letter)
}
