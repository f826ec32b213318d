//! Native probes in a worker's place, behind the same walls as a guest.

use super::job::{Ended, Job, Record, report};
use super::{raw, walls};
use seccompiler::BpfProgram;
use std::error::Error;
use std::ffi::CString;
use std::fs::File;

/// (probe, property it stands for, whether strangers' work requires it).
pub const PROBES: &[(&str, &str, bool)] = &[
    ("read-outside", "files", true),
    ("write-outside", "files", true),
    ("truncate-outside", "files", true),
    ("chmod-outside", "files", true),
    ("list-root", "files", true),
    ("parent-mem", "files", true),
    ("socket-inet", "network", true),
    ("connect-tcp", "network", true),
    ("socket-udp", "network", true),
    ("socket-unix", "network", true),
    ("io-uring", "processes", true),
    ("ptrace-parent", "processes", true),
    ("signal-parent", "processes", true),
    ("pidfd-parent", "processes", true),
    ("fcntl-setown", "processes", true),
    ("prlimit-parent", "processes", true),
    ("fork", "processes", true),
    ("thread", "processes", true),
    ("map-exec", "code", true),
    ("user-namespace", "privileges", true),
    ("mount-namespace", "privileges", true),
    ("exec", "processes", true),
];

/// `job.args` is the probe and the path of a file outside the task; one process each, so that one probe cannot
/// disturb another.
pub fn work(job: &Job, seccomp: &BpfProgram, status: &File) -> Result<Ended, Box<dyn Error>> {
    let [name, outside] = &job.args[..] else { return Err("a probe needs its name and a file".into()) };
    let outside = CString::new(outside.as_str())?;
    if job.walls.seccomp {
        walls::seccomp(seccomp)?;
    }
    report(status, &Record::Started)?;
    let (result, refused) = match raw::probe(name, &outside, job.parent_pid) {
        Ok(_) => ("got through".to_owned(), false),
        Err(error) => (error.to_string(), true),
    };
    report(status, &Record::Probe { name: name.clone(), result, refused })?;
    Ok(Ended::Exited { code: 0, memory_denied: false })
}
