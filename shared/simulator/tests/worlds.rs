//! Worlds: the same seed gives the same run, and what must stop a daemon stops it.

use tarefa_simulator::{Plan, World};
use tarefa_submitter::SubmitterRole;
use tarefa_tangle::failing::Faults;

#[test]
fn the_same_seed_gives_the_same_world() {
    let run = || World::new(Plan::standard(7)).and_then(World::run).expect("invariants hold");
    let first = run();
    assert_eq!(first, run());
    assert_eq!(first.tasks, 24);
    assert!(first.crashes > 0 && first.done > 0, "{first:?}");
}

#[test]
fn a_calm_world_delivers_nearly_everything() {
    let plan = Plan { faults: Faults::NONE, crashes: 0, ..Plan::standard(3) };
    let report = World::new(plan).and_then(World::run).expect("invariants hold");
    // Some guests fail on purpose, none is lost.
    assert_eq!(report.done + report.failed, report.tasks);
    assert!(report.done * 10 >= report.tasks * 8, "{report:?}");
}

#[test]
fn a_second_instance_with_the_same_keys_stops() {
    let plan = Plan { submitters: 1, tasks: 4, faults: Faults::NONE, crashes: 0, ..Plan::standard(1) };
    let mut world = World::new(plan).expect("a world");
    let mut twin = world.submitters[0].twin(SubmitterRole).expect("a second instance");
    world.take_steps(400).expect("no step fails");
    let error = world.read_all(&mut twin).expect_err("our key was used by somebody else");
    assert!(format!("{error:#}").contains("a second instance runs with the same mnemonic"), "{error:#}");
}
