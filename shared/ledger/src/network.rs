//! Parameters of a network, as a client takes them from its node.

use iota_sdk::types::block::output::{MinimumStorageDepositBasicOutput, RentStructure};

use crate::ProtocolParameters;

/// Stardust.
pub const PROTOCOL_VERSION: u8 = 2;

/// Below max depth: a block whose parents are older than this many milestones is refused.
pub const BELOW_MAX_DEPTH: u32 = 15;

/// Name of the official private Tangle, which the dev Tangle copies.
pub const PRIVATE_NAME: &str = "private_tangle1";
/// Human-readable part of its addresses.
pub const PRIVATE_HRP: &str = "tst";
/// All tokens of it, in base units.
pub const PRIVATE_SUPPLY: u64 = 2_779_530_283_277_761;

/// Parameters of the official private Tangle (`tangle.md`): protocol version 2, no proof of work.
pub fn private() -> ProtocolParameters {
    ProtocolParameters::new(
        PROTOCOL_VERSION,
        PRIVATE_NAME.to_owned(),
        PRIVATE_HRP,
        0,
        BELOW_MAX_DEPTH as u8,
        RentStructure::new(500, 10, 1),
        PRIVATE_SUPPLY,
    )
    .expect("constants of a valid network")
}

/// The least amount an output with nothing but an address can hold.
pub fn plain_output_minimum(params: &ProtocolParameters) -> u64 {
    MinimumStorageDepositBasicOutput::new(*params.rent_structure(), params.token_supply())
        .finish()
        .expect("the minimum of a plain output is below any token supply")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_minimum_is_the_published_one() {
        assert_eq!(super::plain_output_minimum(&super::private()), 213_000);
    }
}
