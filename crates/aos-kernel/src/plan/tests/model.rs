//! Random graphs, run beside a slow obvious model that looks at every step anew before each move.

use alloc::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What a step of a random plan does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Assign,
    /// Asks, and the step after it in the list waits.
    Ask,
    Wait(usize),
    Hear,
    End,
}

/// What an edge asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Guard {
    Always,
    /// The n-th flag of the input.
    Flag(usize),
    /// The step before, which waits, ended with ok, or did not.
    Ended(bool),
}

#[derive(Debug, Clone)]
struct Graph {
    /// Steps in an order in which edges go forward only, with their ids.
    steps: Vec<(String, Does)>,
    edges: BTreeMap<(usize, usize), Guard>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Was {
    Open,
    Skipped,
    Done,
    Waiting,
}

#[derive(Debug, Clone)]
enum Outside {
    Answer(prop::sample::Index, bool),
    Note,
}

fn graphs() -> impl Strategy<Value = Graph> {
    let kinds = prop::collection::vec(0..8_u8, 1..9);
    (
        kinds,
        any::<u64>(),
        prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..6_u8), 0..16),
    )
        .prop_map(|(kinds, order, wanted)| {
            let mut steps: Vec<Does> = Vec::new();
            for kind in kinds {
                match kind {
                    0..3 => steps.push(Does::Assign),
                    3..6 => {
                        steps.push(Does::Ask);
                        steps.push(Does::Wait(steps.len() - 1));
                    }
                    6 => steps.push(Does::Hear),
                    _ => steps.push(Does::End),
                }
            }
            let mut edges = BTreeMap::new();
            for (index, step) in steps.iter().enumerate() {
                if let Does::Wait(ask) = step {
                    edges.insert((*ask, index), Guard::Always);
                }
            }
            for (a, b, guard) in wanted {
                let (a, b) = (a.index(steps.len()), b.index(steps.len()));
                let (from, to) = (a.min(b), a.max(b));
                if from == to || steps[from] == Does::End {
                    continue;
                }
                let guard = match guard {
                    0 | 1 => Guard::Always,
                    2 | 3 => Guard::Flag(usize::from(guard) - 2),
                    _ if matches!(steps[from], Does::Wait(_)) => Guard::Ended(guard == 4),
                    _ => Guard::Always,
                };
                edges.entry((from, to)).or_insert(guard);
            }
            // Ids in an order of their own.
            let id = |index: usize| format!("s{:02}", (index as u64 * 7 + order % 13) % 29);
            let steps = steps.into_iter().enumerate().map(|(index, does)| (id(index), does)).collect();
            Graph { steps, edges }
        })
}

impl Graph {
    fn body(&self) -> String {
        let steps: Vec<String> = self.steps.iter().enumerate().map(|(index, (id, does))| {
            let rest = match does {
                Does::Assign => format!(r#""op": "assign", "expr": {{"nat": {index}}}, "bind": {{"as": "v{index}"}}"#),
                Does::Ask => format!(r#""op": "emit_effect", "kind": "t.ask", "cap": "ask", "params": {{"q": "{index}"}}, "bind": {{"effect_id_as": "h{index}"}}"#),
                Does::Wait(ask) => format!(r#""op": "await_receipt", "for": "h{ask}", "bind": {{"as": "v{index}"}}"#),
                Does::Hear => format!(r#""op": "await_event", "event": "t/Note@1", "bind": {{"as": "v{index}"}}"#),
                Does::End => r#""op": "end""#.into(),
            };
            format!(r#"{{"id": "{id}", {rest}}}"#)
        }).collect();
        let edges: Vec<String> = self
            .edges
            .iter()
            .map(|((from, to), guard)| {
                let from_id = &self.steps[*from].0;
                let when = match guard {
                    Guard::Always => String::new(),
                    Guard::Flag(flag) => format!(
                        r#", "when": {{"op": "get", "args": [{{"ref": "@plan.input.flags"}}, {{"nat": {flag}}}]}}"#
                    ),
                    Guard::Ended(ok) => format!(
                        r#", "when": {{"op": "{}", "args": [{{"ref": "@step:{from_id}.status"}}, {{"text": "ok"}}]}}"#,
                        if *ok { "eq" } else { "ne" }
                    ),
                };
                format!(r#"{{"from": "{from_id}", "to": "{}"{when}}}"#, self.steps[*to].0)
            })
            .collect();
        format!(r#""steps": [{}], "edges": [{}]"#, steps.join(","), edges.join(","))
    }
}

/// The model: nothing but the states of the steps and how waits ended.
struct Model<'g> {
    graph: &'g Graph,
    flags: [bool; 2],
    was: Vec<Was>,
    /// How effects ended, by the step that asked.
    answers: BTreeMap<usize, bool>,
    /// How waits ended.
    ended: BTreeMap<usize, bool>,
    heard: Vec<usize>,
    over: Option<&'static str>,
}

impl Model<'_> {
    fn incoming(&self, step: usize) -> Vec<(usize, Guard)> {
        self.graph.edges.iter().filter(|((_, to), _)| *to == step).map(|((from, _), guard)| (*from, *guard)).collect()
    }

    /// Makes one move, if there is one to make.
    fn advance(&mut self) -> bool {
        let mut by_id: Vec<usize> = (0..self.graph.steps.len()).collect();
        by_id.sort_by_key(|step| &self.graph.steps[*step].0);
        for step in by_id {
            let does = self.graph.steps[step].1;
            match (self.was[step], does) {
                (Was::Waiting, Does::Wait(ask)) if self.answers.contains_key(&ask) => {
                    self.answered(step, ask);
                    return true;
                }
                (Was::Waiting, Does::Hear) if self.heard.contains(&step) => {
                    self.was[step] = Was::Done;
                    return true;
                }
                (Was::Open, _)
                    if self
                        .incoming(step)
                        .iter()
                        .all(|(from, _)| matches!(self.was[*from], Was::Done | Was::Skipped)) =>
                {
                    self.look_at(step, does);
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    fn look_at(&mut self, step: usize, does: Does) {
        let incoming = self.incoming(step);
        let done: Vec<_> = incoming.iter().filter(|(from, _)| self.was[*from] == Was::Done).collect();
        let holds = |(from, guard): &&(usize, Guard)| match guard {
            Guard::Always => true,
            Guard::Flag(flag) => self.flags[*flag],
            Guard::Ended(ok) => self.ended.get(from) == Some(ok),
        };
        if (!incoming.is_empty() && done.is_empty()) || !done.iter().all(holds) {
            self.was[step] = Was::Skipped;
            return;
        }
        match does {
            Does::Assign | Does::Ask => self.was[step] = Was::Done,
            Does::Hear => self.was[step] = Was::Waiting,
            Does::Wait(ask) if self.was[ask] != Was::Done => self.over = Some("plan.handle_unbound"),
            Does::Wait(ask) if self.answers.contains_key(&ask) => self.answered(step, ask),
            Does::Wait(_) => self.was[step] = Was::Waiting,
            Does::End => {
                self.was[step] = Was::Done;
                self.over = Some("end");
            }
        }
    }

    fn answered(&mut self, step: usize, ask: usize) {
        let ok = self.answers[&ask];
        let is_read =
            self.graph.edges.iter().any(|((from, _), guard)| *from == step && matches!(guard, Guard::Ended(_)));
        if !ok && !is_read {
            self.over = Some("plan.effect_failed");
            return;
        }
        self.ended.insert(step, ok);
        self.was[step] = Was::Done;
    }
}

/// Moves both until nothing moves, and compares them after each move.
fn together(run: &mut Run, model: &mut Model<'_>, asked: &mut Vec<usize>) -> Result<(), TestCaseError> {
    loop {
        run.stored();
        let next = run.instance.advance(0);
        let place = |step: usize| model.graph.steps.iter().position(|(id, _)| *id == run.plan.steps[step].id);
        let over = match &next {
            Next::Emit { step, .. } => {
                asked.push(place(*step).unwrap());
                run.instance.emitted(*step, intent(asked.len() as u64 - 1));
                None
            }
            Next::Ended(Ok(_)) => Some("end"),
            Next::Ended(Err(failure)) => Some(failure.code),
            Next::Idle | Next::Moved => None,
            Next::Raise { .. } => panic!("nothing is raised"),
        };
        let moved = model.advance();
        if !moved && model.over.is_none() && !model.was.contains(&Was::Waiting) {
            model.over = Some("end");
        }
        prop_assert_eq!(over, model.over);
        if over.is_some() {
            return Ok(());
        }
        prop_assert_eq!(next != Next::Idle, moved);
        for (step, (id, _)) in model.graph.steps.iter().enumerate() {
            let was = match run.instance.states[run.plan.step(id).unwrap()] {
                State::Open => Was::Open,
                State::Skipped => Was::Skipped,
                State::Done => Was::Done,
                State::Waiting(_) | State::Heard(_) => Was::Waiting,
                ref other => panic!("{other:?}"),
            };
            prop_assert_eq!(was, model.was[step], "{}", id);
        }
        if !moved {
            return Ok(());
        }
    }
}

fn outside() -> impl Strategy<Value = Outside> {
    prop_oneof![
        4 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, ok)| Outside::Answer(which, ok)),
        1 => Just(Outside::Note),
    ]
}

proptest! {
    #![proptest_config(crate::cases::cases(256))]

    #[test]
    fn an_instance_goes_as_the_model_goes(graph in graphs(), flags: [bool; 2], inputs in prop::collection::vec(outside(), 0..12)) {
        let compiled = plan(&graph.body(), None);
        let input = format!(r#"{{"n": 1, "who": "w", "flags": [{}, {}]}}"#, flags[0], flags[1]);
        let start = Start { id: 1, plan: compiled.clone(), manifest: Digest::of(b"m"), input: &bytes(&compiled.input, &input), started_at: Height(1), actor: Vec::new() };
        let mut run = Run { instance: Instance::start(start).unwrap(), plan: compiled, now_ns: 0, asked: 0, trace: Vec::new() };
        let was = alloc::vec![Was::Open; graph.steps.len()];
        let mut model = Model { graph: &graph, flags, was, answers: BTreeMap::new(), ended: BTreeMap::new(), heard: Vec::new(), over: None };
        let mut asked = Vec::new();
        together(&mut run, &mut model, &mut asked)?;
        for input in inputs {
            if model.over.is_some() {
                break;
            }
            match input {
                Outside::Answer(_, _) if asked.is_empty() => continue,
                Outside::Answer(which, ok) => {
                    let number = which.index(asked.len());
                    model.answers.entry(asked[number]).or_insert(ok);
                    let error = EffectError { code: "a.b".into(), message: String::new(), retriable: false };
                    let receipt = Value::Record([("a".into(), Value::Nat(1))].into());
                    let (status, payload) = if ok { (Status::Ok, receipt) } else { (Status::Failed, error.value()) };
                    run.instance.effect_ended(intent(number as u64), status, &payload.to_cbor());
                }
                Outside::Note => {
                    let note = Value::Record([("n".into(), Value::Nat(1)), ("who".into(), Value::Text("w".into()))].into());
                    let waits: Vec<usize> = run.instance.waits().map(|(step, _)| step).collect();
                    for step in waits {
                        run.instance.event(step, &note.to_cbor());
                    }
                    let hears = |step: &usize| model.was[*step] == Was::Waiting && graph.steps[*step].1 == Does::Hear;
                    model.heard = (0..graph.steps.len()).filter(hears).collect();
                }
            }
            together(&mut run, &mut model, &mut asked)?;
        }
    }
}
