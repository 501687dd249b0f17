//! Tree to text: one line where it is short, else indented by two spaces. Keys stay in their order.

use alloc::format;
use alloc::string::String;

use super::json::{Json, Node};

/// Longest line that a list or object is put on whole, in bytes.
const LINE_MAX: usize = 110;

/// Prints on one line without spaces.
pub fn compact(json: &Json) -> String {
    let mut out = String::new();
    line(json, &mut out, "");
    out
}

/// Prints for a person, with a newline at the end.
pub fn pretty(json: &Json) -> String {
    let mut out = String::new();
    block(json, 0, &mut out);
    out.push('\n');
    out
}

/// Writes everything on one line, with `space` behind each comma and colon.
fn line(json: &Json, out: &mut String, space: &str) {
    match &json.node {
        Node::Null => out.push_str("null"),
        Node::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Node::Number(number) => out.push_str(number),
        Node::Text(text) => quote(text, out),
        Node::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                    out.push_str(space);
                }
                line(item, out, space);
            }
            out.push(']');
        }
        Node::Object(members) => {
            out.push('{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                    out.push_str(space);
                }
                quote(key, out);
                out.push(':');
                out.push_str(space);
                line(value, out, space);
            }
            out.push('}');
        }
    }
}

fn block(json: &Json, indent: usize, out: &mut String) {
    let start = out.len();
    if length_at_most(json, LINE_MAX.saturating_sub(indent)).is_some() {
        return line(json, out, " ");
    }
    match &json.node {
        Node::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                break_line(out, index, indent + 2);
                block(item, indent + 2, out);
            }
            break_line(out, 0, indent);
            out.push(']');
        }
        Node::Object(members) => {
            out.push('{');
            for (index, (key, value)) in members.iter().enumerate() {
                break_line(out, index, indent + 2);
                quote(key, out);
                out.push_str(": ");
                block(value, indent + 2, out);
            }
            break_line(out, 0, indent);
            out.push('}');
        }
        _ => line(json, out, " "),
    }
    debug_assert!(out.len() > start, "every value prints something");
}

fn break_line(out: &mut String, index: usize, indent: usize) {
    if index > 0 {
        out.push(',');
    }
    out.push('\n');
    out.extend(core::iter::repeat_n(' ', indent));
}

/// Measures the printed line roughly, and stops as soon as it is longer than `most`.
fn length_at_most(json: &Json, most: usize) -> Option<usize> {
    let most_after = |used: usize| most.checked_sub(used);
    let used = match &json.node {
        Node::Null | Node::Bool(_) => 5,
        Node::Number(text) | Node::Text(text) => text.len() + 2,
        Node::List(items) => {
            items.iter().try_fold(2, |used, item| Some(used + 2 + length_at_most(item, most_after(used)?)?))?
        }
        Node::Object(members) => members.iter().try_fold(2, |used, (key, value)| {
            let used = used + key.len() + 6;
            Some(used + length_at_most(value, most_after(used)?)?)
        })?,
    };
    (used <= most).then_some(used)
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    #[test]
    fn printed_text_is_read_back_as_the_same_tree() {
        let long = "x".repeat(60);
        let text = format!(
            r#"{{"a":[],"b":{{}},"c":[1,-2.5e3,true,null,"é\n\"\\\u0001"],"d":{{"{long}":["{long}","{long}"]}}}}"#
        );
        let tree = parse(&text).unwrap();
        assert_eq!(compact(&tree), text);
        assert_eq!(parse(&pretty(&tree)).unwrap(), tree);
        let x = &long;
        let expected = [
            "{".to_owned(),
            r#"  "a": [],"#.to_owned(),
            r#"  "b": {},"#.to_owned(),
            r#"  "c": [1, -2.5e3, true, null, "é\n\"\\\u0001"],"#.to_owned(),
            r#"  "d": {"#.to_owned(),
            format!(r#"    "{x}": ["#),
            format!(r#"      "{x}","#),
            format!(r#"      "{x}""#),
            "    ]\n  }\n}\n".to_owned(),
        ];
        assert_eq!(pretty(&tree), expected.join("\n"));
    }
}
