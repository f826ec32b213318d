//! Keys of one party, all from one mnemonic: payment addresses and the party key (`market.md`, Parties).

use crypto::keys::bip39::{self, Mnemonic, MnemonicRef, Passphrase, wordlist};
use crypto::keys::bip44::Bip44;
use crypto::keys::slip10::{Seed, Slip10};
use crypto::signatures::ed25519;
use ed25519_dalek::{Signer as _, SigningKey};
use tarefa_ledger::address_of;
use tarefa_ledger::build::Signer;
use tarefa_protocol::PartyId;
use zeroize::Zeroizing;

/// SLIP-44 coin type of IOTA.
const COIN: u32 = 4218;
/// BIP-44 "change" segment of payment addresses.
const PAYMENT_BRANCH: u32 = 0;
/// A segment no wallet uses for addresses: the party key lives below it.
const PARTY_BRANCH: u32 = 1_000;
/// Account of the party key: the same in every store of one mnemonic, unlike that of the addresses.
const PARTY_ACCOUNT: u32 = 0;

/// A mnemonic that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the mnemonic is not valid: {0}. It has 24 English words of the BIP-39 list")]
pub struct MnemonicError(String);

/// The keys of a party.
pub struct Keys {
    seed: Seed,
    account: u32,
    party: SigningKey,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("party", &self.party_id()).finish_non_exhaustive()
    }
}

/// A new mnemonic from 256 bits of entropy.
pub fn new_mnemonic(entropy: &[u8; 32]) -> Zeroizing<String> {
    let words = wordlist::encode(entropy, &wordlist::ENGLISH).expect("256 bits make a mnemonic");
    Zeroizing::new(words.as_ref().to_owned())
}

impl Keys {
    /// Keys of this mnemonic; `account` separates the addresses of one store from those of another.
    pub fn from_mnemonic(words: &str, account: u32) -> Result<Self, MnemonicError> {
        let mnemonic = Mnemonic::from(words.trim());
        let reference: &MnemonicRef = &mnemonic;
        wordlist::verify(reference, &wordlist::ENGLISH).map_err(|error| MnemonicError(format!("{error:?}")))?;
        let seed = Seed::from(bip39::mnemonic_to_seed(reference, &Passphrase::new()));
        let party = derive(&seed, PARTY_ACCOUNT, PARTY_BRANCH, 0);
        Ok(Self { seed, account, party })
    }

    /// Signs messages.
    pub fn party(&self) -> &SigningKey {
        &self.party
    }

    /// Its public half: who we are.
    pub fn party_id(&self) -> PartyId {
        PartyId(self.party.verifying_key().to_bytes())
    }

    /// The address of this index.
    pub fn address(&self, index: u32) -> [u8; 32] {
        address_of(&self.payment_key(index).verifying_key().to_bytes())
    }

    fn payment_key(&self, index: u32) -> SigningKey {
        derive(&self.seed, self.account, PAYMENT_BRANCH, index)
    }
}

impl Signer for Keys {
    fn sign(&self, index: u32, message: &[u8]) -> ([u8; 32], [u8; 64]) {
        let key = self.payment_key(index);
        (key.verifying_key().to_bytes(), key.sign(message).to_bytes())
    }
}

fn derive(seed: &Seed, account: u32, branch: u32, index: u32) -> SigningKey {
    let path = Bip44::new(COIN).with_account(account).with_change(branch).with_address_index(index);
    let key: Slip10<ed25519::SecretKey> = path.derive_from_seed(seed);
    SigningKey::from_bytes(&key.secret_key().to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published test wallet of the official private Tangle owns genesis output 0x02 of the recorded ledger.
    const PUBLISHED: &str = "giant dynamic museum toddler six deny defense ostrich bomb access mercy blood \
                             explain muscle shoot shallow glad autumn author calm heavy hawk abuse rally";

    #[test]
    fn addresses_are_those_of_other_wallets() {
        let keys = Keys::from_mnemonic(PUBLISHED, 0).expect("valid");
        let expected = "60200bad8137a704216e84f8f9acfe65b972d9f4155becb4815282b03cef99fe";
        assert_eq!(hex::encode(keys.address(0)), expected);
    }

    #[test]
    fn accounts_share_the_party_and_no_address() {
        let one = Keys::from_mnemonic(PUBLISHED, 1).expect("valid");
        let two = Keys::from_mnemonic(PUBLISHED, 2).expect("valid");
        assert_eq!(one.party_id(), two.party_id());
        assert_ne!(one.address(0), two.address(0));
        assert!(!format!("{one:?}").contains("seed"));
    }

    #[test]
    fn a_new_mnemonic_has_24_words_and_works() {
        let words = new_mnemonic(&[7; 32]);
        assert_eq!(words.split(' ').count(), 24);
        Keys::from_mnemonic(&words, 0).expect("valid");
    }

    #[test]
    fn a_wrong_word_is_refused() {
        let error = Keys::from_mnemonic("abandon abandon zebra", 0).expect_err("too short");
        assert!(error.to_string().contains("24 English words"), "{error}");
    }
}
