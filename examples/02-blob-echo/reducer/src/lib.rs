//! A notebook: hands each note to the plan `demo/Echo@1` as bytes, and remembers what became of it.
//!
//! Reducers know values, plans know effects; they talk in events. The types are those of the world's `air` folder.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::string::String;

use aos_sdk::{Bytes, Failed, Next, Reducer, Step, reducer};
use serde::{Deserialize, Serialize};

/// What became of each note, `demo/NotebookState@1`.
pub type State = BTreeMap<String, Fate>;

/// What became of a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It came back.
    Echoed(String),
    /// It is stored, and was too long to come back.
    Stored {
        /// Its length in bytes.
        size: u64,
    },
    /// It is not stored.
    Lost {
        /// Why.
        code: String,
    },
}

/// What happens, `demo/NotebookEvent@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Somebody takes a note.
    Note {
        /// Its title.
        title: String,
        /// What it says.
        text: String,
    },
    /// The plan has stored a note.
    Kept {
        /// Its title.
        title: String,
        /// Its length in bytes.
        size: u64,
        /// The bytes, if they are few.
        bytes: Option<Bytes>,
    },
    /// The plan could not store a note.
    Lost {
        /// Its title.
        title: String,
        /// Why.
        code: String,
    },
}

/// Starts the plan, `demo/NoteBytes@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteBytes {
    /// The note's title.
    pub title: String,
    /// Its text.
    pub bytes: Bytes,
}

/// The reducer.
#[derive(Debug)]
pub struct Notebook;

impl Reducer for Notebook {
    type State = State;
    type Event = Event;

    fn step(state: Option<State>, event: Event, step: &mut Step<'_>) -> Next<State> {
        let mut notes = state.unwrap_or_default();
        match event {
            Event::Note { title, text } => {
                step.raise("demo/NoteBytes@1", &NoteBytes { title, bytes: Bytes::from(text.into_bytes()) })?;
            }
            Event::Kept { title, bytes: Some(bytes), .. } => {
                let text = String::from_utf8(bytes.into_vec()).map_err(|_| Failed("what came back is no text"))?;
                notes.insert(title, Fate::Echoed(text));
            }
            Event::Kept { title, size, bytes: None } => drop(notes.insert(title, Fate::Stored { size })),
            Event::Lost { title, code } => drop(notes.insert(title, Fate::Lost { code })),
        }
        Ok(Some(notes))
    }
}

reducer!(Notebook);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_becomes_bytes_for_the_plan() {
        let mut step = Step::default();
        let note = Event::Note { title: "a".into(), text: "hi".into() };
        assert_eq!(Notebook::step(None, note, &mut step), Ok(Some(State::new())));
        let raised: Vec<_> = step.raised("demo/NoteBytes@1").collect();
        assert_eq!(raised, [Ok(NoteBytes { title: "a".into(), bytes: Bytes::from(*b"hi") })]);
    }

    #[test]
    fn what_became_of_a_note_is_remembered() {
        let kept = |bytes: Option<&[u8]>| Event::Kept { title: "a".into(), size: 2, bytes: bytes.map(Bytes::from) };
        for (event, fate) in [
            (kept(Some(b"hi")), Ok(Fate::Echoed("hi".into()))),
            (kept(Some(b"\xff")), Err(Failed("what came back is no text"))),
            (kept(None), Ok(Fate::Stored { size: 2 })),
            (Event::Lost { title: "a".into(), code: "b.c".into() }, Ok(Fate::Lost { code: "b.c".into() })),
        ] {
            let next = Notebook::step(None, event.clone(), &mut Step::default());
            assert_eq!(next, fate.map(|fate| Some(State::from([("a".into(), fate)]))), "{event:?}");
        }
    }
}
