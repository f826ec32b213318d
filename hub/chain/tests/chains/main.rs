//! The adapters on real chains: one suite, on the embedded EVM and on anvil.

mod faulty;
mod places;
mod storm;
mod suite;

use places::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_embedded_evm() {
    let place = Place::embedded().await;
    suite::run(&place).await;
    suite::fills_a_number_that_nobody_has(&place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs anvil: ANVIL=<path> (./test installs it and runs this)"]
async fn on_anvil() {
    let place = Place::anvil().await;
    suite::run(&place).await;
    suite::fills_a_number_that_nobody_has(&place).await;
    suite::raises_the_price_of_what_waits(&place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_node_that_does_wrong_every_call_is_mined_once() {
    for seed in 0..2 {
        let place = Place::embedded().await;
        storm::every_call_is_mined_once(&place, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_time_without_events_is_caught_up_with() {
    let place = Place::embedded().await;
    suite::catches_up_with_a_long_silence(&place).await;
}
