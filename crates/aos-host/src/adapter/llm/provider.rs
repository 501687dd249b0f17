//! Who is asked: the providers that an operator set up, and what they charge.
//!
//! A world names a provider and a model; where that is, and whose key pays if the world brings none, is the operator's.
//! Never here: what a grant allows. Next: `mod.rs`, which looks a provider up.

use std::collections::BTreeMap;

use crate::keys::Secret;

/// The form in which a provider is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `POST {base_url}/chat/completions`, as OpenAI, Ollama, vLLM and llama.cpp have it. The base ends in `/v1`.
    OpenAi,
    /// `POST {base_url}/v1/messages`, as Anthropic has it.
    Anthropic,
}

/// What a model charges, in thousandths of a cent for a million tokens: 15 cents are 15,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Price {
    /// For tokens that go in.
    pub prompt: u64,
    /// For tokens that come out.
    pub completion: u64,
}

/// A provider of language models.
#[derive(Debug, Clone)]
pub struct Provider {
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Where it is. Any address behind this host may be reached, since the operator named it.
    pub base_url: String,
    /// The models that may be asked, with their prices; none where every model may be asked and costs nothing.
    pub prices: Option<BTreeMap<String, Price>>,
    /// The key for effects that bring none.
    pub key: Option<Secret>,
    /// Sends `max_completion_tokens` in the place of `max_tokens`, as newer models of OpenAI want it.
    pub max_completion_tokens: bool,
}

/// Tokens of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    pub(super) prompt: u64,
    pub(super) completion: u64,
}

impl Usage {
    pub(super) const fn tokens(self) -> u64 {
        self.prompt.saturating_add(self.completion)
    }
}

impl Price {
    /// Returns what `usage` costs in whole cents, rounded up.
    pub(super) fn cents(self, usage: Usage) -> u64 {
        const THOUSANDTHS_OF_A_MILLION: u128 = 1_000_000_000;
        let part = |price: u64, tokens: u64| u128::from(price).saturating_mul(tokens.into());
        let sum = part(self.prompt, usage.prompt).saturating_add(part(self.completion, usage.completion));
        u64::try_from(sum.div_ceil(THOUSANDTHS_OF_A_MILLION)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cents_are_rounded_up_and_never_overflow() {
        let mini = Price { prompt: 15_000, completion: 60_000 };
        let cases = [
            (mini, 0, 0, 0),
            (mini, 1, 0, 1),
            (mini, 1_000_000, 0, 15),
            (mini, 1_000_001, 0, 16),
            (mini, 1_000_000, 1_000_000, 75),
            (Price { prompt: 7_500, completion: 0 }, 2_000_000, 9, 15),
            (Price::default(), u64::MAX, u64::MAX, 0),
            (Price { prompt: u64::MAX, completion: u64::MAX }, u64::MAX, u64::MAX, u64::MAX),
        ];
        for (price, prompt, completion, cents) in cases {
            assert_eq!(price.cents(Usage { prompt, completion }), cents, "{price:?} {prompt} {completion}");
        }
    }
}
