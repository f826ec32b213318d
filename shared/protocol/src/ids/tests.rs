//! Identifiers read back what they show, and say what is wrong with what they cannot read.

use super::*;

#[test]
fn shows_and_reads_the_same() {
    let id = TaskId([0xab; 16]);
    assert_eq!(id.to_string().parse::<TaskId>(), Ok(id));
    assert_eq!(format!("0x{id}").parse::<TaskId>(), Ok(id));
}

#[test]
fn a_wrong_text_is_named_in_the_error() {
    let error = "zz".parse::<TaskId>().expect_err("not hex");
    assert_eq!(error.to_string(), "`zz` is not a task id: expected 16 bytes as 32 hex digits");
}

#[test]
fn domains_separate_digests() {
    assert_ne!(Digest::of("a", &[b"bc"]), Digest::of("ab", &[b"c"]));
    assert_ne!(Digest::of("a", &[b"b", b"c"]), Digest::of("a", &[b"bc"]));
}

#[test]
fn wire_tags_carry_the_prefix() {
    let tag = Tag::inbox_of(&PartyId([1; 32]));
    assert_eq!(Tag::from_wire(&tag.to_wire()), Some(tag));
    assert_eq!(Tag::from_wire(b"other"), None);
    assert_eq!(Tag::from_wire(b"tarefa1:short"), None);
    assert_ne!(tag, Tag::offers());
}

#[test]
fn a_ledger_does_not_depend_on_the_order_of_its_keys() {
    assert_eq!(LedgerId::of(&[[1; 32], [2; 32]], &[3; 32]), LedgerId::of(&[[2; 32], [1; 32]], &[3; 32]));
    assert_ne!(LedgerId::of(&[[1; 32]], &[3; 32]), LedgerId::of(&[[1; 32]], &[4; 32]));
}
