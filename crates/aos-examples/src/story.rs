//! What happened, told from frames: what was asked, what was decided and by which policy, what came back, how plans ended.
//!
//! Nothing is told that a frame does not say. Never here: printing; see `out.rs`.

use std::collections::{BTreeMap, BTreeSet};

use aos_air::plan::{EffectError, Status};
use aos_air::schema::{Shape, Value};
use aos_kernel::World;
use aos_kernel::blobs::Blobs;
use aos_kernel::derived::{By, Derived, PlanEnd, Verdict};
use aos_kernel::error::Fault;
use aos_kernel::frame::Frame;
use aos_kernel::id::{Height, InstanceId, IntentId};
use aos_kernel::input::{Actor, Body};
use aos_kernel::intent::{Origin, adapter_of};
use aos_kernel::program::Program;
use aos_kernel::receipt::{PrincipalDecision, Receipt};
use serde_json::{Map, Value as Json, json};

/// Longest text that is shown in words; the rest is cut.
const SHOWN_CHARS_MAX: usize = 80;
/// How a hash begins.
const HASH: &str = "blake3:";
/// Digits of a hash that are shown in words.
const HASH_DIGITS: usize = 12;

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The frame.
    pub height: Height,
    /// What it is: `event`, `asked`, `allowed`, `denied`, `parked`, `receipt`, `ended`, `started`, `done`, `failed`, `raised`, `decision`.
    pub what: &'static str,
    /// What more there is to say, for programs.
    pub more: Map<String, Json>,
    /// The same in words.
    pub words: String,
    /// The entry that it is told with, in words: a decision with what was asked, a plan's start with its event.
    pub told_with: Option<usize>,
}

/// Tells frames one after the other.
#[derive(Debug, Default)]
pub struct Teller {
    /// What happened so far.
    pub entries: Vec<Entry>,
    /// How many receipts came in.
    pub receipts: u64,
    /// Effects that ended without their adapter: it was told to stop, and has not said yet what became of them.
    pub called_off: BTreeSet<IntentId>,
    asked: BTreeMap<IntentId, Asked>,
    plans: BTreeMap<InstanceId, String>,
    here: Here,
}

/// An effect, and who asked for it.
#[derive(Debug)]
struct Asked {
    kind: String,
    by: String,
}

impl Asked {
    fn of(kind: &str, origin: &Origin) -> Self {
        let by = match origin {
            Origin::Plan { step, .. } => format!("step {step}"),
            Origin::Reducer { reducer, .. } => reducer.clone(),
        };
        Self { kind: kind.to_owned(), by }
    }
}

/// Where the frame that is being told has what others are told with: places in the list of entries.
#[derive(Debug, Default)]
struct Here {
    /// The host's clock, in nanoseconds since the epoch.
    now_ns: u64,
    /// The intent that the frame's receipt answers.
    answered: Option<IntentId>,
    /// What came in.
    input: Option<usize>,
    /// The events: what came in, then what was raised.
    events: Vec<usize>,
    asked: BTreeMap<IntentId, usize>,
    /// The last event that each plan raised.
    raised: BTreeMap<InstanceId, usize>,
}

impl Teller {
    /// Begins with what a world has under way.
    ///
    /// # Errors
    /// A [`Fault`] where the world's state cannot be read.
    pub fn of(world: &World, blobs: &dyn Blobs) -> Result<Self, Fault> {
        let intents = world.intents(blobs)?.into_iter();
        let asked = intents.map(|intent| (intent.id, Asked::of(&intent.kind, &intent.origin))).collect();
        let plans = world.instances(blobs)?.into_iter().map(|instance| (instance.id, instance.plan)).collect();
        Ok(Self { asked, plans, ..Self::default() })
    }

    /// Tells a frame of a world that runs this program.
    pub fn tell(&mut self, program: &Program, frame: &Frame) {
        let height = frame.height;
        self.here = Here { now_ns: frame.stamp.now_ns, ..Here::default() };
        let before = self.entries.len();
        match &frame.input.body {
            Body::Event(event) => {
                let (name, value) = (&event.schema, shown(program, &event.schema, &event.value));
                let more = [("event", json!(name)), ("value", value.clone())];
                self.add(height, "event", &more, format!("{name} {}", cut(&value)));
            }
            Body::Receipt(signed) => {
                if let Ok(receipt) = Receipt::decode(&signed.bytes) {
                    self.receipts += 1;
                    self.here.answered = Some(receipt.intent);
                    self.called_off.remove(&receipt.intent);
                    self.receipt(program, height, &receipt);
                }
            }
            Body::Decision(signed) => self.decision(height, &frame.input.actor, &signed.bytes),
            Body::Attempt(intent) => {
                let (kind, by) = self.kind(*intent);
                self.add(
                    height,
                    "attempt",
                    &[("kind", json!(kind))],
                    format!("{kind} ({by}): it is sent, and never again"),
                );
            }
            Body::Message { .. } | Body::Tick => {}
        }
        self.here.input = (self.entries.len() > before).then_some(before);
        self.here.events = vec![before];
        for derived in &frame.derived {
            self.derived(program, height, derived);
        }
    }

    fn add(&mut self, height: Height, what: &'static str, more: &[(&str, Json)], words: String) {
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.entries.push(Entry { height, what, more, words, told_with: None });
    }

    /// Tells the last entry with another one of its frame.
    fn told_with(&mut self, other: Option<usize>) {
        if let Some(entry) = self.entries.last_mut() {
            entry.told_with = other;
        }
    }

    fn receipt(&mut self, program: &Program, height: Height, receipt: &Receipt) {
        let asked = self.asked.get(&receipt.intent);
        let (kind, by) =
            asked.map_or((receipt.adapter.clone(), "nobody".into()), |Asked { kind, by }| (kind.clone(), by.clone()));
        let payload = match receipt.status {
            Status::Ok => program.effect(&kind).and_then(|effect| plain(&effect.receipt, &receipt.payload)),
            _ => EffectError::decode(&receipt.payload).map(|error| json(&error.value())),
        };
        let payload = payload.unwrap_or_default();
        let brief = self.brief(&payload);
        let brief = if brief.is_empty() { brief } else { format!(": {brief}") };
        let words = format!("{kind} ({by}) {}{brief}", receipt.status.word());
        let more = [("kind", json!(kind)), ("status", json!(receipt.status.word())), ("payload", payload)];
        self.add(height, "receipt", &more, words);
    }

    fn decision(&mut self, height: Height, actor: &Actor, bytes: &[u8]) {
        let Ok(decision) = PrincipalDecision::decode(bytes) else { return };
        let (kind, by) = self.kind(decision.intent);
        let word = if decision.approve { "approves" } else { "denies" };
        let more = [("by", json!(actor.to_string())), ("kind", json!(kind)), ("approve", json!(decision.approve))];
        self.add(height, "decision", &more, format!("{actor} {word} {kind} ({by})"));
    }

    /// Returns the kind of an effect and who asked for it.
    fn kind(&self, intent: IntentId) -> (String, String) {
        let asked = self.asked.get(&intent);
        asked.map_or_else(|| ("an effect".into(), "nobody".into()), |Asked { kind, by }| (kind.clone(), by.clone()))
    }

    fn derived(&mut self, program: &Program, height: Height, derived: &Derived) {
        match derived {
            Derived::Event { by, event } => {
                let (name, value) = (&event.schema, shown(program, &event.schema, &event.value));
                self.here.events.push(self.entries.len());
                let by = match by {
                    By::Handling(_) => "a reducer".into(),
                    By::Step { instance, step } => {
                        self.here.raised.insert(*instance, self.entries.len());
                        format!("{}, step {step}", self.plan(*instance))
                    }
                };
                let words = format!("{name} {}", cut(&value));
                self.add(height, "raised", &[("event", json!(name)), ("value", value), ("by", json!(by))], words);
            }
            Derived::Annotation { .. } => {}
            Derived::Asked { intent, origin, kind, params, grant, .. } => {
                let asked = Asked::of(kind, origin);
                let shape = program.effect(kind).map(|effect| effect.params.clone());
                let params = shape.and_then(|shape| plain(&shape, params)).unwrap_or_default();
                let by = match origin {
                    Origin::Plan { plan, step, .. } => format!("{plan}, step {step}"),
                    Origin::Reducer { reducer, .. } => reducer.clone(),
                };
                let words = format!("{kind} {} ({}, grant {grant})", self.brief(&params), asked.by);
                let more = [("kind", json!(kind)), ("params", params), ("grant", json!(grant)), ("by", json!(by))];
                self.here.asked.insert(*intent, self.entries.len());
                self.asked.insert(*intent, asked);
                self.add(height, "asked", &more, words);
            }
            Derived::Decided { intent, verdict, policies, .. } => self.decided(height, *intent, verdict, policies),
            Derived::Ended { intent, status, is_late, spent, is_overrun } => {
                // An end that a receipt or a denial brings was told with it.
                let is_answered = self.here.answered == Some(*intent);
                if (is_answered || *status == Status::Denied) && !*is_late && !*is_overrun {
                    return;
                }
                let (kind, by) = self.kind(*intent);
                // A timer that is called off says nothing.
                if !is_answered && !*is_late && adapter_of(&kind) != "timer" {
                    self.called_off.insert(*intent);
                }
                let late = if *is_late { "late, and nothing goes on with it" } else { "" };
                let over = if *is_overrun { "with more than was reserved: the grant is blocked" } else { "" };
                let how: Vec<_> = [late, over].into_iter().filter(|words| !words.is_empty()).collect();
                let words = if is_answered { how.join(", ") } else { format!("{kind} ({by}) {}", status.word()) };
                let spent =
                    json!({"calls": spent.calls, "tokens": spent.tokens, "cents": spent.cents, "bytes": spent.bytes});
                let more = [
                    ("kind", json!(kind)),
                    ("status", json!(status.word())),
                    ("late", json!(is_late)),
                    ("overrun", json!(is_overrun)),
                    ("spent", spent),
                ];
                self.add(height, "ended", &more, words);
                self.told_with(self.here.input.filter(|_| is_answered));
            }
            Derived::PlanStarted { instance, plan, cause, .. } => {
                self.plans.insert(*instance, plan.clone());
                let more = [("plan", json!(plan)), ("instance", json!(instance.0))];
                self.add(height, "started", &more, self.plan(*instance));
                let cause = usize::try_from(*cause).ok().and_then(|cause| self.here.events.get(cause).copied());
                self.told_with(cause);
            }
            Derived::PlanEnded { instance, end } => self.plan_ended(program, height, *instance, end),
        }
    }

    fn decided(&mut self, height: Height, intent: IntentId, verdict: &Verdict, policies: &[String]) {
        let (kind, _) = self.kind(intent);
        let capability = "the capability".to_owned();
        let by = if policies.is_empty() { capability.clone() } else { policies.join(", ") };
        let about = [("kind", json!(kind)), ("policies", json!(policies))];
        match verdict {
            Verdict::Allowed { .. } => self.add(height, "allowed", &about, format!("by {by}")),
            Verdict::Denied { code, message } => {
                let words = match (code.starts_with("policy."), policies.is_empty()) {
                    // The policies that forbid it say more than the message.
                    (true, false) => format!("by {by}: {code}"),
                    (true, true) => format!("by {code}: {message}"),
                    (false, _) => format!("by {capability}: {code}: {message}"),
                };
                let more: Vec<_> =
                    about.into_iter().chain([("code", json!(code)), ("message", json!(message))]).collect();
                self.add(height, "denied", &more, words);
            }
            Verdict::Parked { .. } => {
                self.add(height, "parked", &about, format!("by {by}: it waits for approval"));
            }
        }
        self.told_with(self.here.asked.get(&intent).copied().or(self.here.input));
    }

    /// Writes the plain fields of a record, what is asked of a server first and times from now; what is nested, and when
    /// something was delivered, is left to the JSON form.
    fn brief(&self, value: &Json) -> String {
        let Some(fields) = value.as_object() else { return cut(value) };
        let is_plain =
            |value: &Json| !value.is_null() && !value.is_object() && !value.is_array() && *value != json!(false);
        let text = |name: &str| fields.get(name).and_then(Json::as_str);
        let mut words: Vec<String> = ["method", "url"].into_iter().filter_map(text).map(shorten).collect();
        for (name, value) in fields.iter().filter(|(_, value)| is_plain(value)) {
            words.push(match (name.as_str(), value.as_str(), value.as_u64()) {
                ("method" | "url" | "final_url" | "delivered_at_ns", ..) => continue,
                ("deliver_at_ns", _, Some(at_ns)) => {
                    format!("in {} ms", at_ns.saturating_sub(self.here.now_ns) / 1_000_000)
                }
                (_, Some(hash), _) if hash.starts_with(HASH) => {
                    let digits: String = hash.chars().take(HASH.len() + HASH_DIGITS).collect();
                    format!("{name}={digits}…")
                }
                (_, Some(text), _) => format!("{name}={}", shorten(&format!("{text:?}"))),
                _ => format!("{name}={value}"),
            });
        }
        words.join(" ")
    }

    fn plan(&self, instance: InstanceId) -> String {
        let plan = self.plans.get(&instance).map_or("a plan", String::as_str);
        format!("{plan} (instance {instance})")
    }

    fn plan_ended(&mut self, program: &Program, height: Height, instance: InstanceId, end: &PlanEnd) {
        let named = self.plan(instance);
        let plan = self.plans.remove(&instance).unwrap_or_default();
        let about = [("plan", json!(plan)), ("instance", json!(instance.0))];
        match end {
            PlanEnd::Done(result) => {
                let output = program.manifest().plans().find(|known| known.name.as_str() == plan);
                let output = output.and_then(|plan| plan.output.clone());
                let result = output.zip(result.as_ref()).and_then(|(shape, result)| plain(&shape, result));
                let words = result.as_ref().map_or_else(String::new, |result| format!(": {}", cut(result)));
                let more: Vec<_> = about.into_iter().chain([("result", result.unwrap_or_default())]).collect();
                self.add(height, "done", &more, format!("{named}{words}"));
                self.told_with(self.here.raised.get(&instance).copied().or(self.here.input));
            }
            PlanEnd::Failed { code, step, place } => {
                let at = step.as_ref().map_or_else(String::new, |step| format!(" at step {step}"));
                let what = if place.is_empty() { String::new() } else { format!(" ({place})") };
                let more = [("code", json!(code)), ("step", json!(step)), ("place", json!(place))];
                let more: Vec<_> = about.into_iter().chain(more).collect();
                self.add(height, "failed", &more, format!("{named}{at}: {code}{what}"));
            }
        }
    }
}

/// Reads an event's value; null where it does not fit.
fn shown(program: &Program, schema: &str, value: &[u8]) -> Json {
    program.schema(schema).and_then(|(_, schema)| plain(&schema.shape, value)).unwrap_or_default()
}

fn plain(shape: &Shape, bytes: &[u8]) -> Option<Json> {
    shape.decode(bytes).ok().map(|value| json(&value))
}

/// Writes a value for reading: bytes that are text as text, hashes as they are printed.
fn json(value: &Value) -> Json {
    match value {
        Value::Unit | Value::Option(None) => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) | Value::Duration(value) => json!(value),
        Value::Nat(value) | Value::Time(value) => json!(value),
        Value::Dec128(value) => json!(value.to_string()),
        Value::Text(value) => json!(value),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => json!(text),
            Err(_) => json!(format!("{} bytes", bytes.len())),
        },
        Value::Hash(hash) => json!(hash.to_string()),
        Value::Uuid(bytes) => json!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        Value::Record(fields) => fields.iter().map(|(name, value)| (name.clone(), json(value))).collect(),
        Value::Variant(tag, payload) if **payload == Value::Unit => json!(tag),
        Value::Variant(tag, payload) => json!({tag: json(payload)}),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Set(items) => items.values().map(json).collect(),
        Value::Map(entries) => {
            let named = |(key, value): &(Value, Value)| {
                let key = json(key);
                (key.as_str().map_or_else(|| key.to_string(), str::to_owned), json(value))
            };
            entries.values().map(named).collect()
        }
        Value::Option(Some(value)) => json(value),
    }
}

fn cut(value: &Json) -> String {
    shorten(&value.to_string())
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}
