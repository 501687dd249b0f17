//! Driver and adapters together: plans over real sockets and files, answered, refused, killed and taken up again.
//!
//! Here: worlds of plans that ask for one effect each and end with what came of it, the folder of a node, and what the
//! frames of a history tell. Read next: `effects.rs` for what can come back, `kill.rs` for what a crash leaves.

mod border;
mod effects;
mod kill;
mod storm;
mod time;
mod watched;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aos_air::cbor::{self, Reader};
use aos_air::validate::{Draft, Source};
use aos_host::adapter::Adapter;
use aos_host::adapter::blob::BlobAdapter;
use aos_host::adapter::http::{Http, Settings};
use aos_host::dispatch::{self, Dispatcher};
use aos_host::driver::{self, Ambient, Answer, DriveError, Driver, Options, Start, System, Verify};
use aos_host::keys::{Keys, Vault};
use aos_host::store::{Blocks, FILE_NAME, FileStore, Origin, Store, StoreId};
use aos_host::wasm::{Engine, Strategy};
use aos_kernel::block::Header;
use aos_kernel::derived::{Derived, PlanEnd};
use aos_kernel::frame::Frame;
use aos_kernel::gate::Spend;
use aos_kernel::id::{BlockIndex, Height, InstanceId, IntentId};
use aos_kernel::input::{Actor, Body, Event, Input, Signed};
use aos_kernel::intent::{Intent, Stage};
use aos_kernel::receipt::{PrincipalDecision, Receipt, Status};
use ed25519_dalek::{Signer as _, SigningKey};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::http_server::Server;

/// More than anything here takes, even on a machine with other work.
const LONG: Duration = Duration::from_secs(60);
/// The longest single wait.
const TURN: Duration = Duration::from_millis(500);

/// A plan that asks for one effect when its event comes, and ends with what came of it.
struct Plan {
    /// Of plan and event: `t/<name>@1` starts on `t/<name>Wanted@1`, a record of an id and a text.
    name: &'static str,
    /// Kind, params, grant and key of the effect, as members of JSON.
    emit: &'static str,
    /// Further members of the step that waits.
    wait: &'static str,
    /// The number that a good end has, as an expression.
    number: &'static str,
}

const GET: &str = r#""kind": "http.request", "cap": "web",
    "params": {"method": "GET", "url": {"ref": "@plan.input.what"}, "headers": {}}"#;
const POST_KEYED: &str = r#""kind": "http.request", "cap": "shop",
    "params": {"method": "POST", "url": {"ref": "@plan.input.what"}, "headers": {}}"#;
const POST_ONCE: &str = r#""kind": "http.request", "cap": "web",
    "params": {"method": "POST", "url": {"ref": "@plan.input.what"}, "headers": {}}"#;
const POST_ASKED: &str = r#""kind": "http.request", "cap": "asked",
    "params": {"method": "POST", "url": {"ref": "@plan.input.what"}, "headers": {}}"#;
const HTTP_STATUS: &str = r#"{"ref": "@var:got.status"}"#;

/// The plans that most worlds here have: each class, and one effect that a person has to let go.
const PLANS: [Plan; 4] = [
    Plan { name: "Safe", emit: GET, wait: "", number: HTTP_STATUS },
    Plan { name: "Keyed", emit: POST_KEYED, wait: "", number: HTTP_STATUS },
    Plan { name: "Once", emit: POST_ONCE, wait: "", number: HTTP_STATUS },
    Plan { name: "Asked", emit: POST_ASKED, wait: "", number: HTTP_STATUS },
];

/// Grants for a server on loopback; its port goes where `PORT` stands, see [`at`].
const GRANTS: &str = r#"
    {"name": "web", "cap": "sys/http.out@1", "params": HTTP, "budget": {"calls": 1000}},
    {"name": "shop", "cap": "sys/http.out@1", "params": HTTP, "honours_key": true, "budget": {"calls": 1000}},
    {"name": "asked", "cap": "sys/http.out@1", "params": HTTP, "budget": {"calls": 1000}}"#;
const HTTP: &str = r#"{"hosts": ["127.0.0.1"], "schemes": ["http"], "ports": [PORT], "methods": ["GET", "POST"]}"#;

const RULES: &str = r#"{"when": {"cap_name": "asked"}, "decision": "require_approval"},
    {"when": {}, "decision": "allow"}"#;

/// What a world has beside its plans.
#[derive(Clone, Copy)]
struct More<'a> {
    grants: &'a str,
    rules: &'a str,
    /// Further members of the manifest, each with a comma in front.
    members: &'a str,
    /// Further definitions, each with a comma in front.
    definitions: &'a str,
}

const PLAIN: More<'_> = More { grants: GRANTS, rules: RULES, members: "", definitions: "" };

/// Writes a world's documents.
fn air(plans: &[Plan], more: More<'_>) -> String {
    let named = |list: Vec<String>| list.join(", ");
    let names = |suffix: &str| {
        named(plans.iter().map(|plan| format!(r#"{{"name": "t/{}{suffix}@1"}}"#, plan.name)).collect::<Vec<_>>())
    };
    let triggers = plans.iter().map(|Plan { name, .. }| {
        format!(r#"{{"event": "t/{name}Wanted@1", "plan": "t/{name}@1", "correlate_by": "id"}}"#)
    });
    let key = aos_air::def::PublicKey(paula().verifying_key().to_bytes());
    let mut documents = vec![
        format!(
            r#"{{"$kind": "manifest", "air_version": "1", "schemas": [{}, {{"name": "t/End@1"}}], "plans": [{}],
            "policies": [{{"name": "t/Policy@1"}}], "triggers": [{}],
            "trust": {{"principals": [{{"name": "paula", "key": "{key}", "roles": ["approver"]}}]}},
            "defaults": {{"policy": "t/Policy@1", "cap_grants": [{}]}}{}}}"#,
            names("Wanted"),
            names(""),
            named(triggers.collect()),
            more.grants,
            more.members
        ),
        r#"{"$kind": "defschema", "name": "t/End@1", "type": {"record":
            {"status": {"ref": "sys/EffectStatus@1"}, "number": {"int": {}}, "code": {"text": {}}}}}"#
            .to_owned(),
        format!(r#"{{"$kind": "defpolicy", "name": "t/Policy@1", "rules": [{}]}}"#, more.rules),
    ];
    for Plan { name, emit, wait, number } in plans {
        documents.push(format!(
            r#"{{"$kind": "defschema", "name": "t/{name}Wanted@1",
            "type": {{"record": {{"id": {{"text": {{}}}}, "what": {{"text": {{}}}}, "at": {{"nat": {{}}}}}}}}}}"#
        ));
        let status = r#"{"ref": "@step:wait.status"}"#;
        let when = |op: &str| format!(r#"{{"op": "{op}", "args": [{status}, {{"text": "ok"}}]}}"#);
        documents.push(format!(
            r#"{{"$kind": "defplan", "name": "t/{name}@1", "input": "t/{name}Wanted@1", "output": "t/End@1", "steps": [
              {{"id": "ask", "op": "emit_effect", {emit}, "bind": {{"effect_id_as": "asked"}}}},
              {{"id": "wait", "op": "await_receipt", "for": "asked", "bind": {{"as": "got"}}{wait}}},
              {{"id": "good", "op": "end", "result": {{"status": {status}, "number": {number}, "code": ""}}}},
              {{"id": "bad", "op": "end",
                "result": {{"status": {status}, "number": 0, "code": {{"ref": "@step:wait.error.code"}}}}}}],
            "edges": [{{"from": "ask", "to": "wait"}}, {{"from": "wait", "to": "good", "when": {}}},
              {{"from": "wait", "to": "bad", "when": {}}}]}}"#,
            when("eq"),
            when("ne")
        ));
    }
    format!("[{}{}]", documents.join(",\n"), more.definitions)
}

/// Lets a world's grants reach a server.
fn at(air: &str, server: &Server) -> String {
    air.replace("HTTP", HTTP).replace("PORT", &server.address.port().to_string())
}

/// The key of the principal who approves.
fn paula() -> SigningKey {
    SigningKey::from_bytes(&[5; 32])
}

/// The folder of a node: its store and its keys.
struct Node(TempDir);

impl Node {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// Makes a world that trusts this node's keys.
    fn make(&self, air: &str) -> Driver {
        let start = self.start(air);
        Driver::create(file(self.0.path()), engine(), Box::new(System), start, Options::default()).unwrap()
    }

    fn start(&self, air: &str) -> Start {
        let mut draft = Draft::read(&[Source { file: "test.air.json".into(), text: air.into() }]);
        let mut keys = Keys::open(self.0.path()).unwrap();
        for adapter in draft.untrusted() {
            draft.trust(&keys.newest(&adapter).unwrap().public());
        }
        Start { manifest: draft.check(&|_| None).unwrap_or_else(|findings| panic!("{findings}")), modules: Vec::new() }
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::new(Keys::open(self.0.path()).unwrap())
    }

    fn open(&self) -> Driver {
        open(file(self.0.path()), Box::new(System), Options::default())
    }

    /// Connects a world to these adapters.
    fn connect(&self, driver: &mut Driver, adapters: Vec<Arc<dyn Adapter>>) -> Vec<Answer> {
        let dispatcher = dispatcher(driver, adapters, None);
        driver.connect(dispatcher, self.keys()).unwrap()
    }
}

fn file(folder: &Path) -> Box<dyn Store> {
    Box::new(FileStore::open(&path(folder), &origin()).unwrap())
}

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE_NAME)
}

fn origin() -> Origin {
    Origin { id: StoreId([8; 32]), created_by: "tests of the outside".to_owned() }
}

/// No world here has a module, unless a test says so.
fn engine() -> Engine {
    Engine::new(Strategy::Unoptimised, None).unwrap()
}

/// Takes up the only world of a store.
fn open(store: Box<dyn Store>, ambient: Box<dyn Ambient>, options: Options) -> Driver {
    let world = store.worlds().unwrap()[0].0;
    Driver::open(store, engine(), ambient, world, Verify::History, options, &mut |_| {}).unwrap().0
}

fn http() -> Arc<dyn Adapter> {
    Arc::new(Http::new(Settings::default()).unwrap())
}

fn quick() -> dispatch::Options {
    dispatch::Options {
        backoff_first: Duration::from_millis(5),
        backoff_max: Duration::from_millis(20),
        overdue: Duration::from_millis(100),
        ..dispatch::Options::default()
    }
}

fn dispatcher(driver: &Driver, adapters: Vec<Arc<dyn Adapter>>, vault: Option<Arc<Vault>>) -> Dispatcher {
    Dispatcher::new(adapters, vault, Arc::new(driver.blobs().clone()), quick()).unwrap()
}

/// A clock that stands where a test puts it.
#[derive(Clone, Default)]
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn at(now_ns: u64) -> Self {
        Self(Arc::new(AtomicU64::new(now_ns)))
    }

    fn put(&self, now_ns: u64) {
        self.0.store(now_ns, Ordering::SeqCst);
    }
}

impl Ambient for Clock {
    fn now_ns(&mut self) -> Result<u64, DriveError> {
        Ok(self.0.load(Ordering::SeqCst))
    }

    fn random(&mut self) -> Result<[u8; 32], DriveError> {
        System.random()
    }
}

/// The event on which a plan starts.
#[derive(Serialize)]
struct Wanted<'a> {
    id: &'a str,
    what: &'a str,
    at: u64,
}

/// Wants an effect of a plan's; a resend is known.
fn want(plan: &str, id: &str, what: &str) -> Input {
    want_at(plan, id, what, 0)
}

fn want_at(plan: &str, id: &str, what: &str, at: u64) -> Input {
    let value = cbor::to_vec(&Wanted { id, what, at }).unwrap();
    let event = Event { schema: format!("t/{plan}Wanted@1"), value, key: None };
    Input { actor: Actor::Host, id: Some(id.as_bytes().to_vec()), body: Body::Event(event) }
}

/// Paula's word on an intent that waits for it.
fn decide(driver: &Driver, intent: &Intent, approve: bool) -> Input {
    let world = driver.world().unwrap();
    let decision = PrincipalDecision {
        world: driver.id(),
        manifest: world.program().manifest().hash(),
        manifest_seq: world.manifest_seq(),
        intent: intent.id,
        approve,
        // The same bytes each time, so that a resend is known.
        expires_at_ns: u64::MAX / 2,
    };
    let signature = paula().sign(&decision.message()).to_bytes();
    let body = Body::Decision(Signed { bytes: decision.encode(), signature });
    Input { actor: Actor::Principal("paula".into()), id: Some(b"word".to_vec()), body }
}

fn intents(driver: &Driver) -> Vec<Intent> {
    driver.world().unwrap().intents(driver.blobs()).unwrap()
}

fn parked(driver: &Driver) -> Vec<Intent> {
    intents(driver).into_iter().filter(|intent| matches!(intent.stage, Stage::Parked { .. })).collect()
}

/// Takes in what comes until nothing is outside. Returns everything that came.
fn settle(driver: &mut Driver) -> Vec<Answer> {
    let begun = Instant::now();
    let mut answers = Vec::new();
    while intents(driver).len() > parked(driver).len() {
        assert!(begun.elapsed() < LONG, "it does not end: {:?}", intents(driver));
        answers.extend(driver.turn(TURN).unwrap());
    }
    answers
}

/// How a plan ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct End {
    status: String,
    number: i64,
    code: String,
}

impl End {
    fn ok(number: i64) -> Self {
        Self { status: "ok".into(), number, code: String::new() }
    }

    fn bad(status: &str, code: &str) -> Self {
        Self { status: status.into(), number: 0, code: code.into() }
    }
}

/// What the frames of a history tell.
#[derive(Debug, Default)]
struct Told {
    /// By what was wanted: the id in the event. A plan that ended without a result is its code and step.
    ends: BTreeMap<String, Vec<Result<End, String>>>,
    /// The intents for which something was wanted, in the order of asking.
    asked: Vec<(IntentId, String)>,
    /// Ends of intents, in order: whose, how, and whether late.
    ended: Vec<(IntentId, Status, bool)>,
    /// Marks of `once` intents.
    marks: Vec<IntentId>,
    /// Receipts, in the order of the frames.
    receipts: Vec<Receipt>,
    instances: BTreeMap<InstanceId, String>,
}

impl Told {
    fn of<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Self {
        let mut told = Self::default();
        frames.into_iter().for_each(|frame| told.take(frame));
        told
    }

    /// Tells a world's whole history from its store.
    fn history(driver: &Driver) -> Self {
        Self::of(&frames(driver))
    }

    fn take(&mut self, frame: &Frame) {
        assert!(frame.outcome.failure.is_none(), "{frame:?}");
        match &frame.input.body {
            Body::Attempt(intent) => self.marks.push(*intent),
            Body::Receipt(signed) => self.receipts.push(Receipt::decode(&signed.bytes).unwrap()),
            _ => {}
        }
        for derived in &frame.derived {
            match derived {
                Derived::PlanStarted { instance, correlation, .. } => {
                    let id = correlation.as_ref().map(|value| cbor::from_slice::<String>(value).unwrap());
                    self.instances.insert(*instance, id.unwrap_or_default());
                }
                Derived::Asked { intent, origin, .. } => {
                    let aos_kernel::intent::Origin::Plan { instance, .. } = origin else { continue };
                    self.asked.push((*intent, self.id_of(*instance)));
                }
                Derived::Ended { intent, status, is_late, .. } => self.ended.push((*intent, *status, *is_late)),
                Derived::PlanEnded { instance, end } => {
                    let end = match end {
                        PlanEnd::Done(result) => Ok(cbor::from_slice(result.as_ref().unwrap()).unwrap()),
                        PlanEnd::Failed { code, step, place } => {
                            Err(format!("{code} at {}: {place}", step.as_deref().unwrap_or("-")))
                        }
                    };
                    self.ends.entry(self.id_of(*instance)).or_default().push(end);
                }
                _ => {}
            }
        }
    }

    /// What started an instance; empty where these are not all frames of its world.
    fn id_of(&self, instance: InstanceId) -> String {
        self.instances.get(&instance).cloned().unwrap_or_default()
    }

    /// How the one plan ended that this id started.
    fn end(&self, id: &str) -> &End {
        let ends = self.ends.get(id).unwrap_or_else(|| panic!("{id} has no end: {self:?}"));
        assert_eq!(ends.len(), 1, "{id}");
        ends[0].as_ref().unwrap()
    }

    /// The id of what an intent was asked for.
    fn whose(&self, intent: IntentId) -> &str {
        &self.asked.iter().find(|(asked, _)| *asked == intent).unwrap().1
    }

    /// Each intent that ended did so once, and each effect of a plan that ended has an end.
    fn check(&self) {
        for (intent, id) in &self.asked {
            let ends = self.ended.iter().filter(|(ended, _, is_late)| ended == intent && !is_late);
            assert!(ends.count() <= 1, "{id} ended twice");
            let marks = self.marks.iter().filter(|marked| *marked == intent).count();
            assert!(marks <= 1, "{id} was marked twice");
        }
    }
}

/// Reads a world's frames from its store.
fn frames(driver: &Driver) -> Vec<Frame> {
    let (reader, program) = (driver.reader().unwrap(), driver.world().unwrap().program());
    let mut frames = Vec::new();
    for block in Blocks::new(&*reader, driver.id(), BlockIndex(1)).unwrap() {
        let block = block.unwrap();
        let header = Header::decode(&block.header).unwrap();
        let mut body = Reader::strict(&block.body);
        for number in 0..header.frames {
            let height = Height(header.first_height.0 + number);
            frames.push(Frame::read(&mut body, program, header.opening.time_base_ns, height).unwrap());
        }
    }
    frames
}

fn applied(answers: &[Answer]) -> Vec<&Frame> {
    let mut frames = Vec::new();
    for answer in answers {
        match answer {
            Answer::Applied(frame) => frames.push(frame),
            other => panic!("{other:?}"),
        }
    }
    frames
}

/// What a grant has spent and holds.
fn budget(driver: &Driver, grant: &str) -> (Spend, Spend) {
    let budgets = driver.world().unwrap().budgets(driver.blobs()).unwrap();
    let found = budgets.into_iter().find(|view| view.grant == grant);
    found.map(|view| (view.budget.spent, view.budget.reserved)).unwrap_or_default()
}

/// Replays a world from its genesis, with none of the outside, and compares the end.
fn replay(driver: &Driver) {
    let reader = driver.reader().unwrap();
    let found = driver::replay_history(&*reader, driver.blobs(), &engine(), driver.id(), None, &mut |_| {}).unwrap();
    let head = driver.head();
    assert_eq!((found.block, found.height, found.hash), (head.block, head.height, head.hash));
}

fn blob() -> Arc<dyn Adapter> {
    Arc::new(BlobAdapter)
}
