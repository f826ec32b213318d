//! Content-addressed bytes: submits, locked results, results.

use rusqlite::OptionalExtension;
use tarefa_protocol::Digest;

use super::{StoreError, Tx};

impl Tx<'_> {
    /// Keeps these bytes under their content hash.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let hash = Digest::of_content(bytes);
        self.connection
            .prepare_cached("INSERT INTO blob (hash, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(rusqlite::params![hash.0, bytes])?;
        Ok(hash)
    }

    /// The bytes with this hash.
    pub fn blob(&self, hash: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT bytes FROM blob WHERE hash = ?1")?
            .query_row([hash.0], |row| row.get(0))
            .optional()?)
    }

    /// Forgets these bytes.
    pub fn drop_blob(&self, hash: &Digest) -> Result<(), StoreError> {
        self.connection.prepare_cached("DELETE FROM blob WHERE hash = ?1")?.execute([hash.0])?;
        Ok(())
    }
}
