//! What a client does not sign, and what it does on chain where the hub or its key cannot be counted on any more.

use tarefa_channel::client::ClientError;
use tarefa_channel::contract::{Call, Status};
use tarefa_channel::message::{Op, OpKind, Token, TokenKind};
use tarefa_channel::transition::TransitionError;
use tarefa_channel::{Amount, B256};

use super::town::{NATIVE, TERMS, Town, address, key, owner};

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

/// Alice and Bob have states, and Bob a promise, that only the hub's old key has signed; its revocation is announced.
fn announced() -> (Town, Token) {
    let mut town = Town::new();
    town.step("bob", vec![Op::of(OpKind::OutClient, Amount(10))], vec![]);
    // It can be attached for longer than the hub has time to sign again.
    let attach_by = town.now.after(2 * TERMS.offline_bound());
    let (redeem_by, claim_by) = TERMS.deadlines(attach_by);
    let token = Token { attach_by, redeem_by, claim_by, ..town.token(TokenKind::Off, 100) };
    town.pay(&token);
    for who in ["alice", "bob"] {
        let client = town.client(who);
        assert!(!town.ask(who, |ctx| client.is_to_be_signed_again(ctx)) && town.dutiful(who).is_empty(), "{who}");
    }
    town.mine("treasury", &Call::AnnounceSigner { signer: address("hub 2") }).expect("the treasury may");
    town.mine("treasury", &Call::RevokeSigner { signer: address("hub") }).expect("the treasury may");
    (town, token)
}

#[test]
fn rule_12_what_the_hub_does_not_sign_again_is_checkpointed_and_redeemed_before_its_key_is_revoked() {
    let (mut town, _) = announced();
    // Alice asks and is not answered, Bob is away: the hub has an offline bound, and that does not begin anew for who comes late.
    town.propose("alice", vec![], vec![]);
    let over = town.now.after(TERMS.offline_bound());
    town.now = over.before(1);
    for who in ["alice", "bob"] {
        let client = town.client(who);
        assert!(town.ask(who, |ctx| client.is_to_be_signed_again(ctx)), "{who}");
        assert_eq!(town.dutiful(who), [""; 0], "{who}: nothing is at stake but the signature");
    }
    town.now = over;
    assert_eq!(town.dutiful("bob"), ["argueClosure", "redeemToken"]);
    assert_eq!(town.contract.row(owner("bob")).seq, town.bob.seq());
    assert_eq!(town.dutiful("alice"), ["argueClosure"]);
    let bob = town.client("bob");
    assert!(!town.ask("bob", |ctx| bob.is_to_be_signed_again(ctx)), "what is enforced needs no signature");
    // The key is gone; nobody needs it any more.
    town.contract.signers.remove(&address("hub"));
    town.now = town.now.after(TERMS.grace);
    assert_eq!(town.dutiful("bob"), ["credit"]);
    let before = town.contract.balance(address("bob"), NATIVE).0;
    assert_eq!(town.end()[1], before + 130, "thirty of his own, and what he was promised");
}

#[test]
fn rule_12_a_state_that_the_hub_signs_with_another_key_needs_no_checkpoint() {
    let (mut town, token) = announced();
    for (who, ops) in [("alice", vec![]), ("bob", vec![Op::on(OpKind::Attach, token.id(), Amount(100))])] {
        let proposal = town.propose(who, ops, vec![]);
        let mut client = town.client(who);
        let old = town.hub(&proposal).expect("it signs what is asked");
        assert_eq!(town.ask(who, |ctx| client.answered(&old, ctx)), Err(ClientError::Signature), "that key again");
        // Asked again, the same replica or another signs the same state with the key of now.
        let answer = town.hub_with("hub 2", &proposal).expect("the hub signs");
        town.answered(who, &answer);
        let client = town.client(who);
        assert!(!town.ask(who, |ctx| client.is_to_be_signed_again(ctx)), "{who}");
    }
    town.now = town.now.after(TERMS.revocation_delay());
    town.contract.signers.remove(&address("hub"));
    for who in ["alice", "bob"] {
        assert_eq!(town.dutiful(who), [""; 0], "{who}");
        let signed = town.client(who).signed;
        town.mine(who, &Call::Close { owner: owner(who), signed }).expect("it counts without the old key");
    }
}

#[test]
fn rule_12_what_an_on_token_needs_on_chain_does_not_wait_for_another_signature() {
    let mut town = Town::new();
    let token = town.token(TokenKind::On, 100);
    town.detach(&token);
    town.step("alice", vec![Op::of(OpKind::OutClient, Amount(10))], vec![]);
    town.mine("treasury", &Call::RevokeSigner { signer: address("hub") }).expect("the treasury may");
    assert_eq!(town.dutiful("alice"), [""; 0]);
    let alice = town.client("alice");
    let calls = town.ask("alice", |ctx| alice.execution(token.id(), ctx));
    assert_eq!(calls.iter().map(Call::function).collect::<Vec<_>>(), ["argueClosure", "attachToken(token)"]);
    calls.iter().for_each(|call| town.mine("alice", call).expect("in time, with the old key"));
    assert_eq!(town.balance("carol"), 100);
}

#[test]
fn rule_12_each_client_asks_at_its_own_time_in_the_first_half_of_what_the_hub_has() {
    let (mut town, _) = announced();
    let (begun, half) = (town.now, TERMS.offline_bound() / 2);
    let asks = ["alice", "bob"].map(|who| {
        let client = town.client(who);
        let after = (0..=half).find(|after| {
            town.now = begun.after(*after);
            town.ask(who, |ctx| client.is_to_be_signed_again(ctx))
        });
        after.expect("in the first half")
    });
    assert_ne!(asks[0], asks[1]);
}

#[test]
fn rule_12_what_is_metered_is_collected_while_the_hub_can_still_attach_it() {
    let mut town = Town::new();
    let attach_by = town.now.after(2 * TERMS.offline_bound());
    let (redeem_by, claim_by) = TERMS.deadlines(attach_by);
    let token = Token { attach_by, redeem_by, claim_by, ..town.token(TokenKind::Metered, 100) };
    let id = token.id();
    town.pay(&token);
    let (mut alice, mut bob) = (town.client("alice"), town.client("bob"));
    let vouched = town
        .ask("alice", |ctx| alice.vouch(id, Amount(60), B256::ZERO, B256::ZERO, &key("vouchers"), ctx))
        .expect("more");
    town.ask("bob", |ctx| bob.vouched(&vouched.0, &vouched.1, ctx)).expect("it counts");
    town.keep("bob", bob.clone());
    let is_due = |town: &Town| town.ask("bob", |ctx| bob.is_to_be_collected(id, ctx));
    assert!(!is_due(&town));
    town.mine("treasury", &Call::AnnounceSigner { signer: address("hub 2") }).expect("the treasury may");
    town.mine("treasury", &Call::RevokeSigner { signer: address("hub") }).expect("the treasury may");
    let over = town.now.after(TERMS.offline_bound());
    town.now = over.before(TERMS.ask() + 1);
    assert!(!is_due(&town) && town.ask("bob", |ctx| bob.wishes(ctx)).is_empty(), "there is time to earn more");
    town.now = over.before(TERMS.ask());
    assert!(is_due(&town));
    bob.collect(id);
    town.keep("bob", bob.clone());
    let attach = Op::on(OpKind::Attach, id, Amount(60));
    assert_eq!(town.ask("bob", |ctx| bob.wishes(ctx)), [attach]);
    // If the hub does not answer, that is known before its time is over.
    town.propose("bob", vec![attach], vec![]);
    town.now = town.now.after(TERMS.patience);
    assert_eq!(town.dutiful("bob"), [""; 0]);
    town.now = town.now.after(1);
    assert!(town.now < over);
    assert_eq!(town.dutiful("bob"), ["redeemToken"]);
}
