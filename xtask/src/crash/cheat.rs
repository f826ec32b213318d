//! Somebody who closes a channel at the state that the contract knows, whatever was signed since: with a key alone, for daemons are honest.

use std::path::Path;
use std::time::Duration;

use alloy_primitives::B256;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tarefa_chain::abi::FulgurHub;
use tarefa_chain::{Key, Rpc, Sender, http_client};
use tarefa_channel::contract::{Call, Owner};
use tarefa_channel::id::{ChannelId, ChannelKey, TokenId};
use tarefa_channel::sign::Signer as _;
use tarefa_client::Settings;

/// The file of a hub's key in its directory.
const HUB_KEY: &str = "signer.key";
/// How long the chain may take to set its clock.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// A channel that is not there, as the contract writes it: never opened, or final.
const NONE: u8 = 0;

/// Whoever closes, and the channel.
pub struct Cheat {
    runtime: tokio::runtime::Runtime,
    settings: Settings,
    key: Key,
    owner: Owner,
    rpc: Rpc,
}

impl Cheat {
    /// The client of a directory, against its hub.
    pub fn client(dir: &Path) -> Result<Self> {
        let key = Key::new(*Settings::secret(dir)?)?;
        Self::new(key, dir)
    }

    /// The hub of a directory, against the client of another one.
    pub fn hub(hub: &Path, client: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(hub.join(HUB_KEY)).context("the hub has no key")?;
        let secret: B256 = text.trim().parse().context("the hub's key does not read")?;
        Self::new(Key::new(secret.0)?, client)
    }

    fn new(key: Key, client: &Path) -> Result<Self> {
        let settings = Settings::read(client)?;
        let owner = Owner { client: Key::new(*Settings::secret(client)?)?.address(), asset: settings.asset };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let rpc = runtime.block_on(Rpc::connect(&settings.rpc))?;
        Ok(Self { runtime, settings, key, owner, rpc })
    }

    pub fn closes_at_what_is_known(&self) -> Result<()> {
        let contract = self.settings.deployment.contract;
        self.runtime.block_on(async {
            let mut sender = Sender::new(self.rpc.clone(), self.key.clone(), self.settings.gas_ceiling).await?;
            sender.call(contract, &Call::Close { owner: self.owner, signed: None }).await?;
            Ok(())
        })
    }

    /// Whether a newer state has been shown, and what this token is worth if there is one.
    pub fn is_answered(&self, token: Option<TokenId>) -> Result<bool> {
        let row = self.row()?;
        let Some(token) = token else { return Ok(row.seq > 0) };
        let asked = FulgurHub::claimOfCall { channel: self.channel()?.0, token: token.0 };
        let claim = self.runtime.block_on(self.rpc.read(self.settings.deployment.contract, &asked))?;
        Ok(row.seq > 0 && claim > 0)
    }

    /// When the redemption of a token is credited in this channel, or was; zero where there was none.
    pub fn redeems_until(&self, token: TokenId) -> Result<u64> {
        let asked = FulgurHub::redemptionOfCall { payee: self.channel()?.0, token: token.0 };
        let found = self.runtime.block_on(self.rpc.read(self.settings.deployment.contract, &asked))?;
        Ok(found.creditAt.to())
    }

    /// The chain's time goes on to where nothing can be answered any more, nor at this time if that is later.
    pub fn waits_for_the_end(&self, or_until: u64) -> Result<()> {
        let closes = self.row()?.closesAt.to::<u64>().max(or_until);
        let now = self.runtime.block_on(self.rpc.head())?.time.0;
        self.control("evm_increaseTime", &json!([closes.saturating_sub(now)]))?;
        self.control("evm_mine", &json!([]))
    }

    /// Whether the channel is final.
    pub fn is_over(&self) -> Result<bool> {
        Ok(self.row()?.status == NONE)
    }

    fn channel(&self) -> Result<ChannelId> {
        let Owner { client, asset } = self.owner;
        let (contract, chain_id) = (self.settings.deployment.contract, self.rpc.chain_id());
        Ok(ChannelKey { chain_id, contract, client, asset, epoch: self.row()?.epoch.into() }.id())
    }

    fn row(&self) -> Result<FulgurHub::Channel> {
        let Owner { client, asset } = self.owner;
        let asked = FulgurHub::channelOfCall { client, asset };
        Ok(self.runtime.block_on(self.rpc.read(self.settings.deployment.contract, &asked))?)
    }

    fn control(&self, method: &str, params: &Value) -> Result<()> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.runtime.block_on(async {
            let ask = http_client([]).build()?.post(&self.settings.rpc).timeout(ANSWER_MAX).json(&body);
            let answer: Value = ask.send().await?.json().await?;
            ensure!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
            Ok(())
        })
    }
}
