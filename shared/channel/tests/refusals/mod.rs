//! What the hub does not sign, so that nobody it has promised something to loses it: each refusal once, by its name.

use tarefa_channel::Amount;
use tarefa_channel::contract::Call;
use tarefa_channel::hub::Refusal;
use tarefa_channel::message::{Op, OpKind, TokenKind};

use crate::town::{TERMS, Town, owner, seq};
use crate::{detach, refused};

#[test]
fn a_payer_with_too_much_unsettled_gets_no_more_credit() {
    let mut town = Town::new();
    let row = town.channels.get_mut(&town.alice.id).expect("she has one");
    row.unsettled = Amount(TERMS.unsettled.0 + 1);
    let token = town.token(TokenKind::Off, 10);
    assert_eq!(refused(&mut town, &token), Refusal::Unsettled);
    town.channels.get_mut(&town.alice.id).expect("she has one").unsettled = TERMS.unsettled;
    town.pay(&token);
}

#[test]
fn a_payee_has_so_many_places_and_no_more() {
    let mut town = Town::new();
    town.channels.get_mut(&town.bob.id).expect("he has one").next_payee_seq = seq(256);
    let token = town.token(TokenKind::Off, 10);
    assert_eq!(refused(&mut town, &token), Refusal::Window(token.id()));
    town.channels.get_mut(&town.bob.id).expect("he has one").next_payee_seq = seq(255);
    town.detach(&token);
}

#[test]
fn nothing_is_attached_late_or_over_a_payer_whose_channel_may_end_without_it() {
    let mut town = Town::new();
    town.step("alice", vec![Op::of(OpKind::OutClient, Amount(10))], vec![]);
    let old = town.newest("alice");
    let token = town.token(TokenKind::Off, 10);
    town.pay(&token);
    let attach = town.propose("bob", vec![Op::on(OpKind::Attach, token.id(), Amount(10))], vec![]);
    let now = town.now;
    town.now = token.attach_by;
    assert_eq!(town.hub(&attach), Err(Refusal::Late(token.id())));
    // She began to close before that, with an old state, and the hub sees it only now.
    town.now = now.before(50);
    town.mine("alice", &Call::Close { owner: owner("alice"), signed: Some(old) }).expect("it counts for now");
    town.now = town.contract.row(owner("alice")).closes_at.before(TERMS.margin());
    assert_eq!(town.hub(&attach), Err(Refusal::PayerEnding(token.id())), "the hub could not show what it is paid by");
    town.now = town.now.before(1);
    town.hub(&attach).expect("it can, just so");
}

#[test]
fn what_is_promised_to_a_payee_stays_in_its_channel() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.detach(&token);
    // Bob has not counted on it yet, so it is the hub that has to.
    let proposal = town.propose("bob", vec![Op::of(OpKind::OutHub, Amount(101))], vec![]);
    assert_eq!(town.hub(&proposal), Err(Refusal::Promised));
    town.bob.refused();
    town.step("bob", vec![Op::of(OpKind::OutHub, Amount(100))], vec![]);
}

#[test]
fn an_answer_is_not_made_up_where_its_rows_are_gone() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    let proposal = town.propose("alice", detach(&token), vec![token.clone()]);
    town.hub(&proposal).expect("it fits");
    town.tokens.remove(&token.id());
    assert_eq!(town.hub(&proposal), Err(Refusal::Missing));
}
