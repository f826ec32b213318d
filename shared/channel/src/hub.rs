//! The hub: passive, it answers proposals and watches the chain. Its rows are what a store holds; the functions decide over
//! them, so any replica decides alike.

mod duties;
mod ops;
mod propose;
mod refusal;
mod row;

pub use duties::{duties, exit};
pub use propose::{
    Accepted, Answer, Decided, Invoice, Proposal, Rows, decide, propose, refused_by_payee, renewed, renewed_promise,
};
pub use refusal::Refusal;
pub use row::{HubChannel, HubToken, Stage};
