//! Where this user's caches lie: compiled code, built modules. Everything in it can be deleted at any time.
//!
//! Never here: a world's data, keys of a world, settings.

use std::env;
use std::path::PathBuf;

/// Names the folder in place of the usual one.
pub const VARIABLE: &str = "AOS_CACHE_DIR";

/// Returns the cache folder: what [`VARIABLE`] names, else `aos` in the user's cache folder, else one below the system's
/// folder for temporary files. It need not exist yet.
pub fn folder() -> PathBuf {
    let named = |variable| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    named(VARIABLE)
        .or_else(|| named("XDG_CACHE_HOME").map(|caches| caches.join("aos")))
        .or_else(|| env::home_dir().map(|home| home.join(".cache/aos")))
        .unwrap_or_else(|| env::temp_dir().join("aos-cache"))
}
