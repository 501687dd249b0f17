//! The LLM adapter against servers that speak the two protocols, and against providers that fail in every known way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aos_air::cbor;
use aos_air::hash::Digest;
use aos_host::adapter::http::Settings;
use aos_host::adapter::llm::{Llm, Price, Protocol, Provider};
use aos_host::adapter::{Adapter, Call, Cancellation, Class, Cost, Effect, Failed, Status};
use aos_host::keys::Secret;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http_server::Server;

const KEY: &str = "sk-operator-0123456789";
const WORLD_KEY: &str = "sk-world-9876543210";

struct Ask {
    provider: Provider,
    params: BTreeMap<&'static str, cborish::Value>,
    input: Vec<u8>,
    grant: BTreeMap<&'static str, u64>,
    class: Class,
    time: Duration,
}

/// Params as a map of values that encode canonically, the decimal among them.
mod cborish {
    use aos_air::cbor::write;
    use aos_air::hash::Digest;

    #[derive(Clone)]
    pub enum Value {
        Text(String),
        Nat(u64),
        Decimal(&'static str),
        Hash(Digest),
        Texts(Vec<String>),
        Null,
    }

    /// Writes a map; canonical order is by the length of a key, then by its bytes.
    pub fn map(fields: &std::collections::BTreeMap<&'static str, Value>) -> Vec<u8> {
        let mut fields: Vec<_> = fields.iter().collect();
        fields.sort_by_key(|(name, _)| (name.len(), **name));
        let mut out = vec![0xa0 + u8::try_from(fields.len()).unwrap()];
        for (name, value) in fields {
            text(&mut out, name);
            match value {
                Value::Text(value) => text(&mut out, value),
                Value::Nat(value) => out.extend(aos_air::cbor::to_vec(value).unwrap()),
                Value::Hash(hash) => out.extend([&[0x58, 32], &hash.as_bytes()[..]].concat()),
                Value::Texts(values) => out.extend(aos_air::cbor::to_vec(values).unwrap()),
                Value::Null => out.push(0xf6),
                Value::Decimal(value) => {
                    let decimal: aos_air::schema::Decimal = value.parse().unwrap();
                    write::decimal(&mut out, decimal.exponent(), decimal.mantissa());
                }
            }
        }
        out
    }

    fn text(out: &mut Vec<u8>, value: &str) {
        out.extend(aos_air::cbor::to_vec(value).unwrap());
    }
}

#[derive(Deserialize)]
struct Receipt {
    output_ref: Digest,
    token_usage: TokenUsage,
    cost_cents: u64,
    provider_id: String,
}

#[derive(Deserialize)]
struct TokenUsage {
    prompt: u64,
    completion: u64,
}

#[derive(Debug)]
struct Told {
    output: Value,
    usage: (u64, u64),
    cents: u64,
    id: String,
    cost: Cost,
}

impl Ask {
    fn of(protocol: Protocol, server: &Server) -> Self {
        let base_url = match protocol {
            Protocol::OpenAi => server.url("/v1"),
            Protocol::Anthropic => server.url(""),
        };
        let input = b"Say hello.".to_vec();
        let price = Price { prompt: 1_000_000, completion: 5_000_000 };
        let provider = Provider {
            protocol,
            base_url,
            prices: Some(BTreeMap::from([("small".to_owned(), price)])),
            key: Some(Secret::new(KEY.as_bytes().to_vec())),
            max_completion_tokens: false,
        };
        use cborish::Value::{Decimal, Hash, Nat, Null, Text};
        let params = BTreeMap::from([
            ("provider", Text("p".to_owned())),
            ("model", Text("small".to_owned())),
            ("temperature", Decimal("0.7")),
            ("max_tokens", Nat(100)),
            ("input_ref", Hash(Digest::of(&input))),
            ("tools", Null),
            ("api_key", Null),
        ]);
        let time = Duration::from_secs(20);
        Self { provider, params, input, grant: BTreeMap::new(), class: Class::Once, time }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn bound(&mut self, name: &'static str, max: u64) {
        self.grant.insert(name, max);
    }

    fn param(&mut self, name: &'static str, value: cborish::Value) {
        self.params.insert(name, value);
    }

    fn input(mut self, input: &Value, tools: &[&str]) -> Self {
        self.input = input.to_string().into_bytes();
        self.params.insert("input_ref", cborish::Value::Hash(Digest::of(&self.input)));
        let tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
        self.params.insert("tools", cborish::Value::Texts(tools));
        self
    }

    fn perform(&self) -> Result<Told, Failed> {
        let llm = Llm::new(Settings::default(), BTreeMap::from([("p".to_owned(), self.provider.clone())])).unwrap();
        let blobs = BTreeMap::from([(Digest::of(&self.input), self.input.clone())]);
        let secrets = BTreeMap::from([("demo/Key@1".to_owned(), WORLD_KEY.as_bytes().to_vec())]);
        let mut effect = Effect::of("llm.generate", cborish::map(&self.params));
        effect.grant_params = cbor::to_vec(&self.grant).unwrap();
        effect.class = self.class;
        let cancellation = Cancellation::default();
        let mut call = Call::new(Instant::now() + self.time, &cancellation, &blobs, &secrets);
        let answer = llm.perform(&effect, &mut call)?;
        let (stored, shown) = call.into_parts();
        // Whoever gave the key, what goes out is searched for it once more.
        let is_keyed =
            self.provider.key.is_some() || matches!(self.params.get("api_key"), Some(cborish::Value::Text(_)));
        assert_eq!(shown.iter().any(|key| key.is_in(KEY.as_bytes()) || key.is_in(WORLD_KEY.as_bytes())), is_keyed);
        let receipt: Receipt = cbor::from_slice(&answer.payload).unwrap();
        let output = &stored.iter().find(|(hash, _)| *hash == receipt.output_ref).unwrap().1;
        Ok(Told {
            output: serde_json::from_slice(output).unwrap(),
            usage: (receipt.token_usage.prompt, receipt.token_usage.completion),
            cents: receipt.cost_cents,
            id: receipt.provider_id,
            cost: answer.cost,
        })
    }

    fn failure(&self) -> (String, bool, bool) {
        let failed = self.perform().map(|told| told.output).expect_err("the model answered");
        (failed.code.into_owned(), failed.retriable, failed.sent)
    }
}

fn lost(code: &str, retriable: bool, sent: bool) -> (String, bool, bool) {
    (code.to_owned(), retriable, sent)
}

fn answer(status: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} S\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn completion() -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "small-2026",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello.", "refusal": null},
                     "logprobs": null, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
    })
}

fn message() -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "small-2026",
        "content": [{"type": "thinking", "thinking": "…", "signature": "x"}, {"type": "text", "text": "Hello."}],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 2, "output_tokens": 3},
    })
}

fn both() -> [(Protocol, Value); 2] {
    [(Protocol::OpenAi, completion()), (Protocol::Anthropic, message())]
}

#[test]
fn both_protocols_give_the_same_answer() {
    for (protocol, reply) in both() {
        let server = Server::answering(answer(200, &reply.to_string()));
        let told = Ask::of(protocol, &server).perform().unwrap();
        let output = json!({"text": "Hello.", "tool_calls": [], "finish_reason": "stop", "usage": "reported", "redacted": false});
        assert_eq!(told.output, output);
        assert_eq!((told.usage, told.cents), ((12, 3), 1));
        assert_eq!(told.cost, Cost { tokens: 15, cents: 1, bytes: 0 });
        assert_eq!(told.id, reply["id"].as_str().unwrap());
    }
}

#[test]
fn requests_are_in_the_form_of_their_protocol() {
    let shown = |protocol| {
        let server = Server::answering(answer(500, ""));
        Ask::of(protocol, &server).failure();
        let seen = &server.seen()[0];
        let keys = ["authorization", "x-api-key", "anthropic-version", "content-type"]
            .map(|name| format!("{name}: {}", seen.header(name).unwrap_or("-")));
        format!("{}\n{}\n{}", seen.line(), keys.join("\n"), String::from_utf8(seen.body.clone()).unwrap())
    };
    insta::assert_snapshot!(shown(Protocol::OpenAi), @r#"
    POST /v1/chat/completions HTTP/1.1
    authorization: Bearer sk-operator-0123456789
    x-api-key: -
    anthropic-version: -
    content-type: application/json
    {"temperature":0.7,"model":"small","messages":[{"role":"user","content":"Say hello."}],"max_tokens":100,"stream":false}
    "#);
    insta::assert_snapshot!(shown(Protocol::Anthropic), @r#"
    POST /v1/messages HTTP/1.1
    authorization: -
    x-api-key: sk-operator-0123456789
    anthropic-version: 2023-06-01
    content-type: application/json
    {"temperature":0.7,"model":"small","messages":[{"role":"user","content":[{"type":"text","text":"Say hello."}]}],"max_tokens":100}
    "#);
    let server = Server::answering(answer(500, ""));
    Ask::of(Protocol::OpenAi, &server).with(|ask| ask.provider.max_completion_tokens = true).failure();
    let body: Value = serde_json::from_slice(&server.seen()[0].body).unwrap();
    assert_eq!((&body["max_completion_tokens"], &body["max_tokens"]), (&json!(100), &Value::Null));
}

#[test]
fn a_conversation_with_tools_goes_there_and_back() {
    let conversation = json!({
        "system": "Be exact.",
        "messages": [
            {"role": "user", "content": "2+3, 4+5?"},
            {"role": "assistant", "tool_calls": [
                {"id": "a", "name": "add", "arguments": "{\"x\":2,\"y\":3}"},
                {"id": "b", "name": "add", "arguments": "{\"x\":4,\"y\":5}"}]},
            {"role": "tool", "tool_call_id": "a", "content": "5"},
            {"role": "tool", "tool_call_id": "b", "content": "9"},
        ],
        "tools": [{"name": "add", "description": "adds", "parameters": {"type": "object"}}],
    });
    let call = json!({"id": "c", "name": "add", "arguments": "{\"x\":1}"});
    let openai = json!({"choices": [{"finish_reason": "tool_calls", "message": {"content": null, "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{\"x\":1}"}}]}}]});
    let anthropic = json!({"stop_reason": "tool_use", "content": [
        {"type": "tool_use", "id": "c", "name": "add", "input": {"x": 1}}]});
    for (protocol, reply) in [(Protocol::OpenAi, openai), (Protocol::Anthropic, anthropic)] {
        let server = Server::answering(answer(200, &reply.to_string()));
        let told = Ask::of(protocol, &server).input(&conversation, &["add"]).perform().unwrap();
        assert_eq!((&told.output["tool_calls"], &told.output["finish_reason"]), (&json!([call]), &json!("tool_calls")));
        let body: Value = serde_json::from_slice(&server.seen()[0].body).unwrap();
        let roles: Vec<&str> =
            body["messages"].as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
        match protocol {
            Protocol::OpenAi => {
                assert_eq!(roles, ["system", "user", "assistant", "tool", "tool"]);
                assert_eq!(body["tools"][0]["function"]["parameters"], json!({"type": "object"}));
            }
            Protocol::Anthropic => {
                assert_eq!(roles, ["user", "assistant", "user"]);
                assert_eq!(body["system"], json!("Be exact."));
                assert_eq!(body["messages"][1]["content"][1]["input"], json!({"x": 4, "y": 5}));
                assert_eq!(body["messages"][2]["content"][1]["tool_use_id"], json!("b"));
                assert_eq!(body["tools"][0]["input_schema"], json!({"type": "object"}));
            }
        }
    }
}

#[test]
fn a_provider_that_does_not_count_costs_the_worst_case() {
    for (protocol, mut reply) in both() {
        reply.as_object_mut().unwrap().remove("usage");
        let server = Server::answering(answer(200, &reply.to_string()));
        let told = Ask::of(protocol, &server).perform().unwrap();
        let sent = u64::try_from(server.seen()[0].body.len()).unwrap();
        assert_eq!((told.usage, &told.output["usage"]), ((sent, 100), &json!("assumed")));
        assert_eq!(told.cost.tokens, sent + 100);
    }
}

#[test]
fn why_a_model_stopped_has_one_word() {
    let cases = [
        (Protocol::OpenAi, "length", "length"),
        (Protocol::OpenAi, "content_filter", "refused"),
        (Protocol::OpenAi, "function_call", "tool_calls"),
        (Protocol::OpenAi, "new_word", "new_word"),
        (Protocol::Anthropic, "max_tokens", "length"),
        (Protocol::Anthropic, "stop_sequence", "stop"),
        (Protocol::Anthropic, "refusal", "refused"),
        (Protocol::Anthropic, "pause_turn", "pause_turn"),
    ];
    for (protocol, theirs, ours) in cases {
        let (mut openai, mut anthropic) = (completion(), message());
        openai["choices"][0]["finish_reason"] = json!(theirs);
        anthropic["stop_reason"] = json!(theirs);
        let reply = if protocol == Protocol::OpenAi { openai } else { anthropic };
        let server = Server::answering(answer(200, &reply.to_string()));
        assert_eq!(Ask::of(protocol, &server).perform().unwrap().output["finish_reason"], json!(ours), "{theirs}");
    }
}

#[test]
fn a_provider_that_says_no_is_understood() {
    let error = |kind: &str| json!({"type": "error", "error": {"type": kind, "message": "because"}}).to_string();
    let quota =
        json!({"error": {"message": "m", "type": "insufficient_quota", "code": "insufficient_quota"}}).to_string();
    let cases = [
        (400, error("invalid_request_error"), lost("llm.refused", false, false)),
        (401, error("authentication_error"), lost("llm.auth", false, false)),
        (402, error("billing_error"), lost("llm.quota", false, false)),
        (403, error("permission_error"), lost("llm.auth", false, false)),
        (404, error("not_found_error"), lost("llm.model_unknown", false, false)),
        (413, error("request_too_large"), lost("llm.refused", false, false)),
        (422, "{\"error\":\"because\"}".to_owned(), lost("llm.refused", false, false)),
        (429, error("rate_limit_error"), lost("llm.rate", true, false)),
        (429, quota, lost("llm.quota", false, false)),
        (500, error("api_error"), lost("llm.failed", true, true)),
        (502, "<html>bad gateway</html>".to_owned(), lost("llm.failed", true, true)),
        (503, String::new(), lost("llm.overloaded", true, false)),
        (529, error("overloaded_error"), lost("llm.overloaded", true, false)),
        (302, String::new(), lost("llm.failed", true, true)),
    ];
    for (status, body, expected) in cases {
        for (protocol, _) in both() {
            let server = Server::answering(answer(status, &body));
            assert_eq!(Ask::of(protocol, &server).failure(), expected, "{status} {body}");
            assert_eq!(server.connections(), 1);
        }
    }
    let server = Server::answering(answer(400, &error("invalid_request_error")));
    let failed = Ask::of(Protocol::OpenAi, &server).perform().unwrap_err();
    assert_eq!(
        (failed.message.as_str(), failed.status()),
        ("the provider refuses the request (400): because", Status::Failed)
    );
}

#[test]
fn an_answer_that_is_none_is_malformed() {
    let cases = [
        "",
        "hello",
        "{}",
        "[]",
        "null",
        "{\"choices\":[]}",
        "{\"content\":\"Hello.\"}",
        "{\"choices\":[{\"message\":{\"content\":7}}]}",
    ];
    for body in cases {
        for (protocol, _) in both() {
            let server = Server::answering(answer(200, body));
            assert_eq!(Ask::of(protocol, &server).failure(), lost("llm.malformed", false, true), "{body:?}");
        }
    }
    let (_, whole) = &both()[0];
    let mut cut = answer(200, &whole.to_string());
    cut.truncate(cut.len() - 5);
    assert_eq!(Ask::of(Protocol::OpenAi, &Server::answering(cut)).failure(), lost("http.closed", true, true));
    let endless = Server::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        crate::http_server::drip(stream, b" ", Duration::from_millis(20))
    });
    let ask = Ask::of(Protocol::OpenAi, &endless).with(|ask| ask.time = Duration::from_millis(400));
    assert_eq!(ask.failure(), lost("http.timeout", true, true));
}

#[test]
fn what_the_host_does_not_know_is_refused_before_a_byte_leaves() {
    use cborish::Value::{Hash, Text};
    let server = Server::answering(answer(200, &completion().to_string()));
    type Change = fn(&mut Ask);
    let cases: [(&str, Change); 7] = [
        ("llm.provider_unknown", |ask| ask.param("provider", Text("q".to_owned()))),
        ("llm.model_unknown", |ask| ask.param("model", Text("large".to_owned()))),
        ("adapter.secret", |ask| ask.param("api_key", Text("demo/Other@1".to_owned()))),
        ("blob.missing", |ask| ask.param("input_ref", Hash(Digest::of(b"gone")))),
        ("llm.base_url", |ask| ask.provider.base_url = "ftp://127.0.0.1/".to_owned()),
        ("llm.prompt", |ask| ask.bound("prompt_tokens_max", 20)),
        ("llm.cost", |ask| ask.bound("cents_max", 0)),
    ];
    for (code, change) in cases {
        let ask = Ask::of(Protocol::OpenAi, &server).with(change);
        assert_eq!(ask.failure(), lost(code, false, false));
    }
    let bad = Ask::of(Protocol::OpenAi, &server).input(&json!({"messages": []}), &[]);
    assert_eq!(bad.failure(), lost("llm.input", false, false));
    let tool =
        Ask::of(Protocol::OpenAi, &server).input(&json!({"messages": [{"role": "user", "content": "x"}]}), &["add"]);
    assert_eq!(tool.failure(), lost("llm.input", false, false));
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_bound_holds_at_its_edge() {
    let server = Server::answering(answer(200, &completion().to_string()));
    Ask::of(Protocol::OpenAi, &server).perform().unwrap();
    let bytes = u64::try_from(server.seen()[0].body.len()).unwrap();
    let prompt = |max| Ask::of(Protocol::OpenAi, &server).with(|ask| ask.bound("prompt_tokens_max", max));
    assert!(prompt(bytes).perform().is_ok());
    assert_eq!(prompt(bytes - 1).failure(), lost("llm.prompt", false, false));
    // 1,000 cents for a million tokens in, 5,000 for a million out; at most 100 come out.
    let worst = (bytes * 1_000 + 100 * 5_000).div_ceil(1_000_000);
    let cents = |max| Ask::of(Protocol::OpenAi, &server).with(|ask| ask.bound("cents_max", max));
    assert!(cents(worst).perform().is_ok());
    assert_eq!(cents(worst - 1).failure(), lost("llm.cost", false, false));
    // A model on one's own machine costs nothing, and any of them may be asked.
    let free = cents(0).with(|ask| {
        ask.provider.prices = None;
        ask.params.insert("model", cborish::Value::Text("any".to_owned()));
    });
    assert_eq!(free.perform().unwrap().cents, 0);
}

#[test]
fn the_worlds_key_goes_before_the_operators_and_neither_is_stored() {
    for (protocol, mut reply) in both() {
        let echo = format!("{KEY} and {WORLD_KEY}");
        match protocol {
            Protocol::OpenAi => reply["choices"][0]["message"]["content"] = json!(echo),
            Protocol::Anthropic => reply["content"][1]["text"] = json!(echo),
        }
        let field = if protocol == Protocol::OpenAi { "authorization" } else { "x-api-key" };
        let server = Server::answering(answer(200, &reply.to_string()));
        let told = Ask::of(protocol, &server).perform().unwrap();
        assert_eq!(
            (&told.output["redacted"], &told.output["text"]),
            (&json!(true), &json!(format!("[secret] and {WORLD_KEY}")))
        );
        let own = |ask: &mut Ask| ask.param("api_key", cborish::Value::Text("demo/Key@1".to_owned()));
        let told = Ask::of(protocol, &server).with(own).perform().unwrap();
        assert_eq!(told.output["text"], json!(format!("{KEY} and [secret]")));
        let seen = server.seen();
        assert!(seen[0].header(field).unwrap().ends_with(KEY) && seen[1].header(field).unwrap().ends_with(WORLD_KEY));
        Ask::of(protocol, &server).with(|ask| ask.provider.key = None).perform().unwrap();
        assert_eq!(server.seen()[2].header(field), None);
    }
    let refusal = json!({"error": {"message": format!("Incorrect API key provided: {KEY}")}}).to_string();
    let failed = Ask::of(Protocol::OpenAi, &Server::answering(answer(401, &refusal))).perform().unwrap_err();
    assert_eq!(failed.message, "the provider does not accept the key (401): Incorrect API key provided: [secret]");
}

#[test]
fn only_a_keyed_effect_carries_its_key() {
    for (class, expected) in [(Class::Once, false), (Class::Keyed, true)] {
        let server = Server::answering(answer(200, &completion().to_string()));
        Ask::of(Protocol::OpenAi, &server).with(|ask| ask.class = class).perform().unwrap();
        assert_eq!(server.seen()[0].header("idempotency-key").is_some(), expected, "{class:?}");
    }
}
