//! How far each output has come.

use super::{NAME_BYTES_MAX, Store, check_size};
use crate::{batch::Batch, error::StoreError, open::CURSORS};

/// Outputs with a cursor. A configuration has a handful; what is no more configured must be forgotten.
const CURSORS_MAX: usize = 64;

impl Store {
    /// The last sequence delivered to an output; 0 for one without a cursor.
    pub fn cursor(&self, output: &str) -> Result<u64, StoreError> {
        Ok(self.get(CURSORS, output.as_bytes())?.unwrap_or(0))
    }

    /// All cursors, by the names of their outputs.
    pub fn cursors(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let items = self.scan(CURSORS, &[], None).map(|item| {
            let (key, value) = item?;
            let name = String::from_utf8(key.into_vec())
                .map_err(|_| self.damaged("a cursor without a name"))?;
            Ok((name, self.decode(&value)?))
        });
        items.collect()
    }

    /// Remembers what was delivered. Power failure may take it back to an earlier one: at least once.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`]: a name over 128 bytes, or a 65th cursor.
    pub fn set_cursor(&mut self, output: &str, sequence: u64) -> Result<(), StoreError> {
        check_size(
            "the length of the name of an output",
            output.len(),
            NAME_BYTES_MAX,
        )?;
        if self.get::<u64>(CURSORS, output.as_bytes())?.is_none() {
            check_size(
                "the number of outputs with a cursor",
                self.cursors()?.len() + 1,
                CURSORS_MAX,
            )?;
        }
        let mut batch = Batch::default();
        batch.put(CURSORS, output.as_bytes(), self.encode(&sequence)?)?;
        let unsynced = self.unsynced;
        self.write(batch)?;
        self.unsynced = unsynced || self.trouble.is_some();
        Ok(())
    }

    /// Forgets an output that is no longer configured: its cursor would keep [`Store::retain`] back for ever.
    pub fn remove_cursor(&mut self, output: &str) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.remove(CURSORS, output.as_bytes())?;
        self.write(batch)
    }
}
