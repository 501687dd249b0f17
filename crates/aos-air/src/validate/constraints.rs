//! The params of grants of `http.out` and `llm.basic`: each constraint is in its form, and something can meet it.
//!
//! A constraint that never matches denies quietly, and its author thinks that it allows. What a constraint allows is the
//! kernel's `gate/`, which compares bytes: so what stands here is in the normal form that it compares with.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::built_in::{HTTP_ENFORCER, LLM_ENFORCER};
use crate::schema::Value;
use crate::url;

/// One constraint that is wrong: a pointer below the params, what is wrong, and what to write instead.
pub(super) struct Unfit {
    pub pointer: String,
    pub message: String,
    pub help: Option<String>,
}

/// Checks the params of a grant by the built-in enforcer of its capability.
pub(super) fn check(enforcer: &str, params: &Value) -> Vec<Unfit> {
    let mut unfit = Vec::new();
    match enforcer {
        HTTP_ENFORCER => {
            let fields: [(&str, Judge); 5] = [
                ("hosts", judge_host),
                ("schemes", judge_scheme),
                ("methods", judge_method),
                ("ports", judge_port),
                ("path_prefixes", judge_prefix),
            ];
            fields.into_iter().for_each(|(field, judge)| check_set(params, field, judge, &mut unfit));
        }
        LLM_ENFORCER => {
            for field in ["providers", "models"] {
                check_set(params, field, |_| Ok(()), &mut unfit);
            }
        }
        _ => {}
    }
    unfit
}

/// What is wrong with an item, and what to write instead.
type Wrong = (String, Option<String>);
type Judge = fn(&Value) -> Result<(), Wrong>;

fn check_set(params: &Value, field: &str, judge: Judge, unfit: &mut Vec<Unfit>) {
    let Value::Record(fields) = params else { return };
    let set = match fields.get(field) {
        Some(Value::Option(Some(inner))) => &**inner,
        Some(value) => value,
        None => return,
    };
    let Value::Set(items) = set else { return };
    let pointer = format!("/{field}");
    if items.is_empty() {
        let message = format!("`{field}` names nothing, so the grant allows nothing");
        let help = Some("name what it allows, or take the grant away".to_string());
        return unfit.push(Unfit { pointer, message, help });
    }
    for item in items.values() {
        if let Err((message, help)) = judge(item) {
            unfit.push(Unfit { pointer: pointer.clone(), message, help });
        }
    }
}

fn text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        _ => "",
    }
}

fn judge_host(value: &Value) -> Result<(), Wrong> {
    let pattern = text(value);
    let wildcard = pattern.strip_prefix("*.");
    let wanted = url::host(wildcard.unwrap_or(pattern));
    let is_suffix_of_names = |host: &str| wildcard.is_none() || url::host_ip(host).is_none();
    match wanted {
        Some(host) if !is_suffix_of_names(&host) => {
            Err((format!("`{pattern}` matches no host: an address has no names below it"), None))
        }
        Some(host) if host == wildcard.unwrap_or(pattern) => Ok(()),
        Some(host) => {
            let normal = if wildcard.is_some() { format!("*.{host}") } else { host };
            Err((format!("`{pattern}` matches no host in this spelling"), Some(format!("write `{normal}`"))))
        }
        None => {
            let help = "write a host name, an address, or `*.` and a host name".to_string();
            Err((format!("`{pattern}` matches no host"), Some(help)))
        }
    }
}

fn judge_scheme(value: &Value) -> Result<(), Wrong> {
    let scheme = text(value);
    if matches!(scheme, "http" | "https") {
        return Ok(());
    }
    Err((format!("`{scheme}` is no scheme of a request"), Some("write `http` or `https`".to_string())))
}

fn judge_method(value: &Value) -> Result<(), Wrong> {
    let method = text(value);
    if matches!(method, "CONNECT" | "TRACE") {
        return Err((format!("no grant allows the method `{method}`"), None));
    }
    if !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
        return Ok(());
    }
    let help = format!("write `{}`", method.to_ascii_uppercase());
    Err((format!("`{method}` is no method: one is written in capitals"), Some(help)))
}

fn judge_port(value: &Value) -> Result<(), Wrong> {
    match value {
        Value::Nat(1..=65_535) => Ok(()),
        Value::Nat(port) => Err((format!("{port} is no port"), Some("a port is a number from 1 to 65535".to_string()))),
        _ => Ok(()),
    }
}

fn judge_prefix(value: &Value) -> Result<(), Wrong> {
    let prefix = text(value);
    match url::path(prefix) {
        Some(path) if path == prefix => Ok(()),
        Some(path) => Err((format!("`{prefix}` begins no path in this spelling"), Some(format!("write `{path}`")))),
        None => {
            let help = "a path begins with `/`, and holds no query and no escaped separator".to_string();
            Err((format!("`{prefix}` begins no path"), Some(help)))
        }
    }
}
