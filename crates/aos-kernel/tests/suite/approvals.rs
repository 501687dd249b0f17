//! Effects that wait for a principal: parked, listed, approved, denied, lapsed, and every word that does not count.

use aos_air::hash::Digest;
use aos_air::plan::Status;
use aos_kernel::gate::Spend;
use aos_kernel::id::WorldId;
use aos_kernel::input::{Actor, Body};
use aos_kernel::intent::Stage;
use aos_kernel::receipt::PrincipalDecision;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::outside::{Outside, attempt, cause, decided, signed, tell, tick};
use crate::site::{Site, branching, named, principal_key};
use crate::support::START_NS;

/// A world whose plan asks for one effect that a principal has to approve.
fn site() -> Site {
    let mut site = branching("t.ask", &json!({"q": "why", "n": 1}), "it");
    site.policy = json!({"rules": [{"when": {"effect_kind": "t.ask"}, "decision": "require_approval"}]});
    grant(&mut site, &json!({"budget": {"calls": 1}}));
    site
}

fn grant(site: &mut Site, more: &Value) {
    let mut grant = json!({"name": "it", "cap": "t/AskCap@1", "params": {}});
    grant.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let grants = site.grants.as_array_mut().unwrap();
    grants.retain(|grant| grant["name"] != "it");
    grants.push(grant);
}

fn decide(world: &mut Outside, who: &str, decision: &PrincipalDecision) -> &'static str {
    cause(&world.send(decided(who, decision)))
}

/// Parks one intent and returns a principal's approval of it.
fn parked(world: &mut Outside) -> PrincipalDecision {
    world.go(1);
    let intent = world.intent();
    assert!(matches!(intent.stage, Stage::Parked { .. }));
    assert_eq!((intent.reserved, world.budget("it").reserved), (Spend::ZERO, Spend::ZERO), "nothing is held yet");
    world.word(intent.id, true)
}

#[test]
fn an_approved_intent_leaves_and_is_answered() {
    let told = tell(&site(), |world| {
        let approval = parked(world);
        let id = approval.intent;
        // What waits is neither dispatched nor answered.
        let early = world.ok(&world.intent(), r#"{"a": 1}"#);
        assert_eq!(world.refused(signed(&early)), "receipt.intent_unknown");
        assert_eq!(world.refused(attempt(id)), "attempt.not_open");
        assert_eq!(decide(world, "ann", &approval), "ok");
        assert_eq!((world.intent().stage, world.budget("it").reserved.calls), (Stage::Open, 1));
        assert_eq!(decide(world, "ann", &approval), "decision.not_pending", "twice");
        assert_eq!(decide(world, "ann", &world.word(id, false)), "decision.not_pending");
        assert_eq!(cause(&world.send(attempt(id))), "ok");
        world.answer_only(1);
        assert_eq!((world.log(), world.budget("it").spent.calls), (vec!["note 1 good".to_owned()], 1));
        assert_eq!(world.bench.world.next_due_ns(&world.bench.blobs).unwrap(), None, "nothing lapses any more");
        assert_eq!(decide(world, "ann", &approval), "decision.not_pending", "after its end");
    });
    assert_snapshot!(told, @r#"
    > t/Go@1
    t/P@1 starts as 1
    asks t.ask under it
    parked by t/Rules@1#0
    > decision
    allowed, held 1/0/0/0 by t/Rules@1#0, said ann
    > decision
    failed: decision.not_pending
    > decision
    failed: decision.not_pending
    > attempt
    > receipt
    ended ok, spent 1/0/0/0
    event t/Note@1 {"n":1,"who":"good"} by 1:ok
    1 is done
    > decision
    failed: decision.not_pending
    "#);
}

#[test]
fn a_denied_intent_ends_and_the_plan_goes_on() {
    let told = tell(&site(), |world| {
        let approval = parked(world);
        let id = approval.intent;
        assert_eq!(decide(world, "ann", &PrincipalDecision { approve: false, ..approval.clone() }), "ok");
        assert_eq!((world.log(), world.intents().len()), (vec!["note 0 denied approval.denied".to_owned()], 0));
        assert_eq!(world.budget("it"), Default::default());
        assert_eq!(decide(world, "ann", &world.word(id, true)), "decision.not_pending");
    });
    assert_snapshot!(told, @r#"
    > t/Go@1
    t/P@1 starts as 1
    asks t.ask under it
    parked by t/Rules@1#0
    > decision
    denied approval.denied by sys/Decide@1#approver, said ann
    ended denied, spent 0/0/0/0
    event t/Note@1 {"n":0,"who":"denied approval.denied"} by 1:denied
    1 is done
    > decision
    failed: decision.not_pending
    "#);
}

#[test]
fn nobodys_word_in_time_is_a_denial() {
    let mut site = site();
    site.limits = json!({"approval_wait_ns": 1_000_000});
    let told = tell(&site, |world| {
        let approval = parked(world);
        let due = world.bench.world.next_due_ns(&world.bench.blobs).unwrap().unwrap();
        world.bench.now_ns = due - 2_000;
        assert_eq!(world.refused(tick()), "tick.early");
        world.tick();
        assert_eq!(world.log(), ["note 0 denied approval.expired"]);
        assert_eq!(decide(world, "ann", &approval), "decision.not_pending");
        assert_eq!((world.intents().len(), world.refused(tick())), (0, "tick.early"));
    });
    assert_snapshot!(told, @r#"
    > t/Go@1
    t/P@1 starts as 1
    asks t.ask under it
    parked by t/Rules@1#0
    > tick
    denied approval.expired
    ended denied, spent 0/0/0/0
    event t/Note@1 {"n":0,"who":"denied approval.expired"} by 1:denied
    1 is done
    > decision
    failed: decision.not_pending
    "#);
}

/// A word that came after the time, and before the tick that ends the intent, once counted.
#[test]
fn a_word_after_the_time_does_not_count_before_the_tick_either() {
    let mut site = site();
    site.limits = json!({"approval_wait_ns": 1_000_000});
    tell(&site, |world| {
        let approval = parked(world);
        let due = world.bench.world.next_due_ns(&world.bench.blobs).unwrap().unwrap();
        world.bench.now_ns = due - 1_000;
        assert_eq!(decide(world, "ann", &approval), "decision.not_pending");
        world.tick();
        assert_eq!(world.log(), ["note 0 denied approval.expired"]);
    });
}

#[test]
fn a_word_that_does_not_count_changes_nothing() {
    tell(&site(), |world| {
        let approval = parked(world);
        let other = Digest::of(b"other");
        let now_ns = world.bench.now_ns;
        let cases = [
            ("bob", approval.clone(), "decision.not_permitted"),
            ("bob", PrincipalDecision { approve: false, ..approval.clone() }, "decision.not_permitted"),
            ("ann", PrincipalDecision { manifest: other, ..approval.clone() }, "decision.stale"),
            ("ann", PrincipalDecision { manifest_seq: 1, ..approval.clone() }, "decision.stale"),
            ("ann", PrincipalDecision { expires_at_ns: now_ns, ..approval.clone() }, "decision.stale"),
            (
                "ann",
                PrincipalDecision { intent: aos_kernel::id::IntentId(other), ..approval.clone() },
                "decision.not_pending",
            ),
        ];
        for (who, decision, code) in cases {
            assert_eq!(decide(world, who, &decision), code);
            assert!(matches!(world.intent().stage, Stage::Parked { .. }));
        }
        // What is no word of a known principal is not even admitted.
        let mut forged = decided("bob", &approval);
        forged.actor = Actor::Principal("ann".into());
        assert_eq!(world.refused(forged), "decision.signature");
        let mut unknown = decided("ann", &approval);
        unknown.actor = Actor::Principal("eve".into());
        assert_eq!(world.refused(unknown), "actor.unknown");
        let elsewhere = PrincipalDecision { world: WorldId(other), ..approval.clone() };
        assert_eq!(world.refused(decided("ann", &elsewhere)), "decision.world");
        let mut short = decided("ann", &approval);
        if let Body::Decision(signed) = &mut short.body {
            signed.bytes.pop();
        }
        assert_eq!(world.refused(short), "decision.form");
        let mut host = decided("ann", &approval);
        host.actor = Actor::Host;
        assert_eq!(world.refused(host), "actor.body");
        assert_ne!(principal_key("ann"), principal_key("bob"));
        assert_eq!(decide(world, "ann", &approval), "ok", "none of them has used it up");
    });
}

#[test]
fn the_gate_judges_again_at_the_release() {
    // The grant ends while the intent waits.
    let mut expiring = site();
    grant(&mut expiring, &json!({"expiry_ns": START_NS + 1_000_000, "budget": {"calls": 1}}));
    let told = tell(&expiring, |world| {
        let approval = parked(world);
        world.bench.now_ns = START_NS + 1_000_000;
        assert_eq!(decide(world, "ann", &approval), "ok");
        assert_eq!(world.log(), ["note 0 denied cap.expired"]);
        assert_eq!((world.intents().len(), world.budget("it")), (0, Default::default()));
    });
    assert_snapshot!(told, @r#"
    > t/Go@1
    t/P@1 starts as 1
    asks t.ask under it
    parked by t/Rules@1#0
    > decision
    denied cap.expired, said ann
    ended denied, spent 0/0/0/0
    event t/Note@1 {"n":0,"who":"denied cap.expired"} by 1:denied
    1 is done
    "#);
    // Two wait, and the budget is for one.
    tell(&site(), |world| {
        world.go(1);
        world.go(1);
        let [first, second] = [0, 1].map(|index| world.intents()[index].id);
        assert_eq!(decide(world, "ann", &world.word(second, true)), "ok");
        assert_eq!(world.budget("it").reserved.calls, 1);
        assert_eq!(decide(world, "ann", &world.word(first, true)), "ok");
        assert_eq!(world.log(), ["note 0 denied budget.exceeded"]);
        assert_eq!(world.intent().id, second);
        // What was never done gives its part back, but no intent that was denied comes back for it.
        let receipt = world.not_ok(&world.intent(), Status::Cancelled, "t.stopped");
        world.answer(&aos_kernel::receipt::Receipt { cost: Spend::ZERO, ..receipt });
        assert_eq!(world.budget("it"), Default::default());
        assert_eq!(decide(world, "ann", &world.word(first, true)), "decision.not_pending");
    });
}

#[test]
fn a_step_that_waits_no_longer_ends_what_is_parked() {
    let mut site = site();
    for step in site.plans[0]["steps"].as_array_mut().unwrap() {
        if step["id"] == "wait" {
            step["timeout_ns"] = json!(1_000_000);
        }
    }
    tell(&site, |world| {
        let approval = parked(world);
        let early = world.ok(&world.intent(), r#"{"a": 1}"#);
        world.tick();
        assert_eq!(world.log(), ["note 0 timeout plan.await_timeout"]);
        assert_eq!((world.intents().len(), world.budget("it")), (0, Default::default()));
        // It never left, so that no answer to it costs anything; once one did, and blocked the grant.
        world.answer(&early);
        assert_eq!(world.budget("it"), Default::default());
        assert_eq!(decide(world, "ann", &approval), "decision.not_pending");
        assert_eq!(world.bench.world.next_due_ns(&world.bench.blobs).unwrap(), None);
    });
}

/// A policy says who may decide: roles are one way, names another, and a forbid beats both.
#[test]
fn a_policy_says_who_decides() {
    let mut site = site();
    site.policy = json!({"cedar": r#"
        @approval("required") permit (principal, action == Aos::Action::"t.ask", resource);
        @id("bob") permit (principal == Aos::Principal::"bob", action == Aos::Action::"effect.decide", resource);
        @id("no") forbid (principal == Aos::Principal::"ann", action == Aos::Action::"effect.decide", resource) when { context.approve };"#});
    tell(&site, |world| {
        let approval = parked(world);
        assert_eq!(decide(world, "ann", &approval), "decision.not_permitted");
        assert_eq!(decide(world, "bob", &approval), "ok");
        assert_eq!(world.intent().stage, Stage::Open);
        world.go(1);
        let other = world.intents()[1].id;
        assert_eq!(decide(world, "ann", &world.word(other, false)), "ok", "she may still deny");
        assert_eq!(world.log(), ["note 0 denied approval.denied"]);
    });
}

/// A plan that waits for a word and another that does not share the budget: what is parked holds nothing of it.
#[test]
fn what_is_parked_does_not_keep_others_from_the_budget() {
    let mut site = site();
    let free = branching("t.ask", &json!({"q": "why", "n": 1}), "it").plans.remove(0);
    site.plans.push(named("t/Q@1", "t/Hint@1", free));
    site.triggers.as_array_mut().unwrap().push(json!({"event": "t/Hint@1", "plan": "t/Q@1"}));
    site.policy = json!({"rules": [{"when": {"origin_name": "t/Q@1"}, "decision": "allow"},
        {"when": {"effect_kind": "t.ask"}, "decision": "require_approval"}]});
    tell(&site, |world| {
        let approval = parked(world);
        world.event("t/Hint@1", r#"{"n": 1, "who": "x"}"#);
        assert_eq!(world.budget("it").reserved.calls, 1, "it fits although another waits");
        assert_eq!(decide(world, "ann", &approval), "ok");
        assert_eq!(world.log(), ["note 0 denied budget.exceeded"]);
    });
}
