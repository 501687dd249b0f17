//! What can come back: every adapter through one plan, answers in another order, each failure with its code.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::sleep;
use std::time::Duration;

use aos_air::cbor;
use aos_air::hash::Digest;
use aos_host::adapter::http::Settings;
use aos_host::adapter::llm::{Llm, Price, Protocol, Provider};
use aos_host::adapter::vault::VaultAdapter;
use aos_host::driver::Driver;
use aos_host::keys::{Secret, Vault};
use aos_host::store::{Commit, StoredBlock};
use aos_kernel::genesis::{EffectMode, Genesis};
use aos_kernel::input::{Actor, Body, Event, Input};
use aos_kernel::{EXECUTOR, World};
use serde::Serialize;

use super::{
    End, GET, HTTP_STATUS, More, Node, PLAIN, PLANS, Plan, Told, air, at, blob, budget, dispatcher, file, http, path,
    quick, replay, settle, want,
};
use crate::http_server::{Duplex, Seen, Server};

/// One plan that goes through all adapters, and ends with the tokens that the model used.
const ALL: &str = r#"[
  {"$kind": "manifest", "air_version": "1",
   "schemas": [{"name": "t/Start@1"}, {"name": "t/End@1"}], "plans": [{"name": "t/All@1"}],
   "policies": [{"name": "t/Policy@1"}], "secrets": [{"name": "t/Key@1"}],
   "triggers": [{"event": "t/Start@1", "plan": "t/All@1", "correlate_by": "id"}],
   "defaults": {"policy": "t/Policy@1", "cap_grants": [
     {"name": "web", "cap": "sys/http.out@1", "params": HTTP},
     {"name": "blobs", "cap": "sys/blob@1", "params": {}},
     {"name": "clock", "cap": "sys/timer@1", "params": {}},
     {"name": "model", "cap": "sys/llm.basic@1", "params": {"providers": ["p"], "models": ["small"], "max_tokens": 50}},
     {"name": "vault", "cap": "sys/secret@1", "params": {}}]}},
  {"$kind": "defschema", "name": "t/Start@1", "type": {"record":
    {"id": {"text": {}}, "url": {"text": {}}, "bytes": {"bytes": {}}, "handle": {"text": {}}, "digest": {"hash": {}}}}},
  {"$kind": "defschema", "name": "t/End@1", "type": {"record":
    {"status": {"ref": "sys/EffectStatus@1"}, "number": {"int": {}}, "code": {"text": {}}}}},
  {"$kind": "defsecret", "name": "t/Key@1", "binding_id": "shop", "allowed_caps": ["model", "vault", "web"]},
  {"$kind": "defpolicy", "name": "t/Policy@1", "rules": [{"when": {}, "decision": "allow"}]},
  {"$kind": "defplan", "name": "t/All@1", "input": "t/Start@1", "output": "t/End@1", "steps": [
    {"id": "a1", "op": "emit_effect", "kind": "vault.put", "cap": "vault", "params": {"alias": "t/Key@1", "binding_id": "shop",
      "value_ref": {"ref": "@plan.input.handle"}, "expected_digest": {"ref": "@plan.input.digest"}},
      "bind": {"effect_id_as": "a"}},
    {"id": "a2", "op": "await_receipt", "for": "a", "bind": {"as": "kept"}},
    {"id": "b1", "op": "emit_effect", "kind": "blob.put", "cap": "blobs", "params": {"bytes": {"ref": "@plan.input.bytes"}},
      "bind": {"effect_id_as": "b"}},
    {"id": "b2", "op": "await_receipt", "for": "b", "bind": {"as": "put"}},
    {"id": "c1", "op": "emit_effect", "kind": "http.request", "cap": "web", "params": {"method": "POST",
      "url": {"ref": "@plan.input.url"}, "headers": {}, "body_ref": {"ref": "@var:put.blob_ref"},
      "auth": {"secret": "t/Key@1", "header": "Authorization", "prefix": "Bearer "}}, "bind": {"effect_id_as": "c"}},
    {"id": "c2", "op": "await_receipt", "for": "c", "bind": {"as": "posted"}},
    {"id": "d1", "op": "emit_effect", "kind": "blob.get", "cap": "blobs",
      "params": {"blob_ref": {"ref": "@var:posted.body_ref.$value"}, "inline_max": 100}, "bind": {"effect_id_as": "d"}},
    {"id": "d2", "op": "await_receipt", "for": "d", "bind": {"as": "got"}},
    {"id": "e1", "op": "emit_effect", "kind": "timer.set", "cap": "clock",
      "params": {"deliver_at_ns": {"ref": "@var:posted.timings.end_ns"}}, "bind": {"effect_id_as": "e"}},
    {"id": "e2", "op": "await_receipt", "for": "e", "bind": {"as": "fired"}},
    {"id": "f1", "op": "emit_effect", "kind": "llm.generate", "cap": "model", "params": {"provider": "p", "model": "small",
      "temperature": "0.5", "max_tokens": 50, "input_ref": {"ref": "@var:got.blob_ref"}, "api_key": "t/Key@1"},
      "bind": {"effect_id_as": "f"}},
    {"id": "f2", "op": "await_receipt", "for": "f", "bind": {"as": "said"}},
    {"id": "g", "op": "end", "result": {"status": "ok", "number": 7, "code": {"ref": "@var:said.provider_id"}}}],
   "edges": [{"from": "a1", "to": "a2"}, {"from": "a2", "to": "b1"}, {"from": "b1", "to": "b2"}, {"from": "b2", "to": "c1"},
    {"from": "c1", "to": "c2"}, {"from": "c2", "to": "d1"}, {"from": "d1", "to": "d2"}, {"from": "d2", "to": "e1"},
    {"from": "e1", "to": "e2"}, {"from": "e2", "to": "f1"}, {"from": "f1", "to": "f2"}, {"from": "f2", "to": "g"}]}
]"#;

#[derive(Serialize)]
struct Start<'a> {
    id: &'a str,
    url: String,
    #[serde(with = "serde_bytes")]
    bytes: &'a [u8],
    handle: &'a str,
    digest: Digest,
}

fn shop_and_model(seen: &Seen, stream: &mut dyn Duplex) -> std::io::Result<()> {
    let body = if seen.line().starts_with("POST /v1/chat/completions ") {
        r#"{"id": "r-1", "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi."}}],
            "usage": {"prompt_tokens": 12, "completion_tokens": 3}}"#
    } else {
        "Say hello."
    };
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn one_plan_goes_through_all_adapters_over_real_sockets_and_replays_without_them() {
    const VALUE: &[u8] = b"sk-live-0123456789-abcdef";
    let server = Server::start(shop_and_model);
    let node = Node::new();
    let mut driver = node.make(&at(ALL, &server));
    let vault = Arc::new(Vault::open(node.0.path()).unwrap());
    let intake = vault.intake(&Secret::new(VALUE.to_vec())).unwrap();
    let provider = Provider {
        protocol: Protocol::OpenAi,
        base_url: server.url("/v1"),
        prices: Some(BTreeMap::from([("small".to_owned(), Price { prompt: 15_000, completion: 60_000 })])),
        key: None,
        max_completion_tokens: false,
    };
    let llm = Llm::new(Settings::default(), BTreeMap::from([("p".to_owned(), provider)])).unwrap();
    let adapters = vec![http(), blob(), Arc::new(llm) as _, Arc::new(VaultAdapter(Arc::clone(&vault))) as _];
    let connection = dispatcher(&driver, adapters, Some(vault));
    driver.connect(connection, node.keys()).unwrap();
    let start = Start {
        id: "all",
        url: server.url("/orders"),
        bytes: b"an order",
        handle: &intake.handle,
        digest: intake.digest,
    };
    let event = Event { schema: "t/Start@1".into(), value: cbor::to_vec(&start).unwrap(), key: None };
    driver.submit([Input { actor: Actor::Host, id: None, body: Body::Event(event) }]).unwrap();
    settle(&mut driver);
    let told = Told::history(&driver);
    assert_eq!(*told.end("all"), End { status: "ok".into(), number: 7, code: "r-1".into() });
    let adapters: Vec<_> = told.receipts.iter().map(|receipt| receipt.adapter.as_str()).collect();
    assert_eq!(adapters, ["vault", "blob", "http", "blob", "timer", "llm"]);
    let seen = server.seen();
    let bearer = format!("Bearer {}", String::from_utf8_lossy(VALUE));
    assert_eq!(seen[0].body, b"an order");
    assert!(seen.len() == 2 && seen.iter().all(|seen| seen.header("authorization") == Some(&bearer)));
    assert!(String::from_utf8_lossy(&seen[1].body).contains("Say hello."));
    replay(&driver);
    drop(driver);
    // What the plan only named is in no file of the node.
    for folder in [node.0.path().to_owned(), node.0.path().join("vault"), node.0.path().join("keys")] {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
        {
            let bytes = std::fs::read(&entry).unwrap();
            assert!(!bytes.windows(VALUE.len()).any(|window| window == VALUE), "{}", entry.display());
        }
    }
}

#[test]
fn answers_enter_in_the_order_in_which_they_come_and_not_in_that_of_asking() {
    // Each request is answered once all after it have been.
    let turn = Arc::new((Mutex::new(4), Condvar::new()));
    let server = Server::start(move |seen, stream| {
        let number: u32 = seen.line()[5..6].parse().unwrap();
        let (next, changed) = &*turn;
        let mut next = changed.wait_while(next.lock().unwrap(), |next| *next != number).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
        // The others' connections are slower than this one's end.
        sleep(Duration::from_millis(30));
        *next -= 1;
        changed.notify_all();
        Ok(())
    });
    let node = Node::new();
    let mut driver = node.make(&at(&air(&PLANS, PLAIN), &server));
    node.connect(&mut driver, vec![http()]);
    let wants = ["1", "2", "3", "4"].map(|id| want("Safe", id, &server.url(&format!("/{id}"))));
    driver.submit(wants).unwrap();
    settle(&mut driver);
    let told = Told::history(&driver);
    let ended: Vec<_> = told.ended.iter().map(|(intent, ..)| told.whose(*intent)).collect();
    assert_eq!(ended, ["4", "3", "2", "1"]);
    let asked: Vec<_> = told.asked.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!(asked, ["1", "2", "3", "4"]);
    replay(&driver);
}

/// Answers each path in its own way.
fn badly(seen: &Seen, stream: &mut dyn Duplex) -> std::io::Result<()> {
    let path = seen.line().split(' ').nth(1).unwrap();
    let answer: &[u8] = match path {
        "/503" => b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy",
        "/malformed" => b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "/nonsense" => b"what?\r\n\r\n",
        "/oversized" => b"HTTP/1.1 200 OK\r\nContent-Length: 41\r\n\r\n",
        "/private" => b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n",
        "/metadata" => b"HTTP/1.1 302 Found\r\nLocation: http://[::ffff:169.254.169.254]/\r\nContent-Length: 0\r\n\r\n",
        "/silent" => {
            stream.read(&mut [0]).map(drop)?;
            b""
        }
        _ => b"HTTP/1.1 204 No Content\r\n\r\n",
    };
    stream.write_all(answer)
}

#[test]
fn a_redirect_is_judged_by_the_policies_too() {
    const CEDAR: &str = "permit (principal, action, resource);
        forbid (principal, action == Aos::Action::\"http.request\", resource)
            when { context.params.path like \"/drafts*\" };";
    let server = Server::start(|seen, stream| {
        let to = match seen.line() {
            line if line.starts_with("GET /out ") => "/drafts/1",
            line if line.starts_with("GET /on ") => "/done",
            _ => return stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n"),
        };
        write!(stream, "HTTP/1.1 302 Go\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
    });
    let plans = [Plan { name: "Get", emit: GET, wait: "", number: HTTP_STATUS }];
    let air = at(&air(&plans, PLAIN), &server);
    let rules = format!(r#""rules": [{}]"#, PLAIN.rules);
    let cedar = format!(r#""cedar": {}"#, serde_json::to_string(CEDAR).unwrap());
    assert!(air.contains(&rules));
    let node = Node::new();
    let mut driver = node.make(&air.replace(&rules, &cedar));
    node.connect(&mut driver, vec![http()]);
    let table = [
        ("on", "/on", End::ok(204)),
        ("out", "/out", End::bad("failed", "http.redirect_refused")),
        ("straight", "/drafts/1", End::bad("denied", "policy.denied")),
    ];
    driver.submit(table.iter().map(|(id, path, _)| want("Get", id, &server.url(path)))).unwrap();
    settle(&mut driver);
    let told = Told::history(&driver);
    for (id, _, end) in &table {
        assert_eq!(told.end(id), end, "{id}");
    }
    assert!(server.seen().iter().all(|seen| !seen.line().contains("drafts")));
    replay(&driver);
}

#[test]
fn each_failure_is_a_typed_end_that_the_plan_branches_on_and_the_world_goes_on() {
    const ALONE: &str = r#"{"hosts": ["127.0.0.1"], "schemes": ["http"], "ports": [PORT], "body_bytes_max": 40}"#;
    let server = Server::start(badly);
    let grants = format!(
        r#"{{"name": "web", "cap": "sys/http.out@1", "params": {ALONE}, "budget": {{"calls": 100, "bytes": 8000}}}},
        {{"name": "spent", "cap": "sys/http.out@1", "params": {ALONE}, "budget": {{"bytes": 79}}}},
        {{"name": "expired", "cap": "sys/http.out@1", "params": {ALONE}, "expiry_ns": 1}},
        {{"name": "denied", "cap": "sys/http.out@1", "params": {ALONE}}}"#
    );
    let secret = |name: &str| {
        let auth = format!(r#""headers": {{}}, "auth": {{"secret": "{name}", "header": "Authorization"}}"#);
        GET.replace(r#""headers": {}"#, &auth)
    };
    let (unknown, unfilled, elsewhere) = (secret("t/None@1"), secret("t/Key@1"), secret("t/Other@1"));
    let grant = |name: &str| GET.replace(r#""web""#, &format!(r#""{name}""#));
    let (spent, expired, denied) = (grant("spent"), grant("expired"), grant("denied"));
    let emits: [(&'static str, &str); 7] = [
        ("Get", GET),
        ("Unknown", &unknown),
        ("Unfilled", &unfilled),
        ("Elsewhere", &elsewhere),
        ("Spent", &spent),
        ("Expired", &expired),
        ("Denied", &denied),
    ];
    let plans =
        emits.map(|(name, emit)| Plan { name, emit: String::leak(emit.to_owned()), wait: "", number: HTTP_STATUS });
    let rules = r#"{"when": {"cap_name": "denied"}, "decision": "deny"}, {"when": {}, "decision": "allow"}"#;
    let members = r#", "secrets": [{"name": "t/Key@1"}, {"name": "t/Other@1"}]"#;
    let definitions = r#", {"$kind": "defsecret", "name": "t/Key@1", "binding_id": "shop"},
        {"$kind": "defsecret", "name": "t/Other@1", "binding_id": "shop", "allowed_caps": ["denied"]}"#;
    let more = More { grants: &grants, rules, members, definitions };
    let node = Node::new();
    let mut driver = node.make(&at(&air(&plans, more), &server));
    let vault = Arc::new(Vault::open(node.0.path()).unwrap());
    let options = aos_host::dispatch::Options { deadline: Duration::from_millis(400), ..quick() };
    let blobs = Arc::new(driver.blobs().clone());
    let connection = aos_host::dispatch::Dispatcher::new([http()], Some(vault), blobs, options).unwrap();
    driver.connect(connection, node.keys()).unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (other_port, other_host) = (format!("http://{closed}/"), "http://localhost/".to_owned());
    let table = [
        ("Get", server.url("/fine"), End::ok(204)),
        ("Get", server.url("/503"), End::ok(503)),
        ("Get", server.url("/malformed"), End::bad("failed", "http.malformed")),
        ("Get", server.url("/nonsense"), End::bad("failed", "http.malformed")),
        ("Get", server.url("/oversized"), End::bad("failed", "http.body_size")),
        ("Get", server.url("/private"), End::bad("failed", "http.redirect_refused")),
        ("Get", server.url("/metadata"), End::bad("failed", "http.redirect_refused")),
        ("Get", server.url("/silent"), End::bad("timeout", "http.timeout")),
        ("Get", other_port, End::bad("denied", "http.port")),
        ("Get", other_host, End::bad("denied", "http.host")),
        ("Get", "file:///etc/passwd".to_owned(), End::bad("denied", "http.scheme")),
        ("Get", "no url".to_owned(), End::bad("denied", "http.url")),
        ("Unknown", server.url("/"), End::bad("denied", "secret.unknown")),
        ("Elsewhere", server.url("/"), End::bad("denied", "secret.not_allowed")),
        ("Unfilled", server.url("/"), End::bad("failed", "vault.binding_unknown")),
        ("Spent", server.url("/"), End::bad("denied", "budget.exceeded")),
        ("Expired", server.url("/"), End::bad("denied", "cap.expired")),
        ("Denied", server.url("/"), End::bad("denied", "policy.denied")),
    ];
    let wants = table.iter().enumerate().map(|(number, (plan, url, _))| want(plan, &number.to_string(), url));
    driver.submit(wants).unwrap();
    settle(&mut driver);
    let told = Told::history(&driver);
    let found: Vec<_> = (0..table.len()).map(|number| told.end(&number.to_string()).clone()).collect();
    let wrong = table.iter().zip(&found).filter(|((.., expected), found)| expected != *found);
    assert_eq!(wrong.map(|(row, found)| format!("{row:?}: {found:?}")).collect::<Vec<_>>(), Vec::<String>::new());
    assert_eq!(budget(&driver, "web").1, aos_kernel::gate::Spend::ZERO);
    // Nothing that is no answer is silently sent again, but what may be.
    assert!(server.seen().iter().all(|seen| !seen.line().contains(" / ")));
    replay(&driver);
}

#[test]
fn two_worlds_side_by_side_take_nothing_from_each_other() {
    let server = Server::start(badly);
    let nodes = [Node::new(), Node::new()];
    let mut drivers = nodes.each_ref().map(|node| node.make(&at(&air(&PLANS, PLAIN), &server)));
    for (node, driver) in nodes.iter().zip(&mut drivers) {
        node.connect(driver, vec![http()]);
    }
    for number in 0..6 {
        for (driver, class) in drivers.iter_mut().zip(["Keyed", "Once"]) {
            driver.submit([want(class, &number.to_string(), &server.url("/fine"))]).unwrap();
            driver.turn(Duration::ZERO).unwrap();
        }
    }
    drivers.iter_mut().for_each(|driver| drop(settle(driver)));
    let keys: std::collections::BTreeSet<_> =
        server.seen().iter().filter_map(|seen| seen.header("idempotency-key").map(str::to_owned)).collect();
    assert_eq!((server.connections(), keys.len()), (12, 6));
    for driver in &drivers {
        let told = Told::history(driver);
        assert!((0..6).all(|number| *told.end(&number.to_string()) == End::ok(204)));
        assert!(told.receipts.iter().all(|receipt| receipt.world == driver.id()));
        replay(driver);
    }
    // A receipt of one is none of the other, though its own is recorded already.
    let foreign = super::frames(&drivers[0]).into_iter().map(|frame| frame.input);
    let foreign: Vec<_> = foreign.filter(|input| matches!(input.body, Body::Receipt(_))).collect();
    let refused = drivers[1].submit(foreign).unwrap();
    assert!(refused.iter().all(|answer| matches!(answer, aos_host::driver::Answer::Refused(_))), "{refused:?}");
}

#[test]
fn in_effect_mode_deny_nothing_leaves() {
    let server = Server::start(badly);
    let node = Node::new();
    let start = node.start(&at(&air(&PLANS, PLAIN), &server));
    let genesis = Genesis {
        executor: EXECUTOR,
        manifest: start.manifest.hash(),
        limits: aos_air::limits::Limits::default(),
        effect_mode: EffectMode::Deny,
        created_ns: 1,
        nonce: [3; 32],
    };
    let (world, sealed) = World::create(genesis, start.manifest).unwrap();
    let block = StoredBlock {
        index: sealed.header.index,
        hash: sealed.hash,
        last_height: sealed.header.last_height(),
        header: sealed.header_bytes,
        body: sealed.body,
    };
    let snapshot = sealed.snapshot.as_ref().map(aos_kernel::Snapshot::encode);
    let commit = Commit { block: &block, blobs: &sealed.blobs, snapshot: snapshot.as_deref() };
    assert!(!path(node.0.path()).exists());
    file(node.0.path()).create(world.id(), &commit).unwrap();
    let options = aos_host::driver::Options { time_step_allowed: true, ..Default::default() };
    let mut driver: Driver = super::open(file(node.0.path()), Box::new(aos_host::driver::System), options);
    node.connect(&mut driver, vec![http()]);
    driver.submit([want("Safe", "safe", &server.url("/fine")), want("Once", "once", &server.url("/fine"))]).unwrap();
    settle(&mut driver);
    let told = Told::history(&driver);
    for id in ["safe", "once"] {
        assert_eq!(*told.end(id), End::bad("denied", "effect.mode"));
    }
    assert_eq!(server.connections(), 0);
    replay(&driver);
}
