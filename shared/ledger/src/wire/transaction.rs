//! A transaction payload's structure (TIP-20).

use super::output::LooseOutput;
use super::reader::Reader;
use super::{TAGGED_DATA, tagged_data};

const REGULAR: u8 = 1;
const UTXO: u8 = 0;
const ED25519: u8 = 0;
/// Public key and signature.
const SIGNATURE_LEN: usize = 96;

/// A transaction read without judging it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub network: u64,
    /// Transaction id and index of each input.
    pub inputs: Vec<([u8; 32], u16)>,
    pub outputs: Vec<LooseOutput>,
    pub unlocks: Vec<Unlock>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unlock {
    Signature(Vec<u8>),
    /// To a signature.
    Reference(u16),
    /// To the unlock of an alias or NFT; may refer to one that refers itself.
    Chain(u16),
}

impl Transaction {
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        let essence = |e: String| format!("{e}: unable to deserialize transaction essence within transaction");
        let (network, inputs, outputs) = read_essence(reader).map_err(essence)?;
        let unlocks = (|| {
            let count = reader.u16()?;
            (0..count).map(|_| read_unlock(reader)).collect::<Result<Vec<_>, String>>()
        })()
        .map_err(|e| format!("{e}: unable to deserialize unlocks: unable to deserialize unlocks"))?;
        Ok(Self { network, inputs, outputs, unlocks })
    }
}

type Essence = (u64, Vec<([u8; 32], u16)>, Vec<LooseOutput>);

fn read_essence(reader: &mut Reader<'_>) -> Result<Essence, String> {
    match reader.u8()? {
        REGULAR => {}
        other => return Err(format!("unknown transaction essence type: type byte {other}")),
    }
    let network = reader.u64()?;
    // Said twice, once for the list and once for its elements.
    let twice = |what: &str, e: String| format!("{what}: {what}: {e}");
    let inputs =
        list(reader, read_input).map_err(|e| twice("unable to deserialize inputs of transaction essence", e))?;
    reader.array::<32>()?;
    let outputs = list(reader, LooseOutput::read)
        .map_err(|e| twice("unable to deserialize outputs of transaction essence", e))?;
    read_note(reader).map_err(|e| format!("unable to deserialize outputs of transaction essence: {e}"))?;
    Ok((network, inputs, outputs))
}

fn list<T>(
    reader: &mut Reader<'_>,
    mut element: impl FnMut(&mut Reader<'_>) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let count = reader.u16()?;
    (0..count).map(|_| element(reader)).collect()
}

fn read_input(reader: &mut Reader<'_>) -> Result<([u8; 32], u16), String> {
    match reader.u8()? {
        UTXO => Ok((reader.array()?, reader.u16()?)),
        other => Err(format!(
            "transaction essence can only contain UTXO input as inputs but got type ID {other}: unsupported object type"
        )),
    }
}

fn read_note(reader: &mut Reader<'_>) -> Result<(), String> {
    if reader.u32()? == 0 {
        return Ok(());
    }
    match reader.u32()? {
        TAGGED_DATA => tagged_data(reader),
        _ => Err("transaction essence can only contain a tagged data payload: serializable is not a supported payload"
            .into()),
    }
}

fn read_unlock(reader: &mut Reader<'_>) -> Result<Unlock, String> {
    match reader.u8()? {
        0 => match reader.u8()? {
            ED25519 => Ok(Unlock::Signature(reader.take(SIGNATURE_LEN)?.to_vec())),
            other => Err(format!(
                "unable to deserialize signature within signature unlock: unknown signature type: type byte {other}"
            )),
        },
        1 => Ok(Unlock::Reference(reader.u16()?)),
        2 | 3 => Ok(Unlock::Chain(reader.u16()?)),
        other => Err(format!("unknown unlock type: type byte {other}")),
    }
}
