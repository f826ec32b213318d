//! Sessions: one signed login, then a word that only hubs with the same secret can have given. A poll costs no signature.

use alloy_primitives::{B256, hex, keccak256};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tarefa_channel::eip712::{Domain, Words};
use tarefa_channel::id::Digest;
use tarefa_channel::sign::Signature;
use tarefa_channel::{ChannelId, Time};

/// Seconds that a session lasts: long against a poll, short against a stolen laptop.
pub const SESSION: u64 = 3600;

/// Seconds that a login may be old or ahead: clocks differ, and a login that somebody has recorded is soon worth nothing.
const SKEW: u64 = 60;

/// A client says that it is the one of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Login {
    /// Its channel.
    pub channel: ChannelId,
    /// When, by its clock.
    pub at: Time,
    /// The client's signature of `Login(bytes32 channel,uint40 at)`.
    pub signature: Signature,
}

impl Login {
    /// What the client signs.
    #[must_use]
    pub fn digest(domain: &Domain, channel: ChannelId, at: Time) -> Digest {
        let words = &mut Words::of(keccak256("Login(bytes32 channel,uint40 at)"));
        domain.digest(words.word(channel).time(at).hash())
    }

    /// Whether it is of now.
    #[must_use]
    pub fn is_recent(&self, now: Time) -> bool {
        self.at <= now.after(SKEW) && now <= self.at.after(SKEW)
    }
}

/// What makes and knows sessions.
#[derive(Clone)]
pub struct Sessions {
    secret: [u8; 32],
}

impl Sessions {
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    fn mac(&self, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("any length is a key");
        mac.update(body);
        mac
    }

    /// The word of a session that begins now.
    pub fn begin(&self, channel: ChannelId, now: Time) -> String {
        let until = now.after(SESSION).0.to_be_bytes();
        let body = [channel.as_slice(), &until].concat();
        let mac = self.mac(&body).finalize().into_bytes();
        hex::encode([body.as_slice(), &mac].concat())
    }

    /// Whose session a word is of; none where it is none, or over.
    pub fn channel(&self, word: &str, now: Time) -> Option<ChannelId> {
        let bytes: [u8; 72] = hex::decode(word).ok()?.try_into().ok()?;
        let (body, mac) = bytes.split_at(40);
        self.mac(body).verify_slice(mac).ok()?;
        let until = u64::from_be_bytes(body[32..].try_into().ok()?);
        (now.0 < until).then(|| ChannelId(B256::from_slice(&body[..32])))
    }
}
