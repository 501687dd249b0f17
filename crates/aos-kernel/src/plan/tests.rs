//! Small plans and their runs, step by step; the instance goes through its stored form before every call.

mod golden;
mod model;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use aos_air::hash::Digest;
use aos_air::name::Name;
use aos_air::plan::{EffectError, Plan, Status};
use aos_air::schema::Shape;
use aos_air::text::{Lens, compact, parse, read};
use aos_air::validate::{Source, load};
use insta::assert_snapshot;

use super::*;

/// What every plan here can use: an input of a number, a text and flags, an event, and an effect.
const WORLD: &str = r#"
  {"$kind": "defschema", "name": "t/In@1", "type": {"record": {"n": {"nat": {}}, "who": {"text": {}}, "flags": {"list": {"bool": {}}}}}},
  {"$kind": "defschema", "name": "t/Out@1", "type": {"nat": {}}},
  {"$kind": "defschema", "name": "t/Note@1", "type": {"record": {"n": {"nat": {}}, "who": {"text": {}}}}},
  {"$kind": "defschema", "name": "t/Ask@1", "type": {"record": {"q": {"text": {}}}}},
  {"$kind": "defschema", "name": "t/Answer@1", "type": {"record": {"a": {"nat": {}}}}},
  {"$kind": "defeffect", "name": "t/ask@1", "kind": "t.ask", "params_schema": "t/Ask@1", "receipt_schema": "t/Answer@1",
   "cap_type": "t.ask", "origin_scope": "plan"},
  {"$kind": "defcap", "name": "t/AskCap@1", "cap_type": "t.ask", "schema": {"record": {}}}"#;

/// Loads the plan whose body is given, correlated if it is said where.
fn plan(body: &str, correlate_by: Option<&str>) -> Arc<Plan> {
    let correlate = correlate_by.map(|path| format!(r#", "correlate_by": "{path}""#)).unwrap_or_default();
    let schemas = ["In", "Out", "Note", "Ask", "Answer"].map(|name| format!(r#"{{"name": "t/{name}@1"}}"#)).join(",");
    let text = format!(
        r#"[{{"$kind": "manifest", "air_version": "1", "schemas": [{schemas}], "plans": [{{"name": "t/P@1"}}],
            "effects": [{{"name": "t/ask@1"}}], "caps": [{{"name": "t/AskCap@1"}}],
            "triggers": [{{"event": "t/In@1", "plan": "t/P@1"{correlate}}}],
            "defaults": {{"cap_grants": [{{"name": "ask", "cap": "t/AskCap@1", "params": {{}}}}]}}}},
          {WORLD},
          {{"$kind": "defplan", "name": "t/P@1", "input": "t/In@1", {body}}}]"#
    );
    let manifest = load(&[Source { file: "p.air.json".into(), text }], &|_| None);
    let manifest = manifest.unwrap_or_else(|findings| panic!("{findings}"));
    manifest.plan(&Name::parse("t/P@1").unwrap()).unwrap().clone()
}

fn bytes(shape: &Shape, sugar: &str) -> Vec<u8> {
    read(shape, &parse(sugar).unwrap()).unwrap_or_else(|problems| panic!("{sugar}: {problems:?}")).to_cbor()
}

/// What comes in from outside.
enum In {
    /// How the n-th effect that was asked for ends, from 0: with a number, or an error of this code.
    Ends(u64, Status, &'static str),
    /// An event `t/Note@1`.
    Note(&'static str),
    /// The clock.
    Clock(u64),
}

/// A run with its trace.
struct Run {
    plan: Arc<Plan>,
    instance: Instance,
    now_ns: u64,
    asked: u64,
    trace: Vec<String>,
}

fn intent(number: u64) -> Digest {
    Digest::of(&number.to_be_bytes())
}

impl Run {
    fn start(plan: Arc<Plan>, input: &str) -> Self {
        let input = bytes(&plan.input, input);
        let start = Start {
            id: 7,
            plan: plan.clone(),
            manifest: Digest::of(b"manifest"),
            input: &input,
            started_at: Height(3),
            actor: Vec::from(*b"\x01"),
        };
        let instance = Instance::start(start).unwrap();
        let mut run = Self { plan, instance, now_ns: 100, asked: 0, trace: Vec::new() };
        run.settle();
        run
    }

    /// Writes the instance down and reads it again.
    fn stored(&mut self) {
        let record = self.instance.encode();
        assert_eq!(aos_air::cbor::check(&record), Ok(()), "a record is canonical");
        let header = Header::decode(&record).unwrap();
        assert_eq!((header.id, header.plan_hash), (self.instance.id, self.plan.hash));
        let again = Instance::decode(&record, self.plan.clone()).unwrap();
        assert_eq!(again, self.instance);
        self.instance = again;
    }

    fn id(&self, step: usize) -> &str {
        &self.plan.steps[step].id
    }

    /// Advances until it rests, and answers what is handed out.
    fn settle(&mut self) {
        loop {
            self.stored();
            let before = self.instance.states.clone();
            let next = self.instance.advance(self.now_ns);
            let changed = before.iter().zip(&self.instance.states).position(|(before, after)| before != after);
            let line = match next {
                Next::Idle => {
                    let waits: Vec<String> = self.instance.waits().map(|(step, _)| self.id(step).to_string()).collect();
                    self.trace.push(format!("rests, waits: {}", waits.join(" ")));
                    return;
                }
                Next::Moved => {
                    let step = changed.unwrap_or_else(|| panic!("something moved: {:?}", self.trace));
                    let state = match &self.instance.states[step] {
                        State::Done => match &self.instance.ended[step] {
                            Some(ended) => format!("ended {}", ended.status.word()),
                            None => "done".into(),
                        },
                        other => format!("{other:?}").to_lowercase(),
                    };
                    format!("{}: {state}", self.id(step))
                }
                Next::Emit { step, kind, params, grant, key } => {
                    self.instance.emitted(step, intent(self.asked));
                    let params = self.print(step, &params);
                    self.asked += 1;
                    format!("{}: asks {kind} {params} under {grant}, key {key:?}", self.id(step))
                }
                Next::Raise { step, event, value, .. } => {
                    self.instance.raised(step);
                    format!("{}: raises {event} {}", self.id(step), self.print(step, &value))
                }
                Next::Ended(end) => {
                    let end = match end {
                        Ok(None) => "ended".into(),
                        Ok(Some(result)) => format!("ended with {}", hex(&result)),
                        Err(PlanFailure { code, step, place }) => {
                            format!("failed: {code} at {:?} {place}", step.map(|step| self.id(step)))
                        }
                    };
                    self.trace.push(end);
                    assert_eq!(self.instance.advance(self.now_ns), Next::Idle);
                    assert_eq!(self.instance.waits().count() + self.instance.deadlines().count(), 0);
                    return self.stored();
                }
            };
            self.trace.push(line);
        }
    }

    fn print(&self, step: usize, value: &[u8]) -> String {
        let shape = match &self.plan.steps[step].op {
            Op::Emit(emit) => emit.params.shape().clone(),
            Op::Raise { value, .. } => value.shape().clone(),
            _ => panic!("asks or raises"),
        };
        compact(&Lens::Sugar.print(&shape, &shape.decode(value).unwrap()))
    }

    fn take(&mut self, input: &In) {
        let is_woken = match input {
            In::Ends(number, Status::Ok, answer) => {
                let shape = self.plan.steps.iter().find_map(|step| match &step.op {
                    Op::Emit(emit) => Some(emit.receipt.clone()),
                    _ => None,
                });
                let payload = bytes(&shape.unwrap(), &format!(r#"{{"a": {answer}}}"#));
                self.instance.effect_ended(intent(*number), Status::Ok, &payload)
            }
            In::Ends(number, status, code) => {
                let error = EffectError { code: (*code).into(), message: "it went wrong".into(), retriable: false };
                self.instance.effect_ended(intent(*number), *status, &error.value().to_cbor())
            }
            In::Note(value) => {
                let waits: Vec<usize> = self
                    .instance
                    .waits()
                    .filter(|(_, wait)| matches!(wait, Wait::Event { .. }))
                    .map(|(step, _)| step)
                    .collect();
                let event = |step: usize| match &self.plan.steps[step].op {
                    Op::AwaitEvent { shape, .. } => bytes(shape, value),
                    _ => panic!("waits for an event"),
                };
                let told: Vec<bool> = waits.into_iter().map(|step| self.instance.event(step, &event(step))).collect();
                told.contains(&true)
            }
            In::Clock(now_ns) => {
                self.now_ns = *now_ns;
                let due: Vec<usize> =
                    self.instance.deadlines().filter(|(_, due)| due <= now_ns).map(|(step, _)| step).collect();
                let told: Vec<bool> = due.into_iter().map(|step| self.instance.timed_out(step)).collect();
                told.contains(&true)
            }
        };
        self.trace.push(format!("-- {}", if is_woken { "goes on" } else { "nothing for it" }));
        if is_woken {
            self.settle();
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs a plan and returns the trace.
fn run(body: &str, correlate_by: Option<&str>, input: &str, inputs: &[In]) -> String {
    let mut run = Run::start(plan(body, correlate_by), input);
    inputs.iter().for_each(|input| run.take(input));
    run.trace.join("\n")
}

const INPUT: &str = r#"{"n": 5, "who": "ann", "flags": [true, false]}"#;

const ASK: &str = r#"{"id": "ask", "op": "emit_effect", "kind": "t.ask", "cap": "ask", "params": {"q": {"ref": "@plan.input.who"}}, "bind": {"effect_id_as": "asked"}}"#;
const WAIT: &str = r#"{"id": "wait", "op": "await_receipt", "for": "asked", "bind": {"as": "answer"}}"#;

#[test]
fn an_effect_is_asked_for_awaited_and_answered() {
    let body = format!(
        r#""output": "t/Out@1", "steps": [{ASK}, {WAIT},
            {{"id": "sum", "op": "assign", "expr": {{"op": "add", "args": [{{"ref": "@var:answer.a"}}, {{"ref": "@plan.input.n"}}]}}, "bind": {{"as": "sum"}}}},
            {{"id": "tell", "op": "raise_event", "event": "t/Note@1", "value": {{"n": {{"ref": "@var:sum"}}, "who": "bob"}}}},
            {{"id": "end", "op": "end", "result": {{"ref": "@var:sum"}}}}],
           "edges": [{{"from": "ask", "to": "wait"}}, {{"from": "wait", "to": "sum"}}, {{"from": "sum", "to": "tell"}}, {{"from": "tell", "to": "end"}}]"#
    );
    assert_snapshot!(run(&body, None, INPUT, &[In::Ends(9, Status::Ok, "1"), In::Ends(0, Status::Ok, "2")]), @r#"
    ask: asks t.ask {"q":"ann"} under ask, key None
    wait: waiting(none)
    rests, waits: wait
    -- nothing for it
    -- goes on
    wait: ended ok
    sum: done
    tell: raises t/Note@1 {"n":7,"who":"bob"}
    ended with 07
    "#);
    // The first answer counts, and without a reader of the status any other end than ok is a failure.
    assert_snapshot!(run(&body, None, INPUT, &[In::Ends(0, Status::Denied, "policy.denied"), In::Ends(0, Status::Ok, "2")]), @r#"
    ask: asks t.ask {"q":"ann"} under ask, key None
    wait: waiting(none)
    rests, waits: wait
    -- goes on
    failed: plan.effect_failed at Some("wait") policy.denied
    -- nothing for it
    "#);
    assert_snapshot!(run(&body, None, INPUT, &[In::Ends(0, Status::Ok, "18446744073709551615")]), @r#"
    ask: asks t.ask {"q":"ann"} under ask, key None
    wait: waiting(none)
    rests, waits: wait
    -- goes on
    wait: ended ok
    failed: expr.overflow at Some("sum") add
    "#);
}

#[test]
fn a_failed_effect_can_be_branched_on() {
    let body = format!(
        r#""output": "t/Out@1", "steps": [{ASK}, {WAIT},
            {{"id": "a-good", "op": "assign", "expr": {{"ref": "@var:answer.a"}}, "bind": {{"as": "n"}}}},
            {{"id": "b-bad", "op": "assign", "expr": {{"op": "len", "args": [{{"ref": "@step:wait.error.code"}}]}}, "bind": {{"as": "n"}}}},
            {{"id": "end", "op": "end", "result": {{"ref": "@var:n"}}}}],
           "edges": [{{"from": "ask", "to": "wait"}},
            {{"from": "wait", "to": "a-good", "when": {{"op": "eq", "args": [{{"ref": "@step:wait.status"}}, {{"text": "ok"}}]}}}},
            {{"from": "wait", "to": "b-bad", "when": {{"op": "ne", "args": [{{"ref": "@step:wait.status"}}, {{"text": "ok"}}]}}}},
            {{"from": "a-good", "to": "end"}}, {{"from": "b-bad", "to": "end"}}]"#
    );
    assert_snapshot!(run(&body, None, INPUT, &[In::Ends(0, Status::Ok, "2")]), @r#"
    ask: asks t.ask {"q":"ann"} under ask, key None
    wait: waiting(none)
    rests, waits: wait
    -- goes on
    wait: ended ok
    a-good: done
    b-bad: skipped
    ended with 02
    "#);
    assert_snapshot!(run(&body, None, INPUT, &[In::Ends(0, Status::InDoubt, "http.lost")]), @r#"
    ask: asks t.ask {"q":"ann"} under ask, key None
    wait: waiting(none)
    rests, waits: wait
    -- goes on
    wait: ended in_doubt
    a-good: skipped
    b-bad: done
    ended with 09
    "#);
    let timed = body.replace(r#""bind": {"as": "answer"}"#, r#""bind": {"as": "answer"}, "timeout_ns": 50"#);
    assert_snapshot!(run(&timed, None, INPUT, &[In::Clock(149), In::Clock(150), In::Ends(0, Status::Ok, "2")]), @r#"
    ask: asks t.ask {"q":"ann"} under ask, key None
    wait: waiting(some(150))
    rests, waits: wait
    -- nothing for it
    -- goes on
    wait: ended timeout
    a-good: skipped
    b-bad: done
    ended with 12
    -- nothing for it
    "#);
}

#[test]
fn an_answer_that_comes_early_is_kept() {
    let body = format!(
        r#""steps": [{ASK}, {WAIT}, {{"id": "hear", "op": "await_event", "event": "t/Note@1", "bind": {{"as": "note"}}}}],
           "edges": [{{"from": "ask", "to": "hear"}}, {{"from": "hear", "to": "wait"}}, {{"from": "ask", "to": "wait"}}]"#
    );
    let inputs = [In::Ends(0, Status::Ok, "2"), In::Ends(0, Status::Ok, "3"), In::Note(r#"{"n": 1, "who": "x"}"#)];
    assert_snapshot!(run(&body, None, INPUT, &inputs), @r#"
    ask: asks t.ask {"q":"ann"} under ask, key None
    hear: waiting(none)
    rests, waits: hear
    -- nothing for it
    -- nothing for it
    -- goes on
    hear: ended ok
    wait: ended ok
    ended
    "#);
}

#[test]
fn steps_run_in_the_order_of_their_ids_and_join() {
    let assign = |id: &str, value: &str| {
        format!(r#"{{"id": "{id}", "op": "assign", "expr": {value}, "bind": {{"as": "{id}"}}}}"#)
    };
    let one = r#"{"nat": 1}"#;
    let sum = r#"{"op": "add", "args": [{"ref": "@var:b"}, {"ref": "@var:c"}]}"#;
    let steps = [assign("z", one), assign("c", one), assign("b", one), assign("a", sum)].join(",");
    let edges =
        r#"{"from": "z", "to": "c"}, {"from": "z", "to": "b"}, {"from": "b", "to": "a"}, {"from": "c", "to": "a"}"#;
    assert_snapshot!(run(&format!(r#""steps": [{steps}], "edges": [{edges}]"#), None, INPUT, &[]), @"
    z: done
    b: done
    c: done
    a: done
    ended
    ");
    // A join that one branch skips runs, and fails where it reads what that branch would have set.
    let guarded = edges.replace(
        r#""to": "b""#,
        r#""to": "b", "when": {"op": "get", "args": [{"ref": "@plan.input.flags"}, {"nat": 1}]}"#,
    );
    assert_snapshot!(run(&format!(r#""steps": [{steps}], "edges": [{guarded}]"#), None, INPUT, &[]), @r#"
    z: done
    b: skipped
    c: done
    failed: expr.missing at Some("a") @var:b
    "#);
    // What only skipped steps lead to is skipped too.
    let chain = r#"{"from": "z", "to": "b", "when": false}, {"from": "b", "to": "c"}, {"from": "c", "to": "a"}, {"from": "b", "to": "a"}"#;
    assert_snapshot!(run(&format!(r#""output": "t/Out@1", "steps": [{steps}, {{"id": "end", "op": "end", "result": 1}}], "edges": [{chain}, {{"from": "a", "to": "end"}}]"#), None, INPUT, &[]), @"
    z: done
    b: skipped
    c: skipped
    a: skipped
    end: skipped
    failed: plan.no_result at None
    ");
}

#[test]
fn a_handle_whose_effect_was_never_asked_for_is_not_awaited() {
    let body = format!(
        r#""steps": [{{"id": "go", "op": "assign", "expr": {{"bool": true}}, "bind": {{"as": "go"}}}}, {ASK}, {WAIT}],
           "edges": [{{"from": "go", "to": "ask", "when": false}}, {{"from": "ask", "to": "wait"}}, {{"from": "go", "to": "wait"}}]"#
    );
    assert_snapshot!(run(&body, None, INPUT, &[]), @r#"
    go: done
    ask: skipped
    failed: plan.handle_unbound at Some("wait") asked
    "#);
}

#[test]
fn events_are_heard_from_the_wait_on_and_correlated() {
    let body = r#""output": "t/Out@1", "steps": [
        {"id": "hear", "op": "await_event", "event": "t/Note@1", "timeout_ns": 10, "bind": {"as": "note"},
         "where": {"op": "and", "args": [{"op": "eq", "args": [{"ref": "@event.who"}, {"ref": "@var:correlation_id"}]}, {"op": "gt", "args": [{"op": "div", "args": [{"nat": 8}, {"ref": "@event.n"}]}, {"nat": 1}]}]}},
        {"id": "end", "op": "end", "result": {"ref": "@var:note.n"}}], "edges": [{"from": "hear", "to": "end"}]"#;
    let note = |text: &'static str| In::Note(text);
    let other = r#"{"n": 2, "who": "bob"}"#;
    let large = r#"{"n": 8, "who": "ann"}"#;
    assert_snapshot!(run(body, Some("who"), INPUT, &[note(other), note(large), note(r#"{"n": 2, "who": "ann"}"#)]), @"
    hear: waiting(some(110))
    rests, waits: hear
    -- nothing for it
    -- nothing for it
    -- goes on
    hear: ended ok
    ended with 02
    ");
    assert_snapshot!(run(body, Some("who"), INPUT, &[note(r#"{"n": 0, "who": "ann"}"#)]), @r#"
    hear: waiting(some(110))
    rests, waits: hear
    -- goes on
    failed: expr.division at Some("hear") div
    "#);
    assert_snapshot!(run(body, Some("who"), INPUT, &[note(other), In::Clock(110)]), @r#"
    hear: waiting(some(110))
    rests, waits: hear
    -- nothing for it
    -- goes on
    failed: plan.event_timeout at Some("hear")
    "#);
    let read = body.replace(
        r#""from": "hear", "to": "end""#,
        r#""from": "hear", "to": "end", "when": {"op": "eq", "args": [{"ref": "@step:hear.status"}, {"text": "ok"}]}"#,
    );
    assert_snapshot!(run(&read, Some("who"), INPUT, &[In::Clock(110)]), @"
    hear: waiting(some(110))
    rests, waits: hear
    -- goes on
    hear: ended timeout
    end: skipped
    failed: plan.no_result at None
    ");
}

#[test]
fn invariants_are_looked_at_after_each_step() {
    let body = r#""invariants": [{"op": "lt", "args": [{"ref": "@var:b"}, {"nat": 3}]}, {"op": "lt", "args": [{"ref": "@plan.input.n"}, {"nat": 6}]}],
        "steps": [
        {"id": "a", "op": "assign", "expr": {"nat": 9}, "bind": {"as": "a"}},
        {"id": "b", "op": "assign", "expr": {"nat": 2}, "bind": {"as": "b"}},
        {"id": "c", "op": "assign", "expr": {"nat": 3}, "bind": {"as": "b"}},
        {"id": "d", "op": "assign", "expr": {"nat": 3}, "bind": {"as": "d"}}]"#;
    assert_snapshot!(run(body, None, INPUT, &[]), @r#"
    a: done
    b: done
    c: done
    failed: plan.invariant_violation at Some("c") /invariants/0
    "#);
}

#[test]
fn a_record_is_read_strictly_and_by_its_own_plan() {
    let body = format!(r#""steps": [{ASK}, {WAIT}], "edges": [{{"from": "ask", "to": "wait"}}]"#);
    let run = Run::start(plan(&body, None), INPUT);
    let record = run.instance.encode();
    for cut in 0..record.len() {
        assert!(Instance::decode(&record[..cut], run.plan.clone()).is_err(), "{cut}");
    }
    assert!(Instance::decode(&[record.as_slice(), &[0]].concat(), run.plan.clone()).is_err());
    let other = plan(&format!(r#""steps": [{ASK}]"#), None);
    assert!(Instance::decode(&record, other).is_err());
    // A flipped byte is no record, or another one that is written the same way.
    for at in 0..record.len() {
        let mut flipped = record.clone();
        flipped[at] ^= 1;
        if let Ok(instance) = Instance::decode(&flipped, run.plan.clone()) {
            assert_eq!(instance.encode(), flipped, "{at}");
        }
    }
}
