//! Parts: cut once, read alone, forged ones dropped alone, room kept for those who pay.

use super::*;
use crate::ids::{MessageId, PartyId};

fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn header() -> Header {
    Header {
        ledger: LedgerId([1; 32]),
        sender: PartyId(key().verifying_key().to_bytes()),
        recipient: None,
        message: MessageId([2; 16]),
        not_after: LedgerSeconds(100),
    }
}

fn read_now(wire: &[u8]) -> Result<Part, PartError> {
    read(wire, &LedgerId([1; 32]), LedgerSeconds(50))
}

#[test]
fn a_message_comes_back_from_its_parts_in_any_order() {
    let message: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    let mut parts: Vec<Part> =
        cut(&header(), &message, &key()).iter().rev().map(|w| read_now(w).expect("good")).collect();
    assert_eq!(parts.len(), 4);
    parts.sort_by_key(|part| part.index);
    let whole: Vec<u8> = parts.into_iter().flat_map(|part| part.chunk.0).collect();
    assert_eq!(whole, message);
}

#[test]
fn a_forged_part_is_dropped_alone() {
    let wires = cut(&header(), &vec![7; 2 * PART_CHUNK_MAX], &key());
    let mut forged = wires[0].clone();
    let at = forged.len() - 1;
    forged[at] ^= 1;
    assert_eq!(read_now(&forged), Err(PartError::Signature));
    assert!(read_now(&wires[1]).is_ok());
    let stranger = SigningKey::from_bytes(&[9; 32]);
    let in_our_name = cut(&header(), b"x", &stranger);
    assert_eq!(read_now(&in_our_name[0]), Err(PartError::Signature));
}

#[test]
fn a_part_for_another_ledger_or_past_its_time_is_dropped() {
    let wire = &cut(&header(), b"x", &key())[0];
    assert_eq!(read(wire, &LedgerId([2; 32]), LedgerSeconds(50)), Err(PartError::Ledger(LedgerId([1; 32]))));
    assert!(read(wire, &LedgerId([1; 32]), LedgerSeconds(100)).is_ok());
    assert_eq!(read(wire, &LedgerId([1; 32]), LedgerSeconds(101)), Err(PartError::Expired(LedgerSeconds(100))));
}

#[test]
fn a_part_that_claims_to_live_for_ever_is_dropped() {
    let for_ever = Header { not_after: LedgerSeconds(u32::MAX), ..header() };
    let wire = &cut(&for_ever, b"x", &key())[0];
    assert_eq!(read_now(wire), Err(PartError::TooLong(LedgerSeconds(u32::MAX))));
}

#[test]
fn shapes_outside_the_limits_are_refused_before_the_signature_is_checked() {
    let shape = |index, total, len| {
        let part = Part { header: header(), index, total, chunk: Bytes(vec![0; len]) };
        let signed = codec::encode(&part);
        read_now(&[&[0; SIGNATURE_LEN][..], &signed].concat())
    };
    for (index, total, len) in [
        (u32::MAX, 1, 5),
        (1, 1, 5),
        (0, 0, 5),
        (0, PARTS_MAX + 1, 5),
        (0, 1, PART_CHUNK_MAX + 1),
        (0, 1, 0),
        (0, 2, 5),
    ] {
        assert_eq!(shape(index, total, len), Err(PartError::Shape { index, total, len }), "{index} of {total}");
    }
    assert_eq!(read_now(b"short"), Err(PartError::Short));
}

#[test]
fn every_part_fits_a_block() {
    let wires = cut(&header(), &vec![7; PART_CHUNK_MAX], &key());
    // 32,768 bytes less eight parents, tag, lengths and nonce.
    assert!(wires[0].len() <= 32_768 - 8 * 32 - 24 - 40, "{}", wires[0].len());
}

#[test]
fn missing_parts_are_named() {
    assert_eq!(missing(4, &BTreeSet::from([0, 2])), [1, 3]);
}

#[test]
fn strangers_leave_the_reserve_to_those_who_pay() {
    let room = |of_sender, total, known| Room { of_sender, total, known };
    assert_eq!(admit(1, room(0, 0, false)), Admission::Keep);
    assert_eq!(admit(1, room(PARTIAL_PER_SENDER_MAX, 0, true)), Admission::Drop);
    let nearly_full = PARTIAL_TOTAL_MAX / 100 * 80;
    assert_eq!(admit(1, room(0, nearly_full, false)), Admission::Evict);
    assert_eq!(admit(1, room(0, nearly_full, true)), Admission::Keep);
    assert_eq!(admit(1, room(0, PARTIAL_TOTAL_MAX, true)), Admission::Evict);
}
