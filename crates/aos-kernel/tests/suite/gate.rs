//! The gate from outside: every trick to get an effect past its grant, with what it is refused by.
//!
//! The table is what `docs/` shows. Budgets, addresses and the single rules have their own tests below and in `gate/`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aos_air::built_in;
use aos_air::def::{Budget as Limit, Secret};
use aos_air::hash::Digest;
use aos_air::name::Name;
use aos_air::schema::{Shape, Value};
use aos_air::text::{At, Report, parse};
use aos_air::url::Target;
use aos_air::validate::{Source, load};
use aos_kernel::gate::custom::{self, Check};
use aos_kernel::gate::secret::{self, User};
use aos_kernel::gate::{Budget, Denied, Enforcer, MESSAGE_BYTES_MAX, Spend, WorstCase, constrain, http};
use proptest::prelude::*;

use crate::support::assert_kept;

fn read(shape: &Shape, text: &str) -> Value {
    let json = parse(text).unwrap();
    let report = Report::default();
    At::root(&json, &report).value(shape).unwrap_or_else(|| panic!("{text}: {report:?}"))
}

fn params(schema: &str, text: &str) -> Value {
    read(&built_in::schema(&Name::parse(schema).unwrap()).unwrap().shape, text)
}

/// Reads the params of a grant by the schema of its capability.
fn grant(cap: &str, text: &str) -> Value {
    let manifest = format!(
        r#"{{"$kind": "manifest", "air_version": "1",
            "defaults": {{"cap_grants": [{{"name": "it", "cap": "{cap}", "params": {text}}}]}}}}"#
    );
    let source = Source { file: "grant.air.json".into(), text: manifest };
    let manifest = load(&[source], &|_| None).unwrap_or_else(|findings| panic!("{findings}"));
    let grant = manifest.definition().grant("it").unwrap();
    grant.params.value().unwrap().clone()
}

/// A request with these members besides what a request needs.
fn request(members: &str) -> Value {
    let mut fields: BTreeMap<&str, serde_json::Value> = serde_json::from_str(members).unwrap();
    fields.entry("method").or_insert("GET".into());
    fields.entry("url").or_insert("https://api.example.com/v1/items".into());
    fields.entry("headers").or_insert(serde_json::json!({}));
    params("sys/HttpRequestParams@1", &serde_json::to_string(&fields).unwrap())
}

fn generate(members: &str) -> Value {
    let mut fields: BTreeMap<&str, serde_json::Value> = serde_json::from_str(members).unwrap();
    let input = Digest::of(b"prompt").to_string();
    let rest = [
        ("provider", "local".into()),
        ("model", "small".into()),
        ("temperature", "0".into()),
        ("max_tokens", 100.into()),
        ("input_ref", input.into()),
    ];
    for (name, value) in rest {
        fields.entry(name).or_insert(value);
    }
    params("sys/LlmGenerateParams@1", &serde_json::to_string(&fields).unwrap())
}

const HTTP: &str = r#"{"hosts": ["api.example.com", "*.example.org", "127.0.0.1", "[::1]"], "schemes": ["https", "http"],
    "ports": [443, 80, 8080], "methods": ["GET", "POST"], "path_prefixes": ["/v1", "/open/"], "body_bytes_max": 1000}"#;
const LLM: &str = r#"{"providers": ["local"], "models": ["small"], "max_tokens": 100, "tools_allow": ["search"],
    "prompt_tokens_max": 400, "cents_max": 5}"#;

fn outcome(result: Result<WorstCase, Denied>) -> String {
    match result {
        Ok(WorstCase { tokens, cents, bytes }) => {
            let shown = |bound: Option<u64>| bound.map_or_else(|| "-".to_owned(), |bound| bound.to_string());
            format!("allowed, at most {} tokens, {} cents, {} bytes", shown(tokens), shown(cents), shown(bytes))
        }
        Err(Denied { code, message }) => {
            assert!(message.len() <= MESSAGE_BYTES_MAX && !message.contains(char::is_control), "{message}");
            format!("{code}: {message}")
        }
    }
}

#[test]
fn escape_attempts() {
    let url = |url: &str| request(&serde_json::json!({ "url": url }).to_string());
    let header = |name: &str, value: &str| request(&serde_json::json!({"headers": {name: value}}).to_string());
    let long = format!("https://api.example.com/{}", "a".repeat(10_000));
    let http: Vec<(&str, Value)> = vec![
        ("what the grant names", url("https://api.example.com/v1/items")),
        ("a name below the suffix", url("http://a.b.example.org/v1")),
        ("the prefix that ends with a slash", url("https://api.example.com/open/x")),
        ("an address that the grant names", url("http://127.1:8080/v1")),
        ("the bare suffix", url("https://example.org/v1")),
        ("a name that ends like the suffix", url("https://evilexample.org/v1")),
        ("a host with the allowed one in front", url("https://api.example.com.evil.test/v1")),
        ("the allowed host as the user", url("https://api.example.com@evil.test/v1")),
        ("the allowed host before a backslash", url("https://api.example.com\\@evil.test/v1")),
        ("the allowed host in the query", url("https://evil.test/?https://api.example.com/v1")),
        ("the allowed host in the fragment", url("https://evil.test/v1#@api.example.com")),
        ("an escaped host", url("https://%61pi.example.com/v1")),
        ("a host with a look-alike letter", url("https://\u{430}pi.example.com/v1")),
        ("a trailing dot, which is the same host", url("https://api.example.com./v1")),
        ("another loopback address", url("http://127.0.0.2/v1")),
        ("an address as one number", url("http://2130706434/v1")),
        ("an address in octal", url("http://0177.0.0.2/v1")),
        ("an address that IPv6 maps", url("http://[::ffff:127.0.0.1]/v1")),
        ("an address with a zone", url("http://[fe80::1%25eth0]/v1")),
        ("the metadata service", url("http://169.254.169.254/v1")),
        ("another scheme", url("ftp://api.example.com/v1")),
        ("a file", url("file:///etc/passwd")),
        ("no authority", url("https:api.example.com/v1")),
        ("a tab inside the scheme", url("ht\ttps://api.example.com/v1")),
        ("another port", url("https://api.example.com:22/v1")),
        ("port zero", url("https://api.example.com:0/v1")),
        ("a path that only begins like the prefix", url("https://api.example.com/v10")),
        ("dot segments out of the prefix", url("https://api.example.com/v1/../admin")),
        ("escaped dot segments", url("https://api.example.com/v1/%2e%2e/admin")),
        ("an escaped slash", url("https://api.example.com/v1/..%2fadmin")),
        ("an escaped backslash", url("https://api.example.com/v1/..%5cadmin")),
        ("an escaped escape", url("https://api.example.com/v1/%252e%252e/admin")),
        ("dots with a parameter", url("https://api.example.com/v1/..;/admin")),
        ("a slash first", url("https://api.example.com//v1/items")),
        ("the prefix in capitals", url("https://api.example.com/V1/items")),
        ("the prefix in escapes, which is the same path", url("https://api.example.com/%76%31/items")),
        ("a URL that is too long", url(&long)),
        ("no URL", url("")),
        ("another method", request(r#"{"method": "DELETE"}"#)),
        ("a method in small letters", request(r#"{"method": "get"}"#)),
        ("a method with a request after it", request(r#"{"method": "GET / HTTP/1.1\r\nX:"}"#)),
        ("a tunnel", request(r#"{"method": "CONNECT"}"#)),
        ("a literal secret", header("authorization", "Bearer abc")),
        ("a literal secret in capitals", header("X-API-KEY", "abc")),
        ("a literal cookie", header("Cookie", "a=b")),
        ("a secret's header with a space", header("Authorization ", "Bearer abc")),
        ("another host by header", header("Host", "evil.test")),
        ("another host by header of a proxy", header("X-Forwarded-Host", "evil.test")),
        ("another method by header", header("X-HTTP-Method-Override", "DELETE")),
        ("another path by header", header("X-Original-URL", "/admin")),
        ("a request inside a request", header("Transfer-Encoding", "chunked")),
        ("a header inside a value", header("X-Note", "a\r\nHost: evil.test")),
        ("a header twice", request(r#"{"headers": {"X-Note": "a", "x-note": "b"}}"#)),
        ("a secret as the host", request(r#"{"auth": {"secret": "demo/Key@1", "header": "Host"}}"#)),
        (
            "a header in the prefix",
            request(r#"{"auth": {"secret": "demo/Key@1", "header": "X-Key", "prefix": "a\nb: "}}"#),
        ),
        (
            "the header of `auth` twice",
            request(r#"{"headers": {"x-key": "a"}, "auth": {"secret": "demo/Key@1", "header": "X-Key"}}"#),
        ),
    ];
    let llm: Vec<(&str, Value)> = vec![
        ("what the grant names", generate(r#"{"tools": ["search"]}"#)),
        ("another provider", generate(r#"{"provider": "Local"}"#)),
        ("another model", generate(r#"{"model": "small-but-large"}"#)),
        ("a token too many", generate(r#"{"max_tokens": 101}"#)),
        ("all tokens that there are", generate(r#"{"max_tokens": 18446744073709551615}"#)),
        ("another tool", generate(r#"{"tools": ["search", "shell"]}"#)),
    ];
    let mut table = String::new();
    let mut judge = |enforcer, kind: &str, grant: &Value, cases: Vec<(&str, Value)>| {
        writeln!(table, "{kind}").unwrap();
        for (what, params) in cases {
            writeln!(table, "  {what:<48} {}", outcome(constrain(enforcer, kind, grant, &params))).unwrap();
        }
    };
    judge(Enforcer::HttpOut, "http.request", &grant("sys/http.out@1", HTTP), http);
    judge(Enforcer::LlmBasic, "llm.generate", &grant("sys/llm.basic@1", LLM), llm);
    let mail = vec![("a kind that the enforcer does not know", Value::Unit)];
    judge(Enforcer::HttpOut, "mail.send", &grant("sys/http.out@1", HTTP), mail);
    assert_kept!("gate", "escape_attempts", table);
}

#[test]
fn a_grant_that_says_little_allows_little() {
    let bare = grant("sys/http.out@1", r#"{"hosts": ["api.example.com"]}"#);
    let table = [
        r#"{}"#,
        r#"{"method": "HEAD", "url": "https://api.example.com"}"#,
        r#"{"method": "POST"}"#,
        r#"{"url": "http://api.example.com/"}"#,
        r#"{"url": "https://api.example.com:8443/"}"#,
        r#"{"url": "https://api.example.com:443/"}"#,
    ];
    let line = |members: &&str| {
        format!("{members:<58} {}", outcome(constrain(Enforcer::HttpOut, "http.request", &bare, &request(members))))
    };
    insta::assert_snapshot!(table.iter().map(line).collect::<Vec<_>>().join("\n"), @r#"
        {}                                                         allowed, at most 0 tokens, 0 cents, - bytes
        {"method": "HEAD", "url": "https://api.example.com"}       allowed, at most 0 tokens, 0 cents, - bytes
        {"method": "POST"}                                         http.method: the grant does not allow the method `POST`
        {"url": "http://api.example.com/"}                         http.scheme: the grant does not allow http
        {"url": "https://api.example.com:8443/"}                   http.port: the grant does not allow the port 8443
        {"url": "https://api.example.com:443/"}                    allowed, at most 0 tokens, 0 cents, - bytes
        "#);
    let bare = grant("sys/llm.basic@1", "{}");
    let judge = |members| outcome(constrain(Enforcer::LlmBasic, "llm.generate", &bare, &generate(members)));
    insta::assert_snapshot!(judge("{}"), @"allowed, at most - tokens, - cents, - bytes");
    insta::assert_snapshot!(judge(r#"{"tools": ["search"]}"#), @"llm.tools: the grant does not name the tool `search`");
}

#[test]
fn worst_cases_are_what_the_kind_and_the_grant_bound() {
    let unit = Value::Record(BTreeMap::new());
    let hash = Digest::of(b"x");
    let table = [
        ("timer.set", params("sys/TimerSetParams@1", r#"{"deliver_at_ns": 5}"#)),
        ("blob.put", params("sys/BlobPutParams@1", r#"{"bytes": "AAECAw=="}"#)),
        ("blob.put", params("sys/BlobPutParams@1", &format!(r#"{{"blob_ref": "{hash}"}}"#))),
        ("blob.put", params("sys/BlobPutParams@1", "{}")),
        ("blob.put", params("sys/BlobPutParams@1", &format!(r#"{{"blob_ref": "{hash}", "bytes": "AA=="}}"#))),
        ("blob.get", params("sys/BlobGetParams@1", &format!(r#"{{"blob_ref": "{hash}", "inline_max": 9}}"#))),
        ("blob.get", params("sys/BlobGetParams@1", &format!(r#"{{"blob_ref": "{hash}"}}"#))),
        ("http.request", request("{}")),
        ("http.request", request(r#"{"headers": {"Cookie": "a"}}"#)),
        ("http.request", request(r#"{"method": "TRACE"}"#)),
        ("llm.generate", generate("{}")),
        ("mail.send", unit),
    ];
    let line = |(kind, params): &(&str, Value)| {
        format!("{kind:<13} {}", outcome(constrain(Enforcer::AllowAll, kind, &Value::Unit, params)))
    };
    insta::assert_snapshot!(table.iter().map(line).collect::<Vec<_>>().join("\n"), @"
        timer.set     allowed, at most 0 tokens, 0 cents, 0 bytes
        blob.put      allowed, at most 0 tokens, 0 cents, 4 bytes
        blob.put      allowed, at most 0 tokens, 0 cents, - bytes
        blob.put      effect.params: `blob.put` takes either `bytes` or `blob_ref`, and not both
        blob.put      effect.params: `blob.put` takes either `bytes` or `blob_ref`, and not both
        blob.get      allowed, at most 0 tokens, 0 cents, 9 bytes
        blob.get      allowed, at most 0 tokens, 0 cents, 0 bytes
        http.request  allowed, at most 0 tokens, 0 cents, - bytes
        http.request  secret.literal: the header `cookie` takes a secret: name one in `auth`
        http.request  http.method: no grant allows the method `TRACE`
        llm.generate  allowed, at most - tokens, - cents, - bytes
        mail.send     allowed, at most - tokens, - cents, - bytes
        ");
}

#[test]
fn a_redirect_and_an_address_are_judged_by_the_same_grant() {
    let constraints = http::Constraints::of(&grant("sys/http.out@1", HTTP)).unwrap();
    let first = Target::parse("https://api.example.com/v1/a").unwrap();
    let hop = |location: &str| {
        let target = first.join(location).unwrap();
        http::permits(&constraints, &target, "GET").map_err(|denied| denied.code.into_owned())
    };
    assert_eq!(hop("b"), Ok(()));
    assert_eq!(hop("../admin"), Err("http.path".to_owned()));
    assert_eq!(hop("//169.254.169.254/v1"), Err("http.host".to_owned()));
    assert_eq!(hop("https://evil.test/v1"), Err("http.host".to_owned()));
    let reach = |address: &str| constraints.may_reach(address.parse().unwrap());
    for address in ["93.184.215.14", "127.0.0.1", "::1", "::ffff:127.0.0.1", "2606:4700::1"] {
        assert!(reach(address), "{address}");
    }
    for address in ["127.0.0.2", "10.0.0.1", "169.254.169.254", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"] {
        assert!(!reach(address), "{address}");
    }
    let local = http::Constraints::of(&grant("sys/http.out@1", r#"{"hosts": ["localhost"]}"#)).unwrap();
    assert!(local.may_reach("127.0.0.1".parse().unwrap()) && local.may_reach("::1".parse().unwrap()));
    assert!(!local.may_reach("10.0.0.1".parse().unwrap()));
}

#[test]
fn a_secret_is_used_by_whom_its_definition_names() {
    let name = |text: &str| Name::parse(text).unwrap();
    let open = Secret {
        name: name("demo/Open@1"),
        binding_id: "open".into(),
        expected_digest: None,
        allowed_caps: None,
        allowed_plans: None,
    };
    let narrow = Secret {
        name: name("demo/Narrow@1"),
        allowed_caps: Some(vec!["web".into()]),
        allowed_plans: Some(vec![name("demo/Fetch@1")]),
        ..open.clone()
    };
    let find = |text: &str| [&open, &narrow].into_iter().find(|secret| secret.name.as_str() == text);
    let ask = |kind: &str, params: &Value, grant: &str, plan: Option<&str>| {
        let used = secret::check(kind, params, User { grant, plan }, &find);
        used.map_or_else(|denied| denied.code.into_owned(), |used| used.join(" "))
    };
    let by = |secret: &str| {
        request(
            &serde_json::json!({"auth": {"secret": secret, "header": "Authorization", "prefix": "Bearer "}})
                .to_string(),
        )
    };
    let fetch = Some("demo/Fetch@1");
    assert_eq!(ask("http.request", &request("{}"), "web", fetch), "");
    assert_eq!(ask("http.request", &by("demo/Open@1"), "any", Some("demo/Any@1")), "demo/Open@1");
    assert_eq!(ask("http.request", &by("demo/Open@2"), "web", fetch), "secret.unknown");
    assert_eq!(ask("http.request", &by("demo/Narrow@1"), "web", fetch), "demo/Narrow@1");
    assert_eq!(ask("http.request", &by("demo/Narrow@1"), "web2", fetch), "secret.not_allowed");
    assert_eq!(ask("http.request", &by("demo/Narrow@1"), "web", Some("demo/Fetch@2")), "secret.not_allowed");
    assert_eq!(ask("http.request", &by("demo/Narrow@1"), "web", None), "secret.not_allowed");
    assert_eq!(ask("llm.generate", &generate(r#"{"api_key": "demo/Narrow@1"}"#), "web", fetch), "demo/Narrow@1");
    assert_eq!(ask("llm.generate", &generate(r#"{"api_key": "sk-123"}"#), "web", fetch), "secret.unknown");
    let put = |alias: &str, binding: &str| {
        let digest = Digest::of(b"x").to_string();
        let json =
            serde_json::json!({"alias": alias, "binding_id": binding, "value_ref": "h", "expected_digest": digest});
        params("sys/VaultPutParams@1", &json.to_string())
    };
    assert_eq!(ask("vault.put", &put("demo/Open@1", "open"), "vault", fetch), "demo/Open@1");
    assert_eq!(ask("vault.put", &put("demo/Open@1", "other"), "vault", fetch), "secret.unknown");
    assert_eq!(ask("vault.put", &put("demo/Narrow@1", "open"), "vault", fetch), "secret.not_allowed");
}

#[test]
fn a_custom_enforcer_speaks_one_form() {
    let check = Check {
        cap_params: &[0xa0],
        effect_kind: "mail.send",
        effect_params: &[0xa0],
        grant: "post",
        origin_kind: "plan",
        origin_name: "demo/Send@1",
        logical_now_ns: 5,
    };
    let schema = built_in::schema(&Name::parse(built_in::ENFORCER_SCHEMAS[0]).unwrap()).unwrap();
    assert_eq!(schema.shape.check(&check.encode()), Ok(()));
    let answer = |text: &str| params(built_in::ENFORCER_SCHEMAS[1], text).to_cbor();
    let table = [
        answer(r#"{"ok": true, "reserve": {"tokens": 3, "cents": 4, "bytes": 5}}"#),
        answer(r#"{"ok": true, "reserve": {}}"#),
        answer(r#"{"ok": true, "code": "mail.list", "reserve": {}}"#),
        answer(r#"{"ok": false, "code": "mail.list", "message": "not on the list", "reserve": {}}"#),
        answer(r#"{"ok": false, "reserve": {}}"#),
        answer(r#"{"ok": false, "code": "Not A Code", "message": "a\u001b[2Jb", "reserve": {}}"#),
        answer(&format!(r#"{{"ok": false, "message": "{}", "reserve": {{}}}}"#, "é".repeat(200))),
        answer(&format!(r#"{{"ok": true, "message": "{}", "reserve": {{}}}}"#, "a".repeat(5000))),
        vec![0xf5],
        vec![],
    ];
    let known = WorstCase { tokens: Some(0), cents: None, bytes: Some(7) };
    let line = |answer: &Vec<u8>| outcome(custom::verdict(answer, known));
    insta::assert_snapshot!(table.iter().map(line).collect::<Vec<_>>().join("\n"), @"
        allowed, at most 3 tokens, 4 cents, 7 bytes
        allowed, at most 0 tokens, - cents, 7 bytes
        allowed, at most 0 tokens, - cents, 7 bytes
        mail.list: not on the list
        cap.enforcer: the grant's enforcer does not allow it
        cap.enforcer: a [2Jb
        cap.enforcer: éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé
        cap.enforcer: the grant's enforcer gave no verdict
        cap.enforcer: the grant's enforcer gave no verdict
        cap.enforcer: the grant's enforcer gave no verdict
        ");
    insta::assert_snapshot!(outcome(Err(custom::failed("ran out of fuel"))), @"cap.enforcer: the grant's enforcer ran out of fuel");
}

#[test]
fn a_budget_is_held_settled_and_blocked() {
    let limit = Limit { calls: Some(3), tokens: Some(100), cents: None, bytes: None };
    let worst = |tokens| WorstCase { tokens, cents: None, bytes: None };
    let code = |result: Result<Spend, Denied>| result.map_err(|denied| denied.code.into_owned());
    let mut budget = Budget::default();
    let held = Spend { calls: 1, tokens: 60, ..Spend::ZERO };
    assert_eq!(budget.reserve(&limit, &worst(Some(60))), Ok(held));
    assert_eq!(budget.left(&limit), [Some(2), Some(40), None, None]);
    // Exactly what is left fits; one more does not, and nothing is held for it.
    let before = budget;
    assert_eq!(code(budget.reserve(&limit, &worst(Some(41)))), Err("budget.exceeded".to_owned()));
    assert_eq!(code(budget.reserve(&limit, &worst(None))), Err("budget.unbounded".to_owned()));
    assert_eq!(budget, before);
    let second = budget.reserve(&limit, &worst(Some(40))).unwrap();
    // What was not used comes back.
    let settled = budget.settle(&limit, held, Spend { calls: 1, tokens: 10, cents: 999, ..Spend::ZERO });
    assert!(!settled.is_overrun);
    assert_eq!(budget.left(&limit), [Some(1), Some(50), None, None]);
    // What nobody knows is booked in full, and put right by a late receipt.
    let settled = budget.settle(&limit, second, second);
    assert_eq!(budget.left(&limit), [Some(1), Some(50), None, None]);
    let late = budget.settle_again(&limit, settled.booked, Spend { calls: 1, tokens: 5, ..Spend::ZERO });
    assert!(!late.is_overrun);
    assert_eq!(budget.left(&limit), [Some(1), Some(85), None, None]);
    // More than was held is booked and blocks the grant.
    let third = budget.reserve(&limit, &worst(Some(1))).unwrap();
    assert!(budget.settle(&limit, third, Spend { calls: 1, tokens: 2, ..Spend::ZERO }).is_overrun);
    assert_eq!(budget.spent, Spend { calls: 3, tokens: 17, cents: 999, bytes: 0 });
    assert_eq!(code(budget.reserve(&Limit::default(), &worst(None))), Err("budget.overrun".to_owned()));
    assert_eq!(Budget::decode(&budget.encode()), Ok(budget));
}

/// Where more was used than a lowered limit allows, an effect whose worst case is nothing was let through.
#[test]
fn a_lowered_limit_lets_nothing_through() {
    let mut budget = Budget::default();
    let worst = WorstCase { tokens: Some(0), ..WorstCase::UNKNOWN };
    let held = budget.reserve(&Limit::default(), &worst).unwrap();
    budget.settle(&Limit::default(), held, Spend { calls: 1, tokens: 11, ..Spend::ZERO });
    let limit = |tokens| Limit { tokens: Some(tokens), ..Limit::default() };
    assert_eq!(budget.reserve(&limit(10), &worst).map_err(|denied| denied.code), Err("budget.exceeded".into()));
    assert!(budget.reserve(&limit(11), &worst).is_ok());
}

/// One thing that happens to a ledger.
#[derive(Debug, Clone)]
enum Happens {
    /// An effect is asked for.
    Ask([Option<u64>; 3]),
    /// The n-th open effect ends with a receipt.
    End(usize, [u64; 4]),
    /// The n-th open effect ends in doubt.
    Doubt(usize),
    /// A late receipt for the n-th that ended in doubt.
    Late(usize, [u64; 4]),
    /// The limit changes, and the block is lifted.
    Limit([Option<u64>; 4]),
}

fn happens() -> impl Strategy<Value = Happens> {
    let number = || prop_oneof![4 => 0_u64..8, 1 => Just(u64::MAX), 1 => (u64::MAX - 3)..u64::MAX];
    let cost = move || prop::array::uniform4(number());
    prop_oneof![
        4 => prop::array::uniform3(prop::option::weighted(0.9, number())).prop_map(Happens::Ask),
        2 => (any::<usize>(), cost()).prop_map(|(n, cost)| Happens::End(n, cost)),
        1 => any::<usize>().prop_map(Happens::Doubt),
        1 => (any::<usize>(), cost()).prop_map(|(n, cost)| Happens::Late(n, cost)),
        1 => prop::array::uniform4(prop::option::of(0_u64..40)).prop_map(Happens::Limit),
    ]
}

/// The naive twin: keeps every effect, and adds up in 128 bits each time it is asked.
#[derive(Default)]
struct Twin {
    open: Vec<[u64; 4]>,
    doubt: Vec<[u64; 4]>,
    /// What each ended effect was booked with; those in doubt are in `doubt`.
    ended: Vec<[u64; 4]>,
    blocked: bool,
}

impl Twin {
    fn used(&self, dimension: usize) -> u128 {
        let all = self.open.iter().chain(&self.doubt).chain(&self.ended);
        all.map(|spend| u128::from(spend[dimension])).sum()
    }

    fn allows(&self, limit: [Option<u64>; 4], worst: [Option<u64>; 4]) -> bool {
        let fits = |d: usize| match (limit[d], worst[d]) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(limit), Some(worst)) => self.used(d) + u128::from(worst) <= u128::from(limit),
        };
        !self.blocked && (0..4).all(fits)
    }
}

fn spend([calls, tokens, cents, bytes]: [u64; 4]) -> Spend {
    Spend { calls, tokens, cents, bytes }
}

fn pick<T>(list: &mut Vec<T>, n: usize) -> Option<T> {
    if list.is_empty() { None } else { Some(list.remove(n % list.len())) }
}

proptest! {
    #![proptest_config(crate::cases::cases(256))]

    /// The ledger allows what adding up all effects allows, and at each allow what is spent and held lies within the limit.
    #[test]
    fn a_budget_is_never_passed(first in prop::array::uniform4(prop::option::of(0_u64..40)), history in prop::collection::vec(happens(), 0..60)) {
        let mut limit = first;
        let (mut budget, mut twin) = (Budget::default(), Twin::default());
        for event in history {
            let [calls, tokens, cents, bytes] = limit;
            let budget_limit = Limit { calls, tokens, cents, bytes };
            let over = |held: [u64; 4], cost: [u64; 4]| (0..4).any(|d| limit[d].is_some() && cost[d] > held[d]);
            match event {
                Happens::Ask([tokens, cents, bytes]) => {
                    let worst = [Some(1), tokens, cents, bytes];
                    let result = budget.reserve(&budget_limit, &WorstCase { tokens, cents, bytes });
                    prop_assert_eq!(result.is_ok(), twin.allows(limit, worst));
                    let Ok(held) = result else { continue };
                    twin.open.push(held.by_dimension());
                    for d in 0..4 {
                        if let Some(limit) = limit[d] {
                            let held = u128::from(budget.spent.by_dimension()[d]) + u128::from(budget.reserved.by_dimension()[d]);
                            prop_assert!(held <= u128::from(limit));
                            prop_assert_eq!(held, twin.used(d));
                        }
                    }
                }
                Happens::End(n, cost) => {
                    let Some(held) = pick(&mut twin.open, n) else { continue };
                    let settled = budget.settle(&budget_limit, spend(held), spend(cost));
                    prop_assert_eq!(settled.is_overrun, over(held, cost));
                    twin.blocked |= over(held, cost);
                    twin.ended.push(cost);
                }
                Happens::Doubt(n) => {
                    let Some(held) = pick(&mut twin.open, n) else { continue };
                    prop_assert!(!budget.settle(&budget_limit, spend(held), spend(held)).is_overrun);
                    twin.doubt.push(held);
                }
                Happens::Late(n, cost) => {
                    let Some(held) = pick(&mut twin.doubt, n) else { continue };
                    let settled = budget.settle_again(&budget_limit, spend(held), spend(cost));
                    prop_assert_eq!(settled.is_overrun, over(held, cost));
                    twin.blocked |= over(held, cost);
                    twin.ended.push(cost);
                }
                Happens::Limit(new) => {
                    limit = new;
                    budget.blocked = false;
                    twin.blocked = false;
                }
            }
            prop_assert_eq!(budget.blocked, twin.blocked);
            prop_assert_eq!(Budget::decode(&budget.encode()), Ok(budget));
        }
    }
}
