//! Policies as a whole: the order of a decision, its ids, and what runs out.
//!
//! `tests/golden.rs` has what a policy sees of each built-in effect, `tests/laws.rs` what holds for all packs, policies
//! and values, `tests/refused.rs` what does not load.

mod golden;
mod laws;
mod refused;

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;
use crate::limits::{PACK_RULES_MAX, POLICY_DEPTH_MAX};
use crate::name::Name;
use crate::schema::Value;

fn name() -> Name {
    Name::parse("shop/Rules@1").unwrap()
}

const GRANTS: [Grant<'static>; 2] = [
    Grant { name: "web", cap: "sys/http.out@1", cap_type: "http.out" },
    Grant { name: "clock", cap: "sys/timer@1", cap_type: "timer" },
];

fn policies(text: &str) -> Policies {
    let read = read(&name(), text).unwrap_or_else(|flaws| panic!("{flaws:?}"));
    Policies::new(read, GRANTS, [Principal::Plan("shop/Pay@1"), Principal::Reducer("shop/Orders@1")])
}

/// The parameters of a timer.
fn timer(deliver_at_ns: u64) -> Value {
    Value::Record(BTreeMap::from([
        ("deliver_at_ns".to_string(), Value::Nat(deliver_at_ns)),
        ("key".to_string(), Value::Option(None)),
    ]))
}

fn asks<'a>(principal: Principal<'a>, params: &'a Value) -> Request<'a> {
    Request { principal, action: "timer.set", grant: "clock", params, now_ns: 0, budget_left: Left::default() }
}

/// A decision on one line.
fn line(decision: &Decision) -> String {
    let Decision { verdict, policies, code } = decision;
    alloc::format!("{verdict:?} {policies:?} {}", code.unwrap_or("-"))
}

#[test]
fn the_order_of_a_decision() {
    let permit = "permit(principal, action, resource);";
    let annotated = "@approval(\"required\") permit(principal, action, resource);";
    let forbid = "@id(\"never\") forbid(principal, action, resource);";
    let overflow = "@id(\"sum\") permit(principal, action, resource) when { context.params.deliver_at_ns + 9223372036854775807 > 0 };";
    let cases = [
        (Vec::new(), "Deny [] policy.denied"),
        (Vec::from([permit]), r#"Allow ["shop/Rules@1#0"] -"#),
        (Vec::from([annotated]), r#"NeedsApproval ["shop/Rules@1#0"] -"#),
        (Vec::from([annotated, permit]), r#"Allow ["shop/Rules@1#1"] -"#),
        (Vec::from([permit, annotated, permit]), r#"Allow ["shop/Rules@1#0", "shop/Rules@1#2"] -"#),
        (Vec::from([permit, annotated, forbid]), r#"Deny ["shop/Rules@1#never"] policy.denied"#),
        (Vec::from([permit, overflow]), r#"Deny ["shop/Rules@1#sum"] policy.error"#),
        (Vec::from([forbid, overflow]), r#"Deny ["shop/Rules@1#sum"] policy.error"#),
    ];
    let params = timer(1);
    for (text, expected) in cases {
        let text = text.concat();
        let decision = policies(&text).decide(&asks(Principal::Plan("shop/Pay@1"), &params)).unwrap();
        assert_eq!(line(&decision), expected, "{text}");
    }
}

#[test]
fn a_number_that_cedar_cannot_hold_denies_and_names_no_policy() {
    let policies = policies("permit(principal, action, resource);");
    let most = u64::try_from(i64::MAX).unwrap();
    let decide = |request: Request<'_>| line(&policies.decide(&request).unwrap());
    let (fits, over) = (timer(most), timer(most + 1));
    let plan = Principal::Plan("shop/Pay@1");
    assert_eq!(decide(asks(plan, &fits)), r#"Allow ["shop/Rules@1#0"] -"#);
    assert_eq!(decide(asks(plan, &over)), "Deny [] policy.range");
    let left = |bytes| Left { bytes: Some(bytes), ..Left::default() };
    assert_eq!(decide(Request { budget_left: left(most), ..asks(plan, &fits) }), r#"Allow ["shop/Rules@1#0"] -"#);
    assert_eq!(decide(Request { budget_left: left(most + 1), ..asks(plan, &fits) }), "Deny [] policy.range");
    assert_eq!(decide(Request { now_ns: u64::MAX, ..asks(plan, &fits) }), r#"Allow ["shop/Rules@1#0"] -"#);
}

#[test]
fn an_url_is_seen_in_its_normal_form() {
    let policies = policies(
        r#"permit(principal, action == Aos::Action::"http.request", resource == Aos::Grant::"web")
           when { context.params.host == "a.example" && context.params.port == 443 && context.params.path like "/v1/*" };"#,
    );
    let cases = [
        ("https://a.example/v1/x", "Allow"),
        ("https://A.EXAMPLE.:443/v0/../v1/x", "Allow"),
        ("https://a.example:444/v1/x", "Deny [] policy.denied"),
        ("https://a.example.evil/v1/x", "Deny [] policy.denied"),
        ("https://a.example/v1/../x", "Deny [] policy.denied"),
        ("https://u@a.example/v1/x", "Deny [] http.url"),
        ("ftp://a.example/v1/x", "Deny [] http.scheme"),
    ];
    for (url, expected) in cases {
        let params = Value::Record(BTreeMap::from([("url".to_string(), Value::Text(url.into()))]));
        let request = asks(Principal::Plan("shop/Pay@1"), &params);
        let decision = policies.decide(&Request { action: "http.request", grant: "web", ..request }).unwrap();
        assert!(line(&decision).starts_with(expected), "{url}: {}", line(&decision));
    }
}

#[test]
fn principals_that_the_manifest_does_not_know_are_weighed_as_they_are_given() {
    let policies = policies(r#"permit(principal, action, resource) when { principal.name == "shop/Gone@1" };"#);
    let params = timer(1);
    let decide = |principal| policies.decide(&asks(principal, &params)).unwrap().verdict;
    assert_eq!(
        decide(Principal::Plan("shop/Gone@1")),
        Verdict::Allow,
        "a plan that runs on after it left the manifest"
    );
    assert_eq!(decide(Principal::Plan("shop/Pay@1")), Verdict::Deny);
    assert_eq!(decide(Principal::Reducer("shop/Gone@1")), Verdict::Allow);
}

#[test]
fn approvers_decide_on_parked_intents_unless_a_policy_forbids_it() {
    let approver = [APPROVER.to_string()];
    let decide = |text: &str, roles: &[String], approve| {
        let parked = Parked { principal: "ann", roles, kind: "timer.set", grant: "clock", approve, now_ns: 0 };
        line(&policies(text).decide_parked(&parked).unwrap())
    };
    let built_in = r#"Allow ["sys/Decide@1#approver"] -"#;
    assert_eq!(decide("", &approver, true), built_in);
    assert_eq!(decide("", &approver, false), built_in);
    assert_eq!(decide("", &[], true), "Deny [] policy.denied");
    let not_timers = r#"@id("t") forbid(principal, action == Aos::Action::"effect.decide", resource) when { context.kind == "timer.set" && context.approve };"#;
    assert_eq!(decide(not_timers, &approver, true), r#"Deny ["shop/Rules@1#t"] policy.denied"#);
    assert_eq!(decide(not_timers, &approver, false), built_in);
    let ann =
        r#"@id("ann") permit(principal == Aos::Principal::"ann", action == Aos::Action::"effect.decide", resource);"#;
    assert_eq!(decide(ann, &[], true), r#"Allow ["shop/Rules@1#ann"] -"#);
    let all = "@approval(\"required\") permit(principal, action, resource);";
    assert_eq!(decide(all, &[], true), "Deny [] policy.denied", "an approval is not approved in turn");
    let rules = Vec::from([crate::def::Rule { when: Default::default(), decision: crate::def::Decision::Deny }]);
    let pack = Policies::new(pack::compile(&name(), &rules), GRANTS, []);
    let parked = Parked { principal: "ann", roles: &approver, kind: "x", grant: "clock", approve: true, now_ns: 0 };
    assert_eq!(line(&pack.decide_parked(&parked).unwrap()), built_in, "a pack speaks of effects");
}

/// Decides on a stack of so many bytes.
#[expect(clippy::disallowed_types, reason = "a stack of a known size is a thread's")]
fn decide_on_stack(policies: &Policies, bytes: usize) -> Result<Decision, Recursion> {
    let policies = policies.clone();
    let run = move || policies.decide(&asks(Principal::Plan("shop/Pay@1"), &timer(1)));
    std::thread::Builder::new().stack_size(bytes).spawn(run).unwrap().join().unwrap()
}

#[test]
fn the_deepest_policies_decide_within_a_mebibyte_and_a_small_stack_is_a_fault() {
    // `when`, its brackets, and eight for each pair inside.
    let pairs = (POLICY_DEPTH_MAX - 9) / 8;
    let nested = alloc::format!(
        "permit(principal, action, resource) when {{ {}true{} }};",
        "(".repeat(pairs),
        ")".repeat(pairs)
    );
    let chained = alloc::format!(
        "permit(principal, action, resource) when {{ true{} }};",
        " && true".repeat(POLICY_DEPTH_MAX - 9)
    );
    for text in [nested, chained] {
        assert!(measure::depth(&text) <= POLICY_DEPTH_MAX);
        let policies = policies(&text);
        assert!(decide_on_stack(&policies, 1 << 20).is_ok());
        assert_eq!(decide_on_stack(&policies, 64 << 10), Err(Recursion));
    }
    let rules = alloc::vec![crate::def::Rule { when: Default::default(), decision: crate::def::Decision::Deny }; PACK_RULES_MAX];
    let pack = Policies::new(pack::compile(&name(), &rules), GRANTS, []);
    assert_eq!(line(&decide_on_stack(&pack, 1 << 20).unwrap()), r#"Deny ["shop/Rules@1#0"] policy.denied"#);
}
