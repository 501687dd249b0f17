//! A reducer that uses everything a step offers, called through its exact bytes.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use aos_air::abi::{Call, DomainEvent, Effect, Reply};
use aos_air::cbor::to_vec;
use serde::{Deserialize, Serialize};

use crate::{Failed, Next, Reducer, Step, answer};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Account {
    owner: String,
    balance: i64,
    notes: BTreeMap<String, Option<u64>>,
}

#[derive(Serialize, Deserialize)]
enum Event {
    Open { owner: String },
    Pay(i64),
    Remind,
    Close,
    Sum(Vec<i64>),
}

struct Accounts;

impl Reducer for Accounts {
    type State = Account;
    type Event = Event;

    fn step(state: Option<Account>, event: Event, step: &mut Step<'_>) -> Next<Account> {
        let Some(mut account) = state else {
            let Event::Open { owner } = event else { return Err(Failed("there is no account")) };
            return Ok(Some(Account { owner, balance: 0, notes: BTreeMap::new() }));
        };
        match event {
            Event::Open { .. } => return Err(Failed("the account is open already")),
            Event::Pay(amount) => {
                account.balance = account.balance.checked_add(amount).ok_or(Failed("the balance does not fit"))?;
                step.raise("bank/Paid@1", &amount)?;
                step.raise_at("bank/Booked@1", &account.balance, &account.owner)?;
            }
            Event::Remind => {
                let at_ns = step.context()?.ok_or(Failed("no context"))?.logical_now_ns + 5;
                let params = BTreeMap::from([("deliver_at_ns", at_ns)]);
                step.effect("timer.set", &params)?.idempotency_key = Some("remind".into());
                let key: u64 = step.key()?.ok_or(Failed("no key"))?;
                step.annotate(&key)?;
            }
            Event::Close => return Ok(None),
            Event::Sum(amounts) => account.balance = amounts.iter().sum(),
        }
        account.notes.insert("last".into(), None);
        Ok(Some(account))
    }
}

fn account(balance: i64, noted: bool) -> Vec<u8> {
    let notes = if noted { BTreeMap::from([("last".to_string(), None)]) } else { BTreeMap::new() };
    to_vec(&Account { owner: "ann".into(), balance, notes }).expect("canonical")
}

/// The context as the kernel writes it.
fn context() -> Vec<u8> {
    #[derive(Serialize)]
    struct Written<'a> {
        now_ns: u64,
        logical_now_ns: u64,
        journal_height: u64,
        entropy: &'a serde_bytes::Bytes,
        event_hash: &'a serde_bytes::Bytes,
        manifest_hash: &'a serde_bytes::Bytes,
        reducer: &'a str,
        key: Option<&'a serde_bytes::Bytes>,
        cell_mode: bool,
    }
    let hash = serde_bytes::Bytes::new(&[7; 32]);
    to_vec(&Written {
        now_ns: 90,
        logical_now_ns: 100,
        journal_height: 3,
        entropy: hash,
        event_hash: hash,
        manifest_hash: hash,
        reducer: "bank/Accounts@1",
        key: Some(serde_bytes::Bytes::new(&[9])),
        cell_mode: true,
    })
    .expect("canonical")
}

fn run(state: Option<&[u8]>, event: &Event) -> Result<Reply, Failed> {
    let value = to_vec(event).expect("canonical");
    let context = context();
    let call = Call { state, schema: "bank/Event@1", value: &value, key: Some(&[9]), context: Some(&context) };
    let mut envelope = Vec::new();
    call.encode(&mut envelope);
    answer::<Accounts>(&envelope).map(|reply| Reply::decode(&reply).expect("a reply"))
}

#[test]
fn a_cell_begins_changes_and_ends() {
    let opened = run(None, &Event::Open { owner: "ann".into() });
    assert_eq!(opened, Ok(Reply { state: Some(account(0, false)), ..Reply::default() }));
    let summed = run(Some(&account(0, false)), &Event::Sum(vec![3, -5]));
    assert_eq!(summed, Ok(Reply { state: Some(account(-2, true)), ..Reply::default() }));
    assert_eq!(run(Some(&account(7, false)), &Event::Close), Ok(Reply::default()));
}

#[test]
fn events_effects_and_annotations_leave_in_order() {
    let paid = run(Some(&account(1, false)), &Event::Pay(2)).expect("a reply");
    let event = |schema: &str, value, key| DomainEvent { schema: schema.into(), value, key };
    assert_eq!(
        paid.domain_events,
        [event("bank/Paid@1", vec![2], None), event("bank/Booked@1", vec![3], Some(b"\x63ann".to_vec()))]
    );
    let reminded = run(Some(&account(1, false)), &Event::Remind).expect("a reply");
    let effect = Effect {
        kind: "timer.set".into(),
        params: [&b"\xa1\x6ddeliver_at_ns"[..], &[0x18, 105]].concat(),
        cap_slot: None,
        idempotency_key: Some("remind".into()),
    };
    assert_eq!((reminded.effects, reminded.annotation), (vec![effect], Some(vec![9])));
}

#[test]
fn a_step_that_refuses_or_cannot_read_fails() {
    let state = account(1, false);
    for (state, event, why) in [
        (None, Event::Close, "there is no account"),
        (Some(&state[..]), Event::Open { owner: "bob".into() }, "the account is open already"),
        (Some(&state[..]), Event::Pay(i64::MAX), "the balance does not fit"),
        (Some(&[0x01][..]), Event::Close, "the state does not decode"),
    ] {
        assert_eq!(run(state, &event), Err(Failed(why)));
    }
    for (value, why) in [(&[0x18, 0x01][..], "the event does not decode"), (b"\x63Pay", "the event does not decode")] {
        let mut envelope = Vec::new();
        Call { state: None, schema: "bank/Event@1", value, key: None, context: None }.encode(&mut envelope);
        assert_eq!(answer::<Accounts>(&envelope), Err(Failed(why)));
        envelope.push(0);
        assert_eq!(answer::<Accounts>(&envelope), Err(Failed("the call's envelope does not decode")));
    }
}

#[test]
fn a_native_test_sees_what_was_raised() {
    let mut step = Step::default();
    let state = Account { owner: "ann".into(), balance: 0, notes: BTreeMap::new() };
    assert!(Accounts::step(Some(state), Event::Pay(4), &mut step).is_ok());
    let raised: Vec<Result<i64, Failed>> = step.raised("bank/Paid@1").collect();
    assert_eq!(raised, [Ok(4)]);
    assert_eq!(step.raised::<String>("bank/Paid@1").next(), Some(Err(Failed("the event is of another type"))));
    assert_eq!(step.raise("bank/Paid@1", &0.5), Err(Failed("a value has no canonical form")));
    assert_eq!(step.reply().domain_events.len(), 2);
    assert_eq!(step.context(), Ok(None));
    assert_eq!(step.key::<u64>(), Ok(None));
}
