//! A client that closes at the state that the contract knows, whatever it has signed since: with its key alone, for its daemon is honest.

use std::path::Path;

use anyhow::Result;
use tarefa_chain::abi::FulgurHub;
use tarefa_chain::{Key, Rpc, Sender};
use tarefa_channel::contract::{Call, Owner};
use tarefa_channel::sign::Signer as _;
use tarefa_client::Settings;

/// The client of a data directory, on chain.
pub struct Cheat {
    runtime: tokio::runtime::Runtime,
    settings: Settings,
    key: Key,
    rpc: Rpc,
}

impl Cheat {
    pub fn new(dir: &Path) -> Result<Self> {
        let settings = Settings::read(dir)?;
        let key = Key::new(*Settings::secret(dir)?)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let rpc = runtime.block_on(Rpc::connect(&settings.rpc))?;
        Ok(Self { runtime, settings, key, rpc })
    }

    pub fn closes_at_what_is_known(&self) -> Result<()> {
        let owner = Owner { client: self.key.address(), asset: self.settings.asset };
        let contract = self.settings.deployment.contract;
        self.runtime.block_on(async {
            let mut sender = Sender::new(self.rpc.clone(), self.key.clone(), self.settings.gas_ceiling).await?;
            sender.call(contract, &Call::Close { owner, signed: None }).await?;
            Ok(())
        })
    }

    /// What the contract owes it: nothing before its channel is final.
    pub fn is_paid(&self) -> Result<bool> {
        let asked = FulgurHub::balanceOfCall { party: self.key.address(), asset: self.settings.asset };
        Ok(self.runtime.block_on(self.rpc.read(self.settings.deployment.contract, &asked))? > 0)
    }
}
