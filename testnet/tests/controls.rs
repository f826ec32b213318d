//! The control API: the pace, the clock and the faults that a test asks for.

use std::time::Duration;

use iota_sdk::packable::PackableExt;
use serde_json::{Value, json};
use tarefa_ledger::{Block, build};
use tarefa_testnet::{Config, Running, start};

/// No milestone comes by itself while a test runs.
const NEVER: Duration = Duration::from_secs(120);

async fn node() -> Running {
    let config = Config { interval: NEVER, seed: [3; 32], ..Config::default() };
    start(config).await.expect("a node")
}

async fn control(node: &Running, wish: Value) -> (u16, Value) {
    let url = format!("{}/control/v1", node.url());
    let answer = reqwest::Client::new().post(url).json(&wish).send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn post(node: &Running, text: &str) -> Block {
    let parents = node.node.engine().tips();
    let block = build::block(parents, Some(build::tagged(b"t", text.as_bytes()).expect("fits"))).expect("valid");
    let answer = reqwest::Client::new()
        .post(format!("{}/api/core/v2/blocks", node.url()))
        .header("content-type", "application/vnd.iota.serializer-v1")
        .body(block.pack_to_vec())
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 201);
    block
}

fn is_known(node: &Running, block: &Block) -> bool {
    node.node.engine().block(&block.id()).is_some()
}

fn is_referenced(node: &Running, block: &Block) -> bool {
    node.node.engine().block(&block.id()).is_some_and(|record| record.meta.inclusion.is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn milestones_come_when_asked_for() {
    let node = node().await;
    let (status, settings) = control(&node, json!({ "milestones": 3 })).await;
    assert_eq!((status, &settings["confirmed"]), (200, &json!(4)));
    let (_, settings) = control(&node, json!({ "intervalMs": 50, "paused": true })).await;
    assert_eq!((&settings["intervalMs"], &settings["paused"]), (&json!(50), &json!(true)));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(node.node.engine().confirmed(), 4, "paused");
    control(&node, json!({ "paused": false })).await;
    let mut milestones = node.node.milestones.subscribe();
    let next = tokio::time::timeout(Duration::from_secs(5), milestones.wait_for(|index| *index > 6));
    next.await.expect("they come again").expect("the node runs");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_may_be_for_one_tag_only() {
    let node = node().await;
    let tagged = |tag: &[u8]| {
        let parents = node.node.engine().tips();
        build::block(parents, Some(build::tagged(tag, b"x").expect("fits"))).expect("valid").pack_to_vec()
    };
    control(&node, json!({ "faults": { "orphan": 1, "tag": "0x6d61726b" } })).await;
    let other = node.node.post(&tagged(b"other")).expect("taken");
    let marked = node.node.post(&tagged(b"marked")).expect("taken");
    let second = node.node.post(&tagged(b"marked too")).expect("taken");
    control(&node, json!({ "milestones": 1 })).await;
    let referenced = |id| node.node.engine().block(&id).is_some_and(|record| record.meta.inclusion.is_some());
    assert_eq!([other, marked, second].map(referenced), [true, false, true]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_goes_back_to_a_snapshot_and_forgets_what_is_pruned() {
    let node = node().await;
    control(&node, json!({ "milestones": 30 })).await;
    let kept = post(&node, "kept").await;
    let (_, settings) = control(&node, json!({ "snapshot": true })).await;
    assert_eq!((&settings["snapshots"], &settings["confirmed"]), (&json!(1), &json!(31)));
    let undone = post(&node, "undone").await;
    control(&node, json!({ "milestones": 2, "snapshot": true })).await;
    assert!(is_referenced(&node, &kept) && is_referenced(&node, &undone));
    let (status, settings) = control(&node, json!({ "revert": 1 })).await;
    assert_eq!((status, &settings["confirmed"], &settings["snapshots"]), (200, &json!(31), &json!(1)));
    assert!(is_known(&node, &kept) && !is_referenced(&node, &kept) && !is_known(&node, &undone));
    let (status, refused) = control(&node, json!({ "revert": 2 })).await;
    assert_eq!(status, 400);
    assert!(refused.to_string().contains("no snapshot 2"), "{refused}");
    let (_, settings) = control(&node, json!({ "milestones": 1, "prune": 9 })).await;
    assert_eq!((&settings["confirmed"], &settings["pruned"]), (&json!(32), &json!(9)));
    assert!(is_referenced(&node, &kept), "it waited again");
    let info: Value =
        reqwest::get(format!("{}/api/core/v2/info", node.url())).await.expect("an answer").json().await.expect("JSON");
    assert_eq!(info["status"]["pruningIndex"], 9);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_milestones_are_pruned_by_themselves_where_wanted() {
    let config = Config { interval: NEVER, keep: Some(25), rich: vec![[9; 32]; 2], ..Config::default() };
    let node = start(config).await.expect("a node");
    control(&node, json!({ "milestones": 60 })).await;
    let (pruned, rich) = {
        let engine = node.node.engine();
        (engine.pruned(), engine.plain_of(&[9; 32]).count())
    };
    assert!((34..=36).contains(&pruned), "{pruned} of 61");
    assert_eq!(rich, 2, "money is never pruned");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_can_be_moved_and_never_falls() {
    let node = node().await;
    let newest = || {
        let engine = node.node.engine();
        engine.milestone(engine.confirmed()).map_or(0, |milestone| milestone.timestamp)
    };
    let before = newest();
    let (_, settings) = control(&node, json!({ "timeOffset": 1_000_000, "milestones": 1 })).await;
    assert_eq!(settings["timeOffset"], 1_000_000);
    let ahead = newest();
    assert!(ahead >= before + 1_000_000);
    control(&node, json!({ "timeOffset": 0, "milestones": 1 })).await;
    assert_eq!(newest(), ahead, "it stands still");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_are_dropped_delayed_and_left_behind_as_asked() {
    let node = node().await;
    let faults = json!({ "drop": 1, "delay": 1, "delayMs": 200, "orphan": 1 });
    let (status, _) = control(&node, json!({ "faults": faults })).await;
    assert_eq!(status, 200);
    let dropped = post(&node, "dropped").await;
    let delayed = post(&node, "delayed").await;
    let orphan = post(&node, "orphan").await;
    let good = post(&node, "good").await;
    assert!(!is_known(&node, &dropped) && !is_known(&node, &delayed) && is_known(&node, &orphan));
    control(&node, json!({ "milestones": 1 })).await;
    assert!(is_referenced(&node, &good) && !is_referenced(&node, &orphan));
    for _ in 0..50 {
        if is_known(&node, &delayed) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    control(&node, json!({ "milestones": 1 })).await;
    assert!(is_referenced(&node, &delayed) && !is_known(&node, &dropped) && !is_referenced(&node, &orphan));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_by_name() {
    let node = node().await;
    for (wish, word) in [
        (json!({ "intervalMs": 1 }), "interval"),
        (json!({ "timeOffset": i64::MAX }), "clock"),
        (json!({ "milestones": 5_000 }), "1000"),
        (json!({ "pace": 1 }), "pace"),
    ] {
        let (status, body) = control(&node, wish).await;
        let message = body["error"]["message"].as_str().expect("an error").to_owned();
        assert!(status == 400 && message.contains(word), "{status} {message}");
    }
    // A page in a browser cannot send JSON elsewhere without asking first, and is refused when it asks.
    let client = reqwest::Client::new();
    let url = format!("{}/control/v1", node.url());
    let text = client.post(&url).header("content-type", "text/plain").body("{}").send().await.expect("an answer");
    assert_eq!(text.status(), 415);
    let asking = client.request(reqwest::Method::OPTIONS, &url).send().await.expect("an answer");
    assert_eq!(asking.status(), 403);
    node.stop().await;
}
