//! Clients and hub with real signatures: payments as they should go, and what each side refuses.

mod defence;
mod refusals;
mod review;
mod town;

use sha2::{Digest as _, Sha256};
use tarefa_channel::client::{Attached, Client, ClientError};
use tarefa_channel::contract::{Call, HubWord, RedemptionStatus, Signed, Status};
use tarefa_channel::hub::{Answer, HubToken, Refusal, Stage};
use tarefa_channel::message::{Op, OpKind, State, Token, TokenKind, Voucher};
use tarefa_channel::sign::Signature;
use tarefa_channel::terms::DeadlineError;
use tarefa_channel::transition::{Side, TransitionError, side_word};
use tarefa_channel::{Amount, B256, Time, TokenId};
use town::{TERMS, Town, address, hub_signs_as, key, owner, signed_by};

fn detach(token: &Token) -> Vec<Op> {
    vec![Op::on(OpKind::Detach, token.id(), token.cost().expect("small"))]
}

/// What the hub says to Alice's proposal of this token.
fn refused(town: &mut Town, token: &Token) -> Refusal {
    let before = town.alice.clone();
    let proposal = town.propose("alice", detach(token), vec![token.clone()]);
    let refusal = town.hub(&proposal).expect_err("the hub refuses");
    town.alice = before;
    refusal
}

#[test]
fn a_payment_is_detached_attached_receipted_and_settled() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.pay(&token);
    assert_eq!(town.channels[&town.bob.id].reserved, Amount(100));
    assert_eq!(town.wish("bob"), [Op::on(OpKind::Attach, token.id(), Amount(100))]);
    assert_eq!(town.channels[&town.bob.id].reserved, Amount::ZERO);
    assert_eq!(town.channels[&town.alice.id].unsettled, Amount(100));
    let attached = town.attached("bob");
    let mut alice = town.alice.clone();
    town.ask("alice", |ctx| alice.receipt(token.id(), &attached, None, ctx)).expect("it is Bob's");
    town.alice = alice;
    assert_eq!(town.wish("alice"), [Op::on(OpKind::Settle, token.id(), Amount(100))]);
    assert_eq!(town.alice.position.balances.client, Amount(899));
    assert_eq!(town.bob.position.balances.client, Amount(130));
    assert!(matches!(town.tokens[&token.id()].stage, Stage::Landed(Some(_))), "and the receipt is kept");
    assert_eq!(town.end(), [899, 130, 0, 251]);
}

#[test]
fn the_same_proposal_gets_the_same_answer_and_another_with_its_number_none() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    let proposal = town.propose("alice", detach(&token), vec![token.clone()]);
    let first = town.hub(&proposal).expect("signed");
    assert_eq!(town.hub(&proposal), Ok(first.clone()));
    assert_eq!(town.channels[&town.bob.id].next_payee_seq.get(), 1, "granted once");
    let mut other = proposal.clone();
    other.state.ops = vec![Op::of(OpKind::OutClient, Amount(5))];
    other.client = signed_by("alice", &other.state, &town);
    assert_eq!(town.hub(&other), Err(Refusal::Conflict(TransitionError::Stale(1, 1))));
    town.answered("alice", &first);
    town.step("alice", vec![Op::of(OpKind::OutClient, Amount(5))], vec![]);
    assert_eq!(town.hub(&proposal), Err(Refusal::Conflict(TransitionError::Stale(1, 2))), "an old one sent again");
}

#[test]
fn a_stranger_cannot_propose() {
    let mut town = Town::new();
    let mut proposal = town.propose("alice", vec![Op::of(OpKind::OutClient, Amount(5))], vec![]);
    proposal.client = signed_by("mallory", &proposal.state, &town);
    assert_eq!(town.hub(&proposal), Err(Refusal::Signature));
    proposal.state.channel = Default::default();
    assert_eq!(town.hub(&proposal), Err(Refusal::UnknownChannel));
}

#[test]
fn balances_that_the_operations_do_not_make_are_refused() {
    let mut town = Town::new();
    let mut proposal = town.propose("alice", vec![Op::of(OpKind::OutClient, Amount(5))], vec![]);
    proposal.state.balances.client = Amount(1000);
    proposal.client = signed_by("alice", &proposal.state, &town);
    assert_eq!(town.hub(&proposal), Err(Refusal::Conflict(TransitionError::Balances)));
}

#[test]
fn a_token_must_fit_the_terms() {
    let mut town = Town::new();
    let good = town.token(TokenKind::Off, 100);
    let with = |change: &dyn Fn(&mut Token)| {
        let mut token = good.clone();
        change(&mut token);
        token
    };
    let late = with(&|token| token.attach_by = Time(1000));
    assert_eq!(
        refused(&mut town, &late),
        Refusal::Deadline(late.id(), DeadlineError::Passed { attach_by: 1000, now: 1000 })
    );
    let near = with(&|token| token.redeem_by = token.redeem_by.before(1));
    assert!(matches!(refused(&mut town, &near), Refusal::Deadline(_, DeadlineError::Redeem { distance: 110, .. })));
    let near = with(&|token| token.claim_by = token.claim_by.before(1));
    assert!(matches!(refused(&mut town, &near), Refusal::Deadline(_, DeadlineError::Claim { .. })));
    let long = with(&|token| token.claim_by = Time(11_001));
    assert!(matches!(refused(&mut town, &long), Refusal::Deadline(_, DeadlineError::Life { life: 10_000, .. })));
    let cheap = with(&|token| token.fee = Amount::ZERO);
    assert_eq!(refused(&mut town, &cheap), Refusal::Fee(cheap.id()));
    let dust = with(&|token| token.value = Amount(1));
    assert_eq!(refused(&mut town, &dust), Refusal::Dust(dust.id()));
    let keyed = with(&|token| token.voucher_key = address("vouchers"));
    assert_eq!(refused(&mut town, &keyed), Refusal::Malformed(keyed.id()));
    let unknown = with(&|token| token.invoice = B256::repeat_byte(9));
    assert_eq!(refused(&mut town, &unknown), Refusal::Invoice(unknown.id()));
    let large = with(&|token| token.value = Amount(501));
    assert_eq!(refused(&mut town, &large), Refusal::Invoice(large.id()));
    let uncovered = with(&|token| token.value = Amount(201));
    assert_eq!(refused(&mut town, &uncovered), Refusal::Cover(uncovered.id()));
    let misnamed = with(&|token| token.index = 1);
    assert_eq!(refused(&mut town, &misnamed), Refusal::Misnamed(misnamed.id()));
    let itself = with(&|token| token.payee = token.payer_channel.0);
    assert_eq!(refused(&mut town, &itself), Refusal::Invoice(itself.id()));
    town.pay(&good);
}

#[test]
fn an_invoice_serves_one_token() {
    let mut town = Town::new();
    let first = town.token(TokenKind::Off, 10);
    town.pay(&first);
    let mut second = town.token(TokenKind::Off, 10);
    second.invoice = first.invoice;
    assert_eq!(refused(&mut town, &second), Refusal::Invoice(second.id()));
}

#[test]
fn a_payer_has_so_many_tokens_in_flight() {
    let mut town = Town::new();
    for _ in 0..TERMS.live_tokens {
        let token = town.token(TokenKind::Off, 10);
        town.pay(&token);
    }
    let one_more = town.token(TokenKind::Off, 10);
    assert_eq!(refused(&mut town, &one_more), Refusal::Live(3));
}

#[test]
fn what_is_promised_to_a_payee_is_covered_once() {
    let mut town = Town::new();
    let first = town.token(TokenKind::Off, 150);
    town.pay(&first);
    let second = town.token(TokenKind::Off, 51);
    assert_eq!(refused(&mut town, &second), Refusal::Cover(second.id()));
    let smaller = town.token(TokenKind::Off, 50);
    town.pay(&smaller);
}

#[test]
fn a_payee_does_not_count_on_what_the_hub_cannot_pay() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.detach(&token);
    let row = town.tokens[&token.id()].clone();
    let mut bob = town.bob.clone();
    let counted = |town: &Town, bob: &mut tarefa_channel::client::Client| {
        town.ask("bob", |ctx| bob.offered(&token, &row.grant, &row.hub, None, ctx))
    };
    bob.position.balances.hub = Amount(99);
    assert_eq!(counted(&town, &mut bob), Err(ClientError::Cover));
    bob = town.bob.clone();
    bob.leaving = true;
    assert_eq!(counted(&town, &mut bob), Err(ClientError::Ended));
    bob = town.bob.clone();
    town.now = token.attach_by.before(5);
    assert_eq!(counted(&town, &mut bob), Err(ClientError::Late));
    town.now = Time(1000);
    town.mine("treasury", &Call::RevokeSigner { signer: address("hub") }).expect("the treasury may");
    assert_eq!(counted(&town, &mut bob), Err(ClientError::Signature), "1.3: announced is enough");
}

#[test]
fn a_token_whose_share_a_redemption_has_taken_does_not_count() {
    let mut town = Town::new();
    let first = town.token(TokenKind::Off, 150);
    town.pay(&first);
    // The hub says nothing: Bob redeems, and the contract takes it from the hub's share before any state knows.
    town.now = first.attach_by;
    town.dutiful("bob");
    town.now = town.now.after(TERMS.grace);
    assert_eq!(town.dutiful("bob"), ["credit"]);
    let ctx_share = town.ask("bob", |ctx| town.bob.hub_share(ctx));
    assert_eq!(ctx_share, Amount(50));
    assert_eq!(town.wish("bob"), [Op::on(OpKind::In, first.id(), Amount(150))]);
    assert_eq!(town.bob.position.balances.hub, Amount(50));
    assert_eq!(town.bob.position.balances.client, Amount(180));
    assert_eq!(town.end(), [849, 180, 0, 251]);
}

#[test]
fn a_hub_that_refuses_the_attach_is_redeemed_against() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.pay(&token);
    town.propose("bob", vec![Op::on(OpKind::Attach, token.id(), Amount(100))], vec![]);
    assert!(town.dutiful("bob").is_empty(), "it still waits");
    town.now = town.now.after(TERMS.patience + 1);
    assert_eq!(town.dutiful("bob"), ["redeemToken"]);
    // The hub sees it, and signs no attach any more (1.24).
    let proposal = town.bob.half.clone().expect("under way").proposal;
    assert_eq!(town.hub(&proposal), Err(Refusal::Redeeming(token.id())));
    assert_eq!(town.end(), [899, 130, 0, 251]);
}

#[test]
fn of_what_is_attached_nothing_stays_unless_its_redemption_may_still_begin() {
    let mut town = Town::new();
    for _ in 0..2 {
        let token = town.token(TokenKind::Off, 20);
        town.pay(&token);
        town.wish("bob");
    }
    assert!(
        town.bob.earning.is_empty() && town.bob.done.is_empty(),
        "else each payment costs more than the one before"
    );
    // The hub is silent, so Bob redeems; then it signs the attach after all.
    let token = town.token(TokenKind::Off, 20);
    town.pay(&token);
    let late = town.propose("bob", vec![Op::on(OpKind::Attach, token.id(), Amount(20))], vec![]);
    town.now = town.now.after(TERMS.patience + 1);
    assert_eq!(town.dutiful("bob"), ["redeemToken"]);
    let word = HubWord::State(hub_signs_as("hub", &late.state, &town));
    town.answered("bob", &Answer { state: late.state.hash(), word, grants: vec![] });
    assert_eq!(town.bob.done, [token], "nobody voids it, so Bob sees to its end");
    town.now = town.now.after(TERMS.grace);
    assert_eq!(town.dutiful("bob"), ["credit"]);
}

/// Bob attaches a token, forgets it on purpose and redeems it; with Bob as he was before he forgot.
fn forgets_and_redeems() -> (Town, Token, Client) {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.pay(&token);
    let before = town.bob.clone();
    town.wish("bob");
    let attached = std::mem::replace(&mut town.bob, before);
    town.now = town.now.after(TERMS.patience + 1);
    town.bob.leaving = true;
    assert!(town.dutiful("bob").contains(&"redeemToken"));
    (town, token, attached)
}

#[test]
fn a_payee_that_redeems_what_it_has_attached_gets_it_once() {
    let (mut town, token, attached) = forgets_and_redeems();
    assert_eq!(town.hub_dutiful("bob"), ["argueRedemptionToken"]);
    assert_eq!(town.contract.redemptions[&token.id()].status, RedemptionStatus::Void);
    town.bob = attached;
    assert_eq!(town.end(), [899, 130, 0, 251]);
}

#[test]
fn a_payee_that_enforces_its_next_state_first_does_not_save_a_redemption_of_what_it_has_attached() {
    let (mut town, token, attached) = forgets_and_redeems();
    // The hub's call is on its way when Bob, in an open channel as far as it knows, enforces a newer state.
    town.bob = attached;
    let (owner, older) = (town.bob.owner, town.newest("bob"));
    let state = State { seq: older.state.seq.forward(1).expect("small"), ..older.state.clone() };
    let client = signed_by("bob", &state, &town);
    let newer = Signed { client, hub: HubWord::State(hub_signs_as("hub", &state, &town)), state };
    town.mine("bob", &Call::Argue { owner, signed: newer }).expect("it is newer");
    town.mine("hub", &Call::ArgueRedemption { owner, signed: older, tokens: vec![token.clone()] })
        .expect("it shows as much");
    assert_eq!(town.contract.redemptions[&token.id()].status, RedemptionStatus::Void);
}

#[test]
fn a_hub_that_is_silent_for_ever_takes_nobody_along() {
    let mut town = Town::new();
    // One payment has arrived and is not settled, one is promised, of one nobody was told, and one is proposed when it falls silent.
    let [arrived, promised, untold] = [10, 20, 40].map(|value| {
        let token = town.token(TokenKind::Off, value);
        town.detach(&token);
        token
    });
    town.offer(&arrived);
    town.wish("bob");
    town.offer(&promised);
    town.propose("bob", vec![Op::on(OpKind::Attach, promised.id(), Amount(20))], vec![]);
    let proposed = town.token(TokenKind::Off, 80);
    town.propose("alice", detach(&proposed), vec![proposed.clone()]);
    let over = untold.claim_by.after(2 * TERMS.grace);
    while town.now < over {
        // Her proposal has no answer, so she leaves by herself. He has what he is due once that is redeemed, and leaves when he likes.
        town.bob.leaving = town.contract.row(owner("alice")).status != Status::Open;
        town.now = town.now.after(TERMS.patience);
        for who in ["alice", "bob"] {
            town.dutiful(who);
        }
    }
    for who in ["alice", "bob"] {
        assert_eq!(town.contract.row(owner(who)).status, Status::None, "{who}'s channel is final");
    }
    // Whoever redeems claims of the payer by that; what was attached, nobody but the hub would claim.
    assert_eq!(["alice", "bob", "treasury"].map(|who| town.balance(who)), [979, 60, 241]);
}

#[test]
fn a_hub_that_refuses_the_detach_is_left() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.propose("alice", detach(&token), vec![token.clone()]);
    town.now = town.now.after(TERMS.patience + 1);
    assert_eq!(town.dutiful("alice"), ["close"]);
    assert_eq!(town.end(), [1000, 30, 0, 250]);
}

#[test]
fn a_payer_whose_detach_is_refused_leaves_with_its_newest_state() {
    let mut town = Town::new();
    town.step("alice", vec![Op::of(OpKind::OutClient, Amount(10))], vec![]);
    let token = town.token(TokenKind::Off, 201);
    let proposal = town.propose("alice", detach(&token), vec![token.clone()]);
    assert_eq!(town.hub(&proposal), Err(Refusal::Cover(token.id())));
    town.alice.refused();
    town.alice.leaving = true;
    assert_eq!(town.dutiful("alice"), ["close"]);
    assert_eq!(town.contract.row(owner("alice")).seq.get(), 1, "not at the implicit state");
    assert_eq!(town.end(), [1000, 30, 0, 250]);
}

#[test]
fn tag_1_17_an_on_token_that_is_not_executed_comes_back_once_redeem_by_is_over_and_not_before() {
    let mut town = Town::new();
    let token = town.token(TokenKind::On, 100);
    town.detach(&token);
    let refund = vec![Op::on(OpKind::Refund, token.id(), Amount::ZERO)];
    town.now = token.redeem_by.before(1);
    assert!(town.wish("alice").is_empty());
    let before = town.alice.clone();
    let early = town.propose("alice", refund.clone(), vec![]);
    assert_eq!(town.hub(&early), Err(Refusal::NotFinal));
    town.alice = before;
    town.now = token.redeem_by;
    assert_eq!(town.wish("alice"), refund);
    assert_eq!(town.end(), [1000, 30, 0, 250]);
}

#[test]
fn what_the_payee_never_collects_comes_back_after_claim_by_and_not_before() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.detach(&token);
    town.now = token.claim_by.before(1);
    assert!(town.wish("alice").is_empty());
    let refund = vec![Op::on(OpKind::Refund, token.id(), Amount::ZERO)];
    let before = town.alice.clone();
    let early = town.propose("alice", refund.clone(), vec![]);
    assert_eq!(town.hub(&early), Err(Refusal::NotFinal));
    town.alice = before;
    town.now = token.claim_by;
    assert_eq!(town.wish("alice"), refund);
    assert_eq!(town.channels[&town.bob.id].reserved, Amount::ZERO, "1.12: the promise is released");
    assert_eq!(town.end(), [1000, 30, 0, 250]);
}

#[test]
fn a_declined_token_comes_back_at_once() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.pay(&token);
    town.step("bob", vec![Op::on(OpKind::Decline, token.id(), Amount::ZERO)], vec![]);
    let declined = town.attached("bob");
    // 1.27: on the payee's word alone she would pay elsewhere, and the token could still be attached.
    let mut alone = declined.clone();
    alone.hub = HubWord::State(hub_signs_as("bob", &alone.receipt, &town));
    let mut alice = town.alice.clone();
    assert_eq!(town.ask("alice", |ctx| alice.declined(token.id(), &alone, ctx)), Err(ClientError::Signature));
    town.ask("alice", |ctx| alice.declined(token.id(), &declined, ctx)).expect("doubly signed");
    town.alice = alice;
    assert_eq!(town.wish("alice"), [Op::on(OpKind::Refund, token.id(), Amount::ZERO)]);
    assert_eq!(town.end(), [1000, 30, 0, 250]);
}

#[test]
fn a_decline_is_no_reason_to_pay_elsewhere_and_a_refund_is() {
    // Bob and the hub are one, or Bob was granted the token twice: there is an attach of it and a decline.
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.pay(&token);
    town.wish("bob");
    let attached = town.newest("bob");
    let ops = vec![Op::on(OpKind::Decline, token.id(), Amount::ZERO)];
    let declining = State { seq: attached.state.seq.forward(1).expect("small"), ops, ..attached.state };
    let receipt = declining.receipt();
    let hub = HubWord::State(hub_signs_as("hub", &receipt, &town));
    let declined = Attached { signature: signed_by("bob", &receipt, &town), receipt, hub };
    let mut alice = town.alice.clone();
    town.ask("alice", |ctx| alice.declined(token.id(), &declined, ctx)).expect("both have signed it");
    let asked = town.ask("alice", |ctx| alice.wishes(ctx));
    assert_eq!(asked, [Op::on(OpKind::Refund, token.id(), Amount::ZERO)]);
    // The hub does not refund, and claims with the attach: she has paid, and must not have paid again.
    town.alice = alice;
    let refund = town.propose("alice", asked, vec![]);
    assert_eq!(town.hub(&refund), Err(Refusal::Stage(token.id())));
    town.now = town.now.after(TERMS.patience + 1);
    assert_eq!(town.dutiful("alice"), ["close"]);
    assert_eq!(town.end(), [899, 130, 0, 251]);
}

/// Bob counts on a METERED token of 100, and can reveal what its last voucher will ask for.
fn metered() -> (Town, Token, B256, B256) {
    let mut town = Town::new();
    let secret = B256::repeat_byte(7);
    let condition = B256::from_slice(&Sha256::digest(secret));
    let token = town.token(TokenKind::Metered, 100);
    town.detach(&token);
    town.offer_against(&token, Some(secret));
    (town, token, secret, condition)
}

#[test]
fn a_metered_token_pays_what_was_vouched_for_and_the_last_of_it_against_the_key() {
    let (mut town, token, secret, condition) = metered();
    let (mut alice, mut bob) = (town.alice.clone(), town.bob.clone());
    let vouchers = key("vouchers");
    let mut vouch = |cumulative, condition| {
        town.ask("alice", |ctx| alice.vouch(token.id(), Amount(cumulative), condition, B256::ZERO, &vouchers, ctx))
    };
    let (first, signature) = vouch(40, B256::ZERO).expect("she vouches");
    assert_eq!(vouch(40, B256::ZERO), Err(ClientError::Voucher), "nothing new");
    assert_eq!(vouch(101, B256::ZERO), Err(ClientError::Voucher), "above the value");
    let (last, last_signature) = vouch(60, condition).expect("she vouches");
    assert_eq!(vouch(70, B256::ZERO), Err(ClientError::Voucher), "after the last there is none");
    town.ask("bob", |ctx| bob.vouched(&first, &signature, ctx)).expect("a voucher");
    assert_eq!(town.ask("bob", |ctx| bob.vouched(&first, &signature, ctx)), Err(ClientError::Voucher), "twice");
    town.ask("bob", |ctx| bob.vouched(&last, &last_signature, ctx)).expect("the last one");
    bob.collect(token.id());
    town.bob = bob;
    assert_eq!(town.wish("bob"), [Op::on(OpKind::Attach, token.id(), Amount(60))]);
    let row = town.tokens[&token.id()].clone();
    assert_eq!(row.preimage, secret, "the hub has it for the payer");
    let attached = town.attached("bob");
    let receive = |alice: &mut tarefa_channel::client::Client, key| {
        town.ask("alice", |ctx| alice.receipt(token.id(), &attached, key, ctx))
    };
    assert_eq!(receive(&mut alice, None), Err(ClientError::Receipt), "without the key nothing is due");
    receive(&mut alice, Some(secret)).expect("paid");
    town.alice = alice;
    assert_eq!(town.wish("alice"), [Op::on(OpKind::Settle, token.id(), Amount(60))]);
    assert_eq!(town.end(), [939, 90, 0, 251]);
}

#[test]
fn an_on_token_pays_an_address_and_is_settled_once_executed() {
    let mut town = Town::new();
    let token = town.token(TokenKind::On, 100);
    town.detach(&token);
    let row = town.tokens[&token.id()].clone();
    let HubWord::Grant(grant, hub) = row.word() else { panic!("granted") };
    let signed = town.newest("alice");
    let attach = tarefa_channel::contract::AttachToken {
        owner: owner("alice"),
        token: token.clone(),
        grant,
        hub,
        state: signed.state,
        client: signed.client,
        index: 0,
        proof: vec![],
    };
    let call = Call::AttachToken(Box::new(attach));
    town.mine("carol", &call).expect("anyone may");
    assert!(town.mine("carol", &call).is_err(), "1.17: once");
    assert_eq!(town.balance("carol"), 100);
    assert_eq!(town.wish("alice"), [Op::on(OpKind::Settle, token.id(), Amount(100))]);
    assert_eq!(town.alice.position.balances.on_out, Amount(100));
    assert_eq!(town.end(), [898, 30, 100, 252]);
}

#[test]
fn money_goes_in_and_out_while_the_channel_runs() {
    let mut town = Town::new();
    let deposit = Call::Deposit { owner: owner("alice"), side: Side::Client, amount: Amount(70), from_balance: false };
    town.mine("alice", &deposit).expect("anyone may");
    let expected = Op { kind: OpKind::In, token: side_word(Side::Client), amount: Amount(70) };
    assert_eq!(town.wish("alice"), [expected]);
    assert_eq!(town.alice.position.balances.client, Amount(1070));
    town.step("alice", vec![Op::of(OpKind::OutClient, Amount(300))], vec![]);
    let signed = town.newest("alice");
    let call = Call::AttachState { owner: owner("alice"), signed };
    town.mine("alice", &call).expect("carried out");
    assert_eq!(town.balance("alice"), 300);
    town.mine("alice", &call).expect("again, without effect");
    assert_eq!(town.balance("alice"), 300, "cumulative");
    assert_eq!(town.end(), [1070, 30, 0, 250]);
}

#[test]
fn a_deposit_that_is_not_there_and_a_redemption_as_a_deposit_are_refused() {
    let mut town = Town::new();
    let claim = Op { kind: OpKind::In, token: side_word(Side::Client), amount: Amount(70) };
    let before = town.alice.clone();
    let proposal = town.propose("alice", vec![claim], vec![]);
    assert_eq!(town.hub(&proposal), Err(Refusal::NotFinal));
    town.alice = before;
    let token = town.token(TokenKind::Off, 100);
    town.pay(&token);
    town.now = token.attach_by;
    town.dutiful("bob");
    town.now = town.now.after(TERMS.grace);
    town.dutiful("bob");
    // 1.5: the contract counts the redemption in clientIn; as a deposit it would leave the hub's share as it was.
    let as_deposit = Op { kind: OpKind::In, token: side_word(Side::Client), amount: Amount(100) };
    let proposal = town.propose("bob", vec![as_deposit], vec![]);
    assert_eq!(town.hub(&proposal), Err(Refusal::NotFinal));
}

#[test]
fn a_last_state_ends_the_channel_at_once_and_forbids_another() {
    let mut town = Town::new();
    town.step("alice", vec![Op::of(OpKind::OutClient, Amount(10))], vec![]);
    let mut alice = town.alice.clone();
    let proposal = town.ask("alice", |ctx| alice.propose(vec![], vec![], true, ctx).cloned()).expect("it fits");
    let answer = town.hub(&proposal).expect("signed");
    town.ask("alice", |ctx| alice.answered(&answer, ctx)).expect("answered");
    assert_eq!(
        town.ask("alice", |ctx| alice.propose(vec![Op::of(OpKind::OutClient, Amount(1))], vec![], false, ctx).cloned()),
        Err(ClientError::Ended)
    );
    let mut next = proposal.clone();
    next.state.seq = next.state.seq.forward(1).expect("small");
    next.state.last = false;
    next.client = signed_by("alice", &next.state, &town);
    assert_eq!(town.hub(&next), Err(Refusal::Conflict(TransitionError::Last)));
    let call = Call::CloseLast { owner: owner("alice"), signed: alice.signed.clone().expect("doubly signed") };
    town.mine("hub", &call).expect("both have signed");
    assert_eq!(town.contract.row(owner("alice")).status, Status::None);
    assert_eq!(town.balance("alice"), 1000);
}

#[test]
fn a_payer_that_never_settles_is_closed_in_time() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.pay(&token);
    town.wish("bob");
    assert!(town.hub_dutiful("alice").is_empty());
    town.now = token.claim_by.before(TERMS.offline_bound() + 2 * TERMS.inclusion + TERMS.reorg + 1);
    assert_eq!(town.hub_dutiful("alice"), ["close", "resolve"], "both at once: it may be away when the close is mined");
    assert_eq!(town.end(), [899, 130, 0, 251]);
}

#[test]
fn the_hub_answers_an_old_state_with_the_newest() {
    let mut town = Town::new();
    town.step("alice", vec![Op::of(OpKind::OutClient, Amount(10))], vec![]);
    let old = town.newest("alice");
    town.step("alice", vec![Op::of(OpKind::OutClient, Amount(20))], vec![]);
    town.mine("alice", &Call::Close { owner: owner("alice"), signed: Some(old) }).expect("she may");
    assert_eq!(town.hub_dutiful("alice"), ["argueClosure"]);
    assert_eq!(town.contract.row(owner("alice")).seq.get(), 2);
    assert_eq!(town.end(), [1000, 30, 0, 250]);
}

#[test]
fn an_unknown_token_cannot_be_attached_settled_or_refunded() {
    let town = Town::new();
    let ghost = TokenId(B256::repeat_byte(3));
    for kind in [OpKind::Attach, OpKind::Settle, OpKind::Refund, OpKind::Decline, OpKind::Detach] {
        let mut bob = town.bob.clone();
        let proposed =
            town.ask("bob", |ctx| bob.propose(vec![Op::on(kind, ghost, Amount(1))], vec![], false, ctx).cloned());
        assert_eq!(proposed, Err(ClientError::Transition(TransitionError::Unknown(0))), "{kind:?}");
    }
}

#[test]
fn a_settle_rides_in_the_next_detach_even_at_the_cap() {
    let mut town = Town::new();
    let tokens: Vec<Token> = (0..TERMS.live_tokens)
        .map(|_| {
            let token = town.token(TokenKind::Off, 10);
            town.pay(&token);
            token
        })
        .collect();
    town.wish("bob");
    let attached = town.attached("bob");
    let mut alice = town.alice.clone();
    town.ask("alice", |ctx| alice.receipt(tokens[0].id(), &attached, None, ctx)).expect("all three are in it");
    town.alice = alice;
    let next = town.token(TokenKind::Off, 10);
    let ops = [vec![Op::on(OpKind::Settle, tokens[0].id(), Amount(10))], detach(&next)].concat();
    town.step("alice", ops, vec![next]);
}

#[test]
fn a_token_of_the_wrong_shape_or_with_a_condition_that_cannot_be_met_does_not_count() {
    let mut town = Town::new();
    let good = town.token(TokenKind::Off, 10);
    let with = |change: &dyn Fn(&mut Token)| {
        let mut token = good.clone();
        change(&mut token);
        token
    };
    let offered = |town: &Town, token: &Token, preimage| {
        let grant = tarefa_channel::message::Grant {
            token: token.id(),
            payee_seq: town::seq(0),
            payer_state: Default::default(),
        };
        let hub = hub_signs_as("hub", &grant, town);
        let mut bob = town.bob.clone();
        town.ask("bob", |ctx| bob.offered(token, &grant, &hub, preimage, ctx))
    };
    let keyed = with(&|token| token.voucher_key = address("vouchers"));
    assert_eq!(offered(&town, &keyed, None), Err(ClientError::Token), "an OFF token that looks METERED");
    let unreadable = with(&|token| token.claim_by = Time(1 << 40));
    assert_eq!(offered(&town, &unreadable, None), Err(ClientError::Token), "the contract could not read it");
    let secret = B256::repeat_byte(7);
    let conditional = with(&|token| token.condition = B256::from_slice(&Sha256::digest(secret)));
    assert_eq!(offered(&town, &conditional, None), Err(ClientError::Condition));
    assert_eq!(offered(&town, &conditional, Some(B256::ZERO)), Err(ClientError::Condition));
    assert_eq!(offered(&town, &conditional, Some(secret)), Ok(()));
    town.fresh = false;
    assert_eq!(offered(&town, &good, None), Err(ClientError::Blind), "1.24: an old head shows nothing");
    let proposal = town.propose("alice", vec![Op::of(OpKind::OutClient, Amount(5))], vec![]);
    assert_eq!(town.hub(&proposal), Err(Refusal::Blind));
}

#[test]
fn a_voucher_with_a_condition_that_cannot_be_met_does_not_take_the_place_of_a_good_one() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Metered, 100);
    town.pay(&token);
    let voucher = |cumulative, condition| {
        let voucher = tarefa_channel::message::Voucher {
            token: token.id(),
            cumulative: Amount(cumulative),
            usage: B256::ZERO,
            condition,
        };
        (voucher, signed_by("vouchers", &voucher, &town))
    };
    let mut bob = town.bob.clone();
    let mut vouched = |(voucher, signature)| town.ask("bob", |ctx| bob.vouched(&voucher, &signature, ctx));
    assert_eq!(vouched(voucher(80, B256::ZERO)), Ok(()));
    assert_eq!(vouched(voucher(81, B256::repeat_byte(1))), Err(ClientError::Condition));
    assert_eq!(bob.earning[&token.id()].earned(), Amount(80));
}

#[test]
fn a_last_state_is_not_signed_over_what_is_still_to_be_received() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.pay(&token);
    let mut bob = town.bob.clone();
    let last = |bob: &mut tarefa_channel::client::Client, ops| {
        town.ask("bob", |ctx| bob.propose(ops, vec![], true, ctx).cloned())
    };
    assert_eq!(last(&mut bob, vec![]), Err(ClientError::Cover));
    let ops = vec![Op::on(OpKind::Attach, token.id(), Amount(100))];
    assert!(last(&mut bob, ops).is_ok());
    // And nothing counts that comes while it is under way.
    let mut late = token.clone();
    late.index = 1;
    let grant =
        tarefa_channel::message::Grant { token: late.id(), payee_seq: town::seq(1), payer_state: Default::default() };
    let hub = hub_signs_as("hub", &grant, &town);
    assert_eq!(town.ask("bob", |ctx| bob.offered(&late, &grant, &hub, None, ctx)), Err(ClientError::Ended));
}

#[test]
fn a_channel_of_an_earlier_epoch_gets_no_signature() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    let proposal = town.propose("alice", detach(&token), vec![token]);
    let row = town.contract.row(owner("alice"));
    town.contract.rows.insert(owner("alice"), tarefa_channel::contract::Row { epoch: 1, ..row });
    assert_eq!(town.hub(&proposal), Err(Refusal::NotOpen));
    let row = town.contract.row(owner("alice"));
    town.contract.rows.insert(owner("alice"), tarefa_channel::contract::Row { epoch: 0, ..row });
    let row = town.contract.row(owner("bob"));
    town.contract.rows.insert(owner("bob"), tarefa_channel::contract::Row { epoch: 1, ..row });
    assert_eq!(town.hub(&proposal), Err(Refusal::Payee(proposal.tokens[0].id())));
}

#[test]
fn a_hub_whose_key_is_revoked_signs_again_what_it_has_to_show() {
    let mut town = Town::new();
    let old = {
        town.step("alice", vec![Op::of(OpKind::OutClient, Amount(10))], vec![]);
        town.newest("alice")
    };
    town.step("alice", vec![Op::of(OpKind::OutClient, Amount(20))], vec![]);
    town.mine("treasury", &Call::AnnounceSigner { signer: address("hub 2") }).expect("the treasury may");
    town.mine("treasury", &Call::RevokeSigner { signer: address("hub") }).expect("the treasury may");
    town.mine("alice", &Call::Close { owner: owner("alice"), signed: Some(old) }).expect("it still counts");
    let row = town.channels[&town.alice.id].clone();
    let calls = town.ask("hub 2", |ctx| tarefa_channel::hub::duties(&row, &[], &[], ctx));
    town.contract.signers.remove(&address("hub"));
    town.mine("hub 2", &calls[0]).expect("signed with the new key");
    assert_eq!(town.contract.row(owner("alice")).seq.get(), 2);
}

#[test]
fn a_refused_proposal_is_left_and_the_next_is_built_beside_it() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 201);
    let proposal = town.propose("alice", detach(&token), vec![token.clone()]);
    assert_eq!(town.hub(&proposal), Err(Refusal::Cover(token.id())));
    town.alice.refused();
    assert!(town.alice.half.is_none() && town.alice.refused.len() == 1);
    town.step("alice", vec![Op::of(OpKind::OutClient, Amount(5))], vec![]);
    assert_eq!(town.alice.seq().get(), 2, "never two states with one number");
    assert!(town.alice.refused.is_empty() && town.alice.paying.is_empty());
}

#[test]
fn a_refused_attach_is_kept_until_its_redemption_is_final_then_acknowledged() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.pay(&token);
    town.propose("bob", vec![Op::on(OpKind::Attach, token.id(), Amount(100))], vec![]);
    town.bob.refused();
    assert!(town.bob.half.is_some(), "signed later it would defeat the redemption");
    town.now = town.now.after(TERMS.patience + 1);
    assert_eq!(town.dutiful("bob"), ["redeemToken"]);
    town.now = town.now.after(TERMS.grace);
    assert_eq!(town.dutiful("bob"), ["credit"]);
    let mut bob = town.bob.clone();
    town.ask("bob", |ctx| bob.sweep(ctx));
    town.bob = bob;
    assert_eq!(town.wish("bob"), [Op::on(OpKind::In, token.id(), Amount(100))]);
    assert_eq!(town.end(), [899, 130, 0, 251]);
}

#[test]
fn what_a_payee_does_not_want_is_declined_so_that_its_window_stays_open() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Off, 100);
    town.detach(&token);
    let row = town.tokens[&token.id()].clone();
    let mut bob = town.bob.clone();
    town.ask("bob", |ctx| bob.unwanted(&token, &row.grant, &row.hub, ctx)).expect("it is his");
    town.now = token.claim_by;
    // Alice has had it back already: the hole in the window is closed all the same.
    town.wish("alice");
    town.bob = bob;
    assert_eq!(town.wish("bob"), [Op::on(OpKind::Decline, token.id(), Amount::ZERO)]);
    assert_eq!(town.bob.position.balances.floor.get(), 1);
}

/// What the hub shows a client that has lost its store.
fn restore(
    town: &mut Town,
    who: &str,
    change: impl FnOnce(&mut Signed, &mut Vec<HubToken>),
) -> Result<(), ClientError> {
    let row = town.channels[&town.client(who).id].clone();
    let mut newest = row.newest.expect("the hub has one");
    let mut paying: Vec<HubToken> =
        town.tokens.values().filter(|token| row.position.pending.contains(&token.id())).cloned().collect();
    change(&mut newest, &mut paying);
    let mut client = town.client(who);
    let restored = town.ask(who, |ctx| client.restored(Some(&newest), row.acknowledged, &paying, ctx));
    town.keep(who, client);
    restored
}

#[test]
fn a_restored_client_takes_up_the_newest_state_and_never_signs_a_number_again() {
    let mut town = Town::new();
    let backup = town.alice.clone();
    let token = town.token(TokenKind::Off, 100);
    town.detach(&token);
    town.step("alice", vec![Op::of(OpKind::OutClient, Amount(5))], vec![]);
    let before = town.alice.clone();
    town.alice = backup;
    restore(&mut town, "alice", |_, _| {}).expect("both have signed it");
    assert_eq!(town.alice.next_seq().expect("numbers are left").get(), 65_539);
    assert_eq!((&town.alice.position, &town.alice.paying), (&before.position, &before.paying));
    // And it goes on from there.
    town.offer(&token);
    town.wish("bob");
    let shown = town.attached("bob");
    let mut alice = town.alice.clone();
    town.ask("alice", |ctx| alice.receipt(token.id(), &shown, None, ctx)).expect("it is Bob's");
    town.alice = alice;
    assert_eq!(town.wish("alice"), [Op::on(OpKind::Settle, token.id(), Amount(100))]);
}

#[test]
fn a_restored_client_believes_nothing_that_is_not_signed() {
    let mut town = Town::new();
    let backup = town.alice.clone();
    let token = town.token(TokenKind::Off, 100);
    town.detach(&token);
    town.alice = backup.clone();
    let hides = restore(&mut town, "alice", |_, paying| paying.clear());
    assert_eq!(hides, Err(ClientError::Token), "a pending token that the hub hides");
    let forged = restore(&mut town, "alice", |newest, _| newest.state.balances.client = Amount(1));
    assert_eq!(forged, Err(ClientError::Signature), "a state that Alice has not signed");
    assert_eq!(town.alice, backup, "nothing has changed");
}

#[test]
fn an_on_token_is_executed_from_the_state_that_detached_it_and_from_a_later_one() {
    for later in [false, true] {
        let mut town = Town::new();
        let token = town.token(TokenKind::On, 100);
        town.detach(&token);
        if later {
            town.step("alice", vec![Op::of(OpKind::OutClient, Amount(5))], vec![]);
        }
        let calls = town.ask("alice", |ctx| town.alice.execution(token.id(), ctx));
        let names: Vec<&str> = calls.iter().map(Call::function).collect();
        assert_eq!(names, if later { vec!["argueClosure", "attachToken(token)"] } else { vec!["attachToken(token)"] });
        for call in &calls {
            town.mine("alice", call).expect("it goes through");
        }
        assert_eq!(town.balance("carol"), 100);
        assert_eq!(town.ask("alice", |ctx| town.alice.execution(token.id(), ctx)), vec![], "once");
        let left = town.ask("alice", |ctx| town.alice.withdrawal(ctx));
        assert_eq!(
            left.map(|call| call.function()),
            later.then_some("attachToken(state)"),
            "what is booked out is not out"
        );
    }
}

#[test]
fn a_last_state_ends_the_channel_at_once() {
    let mut town = Town::new();
    let mut alice = town.alice.clone();
    let last = town.ask("alice", |ctx| alice.propose(vec![], vec![], true, ctx).cloned()).expect("nothing is pending");
    town.alice = alice;
    let answer = town.hub(&last).expect("the hub signs");
    town.answered("alice", &answer);
    assert_eq!(town.dutiful("alice"), ["closeLast"]);
    assert_eq!(town.contract.row(owner("alice")).status, Status::None);
    assert_eq!(town.balance("alice"), 1000);
}

#[test]
fn a_redemption_that_was_sent_before_the_last_voucher_came_is_raised_at_once() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Metered, 100);
    town.pay(&token);
    let vouch = |town: &mut Town, amount| {
        let mut alice = town.alice.clone();
        let id = token.id();
        let made =
            town.ask("alice", |ctx| alice.vouch(id, Amount(amount), B256::ZERO, B256::ZERO, &key("vouchers"), ctx));
        town.alice = alice;
        made.expect("it is more than before")
    };
    let take = |town: &mut Town, (voucher, signature): (Voucher, Signature)| {
        let mut bob = town.bob.clone();
        let taken = town.ask("bob", |ctx| bob.vouched(&voucher, &signature, ctx));
        town.bob = bob;
        taken.expect("he earns it")
    };
    let first = vouch(&mut town, 20);
    take(&mut town, first);
    // The hub is silent about something else, so Bob redeems what he has; the call waits for its block.
    town.propose("bob", vec![Op::of(OpKind::OutClient, Amount(2))], vec![]);
    town.now = town.now.after(TERMS.patience + 1);
    let sent = town.ask("bob", |ctx| town.bob.duties(ctx));
    let sent = sent.into_iter().find(|call| call.function() == "redeemToken").expect("he redeems");
    // Meanwhile the hub answers, and Alice goes on.
    let half = town.bob.half.clone().expect("under way").proposal;
    let answer = town.hub(&half).expect("the hub signs");
    town.answered("bob", &answer);
    let second = vouch(&mut town, 90);
    take(&mut town, second);
    town.mine("bob", &sent).expect("it is mined");
    assert_eq!(town.dutiful("bob"), ["redeemToken"], "there is time to attach, but not for this redemption");
    assert_eq!(town.contract.redemptions[&token.id()].amount, Amount(90));
}

#[test]
fn tag_1_11_a_proposed_attach_ends_the_vouchers_of_its_token() {
    let mut town = Town::new();
    let token = town.token(TokenKind::Metered, 100);
    town.pay(&token);
    let mut alice = town.alice.clone();
    let id = token.id();
    let vouch = |town: &Town, alice: &mut Client, amount| {
        let made =
            town.ask("alice", |ctx| alice.vouch(id, Amount(amount), B256::ZERO, B256::ZERO, &key("vouchers"), ctx));
        made.expect("it is more than before")
    };
    let (first, second) = (vouch(&town, &mut alice, 20), vouch(&town, &mut alice, 30));
    let mut bob = town.bob.clone();
    town.ask("bob", |ctx| bob.vouched(&first.0, &first.1, ctx)).expect("he earns it");
    town.bob = bob;
    town.propose("bob", vec![Op::on(OpKind::Attach, id, Amount(20))], vec![]);
    let mut bob = town.bob.clone();
    let late = town.ask("bob", |ctx| bob.vouched(&second.0, &second.1, ctx));
    assert_eq!(late, Err(ClientError::Ended), "it would be worth nothing");
}

#[test]
fn tag_1_15_a_payee_whose_channel_closes_redeems_everything_at_once_and_counts_on_nothing_more() {
    let mut town = Town::new();
    let tokens: Vec<Token> = (0..2)
        .map(|_| {
            let token = town.token(TokenKind::Off, 50);
            town.pay(&token);
            token
        })
        .collect();
    let late = town.token(TokenKind::Off, 20);
    town.detach(&late);
    town.mine("hub", &Call::Close { owner: owner("bob"), signed: None }).expect("the hub may");
    let redeemed = town.dutiful("bob");
    assert_eq!(redeemed.iter().filter(|name| **name == "redeemToken").count(), tokens.len(), "{redeemed:?}");
    let row = town.tokens[&late.id()].clone();
    let mut bob = town.bob.clone();
    let offered = town.ask("bob", |ctx| bob.offered(&late, &row.grant, &row.hub, None, ctx));
    assert_eq!(offered, Err(ClientError::Ended));
}

#[test]
fn tag_1_23_nothing_is_revealed_that_could_not_be_redeemed_any_more() {
    let mut town = Town::new();
    let secret = B256::repeat_byte(7);
    let token = Token { condition: B256::from_slice(&Sha256::digest(secret)), ..town.token(TokenKind::Off, 50) };
    town.detach(&token);
    town.offer_against(&token, Some(secret));
    let attach = vec![Op::on(OpKind::Attach, token.id(), token.value)];

    town.now = token.attach_by.before(TERMS.inclusion + 1);
    assert_eq!(town.ask("bob", |ctx| town.bob.wishes(ctx)), attach);
    let mut early = town.bob.clone();
    let proposal = town.ask("bob", |ctx| early.propose(attach.clone(), vec![], false, ctx).cloned());
    assert_eq!(proposal.expect("in time").preimages, [(token.id(), secret)], "to be told no, it could still redeem");
    town.now = town.now.after(1);
    assert_eq!(town.ask("bob", |ctx| town.bob.wishes(ctx)), vec![], "too late to be told no and still redeem");
    let mut late = town.bob.clone();
    let refused = town.ask("bob", |ctx| late.propose(attach, vec![], false, ctx).cloned());
    assert_eq!(refused.err(), Some(ClientError::Late), "whoever orders it");

    town.now = token.redeem_by.before(TERMS.margin() + 1);
    let redemption = town.ask("bob", |ctx| town.bob.redemption(token.id(), ctx));
    let Some(Call::Redeem(redeem)) = redemption else { panic!("in time: {redemption:?}") };
    assert_eq!(redeem.preimage, secret);
    town.now = town.now.after(1);
    assert_eq!(town.ask("bob", |ctx| town.bob.redemption(token.id(), ctx)), None, "too late to redeem");
}
