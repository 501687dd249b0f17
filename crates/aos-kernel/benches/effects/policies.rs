//! Policy decisions: what a set costs by its size, and by how much of it is about what is asked for.

use std::time::Duration;

use aos_air::policy::{Left, Policies, Principal, Request, Verdict};
use aos_air::validate::{Checked, Manifest, Source, load};
use divan::black_box;

use crate::each;
use crate::world::params;

pub const TWO: &str = "a policy decision: 2 policies, both about the effect";
pub const TWO_OF_MANY: &str = "a policy decision: 100 policies, 2 of them about the effect";
pub const MANY: &str = "a policy decision: 100 policies, all about the effect";

/// Decisions of one turn.
const COUNT: u32 = 64;

/// Three worlds that differ in their policies.
pub struct Sets([(&'static str, Checked<Manifest>); 3]);

impl Sets {
    pub fn new() -> Self {
        Self([(TWO, world(2, 0)), (TWO_OF_MANY, world(2, 98)), (MANY, world(100, 0))])
    }

    pub fn decide(&self) -> Vec<(&'static str, Duration)> {
        self.0.iter().map(|(row, world)| (*row, decide(world.policies(), "a/Plan@1", COUNT))).collect()
    }
}

/// Returns what one decision takes.
pub fn decide(policies: &Policies, plan: &str, count: u32) -> Duration {
    let params = params();
    let request = Request {
        principal: Principal::Plan(plan),
        action: "http.request",
        grant: "web",
        params: &params,
        now_ns: 1_767_225_600_000_000_000,
        budget_left: Left { calls: Some(10), ..Left::default() },
    };
    each(0..count, |_| assert_eq!(policies.decide(black_box(&request)).unwrap().verdict, Verdict::Allow))
}

/// A world whose policy in force is one permit and forbids that do not hold: `inside` of them all are about the effect
/// that is asked for, and `outside` about another.
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
    load(&[source], &|_| None).unwrap_or_else(|findings| panic!("{findings}"))
}
