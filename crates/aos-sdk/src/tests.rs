//! A reducer that uses everything a step offers, and a pure module, called through their exact bytes.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use aos_air::abi::{Call, DomainEvent, Effect, PureCall, PureReply, Reply};
use aos_air::cbor::to_vec;
use serde::{Deserialize, Serialize};

use crate::{
    Bytes, EffectError, EffectFailed, EffectStatus, Failed, Hash, Next, Pure, PureContext, Reducer, Step, TimerFired,
    answer, answer_pure,
};

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

#[test]
fn micro_effects_have_the_parameters_of_their_schemas() {
    let mut step = Step::default();
    step.set_timer(105, Some("tea")).expect("canonical").cap_slot = Some("clock".into());
    step.put_blob(b"hi").expect("canonical");
    step.get_blob(Hash([7; 32]), 9).expect("canonical");
    let asked: Vec<(&str, &[u8])> =
        step.reply().effects.iter().map(|effect| (effect.kind.as_str(), effect.params.as_slice())).collect();
    let hash = [&b"\x68blob_ref\x58\x20"[..], &[7; 32]].concat();
    let get = [b"\xa2", &hash[..], b"\x6ainline_max\x09"].concat();
    assert_eq!(
        asked,
        [
            ("timer.set", &b"\xa2\x63key\x63tea\x6ddeliver_at_ns\x18\x69"[..]),
            ("blob.put", b"\xa2\x65bytes\x42hi\x68blob_ref\xf6"),
            ("blob.get", &get[..]),
        ]
    );
    assert_eq!(step.reply().effects[0].cap_slot.as_deref(), Some("clock"));
}

#[test]
fn answers_decode_as_the_kernel_writes_them() {
    let (intent_id, error) = (Hash([1; 32]), EffectError { code: "a.b".into(), message: "no".into(), retriable: true });
    let fired =
        TimerFired { intent_id, idempotency_key: None, deliver_at_ns: 1, delivered_at_ns: 2, key: Some("k".into()) };
    let failed = EffectFailed {
        intent_id,
        idempotency_key: Some("i".into()),
        kind: "timer.set".into(),
        status: EffectStatus::InDoubt,
        error: Some(error),
    };
    let text = to_vec(&failed).expect("canonical");
    assert!(text.windows(9).any(|bytes| bytes == b"\x68in_doubt"), "{text:x?}");
    assert_eq!(aos_air::cbor::from_slice::<TimerFired>(&to_vec(&fired).expect("canonical")), Ok(fired));
    assert_eq!(aos_air::cbor::from_slice::<EffectFailed>(&text), Ok(failed));
    assert_eq!(to_vec(&intent_id), Ok([&[0x58, 32][..], &[1; 32]].concat()));
}

/// Divides, and tells at which height where it is told.
struct Halve;

impl Pure for Halve {
    type Input = u64;
    type Output = (u64, Option<u64>, Bytes);

    fn run(input: u64, context: Option<PureContext>) -> Result<Self::Output, Failed> {
        if input % 2 == 1 {
            return Err(Failed("odd"));
        }
        Ok((input / 2, context.map(|context| context.journal_height), Bytes::from([1])))
    }
}

#[test]
fn a_pure_module_answers_with_its_output_or_why_there_is_none() {
    #[derive(Serialize)]
    struct Written<'a> {
        logical_now_ns: u64,
        journal_height: u64,
        manifest_hash: &'a serde_bytes::Bytes,
        module: &'a str,
    }
    let manifest_hash = serde_bytes::Bytes::new(&[7; 32]);
    let context = Written { logical_now_ns: 5, journal_height: 3, manifest_hash, module: "bank/Halve@1" };
    let context = to_vec(&context).expect("canonical");
    let run = |input: &[u8], context| {
        let mut envelope = Vec::new();
        PureCall { input, context }.encode(&mut envelope);
        answer_pure::<Halve>(&envelope).map(|reply| PureReply::decode(&reply).expect("a reply"))
    };
    let output = |bytes: &[u8]| Ok(PureReply::Output(bytes.to_vec()));
    assert_eq!(run(&[8], None), output(&[0x83, 4, 0xf6, 0x41, 1]));
    assert_eq!(run(&[8], Some(&context)), output(&[0x83, 4, 3, 0x41, 1]));
    assert_eq!(run(&[7], None), Err(Failed("odd")));
    assert_eq!(run(b"\x61a", None), Err(Failed("the input does not decode")));
    assert_eq!(run(&[8], Some(&[0xa0])), Err(Failed("the context is of another type")));
    assert_eq!(answer_pure::<Halve>(&[0xa0]), Err(Failed("the call's envelope does not decode")));
}
