//! What came out of a model, in one form whatever the provider: the blob that `output_ref` names.
//!
//! Never here: the providers' forms. The form is written up in `spec/adapters/llm.md`.

use serde::Serialize;

use super::input::ToolCall;
use super::provider::Usage;

/// An answer as the providers' forms are read into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) text: String,
    pub(super) tool_calls: Vec<ToolCall>,
    pub(super) finish_reason: String,
    /// None where the provider does not say.
    pub(super) usage: Option<Usage>,
    pub(super) id: String,
}

/// The output blob: JSON, its fields in this order.
#[derive(Serialize)]
pub(super) struct Output<'a> {
    pub(super) text: &'a str,
    pub(super) tool_calls: &'a [ToolCall],
    /// `stop`, `length`, `tool_calls`, `refused`, or the provider's own word.
    pub(super) finish_reason: &'a str,
    /// `reported`, or `assumed` where the provider did not say, so that the worst case was booked.
    pub(super) usage: &'static str,
    /// Whether the key was found in the answer and taken out.
    pub(super) redacted: bool,
}
