//! Mailboxes: what waits for clients, and how those who wait for it hear that something has come.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use tarefa_channel::contract::HubWord;
use tarefa_channel::message::{self, Grant, Token};
use tarefa_channel::sign::{HubSignature, Signature};
use tarefa_channel::{ChannelId, TokenId, limits};
use tokio::sync::watch;

/// Bells beyond which those that nobody hears are taken down: half a kB each.
const BELLS: usize = 16_384;

/// A payment that has arrived, as its payer gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The token.
    pub token: TokenId,
    /// The payee's state, opened.
    pub receipt: message::Receipt,
    /// The payee's signature of it.
    pub signature: Signature,
    /// The hub's word on it.
    pub hub: HubWord,
    /// What met the condition; zero where there was none.
    pub preimage: B256,
    /// METERED: the voucher it was attached with, for a payer that has lost count.
    pub voucher: Option<(message::Voucher, Signature)>,
}

/// What a state of a payee did with tokens of one payer: the state comes once, however many there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipts {
    /// The tokens.
    pub tokens: Vec<Shown>,
    /// The payee's state, opened.
    pub receipt: message::Receipt,
    /// The payee's signature of it.
    pub signature: Signature,
    /// The hub's word on it.
    pub hub: HubWord,
}

/// What is shown of one token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// The token.
    pub token: TokenId,
    /// What met the condition; zero where there was none.
    pub preimage: B256,
    /// METERED: the voucher it was attached with.
    pub voucher: Option<(message::Voucher, Signature)>,
}

impl Receipts {
    /// The receipt of one of them by itself.
    #[must_use]
    pub fn of(&self, &Shown { token, preimage, voucher }: &Shown) -> Receipt {
        let (receipt, signature, hub) = (self.receipt.clone(), self.signature, self.hub.clone());
        Receipt { token, receipt, signature, hub, preimage, voucher }
    }

    /// Whether a state can have done that: its operations are as many as it may have, and of each token there is one.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.receipt.ops.len() <= limits::OPS && self.tokens.len() <= self.receipt.ops.len()
    }
}

/// A token on its way to its payee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promise {
    /// The token.
    pub token: Token,
    /// The hub's promise of it.
    pub grant: Grant,
    /// The signature of the promise.
    pub hub: HubSignature,
}

/// Something in a client's mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Letter {
    /// For a payee: a token and the hub's promise.
    Token(Box<Promise>),
    /// For a payer: what it paid for has arrived.
    Receipts(Box<Receipts>),
    /// For a payer: the payee has given tokens up, which can be refunded.
    Declined(Box<Receipts>),
}

/// All that waits for a client, and a word for just that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    /// What the next poll has seen.
    pub at: B256,
    /// What waits.
    pub letters: Vec<Letter>,
}

/// Ring when a letter has come: one for each channel that somebody waits for.
pub struct Bells {
    /// Which of all hubs these are of, and since when.
    of: [u8; 8],
    /// Others fill the mailboxes too, without ringing here.
    is_shared: bool,
    hung: Mutex<Hung>,
}

struct Hung {
    bells: HashMap<ChannelId, watch::Sender<u64>>,
    /// How often any has rung or was hung: what one says is said once.
    count: u64,
    /// So many, and those that nobody hears are taken down.
    most: usize,
}

impl Hung {
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}

impl Bells {
    /// Bells that nobody confuses with others: `fresh` is random.
    pub fn new(fresh: [u8; 32], is_shared: bool) -> Self {
        // A hash, for the bytes themselves may have become a secret.
        let of =
            alloy_primitives::keccak256([b"bells".as_slice(), &fresh].concat())[..8].try_into().expect("8 of 32 bytes");
        Self { of, is_shared, hung: Mutex::new(Hung { bells: HashMap::new(), count: 0, most: BELLS }) }
    }

    fn hung(&self) -> MutexGuard<'_, Hung> {
        self.hung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A letter for a channel's client has come.
    pub fn ring(&self, channel: ChannelId) {
        let mut hung = self.hung();
        let count = hung.next();
        if let Some(bell) = hung.bells.get(&channel) {
            if bell.receiver_count() > 0 {
                bell.send_replace(count);
            } else {
                // Whoever comes next gets a new one, which says something else.
                hung.bells.remove(&channel);
            }
        }
    }

    /// What a channel's bell says, and when it says something else.
    pub fn hear(&self, channel: ChannelId) -> watch::Receiver<u64> {
        let mut hung = self.hung();
        if hung.bells.len() >= hung.most {
            hung.bells.retain(|_, bell| bell.receiver_count() > 0);
            // Where all of them are heard, looking for others each time would take long.
            hung.most = BELLS.max(2 * hung.bells.len());
        }
        let count = hung.next();
        hung.bells.entry(channel).or_insert_with(|| watch::Sender::new(count)).subscribe()
    }

    /// A word for a mailbox: whose bells, what its own said before it was looked into, which letters.
    pub fn mark(&self, rung: u64, letters: B256) -> B256 {
        let mut word = letters;
        word[..8].copy_from_slice(&self.of);
        word[8..16].copy_from_slice(&rung.to_be_bytes());
        word
    }

    /// Whether nothing has come since a mailbox was what this word says.
    pub fn is_newest(&self, word: B256, rung: u64) -> bool {
        !self.is_shared && word[..8] == self.of && word[8..16] == rung.to_be_bytes()
    }

    /// Whether two words are for the same letters, at whatever hub.
    pub fn are_same(one: B256, other: B256) -> bool {
        one[16..] == other[16..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_state_can_have_done_is_no_letter() {
        let letter = |tokens: usize, ops: usize| {
            let op = message::Op::of(message::OpKind::Attach, tarefa_channel::Amount::ZERO);
            let (channel, seq, balances) = (ChannelId(B256::ZERO), tarefa_channel::Seq::ZERO, B256::ZERO);
            let receipt = message::Receipt { channel, seq, last: false, balances, ops: vec![op; ops] };
            let shown = Shown { token: TokenId(B256::ZERO), preimage: B256::ZERO, voucher: None };
            let signature = Signature([0; 64]);
            let hub = HubWord::State(HubSignature { signature, proof: vec![] });
            Receipts { tokens: vec![shown; tokens], receipt, signature, hub }
        };
        assert!(letter(64, 64).is_possible() && letter(1, 64).is_possible());
        assert!(!letter(65, 65).is_possible(), "no state has so many operations");
        assert!(!letter(3, 2).is_possible(), "each token needs one");
    }

    #[test]
    fn a_bell_rings_for_its_channel_alone_and_never_says_the_same_again() {
        let bells = Bells::new([1; 32], false);
        let [one, other] = [1, 2].map(|byte| ChannelId(B256::repeat_byte(byte)));
        let (mut heard, neighbour) = (bells.hear(one), bells.hear(other));
        let before = *heard.borrow_and_update();
        bells.ring(one);
        assert!(heard.has_changed().expect("it hangs") && !neighbour.has_changed().expect("it hangs"));
        let word = bells.mark(*heard.borrow_and_update(), B256::repeat_byte(9));
        assert!(bells.is_newest(word, *bells.hear(one).borrow()), "nothing has come since");
        assert!(!bells.is_newest(word, before));
        // Nobody listens while the next letter comes.
        drop(heard);
        bells.ring(one);
        assert!(!bells.is_newest(word, *bells.hear(one).borrow()));
    }

    #[test]
    fn bells_that_nobody_hears_are_taken_down() {
        let bells = Bells::new([1; 32], false);
        let channel = |number: usize| ChannelId(B256::left_padding_from(&number.to_be_bytes()));
        let kept: Vec<_> = (0..10).map(|number| bells.hear(channel(number))).collect();
        (10..BELLS).for_each(|number| drop(bells.hear(channel(number))));
        assert_eq!(bells.hung().bells.len(), BELLS);
        drop(bells.hear(channel(BELLS)));
        assert_eq!(bells.hung().bells.len(), kept.len() + 1);
    }
}
