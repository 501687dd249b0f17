//! How many cases a property test runs; in tests only, the crate's own and those from outside.

use proptest::test_runner::{Config, RngSeed};

/// A configuration with this many cases; on wasm32, where there is nothing to draw a seed from and code runs slowly, a
/// sixteenth of them from a fixed seed.
pub(crate) fn cases(cases: u32) -> Config {
    let config = Config::with_cases(cases);
    if cfg!(target_arch = "wasm32") {
        Config { rng_seed: RngSeed::Fixed(1), cases: cases.div_ceil(16), ..config }
    } else {
        config
    }
}
