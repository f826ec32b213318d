//! Seals open for their reader only, locks with their key only, and neither when altered.

use super::*;

fn entropy() -> Entropy {
    Entropy::from_seed([3; 32])
}

#[test]
fn only_the_reader_opens_a_seal() {
    let mut entropy = entropy();
    let (reader, other) = (SealingSecret::generate(&mut entropy), SealingSecret::generate(&mut entropy));
    let sealed = seal(&reader.public(), b"hello", b"header", &mut entropy).expect("sealed");
    assert_eq!(reader.open(&sealed, b"header"), Ok(b"hello".to_vec()));
    assert_eq!(other.open(&sealed, b"header"), Err(SealError::Closed));
    assert_eq!(reader.open(&sealed, b"another header"), Err(SealError::Closed));
}

#[test]
fn every_flipped_byte_breaks_a_seal() {
    let mut entropy = entropy();
    let reader = SealingSecret::generate(&mut entropy);
    let sealed = seal(&reader.public(), b"hello", b"", &mut entropy).expect("sealed");
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        assert_eq!(reader.open(&altered, b""), Err(SealError::Closed), "byte {at}");
    }
    assert_eq!(reader.open(&sealed[..20], b""), Err(SealError::Closed));
}

#[test]
fn a_stored_secret_opens_what_the_original_did() {
    let mut entropy = entropy();
    let reader = SealingSecret::generate(&mut entropy);
    let sealed = seal(&reader.public(), b"hello", b"", &mut entropy).expect("sealed");
    assert_eq!(SealingSecret::from_bytes(*reader.expose()).open(&sealed, b""), Ok(b"hello".to_vec()));
}

#[test]
fn a_locked_result_opens_with_its_key_only() {
    let (key, other) = (ResultKey([1; 32]), ResultKey([2; 32]));
    let locked = key.lock(b"the result");
    assert_eq!(key.open(&locked), Ok(b"the result".to_vec()));
    assert_eq!(other.open(&locked), Err(SealError::Closed));
    assert_ne!(key.commitment(), other.commitment());
    assert!(!format!("{key:?}").contains('1'));
}

#[test]
fn a_bomb_does_not_inflate() {
    let bomb = deflate(&vec![0; INFLATED_MAX + 1]);
    assert!(bomb.len() < 1 << 20);
    assert_eq!(inflate(&bomb), Err(SealError::Inflate));
}
