//! Budgets of grants through a whole world: held when an effect leaves, settled when it ends, never passed.

use std::collections::BTreeMap;

use aos_air::plan::Status;
use aos_kernel::derived::{Derived, Verdict};
use aos_kernel::frame::Frame;
use aos_kernel::gate::{Budget, Spend};
use aos_kernel::id::IntentId;
use aos_kernel::receipt::Receipt;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::outside::{Outside, cause, decided, signed, tell};
use crate::site::{Site, ask, branching, chain, named, note, wait, when};

/// The budget of the grant `it`, whose enforcer holds as many tokens as an effect's `n` says.
const LIMIT: Spend = Spend { calls: 6, tokens: 100, cents: 0, bytes: 0 };

fn metered(site: &mut Site) {
    let budget = json!({"calls": LIMIT.calls, "tokens": LIMIT.tokens});
    let grant = json!({"name": "it", "cap": "t/MeterCap@1", "params": {}, "budget": budget});
    site.grants.as_array_mut().unwrap().push(grant);
}

fn input_n() -> Value {
    json!({"ref": "@plan.input.n"})
}

/// A world whose plan asks for one effect that may cost as many tokens as its input says.
fn site() -> Site {
    let mut site = branching("t.ask", &json!({"q": "why", "n": input_n()}), "it");
    metered(&mut site);
    site
}

/// Calls and tokens that are spent and held.
fn ledger(world: &Outside) -> [u64; 4] {
    let Budget { spent, reserved, .. } = world.budget("it");
    [spent.calls, spent.tokens, reserved.calls, reserved.tokens]
}

fn costing(receipt: &Receipt, tokens: u64) -> Receipt {
    Receipt { cost: Spend { calls: 1, tokens, ..Spend::ZERO }, ..receipt.clone() }
}

#[test]
fn each_end_settles_what_was_held() {
    let cases = [
        (Status::Ok, 30, [1, 30, 0, 0]),
        (Status::Failed, 10, [1, 10, 0, 0]),
        (Status::Timeout, 0, [1, 0, 0, 0]),
        (Status::Cancelled, 0, [1, 0, 0, 0]),
        // Whoever doubts whether it was done does not know what it cost: all that was held is spent.
        (Status::InDoubt, 0, [1, 50, 0, 0]),
    ];
    for (status, tokens, after) in cases {
        tell(&site(), |world| {
            world.go(50);
            assert_eq!(ledger(world), [0, 0, 1, 50]);
            let intent = world.intent();
            let receipt = match status {
                Status::Ok => world.ok(&intent, r#"{"a": 1}"#),
                _ => world.not_ok(&intent, status, "t.broke"),
            };
            world.answer(&costing(&receipt, tokens));
            assert_eq!((ledger(world), world.budget("it").blocked), (after, false), "{status:?}");
            // A late answer settles only what nobody knew.
            let late = costing(&world.not_ok(&intent, Status::Failed, "t.late"), 7);
            world.answer(&late);
            let settled = if status == Status::InDoubt { [1, 7, 0, 0] } else { after };
            assert_eq!(ledger(world), settled, "{status:?}");
            // And only once.
            world.answer(&costing(&late, 9));
            assert_eq!(ledger(world), settled, "{status:?}");
        });
    }
}

#[test]
fn a_step_that_waits_no_longer_spends_the_worst_case_until_the_answer_comes() {
    let mut site = site();
    for step in site.plans[0]["steps"].as_array_mut().unwrap() {
        if step["id"] == "wait" {
            step["timeout_ns"] = json!(1_000_000);
        }
    }
    let told = tell(&site, |world| {
        world.go(50);
        let receipt = world.ok(&world.intent(), r#"{"a": 1}"#);
        world.tick();
        assert_eq!((ledger(world), world.log()), ([1, 50, 0, 0], vec!["note 0 timeout plan.await_timeout".to_owned()]));
        world.answer(&costing(&receipt, 20));
        assert_eq!((ledger(world), world.log().len()), ([1, 20, 0, 0], 1));
        assert_eq!(world.refused(signed(&costing(&receipt, 20))), "receipt.duplicate");
    });
    assert!(told.contains("ended timeout, spent 1/50/0/0"), "{told}");
    assert!(told.ends_with("ended ok late, spent 1/20/0/0"), "{told}");
}

#[test]
fn an_overrun_is_booked_and_blocks_the_grant() {
    let told = tell(&site(), |world| {
        world.go(50);
        let receipt = world.ok(&world.intent(), r#"{"a": 1}"#);
        world.answer(&costing(&receipt, 51));
        assert_eq!((ledger(world), world.budget("it").blocked), ([1, 51, 0, 0], true));
        world.go(1);
        assert_eq!(world.log(), ["note 1 good", "note 0 denied budget.overrun"]);
        // Others are not blocked with it.
        assert!(!world.budget("clock").blocked);
    });
    assert!(told.contains("ended ok, spent 1/51/0/0, overrun"), "{told}");
    // A late answer can overrun too.
    tell(&site(), |world| {
        world.go(50);
        let intent = world.intent();
        let doubt = world.not_ok(&intent, Status::InDoubt, "effect.in_doubt");
        world.answer(&doubt);
        let late = world.ok(&intent, r#"{"a": 1}"#);
        world.answer(&costing(&late, 51));
        assert_eq!((ledger(world), world.budget("it").blocked), ([1, 51, 0, 0], true));
    });
}

/// Sums that would pass the greatest number stay there, and still block.
#[test]
fn a_cost_beyond_all_numbers_does_not_wrap() {
    tell(&site(), |world| {
        for _ in 0..2 {
            world.go(10);
        }
        for intent in world.intents() {
            let receipt = world.ok(&intent, r#"{"a": 1}"#);
            world.answer(&costing(&receipt, u64::MAX));
        }
        assert_eq!((ledger(world), world.budget("it").blocked), ([2, u64::MAX, 0, 0], true));
        world.go(0);
        assert_eq!(world.log()[2], "note 0 denied budget.overrun");
    });
}

/// Two effects of one frame want more than is left together: the first has it.
#[test]
fn of_two_in_one_frame_one_fits() {
    let steps = json!([
        ask("a", "it", &input_n()),
        ask("b", "it", &input_n()),
        wait("a_wait", "a"),
        wait("b_wait", "b"),
        note("z", &json!(1), &json!("b denied"))
    ]);
    let mut edges = chain(&["a", "a_wait"]);
    edges.extend(chain(&["b", "b_wait"]));
    edges.push(when("b_wait", "z", "denied"));
    let mut site = Site::of(steps, edges.into());
    metered(&mut site);
    let told = tell(&site, |world| {
        world.go(60);
        assert_eq!((ledger(world), world.log()), ([0, 0, 1, 60], vec!["note 1 b denied".to_owned()]));
    });
    assert!(
        told.contains("allowed, held 1/60/0/0 by t/Rules@1#0\nasks t.ask under it\ndenied budget.exceeded"),
        "{told}"
    );
    tell(&site, |world| {
        world.go(50);
        assert_eq!(ledger(world), [0, 0, 2, 100], "both fit exactly");
        world.go(0);
        assert_eq!(ledger(world), [0, 0, 4, 100], "what costs nothing fits into nothing");
    });
}

#[test]
fn at_the_limit_and_one_past_it() {
    for (first, second, log) in [(100, 1, 1), (99, 1, 0), (50, 51, 1), (50, 50, 0), (0, 100, 0)] {
        tell(&site(), |world| {
            world.go(first);
            world.go(second);
            assert_eq!(world.log(), vec!["note 0 denied budget.exceeded"; log], "{first} and {second}");
        });
    }
    tell(&site(), |world| {
        for _ in 0..=LIMIT.calls {
            world.go(0);
        }
        assert_eq!((ledger(world), world.log().len()), ([0, 0, LIMIT.calls, 0], 1));
    });
}

/// A frame that fails holds nothing.
#[test]
fn what_a_failed_frame_held_is_free_again() {
    let steps = json!([ask("a", "it", &input_n()), note("b", &json!(1), &json!("trap"))]);
    let mut site = Site::of(steps, chain(&["a", "b"]).into());
    metered(&mut site);
    tell(&site, |world| {
        assert_eq!(cause(&world.go(60)), "guest.trap");
        assert_eq!((ledger(world), world.intents().len()), ([0; 4], 0));
    });
}

/// What happens in a history.
#[derive(Debug, Clone)]
enum Move {
    /// Asks for an effect of so many tokens; the second kind has to be approved.
    Ask(u64),
    AskParked(u64),
    /// A principal's word on the n-th intent that there ever was.
    Decide(usize, bool),
    /// An answer to the n-th intent, with its status and cost.
    Answer(usize, Status, u64),
    /// The clock goes to the next deadline.
    Tick,
}

/// The slow, obvious twin: what became of each intent, from which the ledger is summed anew each time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Denied,
    Parked { worst: u64 },
    Open { held: u64 },
    Closed { booked: u128, is_known: bool, calls: u64 },
}

#[derive(Default)]
struct Twin {
    fates: Vec<Fate>,
    is_blocked: bool,
}

impl Twin {
    /// Calls and tokens that are spent and held.
    fn ledger(&self) -> [u128; 4] {
        let mut sums = [0; 4];
        for fate in &self.fates {
            match fate {
                Fate::Denied | Fate::Parked { .. } => {}
                Fate::Open { held } => {
                    sums[2] += 1;
                    sums[3] += u128::from(*held);
                }
                Fate::Closed { booked, calls, .. } => {
                    sums[0] += u128::from(*calls);
                    sums[1] += booked;
                }
            }
        }
        sums
    }

    /// What becomes of an effect that nobody has to approve any more.
    fn leave(&self, worst: u64) -> Fate {
        let [spent_calls, spent, held_calls, held] = self.ledger();
        let fits = spent_calls + held_calls < u128::from(LIMIT.calls)
            && spent + held + u128::from(worst) <= u128::from(LIMIT.tokens);
        if fits && !self.is_blocked && worst <= 100 { Fate::Open { held: worst } } else { Fate::Denied }
    }

    fn answer(&mut self, number: usize, status: Status, tokens: u64) {
        let is_known = status != Status::InDoubt;
        let fate = self.fates[number];
        self.fates[number] = match fate {
            Fate::Open { held } => {
                self.is_blocked |= is_known && tokens > held;
                Fate::Closed { booked: u128::from(if is_known { tokens } else { held }), is_known, calls: 1 }
            }
            Fate::Closed { booked, is_known: false, calls } if is_known => {
                self.is_blocked |= u128::from(tokens) > booked;
                Fate::Closed { booked: u128::from(tokens), is_known, calls }
            }
            Fate::Closed { .. } | Fate::Denied | Fate::Parked { .. } => fate,
        };
    }
}

/// A world with a plan that asks, one that has to be approved, both with a time, and their budget.
fn history_site() -> Site {
    let mut site = site();
    for step in site.plans[0]["steps"].as_array_mut().unwrap() {
        if step["id"] == "wait" {
            step["timeout_ns"] = json!(5_000_000);
        }
    }
    let mut second = site.plans[0].clone();
    second.as_object_mut().unwrap().remove("name");
    site.plans.push(named("t/Q@1", "t/Hint@1", second));
    site.triggers.as_array_mut().unwrap().push(json!({"event": "t/Hint@1", "plan": "t/Q@1"}));
    site.policy = json!({"rules": [{"when": {"origin_name": "t/P@1"}, "decision": "allow"},
        {"when": {"effect_kind": "t.ask"}, "decision": "require_approval"}]});
    site.limits = json!({"approval_wait_ns": 4_000_000});
    site
}

/// Drives a world and its twin, and compares the ledgers after every frame.
struct Pair<'a> {
    world: &'a mut Outside,
    twin: Twin,
    ids: Vec<(IntentId, Receipt)>,
}

impl Pair<'_> {
    fn take(&mut self, step: &Move) {
        match step {
            Move::Ask(n) => {
                let fate = self.twin.leave(*n);
                let frame = self.world.go(*n);
                self.asked(&frame, fate);
            }
            Move::AskParked(n) => {
                let fate = if *n <= 100 { Fate::Parked { worst: *n } } else { Fate::Denied };
                let frame = self.world.event("t/Hint@1", &format!(r#"{{"n": {n}, "who": "x"}}"#));
                self.asked(&frame, fate);
            }
            Move::Decide(number, approve) => self.decide(*number, *approve),
            Move::Answer(number, status, tokens) => self.answer(*number, *status, *tokens),
            Move::Tick => self.tick(),
        }
        let Budget { spent, reserved, blocked } = self.world.budget("it");
        let ledger = [spent.calls, spent.tokens, reserved.calls, reserved.tokens].map(u128::from);
        assert_eq!((ledger, blocked), (self.twin.ledger(), self.twin.is_blocked), "{step:?}");
    }

    /// Compares what the gate said with the twin, and checks what must hold at every allow.
    fn asked(&mut self, frame: &Frame, fate: Fate) {
        let asked = frame.derived.iter().find_map(|derived| match derived {
            Derived::Decided { intent, verdict, .. } => Some((*intent, verdict.clone())),
            _ => None,
        });
        let (id, verdict) = asked.unwrap();
        match (&verdict, fate) {
            (Verdict::Allowed { reserved }, Fate::Open { held }) => {
                assert_eq!(reserved.tokens, held);
                self.within();
            }
            (Verdict::Denied { .. }, Fate::Denied) | (Verdict::Parked { .. }, Fate::Parked { .. }) => {}
            other => panic!("{other:?}"),
        }
        let intents = self.world.intents();
        if let Some(intent) = intents.iter().find(|intent| intent.id == id) {
            self.ids.push((id, self.world.ok(intent, r#"{"a": 1}"#)));
            self.twin.fates.push(fate);
        }
    }

    fn within(&self) {
        let Budget { spent, reserved, .. } = self.world.budget("it");
        assert!(spent.tokens + reserved.tokens <= LIMIT.tokens && spent.calls + reserved.calls <= LIMIT.calls);
    }

    fn decide(&mut self, number: usize, approve: bool) {
        let Some((id, _)) = self.ids.get(number % self.ids.len().max(1)).cloned() else { return };
        let number = number % self.ids.len();
        let fate = self.twin.fates[number];
        let due = self.world.intents().iter().any(|intent| intent.id == id);
        let is_pending = matches!(fate, Fate::Parked { .. }) && due;
        let word = self.world.word(id, approve);
        let frame = self.world.send(decided("ann", &word));
        if let Fate::Parked { worst } = fate
            && cause(&frame) == "ok"
        {
            let released = if approve { self.twin.leave(worst) } else { Fate::Denied };
            self.twin.fates[number] = if released == Fate::Denied { NOTHING } else { released };
            if released != Fate::Denied {
                self.within();
            }
        } else {
            assert_eq!(cause(&frame), "decision.not_pending");
            assert!(!is_pending || self.is_over_due(), "a pending intent is decided");
        }
    }

    /// Tells whether a deadline has passed that no tick has consumed.
    fn is_over_due(&self) -> bool {
        let due = self.world.bench.world.next_due_ns(&self.world.bench.blobs).unwrap();
        due.is_some_and(|due| due <= self.world.bench.world.logical_now_ns())
    }

    fn answer(&mut self, number: usize, status: Status, tokens: u64) {
        let Some((_, good)) = self.ids.get(number % self.ids.len().max(1)).cloned() else { return };
        let number = number % self.ids.len();
        let receipt = match status {
            Status::Ok => good,
            _ => {
                let error =
                    aos_air::plan::EffectError { code: "t.broke".into(), message: "no".into(), retriable: false };
                Receipt { status, payload: error.value().to_cbor(), ..good }
            }
        };
        let receipt = Receipt { finished_ns: self.world.bench.now_ns, ..costing(&receipt, tokens) };
        match self.twin.fates[number] {
            Fate::Parked { .. } => assert_eq!(self.world.refused(signed(&receipt)), "receipt.intent_unknown"),
            Fate::Denied | Fate::Open { .. } | Fate::Closed { .. } => {
                assert_eq!(cause(&self.world.answer(&receipt)), "ok");
                self.twin.answer(number, status, tokens);
            }
        }
    }

    /// Lets the clock go to the next deadline, and takes from the frame alone which intent it ended.
    fn tick(&mut self) {
        if self.world.bench.world.next_due_ns(&self.world.bench.blobs).unwrap().is_none() {
            return;
        }
        let frame = self.world.tick();
        let ended: BTreeMap<IntentId, Status> = frame
            .derived
            .iter()
            .filter_map(|derived| match derived {
                Derived::Ended { intent, status, .. } => Some((*intent, *status)),
                _ => None,
            })
            .collect();
        for (number, (id, _)) in self.ids.iter().enumerate() {
            let Some(status) = ended.get(id) else { continue };
            self.twin.fates[number] = match (self.twin.fates[number], status) {
                (Fate::Open { held }, Status::Timeout) => {
                    Fate::Closed { booked: u128::from(held), is_known: false, calls: 1 }
                }
                (Fate::Parked { .. }, Status::Denied | Status::Timeout) => NOTHING,
                other => panic!("{other:?}"),
            };
        }
    }
}

/// An intent that ended before it could leave: it costs nothing, and an answer to it changes nothing.
const NOTHING: Fate = Fate::Closed { booked: 0, is_known: true, calls: 0 };

/// Numbers whose sums often are the limit, or one past it.
fn any_tokens() -> impl Strategy<Value = u64> {
    prop_oneof![prop::sample::select(&[0, 1, 10, 25, 50, 99, 100, 101][..]), 0_u64..60]
}

fn any_move() -> impl Strategy<Value = Move> {
    let status = prop_oneof![
        4 => Just(Status::Ok), 1 => Just(Status::Failed), 1 => Just(Status::Timeout), 2 => Just(Status::InDoubt),
        1 => Just(Status::Cancelled)];
    prop_oneof![
        4 => any_tokens().prop_map(Move::Ask),
        2 => any_tokens().prop_map(Move::AskParked),
        2 => (0_usize..20, any::<bool>()).prop_map(|(number, approve)| Move::Decide(number, approve)),
        // Rarely more than was held, which ends the history of the grant.
        4 => (0_usize..20, status, prop_oneof![9 => 0_u64..20, 1 => 0_u64..200])
            .prop_map(|(number, status, tokens)| Move::Answer(number, status, tokens)),
        1 => Just(Move::Tick),
    ]
}

proptest! {
    #![proptest_config(crate::cases::cases(24))]

    #[test]
    fn no_history_passes_a_budget(moves in prop::collection::vec(any_move(), 0..40)) {
        tell(&history_site(), |world| {
            let mut pair = Pair { world, twin: Twin::default(), ids: Vec::new() };
            moves.iter().for_each(|step| pair.take(step));
        });
    }
}
