//! kill -9 between every pair of stages of an effect's life, with a server that counts.
//!
//! The test binary runs itself again as the one that dies: it drives a world on a real file over real sockets up to one
//! stage and stands still there, and is killed. Then the world is taken up again and finishes. A stage is a commit that
//! has not begun or has just returned, an adapter that is about to perform or to answer, or what the server sees.
//! Read next: `storm.rs`, where nobody chooses the moment.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, BufRead, BufReader, Write, stdout};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use aos_air::cbor;
use aos_air::hash::Digest;
use aos_host::adapter::{Adapter, Answer as Done, Call, Effect, Failed};
use aos_host::driver::{Options, System};
use aos_host::keys::Keys;
use aos_kernel::blobs::Blobs;
use aos_kernel::gate::Spend;
use serde::Deserialize;

use super::watched::{Moment, Watched};
use super::{
    End, Node, PLAIN, PLANS, Told, air, at, budget, decide, dispatcher, file, http, intents, open, parked, replay,
    settle, want,
};
use crate::http_server::{Duplex, Seen, Server};

const FOLDER: &str = "AOS_TEST_OUTSIDE";
const STAGE: &str = "AOS_TEST_OUTSIDE_STAGE";
const URL: &str = "AOS_TEST_OUTSIDE_URL";

/// Where the one that dies stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// At a commit of its life.
    At(Moment),
    /// When the adapter is called.
    Dispatched,
    /// When the server has performed and says nothing.
    Sent,
    /// When the server has said half of its answer.
    Answering,
    /// When the adapter has its answer.
    Answered,
    /// When nothing is left to do.
    Done,
}

impl Stand {
    /// The name under which the child is told.
    fn name(self) -> String {
        format!("{self:?}")
    }
}

/// Says so and stands still until the kill comes.
pub fn stand_still() -> ! {
    writeln!(stdout(), "\nhere").unwrap();
    loop {
        thread::park();
    }
}

/// The HTTP adapter, which stands still on one side of its call.
struct StandingHttp {
    http: Arc<dyn Adapter>,
    stage: String,
}

impl Adapter for StandingHttp {
    fn name(&self) -> &str {
        "http"
    }

    fn perform(&self, effect: &Effect, call: &mut Call<'_>) -> Result<Done, Failed> {
        if self.stage == Stand::Dispatched.name() {
            stand_still();
        }
        let done = self.http.perform(effect, call);
        if self.stage == Stand::Answered.name() {
            stand_still();
        }
        done
    }
}

/// Becomes the one that dies if this process was started as one.
pub fn is_victim(live: fn(&Path)) -> bool {
    let Some(folder) = env::var_os(FOLDER) else { return false };
    live(Path::new(&folder));
    true
}

/// Starts this test binary again for one test, which finds the variables set.
pub fn start(test: &str, folder: &Path, stage: &str, url: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("outside::{test}"), "--nocapture"])
        .env(FOLDER, folder)
        .env(STAGE, stage)
        .env(URL, url)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

pub fn url() -> String {
    env::var(URL).unwrap()
}

/// A server that performs each request that it sees, but one under a key that it has seen before, and counts both.
pub struct Shop {
    pub server: Server,
    counts: Arc<Mutex<Counts>>,
    /// Told when the server stands still in the middle of an answer.
    stands: Receiver<()>,
}

#[derive(Default)]
struct Counts {
    /// By path.
    requests: BTreeMap<String, u32>,
    performed: BTreeMap<String, u32>,
    keys: BTreeMap<String, u32>,
}

impl Shop {
    /// Opens one that waits before each answer as long as `pause` does, and stands still once where it is told.
    pub fn open(stand: Option<Stand>, pause: impl Fn() + Send + Sync + 'static) -> Self {
        let counts = Arc::new(Mutex::new(Counts::default()));
        let (says, stands) = mpsc::channel();
        let (counted, says) = (Arc::clone(&counts), Mutex::new(Some(says).filter(|_| stand.is_some())));
        let server = Server::start(move |seen, stream| {
            note(&mut counted.lock().unwrap(), seen);
            pause();
            let says: Option<Sender<()>> = says.lock().unwrap().take();
            serve(stream, says, stand)
        });
        Self { server, counts, stands }
    }

    /// How often something was asked for at a path, and how often it was done.
    pub fn counted(&self, path: &str) -> (u32, u32) {
        let counts = self.counts.lock().unwrap();
        let of = |counts: &BTreeMap<String, u32>| counts.get(path).copied().unwrap_or(0);
        (of(&counts.requests), of(&counts.performed))
    }

    /// How many keys it has seen, and how often the most frequent one.
    pub fn keys(&self) -> (usize, u32) {
        let counts = self.counts.lock().unwrap();
        (counts.keys.len(), counts.keys.values().copied().max().unwrap_or(0))
    }
}

fn note(counts: &mut Counts, seen: &Seen) {
    let path = seen.line().split(' ').nth(1).unwrap().to_owned();
    *counts.requests.entry(path.clone()).or_default() += 1;
    let times = seen.header("idempotency-key").map(|key| {
        let times = counts.keys.entry(key.to_owned()).or_default();
        *times += 1;
        *times
    });
    if times.is_none_or(|times| times == 1) {
        *counts.performed.entry(path).or_default() += 1;
    }
}

fn serve(stream: &mut dyn Duplex, says: Option<Sender<()>>, stand: Option<Stand>) -> io::Result<()> {
    let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 6\r\n\r\ndone\r\n";
    let Some(says) = says else { return stream.write_all(answer) };
    if stand == Some(Stand::Answering) {
        stream.write_all(&answer[..answer.len() / 2])?;
        stream.flush()?;
    }
    says.send(()).unwrap();
    // Until the other side is gone.
    stream.read(&mut [0]).map(drop)
}

/// Drives one effect from its event to its end: a plan, its path on the server, and where to stand still.
fn live(folder: &Path) {
    let stage = env::var(STAGE).unwrap();
    let (plan, stage) = stage.split_once(' ').unwrap();
    let told = stage.to_owned();
    let store = Watched::store(file(folder), move |moment, _| {
        if told == Stand::At(moment).name() {
            stand_still();
        }
    });
    let mut driver = open(store, Box::new(System), Options::default());
    let adapter = StandingHttp { http: http(), stage: stage.into() };
    let connection = dispatcher(&driver, vec![Arc::new(adapter)], None);
    driver.connect(connection, Arc::new(Keys::open(folder).unwrap())).unwrap();
    driver.submit([want(plan, "job", &url())]).unwrap();
    let words: Vec<_> = parked(&driver).iter().map(|intent| decide(&driver, intent, true)).collect();
    driver.submit(words).unwrap();
    settle(&mut driver);
    stand_still();
}

/// What is looked at of `sys/HttpRequestReceipt@1`.
#[derive(Deserialize)]
struct HttpReceipt {
    body_ref: Option<Digest>,
}

/// Waits until the child stands still, or the server does, and kills it.
fn kill(child: &mut Child, shop: &Shop, stand: Stand) {
    if matches!(stand, Stand::Sent | Stand::Answering) {
        shop.stands.recv_timeout(super::LONG).unwrap();
    } else {
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line == "here"), "it did not come to {stand:?}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What is left after one kill and a new start: requests and performances at the server, how the plan ended.
fn outcome(test: &str, plan: &str, stand: Stand) -> (u32, u32, End) {
    let node = Node::new();
    let server_stands = matches!(stand, Stand::Sent | Stand::Answering).then_some(stand);
    let shop = Shop::open(server_stands, || {});
    drop(node.make(&at(&air(&PLANS, PLAIN), &shop.server)));
    let url = shop.server.url("/job");
    let mut child = start(test, node.0.path(), &format!("{plan} {}", stand.name()), &url);
    kill(&mut child, &shop, stand);

    let mut driver = node.open();
    let before = intents(&driver);
    node.connect(&mut driver, vec![http()]);
    driver.submit([want(plan, "job", &url)]).unwrap();
    if plan == "Asked" {
        // Whoever waits for a word is listed after the restart as before, unless the word was durable.
        assert!(before.len() <= 1 && parked(&driver).len() <= 1, "{stand:?}: {before:?}");
        let words: Vec<_> = parked(&driver).iter().map(|intent| decide(&driver, intent, true)).collect();
        driver.submit(words).unwrap();
    }
    settle(&mut driver);
    let told = Told::history(&driver);
    told.check();
    assert_eq!(told.asked.len(), 1, "{plan} {stand:?}: asked for once, whatever was sent again");
    let end = told.end("job").clone();
    // The doubt is said by a signed receipt, and the plan was told.
    let doubts = told.receipts.iter().filter(|receipt| receipt.status.word() == "in_doubt").count();
    assert_eq!(doubts, usize::from(end.status == "in_doubt"), "{plan} {stand:?}");
    // What the answer brought was durable with it.
    for receipt in told.receipts.iter().filter(|receipt| receipt.status.word() == "ok") {
        let answer: HttpReceipt = cbor::from_slice(&receipt.payload).unwrap();
        assert_eq!(driver.blobs().blob(&answer.body_ref.unwrap()).unwrap(), b"done\r\n");
    }
    let grant = match plan {
        "Keyed" => "shop",
        "Asked" => "asked",
        _ => "web",
    };
    let bytes = budget(&driver, grant).0.bytes;
    assert_eq!(budget(&driver, grant), (Spend { calls: 1, bytes, ..Spend::ZERO }, Spend::ZERO), "{plan} {stand:?}");
    replay(&driver);
    drop(driver.disconnect(super::TURN).unwrap());
    let (requests, performed) = shop.counted("/job");
    (requests, performed, end)
}

/// Compares each row with what comes of it, and says all that differ.
fn check(test: &str, plan: &str, rows: &[(Stand, u32, u32, &str)]) {
    let mut wrong = Vec::new();
    for &(stand, requests, performed, status) in rows {
        let end = if status == "ok" { End::ok(201) } else { End::bad("in_doubt", "adapter.lost") };
        let found = outcome(test, plan, stand);
        if found != (requests, performed, end) {
            wrong.push(format!("{plan} killed at {stand:?}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_safe_effect_is_never_lost() {
    use Moment::{After, Before};
    use Stand::{Answered, Answering, At, Dispatched, Done, Sent};
    if is_victim(live) {
        return;
    }
    // Stage, requests, performed, end.
    let rows = [
        (At(Before(1)), 1, 1, "ok"),
        (At(After(1)), 1, 1, "ok"),
        (Dispatched, 1, 1, "ok"),
        (Sent, 2, 2, "ok"),
        (Answering, 2, 2, "ok"),
        (Answered, 2, 2, "ok"),
        (At(Before(2)), 2, 2, "ok"),
        (At(After(2)), 1, 1, "ok"),
        (Done, 1, 1, "ok"),
    ];
    check("kill::a_safe_effect_is_never_lost", "Safe", &rows);
}

#[test]
fn a_keyed_effect_is_never_lost_and_never_done_twice() {
    use Moment::{After, Before};
    use Stand::{Answered, Answering, At, Dispatched, Done, Sent};
    if is_victim(live) {
        return;
    }
    let rows = [
        (At(Before(1)), 1, 1, "ok"),
        (At(After(1)), 1, 1, "ok"),
        (Dispatched, 1, 1, "ok"),
        (Sent, 2, 1, "ok"),
        (Answering, 2, 1, "ok"),
        (Answered, 2, 1, "ok"),
        (At(Before(2)), 2, 1, "ok"),
        (At(After(2)), 1, 1, "ok"),
        (Done, 1, 1, "ok"),
    ];
    check("kill::a_keyed_effect_is_never_lost_and_never_done_twice", "Keyed", &rows);
}

#[test]
fn a_once_effect_is_never_sent_twice_and_each_doubt_is_said() {
    use Moment::{After, Before};
    use Stand::{Answered, Answering, At, Dispatched, Done, Sent};
    if is_victim(live) {
        return;
    }
    // The second commit is the mark; behind it nobody can know any more whether it left.
    let rows = [
        (At(Before(1)), 1, 1, "ok"),
        (At(After(1)), 1, 1, "ok"),
        (At(Before(2)), 1, 1, "ok"),
        (At(After(2)), 0, 0, "in_doubt"),
        (Dispatched, 0, 0, "in_doubt"),
        (Sent, 1, 1, "in_doubt"),
        (Answering, 1, 1, "in_doubt"),
        (Answered, 1, 1, "in_doubt"),
        (At(Before(3)), 1, 1, "in_doubt"),
        (At(After(3)), 1, 1, "ok"),
        (Done, 1, 1, "ok"),
    ];
    check("kill::a_once_effect_is_never_sent_twice_and_each_doubt_is_said", "Once", &rows);
}

#[test]
fn an_effect_that_waits_for_a_word_waits_through_a_crash_and_leaves_once_after_it() {
    use Moment::{After, Before};
    use Stand::{At, Dispatched, Sent};
    if is_victim(live) {
        return;
    }
    // Commits: parked, approved, marked, answered.
    let rows = [
        (At(Before(1)), 1, 1, "ok"),
        (At(After(1)), 1, 1, "ok"),
        (At(Before(2)), 1, 1, "ok"),
        (At(After(2)), 1, 1, "ok"),
        (At(Before(3)), 1, 1, "ok"),
        (At(After(3)), 0, 0, "in_doubt"),
        (Dispatched, 0, 0, "in_doubt"),
        (Sent, 1, 1, "in_doubt"),
        (At(Before(4)), 1, 1, "in_doubt"),
        (At(After(4)), 1, 1, "ok"),
    ];
    check("kill::an_effect_that_waits_for_a_word_waits_through_a_crash_and_leaves_once_after_it", "Asked", &rows);
}
