//! The dev EVM chain beside the dev Tangle.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tarefa_evm::{Clock, Config, DevChain, Served, serve};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::ui::Ui;

/// Base fee of every block, wei: one gwei, a price that is seen on networks.
const BASE_FEE: u64 = 1_000_000_000;

/// How long open requests may take to end.
const GOODBYE: Duration = Duration::from_secs(3);

/// A chain that is served.
pub struct Evm {
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
    blocks: JoinHandle<()>,
}

/// Serves a new chain.
pub async fn start(listen: SocketAddr, chain_id: u64, interval: Duration, ui: &Ui) -> Result<Evm> {
    let clock = Clock::default();
    let config = Config { chain_id, genesis: clock.now(), base_fee: BASE_FEE, funded: vec![] };
    let chain = Arc::new(Mutex::new(Served { chain: DevChain::new(config), clock }));
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("the dev EVM cannot listen on {listen}: choose another --evm-listen"))?;
    let url = format!("http://{}", listener.local_addr()?);
    let (stop, stopped) = oneshot::channel();
    let until = async move {
        stopped.await.ok();
    };
    let blocks = tokio::spawn(tick(Arc::clone(&chain), interval));
    let served = tokio::spawn(serve(listener, chain, until));
    ui.stage(
        "evm",
        &format!("dev EVM at {url}, chain {chain_id}, in memory"),
        json!({ "evm": url, "chain_id": chain_id }),
    );
    Ok(Evm { stop, served, blocks })
}

impl Evm {
    /// Ends it.
    pub async fn stop(self) -> Result<()> {
        self.stop.send(()).ok();
        self.blocks.abort();
        match tokio::time::timeout(GOODBYE, self.served).await {
            Ok(ended) => Ok(ended??),
            // A connection that stays open ends with the process.
            Err(_) => Ok(()),
        }
    }
}

/// Makes a block where none was made for an interval.
async fn tick(chain: Arc<Mutex<Served>>, interval: Duration) {
    let mut tick = tokio::time::interval(interval.max(Duration::from_millis(50)));
    loop {
        tick.tick().await;
        chain.lock().unwrap_or_else(std::sync::PoisonError::into_inner).tick();
    }
}
