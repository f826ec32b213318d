//! Tries what a guest must not: one misdeed per argument. Used by the sandbox's tests only.

use std::io::Write;

fn main() {
    let misdeed = std::env::args().nth(1).unwrap_or_default();
    match misdeed.as_str() {
        "memory" => memory(),
        "flood" => flood(),
        "files" => files(),
        "disk" => disk(),
        "outside" => outside(),
        "trap" => std::process::abort(),
        "link" => link(),
        other => eprintln!("unknown misdeed {other}"),
    }
}

fn memory() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(std::hint::black_box(vec![1; 1 << 20]));
    }
}

fn flood() {
    let line = [b'x'; 4_096];
    while std::io::stdout().write_all(&line).is_ok() {}
}

fn files() {
    for n in 0u64.. {
        if std::fs::write(format!("file-{n}"), b"").is_err() {
            return;
        }
    }
}

fn disk() {
    let block = vec![1u8; 1 << 20];
    for n in 0u64.. {
        if std::fs::write(format!("file-{n}"), &block).is_err() {
            return;
        }
    }
}

/// Exit code 0 only when everything was refused.
fn outside() {
    let mut reached = Vec::new();
    for path in ["/etc/passwd", "../../../../etc/passwd", "/proc/self/environ", "/../var", "/dev/null"] {
        if std::fs::read(path).is_ok() || std::fs::read_dir(path).is_ok() {
            reached.push(path);
        }
    }
    if std::env::vars().next().is_some() {
        reached.push("the environment");
    }
    println!("reached: {reached:?}");
    std::process::exit(i32::from(!reached.is_empty()));
}

/// A link to a file of the host, named like a result.
fn link() {
    #[allow(deprecated, reason = "the only portable name for it on WASI")]
    let made = std::fs::hard_link("/etc/passwd", "stolen.txt");
    println!("{}", made.is_ok());
}
