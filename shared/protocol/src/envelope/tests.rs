//! Letters arrive as they were sent, from whom they claim, or not at all.

use super::*;
use crate::TaskId;
use crate::message::Body;

struct Pair {
    sender: SigningKey,
    secret: SealingSecret,
    header: Header,
    entropy: Entropy,
}

fn pair() -> Pair {
    let mut entropy = Entropy::from_seed([5; 32]);
    let sender = SigningKey::from_bytes(&[1; 32]);
    let header = Header {
        ledger: LedgerId([1; 32]),
        sender: PartyId(sender.verifying_key().to_bytes()),
        recipient: Some(PartyId([2; 32])),
        message: MessageId([3; 16]),
        not_after: LedgerSeconds(9),
    };
    Pair { sender, secret: SealingSecret::generate(&mut entropy), header, entropy }
}

fn letter() -> Letter {
    Letter { task: TaskId([4; 16]), body: Body::Cancel }
}

#[test]
fn a_sealed_letter_arrives() {
    let mut pair = pair();
    let wire =
        pack(&pair.header, &letter(), &pair.sender, Some(&pair.secret.public()), &mut pair.entropy).expect("packed");
    assert_eq!(open(&pair.header, &wire, |_| Some(pair.secret.clone())), Ok(letter()));
    assert_eq!(open(&pair.header, &wire, |_| None), Err(EnvelopeError::UnknownReader));
}

#[test]
fn an_open_letter_arrives_and_cannot_be_passed_off_as_sealed() {
    let mut pair = pair();
    let private = pair.header.clone();
    pair.header.recipient = None;
    let wire = pack(&pair.header, &letter(), &pair.sender, None, &mut pair.entropy).expect("packed");
    assert_eq!(open(&pair.header, &wire, |_| None), Ok(letter()));
    assert_eq!(open(&private, &wire, |_| None), Err(EnvelopeError::Recipient));
}

#[test]
fn a_letter_signed_by_somebody_else_is_refused() {
    let mut pair = pair();
    let stranger = SigningKey::from_bytes(&[9; 32]);
    let wire =
        pack(&pair.header, &letter(), &stranger, Some(&pair.secret.public()), &mut pair.entropy).expect("packed");
    assert_eq!(open(&pair.header, &wire, |_| Some(pair.secret.clone())), Err(EnvelopeError::Signature));
}

#[test]
fn a_letter_under_another_header_does_not_open() {
    let mut pair = pair();
    let wire =
        pack(&pair.header, &letter(), &pair.sender, Some(&pair.secret.public()), &mut pair.entropy).expect("packed");
    let mut replayed = pair.header.clone();
    replayed.message = MessageId([8; 16]);
    assert_eq!(open(&replayed, &wire, |_| Some(pair.secret.clone())), Err(EnvelopeError::Seal(SealError::Closed)));
}

#[test]
fn what_does_not_fit_the_wire_is_refused_with_its_size() {
    let mut pair = pair();
    let mut noise = vec![0u8; MESSAGE_MAX + 1];
    // Random bytes do not compress.
    for chunk in noise.chunks_mut(32) {
        let random: [u8; 32] = pair.entropy.bytes();
        let len = chunk.len();
        chunk.copy_from_slice(&random[..len]);
    }
    let letter = Letter { task: TaskId([4; 16]), body: Body::Result { locked: Bytes(noise) } };
    let packed = pack(&pair.header, &letter, &pair.sender, Some(&pair.secret.public()), &mut pair.entropy);
    assert!(matches!(packed, Err(EnvelopeError::TooLarge(size)) if size > MESSAGE_MAX));
}
