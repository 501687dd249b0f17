//! The guest of a world that acts on the outside: a reducer that writes down what it hears, and an enforcer.
//!
//! Both do what the values tell them, so that a test can have them ask, refuse and fail.

use aos_air::abi::{Call, DomainEvent, Effect, PureCall, PureReply, Reply};
use aos_air::cbor;
use aos_air::hash::Digest;
use aos_air::module::Entry;
use aos_kernel::guest::{Allowance, CallError, Guest, Trap};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::support::wasm;

pub const CLERK: &str = "t/Clerk@1";
pub const METER: &str = "t/Meter@1";

/// What the clerk is told to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Errand {
    /// Asks for an effect: kind, parameters, slot, own key.
    Ask(String, ByteBuf, Option<String>, Option<String>),
    /// Raises a note.
    Say(Note),
    /// Raises the event that starts plans.
    Go(ByteBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub n: u64,
    pub who: String,
}

/// The clerk's events.
#[derive(Debug, Deserialize)]
enum Heard {
    Do(ByteBuf),
    Note(Note),
    Answer { a: u64 },
    Fired { idempotency_key: Option<String>, delivered_at_ns: u64, key: Option<String> },
    Put { idempotency_key: Option<String>, size: u64 },
    Got { idempotency_key: Option<String>, size: u64 },
    Failed { idempotency_key: Option<String>, kind: String, status: String, error: Option<Error> },
}

#[derive(Debug, Deserialize)]
struct Error {
    code: String,
}

/// Runs the reducer, which writes down what it hears, and the enforcer natively. Fuel is one unit a call.
#[derive(Debug, Default, Clone)]
pub struct Clerk;

impl Guest for Clerk {
    fn call(
        &mut self,
        module: &Digest,
        entry: Entry,
        input: &[u8],
        allowance: Allowance,
        output: &mut Vec<u8>,
    ) -> Result<u64, CallError> {
        output.clear();
        let trap = |trap| Err(CallError::Failed { trap, fuel_used: 1 });
        if allowance.fuel == 0 {
            return Err(CallError::Failed { trap: Trap::Fuel, fuel_used: 0 });
        }
        if *module == wasm(METER) {
            assert_eq!(entry, Entry::Pure);
            return meter(input, output).map_or_else(|| trap(Trap::Trap), |()| Ok(1));
        }
        assert!(*module == wasm(CLERK) && entry == Entry::Reducer, "no other module is called");
        match clerk(&Call::decode(input).unwrap()) {
            Some(reply) => reply.encode(output),
            None => return trap(Trap::Trap),
        }
        Ok(1)
    }
}

fn clerk(call: &Call<'_>) -> Option<Reply> {
    let mut log: Vec<String> = call.state.map(|state| cbor::from_slice(state).unwrap()).unwrap_or_default();
    let mut reply = Reply::default();
    let (line, own_key) = match cbor::from_slice(call.value).unwrap() {
        Heard::Do(script) => {
            for errand in cbor::from_slice::<Vec<Errand>>(&script).unwrap() {
                run(errand, &mut reply);
            }
            (None, None)
        }
        Heard::Note(Note { n, who }) => match who.as_str() {
            "trap" => return None,
            "refuse" => {
                reply.error = Some("not this one".into());
                (None, None)
            }
            _ => (Some(format!("note {n} {who}")), None),
        },
        Heard::Answer { a } => (Some(format!("answer {a}")), None),
        Heard::Fired { idempotency_key, delivered_at_ns, key } => {
            (Some(format!("fired {} at {delivered_at_ns}", key.unwrap_or_default())), idempotency_key)
        }
        Heard::Put { idempotency_key, size } => (Some(format!("put {size}")), idempotency_key),
        Heard::Got { idempotency_key, size } => (Some(format!("got {size}")), idempotency_key),
        Heard::Failed { idempotency_key, kind, status, error } => {
            let code = error.map(|error| error.code).unwrap_or_default();
            (Some(format!("failed {kind} {status} {code}")), idempotency_key)
        }
    };
    match own_key.as_deref() {
        Some("fatal") => return None,
        Some("again") => run(Errand::Ask("timer.set".into(), timer(5), None, None), &mut reply),
        Some("forever") => run(Errand::Ask("timer.set".into(), timer(5), None, own_key), &mut reply),
        _ => {}
    }
    log.extend(line);
    reply.state = Some(cbor::to_vec(&log).unwrap());
    Some(reply)
}

fn run(errand: Errand, reply: &mut Reply) {
    let event = |schema: &str, value| DomainEvent { schema: schema.into(), value, key: None };
    match errand {
        Errand::Ask(kind, params, cap_slot, idempotency_key) => {
            reply.effects.push(Effect { kind, params: params.into_vec(), cap_slot, idempotency_key });
        }
        Errand::Say(note) => reply.domain_events.push(event("t/Note@1", cbor::to_vec(&note).unwrap())),
        Errand::Go(value) => reply.domain_events.push(event("t/Go@1", value.into_vec())),
    }
}

/// The parameters of a timer.
pub fn timer(deliver_at_ns: u64) -> ByteBuf {
    #[derive(Serialize)]
    struct Params {
        deliver_at_ns: u64,
        key: Option<String>,
    }
    cbor::to_vec(&Params { deliver_at_ns, key: Some("egg".into()) }).unwrap().into()
}

/// The enforcer: what it does stands in the parameters.
fn meter(input: &[u8], output: &mut Vec<u8>) -> Option<()> {
    #[derive(Deserialize)]
    struct Ask {
        q: String,
        n: u64,
    }
    #[derive(Deserialize)]
    struct Check {
        effect_params: ByteBuf,
    }
    #[derive(Serialize)]
    struct Reserve {
        tokens: Option<u64>,
        cents: Option<u64>,
        bytes: Option<u64>,
    }
    #[derive(Serialize)]
    struct Judged {
        ok: bool,
        code: Option<String>,
        message: Option<String>,
        reserve: Reserve,
    }
    let check: Check = cbor::from_slice(PureCall::decode(input).unwrap().input).unwrap();
    let ask: Ask = cbor::from_slice(&check.effect_params).unwrap();
    let reply = match ask.q.as_str() {
        "trap" => return None,
        "nonsense" => PureReply::Output(vec![0x80]),
        "error" => PureReply::Error("it is closed".into()),
        "free" => {
            let reserve = Reserve { tokens: None, cents: None, bytes: None };
            PureReply::Output(cbor::to_vec(&Judged { ok: true, code: None, message: None, reserve }).unwrap())
        }
        _ => {
            let (ok, code) = if ask.n > 100 { (false, Some("t.too_much".into())) } else { (true, None) };
            let reserve = Reserve { tokens: Some(ask.n), cents: Some(0), bytes: Some(0) };
            PureReply::Output(cbor::to_vec(&Judged { ok, code, message: None, reserve }).unwrap())
        }
    };
    reply.encode(output);
    Some(())
}
