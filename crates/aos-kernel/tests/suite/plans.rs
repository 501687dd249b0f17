//! Plans through a whole world: their steps, their triggers, their timeouts, their failures, their limits.

use aos_air::plan::Status;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::clerk::{Errand, Note};
use crate::outside::{Outside, cause, tell};
use crate::site::{Site, ask, chain, named, note, wait, when};

pub fn nat(n: u64) -> Value {
    json!({"nat": n})
}

pub fn assign(id: &str, expr: &Value) -> Value {
    json!({"id": id, "op": "assign", "expr": expr, "bind": {"as": format!("{id}_got")}})
}

pub fn hear(id: &str, event: &str, filter: &Value) -> Value {
    let mut step = json!({"id": id, "op": "await_event", "event": event, "bind": {"as": format!("{id}_got")}});
    if !filter.is_null() {
        step["where"] = filter.clone();
    }
    step
}

pub fn eq(left: Value, right: Value) -> Value {
    json!({"op": "eq", "args": [left, right]})
}

pub fn number_is(n: u64) -> Value {
    eq(json!({"ref": "@event.n"}), nat(n))
}

pub fn hint(world: &mut Outside, n: u64, who: &str) -> &'static str {
    cause(&world.event("t/Hint@1", &format!(r#"{{"n": {n}, "who": "{who}"}}"#)))
}

pub fn say(n: u64, who: &str) -> Errand {
    Errand::Say(Note { n, who: who.into() })
}

pub fn go_for(world: &mut Outside, n: u64, who: &str) {
    world.event("t/Go@1", &format!(r#"{{"n": {n}, "who": "{who}", "flags": []}}"#));
}

#[test]
fn every_kind_of_step_does_its_part() {
    let sum = json!({"op": "add", "args": [{"ref": "@var:wait_got.a"}, {"ref": "@var:hear_got.n"}]});
    let steps = json!([ask("ask", "ask", &json!({"ref": "@plan.input.n"})), wait("wait", "ask"), hear("hear", "t/Hint@1", &Value::Null),
        assign("sum", &sum), note("tell", &json!({"ref": "@var:sum_got"}), &json!({"ref": "@plan.input.who"})),
        {"id": "end", "op": "end", "result": {"ref": "@var:sum_got"}}]);
    let edges = chain(&["ask", "wait", "hear", "sum", "tell", "end"]);
    let site = Site::with(json!({"steps": steps, "edges": edges, "output": "t/Out@1"}));
    let told = tell(&site, |world| {
        world.go(3);
        world.answer_only(4);
        hint(world, 5, "bob");
        assert_eq!((world.log(), world.running()), (vec!["note 9 ann".to_owned()], vec![]));
    });
    assert_snapshot!(told, @r#"
    > t/Go@1
    t/P@1 starts as 1
    asks t.ask under ask
    allowed, held 1/0/0/0 by t/Rules@1#0
    > receipt
    ended ok, spent 1/0/0/0
    > t/Hint@1
    event t/Note@1 {"n":9,"who":"ann"} by 1:tell
    1 is done: 9
    "#);
}

#[test]
fn branches_fan_out_join_and_are_skipped() {
    let asks = ["a", "b", "c"].map(|id| ask(&format!("{id}_ask"), "ask", &json!(1)));
    let waits = ["a", "b", "c"].map(|id| wait(&format!("{id}_wait"), &format!("{id}_ask")));
    let sum = json!({"op": "add", "args": [{"ref": "@var:a_wait_got.a"}, {"ref": "@var:c_wait_got.a"}]});
    let rest = [
        assign("sum", &sum),
        note("tell", &json!({"ref": "@var:sum_got"}), &json!("sum")),
        note("odd", &json!(0), &json!("never")),
    ];
    let steps: Vec<Value> = asks.into_iter().chain(waits).chain(rest).collect();
    let flag = |index: u64| json!({"op": "get", "args": [{"ref": "@plan.input.flags"}, nat(index)]});
    let edges = json!([{"from": "a_ask", "to": "a_wait"}, {"from": "a_ask", "to": "b_ask", "when": flag(1)},
        {"from": "b_ask", "to": "b_wait"}, {"from": "c_ask", "to": "c_wait", "when": flag(0)}, {"from": "a_wait", "to": "sum"},
        {"from": "b_wait", "to": "sum"}, {"from": "c_wait", "to": "sum"}, {"from": "sum", "to": "tell"}, {"from": "b_wait", "to": "odd"}]);
    let told = tell(&Site::of(json!(steps), edges), |world| {
        world.go(1);
        let intents = world.intents();
        assert_eq!(intents.len(), 2, "what is skipped asks for nothing");
        // The answers come in the other order.
        for (intent, a) in intents.iter().rev().zip([20, 1]) {
            let receipt = world.ok(intent, &format!(r#"{{"a": {a}}}"#));
            world.answer(&receipt);
        }
        assert_eq!((world.log(), world.running()), (vec!["note 21 sum".to_owned()], vec![]));
    });
    assert_snapshot!(told, @r#"
    > t/Go@1
    t/P@1 starts as 1
    asks t.ask under ask
    allowed, held 1/0/0/0 by t/Rules@1#0
    asks t.ask under ask
    allowed, held 1/0/0/0 by t/Rules@1#0
    > receipt
    ended ok, spent 1/0/0/0
    > receipt
    ended ok, spent 1/0/0/0
    event t/Note@1 {"n":21,"who":"sum"} by 1:tell
    1 is done
    "#);
}

#[test]
fn an_event_finds_the_instances_that_it_is_about() {
    let mine = eq(json!({"ref": "@event.who"}), json!({"ref": "@var:correlation_id"}));
    let steps = json!([
        hear("hear", "t/Hint@1", &mine),
        note("tell", &json!({"ref": "@var:hear_got.n"}), &json!({"ref": "@plan.input.who"}))
    ]);
    let mut site = Site::of(steps, chain(&["hear", "tell"]).into());
    site.triggers = json!([{"event": "t/Go@1", "plan": "t/P@1", "correlate_by": "who"}]);
    let told = tell(&site, |world| {
        for (n, who) in [(1, "ann"), (2, "bob"), (3, "ann")] {
            go_for(world, n, who);
        }
        hint(world, 7, "eve");
        hint(world, 8, "ann");
        assert_eq!((world.log(), world.running()), (vec!["note 8 ann".to_owned(); 2], vec![2]));
        hint(world, 9, "ann");
        hint(world, 9, "bob");
        assert_eq!((world.log().len(), world.running()), (3, vec![]));
    });
    assert_snapshot!(told, @r#"
    > t/Go@1
    t/P@1 starts as 1
    > t/Go@1
    t/P@1 starts as 2
    > t/Go@1
    t/P@1 starts as 3
    > t/Hint@1
    > t/Hint@1
    event t/Note@1 {"n":8,"who":"ann"} by 1:tell
    event t/Note@1 {"n":8,"who":"ann"} by 3:tell
    1 is done
    3 is done
    > t/Hint@1
    > t/Hint@1
    event t/Note@1 {"n":9,"who":"bob"} by 2:tell
    2 is done
    "#);
}

#[test]
fn an_event_is_heard_only_from_the_wait_on() {
    let steps = json!([
        ask("ask", "ask", &json!(1)),
        wait("wait", "ask"),
        hear("hear", "t/Hint@1", &Value::Null),
        note("tell", &json!({"ref": "@var:hear_got.n"}), &json!("heard"))
    ]);
    let site = Site::of(steps, chain(&["ask", "wait", "hear", "tell"]).into());
    tell(&site, |world| {
        world.go(1);
        hint(world, 1, "early");
        world.answer_only(1);
        hint(world, 2, "first");
        hint(world, 3, "late");
        assert_eq!(world.log(), ["note 2 heard"]);
    });
}

/// An instance that two events of one frame woke once took its steps in two interleaved chains, each counted.
#[test]
fn an_instance_that_is_woken_twice_advances_once() {
    let heard = [("a", 1), ("b", 2), ("c", 3), ("d", 4)].map(|(id, n)| hear(id, "t/Note@1", &number_is(n)));
    let mut site = Site::of(json!(heard), json!([]));
    // Four steps begin to wait and the fifth look finds nothing; later three have heard and the fourth look finds nothing.
    site.limits = json!({"steps_per_frame_max": 5});
    tell(&site, |world| {
        assert_eq!(cause(&world.go(1)), "ok");
        assert_eq!(cause(&world.errands(&[say(1, "x"), say(2, "x"), say(3, "x")])), "ok");
        assert_eq!(cause(&world.errands(&[say(4, "x")])), "ok");
        assert_eq!((world.running(), world.log().len()), (vec![], 4));
    });
}

#[test]
fn a_wait_ends_with_its_time() {
    let in_time = |mut step: Value| {
        step["timeout_ns"] = json!(1_000_000);
        step
    };
    let steps = json!([
        ask("ask", "ask", &json!(1)),
        in_time(wait("wait", "ask")),
        in_time(hear("hear", "t/Hint@1", &Value::Null)),
        note("z1", &json!(1), &json!("no answer")),
        note("z2", &json!(2), &json!("no event"))
    ]);
    let edges = json!([{"from": "ask", "to": "wait"}, {"from": "ask", "to": "hear"}, when("wait", "z1", "timeout"), when("hear", "z2", "timeout")]);
    let told = tell(&Site::of(steps, edges), |world| {
        world.go(1);
        let intent = world.intent();
        let due = world.bench.world.next_due_ns(&world.bench.blobs).unwrap().unwrap();
        world.bench.now_ns = due - 2_000;
        assert_eq!(world.refused(crate::outside::tick()), "tick.early");
        world.tick();
        world.tick();
        assert_eq!(world.refused(crate::outside::tick()), "tick.early");
        assert_eq!(
            (world.log(), world.intents().len(), world.running()),
            (vec!["note 2 no event".to_owned(), "note 1 no answer".to_owned()], 0, vec![])
        );
        let receipt = world.ok(&intent, r#"{"a": 1}"#);
        world.answer(&receipt);
    });
    assert_snapshot!(told, @r#"
    > t/Go@1
    t/P@1 starts as 1
    asks t.ask under ask
    allowed, held 1/0/0/0 by t/Rules@1#0
    > tick
    event t/Note@1 {"n":2,"who":"no event"} by 1:z2
    > tick
    ended timeout, spent 1/0/0/0
    event t/Note@1 {"n":1,"who":"no answer"} by 1:z1
    1 is done
    > receipt
    ended ok late, spent 1/0/0/0
    "#);
    // Nobody looks at the status: the plan fails at the step that waited.
    let answer =
        Site::of(json!([ask("ask", "ask", &json!(1)), in_time(wait("wait", "ask"))]), chain(&["ask", "wait"]).into());
    let event = Site::of(json!([in_time(hear("wait", "t/Hint@1", &Value::Null))]), json!([]));
    for (site, failure) in [(answer, "plan.effect_failed"), (event, "plan.event_timeout")] {
        let told = tell(&site, |world| {
            world.go(1);
            world.tick();
            assert_eq!((world.running(), world.intents().len()), (vec![], 0));
        });
        assert!(told.contains(&format!("1 fails: {failure} step wait")), "{told}");
    }
}

/// What an event is heard in time for has no deadline any more.
#[test]
fn a_wait_that_is_over_leaves_no_deadline() {
    let mut heard = hear("hear", "t/Hint@1", &Value::Null);
    heard["timeout_ns"] = json!(1_000_000);
    let mut got = wait("wait", "ask");
    got["timeout_ns"] = json!(1_000_000);
    let steps = json!([ask("ask", "ask", &json!(1)), got, heard, hear("last", "t/Note@1", &Value::Null)]);
    tell(&Site::of(steps, chain(&["ask", "wait"]).into()), |world| {
        world.go(1);
        hint(world, 1, "x");
        world.answer_only(1);
        assert_eq!(world.bench.world.next_due_ns(&world.bench.blobs).unwrap(), None);
        assert_eq!(world.running(), [1]);
    });
}

#[test]
fn an_event_of_a_plan_reaches_reducers_and_plans_in_the_same_frame() {
    let first = note("tell", &json!({"ref": "@plan.input.n"}), &json!("first"));
    let second = json!({"id": "more", "op": "raise_event", "event": "t/Hint@1", "value": {"n": 2, "who": {"ref": "@plan.input.who"}}});
    let third = json!([
        hear("hear", "t/Hint@1", &Value::Null),
        note("tell", &json!({"ref": "@var:hear_got.n"}), &json!({"ref": "@var:hear_got.who"}))
    ]);
    let mut site = Site::of(json!([first]), json!([]));
    site.plans.push(named("t/Q@1", "t/Note@1", json!({"steps": [second]})));
    site.plans.push(named("t/R@1", "t/Go@1", json!({"steps": third, "edges": chain(&["hear", "tell"])})));
    site.triggers = json!([{"event": "t/Go@1", "plan": "t/P@1"}, {"event": "t/Go@1", "plan": "t/R@1"}, {"event": "t/Note@1", "plan": "t/Q@1"}]);
    let told = tell(&site, |world| drop(world.go(1)));
    assert_snapshot!(told, @r#"
    > t/Go@1
    t/P@1 starts as 1
    t/R@1 starts as 2
    event t/Note@1 {"n":1,"who":"first"} by 1:tell
    t/Q@1 starts as 3
    1 is done
    event t/Hint@1 {"n":2,"who":"first"} by 3:more
    3 is done
    event t/Note@1 {"n":2,"who":"first"} by 2:tell
    t/Q@1 starts as 4
    2 is done
    event t/Hint@1 {"n":2,"who":"first"} by 4:more
    4 is done
    "#);
}

/// An answer that an instance keeps for a later step is there after a restart.
#[test]
fn an_early_answer_is_kept_until_its_step_waits() {
    let steps = json!([
        ask("ask", "ask", &json!(1)),
        hear("hear", "t/Hint@1", &Value::Null),
        wait("wait", "ask"),
        note("tell", &json!({"ref": "@var:wait_got.a"}), &json!("kept"))
    ]);
    let site = Site::of(steps, chain(&["ask", "hear", "wait", "tell"]).into());
    tell(&site, |world| {
        world.go(1);
        let intent = world.intent();
        world.answer_only(5);
        // Another answer is late and changes nothing.
        let late = world.not_ok(&intent, Status::Failed, "t.broke");
        world.answer(&late);
        hint(world, 1, "x");
        assert_eq!((world.log(), world.running()), (vec!["note 5 kept".to_owned()], vec![]));
    });
}
