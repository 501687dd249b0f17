//! Effects through a real dispatcher with real threads: how each try ends, in which class, and that it is signed.
//!
//! The adapter does what its params say. Read next: `dispatch_stress.rs`, `dispatch_end.rs`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aos_air::cbor;
use aos_air::def::Trust;
use aos_air::hash::Digest;
use aos_air::schema::Shape;
use aos_host::adapter::{Adapter, Answer, Call, Class, Cost, Effect, Failed, IntentId, Status};
use aos_host::dispatch::{Dispatcher, Finished, Limited, Options, Order, SecretBinding, StartError, in_doubt};
use aos_host::keys::{Secret, Signed, Signer, Vault};
use aos_kernel::gate::Spend;
use aos_kernel::receipt::{Keys as TrustedKeys, Receipt};

/// More than anything here takes, even on a machine with other work.
pub const LONG: Duration = Duration::from_secs(60);

/// Does what its params, a text, say; counts its tries.
#[derive(Default)]
pub struct Scripted {
    name: String,
    concurrency: usize,
    tries: Mutex<BTreeMap<IntentId, u32>>,
    running: AtomicUsize,
    most_running: AtomicUsize,
    /// Lets those go that listen to nothing else.
    pub released: AtomicBool,
}

impl Scripted {
    pub fn new(name: &str, concurrency: usize) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), concurrency, ..Self::default() })
    }

    pub fn tries(&self, intent: IntentId) -> u32 {
        self.tries.lock().unwrap().get(&intent).copied().unwrap_or(0)
    }

    fn act(&self, what: &str, tries: u32, call: &mut Call<'_>) -> Result<Answer, Failed> {
        let (word, number) = what.split_once(' ').unwrap_or((what, "0"));
        let number: u32 = number.split(' ').next().unwrap().parse().unwrap();
        let failed = || Failed::new("test.failed", "it did not work");
        match word {
            "ok" => {}
            // Works at the last of so many tries.
            "retriable" if tries < number => {
                return Err(failed().retriable().costing(Cost { tokens: 1, ..Cost::default() }));
            }
            "sent_retriable" if tries < number => return Err(failed().retriable().sent()),
            "retriable" | "sent_retriable" => {}
            "fail" => return Err(failed()),
            "sent" => return Err(failed().sent()),
            "doubt" => return Err(Failed::in_doubt("test.doubt", "who knows")),
            "panic" => panic!("the adapter's own mistake"),
            "slow" => call.pause(Duration::from_millis(number.into()))?,
            "hang" => call.pause(LONG * 10)?,
            "sent_hang" => call.pause(LONG * 10).map_err(Failed::sent)?,
            "deaf" => {
                while !self.released.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            "misfit" => return Answer::of(&1_u64),
            "large" => return Answer::of(&"x".repeat(2000)),
            "code" => return Err(Failed::new("No Code", "a message")),
            "long" => return Err(Failed::new("test.long", "ä".repeat(2000))),
            "store" => drop(call.store(b"kept".to_vec())?),
            other => panic!("no script for {other}"),
        }
        Ok(Answer::of(what)?.costing(Cost { bytes: 7, ..Cost::default() }))
    }
}

impl Adapter for Scripted {
    fn name(&self) -> &str {
        &self.name
    }

    fn perform(&self, effect: &Effect, call: &mut Call<'_>) -> Result<Answer, Failed> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_running.fetch_max(running, Ordering::SeqCst);
        // Also after a panic.
        struct Leave<'a>(&'a AtomicUsize);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let _leave = Leave(&self.running);
        let tries = {
            let mut tries = self.tries.lock().unwrap();
            let tries = tries.entry(effect.intent).or_default();
            *tries += 1;
            *tries
        };
        assert_eq!(call.tries() + 1, tries);
        self.act(&effect.params::<String>()?, tries, call)
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }
}

pub fn quick() -> Options {
    Options {
        backoff_first: Duration::from_millis(2),
        backoff_max: Duration::from_millis(10),
        overdue: Duration::from_millis(30),
        ..Options::default()
    }
}

pub fn dispatcher(adapters: &[&Arc<Scripted>], options: Options) -> Dispatcher {
    let adapters = adapters.iter().map(|adapter| Arc::clone(adapter) as Arc<dyn Adapter>);
    Dispatcher::new(adapters, None, Arc::new(BTreeMap::<Digest, Vec<u8>>::new()), options).unwrap()
}

pub fn signer(adapter: &str) -> Arc<Signer> {
    Arc::new(Signer::new(adapter, 0, &[7; 32]))
}

pub fn order(adapter: &str, class: Class, number: u64, what: &str) -> Order {
    let mut effect = Effect::of(&format!("{adapter}.do"), cbor::to_vec(what).unwrap());
    effect.intent = IntentId(Digest::of(&number.to_be_bytes()));
    effect.class = class;
    Order {
        effect,
        signer: signer(adapter),
        receipt: Arc::new(Shape::Text),
        payload_bytes_max: 1000,
        secrets: BTreeMap::default(),
        limited: Limited::default(),
        elsewhere: None,
    }
}

#[derive(Debug, PartialEq, Eq, serde::Deserialize)]
pub struct EffectError {
    pub code: String,
    pub message: String,
    pub retriable: bool,
}

/// Reads what a receipt says, as a world does that trusts this signer and nobody else.
pub fn said(finished: &Finished, signer: &Signer) -> Receipt {
    let trust = Trust { adapters: vec![signer.public()], ..Trust::default() };
    let Signed { receipt, signature } = &finished.receipt;
    let receipt = TrustedKeys::of(&trust).receipt(receipt, signature).unwrap();
    assert_eq!((receipt.world, receipt.intent, receipt.status), (finished.world, finished.intent, finished.status));
    assert!(receipt.started_ns <= receipt.finished_ns);
    receipt
}

pub fn error(finished: &Finished, signer: &Signer) -> EffectError {
    cbor::from_slice(&said(finished, signer).payload).unwrap()
}

fn one(dispatcher: &Dispatcher) -> Finished {
    let mut finished = dispatcher.wait(LONG);
    assert_eq!(finished.len(), 1);
    finished.remove(0)
}

#[test]
fn each_way_to_end_has_its_status_code_and_number_of_tries_by_class() {
    use Class::{Keyed, Once, Safe};
    use Status::{Failed, InDoubt, Ok};
    let mut options = quick();
    options.deadline = LONG;
    let adapter = Scripted::new("test", 4);
    let dispatcher = dispatcher(&[&adapter], options);
    let table = [
        ("ok", Safe, Ok, "", 1),
        ("ok", Once, Ok, "", 1),
        ("retriable 3", Safe, Ok, "", 3),
        ("retriable 3", Keyed, Ok, "", 3),
        ("retriable 3", Once, Failed, "test.failed", 1),
        ("sent_retriable 3", Keyed, Ok, "", 3),
        ("sent_retriable 3", Once, InDoubt, "test.failed", 1),
        ("fail", Safe, Failed, "test.failed", 1),
        ("fail", Keyed, Failed, "test.failed", 1),
        ("fail", Once, Failed, "test.failed", 1),
        ("sent", Safe, Failed, "test.failed", 1),
        ("sent", Keyed, InDoubt, "test.failed", 1),
        ("sent", Once, InDoubt, "test.failed", 1),
        ("doubt", Safe, Failed, "test.doubt", 1),
        ("doubt", Once, InDoubt, "test.doubt", 1),
        ("panic", Safe, Failed, "adapter.panic", 1),
        ("panic", Keyed, InDoubt, "adapter.panic", 1),
        ("panic", Once, InDoubt, "adapter.panic", 1),
        ("misfit", Safe, Failed, "adapter.payload", 1),
        ("misfit", Once, InDoubt, "adapter.payload", 1),
        ("large", Safe, Failed, "adapter.payload", 1),
        ("code", Once, Failed, "adapter.failed", 1),
        ("long", Once, Failed, "test.long", 1),
    ];
    for (number, (what, class, status, code, tries)) in table.into_iter().enumerate() {
        let order = order("test", class, number as u64, what);
        let (intent, signer) = (order.effect.intent, Arc::clone(&order.signer));
        dispatcher.start(order).unwrap();
        let finished = one(&dispatcher);
        assert_eq!((finished.intent, finished.status), (intent, status), "{what} {class:?}");
        assert_eq!(adapter.tries(intent), tries, "{what} {class:?}");
        if status == Ok {
            let Receipt { payload, cost, .. } = said(&finished, &signer);
            assert_eq!(cbor::from_slice::<String>(&payload).unwrap(), what);
            // What the tries before have cost is added.
            let tokens = if what == "retriable 3" { 2 } else { 0 };
            assert_eq!(cost, Spend { calls: 1, tokens, cents: 0, bytes: 7 }, "{what}");
        } else {
            let error = error(&finished, &signer);
            assert_eq!(error.code, code, "{what} {class:?}");
            assert!(error.message.len() <= 1024 && !error.message.contains("own mistake"), "{what} {class:?}");
        }
    }
    assert!(dispatcher.is_idle());
}

#[test]
fn a_failure_that_stays_ends_when_the_time_is_over_and_not_later() {
    let mut options = quick();
    options.deadlines.insert("test".to_owned(), Duration::from_millis(100));
    let adapter = Scripted::new("test", 1);
    let dispatcher = dispatcher(&[&adapter], options);
    let begun = Instant::now();
    let order = order("test", Class::Safe, 0, "retriable 1000000");
    let intent = order.effect.intent;
    dispatcher.start(order).unwrap();
    let finished = one(&dispatcher);
    assert_eq!(finished.status, Status::Failed);
    assert_eq!(error(&finished, &signer("test")).code, "test.failed");
    assert!(error(&finished, &signer("test")).retriable);
    assert!(adapter.tries(intent) > 3, "{}", adapter.tries(intent));
    assert!(begun.elapsed() < LONG / 2);
}

#[test]
fn a_try_that_has_cost_what_the_budget_limits_is_the_last() {
    // What was reserved is for one try: a second one could pass the limit.
    let cases = [
        (Limited::default(), 3),
        (Limited { cents: true, bytes: true, ..Limited::default() }, 3),
        (Limited { tokens: true, ..Limited::default() }, 1),
    ];
    for (number, (limited, tries)) in cases.into_iter().enumerate() {
        let adapter = Scripted::new("test", 1);
        let dispatcher = dispatcher(&[&adapter], quick());
        let order = Order { limited, ..order("test", Class::Safe, number as u64, "retriable 3") };
        let intent = order.effect.intent;
        dispatcher.start(order).unwrap();
        let finished = one(&dispatcher);
        assert_eq!(adapter.tries(intent), tries, "{limited:?}");
        let cost = said(&finished, &signer("test")).cost;
        assert_eq!(cost.tokens, if tries == 1 { 1 } else { 2 }, "{limited:?}");
    }
}

#[test]
fn time_is_over_for_those_who_listen_and_for_those_who_do_not() {
    use Status::{Failed, InDoubt, Timeout};
    let mut options = quick();
    options.deadline = Duration::from_millis(50);
    let adapter = Scripted::new("test", 2);
    let dispatcher = dispatcher(&[&adapter], options);
    for (number, (what, class, status, code)) in [
        ("hang", Class::Safe, Timeout, "adapter.deadline"),
        ("hang", Class::Once, Timeout, "adapter.deadline"),
        ("sent_hang", Class::Safe, Timeout, "adapter.deadline"),
        ("sent_hang", Class::Once, InDoubt, "adapter.deadline"),
        ("deaf", Class::Safe, Timeout, "adapter.overdue"),
        ("deaf", Class::Keyed, InDoubt, "adapter.overdue"),
        ("deaf", Class::Once, InDoubt, "adapter.overdue"),
        ("fail", Class::Once, Failed, "test.failed"),
    ]
    .into_iter()
    .enumerate()
    {
        dispatcher.start(order("test", class, number as u64, what)).unwrap();
        let finished = one(&dispatcher);
        assert_eq!(finished.status, status, "{what} {class:?}");
        assert_eq!(error(&finished, &signer("test")).code, code, "{what} {class:?}");
    }
    // Three threads were given up, more than run at the same time, and the adapter still worked. What they bring in the
    // end comes after the end, and is told.
    adapter.released.store(true, Ordering::SeqCst);
    let mut late = Vec::new();
    while late.len() < 3 {
        late.extend(dispatcher.wait(LONG));
    }
    let expected: Vec<_> = (4..7_u64).map(|number| IntentId(Digest::of(&number.to_be_bytes()))).collect();
    assert!(late.iter().all(|late| late.status == Status::Ok && expected.contains(&late.intent)));
    assert!(dispatcher.is_idle());
}

#[test]
fn an_adapter_whose_tries_never_come_back_gets_no_more() {
    let options = Options { deadline: Duration::from_millis(1), overdue: Duration::ZERO, ..Options::default() };
    let adapter = Scripted::new("test", 16);
    let dispatcher = dispatcher(&[&adapter], options);
    for number in 0..100 {
        dispatcher.start(order("test", Class::Once, number, "deaf")).unwrap();
    }
    let mut codes = BTreeMap::<String, u32>::new();
    while codes.values().sum::<u32>() < 100 {
        for finished in dispatcher.wait(LONG) {
            *codes.entry(error(&finished, &signer("test")).code).or_default() += 1;
        }
    }
    // Those that ran when the last thread was given up are among the overdue ones.
    assert!((64..64 + 16).contains(&codes["adapter.overdue"]), "{codes:?}");
    assert_eq!(codes["adapter.overdue"] + codes["adapter.stuck"], 100);
    adapter.released.store(true, Ordering::SeqCst);
}

#[test]
fn a_slow_adapter_holds_up_nobody_else_and_runs_no_more_than_it_may() {
    let (slow, fast) = (Scripted::new("slow", 3), Scripted::new("fast", 2));
    let dispatcher = dispatcher(&[&slow, &fast], quick());
    for number in 0..20 {
        dispatcher.start(order("slow", Class::Safe, number, "hang")).unwrap();
    }
    for number in 100..200 {
        dispatcher.start(order("fast", Class::Once, number, "ok")).unwrap();
    }
    let mut done = Vec::new();
    while done.len() < 100 {
        done.extend(dispatcher.wait(LONG));
    }
    assert!(done.iter().all(|finished| finished.status == Status::Ok));
    while slow.running.load(Ordering::SeqCst) < 3 {
        std::thread::yield_now();
    }
    for number in 0..20_u64 {
        assert!(dispatcher.cancel(IntentId(Digest::of(&number.to_be_bytes()))));
    }
    let mut called_off = Vec::new();
    while called_off.len() < 20 {
        called_off.extend(dispatcher.wait(LONG));
    }
    assert!(called_off.iter().all(|finished| finished.status == Status::Cancelled));
    assert_eq!(error(&called_off[0], &signer("slow")).code, "adapter.cancelled");
    assert_eq!(slow.most_running.load(Ordering::SeqCst), 3);
    assert!(fast.most_running.load(Ordering::SeqCst) <= 2);
    assert!(dispatcher.is_idle());
}

#[test]
fn an_intent_runs_once_at_a_time_and_can_be_called_off_and_begun_again() {
    let adapter = Scripted::new("test", 1);
    let dispatcher = dispatcher(&[&adapter], quick());
    dispatcher.start(order("test", Class::Safe, 0, "hang")).unwrap();
    dispatcher.start(order("test", Class::Safe, 1, "ok")).unwrap();
    let [first, second] = [0_u64, 1].map(|number| IntentId(Digest::of(&number.to_be_bytes())));
    assert_eq!(dispatcher.start(order("test", Class::Safe, 1, "ok")), Err(StartError::Twice(second)));
    assert_eq!(StartError::Twice(second).code(), "dispatch.twice");
    // The second one is queued, ends at once, and is begun again while its first place in the queue is still there.
    assert!(dispatcher.cancel(second));
    assert_eq!(one(&dispatcher).status, Status::Cancelled);
    dispatcher.start(order("test", Class::Safe, 1, "ok")).unwrap();
    assert!(dispatcher.cancel(first));
    let mut finished = Vec::new();
    while finished.len() < 2 {
        finished.extend(dispatcher.wait(LONG));
    }
    let ends: Vec<_> = finished.iter().map(|finished| (finished.intent, finished.status)).collect();
    assert_eq!(ends, [(first, Status::Cancelled), (second, Status::Ok)]);
    assert_eq!(adapter.tries(second), 1);
    assert!(!dispatcher.cancel(second));
    assert!(dispatcher.is_idle() && dispatcher.poll().is_empty());
}

#[test]
fn an_effect_without_an_adapter_ends_signed() {
    let dispatcher = dispatcher(&[], quick());
    dispatcher.start(order("mail", Class::Once, 0, "ok")).unwrap();
    let finished = one(&dispatcher);
    assert_eq!(finished.status, Status::Failed);
    assert_eq!(error(&finished, &signer("mail")).code, "adapter.missing");
    assert_eq!(said(&finished, &signer("mail")).cost, Spend::default());
}

#[test]
fn a_once_effect_of_a_process_that_is_gone_ends_in_doubt() {
    let order = order("test", Class::Once, 0, "ok");
    let finished = in_doubt(&order.effect, &order.signer);
    assert_eq!(error(&finished, &order.signer).code, "adapter.lost");
    assert_eq!((finished.status, said(&finished, &order.signer).cost.calls), (Status::InDoubt, 1));
}

#[test]
fn blobs_come_with_the_answer() {
    let adapter = Scripted::new("test", 1);
    let dispatcher = dispatcher(&[&adapter], quick());
    dispatcher.start(order("test", Class::Once, 0, "store")).unwrap();
    let finished = one(&dispatcher);
    assert_eq!(finished.blobs, [(Digest::of(b"kept"), b"kept".to_vec())]);
}

/// Says out loud what it must keep, in the way that its params name.
struct Talker;

impl Adapter for Talker {
    fn name(&self) -> &str {
        "talker"
    }

    fn perform(&self, effect: &Effect, call: &mut Call<'_>) -> Result<Answer, Failed> {
        let secret = call.secret("demo/Key@1")?;
        let text = String::from_utf8(secret.expose().to_vec()).unwrap();
        match &*effect.params::<String>()? {
            "keep" => Answer::of("kept"),
            "answer" => Answer::of(&format!("it is {text}")),
            "blob" => {
                call.store(format!("<{text}>").into_bytes())?;
                Answer::of("stored")
            }
            "message" => Err(Failed::new("talker.failed", format!("tried with {text}, twice {text}"))),
            "code" => Err(Failed::new(text, "no")),
            "again" => Err(Failed::new(text, "no").retriable()),
            "other" => call.secret("demo/Other@1").and_then(|_| Answer::of("got it")),
            other => panic!("no script for {other}"),
        }
    }
}

#[test]
fn a_secret_does_not_get_out_with_what_an_adapter_says() {
    let data = tempfile::tempdir().unwrap();
    let vault = Arc::new(Vault::open_with(data.path(), &[3; 32]).unwrap());
    let value = "correct.horse.battery";
    let intake = vault.intake(&Secret::new(value.into())).unwrap();
    vault.put("demo", &intake.handle, &intake.digest).unwrap();
    let nothing = Arc::new(BTreeMap::<Digest, Vec<u8>>::new());
    let log = || Log;
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log).init();
    let options = Options { deadline: Duration::from_millis(100), ..quick() };
    let dispatcher = Dispatcher::new([Arc::new(Talker) as _], Some(vault), nothing, options).unwrap();
    let binding = SecretBinding { binding_id: "demo".to_owned(), expected_digest: Some(intake.digest) };
    let secrets = BTreeMap::from([("demo/Key@1".to_owned(), binding)]);
    for (number, (what, status, code)) in [
        ("keep", Status::Ok, ""),
        ("answer", Status::InDoubt, "adapter.secret_leak"),
        ("blob", Status::InDoubt, "adapter.secret_leak"),
        ("message", Status::Failed, "talker.failed"),
        ("code", Status::Failed, "adapter.secret_leak"),
        ("again", Status::Failed, "adapter.secret_leak"),
        ("other", Status::Failed, "adapter.secret"),
    ]
    .into_iter()
    .enumerate()
    {
        let secrets = secrets.clone();
        let class = if what == "again" { Class::Safe } else { Class::Once };
        let order = Order { secrets, ..order("talker", class, number as u64, what) };
        dispatcher.start(order).unwrap();
        let finished = one(&dispatcher);
        assert_eq!(finished.status, status, "{what}");
        assert!(!Secret::new(value.into()).is_in(&finished.receipt.receipt), "{what}");
        assert!(finished.blobs.is_empty(), "{what}");
        if status != Status::Ok {
            assert_eq!(error(&finished, &signer("talker")).code, code, "{what}");
        }
        if what == "message" {
            let message = error(&finished, &signer("talker")).message;
            assert_eq!(message, "tried with [secret], twice [secret]");
        }
    }
    let log = LOG.lock().unwrap();
    assert!(String::from_utf8_lossy(&log).contains("tried again"));
    assert!(!Secret::new(value.into()).is_in(&log));
}

/// All that this process has logged.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_secret_that_is_not_what_the_manifest_expects_is_not_used() {
    let data = tempfile::tempdir().unwrap();
    let vault = Arc::new(Vault::open_with(data.path(), &[3; 32]).unwrap());
    let nothing = Arc::new(BTreeMap::<Digest, Vec<u8>>::new());
    let dispatcher = Dispatcher::new([Arc::new(Talker) as _], Some(Arc::clone(&vault)), nothing, quick()).unwrap();
    let start = |number, expected_digest| {
        let binding = SecretBinding { binding_id: "demo".to_owned(), expected_digest };
        let secrets = BTreeMap::from([("demo/Key@1".to_owned(), binding)]);
        dispatcher.start(Order { secrets, ..order("talker", Class::Once, number, "keep") }).unwrap();
        error(&one(&dispatcher), &signer("talker")).code
    };
    assert_eq!(start(0, None), "vault.binding_unknown");
    let intake = vault.intake(&Secret::new(b"some value".to_vec())).unwrap();
    vault.put("demo", &intake.handle, &intake.digest).unwrap();
    assert_eq!(start(1, Some(Digest::of(b"another"))), "vault.digest");
}
