//! Sieve of Eratosthenes: `primes LIMIT` prints how many primes are below LIMIT, and the largest.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(limit) = std::env::args().nth(1).and_then(|text| text.parse::<usize>().ok()) else {
        eprintln!("usage: primes LIMIT");
        return ExitCode::from(2);
    };
    let mut composite = vec![false; limit.max(2)];
    let (mut count, mut largest) = (0u64, None);
    for n in 2..limit {
        if composite[n] {
            continue;
        }
        count += 1;
        largest = Some(n);
        for multiple in (n * n..limit).step_by(n) {
            composite[multiple] = true;
        }
    }
    match largest {
        Some(largest) => println!("{count} primes below {limit}, the largest is {largest}"),
        None => println!("no primes below {limit}"),
    }
    ExitCode::SUCCESS
}
