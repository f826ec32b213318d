//! The encoding is pinned: a changed byte would cut off everybody who runs the version before.

use super::*;
use crate::envelope::Header;
use crate::message::{Accept, Body, Letter, Quote, Reject, RejectCode};
use crate::offer::{Offer, TaskLimits};
use crate::{
    Address, BaseUnits, Digest, LedgerId, LedgerSeconds, MessageId, Millis, PartyId, Price, SealingKey, TaskId,
};

fn golden<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T, hex_text: &str) {
    assert_eq!(hex::encode(encode(value)), hex_text);
    assert_eq!(decode::<T>(&hex::decode(hex_text).expect("hex")).as_ref(), Ok(value));
}

#[test]
fn golden_vectors() {
    golden(&Bytes(vec![1, 2, 3]), "0103010203");
    golden(&TaskId([7; 16]), &format!("01{}", "07".repeat(16)));
    let header = Header {
        ledger: LedgerId([1; 32]),
        sender: PartyId([2; 32]),
        recipient: Some(PartyId([3; 32])),
        message: MessageId([4; 16]),
        not_after: LedgerSeconds(1_800_000_000),
    };
    let parts = ["01", &"01".repeat(32), &"02".repeat(32), "01", &"03".repeat(32), &"04".repeat(16), "fc00d2496b"];
    golden(&header, &parts.concat());
    let letter = |body| Letter { task: TaskId([5; 16]), body };
    let task = format!("01{}", "05".repeat(16));
    golden(&letter(Body::Cancel), &format!("{task}07"));
    golden(&letter(Body::Expired), &format!("{task}08"));
    let reject = Reject::new(RejectCode::Busy, "no");
    golden(&letter(Body::Reject(reject)), &format!("{task}0202026e6f"));
}

#[test]
fn golden_offer_accept_and_quote() {
    let limits = TaskLimits { memory_max: 1, time_max: Millis(2), result_max: 3, disk_max: 4, files_max: 5 };
    let offer = Offer {
        sealing_key: SealingKey([9; 32]),
        price: Price { per_second: BaseUnits(500_000), minimum: BaseUnits(213_000) },
        limits,
        slots: 2,
        free: 1,
        walls: vec!["files".into()],
        valid_until: LedgerSeconds(10),
        sequence: 300,
    };
    let expected = format!("01{}fc20a10700fc08400300010203040502010105{}0afb2c01", "09".repeat(32), "66696c6573");
    golden(&offer, &expected);
    golden(&Accept { position: 1, limits, time_allowed: Millis(2) }, "0101010203040502");
    let quote = Quote {
        offer: Digest([1; 32]),
        metered: Millis(151),
        price: BaseUnits(213_000),
        address: Address([2; 32]),
        expires: LedgerSeconds(20),
        key_hash: Digest([3; 32]),
        locked_hash: Digest([4; 32]),
        locked_size: 116,
        ok: true,
    };
    let expected = [
        "01",
        &"01".repeat(32),
        "97",
        "fc08400300",
        &"02".repeat(32),
        "14",
        &"03".repeat(32),
        &"04".repeat(32),
        "74",
        "01",
    ];
    golden(&quote, &expected.concat());
}

#[test]
fn another_version_is_named() {
    assert_eq!(decode::<Bytes>(&[9, 0]), Err(CodecError::Version { found: Some(9) }));
    assert_eq!(decode::<Bytes>(&[]), Err(CodecError::Version { found: None }));
}

#[test]
fn nothing_may_follow_a_value() {
    assert_eq!(decode::<Bytes>(&[1, 1, 7, 0]), Err(CodecError::Trailing { what: "Bytes", extra: 1 }));
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    // Claims 2^60 bytes.
    let lie = [1, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0x10];
    assert!(matches!(decode::<Bytes>(&lie), Err(CodecError::Malformed { what: "Bytes", .. })));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let _ = decode::<Letter>(&bytes);
        let _ = decode::<Offer>(&bytes);
    }
}
