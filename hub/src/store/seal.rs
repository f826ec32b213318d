//! One signature for all that a transaction has decided: the hub signs the root of a batch (`Batch` of the protocol), and each answer carries
//! its way to it.

use std::sync::{Arc, OnceLock};

use tarefa_channel::eip712::Domain;
use tarefa_channel::hub::Answer;
use tarefa_channel::id::Digest;
use tarefa_channel::limits::BATCH_DEPTH;
use tarefa_channel::message::{Batch, Message as _};
use tarefa_channel::sign::{HubSignature, Signer};
use tarefa_channel::tree::Batches;
use tarefa_channel::{ChannelId, Seq};

use super::StoreError;

/// Who signs for the hub.
pub type HubKey = Arc<dyn Signer + Send + Sync>;

/// An answer that is there once its transaction has ended.
#[derive(Clone, Debug, Default)]
pub struct Sealed {
    answer: Arc<OnceLock<Answer>>,
    again: bool,
}

impl Sealed {
    /// An answer that was given before: it needs no signature.
    pub fn again(answer: Answer) -> Self {
        Self { answer: Arc::new(OnceLock::from(answer)), again: true }
    }

    /// Whether it was given before, then maybe with the signature of another key.
    pub fn is_again(&self) -> bool {
        self.again
    }

    /// The answer.
    ///
    /// # Errors
    /// Before the transaction that decided it has ended.
    pub fn open(&self) -> Result<Answer, StoreError> {
        self.answer.get().cloned().ok_or(StoreError::Closed)
    }
}

/// What was decided and is still to be signed.
pub struct Unsigned {
    /// Whose state it is.
    pub channel: ChannelId,
    /// Its number.
    pub seq: Seq,
    pub answer: Answer,
    pub digests: Vec<Digest>,
    pub key: HubKey,
    pub domain: Domain,
    pub sealed: Sealed,
}

/// Signs all of it; what comes of each is told.
pub fn seal(all: Vec<Unsigned>, mut tell: impl FnMut(ChannelId, Seq, &Answer)) {
    let mut left = all.into_iter().peekable();
    while let Some(first) = left.next() {
        let mut batch = vec![first];
        let mut digests = batch[0].digests.clone();
        // As many as one proof reaches, of one key and one contract: in a hub there is no other.
        while let Some(next) = left.next_if(|next| {
            digests.len() + next.digests.len() <= 1 << BATCH_DEPTH
                && next.key.address() == batch[0].key.address()
                && next.domain == batch[0].domain
        }) {
            digests.extend_from_slice(&next.digests);
            batch.push(next);
        }
        let tree =
            Batches::new(&digests).expect("each has 1 to 64 digests, all together not more than a proof reaches");
        let signature = batch[0].key.sign(Batch { root: tree.root() }.digest(&batch[0].domain));
        let mut begin = 0;
        for Unsigned { channel, seq, mut answer, digests, sealed, .. } in batch {
            answer.sign(|place| HubSignature { signature, proof: tree.proof(begin + place) });
            begin += digests.len();
            tell(channel, seq, &answer);
            // Nobody else has this end of it.
            sealed.answer.set(answer).ok();
        }
    }
}
