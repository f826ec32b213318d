//! The adapters on real chains: one suite, on the embedded EVM and on anvil.

mod places;
mod suite;

use places::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_embedded_evm() {
    let place = Place::embedded().await;
    suite::run(&place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs anvil: ANVIL=<path> (./test installs it and runs this)"]
async fn on_anvil() {
    let place = Place::anvil().await;
    suite::run(&place).await;
    suite::raises_the_price_of_what_waits(&place).await;
}
