//! The chain of the channel demo: this program's, or anvil.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tarefa_chain::Rpc;
use tokio::process::{Child, Command};

use super::part::Part;

/// How long anvil may take to listen.
const ANVIL_MAX: Duration = Duration::from_secs(20);

/// A running chain.
pub enum Evm {
    /// `tarefa testnet up`.
    Embedded(Part),
    /// anvil, which ends with this.
    Anvil(Child),
}

impl Evm {
    /// Starts this program's; its JSON-RPC.
    pub async fn embedded() -> Result<(Self, String)> {
        let up = ["testnet", "up", "--memory", "--listen", "127.0.0.1:0", "--evm-listen", "127.0.0.1:0", "--json"];
        let mut part = Part::start("the dev EVM", &up)?;
        let url = part.stage("evm").await?["evm"].as_str().context("no URL")?.to_owned();
        Ok((Self::Embedded(part), url))
    }

    /// Starts anvil; its JSON-RPC.
    pub async fn anvil(program: &Path) -> Result<(Self, String)> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        // A block for each transaction, and one a second without any.
        let args = ["--port", &port, "--accounts", "0", "--silent", "--block-time", "1", "--mixed-mining"];
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let child = command
            .spawn()
            .with_context(|| format!("{} cannot be started: --anvil says where it is", program.display()))?;
        let url = format!("http://127.0.0.1:{port}");
        let listens = async {
            while Rpc::connect(&url).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(ANVIL_MAX, listens).await.context("anvil does not listen")?;
        Ok((Self::Anvil(child), url))
    }

    /// Ends it.
    pub async fn stop(self) -> Result<()> {
        match self {
            Self::Embedded(part) => part.stop().await.map(drop),
            Self::Anvil(mut child) => Ok(child.kill().await?),
        }
    }
}
