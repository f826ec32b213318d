//! Never ends: `spin` computes for ever, `spin sleep` sleeps for ever. Something outside has to end it.

use std::time::Duration;

fn main() {
    println!("spinning");
    if std::env::args().nth(1).as_deref() == Some("sleep") {
        loop {
            std::thread::sleep(Duration::from_secs(3_600));
        }
    }
    let mut x = 1u64;
    loop {
        x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}
