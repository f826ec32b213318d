//! The client's place at the hub: a session, the poll of the mailbox, the stream.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde_json::Value;
use tarefa_channel::eip712::Domain;
use tarefa_channel::sign::Signer as _;
use tarefa_channel::{ChannelId, Time, TokenId};
use tarefa_hub::{Login, Receipt};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use super::Input;
use crate::keys::Keys;
use crate::link::{Lines, Link, LinkFault, Session};

/// How long before a hub that did not answer is asked again.
const REST: Duration = Duration::from_millis(500);

/// A place at the hub. Clones share it.
#[derive(Clone)]
pub struct Desk {
    link: Link,
    key: Arc<Keys>,
    domain: Domain,
    channel: ChannelId,
    session: Arc<Mutex<Option<Session>>>,
}

impl Desk {
    /// A session: the one that runs, or a new one.
    pub async fn session(&self) -> Result<Session, LinkFault> {
        let mut kept = self.session.lock().await;
        if let Some(session) = &*kept {
            return Ok(session.clone());
        }
        let at = Time(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()));
        let signature = self.key.sign(Login::digest(&self.domain, self.channel, at));
        let session = self.link.login(&Login { channel: self.channel, at, signature }).await?;
        *kept = Some(session.clone());
        Ok(session)
    }

    /// A session that the hub does not know any more is given up.
    pub async fn forget(&self, fault: &LinkFault) {
        if matches!(fault, LinkFault::Refused { status: 401, .. }) {
            *self.session.lock().await = None;
        }
    }

    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The receipt of a token, as the hub shows it.
    pub async fn receipt(&self, token: TokenId) -> Result<Receipt, LinkFault> {
        let session = self.session().await?;
        let shown = self.link.receipt(&session, token).await;
        if let Err(fault) = &shown {
            self.forget(fault).await;
        }
        shown
    }

    /// Says something to another client.
    pub async fn say(&self, to: ChannelId, body: &Value) -> Result<(), LinkFault> {
        let session = self.session().await?;
        let said = self.link.say(&session, to, body).await;
        if let Err(fault) = &said {
            self.forget(fault).await;
        }
        said
    }
}

/// A seat with its two readers; they end with it.
pub struct Seat {
    pub desk: Desk,
    readers: [JoinHandle<()>; 2],
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.readers.iter().for_each(JoinHandle::abort);
    }
}

impl Seat {
    /// Takes a seat for a channel.
    pub(super) fn new(
        link: Link,
        key: Arc<Keys>,
        domain: Domain,
        channel: ChannelId,
        tell: &mpsc::Sender<Input>,
    ) -> Self {
        let desk = Desk { link, key, domain, channel, session: Arc::default() };
        let readers =
            [tokio::spawn(poll(desk.clone(), tell.clone())), tokio::spawn(listen(desk.clone(), tell.clone()))];
        Self { desk, readers }
    }

    /// The channel it is for.
    pub fn channel(&self) -> ChannelId {
        self.desk.channel
    }
}

async fn poll(desk: Desk, tell: mpsc::Sender<Input>) {
    let mut seated = false;
    while !tell.is_closed() {
        let lines = match desk.session().await {
            Ok(session) => {
                if !std::mem::replace(&mut seated, true) && tell.send(Input::Seated).await.is_err() {
                    return;
                }
                desk.link.follow(&session).await
            }
            Err(fault) => Err(fault),
        };
        pass_on(lines, &desk, &tell, Input::Mailbox).await;
        desk.link.turn();
        tokio::time::sleep(REST).await;
    }
}

async fn listen(desk: Desk, tell: mpsc::Sender<Input>) {
    while !tell.is_closed() {
        let lines = match desk.session().await {
            Ok(session) => desk.link.listen(&session).await,
            Err(fault) => Err(fault),
        };
        pass_on(lines, &desk, &tell, Input::Word).await;
        tokio::time::sleep(REST).await;
    }
}

/// Tells the loop what the hub says, until it says no more.
async fn pass_on<T: DeserializeOwned>(
    lines: Result<Lines, LinkFault>,
    desk: &Desk,
    tell: &mpsc::Sender<Input>,
    input: fn(T) -> Input,
) {
    match lines {
        Ok(mut lines) => {
            while let Some(said) = lines.next().await {
                if tell.send(input(said)).await.is_err() {
                    return;
                }
            }
        }
        Err(fault) => desk.forget(&fault).await,
    }
}
