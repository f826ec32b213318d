//! The submitter's machine, state by state: pays once, only what was offered, only for what was delivered.

use super::*;
use crate::codec::Bytes;
use crate::ids::Address;
use crate::ids::SealingKey;
use crate::message::{Accept, RejectCode};
use crate::money::Price;
use crate::offer::{Offer, TaskLimits};
use crate::receipt::SignedReceipt;
use crate::result::Outcome;
use crate::seal::ResultKey;

const START: u32 = 1_000;
const LOCKED: &[u8] = b"locked";

fn now(time: u32) -> Now {
    Now { time: LedgerSeconds(time), milestone: time, milestone_seconds: 1 }
}

fn offer(executor: u8) -> KnownOffer {
    let offer = Offer {
        sealing_key: SealingKey([executor; 32]),
        price: Price { per_second: BaseUnits(500_000), minimum: BaseUnits(213_000) },
        limits: TaskLimits::default(),
        slots: 1,
        free: 1,
        walls: vec![],
        valid_until: LedgerSeconds(5_000),
        sequence: 1,
    };
    let executor = PartyId([executor; 32]);
    KnownOffer { executor, id: offer.id(&executor), offer, paid_before: 0 }
}

fn task() -> Task {
    let hashes = (Digest([1; 32]), Digest([2; 32]));
    let (task, effects) =
        Task::new(TaskId([5; 16]), offer(1), BaseUnits(1_000_000), hashes, LedgerSeconds(START + 600), now(START));
    assert_eq!(effects[0], Effect::Submit);
    task
}

fn quote() -> Quote {
    Quote {
        offer: offer(1).id,
        metered: Millis(1_000),
        price: BaseUnits(500_000),
        address: Address([7; 32]),
        expires: LedgerSeconds(START + 1_000),
        key_hash: ResultKey([9; 32]).commitment(),
        locked_hash: Digest::of_content(LOCKED),
        locked_size: LOCKED.len() as u64,
        ok: true,
    }
}

fn locked() -> Input {
    Input::Heard(Body::Result { locked: Bytes(LOCKED.to_vec()) })
}

fn paying() -> Task {
    let mut task = task();
    task.handle(locked(), now(START + 1));
    let effects = task.handle(Input::Heard(Body::Quote(quote())), now(START + 2));
    let pay =
        Effect::Pay { address: Address([7; 32]), amount: BaseUnits(500_000), expires: LedgerSeconds(START + 1_000) };
    assert_eq!(effects[0], pay);
    task
}

fn failure(task: &Task) -> &Failure {
    match &task.state {
        State::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

fn refused(quote: Quote) -> QuoteError {
    let mut task = task();
    task.handle(locked(), now(START + 1));
    let effects = task.handle(Input::Heard(Body::Quote(quote)), now(START + 2));
    let waits = [Effect::DropLocked(Digest::of_content(LOCKED)), Effect::Timer(LedgerSeconds(START + 2))];
    assert_eq!(effects, waits, "nothing is paid");
    let effects = task.handle(Input::Tick { next: None }, now(START + 2));
    assert_eq!(effects, [Effect::Cancel(Box::new(offer(1)))]);
    match failure(&task) {
        Failure::BadQuote(error) => error.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_quote_above_max_price_is_refused_with_both_numbers() {
    let quote = Quote { metered: Millis(2_400), price: BaseUnits(1_200_000), ..quote() };
    let error = refused(quote);
    assert_eq!(error, QuoteError::AboveMax { price: BaseUnits(1_200_000), max: BaseUnits(1_000_000) });
    assert_eq!(error.to_string(), "it asks 1.2 Mi, above --max-price 1 Mi");
}

#[test]
fn a_quote_must_hold_against_the_pinned_offer() {
    let other = offer(2).id;
    assert_eq!(refused(Quote { offer: other, ..quote() }), QuoteError::OtherOffer);
    let error = refused(Quote { price: BaseUnits(500_001), ..quote() });
    assert!(matches!(error, QuoteError::NotTheOffer { expected: BaseUnits(500_000), .. }), "{error}");
    let error = refused(Quote { metered: Millis(4_001), ..quote() });
    assert!(matches!(error, QuoteError::TooLong { passed: Millis(4_000), .. }), "{error}");
    let error = refused(Quote { expires: LedgerSeconds(START + 41), ..quote() });
    assert!(matches!(error, QuoteError::TooSoon { .. }), "{error}");
    let error = refused(Quote { expires: LedgerSeconds(u32::MAX), ..quote() });
    assert!(matches!(error, QuoteError::TooLate { .. }), "{error}");
    assert_eq!(refused(Quote { locked_hash: Digest([0; 32]), ..quote() }), QuoteError::OtherResult);
}

#[test]
fn quote_and_result_come_in_any_order_and_twice() {
    let mut task = task();
    assert_eq!(task.handle(Input::Heard(Body::Quote(quote())), now(START + 2)), []);
    assert_eq!(task.handle(Input::Heard(Body::Quote(quote())), now(START + 2)), []);
    let effects = task.handle(locked(), now(START + 3));
    assert!(
        matches!(effects[..], [Effect::KeepLocked(_), Effect::Pay { .. }, Effect::Timer(_), Effect::Timer(_)]),
        "{effects:?}"
    );
    assert_eq!(task.handle(locked(), now(START + 3)), [], "a second result changes nothing");
    assert_eq!(task.handle(Input::Heard(Body::Quote(quote())), now(START + 3)), [], "a second quote is not paid");
}

fn receipt(change: impl FnOnce(&mut ExecutionReceipt)) -> Box<ExecutionReceipt> {
    let mut receipt = ExecutionReceipt {
        task: TaskId([5; 16]),
        executor: PartyId([1; 32]),
        module: Digest([1; 32]),
        inputs: Digest([2; 32]),
        result: Digest([3; 32]),
        outcome: Outcome::Exited(0),
        metered: Millis(1_000),
        cpu: Millis(1),
        price: BaseUnits(500_000),
        limits: TaskLimits::default(),
        runtime: "test".into(),
    };
    change(&mut receipt);
    Box::new(receipt)
}

fn paid() -> Task {
    let mut task = paying();
    let effects = task.handle(Input::PaymentSettled { booked: LedgerSeconds(START + 5) }, now(START + 5));
    assert!(matches!(effects[..], [Effect::Timer(_)]));
    task
}

#[test]
fn the_right_key_opens_and_the_receipt_must_agree() {
    let mut task = paid();
    let signed = SignedReceipt { receipt: Bytes(vec![]), signature: Bytes(vec![]) };
    let wrong = Body::Release { key: ResultKey([8; 32]), receipt: signed.clone() };
    assert_eq!(
        task.handle(Input::Heard(wrong), now(START + 6)),
        [],
        "a wrong key is ignored, the right one may follow"
    );
    let right = Body::Release { key: ResultKey([9; 32]), receipt: signed };
    assert!(matches!(task.handle(Input::Heard(right), now(START + 6))[..], [Effect::Open { .. }]));
    let opened = Input::Opened { receipt: receipt(|_| {}), result: Digest([3; 32]) };
    assert_eq!(task.handle(opened, now(START + 6)), []);
    assert!(matches!(task.state, State::Done { price: BaseUnits(500_000), .. }));
}

#[test]
fn a_key_that_never_comes_ends_the_task_at_its_timer() {
    let mut task = paying();
    let effects = task.handle(Input::PaymentSettled { booked: LedgerSeconds(START + 5) }, now(START + 5));
    let [Effect::Timer(until)] = effects[..] else { panic!("{effects:?}") };
    task.handle(Input::Tick { next: None }, now(until.0));
    assert_eq!(failure(&task), &Failure::NotReleased);
}

#[test]
fn a_receipt_that_contradicts_is_evidence_not_success() {
    type Change = fn(&mut ExecutionReceipt);
    let changes: [(&str, Change); 5] = [
        ("module", |r| r.module = Digest([0; 32])),
        ("inputs", |r| r.inputs = Digest([0; 32])),
        ("time", |r| r.metered = Millis(1)),
        ("price", |r| r.price = BaseUnits(1)),
        ("executor", |r| r.executor = PartyId([2; 32])),
    ];
    for (what, change) in changes {
        let mut task = paid();
        task.handle(Input::Opened { receipt: receipt(change), result: Digest([3; 32]) }, now(START + 6));
        assert_eq!(failure(&task), &Failure::BadResult(format!("the receipt contradicts the {what}")));
    }
}

#[test]
fn nobody_answers_for_20_seconds_and_the_next_is_asked_then_127() {
    let mut task = task();
    let upload = START + 100;
    assert_eq!(task.handle(Input::Tick { next: None }, now(upload)), [], "a long upload is not a silent executor");
    assert_eq!(task.handle(Input::Delivered, now(upload)), [Effect::Timer(LedgerSeconds(upload + 20))]);
    assert_eq!(task.handle(Input::Tick { next: None }, now(upload + 19)), []);
    let next = Some(Box::new(offer(2)));
    let effects = task.handle(Input::Tick { next }, now(upload + 20));
    assert_eq!(effects[0], Effect::Cancel(Box::new(offer(1))), "the first is told before the second is asked");
    assert_eq!(effects[1], Effect::Submit);
    assert_eq!(task.asked.executor, PartyId([2; 32]));
    task.handle(Input::Delivered, now(upload + 21));
    task.handle(Input::Tick { next: Some(Box::new(offer(1))) }, now(upload + 41));
    assert_eq!(failure(&task), &Failure::Unanswered { asked: 2 });
    assert_eq!(failure(&task).exit_status(), 127);
}

#[test]
fn an_expired_quote_takes_the_payment_back() {
    let mut task = paying();
    assert_eq!(task.handle(Input::Tick { next: None }, now(START + 960)), []);
    assert_eq!(task.handle(Input::Tick { next: None }, now(START + 961)), [Effect::GiveUp], "40 milestones before");
    assert_eq!(task.handle(Input::Tick { next: None }, now(START + 1_001)), [], "once");
    let mut late = task.clone();
    task.handle(Input::PaymentReturned, now(START + 1_010));
    assert_eq!(failure(&task), &Failure::NotPaid);
    late.handle(Input::PaymentSettled { booked: LedgerSeconds(START + 1_005) }, now(START + 1_010));
    assert_eq!(failure(&late), &Failure::NotPaid, "booked too late: the executor refunds it");
}

#[test]
fn a_rejection_ends_with_126_and_a_cancel_is_told() {
    let mut task = task();
    let accept = Accept { position: 0, limits: TaskLimits::default(), time_allowed: Millis(1) };
    task.handle(Input::Heard(Body::Accept(accept)), now(START + 1));
    assert_eq!(task.state, State::Accepted);
    let mut cancelled = task.clone();
    task.handle(reject(RejectCode::Busy), now(START + 2));
    assert_eq!(task.handle(Input::Tick { next: None }, now(START + 2)), [], "one that rejected has nothing to cancel");
    assert_eq!(failure(&task).exit_status(), 126);
    assert_eq!(cancelled.handle(Input::Cancel, now(START + 2)), [Effect::Cancel(Box::new(offer(1)))]);
    assert_eq!(failure(&cancelled), &Failure::Cancelled);
}

#[test]
fn without_a_quote_the_deadline_ends_the_task() {
    let mut task = task();
    task.handle(locked(), now(START + 1));
    let effects = task.handle(Input::Tick { next: None }, now(START + 600));
    assert_eq!(effects, [Effect::Cancel(Box::new(offer(1)))]);
    assert_eq!(failure(&task), &Failure::NoQuote(LedgerSeconds(START + 600)));
}

fn reject(code: RejectCode) -> Input {
    Input::Heard(Body::Reject(Reject::new(code, "no")))
}

#[test]
fn a_busy_executor_or_a_bad_quote_passes_the_task_on() {
    let bad = Input::Heard(Body::Quote(Quote { price: BaseUnits(1), ..quote() }));
    for refusal in [reject(RejectCode::Busy), reject(RejectCode::Exposure), bad] {
        let mut task = task();
        task.handle(locked(), now(START + 1));
        task.handle(refusal, now(START + 2));
        assert_eq!(task.handle(locked(), now(START + 2)), [], "what it says now counts no more");
        let effects = task.handle(Input::Tick { next: Some(Box::new(offer(2))) }, now(START + 2));
        assert_eq!(effects.last(), Some(&Effect::Submit));
        assert_eq!(task.asked.executor, PartyId([2; 32]));
        assert_eq!((task.locked, &task.state), (None, &State::Sent), "the first one's result is not the second's");
    }
    let mut task = task();
    task.handle(reject(RejectCode::Module), now(START + 2));
    assert_eq!(failure(&task).exit_status(), 126, "no executor could run it");
}

#[test]
fn a_key_that_comes_before_our_payment_is_kept() {
    let signed = SignedReceipt { receipt: Bytes(vec![]), signature: Bytes(vec![]) };
    let release = || Input::Heard(Body::Release { key: ResultKey([9; 32]), receipt: signed.clone() });
    for settles in [Input::PaymentReturned, Input::PaymentSettled { booked: LedgerSeconds(START + 9) }] {
        let mut task = paying();
        assert_eq!(task.handle(release(), now(START + 3)), [Effect::GiveUp], "somebody else has paid");
        assert_eq!(task.handle(release(), now(START + 3)), [], "once");
        assert!(matches!(task.handle(settles, now(START + 9))[..], [Effect::Open { .. }]));
    }
}
