//! Findings of the reviews that the machines hold, each under its tag. `docs/protocol/review.md` has all of them.

use crate::town::{TERMS, Town, hub_signs_as, key, owner, signed_by};
use crate::{detach, metered};
use tarefa_channel::client::{Attached, ClientError};
use tarefa_channel::contract::{Call, HubWord, Redeem, RedemptionStatus, Revert, Signed};
use tarefa_channel::hub::{Proposal, Refusal, Stage};
use tarefa_channel::message::{Op, OpKind, Token, TokenKind};
use tarefa_channel::{Amount, B256};

/// What the hub says to a proposal, which its client then forgets.
fn answered(town: &mut Town, who: &str, ops: Vec<Op>, tokens: Vec<Token>) -> Result<(), Refusal> {
    let before = town.client(who);
    let proposal = town.propose(who, ops, tokens);
    town.keep(who, before);
    town.hub(&proposal).map(drop)
}

#[test]
fn tag_1_16_a_refusal_that_one_side_signed_binds_neither() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.pay(&token);
    let refund = vec![Op::on(OpKind::Refund, token.id(), Amount::ZERO)];
    // Bob has signed that he does not want it, and the hub has not (yet).
    let declining = town.propose("bob", vec![Op::on(OpKind::Decline, token.id(), Amount::ZERO)], vec![]);
    assert_eq!(answered(&mut town, "alice", refund.clone(), vec![]), Err(Refusal::NotFinal));
    assert_eq!(town.tokens[&token.id()].stage, Stage::Granted);
    // The hub alone says so, with somebody else's signature in Bob's place.
    let receipt = declining.state.receipt();
    let hub = HubWord::State(hub_signs_as("hub", &receipt, &town));
    let of = |signature| Attached { receipt: receipt.clone(), signature, hub: hub.clone() };
    let mut alice = town.alice.clone();
    let forged = of(signed_by("hub", &receipt, &town));
    let told = town.ask("alice", |ctx| alice.declined(token.id(), &forged, ctx));
    assert_eq!(told, Err(ClientError::Receipt));
    let signed = Signed { client: forged.signature, hub: hub.clone(), state: declining.state.clone() };
    assert_eq!(town.mine("hub", &Call::Argue { owner: owner("bob"), signed }), Err(Revert::BadSignature));
    // Neither is bound: Bob is still owed the token, and redeems it.
    town.bob.half = None;
    town.now = town.now.after(TERMS.patience + 1);
    assert_eq!(town.end(), [899, 130, 0, 251]);
}

#[test]
fn tag_1_22_the_last_share_is_paid_against_its_key_and_not_without() {
    let (mut town, token, secret, condition) = metered();
    let row = town.tokens[&token.id()].clone();
    let (mut alice, mut bob) = (town.alice.clone(), town.bob.clone());
    let vouched = town
        .ask("alice", |ctx| alice.vouch(token.id(), Amount(60), condition, B256::ZERO, &key("vouchers"), ctx))
        .expect("she vouches");
    town.ask("bob", |ctx| bob.vouched(&vouched.0, &vouched.1, ctx)).expect("the last one");
    bob.collect(token.id());
    (town.alice, town.bob) = (alice, bob);
    let ops = town.ask("bob", |ctx| town.bob.wishes(ctx));
    let whole = town.propose("bob", ops, vec![]);
    assert_eq!(whole.preimages, [(token.id(), secret)]);
    for wrong in [vec![], vec![(token.id(), B256::ZERO)], vec![(token.id(), B256::repeat_byte(8))]] {
        let without = Proposal { preimages: wrong, ..whole.clone() };
        assert_eq!(town.hub(&without), Err(Refusal::Evidence(token.id())), "the hub would pay, and Alice not");
    }
    // Nor does the contract pay without it.
    let redeem = |preimage| {
        let (grant, hub) = (row.grant, row.hub.clone());
        let (owner, token, voucher) = (owner("bob"), token.clone(), Some(vouched));
        Call::Redeem(Box::new(Redeem { owner, token, grant, hub, voucher, preimage, auth: None }))
    };
    assert_eq!(town.mine("bob", &redeem(B256::ZERO)), Err(Revert::BadPreimage));
    assert_eq!(town.mine("bob", &redeem(B256::repeat_byte(8))), Err(Revert::BadPreimage));
    let answer = town.hub(&whole).expect("with the key");
    town.answered("bob", &answer);
    let attached = town.attached("bob");
    let mut alice = town.alice.clone();
    let receipt = town.ask("alice", |ctx| alice.receipt(token.id(), &attached, Some(B256::repeat_byte(8)), ctx));
    assert_eq!(receipt, Err(ClientError::Receipt), "another key opens nothing");
    town.ask("alice", |ctx| alice.receipt(token.id(), &attached, Some(secret), ctx)).expect("paid");
    town.alice = alice;
    assert_eq!(town.end(), [939, 90, 0, 251]);
}

#[test]
fn tag_1_24_the_hub_countersigns_no_attach_whose_redemption_is_visible() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.pay(&token);
    let attach = vec![Op::on(OpKind::Attach, token.id(), Amount(100))];
    let before = town.bob.clone();
    let attach = town.propose("bob", attach, vec![]);
    town.now = town.now.after(TERMS.patience + 1);
    assert_eq!(town.dutiful("bob"), ["redeemToken"]);
    town.bob = before;
    // As soon as it is seen: once both count, Bob has it twice.
    town.settled = false;
    assert_eq!(town.hub(&attach), Err(Refusal::Redeeming(token.id())));
    let decline = vec![Op::on(OpKind::Decline, token.id(), Amount::ZERO)];
    assert_eq!(answered(&mut town, "bob", decline, vec![]), Err(Refusal::Redeeming(token.id())));
    town.settled = true;
    town.now = town.now.after(TERMS.grace);
    assert_eq!(town.hub(&attach), Err(Refusal::Redeeming(token.id())), "nor once it is over");
    assert_eq!(town.end(), [899, 130, 0, 251]);
    assert_eq!(town.contract.redemptions[&token.id()].status, RedemptionStatus::Credited);
}

#[test]
fn tag_1_25_by_an_old_block_nobody_decides_anything() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Metered, 100);
    let off = Token { index: 1, invoice: B256::with_last_byte(2), ..town.token(TokenKind::Off, 50) };
    town.step("alice", [detach(&token), detach(&off)].concat(), vec![token.clone(), off.clone()]);
    let [metered, plain] = [&token, &off].map(|token| town.tokens[&token.id()].clone());
    town.offer(&token);
    let vouch = |town: &Town, amount| {
        let mut alice = town.alice.clone();
        let keys = key("vouchers");
        town.ask("alice", |ctx| alice.vouch(token.id(), Amount(amount), B256::ZERO, B256::ZERO, &keys, ctx))
    };
    let voucher = vouch(&town, 40).expect("she vouches");
    let proposal = town.propose("bob", vec![Op::on(OpKind::Decline, token.id(), Amount::ZERO)], vec![]);

    town.fresh = false;
    assert_eq!(town.hub(&proposal), Err(Refusal::Blind));
    let again = town.alice.signed.clone().expect("signed");
    let again = Proposal {
        state: again.state,
        client: again.client,
        tokens: vec![token.clone(), off.clone()],
        vouchers: vec![],
        preimages: vec![],
    };
    assert_eq!(town.hub(&again), Err(Refusal::Blind), "not even what it has said before");
    assert_eq!(vouch(&town, 41), Err(ClientError::Blind));
    let mut bob = town.bob.clone();
    let offered = town.ask("bob", |ctx| bob.offered(&off, &plain.grant, &plain.hub, None, ctx));
    assert_eq!(offered, Err(ClientError::Blind));
    let unwanted = town.ask("bob", |ctx| bob.unwanted(&token, &metered.grant, &metered.hub, ctx));
    assert_eq!(unwanted, Err(ClientError::Blind));
    assert_eq!(town.ask("bob", |ctx| bob.vouched(&voucher.0, &voucher.1, ctx)), Err(ClientError::Blind));

    town.fresh = true;
    let answer = town.hub(&proposal).expect("the hub sees again");
    town.fresh = false;
    assert_eq!(town.ask("bob", |ctx| bob.answered(&answer, ctx)), Err(ClientError::Blind));
    town.fresh = true;
    town.answered("bob", &answer);
    let declined = town.attached("bob");
    town.fresh = false;
    let mut alice = town.alice.clone();
    assert_eq!(town.ask("alice", |ctx| alice.declined(token.id(), &declined, ctx)), Err(ClientError::Blind));
    assert_eq!(town.ask("alice", |ctx| alice.receipt(off.id(), &declined, None, ctx)), Err(ClientError::Blind));
    assert_eq!(alice, town.alice, "and nothing has changed");
}

/// Alice's payment is refused, and she books something out instead. Then the hub closes with the refused state after all.
fn signed_later(next_is_signed: bool) -> (Town, Token) {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 201);
    let refused = town.propose("alice", detach(&token), vec![token.clone()]);
    assert_eq!(town.hub(&refused), Err(Refusal::Cover(token.id())));
    town.alice.refused();
    let next = town.propose("alice", vec![Op::of(OpKind::OutClient, Amount(5))], vec![]);
    assert!(next.state.seq > refused.state.seq, "never two states with one number");
    if next_is_signed {
        let answer = town.hub(&next).expect("it is fine");
        town.answered("alice", &answer);
    }
    let hub = HubWord::State(hub_signs_as("hub", &refused.state, &town));
    let signed = Some(Signed { state: refused.state, client: refused.client, hub });
    town.mine("hub", &Call::Close { owner: owner("alice"), signed }).expect("both have signed it");
    (town, token)
}

#[test]
fn tag_1_27_a_refused_proposal_that_is_signed_later_loses_nothing_beside_another_one() {
    // The other one is newer: it counts.
    let (mut town, _) = signed_later(true);
    assert_eq!(town.dutiful("alice"), ["argueClosure"]);
    assert_eq!(town.end(), [1000, 30, 0, 250]);
    // The other one is Alice's alone: she goes on with the refused one, and has the token back once nobody can claim it.
    let (mut town, token) = signed_later(false);
    town.dutiful("alice");
    assert!(town.alice.position.pending.contains(&token.id()));
    assert_eq!(town.end(), [1000, 30, 0, 250]);
}

#[test]
fn tag_1_12_what_is_promised_to_one_payer_is_not_promised_to_the_next() {
    let mut town = Town::new();
    let bob = town.bob.id;
    let share = town.channels[&bob].position.balances.hub;
    let mut promised = Amount::ZERO;
    // Alice is all of them: each with a channel of its own.
    for number in 1..=20 {
        let name = format!("payer {number}");
        town.alice = town.opens(&name, 1000, 50);
        let token = Token { invoice: B256::with_last_byte(number), ..town.token(TokenKind::Off, 30) };
        let proposal = {
            let mut client = town.alice.clone();
            town.ask(&name, |ctx| client.propose(detach(&token), vec![token.clone()], false, ctx).cloned())
        };
        match town.hub(&proposal.expect("it fits")) {
            Ok(_) => promised = promised.plus(token.value).expect("small"),
            Err(refusal) => assert_eq!(refusal, Refusal::Cover(token.id())),
        }
        assert_eq!(town.channels[&bob].reserved, promised);
    }
    assert_eq!(promised, Amount(180), "of {share:?}: six times 30, and the seventh does not fit");
}
