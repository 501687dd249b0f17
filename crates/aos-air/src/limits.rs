//! Every bound in one table: of the language, which are constants, and of a world, which are values it carries.
//!
//! A world's limits stand in its genesis and may be lowered or raised by its manifest up to the constants here, so they
//! are part of what makes a replay equal. The limits of a WASM module's structure stand in `module/`.

use serde::{Deserialize, Serialize};

/// Longest name of a definition in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Deepest nesting of a type once its references are resolved; each level costs at most one level of CBOR.
pub const TYPE_DEPTH_MAX: usize = 48;
/// Most fields of a record and arms of a variant.
pub const TYPE_WIDTH_MAX: usize = 1_024;
/// Most nodes of one schema's type, references not resolved.
pub const TYPE_NODES_MAX: usize = 16_384;
/// Deepest nesting of an expression.
pub const EXPR_DEPTH_MAX: usize = 32;
/// Most work of one evaluation: each part that is evaluated costs one, and one for each byte of its value.
pub const EXPR_COST_MAX: u64 = 16 << 20;
/// Most steps of a plan.
pub const PLAN_STEPS_MAX: usize = 1_024;
/// Deepest nesting of a JSON document: three levels for each level of a type, which is what a map takes in the tagged lens.
pub const JSON_DEPTH_MAX: usize = 160;
/// Largest document file in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 8 << 20;
/// Most findings that are kept; what comes after is not said.
pub const FINDINGS_MAX: usize = 10_000;
/// Most findings that get a suggestion, which costs a look at every name.
pub const SUGGESTIONS_MAX: usize = 256;
/// Longest URL of an HTTP request in bytes, as written and in normal form.
pub const URL_BYTES_MAX: usize = 8_192;
/// Largest text of a policy's `cedar` in bytes.
pub const POLICY_BYTES_MAX: usize = 64 << 10;
/// Most Cedar policies in one definition.
pub const POLICIES_MAX: usize = 512;
/// Deepest nesting of a policy's text in brackets and operators; it bounds the stack of reading and deciding.
pub const POLICY_DEPTH_MAX: usize = 256;
/// Most rules of one pack; each becomes a policy that is as deep as there are rules before it.
pub const PACK_RULES_MAX: usize = 128;
/// Most nodes of the type of an effect's parameters, references written out, that policies can see.
pub const POLICY_TYPE_NODES_MAX: usize = 4_096;
/// Most definitions of one manifest, all kinds together.
pub const DEFINITIONS_MAX: usize = 65_536;
/// Most bytes of a failure's place in a frame; longer ones are cut at a character.
pub const FAILURE_PLACE_BYTES_MAX: usize = 256;

macro_rules! world_limits {
    ($($(#[$doc:meta])* $name:ident = $default:expr, most $most:expr;)*) => {
        /// The limits of a world. Reaching one fails the transaction (or refuses the input) with a code that names it.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Limits { $($(#[$doc])* pub $name: u64,)* }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Limits {
            /// The name of each limit, its default and the most that it may be set to.
            pub const TABLE: &[(&'static str, u64, u64)] = &[$((stringify!($name), $default, $most),)*];

            /// Tells whether every limit lies between one and the most that it may be set to.
            pub fn is_in_range(&self) -> bool {
                $((1..=$most).contains(&self.$name) &&)* true
            }

            /// Sets a limit by its name. Returns false, and changes nothing, for an unknown name, zero, or a value above the most.
            pub fn set(&mut self, name: &str, value: u64) -> bool {
                match name {
                    $(stringify!($name) if (1..=$most).contains(&value) => self.$name = value,)*
                    _ => return false,
                }
                true
            }
        }
    };
}

world_limits! {
    /// Largest event value in bytes, from outside or derived.
    event_bytes_max = 1 << 20, most 16 << 20;
    /// Largest state of one cell in bytes.
    state_bytes_max = 1 << 20, most 16 << 20;
    /// Longest key of a cell in canonical bytes.
    key_bytes_max = 256, most 4_096;
    /// Longest input id in bytes.
    input_id_bytes_max = 64, most 256;
    /// Most events that one reducer call may emit.
    events_per_call_max = 64, most 4_096;
    /// Most events that one frame may derive.
    events_per_frame_max = 1_024, most 65_536;
    /// Most reducer calls in one frame; calls of enforcers do not count.
    calls_per_frame_max = 4_096, most 262_144;
    /// Most effects that one reducer call may ask for.
    effects_per_call_max = 16, most 1_024;
    /// Largest answer of a guest in bytes.
    reply_bytes_max = 4 << 20, most 64 << 20;
    /// Fuel of one guest call; the cost table is in `module/`.
    fuel_per_call_max = 100_000_000, most 100_000_000_000;
    /// Fuel of all guest calls of one frame.
    fuel_per_frame_max = 1_000_000_000, most 1_000_000_000_000;
    /// Largest frame in bytes.
    frame_bytes_max = 8 << 20, most 32 << 20;
    /// Most frames in one block.
    frames_per_block_max = 65_536, most 1_048_576;
    /// How many input ids are kept for resends, the newest first.
    input_ids_kept = 4_096, most 1_048_576;
    /// Most intents that are open or parked at once.
    intents_open_max = 16_384, most 1_048_576;
    /// How many closed intents are kept, so that a late answer is known, the newest first.
    intents_closed_kept = 65_536, most 1_048_576;
    /// Longest that an intent waits for an approval, in nanoseconds of the logical clock.
    approval_wait_ns = 604_800_000_000_000, most 31_536_000_000_000_000;
    /// Largest receipt in bytes, all of it counted.
    receipt_bytes_max = 1 << 20, most 16 << 20;
    /// Most plan instances that run at once.
    instances_max = 65_536, most 16_777_216;
    /// Largest record of a plan instance in bytes.
    instance_bytes_max = 1 << 20, most 16 << 20;
    /// Most plan steps in one frame, all instances together.
    steps_per_frame_max = 4_096, most 262_144;
    /// Furthest that a stamp may lie past the frame before it, in nanoseconds, without the operator.
    time_step_ns_max = 86_400_000_000_000, most 31_536_000_000_000_000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_set_at_its_most_and_not_one_past_it() {
        for (name, default, most) in Limits::TABLE {
            let mut limits = Limits::default();
            assert!(default <= most, "{name}");
            assert!(limits.set(name, *most), "{name}");
            assert!(!limits.set(name, most + 1), "{name}");
            assert!(!limits.set(name, 0), "{name}");
        }
        assert!(!Limits::default().set("no_such_limit", 1));
    }
}
