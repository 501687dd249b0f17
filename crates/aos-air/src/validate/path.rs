//! Dotted paths into types: the same steps as `Shape::select` takes in bytes, for every value of the type at once.

use alloc::vec::Vec;

use crate::schema::Shape;

/// Returns every type that the path can end at; none if it leads nowhere in some value of `shape`.
pub(super) fn ends<'s>(shape: &'s Shape, path: &str) -> Option<Vec<&'s Shape>> {
    let mut here = Vec::from([shape]);
    for segment in path.split('.') {
        let mut next: Vec<&'s Shape> = Vec::new();
        for shape in here {
            let payloads: Vec<&Shape> = match shape {
                Shape::Variant(arms) => arms.iter().map(|arm| &*arm.shape).collect(),
                other => Vec::from([other]),
            };
            for payload in payloads {
                let end = if segment == "$value" { payload } else { &payload.field(segment)?.shape };
                if !next.iter().any(|known| core::ptr::eq(*known, end)) {
                    next.push(end);
                }
            }
        }
        here = next;
    }
    if here.is_empty() { None } else { Some(here) }
}
