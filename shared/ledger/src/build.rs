//! Building blocks and transactions from plain parts.

use std::collections::HashMap;

use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::Error;
use iota_sdk::types::block::address::{Address, Ed25519Address};
use iota_sdk::types::block::input::{Input, UtxoInput};
use iota_sdk::types::block::output::unlock_condition::AddressUnlockCondition;
use iota_sdk::types::block::output::{BasicOutput, BasicOutputBuilder, InputsCommitment, Output};
use iota_sdk::types::block::parent::Parents;
use iota_sdk::types::block::payload::transaction::{RegularTransactionEssence, TransactionEssence};
use iota_sdk::types::block::payload::{Payload, TaggedDataPayload, TransactionPayload};
use iota_sdk::types::block::signature::{Ed25519Signature, Signature};
use iota_sdk::types::block::unlock::{ReferenceUnlock, SignatureUnlock, Unlock, Unlocks};

use crate::{Block, BlockId, OutputId, ProtocolParameters};

/// Most inputs or outputs of one transaction (TIP-20).
pub const COUNT_MAX: usize = 128;

/// Signs for the addresses of a wallet.
pub trait Signer {
    /// Public key and signature of `message` by the key of this address index.
    fn sign(&self, index: u32, message: &[u8]) -> ([u8; 32], [u8; 64]);
}

/// An output to spend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spend {
    /// Which.
    pub id: OutputId,
    /// Its amount, base units.
    pub amount: u64,
    /// Its address.
    pub address: [u8; 32],
    /// Index of the key of that address.
    pub index: u32,
    /// Its bytes, where it has more than an amount and an address.
    pub packed: Option<Vec<u8>>,
}

/// A tagged-data payload.
pub fn tagged(tag: &[u8], data: &[u8]) -> Result<Payload, Error> {
    Ok(Payload::from(TaggedDataPayload::new(tag.to_vec(), data.to_vec())?))
}

/// A block around a payload; parents are sorted and made unique. Its nonce is 0: the networks that remain ask for
/// no proof of work.
pub fn block(parents: Vec<BlockId>, payload: Option<Payload>) -> Result<Block, Error> {
    Block::build(Parents::from_vec(parents)?).with_payload(payload).finish()
}

/// The block in these bytes, all syntactic rules checked.
pub fn parse_block(raw: &[u8], params: &ProtocolParameters) -> Option<Block> {
    if raw.len() > Block::LENGTH_MAX {
        return None;
    }
    Block::unpack_strict(raw, params).ok()
}

/// A basic output with nothing but an address.
pub fn simple_output(address: Address, amount: u64, params: &ProtocolParameters) -> Result<Output, Error> {
    BasicOutputBuilder::new_with_amount(amount)
        .add_unlock_condition(AddressUnlockCondition::new(address))
        .finish_output(params.token_supply())
}

/// As [`simple_output`], for an Ed25519 address.
pub fn plain_output(address: [u8; 32], amount: u64, params: &ProtocolParameters) -> Result<Output, Error> {
    simple_output(Address::from(Ed25519Address::new(address)), amount, params)
}

/// Address and amount of an output that counts as money received: exactly one unlock condition, the address
/// (`market.md`, payment rule 3). Anything else can be taken back, delayed, or is not ours to spend.
pub fn counts(output: &Output) -> Option<([u8; 32], u64)> {
    let Output::Basic(basic) = output else { return None };
    let Address::Ed25519(address) = basic.address() else { return None };
    (basic.unlock_conditions().len() == 1).then_some((**address, basic.amount()))
}

/// As [`counts`], and with no features or native tokens: amount and address are all there is to it.
pub fn plain(output: &Output) -> Option<([u8; 32], u64)> {
    let bare = output.features().is_none_or(|features| features.is_empty()) && !has_tokens(output);
    counts(output).filter(|_| bare)
}

/// Whether it holds native tokens, which a transaction that does not name them again burns.
pub fn has_tokens(output: &Output) -> bool {
    output.native_tokens().is_some_and(|tokens| !tokens.is_empty())
}

fn output_of(spend: &Spend, params: &ProtocolParameters) -> Result<Output, Error> {
    match &spend.packed {
        None => plain_output(spend.address, spend.amount, params),
        // The wallet packed them itself: that they do not unpack means a damaged store.
        Some(bytes) => {
            Output::unpack_verified(bytes.as_slice(), params).map_err(|_| Error::InvalidOutputKind(BasicOutput::KIND))
        }
    }
}

/// A signed transaction that moves `inputs` to `outputs` (address, amount), with an optional note.
pub fn transaction(
    inputs: &[Spend],
    outputs: &[([u8; 32], u64)],
    note: Option<(&[u8], &[u8])>,
    signer: &dyn Signer,
    params: &ProtocolParameters,
) -> Result<TransactionPayload, Error> {
    let created =
        outputs.iter().map(|(to, amount)| plain_output(*to, *amount, params)).collect::<Result<Vec<_>, _>>()?;
    transaction_of(inputs, created, note, signer, params)
}

/// As [`transaction`], with outputs of any kind.
pub fn transaction_of(
    inputs: &[Spend],
    created: Vec<Output>,
    note: Option<(&[u8], &[u8])>,
    signer: &dyn Signer,
    params: &ProtocolParameters,
) -> Result<TransactionPayload, Error> {
    let spent = inputs.iter().map(|spend| output_of(spend, params)).collect::<Result<Vec<_>, _>>()?;
    let ids = inputs.iter().map(|spend| Input::from(UtxoInput::from(spend.id))).collect::<Vec<_>>();
    let note = note.map(|(tag, data)| tagged(tag, data)).transpose()?;
    let essence = RegularTransactionEssence::builder(params.network_id(), InputsCommitment::new(spent.iter()))
        .with_inputs(ids)
        .with_outputs(created)
        .with_payload(note)
        .finish_with_params(params)?;
    let essence = TransactionEssence::from(essence);
    let unlocks = unlocks(inputs, &essence.hash(), signer)?;
    TransactionPayload::new(essence, Unlocks::new(unlocks)?)
}

fn unlocks(inputs: &[Spend], hash: &[u8; 32], signer: &dyn Signer) -> Result<Vec<Unlock>, Error> {
    let mut signed_at: HashMap<[u8; 32], u16> = HashMap::new();
    let mut unlocks = Vec::with_capacity(inputs.len());
    for (position, spend) in inputs.iter().enumerate() {
        let unlock = match signed_at.get(&spend.address) {
            Some(first) => Unlock::from(ReferenceUnlock::new(*first)?),
            None => {
                signed_at.insert(spend.address, position as u16);
                let (public, signature) = signer.sign(spend.index, hash);
                let signature = Signature::from(Ed25519Signature::from_bytes(public, signature));
                Unlock::from(SignatureUnlock::new(signature))
            }
        };
        unlocks.push(unlock);
    }
    Ok(unlocks)
}
