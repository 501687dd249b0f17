//! Many effects of all kinds at once, with some of them called off: each one ends exactly once, in a way that it may.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aos_host::adapter::{Class, IntentId, Status};
use aos_host::dispatch::Rest;
use proptest::prelude::*;

use super::dispatch::{Scripted, dispatcher, order, quick, said, signer};

const SCRIPTS: [&str; 11] =
    ["ok", "ok", "retriable 3", "sent_retriable 2", "fail", "sent", "panic", "slow 3", "hang", "deaf", "misfit"];

#[derive(Debug, Clone)]
struct Asked {
    adapter: usize,
    class: Class,
    script: &'static str,
    cancel: bool,
}

fn asked() -> impl Strategy<Value = Asked> {
    let class = prop::sample::select(vec![Class::Safe, Class::Keyed, Class::Once]);
    (0..3_usize, class, prop::sample::select(SCRIPTS.to_vec()), prop::bool::weighted(0.1))
        .prop_map(|(adapter, class, script, cancel)| Asked { adapter, class, script, cancel })
}

/// Says which ends an effect may have if the dispatcher is not shut down early.
fn may_end(asked: &Asked, status: Status) -> bool {
    use Class::{Keyed, Once, Safe};
    use Status::{Cancelled, Failed, InDoubt, Ok, Timeout};
    let uncancelled = match (asked.script, asked.class) {
        ("ok", _) => vec![Ok],
        // A thread may get its turn too late, and a further try its place.
        ("slow 3", _) => vec![Ok, Timeout],
        ("retriable 3", Safe | Keyed) | ("sent_retriable 2", Safe) => vec![Ok, Failed],
        ("sent_retriable 2", Keyed) => vec![Ok, InDoubt],
        ("retriable 3", Once) | ("fail", _) | ("sent" | "panic" | "misfit", Safe) => vec![Failed],
        ("sent_retriable 2", Once) | ("sent" | "panic" | "misfit", _) => vec![InDoubt],
        ("hang", _) | ("deaf", Safe) => vec![Timeout],
        ("deaf", _) => vec![InDoubt],
        (other, _) => panic!("no rule for {other}"),
    };
    // Called off before it was begun, between two tries, or where the adapter listens.
    let cancelled =
        asked.cancel && (status == Cancelled || (status == Failed && asked.script.starts_with("retriable")));
    let between = asked.cancel && asked.script == "sent_retriable 2" && matches!(status, Failed | InDoubt);
    cancelled || between || uncancelled.contains(&status)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_effect_ends_exactly_once(all in prop::collection::vec(asked(), 1..120), stop_early in any::<bool>()) {
        let names = ["one", "two", "three"];
        let adapters: Vec<_> = names.iter().zip([1, 4, 8]).map(|(name, most)| Scripted::new(name, most)).collect();
        let mut options = quick();
        options.deadline = Duration::from_millis(150);
        options.backoff_max = Duration::from_millis(4);
        let dispatcher = dispatcher(&adapters.iter().collect::<Vec<_>>(), options);
        let mut open = BTreeMap::new();
        for (number, asked) in all.iter().enumerate() {
            let order = order(names[asked.adapter], asked.class, number as u64, asked.script);
            open.insert(order.effect.intent, asked.clone());
            dispatcher.start(order).unwrap();
        }
        let cancelled: Vec<IntentId> = open.iter().filter(|(_, asked)| asked.cancel).map(|(id, _)| *id).collect();
        for intent in cancelled {
            dispatcher.cancel(intent);
        }
        let mut finished = Vec::new();
        if !stop_early {
            while finished.len() < open.len() {
                finished.extend(dispatcher.wait(Duration::from_millis(500)));
            }
            prop_assert!(dispatcher.is_idle());
        }
        let begun = Instant::now();
        let Rest { finished: rest, released } = dispatcher.shutdown(Duration::from_millis(200));
        prop_assert!(begun.elapsed() < Duration::from_secs(5));
        finished.extend(rest);
        for finished in &finished {
            let asked = open.remove(&finished.intent);
            prop_assert!(asked.is_some(), "ended twice");
            let asked = asked.unwrap();
            said(finished, &signer(names[asked.adapter]));
            let tries = adapters[asked.adapter].tries(finished.intent);
            prop_assert!(asked.class != Class::Once || tries <= 1, "{asked:?}: {tries} tries");
            if !stop_early {
                prop_assert!(may_end(&asked, finished.status), "{asked:?}: {:?}", finished.status);
            }
        }
        for intent in released {
            let asked = open.remove(&intent);
            prop_assert!(stop_early && asked.is_some_and(|asked| asked.class != Class::Once));
        }
        prop_assert!(open.is_empty(), "without an end: {open:?}");
        for adapter in &adapters {
            adapter.released.store(true, Ordering::SeqCst);
        }
    }
}
