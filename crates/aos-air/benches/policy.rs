//! How many policy decisions one core makes: sets of several sizes, in and out of the slice that a request opens.
//!
//! `cargo bench -p aos-air --bench policy`. Each decision makes its context anew, as the kernel does.

use std::collections::BTreeMap;

use aos_air::hash::Digest;
use aos_air::name::Name;
use aos_air::policy::{Left, Principal, Request};
use aos_air::schema::Value;
use aos_air::validate::{Checked, Manifest, Source, load};
use divan::Bencher;

fn main() {
    divan::main();
}

/// Policies of a set that is large.
const MANY: usize = 100;

/// A world whose policy in force is one permit and forbids: `inside` of them all are about the effect that is asked for,
/// and so in the slice of a request, and `outside` are about another.
#[expect(clippy::panic, reason = "a benchmark without its world has nothing to measure")]
fn world(inside: usize, outside: usize) -> Checked<Manifest> {
    let permit = r#"permit(principal, action == Aos::Action::"http.request", resource == Aos::Grant::"web");"#;
    let forbid = |kind: &str, at: usize| {
        format!(r#"forbid(principal, action == Aos::Action::"{kind}", resource) when {{ context.now < {at} }};"#)
    };
    let text: String = std::iter::once(permit.to_owned())
        .chain((1..inside).map(|at| forbid("http.request", at)))
        .chain((0..outside).map(|at| forbid("timer.set", at)))
        .collect();
    let json = serde_json::json!([
        {"$kind": "defpolicy", "name": "a/P@1", "cedar": text},
        {"$kind": "defschema", "name": "a/In@1", "type": {"record": {}}},
        {"$kind": "defplan", "name": "a/Plan@1", "input": "a/In@1", "steps": [{"id": "done", "op": "end"}], "edges": []},
        {"$kind": "manifest", "air_version": "1", "schemas": [{"name": "a/In@1"}], "plans": [{"name": "a/Plan@1"}],
         "policies": [{"name": "a/P@1"}], "defaults": {
            "policy": "a/P@1",
            "cap_grants": [{"name": "web", "cap": "sys/http.out@1", "params": {"hosts": ["a.example"]}}],
        }},
    ]);
    let source = Source { file: "bench".to_owned(), text: json.to_string() };
    let loaded = load(&[source], &|name: &Name| Some(Digest::of(name.as_str().as_bytes())));
    loaded.unwrap_or_else(|findings| panic!("{findings}"))
}

fn params() -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    let headers = Value::map([(text("accept"), text("application/json"))]);
    Value::Record(BTreeMap::from([
        ("method".to_owned(), text("GET")),
        ("url".to_owned(), text("https://a.example/v1/orders?since=1")),
        ("headers".to_owned(), headers.unwrap_or(Value::Unit)),
        ("body_ref".to_owned(), Value::Option(None)),
        ("auth".to_owned(), Value::Option(None)),
    ]))
}

fn decide(bencher: Bencher<'_, '_>, world: &Checked<Manifest>) {
    let params = params();
    let request = Request {
        principal: Principal::Plan("a/Plan@1"),
        action: "http.request",
        grant: "web",
        params: &params,
        now_ns: 1_767_225_600_000_000_000,
        budget_left: Left { calls: Some(10), ..Left::default() },
    };
    bencher.bench(|| world.policies().decide(divan::black_box(&request)));
}

/// All policies stand in the slice of the request.
#[divan::bench(args = [1, 2, 10, MANY])]
fn all_in_the_slice(bencher: Bencher<'_, '_>, inside: usize) {
    decide(bencher, &world(inside, 0));
}

/// So many of a hundred policies stand in the slice.
#[divan::bench(args = [1, 2, 10])]
fn of_a_hundred(bencher: Bencher<'_, '_>, inside: usize) {
    decide(bencher, &world(inside, MANY - inside));
}

/// A manifest with so many Cedar policies, from its text to ready.
#[divan::bench(args = [1, MANY])]
fn load_and_validate(bencher: Bencher<'_, '_>, inside: usize) {
    bencher.bench(|| world(inside, 0));
}
