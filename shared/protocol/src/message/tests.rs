//! Manifests that would hurt an executor are refused by name.

use super::*;

fn with_input(path: &str) -> Manifest {
    Manifest { inputs: vec![TaskFile { path: path.into(), bytes: Bytes::default() }], ..Manifest::default() }
}

#[test]
fn paths_that_leave_the_task_are_refused() {
    for path in ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "a\\b", "a\0b"] {
        assert_eq!(with_input(path).check(), Err(ManifestError::Path(path.into())), "{path:?}");
    }
    assert_eq!(with_input("data/in.txt").check(), Ok(()));
}

#[test]
fn output_patterns_are_checked_too() {
    let manifest = Manifest { outputs: vec!["../*".into()], ..Manifest::default() };
    assert_eq!(manifest.check(), Err(ManifestError::Path("../*".into())));
}

#[test]
fn an_input_given_twice_is_refused() {
    let mut manifest = with_input("a");
    manifest.inputs.push(manifest.inputs[0].clone());
    assert_eq!(manifest.check(), Err(ManifestError::Twice("a".into())));
}

#[test]
fn an_impossible_variable_is_refused() {
    let manifest = Manifest { env: vec![("A=B".into(), "c".into())], ..Manifest::default() };
    assert_eq!(manifest.check(), Err(ManifestError::Variable("A=B".into())));
}

#[test]
fn the_input_hash_covers_arguments_and_files() {
    let plain = with_input("a");
    let mut other = plain.clone();
    other.args.push("x".into());
    assert_ne!(plain.input_hash(), other.input_hash());
    other = plain.clone();
    other.inputs[0].bytes = Bytes(vec![1]);
    assert_ne!(plain.input_hash(), other.input_hash());
}
