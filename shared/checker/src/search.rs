//! Breadth first over every schedule: the first attack found is a shortest one.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use crate::scenario::Scenario;
use crate::world::{Move, World};

/// States held at once; above it the search gives up rather than the machine.
pub const MAX_STATES: usize = 30_000_000;

/// A schedule that ends in a loss.
#[derive(Clone, Debug)]
pub struct Attack {
    /// What was lost.
    pub loss: String,
    /// What happened, step by step.
    pub steps: Vec<String>,
}

/// What a search came to.
#[derive(Clone, Debug)]
pub struct Found {
    /// How many different states there are (or were, until the attack).
    pub states: usize,
    /// How many of them are at the horizon, all final.
    pub ends: usize,
    /// The shortest attack.
    pub attack: Option<Attack>,
}

struct Seen {
    fingerprints: std::collections::HashSet<u128, std::hash::BuildHasherDefault<Low>>,
    /// Parent and the place of the move among the parent's.
    from: Vec<(u32, u16)>,
}

/// The fingerprints are hashes already.
#[derive(Default)]
struct Low(u64);

impl Hasher for Low {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only u128 is hashed")
    }

    fn write_u128(&mut self, number: u128) {
        self.0 = number as u64;
    }
}

/// 128 bits: among 10^8 states two collide with a chance of 10^-23.
fn fingerprint(world: &World) -> u128 {
    let half = |seed| {
        let mut hasher = rapidhash::fast::RapidHasher::new(seed);
        world.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

/// Explores a scenario to its end, or to the first attack.
///
/// # Panics
/// Above [`MAX_STATES`]: such a scenario is for the random search.
#[must_use]
pub fn search(scenario: &Scenario) -> Found {
    let start = World::new(scenario);
    let mut seen = Seen { fingerprints: Default::default(), from: vec![(0, 0)] };
    seen.fingerprints.insert(fingerprint(&start));
    let mut queue = VecDeque::from([(0_u32, start)]);
    let mut ends = 0;
    while let Some((index, world)) = queue.pop_front() {
        let moves = world.moves(scenario);
        if moves.is_empty() {
            ends += 1;
        }
        for (place, step) in moves.iter().enumerate() {
            let Some(next) = world.play(step, scenario) else { continue };
            if !seen.fingerprints.insert(fingerprint(&next)) {
                continue;
            }
            assert!(seen.from.len() < MAX_STATES, "{}: more than {MAX_STATES} states", scenario.name);
            let number = u32::try_from(seen.from.len()).expect("fewer than 2^32");
            seen.from.push((index, u16::try_from(place).expect("few moves")));
            if let Some(loss) = next.loss(scenario) {
                let steps = replay(scenario, &seen.from, number);
                return Found { states: seen.from.len(), ends, attack: Some(Attack { loss, steps }) };
            }
            queue.push_back((number, next));
        }
    }
    Found { states: seen.from.len(), ends, attack: None }
}

/// Walks from the beginning to a state, and says what happened.
fn replay(scenario: &Scenario, from: &[(u32, u16)], to: u32) -> Vec<String> {
    let mut places = vec![];
    let mut at = to;
    while at != 0 {
        let (parent, place) = from[at as usize];
        places.push(place);
        at = parent;
    }
    let mut world = World::new(scenario);
    let mut steps = vec![];
    for place in places.into_iter().rev() {
        let step: Move = world.moves(scenario).swap_remove(usize::from(place));
        let next = world.play(&step, scenario).expect("it was played before");
        steps.push(world.tell(scenario, &step, &next));
        if steps.last().is_some_and(String::is_empty) {
            steps.pop();
        }
        world = next;
    }
    steps
}
