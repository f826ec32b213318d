//! bench
use crate::args::BenchTask;
use anyhow::Result;
pub async fn task(_: BenchTask) -> Result<u8> {
    Ok(0)
}
