//! What a client notes elsewhere of its newest state: a hub that hides it from a client that has lost its store is found out (1.26).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tarefa_channel::client::Client;
use tarefa_channel::{B256, Seq, StateHash};

use crate::fault::ClientFault;

/// The newest doubly-signed state of a channel, by number and hash: `seq:0x…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Its number.
    pub seq: Seq,
    /// `hashStruct(State)`.
    pub state: StateHash,
}

impl Anchor {
    /// Of a channel as it stands; none while there is no state.
    #[must_use]
    pub fn of(client: &Client) -> Option<Self> {
        client.newest.as_ref().map(|state| Self { seq: state.seq, state: state.hash() })
    }

    /// Whether a channel stands at this state, or at a later one.
    #[must_use]
    pub fn is_reached_by(&self, client: &Client) -> bool {
        Self::of(client).is_some_and(|newest| newest.seq > self.seq || newest == *self)
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq.get(), self.state)
    }
}

impl FromStr for Anchor {
    type Err = ClientFault;

    fn from_str(text: &str) -> Result<Self, ClientFault> {
        let parts = text.split_once(':').and_then(|(seq, state)| {
            Some(Self { seq: Seq::new(seq.parse().ok()?)?, state: StateHash(state.parse::<B256>().ok()?) })
        });
        parts.ok_or_else(|| {
            ClientFault::asked(format!(
                "{text:?} notes no state: give what `channel status` says as `anchor`, like 7:0x…"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_is_read_as_it_is_shown_and_nothing_else_is() {
        let anchor = Anchor { seq: Seq::new(7).expect("small"), state: StateHash(B256::repeat_byte(0xab)) };
        assert_eq!(anchor.to_string().parse::<Anchor>().expect("an anchor"), anchor);
        for wrong in ["", "7", "7:", ":0xab", "7:0xab", "281474976710656:0x00", "x:0x00"] {
            let error = wrong.parse::<Anchor>().expect_err(wrong).to_string();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
    }
}
