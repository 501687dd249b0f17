//! What a user sees: data on stdout, everything else on stderr; the same fields for people and for programs.

use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use indicatif::ProgressBar;
use serde_json::{Map, Value, json};

use aos_host::driver::Opened;

use crate::demo::Demo;
use crate::error::RunError;
use crate::run::{Failed, Story};

/// Where words go.
pub struct Output {
    json: bool,
    progress: ProgressBar,
}

impl Output {
    /// Prints for a program where `json` is set, else for people. Progress shows on a terminal only.
    pub fn new(json: bool) -> Self {
        let progress = ProgressBar::new_spinner();
        progress.enable_steady_tick(Duration::from_millis(100));
        Self { json, progress }
    }

    /// Says what is being done.
    pub fn progress(&self, what: impl Into<String>) {
        self.progress.set_message(what.into());
    }

    fn line(&self, text: &str) -> Result<(), RunError> {
        self.progress
            .suspend(|| writeln!(io::stdout(), "{text}"))
            .map_err(|source| RunError::Io { path: "stdout".into(), source })
    }

    /// Prints the list of demos.
    pub fn list(&self, demos: &[Demo]) -> Result<(), RunError> {
        for Demo { number, slug, summary, .. } in demos {
            let line = if self.json {
                json!({"number": number, "demo": slug, "summary": summary}).to_string()
            } else {
                format!("{number:02}  {slug:<16}  {summary}")
            };
            self.line(&line)?;
        }
        Ok(())
    }

    /// Prints what happened in a demo.
    pub fn story(&self, demo: &Demo, story: &Story) -> Result<(), RunError> {
        let lines = if self.json { object(demo, story) } else { words(demo, story) };
        self.line(&lines)
    }

    /// Says what opening an earlier world found.
    pub fn opened(&self, opened: &Opened) -> Result<(), RunError> {
        if opened.cut.is_empty() {
            return Ok(());
        }
        let note =
            format!("note: cut back {} block(s) beyond the durable head, which nobody was told of", opened.cut.len());
        self.progress
            .suspend(|| writeln!(io::stderr(), "{note}"))
            .map_err(|source| RunError::Io { path: "stderr".into(), source })
    }

    /// Prints why a demo did not run to its end.
    pub fn error(&self, error: &RunError) {
        self.progress.finish_and_clear();
        let text = if self.json { error_object(error).to_string() } else { error_words(error) };
        let written = writeln!(io::stderr(), "{text}");
        // Nobody is left to be told that stderr is closed.
        drop(written);
    }
}

fn error_words(error: &RunError) -> String {
    let mut text = match error {
        RunError::Findings(findings) => findings.to_string(),
        other => format!("error[{}]: {}", other.code(), with_causes(other)),
    };
    if let Some(help) = error.help() {
        text.push_str("\n  help: ");
        text.push_str(&help);
    }
    text
}

/// Puts the causes of an error behind it, where it does not say them itself.
fn with_causes(error: &RunError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

fn error_object(error: &RunError) -> Value {
    let findings = match error {
        RunError::Findings(findings) => serde_json::to_value(findings).unwrap_or_default(),
        _ => json!([]),
    };
    json!({"code": error.code(), "message": with_causes(error), "help": error.help(), "findings": findings})
}

fn object(demo: &Demo, story: &Story) -> String {
    let state: Map<String, Value> =
        story.state.iter().map(|(reducer, state)| (reducer.clone(), state.clone())).collect();
    let failed: Vec<Value> = story.happened.failed.iter().map(failed_object).collect();
    let refused: Vec<Value> = story
        .happened
        .refused
        .iter()
        .map(|(event, code, message)| json!({"event": event, "code": code, "message": message}))
        .collect();
    json!({
        "demo": demo.slug,
        "number": demo.number,
        "height": story.height.0,
        "head": story.head.to_string(),
        "state_root": story.state_root.to_string(),
        "state": state,
        "frames": story.height.0,
        "receipts": 0,
        "replay": "identical",
        "world": story.world.to_string(),
        "events": story.happened.applied,
        "known": story.happened.known,
        "failed": failed,
        "refused": refused,
    })
    .to_string()
}

fn failed_object(failed: &Failed) -> Value {
    json!({"height": failed.height.0, "code": failed.code, "event": failed.event, "place": failed.place})
}

fn words(demo: &Demo, story: &Story) -> String {
    let mut lines = vec![format!("{:02} {}: {}", demo.number, demo.slug, demo.summary), String::new()];
    lines.push(format!("  world       {}", story.world));
    let known = if story.happened.known > 0 {
        format!(", {} known from an earlier run", story.happened.known)
    } else {
        String::new()
    };
    lines.push(format!("  events      {} applied{known}, {} derived", story.happened.applied, story.happened.derived));
    for failed in &story.happened.failed {
        let place = if failed.place.is_empty() { String::new() } else { format!(": {}", failed.place) };
        lines.push(format!("  failed      event {} at height {}: {}{place}", failed.event, failed.height, failed.code));
    }
    for (event, code, message) in &story.happened.refused {
        lines.push(format!("  refused     event {event}: {code}: {message}"));
    }
    for (reducer, state) in &story.state {
        lines.push(format!("  state       {reducer} {state}"));
    }
    lines.push(format!("  height      {}", story.height));
    lines.push(format!("  head        {}", story.head));
    lines.push(format!("  state root  {}", story.state_root));
    lines.push(format!(
        "  replay      identical: {} frames again from the genesis, same head, same state root",
        story.height
    ));
    lines.join("\n")
}
