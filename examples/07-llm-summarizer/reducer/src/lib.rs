//! A library that has its articles summarized: writes the prompt, reads what the model's answer says.
//!
//! What goes to a model and what comes back are blobs, so code makes the one and reads the other; who may ask which
//! model, and how much it may cost, is in the world's `air` folder.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use aos_sdk::{Bytes, Failed, Next, Reducer, Step, reducer};
use serde::{Deserialize, Serialize};

/// What became of each article, `demo/LibraryState@1`.
pub type State = BTreeMap<String, Entry>;

/// What became of an article.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// It has a summary.
    Summary {
        /// What the model wrote.
        text: String,
        /// Tokens that it took.
        tokens: u64,
        /// What it cost, in hundredths.
        cents: u64,
    },
    /// It has none.
    None {
        /// Why.
        code: String,
    },
}

/// What happens, `demo/LibraryEvent@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// An article comes in.
    Article {
        /// Its title.
        title: String,
        /// Its text.
        text: String,
        /// The most tokens of a summary.
        tokens: u64,
    },
    /// A model has answered.
    Summary {
        /// The article's title.
        title: String,
        /// The adapter's record of the answer, in JSON.
        output: Bytes,
        /// Tokens that it took.
        tokens: u64,
        /// What it cost, in hundredths.
        cents: u64,
    },
    /// There is no answer.
    NoSummary {
        /// The article's title.
        title: String,
        /// Why.
        code: String,
    },
}

/// Starts the plan, `demo/SummaryWanted@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryWanted {
    /// The article's title.
    pub title: String,
    /// What the model is told.
    pub prompt: Bytes,
    /// The most tokens of its answer.
    pub tokens: u64,
}

/// What matters of the adapter's record of an answer.
#[derive(Deserialize)]
struct Output {
    text: String,
}

/// The reducer.
#[derive(Debug)]
pub struct Library;

impl Reducer for Library {
    type State = State;
    type Event = Event;

    fn step(state: Option<State>, event: Event, step: &mut Step<'_>) -> Next<State> {
        let mut entries = state.unwrap_or_default();
        match event {
            Event::Article { title, text, tokens } => {
                let prompt = format!("Summarize the following text in one plain sentence.\n\n{text}");
                let wanted = SummaryWanted { title, prompt: Bytes::from(prompt.into_bytes()), tokens };
                step.raise("demo/SummaryWanted@1", &wanted)?;
            }
            Event::Summary { title, output, tokens, cents } => {
                let output = json::from_slice(&output);
                let Output { text } = output.map_err(|_| Failed("the answer has another form"))?;
                entries.insert(title, Entry::Summary { text, tokens, cents });
            }
            Event::NoSummary { title, code } => drop(entries.insert(title, Entry::None { code })),
        }
        Ok(Some(entries))
    }
}

reducer!(Library);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_article_becomes_a_prompt() {
        let mut step = Step::default();
        let article = Event::Article { title: "a".into(), text: "Rain falls.".into(), tokens: 9 };
        assert_eq!(Library::step(None, article, &mut step), Ok(Some(State::new())));
        let raised: Vec<Result<SummaryWanted, Failed>> = step.raised("demo/SummaryWanted@1").collect();
        let [Ok(SummaryWanted { title, prompt, tokens: 9 })] = &raised[..] else { panic!("{raised:?}") };
        assert!(title == "a" && prompt.ends_with(b"sentence.\n\nRain falls."));
    }

    #[test]
    fn an_answer_is_read_from_its_record() {
        let answer =
            |output: &[u8]| Event::Summary { title: "a".into(), output: Bytes::from(output), tokens: 3, cents: 1 };
        let summary = Entry::Summary { text: "Wet.\n".into(), tokens: 3, cents: 1 };
        for (event, entry) in [
            (answer(br#"{"text": "Wet.\n", "finish_reason": "stop"}"#), Ok(summary)),
            (answer(b"Wet."), Err(Failed("the answer has another form"))),
            (
                Event::NoSummary { title: "a".into(), code: "llm.model".into() },
                Ok(Entry::None { code: "llm.model".into() }),
            ),
        ] {
            let next = Library::step(None, event, &mut Step::default());
            assert_eq!(next, entry.map(|entry| Some(State::from([("a".into(), entry)]))));
        }
    }
}
