//! Price arithmetic at its edges, and every way to write an amount.

use super::*;
use proptest::prelude::*;

const PRICE: Price = Price { per_second: BaseUnits(500_000), minimum: BaseUnits(213_000) };

#[test]
fn a_short_task_costs_the_minimum() {
    assert_eq!(PRICE.of(Millis(1)), Some(BaseUnits(213_000)));
    assert_eq!(PRICE.of(Millis(426)), Some(BaseUnits(213_000)));
    assert_eq!(PRICE.of(Millis(427)), Some(BaseUnits(213_500)));
}

#[test]
fn a_fraction_of_a_unit_is_rounded_up() {
    let price = Price { per_second: BaseUnits(1), minimum: BaseUnits(0) };
    assert_eq!(price.of(Millis(0)), Some(BaseUnits(0)));
    assert_eq!(price.of(Millis(1)), Some(BaseUnits(1)));
    assert_eq!(price.of(Millis(1_001)), Some(BaseUnits(2)));
}

#[test]
fn a_price_beyond_64_bits_is_none() {
    let price = Price { per_second: BaseUnits(u64::MAX), minimum: BaseUnits(0) };
    assert_eq!(price.of(Millis(1_000)), Some(BaseUnits(u64::MAX)));
    assert_eq!(price.of(Millis(1_001)), None);
}

#[test]
fn a_budget_below_the_minimum_buys_nothing() {
    assert_eq!(PRICE.time_within(BaseUnits(212_999)), None);
    assert_eq!(PRICE.time_within(BaseUnits(1_000_000)), Some(Millis(2_000)));
}

#[test]
fn amounts_are_read_in_every_unit() {
    for (text, units) in [
        ("1500000", 1_500_000),
        ("1.5Mi", 1_500_000),
        ("1.5 Mi", 1_500_000),
        ("0.000001Mi", 1),
        ("2Gi", 2_000_000_000),
        ("3Ki", 3_000),
        ("7i", 7),
    ] {
        assert_eq!(text.parse(), Ok(BaseUnits(units)), "{text}");
    }
}

#[test]
fn what_is_no_amount_is_refused_by_name() {
    for text in ["", "Mi", "-1", "1.5", "0.0000001Mi", "1e6", ".5Mi", "1.Mi", "99999999999999999999", "20000000Ti"] {
        let error = text.parse::<BaseUnits>().expect_err(text);
        assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
    }
}

proptest! {
    #[test]
    fn shown_amounts_read_back(units in any::<u64>()) {
        prop_assert_eq!(BaseUnits(units).to_string().parse(), Ok(BaseUnits(units)));
    }

    #[test]
    fn the_time_a_budget_buys_never_costs_more(budget in 213_000u64..u64::MAX / 4, per_second in 1u64..1_000_000_000) {
        let price = Price { per_second: BaseUnits(per_second), minimum: BaseUnits(213_000) };
        let time = price.time_within(BaseUnits(budget)).expect("above the minimum");
        prop_assert!(price.of(time).expect("fits") <= BaseUnits(budget));
        prop_assert!(price.of(time.plus(Millis(1_000))).is_none_or(|p| p > BaseUnits(budget)));
    }
}
