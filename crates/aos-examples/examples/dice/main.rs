//! An adapter of one's own, and the smallest world that uses it: `cargo run -p aos-examples --example dice -- 6 20 100`.
//!
//! `dice.air.json` beside this file defines the effect `dice.roll`, the capability for it, the grant and the policy. The
//! kernel checks, decides and records; the adapter only does what is asked. Read next: `aos_host::adapter::Adapter`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aos_air::cbor;
use aos_air::validate::Draft;
use aos_host::adapter::{Adapter, Answer, Call, Effect, Failed};
use aos_host::dispatch::{self, Dispatcher};
use aos_host::driver::{self, Ambient, Answer as Taken, Driver, Start, System};
use aos_host::keys::Keys;
use aos_host::load;
use aos_host::store::{MemoryStore, Origin, StoreId};
use aos_host::wasm::{Engine, Strategy};
use aos_kernel::derived::{Derived, PlanEnd};
use aos_kernel::input::{Actor, Body, Event, Input};
use serde::{Deserialize, Serialize};

/// Rolls dice: the effect `dice.roll`.
struct Dice;

/// `demo/RollWanted@1`.
#[derive(Serialize, Deserialize)]
struct RollWanted {
    sides: u64,
}

/// `demo/Rolled@1`.
#[derive(Serialize, Deserialize)]
struct Rolled {
    value: u64,
}

impl Adapter for Dice {
    fn name(&self) -> &str {
        "dice"
    }

    fn perform(&self, effect: &Effect, _: &mut Call<'_>) -> Result<Answer, Failed> {
        let RollWanted { sides } = effect.params()?;
        let random = System.random().map_err(|error| Failed::new("dice.chance", error.to_string()))?;
        let number = random.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let rolled = number.checked_rem(sides);
        let rolled = rolled.ok_or_else(|| Failed::new("dice.sides", "a die without sides cannot be rolled"))?;
        Answer::of(&Rolled { value: rolled + 1 })
    }
}

/// Rolls a die for each number of sides, one after the other; returns how each plan ended: the value, or why there is none.
fn roll(dice: &[u64]) -> Result<Vec<Result<u64, String>>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut keys = Keys::open(folder.path())?;
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/dice/dice.air.json");
    let mut draft = Draft::read(&[load::file(&document)?]);
    // A receipt counts if the manifest trusts the key that signed it.
    for adapter in draft.untrusted() {
        draft.trust(&keys.newest(&adapter)?.public());
    }
    let start = Start { manifest: draft.check(&|_| None)?, modules: Vec::new() };
    let engine = Engine::new(Strategy::Unoptimised, None)?;
    let store = MemoryStore::new(Origin { id: StoreId(System.random()?), created_by: "dice".into() });
    let mut driver =
        Driver::create(Box::new(store), engine.clone(), Box::new(System), start, driver::Options::default())?;
    let adapters = [Arc::new(Dice) as Arc<dyn Adapter>];
    let blobs = Arc::new(driver.blobs().clone());
    driver.connect(Dispatcher::new(adapters, None, blobs, dispatch::Options::default())?, Arc::new(keys))?;

    let mut ends = Vec::new();
    for sides in dice {
        let event = Event {
            schema: "demo/RollWanted@1".into(),
            value: cbor::to_vec(&RollWanted { sides: *sides })?,
            key: None,
        };
        let mut taken = driver.submit([Input { actor: Actor::Host, id: None, body: Body::Event(event) }])?;
        let known = ends.len();
        while ends.len() == known {
            for answer in taken {
                ends.extend(ended(&answer)?);
            }
            taken = driver.turn(Duration::from_millis(100))?;
        }
    }
    driver.disconnect(Duration::from_secs(1))?;
    // The receipts are in the journal: a replay rolls nothing, and comes to the same end.
    let replayed = driver::replay_history(&*driver.reader()?, driver.blobs(), &engine, driver.id(), None, &mut |_| {})?;
    if replayed.hash != driver.head().hash {
        return Err("the replay came to another end".into());
    }
    Ok(ends)
}

/// Reads how a plan ended, where one did.
fn ended(taken: &Taken) -> Result<Option<Result<u64, String>>, Box<dyn Error>> {
    let Taken::Applied(frame) = taken else { return Err("the world refused an input".into()) };
    let end = frame.derived.iter().find_map(|derived| match derived {
        Derived::PlanEnded { end, .. } => Some(end),
        _ => None,
    });
    match end {
        None => Ok(None),
        Some(PlanEnd::Done(result)) => {
            let Rolled { value } = cbor::from_slice(result.as_deref().unwrap_or_default())?;
            Ok(Some(Ok(value)))
        }
        Some(PlanEnd::Failed { code, place, .. }) => Ok(Some(Err(format!("{code}: {place}")))),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let dice = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<Vec<u64>, _>>()?;
    for (sides, rolled) in dice.iter().zip(roll(&dice)?) {
        match rolled {
            Ok(value) => writeln!(io::stdout(), "a die of {sides} shows {value}")?,
            Err(why) => writeln!(io::stdout(), "a die of {sides} is not rolled: {why}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_are_rolled_within_policy_and_budget() {
        let ends = roll(&[6, 100, 1, 0, 6]).unwrap();
        let fair = |end: &Result<u64, String>| end.clone().map(|value| (1..=6).contains(&value));
        let failed = |code: &str| Err(format!("plan.effect_failed: {code}"));
        let expected = [Ok(true), failed("policy.denied"), Ok(true), failed("dice.sides"), failed("budget.exceeded")];
        assert_eq!(ends.iter().map(fair).collect::<Vec<_>>(), expected);
    }
}
