//! How plans fail and what stops them: each failure by its code and step, each limit, and the world as it was.

use aos_air::hash::Digest;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::outside::{cause, signed, tell};
use crate::plans::{assign, eq, go_for, hear, hint, nat};
use crate::site::{Site, ask, chain, note, wait};

#[test]
fn a_plan_that_fails_says_where_and_harms_nothing() {
    let over = json!({"op": "sub", "args": [nat(0), {"ref": "@plan.input.n"}]});
    let plan = |steps: Value, more: Value| {
        let mut plan = json!({"steps": steps});
        plan.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        plan
    };
    let skipped = json!([assign("a", &nat(1)), assign("b", &nat(1)), assign("c", &json!({"ref": "@var:b_got"}))]);
    let to_b = json!([{"from": "a", "to": "b", "when": false}, {"from": "b", "to": "c"}, {"from": "a", "to": "c"}]);
    let asked = json!([assign("a", &nat(1)), ask("b", "ask", &json!(1)), wait("c", "b")]);
    let cases = [
        (plan(json!([assign("a", &over)]), json!({})), "expr.overflow step a at sub"),
        (
            plan(
                json!([assign("a", &json!({"op": "div", "args": [nat(1), {"op": "sub", "args": [nat(1), nat(1)]}]}))]),
                json!({}),
            ),
            "expr.division step a at div",
        ),
        (
            plan(
                json!([assign("a", &json!({"op": "get", "args": [{"ref": "@plan.input.flags"}, nat(9)]}))]),
                json!({}),
            ),
            "expr.missing step a at get",
        ),
        (plan(skipped, json!({"edges": to_b.clone()})), "expr.missing step c at @var:b_got"),
        (plan(asked, json!({"edges": to_b})), "plan.handle_unbound step c at b_id"),
        (
            plan(
                json!([assign("a", &nat(7))]),
                json!({"invariants": [{"op": "lt", "args": [{"ref": "@var:a_got"}, nat(7)]}]}),
            ),
            "plan.invariant_violation step a at /invariants/0",
        ),
        (
            plan(
                json!([assign("a", &nat(7)), {"id": "end", "op": "end", "result": 1}]),
                json!({"output": "t/Out@1", "edges": [{"from": "a", "to": "end", "when": false}]}),
            ),
            "plan.no_result step - at ",
        ),
    ];
    for (plan, failure) in cases {
        let told = tell(&Site::with(plan), |world| {
            let frame = world.go(1);
            assert_eq!((cause(&frame), world.running()), ("ok", vec![]), "a plan's failure is no failure of the world");
        });
        assert!(told.contains(&format!("1 fails: {failure}")), "{told}");
    }
    // A filter that cannot be looked at fails the instance at the step that waits, not the event.
    let steps =
        json!([hear("hear", "t/Hint@1", &eq(json!({"op": "div", "args": [nat(8), {"ref": "@event.n"}]}), nat(4)))]);
    let told = tell(&Site::of(steps, json!([])), |world| {
        world.go(1);
        assert_eq!(hint(world, 3, "x"), "ok");
        assert_eq!((hint(world, 0, "x"), world.running()), ("ok", vec![]));
    });
    assert!(told.contains("1 fails: expr.division step hear at div"), "{told}");
}

#[test]
fn a_plan_ends_where_what_its_step_led_to_fails() {
    let steps = json!([
        ask("ask", "ask", &json!(1)),
        wait("wait", "ask"),
        note("good", &json!(1), &json!("good")),
        note("tell", &json!(2), &json!("trap"))
    ]);
    let site = Site::of(steps, chain(&["ask", "wait", "good", "tell"]).into());
    let told = tell(&site, |world| {
        world.go(1);
        let intent = world.intent();
        let receipt = world.ok(&intent, r#"{"a": 1}"#);
        let frame = world.answer(&receipt);
        assert_eq!(cause(&frame), "guest.trap");
        // The receipt is recorded, the world is as it was, and the instance has ended.
        assert_eq!((world.log().len(), world.running(), world.intents().len()), (0, vec![], 0));
        assert_eq!(world.budget("ask").spent.calls, 1);
        assert_eq!(world.refused(signed(&receipt)), "receipt.duplicate");
    });
    assert_snapshot!(told, @"
    > t/Go@1
    t/P@1 starts as 1
    asks t.ask under ask
    allowed, held 1/0/0/0 by t/Rules@1#0
    > receipt
    ended ok, spent 1/0/0/0
    1 fails: plan.step_failed step tell at guest.trap
    failed: guest.trap
    ");
}

#[test]
fn a_plan_that_fails_as_it_starts_takes_its_event_with_it() {
    let site = Site::of(json!([note("tell", &json!(2), &json!("refuse"))]), json!([]));
    let told = tell(&site, |world| {
        world.go(1);
        assert_eq!((world.log().len(), world.running()), (0, vec![]));
    });
    assert_snapshot!(told, @"
    > t/Go@1
    failed: reducer.refused at not this one
    ");
}

#[test]
fn an_instance_that_an_event_woke_ends_where_it_fails_and_the_others_wait_on() {
    let steps =
        json!([hear("hear", "t/Hint@1", &Value::Null), note("tell", &json!(1), &json!({"ref": "@plan.input.who"}))]);
    let site = Site::of(steps, chain(&["hear", "tell"]).into());
    let told = tell(&site, |world| {
        for who in ["ann", "trap", "bob"] {
            go_for(world, 1, who);
        }
        assert_eq!(hint(world, 1, "x"), "guest.trap");
        assert_eq!((world.running(), world.log().len()), (vec![1, 3], 0), "only the one that failed has ended");
        assert_eq!(hint(world, 1, "x"), "ok");
        assert_eq!((world.running(), world.log()), (vec![], vec!["note 1 ann".to_owned(), "note 1 bob".to_owned()]));
    });
    assert_snapshot!(told, @r#"
    > t/Go@1
    t/P@1 starts as 1
    > t/Go@1
    t/P@1 starts as 2
    > t/Go@1
    t/P@1 starts as 3
    > t/Hint@1
    2 fails: plan.step_failed step tell at guest.trap
    failed: guest.trap
    > t/Hint@1
    event t/Note@1 {"n":1,"who":"ann"} by 1:tell
    event t/Note@1 {"n":1,"who":"bob"} by 3:tell
    1 is done
    3 is done
    "#);
}

#[test]
fn a_frame_takes_no_more_steps_than_it_may() {
    let many: Vec<Value> = (0..6).map(|n| assign(&format!("a{n}"), &nat(n))).collect();
    for (limit, expected) in [(7, "ok"), (6, "limit.steps_per_frame")] {
        let mut site = Site::of(json!(many), json!([]));
        site.limits = json!({"steps_per_frame_max": limit});
        tell(&site, |world| {
            assert_eq!(cause(&world.go(1)), expected);
            assert_eq!(world.running(), Vec::<u64>::new());
        });
    }
    // A resumed one ends there: it could not be resumed like this again.
    let rest: Vec<String> =
        ["ask", "wait"].map(String::from).into_iter().chain((0..6).map(|n| format!("a{n}"))).collect();
    let steps: Vec<Value> = [ask("ask", "ask", &json!(1)), wait("wait", "ask")].into_iter().chain(many).collect();
    let mut site = Site::of(json!(steps), chain(&rest.iter().map(String::as_str).collect::<Vec<_>>()).into());
    site.limits = json!({"steps_per_frame_max": 5});
    let told = tell(&site, |world| {
        world.go(1);
        assert_eq!(cause(&world.answer_only(1)), "limit.steps_per_frame");
        assert_eq!((world.running(), world.intents().len()), (vec![], 0));
    });
    assert!(
        told.ends_with("1 fails: plan.step_failed step ask at limit.steps_per_frame\nfailed: limit.steps_per_frame"),
        "{told}"
    );
}

/// Plans that start each other end with the frame.
#[test]
fn plans_that_start_each_other_are_stopped() {
    let again = json!({"id": "again", "op": "raise_event", "event": "t/Go@1",
        "value": {"n": 1, "who": "x", "flags": {"list": []}}});
    let again = Site::of(json!([again]), json!([]));
    tell(&again, |world| {
        assert_eq!(cause(&world.go(1)), "limit.events_per_frame");
        assert_eq!(world.running(), Vec::<u64>::new());
    });
}

#[test]
fn no_more_instances_run_than_may() {
    let mut site = Site::of(json!([hear("hear", "t/Hint@1", &Value::Null)]), json!([]));
    site.limits = json!({"instances_max": 2});
    tell(&site, |world| {
        for round in 0..3 {
            assert_eq!(
                [cause(&world.go(1)), cause(&world.go(1)), cause(&world.go(1))],
                ["ok", "ok", "limit.instances"]
            );
            assert_eq!(world.running(), [2 * round + 1, 2 * round + 2]);
            hint(world, 1, "x");
            assert_eq!(world.running(), Vec::<u64>::new());
        }
    });
}

#[test]
fn an_instance_that_grows_too_large_ends() {
    let double = json!({"op": "concat", "args": [{"ref": "@plan.input.who"}, {"ref": "@plan.input.who"}]});
    let steps = json!([
        ask("ask", "ask", &json!(1)),
        wait("wait", "ask"),
        assign("more", &double),
        hear("hear", "t/Hint@1", &Value::Null)
    ]);
    let mut site = Site::of(steps, chain(&["ask", "wait", "more", "hear"]).into());
    site.limits = json!({"instance_bytes_max": 1000});
    let told = tell(&site, |world| {
        go_for(world, 1, &"x".repeat(400));
        assert_eq!(world.running(), [1]);
        assert_eq!(cause(&world.answer_only(1)), "ok");
        assert_eq!((world.running(), world.intents().len()), (vec![], 0));
        go_for(world, 1, &"x".repeat(1000));
        assert_eq!(world.running(), Vec::<u64>::new());
    });
    assert!(told.contains("1 fails: limit.instance_bytes step - at"), "{told}");
    assert!(told.contains("2 fails: limit.instance_bytes step - at"), "{told}");
}

/// A step whose event or parameters are too large once failed the frame, and with it the event that started the plan.
#[test]
fn a_step_that_hands_out_too_much_ends_its_plan_alone() {
    let who = json!({"ref": "@plan.input.who"});
    let twice = json!({"op": "concat", "args": [who.clone(), who]});
    let asks = json!({"id": "big", "op": "emit_effect", "kind": "t.ask", "params": {"q": twice.clone(), "n": 1}, "cap": "ask",
        "bind": {"effect_id_as": "big_id"}});
    for step in [note("big", &json!(1), &twice), asks] {
        let mut site = Site::of(json!([step]), json!([]));
        site.limits = json!({"event_bytes_max": 300});
        let told = tell(&site, |world| {
            go_for(world, 1, &"x".repeat(100));
            go_for(world, 1, &"x".repeat(200));
            assert_eq!((world.running(), world.log().len() + world.intents().len()), (vec![], 1));
        });
        assert!(told.ends_with("t/P@1 starts as 2\n2 fails: limit.event_bytes step big at "), "{told}");
    }
}

/// What plans come to is part of the frame, and counts into its bytes.
#[test]
fn results_count_into_the_frame() {
    let plan = json!({"steps": [{"id": "end", "op": "end", "result": {"ref": "@plan.input"}}], "output": "t/Go@1"});
    for (bytes, expected) in [(1_000, "ok"), (2_400, "limit.frame_bytes")] {
        let mut site = Site::with(plan.clone());
        site.limits = json!({"frame_bytes_max": 4_000});
        tell(&site, |world| {
            let text = format!(r#"{{"n": 1, "who": "{}", "flags": []}}"#, "x".repeat(bytes));
            assert_eq!(cause(&world.event("t/Go@1", &text)), expected);
        });
    }
}

/// An answer too large for its frame once left its instance waiting forever, where no step waited for it yet.
#[test]
fn an_answer_that_is_lost_with_its_frame_ends_the_instance() {
    let digest = Digest::of(b"large");
    let get = json!({"id": "ask", "op": "emit_effect", "kind": "blob.get", "cap": "store",
        "params": {"blob_ref": digest.to_string(), "inline_max": 3000}, "bind": {"effect_id_as": "ask_id"}});
    let steps = json!([get, hear("hear", "t/Hint@1", &Value::Null), wait("wait", "ask")]);
    let mut site = Site::of(steps, chain(&["ask", "hear", "wait"]).into());
    site.limits = json!({"frame_bytes_max": 2_000});
    let told = tell(&site, |world| {
        world.go(1);
        let bytes = "A".repeat(4_000);
        let payload = format!(r#"{{"blob_ref": "{digest}", "size": 3000, "bytes": "{bytes}"}}"#);
        let receipt = world.ok(&world.intent(), &payload);
        assert_eq!(cause(&world.answer(&receipt)), "limit.frame_bytes");
        assert_eq!((world.running(), world.intents().len()), (vec![], 0));
    });
    assert!(told.contains("1 fails: plan.step_failed step ask at limit.frame_bytes"), "{told}");
}
