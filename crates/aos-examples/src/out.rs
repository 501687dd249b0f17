//! What a user sees: data on stdout, everything else on stderr; the same fields for people and for programs.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use indicatif::ProgressBar;
use serde_json::{Map, Value, json};

use aos_host::driver::Opened;

use crate::demo::Demo;
use crate::error::RunError;
use crate::run::{Failed, Story};
use crate::story::Entry;

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

    /// Sets two stories apart, for people.
    pub fn gap(&self) -> Result<(), RunError> {
        if self.json { Ok(()) } else { self.line("") }
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
    let open: Vec<Value> = story
        .open
        .iter()
        .map(|(kind, grant, standing)| json!({"kind": kind, "grant": grant, "standing": standing}))
        .collect();
    json!({
        "demo": demo.slug,
        "number": demo.number,
        "height": story.height.0,
        "head": story.head.to_string(),
        "state_root": story.state_root.to_string(),
        "state": state,
        "frames": story.height.0,
        "receipts": story.receipts,
        "replay": "identical",
        "world": story.world.to_string(),
        "events": story.happened.applied,
        "known": story.happened.known,
        "failed": failed,
        "refused": refused,
        "story": story.entries.iter().map(entry_object).collect::<Value>(),
        "server": story.server,
        "open": open,
    })
    .to_string()
}

fn entry_object(Entry { height, what, more, .. }: &Entry) -> Value {
    let head = [("height".to_owned(), json!(height.0)), ("what".to_owned(), json!(what))];
    Value::Object(head.into_iter().chain(more.clone()).collect())
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
        let what = failed.event.map_or_else(|| "an answer".into(), |event| format!("event {event}"));
        lines.push(format!("  failed      {what} at height {}: {}{place}", failed.height, failed.code));
    }
    for (event, code, message) in &story.happened.refused {
        lines.push(format!("  refused     event {event}: {code}: {message}"));
    }
    // Where nothing goes out, the events say it all.
    if story.receipts > 0 {
        lines.extend([String::new(), "  frame".into()]);
        lines.extend(told(&story.entries));
        lines.push(String::new());
    }
    lines.extend(performed(&story.server));
    for (kind, grant, standing) in &story.open {
        lines.push(format!("  open        {kind} (grant {grant}) {standing}"));
    }
    for (reducer, state) in &story.state {
        lines.extend(state_lines(reducer, state));
    }
    lines.push(format!("  height      {}", story.height));
    lines.push(format!("  head        {}", story.head));
    lines.push(format!("  state root  {}", story.state_root));
    lines.push(format!(
        "  replay      identical: {} frames again from the genesis, same head, same state root{}",
        story.height,
        if story.receipts > 0 { ", and nobody was asked" } else { "" }
    ));
    lines.join("\n")
}

/// Tells what happened: a line for each thing, with what followed from it in the same frame.
fn told(entries: &[Entry]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    // The line of each entry.
    let mut places: Vec<usize> = Vec::new();
    let mut height = None;
    for Entry { height: at, what, words, told_with, .. } in entries {
        let place = told_with.and_then(|other| places.get(other).copied());
        if let Some(line) = place.and_then(|place| lines.get_mut(place)) {
            line.push_str(&format!(" → {what} {words}"));
        } else {
            let shown = if height == Some(*at) { String::new() } else { at.to_string() };
            height = Some(*at);
            lines.push(format!("  {shown:>5}  {what:<8}  {words}"));
        }
        places.push(place.unwrap_or(lines.len().saturating_sub(1)));
    }
    lines
}

/// Tells what the demo's server has done, a line for each method.
fn performed(server: &BTreeMap<String, u64>) -> Vec<String> {
    let mut methods: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (what, count) in server {
        let (method, path) = what.split_once(' ').unwrap_or(("", what));
        let times = if *count == 1 { String::new() } else { format!(" ({count} times)") };
        methods.entry(method).or_default().push(format!("{path}{times}"));
    }
    methods.into_iter().map(|(method, paths)| format!("  served      {method} {}", paths.join(", "))).collect()
}

/// Writes a reducer's state: on one line, or a line for each element where there are several.
fn state_lines(reducer: &str, state: &Value) -> Vec<String> {
    let elements: Vec<String> = match state {
        Value::Array(elements) => elements.iter().map(Value::to_string).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| format!("{name}: {value}")).collect(),
        _ => Vec::new(),
    };
    if elements.len() < 2 {
        return vec![format!("  state       {reducer} {state}")];
    }
    let head = format!("  state       {reducer}");
    [head].into_iter().chain(elements.into_iter().map(|element| format!("              {element}"))).collect()
}
