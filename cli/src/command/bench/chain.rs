//! `tarefa bench chain`: what a look at the chain costs a hub, by the number of its channels.

use std::hint::black_box;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, keccak256};
use anyhow::{Result, ensure};
use serde_json::json;
use tarefa_chain::{Event, Head, OwnClock, View};
use tarefa_channel::contract::Owner;
use tarefa_channel::transition::Side;
use tarefa_channel::{Amount, ChannelId, Time};

use crate::args::BenchChain;
use crate::ui::Ui;

/// Seconds after which a block is final.
const MARGIN: u64 = 900;

pub fn chain(args: &BenchChain) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    ensure!(args.looks > 0 && !args.channels.is_empty(), "nothing to measure: --looks and --channels");
    for count in &args.channels {
        let took = looks(&opened(*count)?, args.looks)?;
        let micros = |place: usize| took[place].as_secs_f64() * 1e6;
        let (median, p95) = (micros(took.len() / 2), micros(took.len() * 95 / 100));
        let facts = json!({ "channels": count, "looks": took.len(), "look_p50_us": median, "look_p95_us": p95 });
        ui.stage("look", &format!("{count} channels: {median:.1} us, p95 {p95:.1} us"), facts);
    }
    ui.done();
    Ok(0)
}

fn id(number: u64) -> B256 {
    keccak256(number.to_be_bytes())
}

fn head(number: u64, time: u64) -> Head {
    Head { number, hash: id(number), time: Time(time) }
}

/// A chain on which so many channels are open, all of them final, and one more.
fn opened(count: u64) -> Result<View> {
    let opened = |number| Event::Subscribed {
        channel: ChannelId(id(number)),
        owner: Owner { client: Address::from_word(id(number)), asset: Address::ZERO },
        epoch: 0,
        client_in: Amount(1000),
        hub_in: Amount(1000),
    };
    let view = View::new(MARGIN, head(1, 1), OwnClock::system());
    let events = (0..=count).map(opened).collect();
    Ok(view.with(vec![(head(2, 2), events), (head(3, 3 + MARGIN), vec![])])?)
}

/// Each look finds one block more than the last, with a deposit in it, and what of it the hub has to act on.
fn looks(view: &View, count: u32) -> Result<Vec<Duration>> {
    let mut took = vec![];
    let mut view = view.clone();
    let mut recent = view.recent().to_vec();
    for number in 0..u64::from(count) {
        let deposit = Event::Deposited { channel: ChannelId(id(0)), side: Side::Client, amount: Amount(1) };
        let last = view.head();
        recent.push((head(last.number + 1, last.time.0 + number % 2), vec![deposit]));
        let blocks = recent.clone();
        let begun = Instant::now();
        let next = view.with(blocks)?;
        black_box(next.books().busy().count());
        // The hub's last view is gone once nobody decides by it.
        view = next;
        took.push(begun.elapsed());
        // As many as a quiet chain has in its margin.
        if recent.len() > 8 {
            recent.remove(0);
        }
    }
    took.sort_unstable();
    Ok(took)
}
