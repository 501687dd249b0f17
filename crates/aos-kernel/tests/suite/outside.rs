//! A world that acts on the outside, with native guests and an adapter's key in hand: what the tests of plans, effects,
//! budgets, approvals and receipts share. Its definitions are in `site.rs`, its guest in `clerk.rs`.
//!
//! [`tell`] runs a story twice, once straight on and once from a snapshot after every frame, and replays it each time.

use std::fmt::Write as _;

use aos_air::cbor;
use aos_air::name::Name;
use aos_air::plan::{EffectError, Status};
use aos_air::schema::Shape;
use aos_air::text::{Lens, compact, parse, read};
use aos_kernel::block::Raw;
use aos_kernel::derived::{By, Derived, PlanEnd, Verdict};
use aos_kernel::error::Refusal;
use aos_kernel::frame::Frame;
use aos_kernel::gate::{Budget, Spend};
use aos_kernel::id::IntentId;
use aos_kernel::input::{Actor, Body, Input, Signed};
use aos_kernel::intent::{Intent, adapter_of};
use aos_kernel::receipt::{PrincipalDecision, Receipt};
use aos_kernel::{Machine, Seal, World, replay};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_bytes::ByteBuf;

use crate::clerk::{CLERK, Clerk, Errand};
use crate::site::{Site, adapter_key, principal_key};
use crate::support::{Bench, event};

/// Whether a world lives on in memory, or is taken up anew from a snapshot after every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Straight,
    Restored,
}

/// A world that acts on the outside.
pub struct Outside {
    pub bench: Bench<Clerk>,
    life: Life,
    trace: Vec<String>,
}

/// Tells a story in a world, straight on and restored after every frame; each time the journal is then replayed from
/// genesis and from every snapshot, to the same heads and state roots. Returns what happened, in words.
pub fn tell(site: &Site, story: impl Fn(&mut Outside)) -> String {
    let told = [Life::Straight, Life::Restored].map(|life| {
        let bench = Bench::of(site.manifest(), site.mode, Clerk);
        let mut outside = Outside { bench, life, trace: Vec::new() };
        story(&mut outside);
        outside.replay();
        outside.trace.join("\n")
    });
    assert_eq!(told[0], told[1], "a world that is taken up anew goes on as it was");
    let [told, _] = told;
    told
}

impl Outside {
    /// Sends an input that must be admitted.
    pub fn send(&mut self, input: Input) -> Frame {
        let what = match &input.body {
            Body::Event(event) => event.schema.clone(),
            Body::Message { .. } => "message".into(),
            Body::Receipt(_) => "receipt".into(),
            Body::Decision(_) => "decision".into(),
            Body::Attempt(_) => "attempt".into(),
            Body::Tick => "tick".into(),
        };
        let frame = self.bench.send(input);
        self.trace.push(format!("> {what}"));
        let told = self.told(&frame);
        self.trace.extend(told);
        if self.life == Life::Restored {
            self.restore();
        }
        frame
    }

    /// Seals a snapshot and takes the world up from it.
    pub fn restore(&mut self) {
        let sealed = self.bench.seal(Seal::Snapshot);
        self.bench.world = World::restore(&sealed.snapshot.unwrap(), &self.bench.blobs).unwrap();
    }

    /// Offers an input that must be refused, and that nothing is recorded of; returns the code.
    pub fn refused(&mut self, input: Input) -> &'static str {
        let before = self.bench.world.height();
        let code = match self.bench.admit(input) {
            Err(refusal) => Refusal::code(&refusal),
            Ok(admission) => panic!("not refused: {admission:?}"),
        };
        assert_eq!(self.bench.world.height(), before);
        code
    }

    fn replay(&mut self) {
        self.bench.seal(Seal::Snapshot);
        let Bench { world, blobs, blocks, .. } = &self.bench;
        world.check_state(blobs).unwrap();
        let raw = |index: usize| Raw { header: &blocks[index].header_bytes, body: &blocks[index].body };
        let mut worlds = vec![World::from_genesis(raw(0), blobs).unwrap().0];
        let snapshots = blocks.iter().filter_map(|block| block.snapshot.as_ref());
        // Each of many snapshots was lived on from already.
        let snapshots = snapshots.take(if self.life == Life::Restored { 2 } else { usize::MAX });
        worlds.extend(snapshots.map(|snapshot| World::restore(snapshot, blobs).unwrap()));
        for mut again in worlds {
            let next = usize::try_from(again.head().0.0 + 1).unwrap();
            for (index, block) in blocks.iter().enumerate().skip(next) {
                let mut machine = Machine { guest: &mut Clerk, blobs };
                let sealed = replay(&mut again, &mut machine, raw(index)).unwrap();
                assert_eq!(sealed.header.state_root, block.header.state_root);
            }
            assert_eq!((again.head(), again.state_root()), (world.head(), world.state_root()));
        }
    }

    fn shape(&self, schema: &str) -> std::sync::Arc<Shape> {
        let name = Name::parse(schema).unwrap();
        self.bench.world.program().manifest().schema(&name).unwrap().shape.clone()
    }

    /// Makes the bytes of a value from its text.
    pub fn value(&self, schema: &str, text: &str) -> Vec<u8> {
        bytes(&self.shape(schema), text)
    }

    /// Sends an event of the host.
    pub fn event(&mut self, schema: &str, text: &str) -> Frame {
        let value = self.value(schema, text);
        self.send(event(schema, value))
    }

    /// Starts the plan with this number.
    pub fn go(&mut self, n: u64) -> Frame {
        self.event("t/Go@1", &format!(r#"{{"n": {n}, "who": "ann", "flags": [true, false]}}"#))
    }

    /// Sends the clerk on errands.
    pub fn errands(&mut self, errands: &[Errand]) -> Frame {
        let script = ByteBuf::from(cbor::to_vec(errands).unwrap());
        self.send(event("t/Do@1", cbor::to_vec(&script).unwrap()))
    }

    /// Sends a tick at a time that is not before now.
    pub fn tick_at(&mut self, now_ns: u64) -> Frame {
        self.bench.now_ns = self.bench.now_ns.max(now_ns);
        self.send(tick())
    }

    /// Sends a tick when the next deadline is due.
    pub fn tick(&mut self) -> Frame {
        let due = self.bench.world.next_due_ns(&self.bench.blobs).unwrap().unwrap();
        self.tick_at(due)
    }

    /// The intents that have not ended.
    pub fn intents(&self) -> Vec<Intent> {
        self.bench.world.intents(&self.bench.blobs).unwrap()
    }

    /// The one intent that has not ended.
    pub fn intent(&self) -> Intent {
        let [intent] = <[Intent; 1]>::try_from(self.intents()).unwrap();
        intent
    }

    /// A receipt for an intent, whose payload is given as text.
    pub fn ok(&self, intent: &Intent, payload: &str) -> Receipt {
        let effect = self.bench.world.program().effect(&intent.kind).unwrap();
        self.receipt(intent, Status::Ok, bytes(&effect.receipt, payload))
    }

    /// A receipt for an intent of which nothing came.
    pub fn not_ok(&self, intent: &Intent, status: Status, code: &str) -> Receipt {
        let error = EffectError { code: code.into(), message: "it went wrong".into(), retriable: true };
        self.receipt(intent, status, error.value().to_cbor())
    }

    fn receipt(&self, intent: &Intent, status: Status, payload: Vec<u8>) -> Receipt {
        Receipt {
            world: self.bench.world.id(),
            intent: intent.id,
            adapter: adapter_of(&intent.kind).into(),
            key_id: "main".into(),
            status,
            payload,
            cost: Spend { calls: 1, ..Spend::ZERO },
            started_ns: self.bench.now_ns,
            finished_ns: self.bench.now_ns + 1,
        }
    }

    /// Sends a receipt under the adapter's key.
    pub fn answer(&mut self, receipt: &Receipt) -> Frame {
        self.send(signed(receipt))
    }

    /// Answers the one open intent of the effect `t.ask`.
    pub fn answer_only(&mut self, a: u64) -> Frame {
        let receipt = self.ok(&self.intent(), &format!(r#"{{"a": {a}}}"#));
        self.answer(&receipt)
    }

    /// A principal's word on an intent, which counts for an hour.
    pub fn word(&self, intent: IntentId, approve: bool) -> PrincipalDecision {
        PrincipalDecision {
            world: self.bench.world.id(),
            manifest: self.bench.world.program().manifest().hash(),
            manifest_seq: self.bench.world.manifest_seq(),
            intent,
            approve,
            expires_at_ns: self.bench.now_ns + 3_600_000_000_000,
        }
    }

    /// What the clerk has written down.
    pub fn log(&self) -> Vec<String> {
        let cell = self.bench.world.cell(&self.bench.blobs, CLERK, None).unwrap();
        cell.map(|cell| cbor::from_slice(&cell.state).unwrap()).unwrap_or_default()
    }

    /// The ledger of a grant.
    pub fn budget(&self, grant: &str) -> Budget {
        let budgets = self.bench.world.budgets(&self.bench.blobs).unwrap();
        budgets.iter().find(|view| view.grant == grant).map(|view| view.budget).unwrap_or_default()
    }

    /// The plans that run, by number.
    pub fn running(&self) -> Vec<u64> {
        self.bench.world.instances(&self.bench.blobs).unwrap().iter().map(|instance| instance.id.0).collect()
    }

    /// Tells a frame in words, a line for each thing that followed and one for a failure.
    pub fn told(&self, frame: &Frame) -> Vec<String> {
        let mut lines: Vec<String> = frame.derived.iter().map(|derived| self.told_of(derived)).collect();
        lines.extend(frame.outcome.failure.as_ref().map(|failure| {
            let place = &failure.place;
            format!("failed: {}{}{place}", failure.cause.code(), if place.is_empty() { "" } else { " at " })
        }));
        lines
    }

    fn told_of(&self, derived: &Derived) -> String {
        match derived {
            Derived::Event { by, event } => {
                let shape = self.shape(&event.schema);
                let value = compact(&Lens::Sugar.print(&shape, &shape.decode(&event.value).unwrap()));
                match by {
                    By::Handling(_) => format!("event {} {value}", event.schema),
                    By::Step { instance, step } => format!("event {} {value} by {}:{step}", event.schema, instance.0),
                }
            }
            Derived::Annotation { .. } => panic!("the clerk leaves none"),
            Derived::Asked { kind, grant, .. } => format!("asks {kind} under {grant}"),
            Derived::Decided { verdict, policies, principal, .. } => {
                let mut line = match verdict {
                    Verdict::Allowed { reserved } => format!("allowed, held {}", spent(*reserved)),
                    Verdict::Denied { code, .. } => format!("denied {code}"),
                    Verdict::Parked { .. } => "parked".into(),
                };
                if !policies.is_empty() {
                    write!(line, " by {}", policies.join(" ")).unwrap();
                }
                principal.iter().for_each(|principal| write!(line, ", said {principal}").unwrap());
                line
            }
            Derived::Ended { status, is_late, spent: cost, is_overrun, .. } => {
                let late = if *is_late { " late" } else { "" };
                let over = if *is_overrun { ", overrun" } else { "" };
                format!("ended {}{late}, spent {}{over}", status.word(), spent(*cost))
            }
            Derived::PlanStarted { instance, plan, .. } => format!("{plan} starts as {}", instance.0),
            Derived::PlanEnded { instance, end } => match end {
                PlanEnd::Done(None) => format!("{} is done", instance.0),
                PlanEnd::Done(Some(result)) => match cbor::from_slice::<u64>(result) {
                    Ok(number) => format!("{} is done: {number}", instance.0),
                    Err(_) => format!("{} is done: {} bytes", instance.0, result.len()),
                },
                PlanEnd::Failed { code, step, place } => {
                    format!("{} fails: {code} step {} at {place}", instance.0, step.as_deref().unwrap_or("-"))
                }
            },
        }
    }
}

/// Makes the bytes of a value from its text.
pub fn bytes(shape: &Shape, text: &str) -> Vec<u8> {
    read(shape, &parse(text).unwrap()).unwrap_or_else(|problems| panic!("{text}: {problems:?}")).to_cbor()
}

fn spent(spend: Spend) -> String {
    let Spend { calls, tokens, cents, bytes } = spend;
    format!("{calls}/{tokens}/{cents}/{bytes}")
}

/// A tick of the host.
pub fn tick() -> Input {
    Input { actor: Actor::Host, id: None, body: Body::Tick }
}

/// An attempt mark of the host.
pub fn attempt(intent: IntentId) -> Input {
    Input { actor: Actor::Host, id: None, body: Body::Attempt(intent) }
}

/// A receipt under the adapter's key, as the adapter that it names sends it.
pub fn signed(receipt: &Receipt) -> Input {
    signed_by(receipt, &adapter_key())
}

/// A receipt under some key.
pub fn signed_by(receipt: &Receipt, key: &SigningKey) -> Input {
    let signature = key.sign(&receipt.message()).to_bytes();
    let body = Body::Receipt(Signed { bytes: receipt.encode(), signature });
    Input { actor: Actor::Adapter(receipt.adapter.clone()), id: None, body }
}

/// A principal's decision under its key.
pub fn decided(name: &str, decision: &PrincipalDecision) -> Input {
    let signature = principal_key(name).sign(&decision.message()).to_bytes();
    let body = Body::Decision(Signed { bytes: decision.encode(), signature });
    Input { actor: Actor::Principal(name.into()), id: None, body }
}

/// Tells what a frame failed with.
pub fn cause(frame: &Frame) -> &'static str {
    frame.outcome.failure.as_ref().map_or("ok", |failure| failure.cause.code())
}
