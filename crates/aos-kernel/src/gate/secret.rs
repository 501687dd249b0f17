//! The rules for secrets: an effect names one, and only an adapter ever sees its value.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use aos_air::def;
use aos_air::schema::Value;

use super::read;
use super::{Denied, quote};

/// What uses a secret: the grant's name, and the plan's where a plan asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User<'a> {
    /// The grant's name.
    pub grant: &'a str,
    /// The plan's name; none where a reducer asks.
    pub plan: Option<&'a str>,
}

impl User<'_> {
    /// Returns whether a secret is kept for this grant and this plan, or for all.
    pub fn may_use(&self, secret: &def::Secret) -> bool {
        self.has_grant(secret) && self.has_plan(secret)
    }

    fn has_grant(&self, secret: &def::Secret) -> bool {
        secret.allowed_caps.as_ref().is_none_or(|grants| grants.iter().any(|allowed| allowed == self.grant))
    }

    fn has_plan(&self, secret: &def::Secret) -> bool {
        let is_plan = |allowed: &aos_air::name::Name| Some(allowed.as_str()) == self.plan;
        secret.allowed_plans.as_ref().is_none_or(|plans| plans.iter().any(is_plan))
    }
}

/// Checks the secrets that an effect's params name, and returns their names.
///
/// `find` finds a `defsecret` of the manifest in force. An effect that puts a value into the vault names a secret too:
/// its alias, whose binding must be the one that it writes.
///
/// # Errors
/// `secret.unknown` or `secret.not_allowed`.
pub fn check<'m>(
    kind: &str,
    params: &Value,
    user: User<'_>,
    find: &dyn Fn(&str) -> Option<&'m def::Secret>,
) -> Result<Vec<String>, Denied> {
    let named = match kind {
        "http.request" => read::field(params, "auth").and_then(|auth| read::text(auth, "secret")),
        "llm.generate" => read::text(params, "api_key"),
        "vault.put" | "vault.rotate" => read::text(params, "alias"),
        _ => None,
    };
    let Some(name) = named else { return Ok(Vec::new()) };
    let unknown = || Denied::new("secret.unknown", format!("the manifest has no secret {}", quote(name)));
    let secret = find(name).ok_or_else(unknown)?;
    let is_bound = match read::text(params, "binding_id") {
        Some(binding) if kind.starts_with("vault.") => binding == secret.binding_id,
        _ => true,
    };
    if !is_bound {
        let message = format!("the secret {} has another binding", quote(name));
        return Err(Denied::new("secret.unknown", message));
    }
    let User { grant, plan } = user;
    if !user.has_grant(secret) {
        let message = format!("the secret {} may not be used under the grant {}", quote(name), quote(grant));
        return Err(Denied::new("secret.not_allowed", message));
    }
    if !user.has_plan(secret) {
        let message = format!("the secret {} may not be used by {}", quote(name), quote(plan.unwrap_or("a reducer")));
        return Err(Denied::new("secret.not_allowed", message));
    }
    Ok(Vec::from([name.into()]))
}
