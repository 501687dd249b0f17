//! Effects of plans through a whole world: what the gate says, how they end, and what the plan makes of it.

use aos_air::hash::Digest;
use aos_air::plan::Status;
use aos_kernel::genesis::EffectMode;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::outside::tell;
use crate::site::{Site, ask, branching, chain, note, wait};

fn http(members: &Value) -> Value {
    let mut params = json!({"method": "GET", "url": "https://api.example.com/v1/items", "headers": {}});
    merge(&mut params, members);
    params
}

fn llm(members: &Value) -> Value {
    let input = Digest::of(b"prompt").to_string();
    let mut params =
        json!({"provider": "local", "model": "small", "temperature": "0", "max_tokens": 100, "input_ref": input});
    merge(&mut params, members);
    params
}

fn merge(into: &mut Value, members: &Value) {
    into.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
}

/// A grant `it` besides those that the reducer's slots have.
fn granted(site: &mut Site, cap: &str, params: &Value, more: &Value) {
    let mut grant = json!({"name": "it", "cap": cap, "params": params});
    merge(&mut grant, more);
    site.grants.as_array_mut().unwrap().push(grant);
}

/// A world whose plan asks for one effect under a grant.
fn site(kind: &str, params: &Value, cap: &str, constraints: &Value, more: &Value) -> Site {
    let mut site = branching(kind, params, "it");
    granted(&mut site, cap, constraints, more);
    site
}

/// Runs the plan and returns what it wrote down, and the policies that decided.
fn denied(site: &Site) -> (String, String) {
    let told = tell(site, |world| {
        world.go(1);
        assert_eq!((world.intents().len(), world.running()), (0, vec![]));
        assert_eq!(world.log().len(), 1);
        assert_eq!(world.budget("it"), Default::default(), "what is denied costs nothing");
    });
    let line = |start: &str| told.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned();
    let note = line("event t/Note@1");
    let who = note.split('"').nth(5).unwrap_or_else(|| panic!("{told}")).to_owned();
    (who, line("denied ").split_once(" by ").map(|(_, policies)| policies.to_owned()).unwrap_or_default())
}

#[test]
fn every_denial_is_an_outcome_that_a_plan_branches_on() {
    let out = json!({"hosts": ["api.example.com"], "path_prefixes": ["/v1"], "body_bytes_max": 10});
    let basic = json!({"providers": ["local"], "models": ["small"], "max_tokens": 100, "tools_allow": ["search"],
        "prompt_tokens_max": 400, "cents_max": 5});
    let none = json!({});
    let to = |url: &str| http(&json!({"url": url}));
    let blob = |params: Value| ("blob.put", params, "sys/blob@1", json!({}));
    let request = |params: Value| ("http.request", params, "sys/http.out@1", out.clone());
    let model = |members: Value| ("llm.generate", llm(&members), "sys/llm.basic@1", basic.clone());
    let own = |q: &str, n: Value, cap| ("t.ask", json!({"q": q, "n": n}), cap, json!({}));
    let input = json!({"ref": "@plan.input.who"});
    let digest = Digest::of(b"blob").to_string();
    let cases = [
        (own("why", json!(1), "t/AskCap@1"), json!({"expiry_ns": 5}), "cap.expired"),
        (own("trap", json!(1), "t/MeterCap@1"), none.clone(), "cap.enforcer"),
        (own("nonsense", json!(1), "t/MeterCap@1"), none.clone(), "cap.enforcer"),
        (own("error", json!(1), "t/MeterCap@1"), none.clone(), "cap.enforcer"),
        (own("why", json!(101), "t/MeterCap@1"), none.clone(), "t.too_much"),
        (own("why", json!(50), "t/MeterCap@1"), json!({"budget": {"tokens": 49}}), "budget.exceeded"),
        (own("free", json!(50), "t/MeterCap@1"), json!({"budget": {"tokens": 49}}), "budget.unbounded"),
        (own("why", json!(1), "t/AskCap@1"), json!({"budget": {"calls": 0}}), "budget.exceeded"),
        (own("why", json!(1), "t/AskCap@1"), json!({"budget": {"cents": 5}}), "budget.unbounded"),
        (own("why", json!(u64::MAX), "t/AskCap@1"), none.clone(), "policy.range"),
        (request(to("https://ann@api.example.com/v1")), none.clone(), "http.url"),
        (request(to("http://api.example.com/v1")), none.clone(), "http.scheme"),
        (request(to("https://api.example.com.evil.test/v1")), none.clone(), "http.host"),
        (request(to("https://api.example.com:444/v1")), none.clone(), "http.port"),
        (request(http(&json!({"method": "POST"}))), none.clone(), "http.method"),
        (request(to("https://api.example.com/v1/../v2")), none.clone(), "http.path"),
        (request(http(&json!({"headers": {"authorization": "Bearer x"}}))), none.clone(), "secret.literal"),
        (request(http(&json!({"auth": {"secret": input, "header": "x-key"}}))), none.clone(), "secret.unknown"),
        (request(http(&none)), json!({"budget": {"bytes": 19}}), "budget.exceeded"),
        (request(http(&none)), json!({"budget": {"tokens": 0, "calls": 0}}), "budget.exceeded"),
        (model(json!({"provider": "cloud"})), none.clone(), "llm.provider"),
        (model(json!({"model": "large"})), none.clone(), "llm.model"),
        (model(json!({"max_tokens": 101})), none.clone(), "llm.max_tokens"),
        (model(json!({"tools": ["search", "shell"]})), none.clone(), "llm.tools"),
        (model(json!({"api_key": input})), none.clone(), "secret.unknown"),
        (model(json!({})), json!({"budget": {"tokens": 499}}), "budget.exceeded"),
        (model(json!({})), json!({"budget": {"cents": 4}}), "budget.exceeded"),
        (model(json!({})), json!({"budget": {"bytes": 1000}}), "budget.unbounded"),
        (blob(json!({"bytes": "aGVsbG8=", "blob_ref": digest})), none.clone(), "effect.params"),
        (blob(json!({"bytes": "aGVsbG8="})), json!({"budget": {"bytes": 4}}), "budget.exceeded"),
        (blob(json!({"blob_ref": digest})), json!({"budget": {"bytes": 4}}), "budget.unbounded"),
    ];
    for ((kind, params, cap, constraints), more, code) in cases {
        let site = site(kind, &params, cap, &constraints, &more);
        assert_eq!(denied(&site).0, format!("denied {code}"), "{kind} {params} {more}");
    }
}

#[test]
fn a_policys_denial_names_the_policies() {
    let ask = |policy: Value| {
        let site =
            site("t.ask", &json!({"q": "why", "n": {"ref": "@plan.input.n"}}), "t/AskCap@1", &json!({}), &json!({}));
        denied(&Site { policy, ..site })
    };
    let rule = |when: Value, decision: &str| json!({"rules": [{"when": when, "decision": decision}]});
    let denies = |text: &str| ("denied policy.denied".to_owned(), text.to_owned());
    assert_eq!(ask(json!({"rules": []})), denies(""));
    assert_eq!(ask(rule(json!({"effect_kind": "timer.set"}), "allow")), denies(""));
    assert_eq!(ask(rule(json!({"origin_kind": "reducer"}), "allow")), denies(""));
    assert_eq!(ask(rule(json!({"cap_name": "it"}), "deny")), denies("t/Rules@1#0"));
    let cedar = |text: &str| ask(json!({"cedar": text}));
    let permit = r#"@id("all") permit (principal, action, resource);"#;
    let forbid =
        r#"@id("one") forbid (principal, action == Aos::Action::"t.ask", resource) when { context.params.n == 1 };"#;
    assert_eq!(cedar(&format!("{permit} {forbid}")), denies("t/Rules@1#one"));
    let overflows = r#"@id("sum") permit (principal, action == Aos::Action::"t.ask", resource)
        when { context.params.n + 9223372036854775807 > 0 };"#;
    assert_eq!(cedar(overflows), ("denied policy.error".into(), "t/Rules@1#sum".into()));
}

#[test]
fn a_secret_serves_the_grants_and_plans_that_it_names() {
    let named = |members: Value| {
        let auth = json!({"auth": {"secret": "t/Key@1", "header": "x-key"}});
        let out = json!({"hosts": ["api.example.com"]});
        let mut site = site("http.request", &http(&auth), "sys/http.out@1", &out, &json!({}));
        let mut secret = json!({"name": "t/Key@1", "binding_id": "key"});
        merge(&mut secret, &members);
        site.secrets.push(secret);
        site
    };
    for members in [json!({"allowed_caps": ["ask"]}), json!({"allowed_caps": []}), json!({"allowed_plans": []})] {
        assert_eq!(denied(&named(members.clone())).0, "denied secret.not_allowed", "{members}");
    }
    for members in [json!({}), json!({"allowed_caps": ["it"], "allowed_plans": ["t/P@1"]})] {
        let told = tell(&named(members), |world| drop(world.go(1)));
        assert!(told.contains("allowed, held 1/0/0/0"), "{told}");
    }
}

#[test]
fn a_world_that_denies_effects_denies_them_all() {
    let site = site("t.ask", &json!({"q": "why", "n": 1}), "t/AskCap@1", &json!({}), &json!({}));
    assert_eq!(denied(&Site { mode: EffectMode::Deny, ..site }).0, "denied effect.mode");
}

#[test]
fn no_more_intents_are_open_than_may_be() {
    let mut site = branching("t.ask", &json!({"q": "why", "n": 1}), "ask");
    site.limits = json!({"intents_open_max": 2});
    tell(&site, |world| {
        for _ in 0..3 {
            world.go(1);
        }
        assert_eq!(world.log(), ["note 0 denied limit.intents_open"]);
        // Each end makes room for one, whatever the end: the count does not drift.
        for _ in 0..4 {
            let first = world.intents()[0].clone();
            let receipt = world.not_ok(&first, Status::Failed, "t.broke");
            world.answer(&receipt);
            assert_eq!(world.intents().len(), 1);
            world.go(1);
            world.go(1);
            assert_eq!(world.intents().len(), 2);
        }
    });
}

/// The whole life of an effect, in the words of its frames.
#[test]
fn an_effect_is_asked_for_allowed_answered_and_gone_on_from() {
    let site = branching("t.ask", &json!({"q": "why", "n": 1}), "ask");
    let told = tell(&site, |world| {
        world.go(1);
        let intent = world.intent();
        assert_eq!((intent.kind.as_str(), intent.class.word(), intent.grant.as_str()), ("t.ask", "once", "ask"));
        assert_eq!(intent.params, world.value("t/Ask@1", r#"{"q": "why", "n": 1}"#));
        world.answer_only(5);
        assert_eq!((world.log(), world.running()), (vec!["note 1 good".to_owned()], vec![]));
    });
    assert_snapshot!(told, @r#"
    > t/Go@1
    t/P@1 starts as 1
    asks t.ask under ask
    allowed, held 1/0/0/0 by t/Rules@1#0
    > receipt
    ended ok, spent 1/0/0/0
    event t/Note@1 {"n":1,"who":"good"} by 1:ok
    1 is done
    "#);
}

#[test]
fn every_end_but_ok_can_be_branched_on() {
    for status in [Status::Failed, Status::Timeout, Status::InDoubt, Status::Cancelled] {
        let site = branching("t.ask", &json!({"q": "why", "n": 1}), "ask");
        tell(&site, |world| {
            world.go(1);
            let receipt = world.not_ok(&world.intent(), status, "t.broke");
            world.answer(&receipt);
            assert_eq!(world.log(), [format!("note 0 {} t.broke", status.word())]);
            assert_eq!((world.intents().len(), world.running()), (0, vec![]));
        });
    }
}

#[test]
fn an_end_that_nobody_branches_on_fails_the_plan_and_nothing_else() {
    let steps = json!([ask("ask", "ask", &json!(1)), wait("wait", "ask"), note("tell", &json!(1), &json!("done"))]);
    let site = Site::of(steps.clone(), chain(&["ask", "wait", "tell"]).into());
    let told = tell(&site, |world| {
        world.go(1);
        let receipt = world.not_ok(&world.intent(), Status::Failed, "t.broke");
        world.answer(&receipt);
        assert_eq!((world.log().len(), world.intents().len(), world.running()), (0, 0, vec![]));
    });
    assert_snapshot!(told, @"
    > t/Go@1
    t/P@1 starts as 1
    asks t.ask under ask
    allowed, held 1/0/0/0 by t/Rules@1#0
    > receipt
    ended failed, spent 1/0/0/0
    1 fails: plan.effect_failed step wait at t.broke
    ");
    let told = tell(&Site { policy: json!({"rules": []}), ..site }, |world| drop(world.go(1)));
    assert_snapshot!(told, @"
    > t/Go@1
    t/P@1 starts as 1
    asks t.ask under ask
    denied policy.denied
    1 fails: plan.effect_failed step wait at policy.denied
    ");
}

/// What an instance that has ended asked for is answered to nobody.
#[test]
fn an_answer_after_the_plan_settles_and_resumes_nothing() {
    let steps = json!([ask("ask", "ask", &json!(1)), wait("wait", "ask"), {"id": "end", "op": "end"}]);
    let edges = json!([{"from": "ask", "to": "wait"}, {"from": "ask", "to": "end"}]);
    let told = tell(&Site::of(steps, edges), |world| {
        world.go(1);
        assert_eq!((world.running(), world.intents().len()), (vec![], 1));
        world.answer_only(5);
        assert_eq!(world.intents().len(), 0);
    });
    assert_snapshot!(told, @"
    > t/Go@1
    t/P@1 starts as 1
    asks t.ask under ask
    allowed, held 1/0/0/0 by t/Rules@1#0
    1 is done
    > receipt
    ended ok, spent 1/0/0/0
    ");
}
