//! Clock and entropy: the two things of the machine that reach into a world, and only as stamps and seeds.

use std::time::{SystemTime, UNIX_EPOCH};

use super::DriveError;

/// Gives time and random bytes. The machine's own, or a script's in a test or a simulation.
pub trait Ambient: Send {
    /// Returns nanoseconds since the epoch.
    ///
    /// # Errors
    /// [`DriveError::Clock`] where the clock stands outside what 64 bits hold.
    fn now_ns(&mut self) -> Result<u64, DriveError>;

    /// Returns 32 random bytes.
    ///
    /// # Errors
    /// [`DriveError::Entropy`] where the machine gives none.
    fn random(&mut self) -> Result<[u8; 32], DriveError>;
}

/// The machine's clock and random source.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Ambient for System {
    fn now_ns(&mut self) -> Result<u64, DriveError> {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| DriveError::Clock)?;
        // Half of the range, so that the distance of two stamps always fits a signed number: until the year 2262.
        u64::try_from(elapsed.as_nanos()).ok().filter(|now| i64::try_from(*now).is_ok()).ok_or(DriveError::Clock)
    }

    fn random(&mut self) -> Result<[u8; 32], DriveError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(DriveError::Entropy)?;
        Ok(bytes)
    }
}
