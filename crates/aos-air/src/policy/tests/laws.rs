//! What holds for all packs, policies and values: packs equal a direct reading, slices equal the whole set, values are of
//! their type.

use alloc::format;

use cedar_policy::{Request as CedarRequest, Schema};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::def::{Decision as Ruling, Origin, Rule, Scope, When};
use crate::schema::arbitrary::{AWKWARD, typed_values};
use crate::schema::{Decimal, Shape};

const KINDS: [&str; 3] = ["timer.set", "blob.put", "http.request"];
const NAMES: [&str; 2] = ["shop/Pay@1", "shop/Orders@1"];

fn pick<T: Clone + core::fmt::Debug + 'static>(items: &[T]) -> impl Strategy<Value = T> + use<T> {
    proptest::sample::select(items.to_vec())
}

fn whens() -> impl Strategy<Value = When> {
    let texts = |items: &[&str]| option::of(pick(&items.iter().map(ToString::to_string).collect::<Vec<String>>()));
    let names: Vec<Name> = NAMES.iter().map(|name| Name::parse(name).unwrap()).collect();
    let origins = option::of(pick(&[Origin::Plan, Origin::Reducer]));
    let fields =
        (texts(&KINDS), texts(&["web", "clock"]), texts(&["http.out", "timer"]), origins, option::of(pick(&names)));
    fields.prop_map(|(effect_kind, cap_name, cap_type, origin_kind, origin_name)| When {
        effect_kind,
        cap_name,
        cap_type,
        origin_kind,
        origin_name,
    })
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let decision = pick(&[Ruling::Allow, Ruling::Deny, Ruling::RequireApproval]);
    vec((whens(), decision).prop_map(|(when, decision)| Rule { when, decision }), 0..8)
}

/// Who asks, for what, under which grant.
fn askers() -> impl Strategy<Value = (bool, &'static str, &'static str, &'static str, u64)> {
    (any::<bool>(), pick(&NAMES), pick(&KINDS), pick(&["web", "clock"]), pick(&[0, 1, 5, u64::MAX]))
}

fn asker(is_plan: bool, name: &str) -> Principal<'_> {
    if is_plan { Principal::Plan(name) } else { Principal::Reducer(name) }
}

/// The pack read word by word: the first rule that matches decides.
fn read_directly(rules: &[Rule], is_plan: bool, name: &str, action: &str, grant: &str) -> (Verdict, Vec<String>) {
    let cap_type = if grant == "web" { "http.out" } else { "timer" };
    for (index, Rule { when, decision }) in rules.iter().enumerate() {
        let is = |wanted: Option<&str>, value: &str| wanted.is_none_or(|wanted| wanted == value);
        let matches = is(when.effect_kind.as_deref(), action)
            && is(when.cap_name.as_deref(), grant)
            && is(when.cap_type.as_deref(), cap_type)
            && when.origin_kind.is_none_or(|kind| (kind == Origin::Plan) == is_plan)
            && is(when.origin_name.as_ref().map(Name::as_str), name);
        if matches {
            let verdict = match decision {
                Ruling::Allow => Verdict::Allow,
                Ruling::Deny => Verdict::Deny,
                Ruling::RequireApproval => Verdict::NeedsApproval,
            };
            return (verdict, Vec::from([format!("shop/Rules@1#{index}")]));
        }
    }
    (Verdict::Deny, Vec::new())
}

/// Cedar policies with heads and conditions of every kind, some of which err for some requests.
fn cedar_policies() -> impl Strategy<Value = Vec<String>> {
    let principal = pick(&[
        "principal",
        "principal is Aos::Plan",
        "principal is Aos::Reducer",
        "principal == Aos::Plan::\"shop/Pay@1\"",
        "principal in Aos::Reducer::\"shop/Orders@1\"",
        "principal is Aos::Plan in Aos::Plan::\"shop/Orders@1\"",
        "principal is Aos::Plan in Aos::Reducer::\"shop/Orders@1\"",
        "principal in Aos::Grant::\"web\"",
    ]);
    let action = pick(&[
        "action",
        "action == Aos::Action::\"timer.set\"",
        "action in Aos::Action::\"blob.put\"",
        "action in [Aos::Action::\"timer.set\", Aos::Action::\"blob.put\", Aos::Action::\"timer.set\"]",
        "action in []",
    ]);
    let resource = pick(&["resource", "resource == Aos::Grant::\"web\"", "resource is Aos::Grant"]);
    let condition = pick(&[
        "",
        "when { context.params.deliver_at_ns > 2 }",
        "unless { context.params.deliver_at_ns + 9223372036854775807 > 0 }",
        "when { resource.cap_type == \"timer\" && context.params.nothing }",
        "when { principal.name like \"*Pay*\" }",
    ]);
    let effect = pick(&["permit", "forbid", "@approval(\"required\") permit"]);
    let policy = (effect, principal, action, resource, condition);
    let text = |(effect, principal, action, resource, condition)| {
        format!("{effect}({principal}, {action}, {resource}) {condition};")
    };
    vec(policy.prop_map(text), 0..10)
}

/// Tells whether a number in a value is one that Cedar does not have.
fn has_unseen_number(value: &Value) -> bool {
    match value {
        Value::Nat(value) => *value > i64::MAX.unsigned_abs(),
        Value::Dec128(value) => {
            // Whether some i64 of ten-thousandths is this number, asked of the printed form.
            let tens = Decimal::new(value.mantissa(), value.exponent() + 4).map(|scaled| scaled.to_string());
            *value != Decimal::ZERO && !tens.is_ok_and(|text| text.parse::<i64>().is_ok())
        }
        Value::Record(fields) => fields.values().any(has_unseen_number),
        // The payload of an arm called `tag` is not shown.
        Value::Variant(tag, payload) => tag != "tag" && has_unseen_number(payload),
        Value::List(items) => items.iter().any(has_unseen_number),
        Value::Set(items) => items.values().any(has_unseen_number),
        Value::Map(entries) => entries.values().any(|(key, value)| has_unseen_number(key) || has_unseen_number(value)),
        Value::Option(inner) => inner.as_deref().is_some_and(has_unseen_number),
        _ => false,
    }
}

/// Tells whether Cedar finds that a request of the effect `a.b` is of the type that the schema has for it.
pub fn fits_its_type(shape: &Shape, request: &Request<'_>) -> bool {
    let effect = Effect { kind: "a.b", scope: Scope::Plan, params: shape };
    let schema = Schema::from_json_value(schema::schema([effect]).unwrap()).unwrap();
    let context = decide::effect_context(request).ok().unwrap();
    let uid = |text: &str| text.parse().unwrap();
    let (who, action) = (uid("Aos::Plan::\"shop/Pay@1\""), uid("Aos::Action::\"a.b\""));
    CedarRequest::new(who, action, uid("Aos::Grant::\"web\""), context, Some(&schema)).is_ok()
}

proptest! {
    #[test]
    fn a_pack_decides_as_its_rules_read(rules in rules(), (is_plan, name_of, action, grant, _) in askers()) {
        let policies = Policies::new(pack::compile(&name(), &rules), GRANTS, []);
        let request = Request { action, grant, ..asks(asker(is_plan, name_of), &Value::Unit) };
        let decision = policies.decide(&request).unwrap();
        let expected = read_directly(&rules, is_plan, name_of, action, grant);
        prop_assert_eq!((decision.verdict, decision.policies), expected);
        prop_assert_eq!(decision.code, (decision.verdict == Verdict::Deny).then_some("policy.denied"));
    }

    #[test]
    fn slices_decide_as_the_whole_set_does(
        texts in cedar_policies(),
        (is_plan, name_of, action, grant, at) in askers(),
    ) {
        let read = read(&name(), &texts.concat()).unwrap();
        let (sliced, whole) = (Policies::new(read.clone(), GRANTS, []), Policies::whole(read, GRANTS, []));
        let params = timer(at);
        // The policies speak of timers' parameters only; URLs have a test of their own.
        let request = Request { action, grant, ..asks(asker(is_plan, name_of), &params) };
        prop_assert_eq!(sliced.decide(&request), whole.decide(&request));
        let roles = [APPROVER.to_string()];
        let parked =
            Parked { principal: "ann", roles: &roles, kind: action, grant, approve: is_plan, now_ns: at };
        prop_assert_eq!(sliced.decide_parked(&parked), whole.decide_parked(&parked));
    }

    #[test]
    fn the_order_of_policies_does_not_matter(
        texts in cedar_policies(),
        (is_plan, name_of, action, grant, at) in askers(),
    ) {
        let named: Vec<String> = texts.iter().enumerate().map(|(index, text)| format!("@id(\"p{index}\") {text}")).collect();
        let backwards: Vec<String> = named.iter().rev().cloned().collect();
        let params = timer(at);
        let request = Request { action, grant, ..asks(asker(is_plan, name_of), &params) };
        let decide = |texts: &[String]| policies(&texts.concat()).decide(&request);
        prop_assert_eq!(decide(&named), decide(&backwards));
    }

    #[test]
    fn a_value_is_of_the_type_that_its_shape_has((shape, value) in typed_values(AWKWARD)) {
        let request = Request { action: "a.b", ..asks(Principal::Plan("shop/Pay@1"), &value) };
        if has_unseen_number(&value) {
            prop_assert!(decide::effect_context(&request).is_err());
        } else {
            prop_assert!(fits_its_type(&shape, &request));
        }
    }
}
