//! The executor's machine, state by state: never works for nothing beyond its bounds, never gives a key unpaid.

use super::*;
use crate::message::Manifest;

const NOW: LedgerSeconds = LedgerSeconds(1_000);

fn party() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[1; 32])
}

fn offer() -> Offer {
    Offer {
        sealing_key: SealingKey([0; 32]),
        price: Price { per_second: BaseUnits(500_000), minimum: BaseUnits(213_000) },
        limits: TaskLimits::default(),
        slots: 1,
        free: 1,
        walls: vec![],
        valid_until: NOW.plus(10),
        sequence: 1,
    }
}

fn submit() -> Submit {
    Submit {
        offer: Digest([3; 32]),
        manifest: Manifest::default(),
        module: Bytes(b"module".to_vec()),
        reply_key: SealingKey([1; 32]),
        reply_tag: Tag([2; 16]),
        max_price: BaseUnits(1_000_000),
        deadline: NOW.plus(600),
        refund: Address([9; 32]),
    }
}

struct Bench {
    entropy: Entropy,
    key: ed25519_dalek::SigningKey,
    now: LedgerSeconds,
}

impl Bench {
    fn new() -> Self {
        Self { entropy: Entropy::from_seed([1; 32]), key: party(), now: NOW }
    }

    fn ctx(&mut self) -> Ctx<'_> {
        let now = Now { time: self.now, milestone: 100, milestone_seconds: 1 };
        Ctx { now, entropy: &mut self.entropy, next_address: Address([7; 32]), party: &self.key }
    }
}

fn house(offer: &Offer) -> House<'_> {
    House {
        offer: Some(offer),
        queue: 0,
        queue_max: 2,
        exposure: Exposure::default(),
        exposure_limits: ExposureLimits::default(),
    }
}

fn accepted(bench: &mut Bench) -> Task {
    let offer = offer();
    let ctx = bench.ctx();
    accept(TaskId([5; 16]), PartyId([6; 32]), &submit(), &house(&offer), &ctx).expect("acceptable").0
}

fn run(metered: u64) -> Input {
    Input::Executed(Box::new(Execution {
        outcome: Outcome::Exited(0),
        metered: Millis(metered),
        cpu: Millis(1),
        compile: Millis(50),
        result: Bytes(b"result".to_vec()),
        runtime: "test".into(),
    }))
}

fn quoted(bench: &mut Bench, metered: u64) -> (Task, Quote) {
    let mut task = accepted(bench);
    assert_eq!(task.handle(Input::Start, &mut bench.ctx()), [Effect::Run]);
    let effects = task.handle(run(metered), &mut bench.ctx());
    let [Effect::Watch, Effect::Reply(Body::Result { .. }), Effect::Reply(Body::Quote(quote)), Effect::Timer(_)] =
        &effects[..]
    else {
        panic!("{effects:?}");
    };
    let quote = quote.clone();
    (task, quote)
}

fn received(amount: u64, booked: LedgerSeconds) -> Input {
    Input::Received { amount: BaseUnits(amount), booked }
}

#[test]
fn a_task_is_run_quoted_paid_and_released() {
    let mut bench = Bench::new();
    let (mut task, quote) = quoted(&mut bench, 1_000);
    assert_eq!((quote.price, quote.address), (BaseUnits(500_000), Address([7; 32])));
    assert_eq!(task.handle(received(499_999, NOW), &mut bench.ctx()), []);
    let effects = task.handle(received(1, quote.expires), &mut bench.ctx());
    let [Effect::Reply(Body::Release { key, receipt }), Effect::Unwatch(_)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(key.commitment(), quote.key_hash);
    assert_eq!(receipt.verify().map(|r| (r.metered, r.price)), Ok((Millis(1_000), BaseUnits(500_000))));
    assert_eq!(task.unpaid, Millis(0));
    assert_eq!(task.handle(received(5, NOW), &mut bench.ctx()), [], "a surplus releases nothing more");
}

#[test]
fn the_locked_result_is_the_one_the_quote_commits_to() {
    let mut bench = Bench::new();
    let mut task = accepted(&mut bench);
    task.handle(Input::Start, &mut bench.ctx());
    let effects = task.handle(run(10), &mut bench.ctx());
    let [_, Effect::Reply(Body::Result { locked }), Effect::Reply(Body::Quote(quote)), _] = &effects[..] else {
        panic!()
    };
    assert_eq!((Digest::of_content(&locked.0), locked.0.len() as u64), (quote.locked_hash, quote.locked_size));
    let State::Quoted(state) = &task.state else { panic!() };
    assert_eq!(state.key.open(&locked.0), Ok(b"result".to_vec()));
}

#[test]
fn what_the_stop_takes_is_not_billed() {
    let mut bench = Bench::new();
    // max price 1 Mi at 0.5 Mi per second buys two seconds.
    let (_, quote) = quoted(&mut bench, 2_090);
    assert_eq!((quote.metered, quote.price), (Millis(2_000), BaseUnits(1_000_000)));
}

#[test]
fn a_late_payment_is_refunded_and_the_key_stays() {
    let mut bench = Bench::new();
    let (mut task, quote) = quoted(&mut bench, 1_000);
    assert_eq!(task.handle(received(500_000, quote.expires.plus(1)), &mut bench.ctx()), []);
    bench.now = quote.expires.plus(100);
    let effects = task.handle(Input::Tick, &mut bench.ctx());
    let refund = Effect::Refund { number: 0, to: Address([9; 32]), amount: BaseUnits(500_000) };
    assert!(effects.contains(&refund), "{effects:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Reply(Body::Release { .. }))));
    let again = task.handle(received(300_000, bench.now), &mut bench.ctx());
    assert_eq!(again, [Effect::Refund { number: 1, to: Address([9; 32]), amount: BaseUnits(300_000) }]);
    assert_eq!(task.handle(received(100, NOW), &mut bench.ctx()), [], "dust cannot be refunded");
}

#[test]
fn a_guest_is_run_again_once_after_a_failure_of_ours_then_rejected() {
    let mut bench = Bench::new();
    let mut task = accepted(&mut bench);
    task.handle(Input::Start, &mut bench.ctx());
    assert_eq!(task.handle(Input::Interrupted, &mut bench.ctx()), []);
    assert_eq!(task.state, State::Queued { failures: 1 });
    task.handle(Input::Start, &mut bench.ctx());
    let effects = task.handle(Input::Interrupted, &mut bench.ctx());
    assert!(matches!(&effects[..], [Effect::Reply(Body::Reject(reject))] if reject.code == RejectCode::Failed));
}

#[test]
fn cancel_is_free_in_the_queue_and_quoted_afterwards() {
    let mut bench = Bench::new();
    let mut task = accepted(&mut bench);
    assert_eq!(task.handle(Input::Cancel, &mut bench.ctx()), []);
    assert_eq!(task.state, State::Closed { why: Closed::Cancelled, refunds: 0 });
    let mut task = accepted(&mut bench);
    task.handle(Input::Start, &mut bench.ctx());
    assert_eq!(task.handle(Input::Cancel, &mut bench.ctx()), [Effect::Stop]);
    assert_eq!(task.handle(Input::Cancel, &mut bench.ctx()), [], "twice is once");
    assert_eq!(task.handle(run(800), &mut bench.ctx()).len(), 4);
}

#[test]
fn a_task_that_waited_too_long_is_closed_free() {
    let mut bench = Bench::new();
    let mut task = accepted(&mut bench);
    assert_eq!(task.handle(Input::Tick, &mut bench.ctx()), []);
    bench.now = NOW.plus(600);
    assert_eq!(task.handle(Input::Tick, &mut bench.ctx()), [Effect::Reply(Body::Expired)]);
}

#[test]
fn refusals_name_their_reason() {
    let mut bench = Bench::new();
    let ctx = bench.ctx();
    let offer = offer();
    let code = |submit: &Submit, house: &House<'_>| {
        accept(TaskId([5; 16]), PartyId([6; 32]), submit, house, &ctx).expect_err("refused").code
    };
    assert_eq!(code(&submit(), &House { offer: None, ..house(&offer) }), RejectCode::Offer);
    let expired = Offer { valid_until: LedgerSeconds(999), ..offer.clone() };
    assert_eq!(code(&submit(), &house(&expired)), RejectCode::Offer);
    assert_eq!(code(&submit(), &House { queue: 2, ..house(&offer) }), RejectCode::Busy);
    assert_eq!(code(&Submit { max_price: BaseUnits(1), ..submit() }, &house(&offer)), RejectCode::Manifest);
    let used_up = Exposure { of_submitter: Millis(120_000), ..Exposure::default() };
    assert_eq!(code(&submit(), &House { exposure: used_up, ..house(&offer) }), RejectCode::Exposure);
    let strangers = Exposure { of_strangers: Millis(600_000), ..Exposure::default() };
    assert_eq!(code(&submit(), &House { exposure: strangers, ..house(&offer) }), RejectCode::Exposure);
}

#[test]
fn what_runs_counts_as_unpaid_until_its_quote_says_what_it_was() {
    let mut bench = Bench::new();
    let mut task = accepted(&mut bench);
    assert_eq!((task.time_allowed, task.unpaid), (Millis(2_000), Millis(0)));
    task.handle(Input::Start, &mut bench.ctx());
    assert_eq!(task.unpaid, Millis(2_000));
    task.handle(run(100), &mut bench.ctx());
    assert_eq!(task.unpaid, Millis(150), "metered and compile time");
    let limits = ExposureLimits::default();
    let seen = |ms| Exposure { of_submitter: Millis(ms), ..Exposure::default() };
    assert!(limits.admits(seen(90_000), Millis(30_000)));
    assert!(!limits.admits(seen(90_001), Millis(30_000)));
    assert!(!limits.admits(Exposure { of_strangers: Millis(590_000), ..seen(0) }, Millis(30_000)));
    assert!(limits.admits(Exposure { of_strangers: Millis(590_000), known: true, ..seen(0) }, Millis(30_000)));
}

#[test]
fn who_has_paid_before_is_trusted_further() {
    let mut bench = Bench::new();
    let offer = offer();
    let known = Exposure { of_submitter: Millis(120_000), of_strangers: Millis(600_000), known: true };
    let ctx = bench.ctx();
    assert!(
        accept(TaskId([5; 16]), PartyId([6; 32]), &submit(), &House { exposure: known, ..house(&offer) }, &ctx).is_ok()
    );
}
