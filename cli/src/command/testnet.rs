//! `tarefa testnet up`: the dev Tangle.

use anyhow::Result;
use serde_json::json;
use tarefa_daemon::home::Home;
use tarefa_testnet::Config;

use crate::args::TestnetUp;
use crate::ui::Ui;
use crate::{party, signals};

pub async fn up(args: TestnetUp) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    let (data_dir, _home) = if args.memory {
        (None, None)
    } else {
        let dir = match args.data_dir {
            Some(dir) => dir,
            None => party::default_dir("testnet")?,
        };
        let home = Home::lock(&dir)?;
        (Some(dir), Some(home))
    };
    let mut seed = [0u8; 32];
    getrandom::fill(&mut seed).expect("the operating system gives random bytes");
    let config = Config {
        listen: args.listen,
        faucet: args.faucet_listen,
        mqtt: args.mqtt_listen,
        interval: args.interval,
        data_dir: data_dir.clone(),
        seed,
    };
    if args.interval.as_millis() < 1_000 {
        ui.say("milestones come faster than once a second: their timestamps, whole seconds, repeat");
    }
    let running = tarefa_testnet::start(config).await?;
    let url = running.url();
    let mqtt = running.mqtt.map(|address| format!("mqtt://{address}"));
    let faucet = running.faucet.map_or_else(|| url.clone(), |address| format!("http://{address}"));
    let kept = data_dir.as_ref().map_or("in memory".to_owned(), |dir| dir.display().to_string());
    ui.stage(
        "ready",
        &format!("dev Tangle at {url}, a milestone every {} ms, kept {kept}", args.interval.as_millis()),
        json!({ "node": url, "faucet": faucet, "mqtt": mqtt, "interval_ms": args.interval.as_millis() as u64, "data_dir": data_dir }),
    );
    ui.say(&format!("            next: tarefa executor run --node {url}"));
    ui.say(&format!("            then: tarefa wallet faucet --node {url}"));
    ui.say(&format!("             and: tarefa run demo:primes --node {url} -- 1000000"));
    ui.done();
    signals::asked_to_stop().await;
    running.stop().await;
    Ok(0)
}
