//! Any bytes from a client of the event API: packets, or the end; what is decoded was in the bytes.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use tarefa_testnet::mqtt::decode;

fuzz_target!(|data: &[u8]| {
    // All at once, and byte by byte: the packets are the same.
    let mut whole = BytesMut::from(data);
    let mut packets = vec![];
    let mut bad = false;
    loop {
        let before = whole.len();
        match decode(&mut whole) {
            Ok(Some(packet)) => {
                assert!(whole.len() < before, "a packet takes bytes");
                packets.push(packet);
            }
            Ok(None) => break,
            Err(_) => {
                bad = true;
                break;
            }
        }
    }
    let mut slowly = BytesMut::new();
    let mut again = vec![];
    'bytes: for byte in data {
        slowly.extend_from_slice(&[*byte]);
        loop {
            match decode(&mut slowly) {
                Ok(Some(packet)) => again.push(packet),
                Ok(None) => break,
                Err(_) => {
                    assert!(bad, "bad in pieces, good as a whole");
                    break 'bytes;
                }
            }
        }
    }
    assert_eq!(packets, again);
});
