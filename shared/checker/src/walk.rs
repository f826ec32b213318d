//! Seeded random walks, for scenarios with too many schedules to try them all.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::scenario::Scenario;
use crate::search::Attack;
use crate::world::{Move, World};

/// More moves than any schedule that ends at a horizon has: a walk that does not end is a fault of the checker.
const MAX_STEPS: usize = 10_000;

/// Of the moves, one in so many is what the honest party or the clock would do next, or an adversary would never let it come to that.
const ONWARD: u64 = 3;

/// Walks from the beginning of a scenario to its horizon; the same seed walks the same way.
///
/// # Panics
/// If it does not end.
#[must_use]
pub fn walk(scenario: &Scenario, seed: u64) -> Option<Attack> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut world = World::new(scenario);
    let mut steps = vec![];
    for _ in 0..MAX_STEPS {
        let mut moves = world.moves(scenario);
        if moves.is_empty() {
            return None;
        }
        let onward = random.next_u64().is_multiple_of(ONWARD);
        let place = if onward { 0 } else { random.next_u64() % moves.len() as u64 };
        let step: Move = moves.swap_remove(usize::try_from(place).expect("few moves"));
        let Some(next) = world.play(&step, scenario) else { continue };
        steps.push(world.tell(scenario, &step, &next));
        if let Some(loss) = next.loss(scenario) {
            steps.retain(|step| !step.is_empty());
            return Some(Attack { loss, steps });
        }
        world = next;
    }
    panic!("{}: the walk of seed {seed} does not end", scenario.name);
}
