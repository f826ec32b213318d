//! What a client does not sign, and what it does on chain where the hub or its key cannot be counted on any more.

use tarefa_channel::Amount;
use tarefa_channel::client::ClientError;
use tarefa_channel::contract::{Call, Status};
use tarefa_channel::message::{Op, OpKind, TokenKind};
use tarefa_channel::transition::TransitionError;

use super::town::{NATIVE, TERMS, Town, address, owner};

#[test]
fn above_a_last_state_that_the_hub_refuses_nothing_is_signed() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.detach(&token);
    let mut bob = town.bob.clone();
    let last = town.ask("bob", |ctx| bob.propose(vec![], vec![], true, ctx).cloned()).expect("nothing is his yet");
    bob.refused();
    town.bob = bob;
    // Signed later, it ends the channel at once with what was before: what is promised now would be lost.
    let (mut bob, row) = (town.bob.clone(), town.tokens[&token.id()].clone());
    let counted = town.ask("bob", |ctx| bob.offered(&token, &row.grant, &row.hub, None, ctx));
    assert_eq!(counted, Err(ClientError::Ended));
    let next =
        town.ask("bob", |ctx| bob.propose(vec![Op::of(OpKind::OutClient, Amount(1))], vec![], false, ctx).cloned());
    assert_eq!(next, Err(ClientError::Busy));
    assert_eq!(town.bob.half.as_ref().map(|half| &half.proposal), Some(&last), "it is sent again");
    // The hub stays with it, so he leaves without.
    town.now = town.now.after(TERMS.patience + 1);
    assert_eq!(town.dutiful("bob"), ["close"]);
    assert_eq!(town.contract.row(owner("bob")).status, Status::Closing);
}

#[test]
fn no_last_state_is_signed_that_a_hub_has_to_refuse() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.detach(&token);
    let mut alice = town.alice.clone();
    let last = town.ask("alice", |ctx| alice.propose(vec![], vec![], true, ctx).cloned());
    assert_eq!(last, Err(TransitionError::LastPending(1).into()));
    assert_eq!(alice, town.alice, "nothing has changed");
}

#[test]
fn what_is_redeemed_or_could_not_be_any_more_is_not_attached_whoever_asks() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 50);
    town.pay(&token);
    let attach = || vec![Op::on(OpKind::Attach, token.id(), Amount(50))];
    let begun = town.now;
    let mut bob = town.bob.clone();
    town.now = token.attach_by.before(TERMS.inclusion);
    assert_eq!(town.ask("bob", |ctx| bob.propose(attach(), vec![], false, ctx).cloned()), Err(ClientError::Late));
    town.now = begun;
    let call = town.ask("bob", |ctx| town.bob.redemption(token.id(), ctx)).expect("there is time");
    town.mine("bob", &call).expect("it begins");
    assert_eq!(town.ask("bob", |ctx| bob.propose(attach(), vec![], false, ctx).cloned()), Err(ClientError::Late));
    assert!(bob.half.is_none(), "an honest hub would refuse it for as long as the redemption takes");
}

#[test]
fn who_was_away_gives_the_hub_its_time_again_but_not_the_time_to_redeem() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.pay(&token);
    town.propose("bob", vec![Op::on(OpKind::Attach, token.id(), Amount(100))], vec![]);
    town.now = town.now.after(TERMS.patience + 1);
    let is_silent = |town: &Town| town.ask("bob", |ctx| town.bob.is_hub_silent(ctx));
    assert!(is_silent(&town));
    let resumes = |town: &mut Town| {
        let mut bob = town.bob.clone();
        town.ask("bob", |ctx| bob.resume(ctx));
        town.bob = bob;
    };
    resumes(&mut town);
    assert!(!is_silent(&town), "he has only just sent it again");
    town.now = token.redeem_by.before(TERMS.margin() + 1);
    resumes(&mut town);
    assert!(is_silent(&town));
    assert_eq!(town.dutiful("bob"), ["redeemToken"]);
}

#[test]
fn rule_12_before_a_key_is_revoked_its_newest_state_is_checkpointed_and_its_promises_redeemed() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.step("bob", vec![Op::of(OpKind::OutClient, Amount(10))], vec![]);
    town.pay(&token);
    assert_eq!(town.dutiful("bob"), [""; 0], "there is no reason yet");
    town.mine("treasury", &Call::AnnounceSigner { signer: address("hub 2") }).expect("the treasury may");
    town.mine("treasury", &Call::RevokeSigner { signer: address("hub") }).expect("the treasury may");
    assert_eq!(town.dutiful("bob"), ["argueClosure", "redeemToken"]);
    assert_eq!(town.contract.row(owner("bob")).seq, town.bob.seq());
    assert_eq!(town.dutiful("alice"), ["argueClosure"]);
    // The key is gone; nobody needs it any more.
    town.contract.signers.remove(&address("hub"));
    town.now = town.now.after(TERMS.grace);
    assert_eq!(town.dutiful("bob"), ["credit"]);
    let before = town.contract.balance(address("bob"), NATIVE).0;
    assert_eq!(town.end()[1], before + 130, "thirty of his own, and what he was promised");
}
