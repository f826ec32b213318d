//! Any request to the node or the faucet: an answer, and a node that still makes milestones.
#![no_main]

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::http::{Method, Request, Uri};
use libfuzzer_sys::fuzz_target;
use tarefa_testnet::Node;
use tarefa_testnet::http::{self, Server};

fn node() -> &'static Arc<Node> {
    static NODE: OnceLock<Arc<Node>> = OnceLock::new();
    NODE.get_or_init(|| {
        let node = Node::in_memory([1; 32], &[]);
        node.issue(1).expect("the first milestone");
        Arc::new(node)
    })
}

const METHODS: [Method; 4] = [Method::GET, Method::POST, Method::OPTIONS, Method::DELETE];
const KINDS: [&str; 4] =
    ["application/json", "application/vnd.iota.serializer-v1", "application/x-www-form-urlencoded", ""];

fuzz_target!(|data: &[u8]| {
    let Some((head, rest)) = data.split_first() else { return };
    let cut = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (path, body) = rest.split_at(cut);
    let Ok(path) = std::str::from_utf8(path) else { return };
    let Ok(uri) = format!("/{path}").parse::<Uri>() else { return };
    let request = Request::builder()
        .method(&METHODS[usize::from(head & 3)])
        .uri(uri)
        .header("content-type", KINDS[usize::from(head >> 2 & 3)])
        .header("accept", KINDS[usize::from(head >> 4 & 3)])
        .body(Body::from(body.get(1..).unwrap_or_default().to_vec()))
        .expect("a request");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let server = if head & 0x80 != 0 { Server::Faucet } else { Server::Node };
    let answer = runtime.block_on(http::respond(node().clone(), request, server));
    assert!(answer.status().as_u16() >= 200);
    if head & 0x40 != 0 {
        node().issue(2).expect("a milestone");
    }
});
