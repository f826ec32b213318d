//! Why a client does not do something.

use tarefa_chain::{BadKey, RpcFault, SendFault, WatchError};
use tarefa_channel::client::ClientError;
use tarefa_hub::store::StoreError;

use crate::link::LinkFault;

/// Why a client does not do something. Nothing is lost by it.
#[derive(Debug, thiserror::Error)]
pub enum ClientFault {
    /// The protocol.
    #[error(transparent)]
    Channel(#[from] ClientError),
    /// Its store: then nothing was sent.
    #[error("the channel's store: {0}")]
    Store(#[from] rusqlite::Error),
    /// A row that does not read as what it is.
    #[error("the channel's store: {0}")]
    Row(String),
    /// The hub.
    #[error(transparent)]
    Hub(#[from] LinkFault),
    /// The chain's node.
    #[error(transparent)]
    Rpc(#[from] RpcFault),
    /// The chain, as far as it is watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// A call to the contract.
    #[error(transparent)]
    Send(#[from] SendFault),
    /// No key.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// A file.
    #[error("{path}: {why}")]
    File {
        /// Which.
        path: String,
        /// What the system says.
        why: String,
    },
    /// What was asked for does not fit.
    #[error("{0}")]
    Asked(String),
    /// It takes longer than whoever asks waits.
    #[error("it takes longer than this request waits; it goes on, ask for `status`")]
    Late,
    /// The daemon ends.
    #[error("the channel's daemon ends")]
    Closed,
}

impl ClientFault {
    /// Something that was asked for and does not fit.
    pub(crate) fn asked(words: impl Into<String>) -> Self {
        Self::Asked(words.into())
    }
}

impl From<StoreError> for ClientFault {
    fn from(fault: StoreError) -> Self {
        Self::Row(fault.to_string())
    }
}
