//! How long a wait on the network may last: until its deadline, or until somebody calls the work off.
//!
//! Every blocking call of this folder waits a short turn and asks here between turns. Never here: a socket.
//! Next: `wire.rs`, which waits.

use std::time::{Duration, Instant};

use super::error::HttpError;

/// The longest wait without a look at the cancellation.
const TURN: Duration = Duration::from_millis(50);

/// A deadline and a cancellation.
#[derive(Clone, Copy)]
pub(crate) struct Watch<'a> {
    until: Instant,
    before: &'static str,
    is_cancelled: &'a dyn Fn() -> bool,
}

impl<'a> Watch<'a> {
    /// Makes the watch over a whole piece of work that starts now and has `left`.
    pub(crate) fn new(left: Duration, is_cancelled: &'a dyn Fn() -> bool) -> Self {
        let until = later(left);
        Self { until, before: "the whole answer came", is_cancelled }
    }

    /// Returns the watch over a part of the work: `before` says what has to happen within `part`.
    pub(crate) fn within(self, part: Duration, before: &'static str) -> Self {
        let until = later(part);
        if until < self.until { Self { until, before, ..self } } else { self }
    }

    /// Returns how long to wait before the next call of this function.
    ///
    /// # Errors
    /// [`HttpError::Cancelled`], or [`HttpError::Timeout`].
    pub(crate) fn turn(&self) -> Result<Duration, HttpError> {
        Ok(self.left()?.min(TURN))
    }

    /// Returns the time that is left, which is more than nothing.
    ///
    /// # Errors
    /// [`HttpError::Cancelled`], or [`HttpError::Timeout`].
    pub(crate) fn left(&self) -> Result<Duration, HttpError> {
        if (self.is_cancelled)() {
            return Err(HttpError::Cancelled);
        }
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(HttpError::Timeout { before: self.before }) } else { Ok(left) }
    }
}

/// The moment that lies `span` ahead; a span that no clock can reach is cut to a day.
fn later(span: Duration) -> Instant {
    const DAY: Duration = Duration::from_secs(86_400);
    Instant::now() + span.min(DAY)
}
