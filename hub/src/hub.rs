//! What a hub answers. Replicas are alike: everything that lasts is in the store.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};
use tarefa_chain::{Head, Key, View};
use tarefa_channel::chain::{Chain as _, Ctx};
use tarefa_channel::contract::{HubWord, Owner, Signed, Status};
use tarefa_channel::eip712::Domain;
use tarefa_channel::hub::{Answer, HubToken, Invoice, Proposal, Refusal, Stage, renewed, renewed_promise};
use tarefa_channel::message::{self, Batch, ChannelOffer, Message as _};
use tarefa_channel::rules::Every;
use tarefa_channel::sign::{HubSignature, Recover as _, Signer as _};
use tarefa_channel::terms::Terms;
use tarefa_channel::{Amount, ChannelId, Time, TokenId};

use tokio::sync::oneshot;

use crate::held::Held;
use crate::mailbox::{Bells, Letter, Mailbox, Promise, Receipt, Receipts, Shown};
use crate::metrics::Metrics;
use crate::relay::Relay;
use crate::session::{Login, Sessions};
use crate::store::{Book, HubKey, Sealed, Store, StoreError};
use crate::timed::Timed;
use crate::words::Words;

/// Longest time that a poll waits: below what proxies cut.
pub const LONGEST_POLL: Duration = Duration::from_secs(25);

/// How often a poll looks into a store that other replicas write to.
const SHARED_POLL: Duration = Duration::from_millis(250);

/// The longest life of an invoice, seconds: a month.
const INVOICE: u64 = 30 * 86_400;

/// Seconds that an offer holds: a signature, a transaction, and a busy chain.
const OFFER: u64 = 900;

/// Where a hub's contract is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The contract.
    pub contract: Address,
    /// A block before it was deployed: what there is to read of it begins after.
    pub from: Head,
    /// The hub's terms.
    pub terms: Terms,
}

/// What the hub puts into channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// At most this much collateral for a new channel.
    pub collateral: Amount,
    /// What opening a channel costs its client: at least the gas of a close.
    pub opening_fee: Amount,
}

/// What a client asks to open a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Opening {
    /// Who.
    pub client: Address,
    /// In what; zero for the native asset.
    pub asset: Address,
    /// The collateral it would like.
    pub collateral: Amount,
}

/// Where a channel stands, for a client that has lost its store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// The newest doubly-signed state; none for the implicit one.
    pub newest: Option<Signed>,
    /// Credited redemptions that it acknowledges.
    pub acknowledged: Amount,
    /// Its pending tokens.
    pub paying: Vec<HubToken>,
}

/// What is the matter with the asker or the hub.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The store: nothing was signed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The hub does not see its chain.
    #[error("the hub does not see the chain at present: try again")]
    Blind,
    /// The announcement of this process's key is not final, or its revocation is announced: no client would take what it signs (rules 12, 16).
    #[error("the key of this replica is not yet, or not any more, one of the hub's: ask another replica")]
    Key,
    /// Not who it says, or too late.
    #[error("not signed by the channel's client within the last minute: set the clock and log in again")]
    Login,
    /// The session is none, or over.
    #[error("no session, or it is over: log in")]
    Session,
    /// No such thing here.
    #[error("this hub has no such {0}")]
    Unknown(&'static str),
    /// More than anybody may ask.
    #[error("too many requests: wait a second")]
    Limited,
    /// A channel is open already.
    #[error("there is a channel of this client and asset already")]
    Open,
}

/// Why a proposal was not signed, and what the client should know then.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The newest doubly-signed state, where the proposal does not follow it.
    pub newest: Option<Signed>,
}

/// A hub, or one of its replicas.
pub struct Hub {
    store: Store,
    keys: Arc<Timed>,
    deployment: Deployment,
    policy: Policy,
    domain: Domain,
    view: RwLock<Arc<View>>,
    sessions: Sessions,
    relay: Relay,
    metrics: Metrics,
    words: Arc<Words>,
    held: Held,
    bells: Arc<Bells>,
}

impl Hub {
    /// A hub over a store, with what it sees of the chain so far. `fresh`: random bytes, which become the secret of sessions where the
    /// store has none.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn new(
        store: Store,
        key: Key,
        deployment: Deployment,
        policy: Policy,
        view: View,
        fresh: [u8; 32],
    ) -> Result<Self, StoreError> {
        let secret = store.transact(move |book| book.shared("session secret", &fresh)).await?;
        let secret = secret
            .try_into()
            .map_err(|_| StoreError::Unreadable { what: "session secret", why: "it is not of 32 bytes".to_owned() })?;
        let domain = Domain::new(deployment.chain_id, deployment.contract);
        let (view, sessions) = (RwLock::new(Arc::new(view)), Sessions::new(secret));
        let bells = Arc::new(Bells::new(fresh, store.is_shared()));
        let (relay, metrics, words, held) = (Relay::default(), Metrics::default(), Arc::default(), Held::default());
        Ok(Self {
            store,
            keys: Arc::new(Timed { key: Arc::new(key), steps: Arc::clone(&metrics.steps) }),
            deployment,
            policy,
            domain,
            view,
            sessions,
            relay,
            metrics,
            words,
            held,
            bells,
        })
    }

    /// Where the contract is, and the terms.
    #[must_use]
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Shows the hub what the chain says now.
    pub fn see(&self, view: View) {
        *self.view.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(view);
    }

    /// The key that signs, which pays for what the hub does on chain too.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.keys.key
    }

    /// The domain of everything signed.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What the hub sees of the chain.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// The stream between clients.
    #[must_use]
    pub fn relay(&self) -> &Relay {
        &self.relay
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What it counts, and how old its view is, as Prometheus reads it.
    #[must_use]
    pub fn measured(&self) -> String {
        let view = self.view();
        let age = view.head().time.until(view.own_time());
        let mut now = vec![
            ("hub_commits_total", "counter", "Commits of the store.", self.store.commits()),
            ("hub_view_age_seconds", "gauge", "Age of the newest block seen.", age),
            ("hub_view_block", "gauge", "The newest block seen.", view.head().number),
        ];
        let help = "Channels, with all their tokens to claim, that the signing key's money would enforce.";
        now.extend(self.metrics.defences().map(|channels| ("hub_defences", "gauge", help, channels)));
        self.metrics.text(&now)
    }

    /// What it sees, where something can be signed on that.
    fn signs_on(&self) -> Result<Arc<View>, Fault> {
        let view = self.counts()?;
        if view.is_fresh() { Ok(view) } else { Err(Fault::Blind) }
    }

    /// What it sees, where its key counts: what it shows has words of that key on it.
    fn counts(&self) -> Result<Arc<View>, Fault> {
        let view = self.view();
        match view.trusted(self.key().address()) {
            true => Ok(view),
            // It has seen nothing yet.
            false if !view.books().has_signers() => Err(Fault::Blind),
            false => Err(Fault::Key),
        }
    }

    /// Whether it can decide anything: its view is fresh, its key counts and its store answers.
    ///
    /// # Errors
    /// Which of them it lacks.
    pub async fn health(&self) -> Result<(), Fault> {
        self.signs_on()?;
        Ok(self.store.read(|_| Ok(())).await?)
    }

    /// `/sendPropose`.
    ///
    /// # Errors
    /// Where the store fails, the chain is not seen, or this key does not count: then no signature leaves.
    pub async fn propose(&self, proposal: Proposal) -> Result<Result<Answer, Refused>, Fault> {
        let begun = Instant::now();
        let (channel, seq) = (proposal.state.channel, proposal.state.seq);
        let (view, domain, terms, keys) =
            (self.signs_on()?, self.domain, self.deployment.terms, Arc::clone(&self.keys));
        let signer: HubKey = Arc::clone(&self.keys) as HubKey;
        let work = move |book: &Book<'_>| {
            let ctx = Ctx { chain: &*view, keys: &*keys, terms: &terms, domain: &domain, rules: Every };
            keys.steps.decide.time(|| book.decide(&proposal, &ctx, &signer))
        };
        let (bells, words) = (Arc::clone(&self.bells), Arc::clone(&self.words));
        // Whoever proposed may be gone: the others hear of it all the same. The word first: a receipt that finds it is not signed again.
        let ring = move |decided: &Result<(Sealed, Vec<ChannelId>), Refusal>| {
            if let Ok((sealed, readers)) = decided {
                if let Ok(answer) = sealed.open()
                    && !sealed.is_again()
                {
                    words.keep((channel, seq), answer.word);
                }
                readers.iter().for_each(|reader| bells.ring(*reader));
            }
        };
        let decided = self.store.transact_then(work, ring).await;
        let decided = decided.inspect_err(|_| Metrics::count(&self.metrics.failed))?;
        self.metrics.steps.answer.add(begun);
        match decided {
            Ok((sealed, _)) => {
                let answer = sealed.open()?;
                Metrics::count(&self.metrics.signed);
                Ok(Ok(answer))
            }
            Err(refusal) => {
                Metrics::count(&self.metrics.refused);
                let mut newest = None;
                if matches!(refusal, Refusal::Conflict(_)) {
                    // Not while it was decided: what came before it in the same commit was not signed yet.
                    let row = self.store.read(move |book| book.channel(channel)).await?;
                    newest = row.and_then(|row| row.newest).map(|signed| self.renewed(signed));
                }
                Ok(Err(Refused { refusal, newest }))
            }
        }
    }

    /// An offer to open a channel.
    ///
    /// # Errors
    /// Where there is one already, the hub does not see the chain, or this key does not count.
    pub fn offer(&self, asked: &Opening) -> Result<(ChannelOffer, HubSignature), Fault> {
        let view = self.signs_on()?;
        let row = view.row(Owner { client: asked.client, asset: asked.asset });
        if row.status != Status::None {
            return Err(Fault::Open);
        }
        let offer = ChannelOffer {
            client: asked.client,
            asset: asked.asset,
            epoch: row.epoch,
            hub_amount: asked.collateral.min(self.policy.collateral),
            opening_fee: self.policy.opening_fee,
            valid_until: view.now().after(OFFER),
        };
        let hub = self.sign(offer.digest(&self.domain));
        Ok((offer, hub))
    }

    fn sign(&self, digest: tarefa_channel::id::Digest) -> HubSignature {
        HubSignature { signature: self.keys.sign(Batch { root: digest.0 }.digest(&self.domain)), proof: vec![] }
    }

    /// Begins a session.
    ///
    /// # Errors
    /// Where the login is not the client's, or of another time.
    pub async fn login(&self, login: &Login, now: Time) -> Result<String, Fault> {
        let id = login.channel;
        let row = self.store.read(move |book| book.channel(id)).await?.ok_or(Fault::Unknown("channel"))?;
        let digest = Login::digest(&self.domain, id, login.at);
        if !login.is_recent(now) || self.keys.key.recover(digest, &login.signature) != Some(row.owner.client) {
            return Err(Fault::Login);
        }
        Ok(self.sessions.begin(id, now))
    }

    /// Whose session this is.
    ///
    /// # Errors
    /// Where it is none.
    pub fn session(&self, word: &str, now: Time) -> Result<ChannelId, Fault> {
        self.sessions.channel(word, now).ok_or(Fault::Session)
    }

    /// The newest doubly-signed state of a channel; none for the implicit one.
    ///
    /// # Errors
    /// Where the store fails or has no such channel.
    pub async fn newest(&self, id: ChannelId) -> Result<Standing, Fault> {
        let found = self.store.read(move |book| Ok((book.channel(id)?, book.paid_by(id)?))).await?;
        let (Some(row), mut paying) = found else { return Err(Fault::Unknown("channel")) };
        paying.retain(|token| row.position.pending.contains(&token.id()));
        let newest = row.newest.map(|signed| self.renewed(signed));
        Ok(Standing { newest, acknowledged: row.acknowledged, paying })
    }

    /// A state with a word that counts still (rule 12). Where no key was revoked, nothing has to be checked.
    fn renewed(&self, signed: Signed) -> Signed {
        let view = self.view();
        if view.books().has_revoked() { renewed(&signed, &self.ctx(&view)) } else { signed }
    }

    fn ctx<'a>(&'a self, view: &'a View) -> Ctx<'a, View, Timed> {
        let terms = &self.deployment.terms;
        Ctx { chain: view, keys: &*self.keys, terms, domain: &self.domain, rules: Every }
    }

    /// Registers an invoice of a payee: what it wants, once. Whether it is new.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn register(&self, payee: ChannelId, name: B256, cap: Amount, expires: Time) -> Result<bool, Fault> {
        // What expires never would be kept for ever.
        let expires = expires.min(self.view().now().after(INVOICE));
        let invoice = Invoice { cap, expires, used: None };
        Ok(self.store.transact(move |book| book.register(payee, name, &invoice)).await?)
    }

    /// `retrievePaymentReceipt`: for the payer of a token alone.
    ///
    /// # Errors
    /// Where there is none (yet), or this key does not count.
    pub async fn receipt(&self, payer: ChannelId, token: TokenId) -> Result<Receipt, Fault> {
        self.counts()?;
        let row = self.store.read(move |book| book.token(token)).await?;
        let row = row.filter(|row| row.token.payer_channel == payer).ok_or(Fault::Unknown("token of this payer"))?;
        let (receipt, signature) = row.stage.shown().ok_or(Fault::Unknown("receipt yet"))?;
        let (receipt, hub) = (receipt.clone(), self.word(receipt));
        Ok(Receipt { token, receipt, signature, hub, preimage: row.preimage, voucher: row.voucher })
    }

    /// The hub's word on the state that a receipt opens: it has countersigned that, so it can always say so again.
    fn word(&self, receipt: &message::Receipt) -> HubWord {
        let state = (receipt.channel, receipt.seq);
        self.words.find(state).unwrap_or_else(|| {
            let word = HubWord::State(self.sign(receipt.digest(&self.domain)));
            self.words.keep(state, word.clone());
            word
        })
    }

    fn letters(&self, granted: &[HubToken], shown: &[HubToken], view: &View) -> Vec<Letter> {
        let mut states: BTreeMap<_, Receipts> = BTreeMap::new();
        for row in shown {
            let Some((receipt, signature)) = row.stage.shown() else { continue };
            let attached = matches!(row.stage, Stage::Attached { .. });
            let begin = || Receipts { tokens: vec![], receipt: receipt.clone(), signature, hub: self.word(receipt) };
            let state = states.entry((attached, receipt.channel, receipt.seq)).or_insert_with(begin);
            state.tokens.push(Shown { token: row.id(), preimage: row.preimage, voucher: row.voucher });
        }
        let receipts = states.into_iter().map(|((attached, ..), receipts)| {
            let receipts = Box::new(receipts);
            if attached { Letter::Receipts(receipts) } else { Letter::Declined(receipts) }
        });
        let revoked = view.books().has_revoked();
        let word = |row: &HubToken| if revoked { renewed_promise(row, &self.ctx(view)) } else { row.hub.clone() };
        let promise = |row: &HubToken| Promise { token: row.token.clone(), grant: row.grant, hub: word(row) };
        let tokens = granted.iter().map(|row| Letter::Token(Box::new(promise(row))));
        receipts.chain(tokens).collect()
    }

    /// What waits for a client. Letters stay until the client has acted on them in a state, so a poll says what it has seen: the answer
    /// comes as soon as there is something else, or once `wait` is over.
    ///
    /// # Errors
    /// Where the store fails, this key does not count, or too many polls of this channel are held.
    pub async fn mailbox(&self, channel: ChannelId, seen: Option<B256>, wait: Duration) -> Result<Mailbox, Fault> {
        Metrics::count(&self.metrics.polls);
        let Some(_held) = self.held.hold(channel) else {
            Metrics::count(&self.metrics.limited);
            return Err(Fault::Limited);
        };
        let wait = wait.min(LONGEST_POLL);
        match self.news(channel, seen, &mut None, wait).await? {
            Some(found) => Ok(found),
            None => Ok(self.news(channel, None, &mut None, Duration::ZERO).await?.unwrap_or_default()),
        }
    }

    /// The same for whoever follows a mailbox: what waits, once it is something else than was seen; none if that is so for the whole of `wait`.
    /// `looked`: what the bell said when the store was last asked in vain; it is asked again once the bell says something else.
    ///
    /// # Errors
    /// Where the store fails, or this key does not count.
    pub async fn news(
        &self,
        channel: ChannelId,
        seen: Option<B256>,
        looked: &mut Option<u64>,
        wait: Duration,
    ) -> Result<Option<Mailbox>, Fault> {
        let mut bell = self.bells.hear(channel);
        let patience = tokio::time::sleep(wait);
        tokio::pin!(patience);
        // What other replicas commit, nobody tells this one.
        let again = if self.store.is_shared() { SHARED_POLL } else { LONGEST_POLL };
        loop {
            let view = self.counts()?;
            let rung = *bell.borrow_and_update();
            let in_vain = *looked == Some(rung) && !self.store.is_shared();
            if !in_vain && seen.is_none_or(|seen| !self.bells.is_newest(seen, rung)) {
                let (granted, shown) = self.store.read(move |book| book.letters(channel)).await?;
                let ids = |rows: &[HubToken]| rows.iter().flat_map(|row| row.id().0).collect::<Vec<u8>>();
                let at = self.bells.mark(rung, keccak256([ids(&shown), vec![0], ids(&granted)].concat()));
                // That something is gone is no news: whoever asks has taken it.
                let empty = granted.is_empty() && shown.is_empty();
                if !empty && seen.is_none_or(|seen| !Bells::are_same(seen, at)) {
                    return Ok(Some(Mailbox { at, letters: self.letters(&granted, &shown, &view) }));
                }
                *looked = Some(rung);
            }
            if patience.is_elapsed() {
                return Ok(None);
            }
            tokio::select! {
                () = &mut patience => {}
                () = tokio::time::sleep(again) => {}
                changed = bell.changed() => if changed.is_err() { return Err(Fault::Store(StoreError::Closed)) },
            }
        }
    }

    /// A turn to follow the mailbox of a channel: whoever had it before is told to end.
    pub fn follow(&self, channel: ChannelId) -> oneshot::Receiver<()> {
        self.held.follow(channel)
    }
}
