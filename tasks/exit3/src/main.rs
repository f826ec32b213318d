//! Fails on purpose: writes to both streams and a file, and exits with 3.

fn main() {
    println!("this is stdout");
    eprintln!("this is stderr");
    if let Err(error) = std::fs::write("left-behind.txt", "written before the failure\n") {
        eprintln!("{error}");
    }
    std::process::exit(3);
}
