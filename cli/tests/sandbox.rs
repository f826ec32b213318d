//! The sandbox with real workers: what guests get, and what each misdeed ends with.

use std::path::PathBuf;
use std::sync::Arc;

use tarefa_daemon::role::RunGuest;
use tarefa_executor::Sandbox;
use tarefa_executor::sandbox::RunError;
use tarefa_protocol::codec::{self, Bytes};
use tarefa_protocol::message::{Manifest, Submit, TaskFile};
use tarefa_protocol::offer::TaskLimits;
use tarefa_protocol::result::{Limit, Outcome, TaskResult};
use tarefa_protocol::{Address, BaseUnits, Digest, LedgerSeconds, Millis, SealingKey, Tag, TaskId};

struct House {
    sandbox: Arc<Sandbox>,
    _dir: tempfile::TempDir,
}

fn house() -> House {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let program = PathBuf::from(env!("CARGO_BIN_EXE_tarefa"));
    let sandbox = Sandbox::new(dir.path(), program, vec!["__worker".into()]).expect("set up");
    House { sandbox, _dir: dir }
}

fn module(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tasks/prebuilt").join(format!("{name}.wasm"));
    std::fs::read(path).expect("a prebuilt guest")
}

fn limits() -> TaskLimits {
    TaskLimits {
        memory_max: 32 << 20,
        time_max: Millis(20_000),
        result_max: 1 << 20,
        disk_max: 8 << 20,
        files_max: 100,
    }
}

struct Ended {
    outcome: Outcome,
    metered: Millis,
    result: TaskResult,
}

fn run_as(house: &House, id: u8, module: Vec<u8>, manifest: Manifest, allowed: u64) -> Result<Ended, RunError> {
    let submit = Submit {
        offer: Digest([0; 32]),
        manifest,
        module: Bytes(module),
        reply_key: SealingKey([0; 32]),
        reply_tag: Tag([0; 16]),
        max_price: BaseUnits(0),
        deadline: LedgerSeconds(0),
        refund: Address([0; 32]),
    };
    let guest =
        RunGuest { task: TaskId([id; 16]), submit: Digest([0; 32]), limits: limits(), time_allowed: Millis(allowed) };
    let execution = house.sandbox.run_blocking(&guest, &codec::encode(&submit))?;
    let result: TaskResult = codec::decode(&execution.result.0).expect("a result");
    assert_eq!(result.outcome, execution.outcome);
    Ok(Ended { outcome: execution.outcome, metered: execution.metered, result })
}

fn run(name: &str, args: &[&str]) -> Ended {
    let manifest = Manifest { args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..Manifest::default() };
    run_as(&house(), 1, module(name), manifest, 20_000).expect("run")
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(&bytes.0).into_owned()
}

#[test]
fn a_guest_computes_and_prints() {
    let ended = run("primes", &["1000"]);
    assert_eq!(ended.outcome, Outcome::Exited(0));
    assert_eq!(text(&ended.result.stdout), "168 primes below 1000, the largest is 997\n");
}

#[test]
fn inputs_go_in_and_matching_files_come_back() {
    let manifest = Manifest {
        args: vec!["in/a.txt".into(), "1".into()],
        inputs: vec![TaskFile { path: "in/a.txt".into(), bytes: Bytes(b"b a b\n".to_vec()) }],
        outputs: vec!["in/*".into()],
        ..Manifest::default()
    };
    let ended = run_as(&house(), 1, module("wordcount"), manifest, 20_000).expect("run");
    assert_eq!(text(&ended.result.stdout), "1 lines, 3 words, 6 bytes\n       2 b\n");
    assert_eq!(ended.result.files.len(), 1);
}

#[test]
fn a_failing_guest_keeps_its_code_both_streams_and_files() {
    let manifest = Manifest { outputs: vec!["*.txt".into()], ..Manifest::default() };
    let ended = run_as(&house(), 1, module("exit3"), manifest, 20_000).expect("run");
    assert_eq!(ended.outcome, Outcome::Exited(3));
    assert_eq!(
        (text(&ended.result.stdout), text(&ended.result.stderr)),
        ("this is stdout\n".into(), "this is stderr\n".into())
    );
    assert_eq!(ended.result.files[0].path, "left-behind.txt");
}

#[test]
fn a_spinning_guest_is_ended_while_a_good_one_goes_on_beside_it() {
    let house = house();
    std::thread::scope(|scope| {
        let spinning = scope.spawn(|| run_as(&house, 1, module("spin"), Manifest::default(), 1_500).expect("run"));
        let sleeping = scope.spawn(|| {
            let manifest = Manifest { args: vec!["sleep".into()], ..Manifest::default() };
            run_as(&house, 2, module("spin"), manifest, 700).expect("run")
        });
        let manifest = Manifest { args: vec!["1000".into()], ..Manifest::default() };
        let good = run_as(&house, 3, module("primes"), manifest, 20_000).expect("run");
        assert_eq!(good.outcome, Outcome::Exited(0));
        let spun = spinning.join().expect("no panic");
        assert_eq!(spun.outcome, Outcome::Limit(Limit::Time));
        assert!(spun.metered >= Millis(1_500), "{:?}", spun.metered);
        assert_eq!(text(&spun.result.stdout), "spinning\n", "what it wrote before is kept");
        assert_eq!(sleeping.join().expect("no panic").outcome, Outcome::Limit(Limit::Time));
    });
    assert_eq!(house.sandbox.running(), 0);
}

#[test]
fn every_misdeed_ends_with_its_own_reason() {
    for (misdeed, limit) in
        [("memory", Limit::Memory), ("flood", Limit::Result), ("files", Limit::Files), ("disk", Limit::Disk)]
    {
        let ended = run("hostile", &[misdeed]);
        assert_eq!(ended.outcome, Outcome::Limit(limit), "{misdeed}");
        let size = ended.result.stdout.0.len() + ended.result.stderr.0.len();
        assert!(size as u64 <= limits().result_max, "{misdeed} brought back {size} bytes");
    }
    assert!(matches!(run("hostile", &["trap"]).outcome, Outcome::Trapped(_)));
}

#[test]
fn nothing_outside_the_task_is_in_reach() {
    let ended = run("hostile", &["outside"]);
    assert_eq!(ended.outcome, Outcome::Exited(0), "{}", text(&ended.result.stdout));
    let manifest = Manifest { args: vec!["link".into()], outputs: vec!["*".into()], ..Manifest::default() };
    let ended = run_as(&house(), 1, module("hostile"), manifest, 20_000).expect("run");
    assert_eq!(text(&ended.result.stdout), "false\n");
    assert!(ended.result.files.is_empty());
}

#[test]
fn what_is_no_module_is_refused_with_a_reason() {
    for bytes in [b"\0asm garbage".to_vec(), vec![], b"#!/bin/sh\n".to_vec()] {
        let refused = run_as(&house(), 1, bytes, Manifest::default(), 20_000);
        assert!(matches!(refused, Err(RunError::BadModule(text)) if !text.is_empty()));
    }
}

#[test]
fn a_module_without_start_or_with_unknown_imports_does_not_run() {
    // An empty module: valid, but no command.
    let empty = b"\0asm\x01\0\0\0".to_vec();
    let ended = run_as(&house(), 1, empty, Manifest::default(), 20_000).expect("run");
    assert!(matches!(ended.outcome, Outcome::Trapped(text) if text.contains("_start")));
    // (import "env" "f" (func))
    let import = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x09\x01\x03env\x01f\0\0".to_vec();
    let refused = run_as(&house(), 1, import, Manifest::default(), 20_000);
    assert!(matches!(refused, Err(RunError::BadModule(text)) if text.contains("env")));
}

#[test]
fn the_second_run_of_a_module_does_not_compile_it_again() {
    let house = house();
    let submit =
        |id| run_as(&house, id, module("primes"), Manifest { args: vec!["10".into()], ..Manifest::default() }, 9_000);
    submit(1).expect("run");
    let artifacts = || std::fs::read_dir(house._dir.path().join("modules")).expect("there").count();
    let before = artifacts();
    submit(2).expect("run");
    assert_eq!((before, artifacts()), (1, 1));
}

#[test]
fn every_required_wall_holds_here() {
    let house = house();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let findings = tarefa_executor::doctor::examine(house.sandbox.spawner(), dir.path()).expect("examined");
    assert_eq!(findings.len(), 22);
    let missing = tarefa_executor::doctor::missing(&findings);
    assert!(missing.is_empty(), "{missing:?}");
    let walls = tarefa_executor::doctor::held(&findings);
    assert_eq!(walls, ["code", "files", "network", "privileges", "processes"]);
}
