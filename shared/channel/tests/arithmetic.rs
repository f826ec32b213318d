//! Windows, deadlines, prices and positions at their edges.

use tarefa_channel::limits;
use tarefa_channel::message::{Balances, Op, OpKind, Token, TokenKind};
use tarefa_channel::price::{self, PriceError};
use tarefa_channel::terms::{Terms, TermsError};
use tarefa_channel::transition::{Known, Position, Side, Tokens, TransitionError, side_word};
use tarefa_channel::window::{self, WindowError};
use tarefa_channel::{Address, Amount, B256, ChannelId, Seq, Time, TokenId, U256};

const TERMS: Terms = Terms {
    grace: 86_400,
    inclusion: 600,
    reorg: 900,
    max_token_life: 604_800,
    patience: 60,
    live_tokens: 8,
    fee: Amount(1),
    on_fee: Amount(2),
    dust: Amount(1),
    unsettled: Amount(1000),
};

fn seq(number: u64) -> Seq {
    Seq::new(number).expect("48 bits")
}

#[test]
fn a_window_tells_256_sequences_apart_and_its_floor_rises_over_what_is_consumed() {
    let mut balances = Balances::default();
    assert_eq!(window::consume(&mut balances, seq(256)), Err(WindowError::Beyond(256, 0)));
    for number in (1..256).rev() {
        window::consume(&mut balances, seq(number)).expect("in the window");
        assert_eq!(balances.floor, Seq::ZERO);
    }
    assert!(!window::holds(&balances, Seq::ZERO));
    window::consume(&mut balances, Seq::ZERO).expect("the last one");
    assert_eq!((balances.floor, balances.window), (seq(256), U256::ZERO));
    assert!(
        window::holds(&balances, Seq::ZERO)
            && window::holds(&balances, seq(255))
            && !window::holds(&balances, seq(256))
    );
    assert_eq!(window::consume(&mut balances, seq(7)), Err(WindowError::Seen(7)));
}

#[test]
fn equal_sets_of_sequences_have_equal_windows_in_any_order() {
    let orders = [[0, 1, 2, 5], [5, 2, 1, 0], [2, 0, 5, 1]];
    let windows = orders.map(|order| {
        let mut balances = Balances::default();
        order.into_iter().for_each(|number| window::consume(&mut balances, seq(number)).expect("in the window"));
        (balances.floor, balances.window)
    });
    assert_eq!(windows, [(seq(3), U256::from(4)); 3]);
}

#[test]
fn deadlines_keep_their_distances_and_a_party_may_be_away_between_them() {
    let (redeem_by, claim_by) = TERMS.deadlines(Time(1_000_000));
    assert_eq!((redeem_by, claim_by), (Time(1_087_900), Time(1_175_800)));
    assert_eq!(TERMS.offline_bound(), 84_300);
    assert_eq!(TERMS.revocation_delay(), 604_800 + 172_800 + 84_300);
    assert!(TERMS.reaches(Time(0), Time(1501)) && !TERMS.reaches(Time(0), Time(1500)));
    assert_eq!(Time::MAX.after(1), Time::MAX, "a uint40 has a last second");
}

#[test]
fn terms_under_which_somebody_could_not_be_safe_are_refused() {
    assert_eq!(TERMS.check(), Ok(()));
    let short = Terms { grace: 2 * 600 + 900, ..TERMS };
    assert_eq!(short.check(), Err(TermsError::Grace { grace: 2100, inclusion: 600, reorg: 900 }), "nobody may be away");
    let endless = Terms { grace: u64::MAX, ..TERMS };
    assert_eq!(endless.check(), Err(TermsError::Grace { grace: u64::MAX, inclusion: 600, reorg: 900 }));
    assert_eq!(Terms { inclusion: 0, ..TERMS }.check(), Err(TermsError::Margin(0, 900)));
    assert_eq!(Terms { reorg: 0, ..TERMS }.check(), Err(TermsError::Margin(600, 0)));
    let life = 2 * TERMS.distance();
    assert_eq!(Terms { max_token_life: life, ..TERMS }.check(), Err(TermsError::Life(life)));
    assert_eq!(Terms { max_token_life: life + 1, ..TERMS }.check(), Ok(()));
    let patient = Terms { patience: TERMS.offline_bound() + 1, ..TERMS };
    assert_eq!(patient.check(), Err(TermsError::Patience(84_301)));
    for live in [0, limits::PENDING + 1] {
        assert_eq!(Terms { live_tokens: live, ..TERMS }.check(), Err(TermsError::Live(live)));
    }
}

#[test]
fn no_hub_may_be_silent_for_longer_than_a_minute_whatever_its_terms_say() {
    assert_eq!(Terms { patience: 59, ..TERMS }.waits(), 59);
    let patient = Terms { patience: TERMS.offline_bound(), ..TERMS };
    assert_eq!((patient.check(), patient.waits(), patient.ask()), (Ok(()), 60, 661), "rule 14");
}

#[test]
fn vouchers_are_the_price_from_the_beginning_less_what_earlier_tokens_carried() {
    let price = Amount(500_000);
    assert_eq!(price::cumulative(price, 301_500, &[Amount(150_000_000)]), Ok(Amount(750_000)));
    let ticks: u128 = (0..3).map(|_| price::session_cost(Amount(1), 333).expect("small").0).sum();
    assert_eq!((ticks, price::session_cost(Amount(1), 999)), (3, Ok(Amount(1))), "rounded once, not three times");
    let overpaid = price::cumulative(price, 1000, &[Amount(500_001)]);
    assert_eq!(overpaid, Err(PriceError::Overpaid { earlier: 500_001, total: 500_000 }));
    assert_eq!(price::held_back(Amount(101), 20), Amount(20));
    assert_eq!(price::held_back(Amount(u128::MAX), 100), Amount(u128::MAX));
}

struct Some1(Vec<Token>);

impl Tokens for Some1 {
    fn known(&self, id: TokenId) -> Option<Known<'_>> {
        let place = self.0.iter().position(|token| token.id() == id)?;
        Some(Known { token: &self.0[place], payee_seq: seq(place as u64) })
    }
}

fn token(kind: TokenKind, index: u16, value: u128) -> Token {
    Token {
        payer_channel: ChannelId::default(),
        payer_seq: seq(1),
        index,
        payee: B256::repeat_byte(2),
        kind,
        value: Amount(value),
        fee: Amount(1),
        attach_by: Time(1),
        redeem_by: Time(2),
        claim_by: Time(3),
        condition: B256::ZERO,
        voucher_key: Address::ZERO,
        invoice: B256::ZERO,
    }
}

fn on(kind: OpKind, token: &Token, amount: u128) -> Op {
    Op::on(kind, token.id(), Amount(amount))
}

#[test]
fn every_operation_conserves_and_what_does_not_fit_is_named_by_its_place() {
    let tokens = Some1(vec![
        token(TokenKind::Off, 0, 10),
        token(TokenKind::Metered, 1, 20),
        token(TokenKind::On, 2, 30),
        token(TokenKind::Off, 3, 40),
    ]);
    let [off, metered, paid_on, big] = &tokens.0[..] else { panic!("four") };
    let start = Position::opening(Amount(100), Amount(50));
    let step = |position: &Position, ops: &[Op]| position.after(ops, &tokens);
    let flying =
        step(&start, &[on(OpKind::Detach, off, 11), on(OpKind::Detach, metered, 21), on(OpKind::Detach, paid_on, 31)]);
    let flying = flying.expect("it fits");
    assert_eq!(
        (flying.balances.client, flying.balances.pending, flying.balances.pending_count),
        (Amount(37), Amount(63), 3)
    );
    let landed =
        step(&flying, &[on(OpKind::Settle, off, 10), on(OpKind::Settle, metered, 5), on(OpKind::Settle, paid_on, 30)]);
    let landed = landed.expect("it fits").balances;
    assert_eq!((landed.client, landed.hub, landed.on_out), (Amount(52), Amount(50 + 11 + 6 + 1), Amount(30)));
    assert_eq!((landed.pending, landed.pending_root), (Amount::ZERO, B256::ZERO));
    let earned = step(&start, &[on(OpKind::Attach, off, 10), on(OpKind::Decline, metered, 0), on(OpKind::In, big, 40)]);
    let earned = earned.expect("it fits").balances;
    assert_eq!(
        (earned.client, earned.hub, earned.client_in, earned.hub_out),
        (Amount(150), Amount(0), Amount(140), Amount(40))
    );
    let moved = [
        Op { kind: OpKind::In, token: side_word(Side::Client), amount: Amount(5) },
        Op { kind: OpKind::In, token: side_word(Side::Hub), amount: Amount(6) },
        Op::of(OpKind::OutClient, Amount(7)),
        Op::of(OpKind::OutHub, Amount(8)),
    ];
    let moved = step(&start, &moved).expect("it fits").balances;
    assert_eq!(
        (moved.client, moved.hub, moved.client_out, moved.hub_out),
        (Amount(98), Amount(48), Amount(7), Amount(8))
    );
    for balances in [&flying.balances, &landed, &earned, &moved] {
        assert!(balances.conserves(), "{balances:?}");
    }
    type Fault = TransitionError;
    let faults: [(&Position, Vec<Op>, Fault); 14] = [
        (&start, vec![on(OpKind::Detach, off, 10)], Fault::Amount(0)),
        (&start, vec![on(OpKind::Detach, off, 11), on(OpKind::Detach, off, 11)], Fault::Flight(1)),
        (&start, vec![Op::of(OpKind::OutClient, Amount(101))], Fault::Share(0)),
        (&start, vec![Op::of(OpKind::OutHub, Amount::ZERO)], Fault::Malformed(0)),
        (&start, vec![on(OpKind::OutHub, off, 1)], Fault::Malformed(0)),
        (&start, vec![on(OpKind::Settle, off, 10)], Fault::Flight(0)),
        (&flying, vec![on(OpKind::Settle, off, 9)], Fault::Amount(0)),
        (&flying, vec![on(OpKind::Settle, metered, 21)], Fault::Amount(0)),
        (&flying, vec![on(OpKind::Refund, off, 1)], Fault::Malformed(0)),
        (&start, vec![on(OpKind::Attach, paid_on, 30)], Fault::Amount(0)),
        (&start, vec![on(OpKind::Attach, metered, 0)], Fault::Amount(0)),
        (&start, vec![on(OpKind::Decline, paid_on, 0)], Fault::Malformed(0)),
        (
            &start,
            vec![on(OpKind::Attach, off, 10), on(OpKind::Decline, off, 0)],
            Fault::Window(1, WindowError::Seen(0)),
        ),
        (&start, vec![Op::of(OpKind::OutClient, Amount(1)); limits::OPS + 1], Fault::Ops(65)),
    ];
    for (position, ops, fault) in faults {
        assert_eq!(step(position, &ops), Err(fault), "{ops:?}");
    }
}

#[test]
fn a_channel_has_32_tokens_in_flight_and_no_more() {
    let tokens = Some1((0..33).map(|index| token(TokenKind::Off, index, 1)).collect());
    let ops: Vec<Op> = tokens.0.iter().map(|token| on(OpKind::Detach, token, 2)).collect();
    let start = Position::opening(Amount(100), Amount(0));
    assert_eq!(start.after(&ops[..32], &tokens).expect("it fits").balances.pending_count, 32);
    assert_eq!(start.after(&ops, &tokens), Err(TransitionError::Pending));
}
