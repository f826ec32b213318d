//! Amounts of a channel on the command line: base units, or ether.

use std::str::FromStr;

use tarefa_channel::Amount;

/// Decimals of the units that are understood, the longest name first.
const UNITS: [(&str, usize); 3] = [("gwei", 9), ("eth", 18), ("wei", 0)];

/// An amount in base units, written like `250`, `20gwei` or `1.5eth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wei(pub Amount);

impl FromStr for Wei {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not an amount: write base units, or a number with gwei or eth, like 1.5eth");
        let unit = UNITS.iter().find_map(|(name, decimals)| Some((text.strip_suffix(name)?, *decimals)));
        let (number, decimals) = unit.unwrap_or((text, 0));
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > decimals || number.ends_with('.') {
            return Err(bad());
        }
        let text = format!("{whole}{part:0<decimals$}");
        text.parse().map(|amount| Self(Amount(amount))).map_err(|_| bad())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        let wei = |text: &str| text.parse::<Wei>().map(|wei| wei.0.0);
        assert_eq!(wei("250"), Ok(250));
        assert_eq!(wei("250wei"), Ok(250));
        assert_eq!(wei("1.5eth"), Ok(1_500_000_000_000_000_000));
        assert_eq!(wei("0.000000000000000001eth"), Ok(1));
        assert_eq!(wei("20gwei"), Ok(20_000_000_000));
        for bad in [
            "",
            "eth",
            ".5eth",
            "1.eth",
            "1.5",
            "-1",
            "1e3",
            "0.0000000000000000001eth",
            "340282366920938463463374607431768211456",
        ] {
            assert!(wei(bad).is_err(), "{bad}");
        }
    }
}
