//! Little-endian reading with the causes that HORNET's deserialiser gives.

/// Not enough bytes.
pub const SHORT: &str = "not enough data for deserialization";

/// A position in some bytes.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn u8(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16, String> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    /// Bytes behind a length of one byte.
    pub fn bytes8(&mut self, min: usize, max: usize) -> Result<&'a [u8], String> {
        let length = self.u8()?.into();
        self.bounded(length, min, max)
    }

    /// Bytes behind a length of two bytes.
    pub fn bytes16(&mut self, min: usize, max: usize) -> Result<&'a [u8], String> {
        let length = self.u16()?.into();
        self.bounded(length, min, max)
    }

    fn bounded(&mut self, length: usize, min: usize, max: usize) -> Result<&'a [u8], String> {
        // The blank at the end is the original's.
        if length > max {
            return Err(format!("length denotation invalid: denoted {length} bytes, max allowed {max} "));
        }
        if length < min {
            return Err(format!("length denotation invalid: denoted {length} bytes, min required {min} "));
        }
        self.take(length)
    }
}
