//! The end of a dispatcher: what is finished, what is released, and that it takes no longer than its grace.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aos_host::adapter::{Class, IntentId, Status};
use aos_host::dispatch::{Finished, Rest};

use super::dispatch::{LONG, Scripted, dispatcher, error, order, quick, signer};

fn ends(finished: &[Finished]) -> BTreeSet<(IntentId, Status, String)> {
    let code = |finished: &Finished| match finished.status {
        Status::Ok => String::new(),
        _ => error(finished, &signer("test")).code,
    };
    finished.iter().map(|finished| (finished.intent, finished.status, code(finished))).collect()
}

#[test]
fn what_may_be_repeated_is_released_and_what_may_not_ends() {
    let adapter = Scripted::new("test", 7);
    let dispatcher = dispatcher(&[&adapter], quick());
    // All of these run; the last three wait for a place.
    let table = [
        ("slow 100", Class::Safe, Some((Status::Ok, ""))),
        ("hang", Class::Safe, None),
        ("hang", Class::Keyed, None),
        ("hang", Class::Once, Some((Status::Cancelled, "adapter.cancelled"))),
        ("sent_hang", Class::Once, Some((Status::InDoubt, "adapter.cancelled"))),
        ("deaf", Class::Keyed, None),
        ("deaf", Class::Once, Some((Status::InDoubt, "adapter.overdue"))),
        ("ok", Class::Safe, None),
        ("ok", Class::Keyed, None),
        ("ok", Class::Once, Some((Status::Cancelled, "adapter.shutdown"))),
    ];
    let mut finished_expected = BTreeSet::new();
    let mut released_expected = BTreeSet::new();
    for (number, (what, class, end)) in table.into_iter().enumerate() {
        let order = order("test", class, number as u64, what);
        let intent = order.effect.intent;
        match end {
            Some((status, code)) => drop(finished_expected.insert((intent, status, code.to_owned()))),
            None => drop(released_expected.insert(intent)),
        }
        dispatcher.start(order).unwrap();
        while number < 7 && adapter.tries(intent) == 0 {
            std::thread::yield_now();
        }
    }
    let begun = Instant::now();
    let Rest { finished, released } = dispatcher.shutdown(Duration::from_secs(1));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(ends(&finished), finished_expected);
    assert_eq!(released.iter().copied().collect::<BTreeSet<_>>(), released_expected);
    assert_eq!((finished.len(), released.len()), (finished_expected.len(), released_expected.len()));
    adapter.released.store(true, Ordering::SeqCst);
}

#[test]
fn an_effect_that_waits_for_its_next_try_is_released() {
    let adapter = Scripted::new("test", 1);
    let mut options = quick();
    options.backoff_first = LONG / 2;
    options.backoff_max = LONG / 2;
    let dispatcher = dispatcher(&[&adapter], options);
    let order = order("test", Class::Keyed, 0, "retriable 2");
    let intent = order.effect.intent;
    dispatcher.start(order).unwrap();
    while adapter.tries(intent) == 0 {
        std::thread::yield_now();
    }
    let begun = Instant::now();
    let Rest { finished, released } = dispatcher.shutdown(LONG);
    assert!(finished.is_empty());
    assert_eq!(released, [intent]);
    assert!(begun.elapsed() < LONG / 4, "nothing was running: there is nothing to wait for");
}

#[test]
fn an_idle_dispatcher_ends_at_once_and_a_dropped_one_waits_for_nobody() {
    let adapter = Scripted::new("test", 1);
    let begun = Instant::now();
    let Rest { finished, released } = dispatcher(&[&adapter], quick()).shutdown(LONG);
    assert!(finished.is_empty() && released.is_empty());
    let dropped = dispatcher(&[&adapter], quick());
    dropped.start(order("test", Class::Once, 0, "deaf")).unwrap();
    drop(dropped);
    assert!(begun.elapsed() < LONG / 2);
    adapter.released.store(true, Ordering::SeqCst);
}
