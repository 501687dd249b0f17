//! What an adapter may use while it performs: time, cancellation, blobs, secrets.
//!
//! Never here: the network or a file; an adapter opens its own. Read next: `dispatch/`, which makes the calls.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aos_air::hash::Digest;
use aos_kernel::blobs::{BlobFault, Blobs};

use super::Failed;
use crate::dispatch::Elsewhere;
use crate::keys::Secret;
use crate::store::RECORD_BYTES_MAX;

/// The most bytes of blobs that may travel with one answer: 64 MiB, what one record of a store may have.
pub const STORED_BYTES_MAX: usize = RECORD_BYTES_MAX;

/// How long [`Call::alone`] gives.
const ALONE: Duration = Duration::from_secs(60);

/// Gives the values of secrets that an effect may use.
pub trait Secrets {
    /// Returns the value of the secret that the manifest calls `name`.
    ///
    /// # Errors
    /// A failure with a code of its own where there is none, or where it cannot be opened.
    fn secret(&self, name: &str) -> Result<Secret, Failed>;
}

/// Secrets in memory, by name: for tests of adapters.
impl Secrets for BTreeMap<String, Vec<u8>> {
    fn secret(&self, name: &str) -> Result<Secret, Failed> {
        self.get(name).map(|value| Secret::new(value.clone())).ok_or_else(|| no_secret(name))
    }
}

/// Returns what is said of a secret that the effect may not use.
pub(crate) fn no_secret(name: &str) -> Failed {
    Failed::new("adapter.secret", format!("the effect has no secret `{name}`"))
}

/// A word that reaches every try of one effect: stop.
#[derive(Debug, Clone, Default)]
pub struct Cancellation(Arc<(Mutex<bool>, Condvar)>);

impl Cancellation {
    /// Says it.
    pub fn cancel(&self) {
        let (said, heard) = &*self.0;
        *said.lock().unwrap_or_else(PoisonError::into_inner) = true;
        heard.notify_all();
    }

    /// Returns whether it was said.
    pub fn is_cancelled(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is said, at most for `time`, and returns whether it was.
    pub fn wait(&self, time: Duration) -> bool {
        let (said, heard) = &*self.0;
        let said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = heard.wait_timeout_while(said, time, |said| !*said);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// One try of an effect.
pub struct Call<'a> {
    deadline: Instant,
    tries: u32,
    cancellation: &'a Cancellation,
    blobs: &'a dyn Blobs,
    secrets: &'a dyn Secrets,
    stored: BTreeMap<Digest, Vec<u8>>,
    stored_bytes: usize,
    shown: Vec<Secret>,
    elsewhere: Option<&'a Elsewhere>,
}

impl<'a> Call<'a> {
    /// Makes the first try of an effect.
    pub const fn new(
        deadline: Instant,
        cancellation: &'a Cancellation,
        blobs: &'a dyn Blobs,
        secrets: &'a dyn Secrets,
    ) -> Self {
        let stored = BTreeMap::new();
        Self {
            deadline,
            tries: 0,
            cancellation,
            blobs,
            secrets,
            stored,
            stored_bytes: 0,
            shown: Vec::new(),
            elsewhere: None,
        }
    }

    /// Makes a try that follows on `tries` others.
    #[must_use]
    pub const fn after(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }

    /// Lets policy judge where the effect may be sent on to.
    pub(crate) fn judge(&mut self, elsewhere: Option<&'a Elsewhere>) {
        self.elsewhere = elsewhere;
    }

    /// Returns whether policy lets the effect go on to another URL with this method, as if it had been asked for there.
    /// Policy alone: the adapter asks the grant as well. Without a world around it, nothing is against it.
    pub fn may_go_to(&self, url: &str, method: &str) -> bool {
        self.elsewhere.is_none_or(|elsewhere| elsewhere.allows(url, method))
    }

    /// Runs `perform` with a call that has a minute, no blobs and no secrets: for tests of adapters.
    pub fn alone<T>(perform: impl FnOnce(&mut Call<'_>) -> T) -> T {
        let nothing = BTreeMap::<Digest, Vec<u8>>::new();
        let no_secrets = BTreeMap::<String, Vec<u8>>::new();
        perform(&mut Call::new(Instant::now() + ALONE, &Cancellation::default(), &nothing, &no_secrets))
    }

    /// Returns how much time is left for the effect, all tries together; zero when it is over.
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Returns how many tries of this effect came before this one in this process.
    pub const fn tries(&self) -> u32 {
        self.tries
    }

    /// Returns whether the effect was called off. An adapter that waits in slices looks here between them.
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// Ends a try whose time is over or that was called off.
    ///
    /// # Errors
    /// `adapter.cancelled` or `adapter.deadline`; the adapter adds [`Failed::sent`] where that is so.
    pub fn check(&self) -> Result<(), Failed> {
        self.pause(Duration::ZERO)
    }

    /// Waits for `time`, or until the effect is called off or its time is over.
    ///
    /// # Errors
    /// As [`Call::check`].
    pub fn pause(&self, time: Duration) -> Result<(), Failed> {
        if self.cancellation.wait(time.min(self.time_left())) {
            return Err(Failed::cancelled("adapter.cancelled", "the effect was called off"));
        }
        if self.time_left().is_zero() {
            return Err(Failed::timeout("adapter.deadline", "the effect's time is over"));
        }
        Ok(())
    }

    /// Reads a stored blob.
    ///
    /// # Errors
    /// `blob.missing`, `blob.damaged` or `blob.unreadable`; the last one is retriable.
    pub fn blob(&self, hash: &Digest) -> Result<Vec<u8>, Failed> {
        self.blobs.blob(hash).map_err(|fault| {
            let failed = Failed::new(fault.code(), fault.to_string());
            if matches!(fault, BlobFault::Unreadable(_)) { failed.retriable() } else { failed }
        })
    }

    /// Keeps a blob that is stored together with this try's answer, and with nothing else: a failure drops it.
    ///
    /// # Errors
    /// `adapter.blobs` where the answer's blobs come to more than [`STORED_BYTES_MAX`].
    pub fn store(&mut self, bytes: Vec<u8>) -> Result<Digest, Failed> {
        let hash = Digest::of(&bytes);
        if !self.stored.contains_key(&hash) {
            let total = self.stored_bytes.saturating_add(bytes.len());
            if total > STORED_BYTES_MAX {
                let message = format!("the answer's blobs have {total} bytes, more than {STORED_BYTES_MAX}");
                return Err(Failed::new("adapter.blobs", message));
            }
            self.stored_bytes = total;
            self.stored.insert(hash, bytes);
        }
        Ok(hash)
    }

    /// Opens a secret. What is said or answered later is searched for its value, so that it does not get out by mistake.
    ///
    /// # Errors
    /// `adapter.secret` where the effect may not use it, and the vault's codes where it cannot be opened.
    pub fn secret(&mut self, name: &str) -> Result<Secret, Failed> {
        let secret = self.secrets.secret(name)?;
        self.shown.push(secret.clone());
        Ok(secret)
    }

    /// Adds a secret that the adapter has from its operator to those that no answer, blob or message may hold.
    pub fn keep_out(&mut self, secret: &Secret) {
        self.shown.push(secret.clone());
    }

    /// Ends the call: the blobs to store, by hash, and the secrets that were opened.
    pub fn into_parts(self) -> (Vec<(Digest, Vec<u8>)>, Vec<Secret>) {
        (self.stored.into_iter().collect(), self.shown)
    }
}
