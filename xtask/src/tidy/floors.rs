//! The rule of the floors: who may depend on whom. `docs/architecture.md` says why.

use super::Finding;
use crate::workspace::Package;

pub const FLOOR: &str = "floor";

/// Where a crate stands.
#[derive(Clone, Copy)]
enum Place {
    /// Uses lower floors only.
    Floor(u8),
    /// Runs inside a world: uses the language alone, and no floor uses it.
    Guest,
    /// Runs the world inside an engine of somebody else's: uses floors 0 and 1, and no floor uses it.
    Auditor,
    /// A reducer of the ladder, which people copy: uses what guests are written against, and nothing uses it.
    Example,
    /// Uses nothing of the product, and nothing uses it.
    Tool,
}

/// Every crate once; the ladder's reducers are known by their folder.
const PLACES: &[(&str, Place)] = &[
    ("aos-air", Place::Floor(0)),
    ("aos-kernel", Place::Floor(1)),
    ("aos-host", Place::Floor(2)),
    ("aos-cli", Place::Floor(3)),
    ("aos-examples", Place::Floor(3)),
    ("aos-replay", Place::Auditor),
    ("aos-sdk", Place::Guest),
    ("xtask", Place::Tool),
];

/// The folder of the ladder.
const EXAMPLES: &str = "examples/";

fn place(name: &str) -> Option<Place> {
    PLACES.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, place)| *place)
}

const fn may_use(user: Place, used: Place) -> bool {
    match (user, used) {
        (Place::Floor(user), Place::Floor(used)) => used < user,
        (Place::Guest, Place::Floor(used)) => used == 0,
        (Place::Auditor, Place::Floor(used)) => used <= 1,
        (Place::Example, used) => matches!(used, Place::Guest),
        (Place::Floor(_) | Place::Guest | Place::Auditor, _) | (Place::Tool, _) => false,
    }
}

pub fn check(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let manifest = format!("{}/Cargo.toml", package.folder);
        let example = package.folder.starts_with(EXAMPLES).then_some(Place::Example);
        let Some(user) = example.or_else(|| place(&package.name)) else {
            let message = format!("`{}` has no floor; give it one in xtask/src/tidy/floors.rs", package.name);
            findings.push(Finding::new(FLOOR, &manifest, 0, message));
            continue;
        };
        for used in &package.dependencies {
            if !place(used).is_some_and(|used| may_use(user, used)) {
                let message = format!("`{}` may not depend on `{used}`", package.name);
                findings.push(Finding::new(FLOOR, &manifest, 0, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(name: &str, dependencies: &[&str]) -> Vec<String> {
        let parent = if name.ends_with("-reducer") { EXAMPLES } else { "crates/" };
        let package = Package {
            name: name.to_owned(),
            folder: format!("{parent}{name}"),
            dependencies: dependencies.iter().map(|name| (*name).to_owned()).collect(),
            ..Package::default()
        };
        check(&[package]).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn imports_go_down_only() {
        let allowed: &[(&str, &[&str])] = &[
            ("aos-air", &[]),
            ("aos-kernel", &["aos-air"]),
            ("aos-host", &["aos-air", "aos-kernel"]),
            ("aos-examples", &["aos-air", "aos-host", "aos-kernel"]),
            ("aos-replay", &["aos-air", "aos-kernel"]),
            ("aos-sdk", &["aos-air"]),
            ("counter-reducer", &["aos-sdk"]),
            ("xtask", &[]),
        ];
        for (user, used) in allowed {
            assert_eq!(messages(user, used), [""; 0], "{user}");
        }
        let refused = [
            ("aos-air", "aos-kernel"),
            ("aos-kernel", "aos-host"),
            ("aos-examples", "aos-cli"),
            ("aos-host", "aos-sdk"),
            ("aos-host", "aos-replay"),
            ("aos-replay", "aos-host"),
            ("aos-sdk", "aos-kernel"),
            ("counter-reducer", "aos-air"),
            ("aos-examples", "counter-reducer"),
            ("xtask", "aos-air"),
            ("aos-host", "aos-unheard"),
        ];
        for (user, used) in refused {
            assert_eq!(messages(user, &[used]), [format!("`{user}` may not depend on `{used}`")]);
        }
        assert_eq!(
            messages("aos-unheard", &[]),
            ["`aos-unheard` has no floor; give it one in xtask/src/tidy/floors.rs"]
        );
    }
}
