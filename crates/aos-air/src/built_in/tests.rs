//! The built-in documents are right, and hold what the format promises. Their hashes are in `spec/vectors/air/nodes.json`.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::*;
use crate::def::Scope;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[test]
fn the_documents_load() {
    if let Err(findings) = library() {
        panic!("{findings}");
    }
    assert!(definitions().all(|(_, definition)| definition.name().is_some_and(Name::is_built_in)));
}

#[test]
fn effects_have_the_names_scopes_and_capabilities_of_the_format() {
    let expected = [
        ("blob.get", "blob", Scope::Both),
        ("blob.put", "blob", Scope::Both),
        ("governance.apply", "governance", Scope::Plan),
        ("governance.approve", "governance", Scope::Plan),
        ("governance.propose", "governance", Scope::Plan),
        ("governance.shadow", "governance", Scope::Plan),
        ("http.request", "http.out", Scope::Plan),
        ("introspect.journal_head", "query", Scope::Plan),
        ("introspect.list_cells", "query", Scope::Plan),
        ("introspect.manifest", "query", Scope::Plan),
        ("introspect.reducer_state", "query", Scope::Plan),
        ("llm.generate", "llm.basic", Scope::Plan),
        ("timer.set", "timer", Scope::Both),
        ("vault.put", "secret", Scope::Plan),
        ("vault.rotate", "secret", Scope::Plan),
    ];
    let effects = definitions().filter_map(|(_, definition)| match definition {
        Definition::Effect(effect) => Some(effect),
        _ => None,
    });
    let found: Vec<_> = effects
        .map(|effect| {
            assert_eq!(effect.name.to_string(), alloc::format!("sys/{}@1", effect.kind));
            (effect.kind.as_str(), effect.cap_type.as_str(), effect.origin_scope)
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn what_rules_name_is_there() {
    for text in [REDUCER_CONTEXT, PURE_CONTEXT, EFFECT_FAILED].into_iter().chain(ENFORCER_SCHEMAS) {
        assert!(schema(&name(text)).is_some(), "{text}");
    }
    for kind in ["timer.set", "blob.put", "blob.get", "other"] {
        assert!(answer(kind).is_none_or(|answer| schema(&name(answer)).is_some()), "{kind}");
    }
    for module in MODULES {
        assert!(find(Kind::Module, &name(module)).is_none(), "{module} is a name only");
    }
}
