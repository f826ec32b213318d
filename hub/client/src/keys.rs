//! The client's key, and the signatures it has checked last.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

use alloy_primitives::Address;
use tarefa_chain::{BadKey, Key};
use tarefa_channel::id::Digest;
use tarefa_channel::sign::{Recover, Signature, Signer};

/// Signatures that are remembered: of the states and batches that a few mailboxes are of.
const REMEMBERED: usize = 32;

/// Who signed what, the newest last.
type Checked = VecDeque<((Digest, Signature), Option<Address>)>;

/// A key that remembers who signed what: one word of the hub is for many tokens, and so is one state of a payee.
#[derive(Debug)]
pub struct Keys {
    key: Key,
    checked: Mutex<Checked>,
}

impl Keys {
    /// The key with these bytes.
    ///
    /// # Errors
    /// Where they are none.
    pub fn new(bytes: [u8; 32]) -> Result<Self, BadKey> {
        Ok(Self { key: Key::new(bytes)?, checked: Mutex::default() })
    }
}

impl Deref for Keys {
    type Target = Key;

    fn deref(&self) -> &Key {
        &self.key
    }
}

impl Signer for Keys {
    fn address(&self) -> Address {
        self.key.address()
    }

    fn sign(&self, digest: Digest) -> Signature {
        self.key.sign(digest)
    }
}

impl Recover for Keys {
    fn recover(&self, digest: Digest, signature: &Signature) -> Option<Address> {
        let asked = (digest, *signature);
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, signer)) = checked.iter().rev().find(|(known, _)| *known == asked) {
            return *signer;
        }
        let signer = self.key.recover(digest, signature);
        if checked.len() >= REMEMBERED {
            checked.pop_front();
        }
        checked.push_back((asked, signer));
        signer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;

    #[test]
    fn a_signature_that_was_checked_before_is_by_the_same_as_then_and_only_of_what_was_signed() {
        let keys = Keys::new([7; 32]).expect("a key");
        let digest = |n: usize| Digest(B256::with_last_byte(u8::try_from(n).expect("small")));
        let all: Vec<_> = (0..2 * REMEMBERED).map(|n| (digest(n), keys.sign(digest(n)))).collect();
        for _ in 0..2 {
            for (n, (digest, signature)) in all.iter().enumerate() {
                let other = all[(n + 1) % all.len()].0;
                for _ in 0..2 {
                    assert_eq!(keys.recover(*digest, signature), Some(keys.address()));
                    assert_ne!(keys.recover(other, signature), Some(keys.address()));
                    assert_eq!(keys.recover(*digest, &Signature([0xff; 64])), None);
                }
            }
        }
        assert_eq!(keys.checked.lock().expect("nobody has panicked").len(), REMEMBERED);
    }
}
