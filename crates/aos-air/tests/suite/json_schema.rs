//! As much of JSON Schema 2020-12 as `spec/schemas` uses; a keyword beyond that fails the test that meets it.
//!
//! The full validators bring more packages than the language itself has.

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde_json::Value;

/// The schemas of a folder by their file names.
pub struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// Reads `spec/schemas`.
    pub fn of_the_specification() -> Self {
        let folder = format!("{}/../../spec/schemas", env!("CARGO_MANIFEST_DIR"));
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
        let read = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path.file_name().unwrap().to_string_lossy().into_owned(), json)
        };
        Self(entries.map(read).collect())
    }

    /// Tells whether the schema in `file` accepts `json`.
    pub fn accept(&self, file: &str, json: &Value) -> bool {
        self.is_valid(file, self.schema(file, ""), json)
    }

    /// Returns the names of the files.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn schema(&self, file: &str, pointer: &str) -> &Value {
        let root = self.0.get(file).unwrap_or_else(|| panic!("no schema {file}"));
        root.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {file}"))
    }

    fn is_valid(&self, file: &str, schema: &Value, json: &Value) -> bool {
        let Value::Object(keywords) = schema else { return schema == &Value::Bool(true) };
        keywords.iter().all(|(keyword, rule)| self.keyword(file, schema, keyword, rule, json))
    }

    fn keyword(&self, file: &str, schema: &Value, keyword: &str, rule: &Value, json: &Value) -> bool {
        let all = |test: &dyn Fn(&Value) -> bool| rule.as_array().unwrap().iter().all(test);
        let count = |test: &dyn Fn(&Value) -> bool| rule.as_array().unwrap().iter().filter(|rule| test(rule)).count();
        match (keyword, json) {
            ("$schema" | "$defs" | "title" | "description", _) => true,
            ("$ref", _) => {
                let (other, pointer) = rule.as_str().unwrap().split_once('#').unwrap_or((rule.as_str().unwrap(), ""));
                let other = if other.is_empty() { file } else { other };
                self.is_valid(other, self.schema(other, pointer), json)
            }
            ("allOf", _) => all(&|rule| self.is_valid(file, rule, json)),
            ("anyOf", _) => count(&|rule| self.is_valid(file, rule, json)) > 0,
            ("oneOf", _) => count(&|rule| self.is_valid(file, rule, json)) == 1,
            ("not", _) => !self.is_valid(file, rule, json),
            ("const", _) => rule == json,
            ("enum", _) => rule.as_array().unwrap().contains(json),
            ("type", _) => match rule {
                Value::Array(types) => types.iter().any(|name| is_type(name.as_str().unwrap(), json)),
                name => is_type(name.as_str().unwrap(), json),
            },
            ("required", Value::Object(members)) => all(&|key| members.contains_key(key.as_str().unwrap())),
            ("properties", Value::Object(members)) => {
                let known = rule.as_object().unwrap().iter();
                known
                    .filter_map(|(key, rule)| Some((rule, members.get(key)?)))
                    .all(|(rule, json)| self.is_valid(file, rule, json))
            }
            ("patternProperties", Value::Object(members)) => rule.as_object().unwrap().iter().all(|(pattern, rule)| {
                let mut matching = members.iter().filter(|(key, _)| matches(pattern, key));
                matching.all(|(_, json)| self.is_valid(file, rule, json))
            }),
            ("additionalProperties", Value::Object(members)) => {
                let known =
                    |key: &str| schema.get("properties").is_some_and(|properties| properties.get(key).is_some());
                let patterns: Vec<&String> = schema
                    .get("patternProperties")
                    .and_then(Value::as_object)
                    .into_iter()
                    .flat_map(|patterns| patterns.keys())
                    .collect();
                let fits = |key: &str| patterns.iter().any(|pattern| matches(pattern, key));
                members
                    .iter()
                    .filter(|(key, _)| !known(key) && !fits(key))
                    .all(|(_, json)| self.is_valid(file, rule, json))
            }
            ("items", Value::Array(items)) => items.iter().all(|item| self.is_valid(file, rule, item)),
            ("minItems", Value::Array(items)) => items.len() as u64 >= rule.as_u64().unwrap(),
            ("uniqueItems", Value::Array(items)) => {
                items.iter().enumerate().all(|(index, item)| !items[..index].contains(item))
            }
            ("pattern", Value::String(text)) => matches(rule.as_str().unwrap(), text),
            ("minLength", Value::String(text)) => text.chars().count() as u64 >= rule.as_u64().unwrap(),
            ("maxLength", Value::String(text)) => text.chars().count() as u64 <= rule.as_u64().unwrap(),
            ("minimum", Value::Number(number)) => number.as_f64() >= rule.as_f64(),
            ("maximum", Value::Number(number)) => number.as_f64() <= rule.as_f64(),
            // A keyword for another type than this value's says nothing.
            (
                "required"
                | "properties"
                | "patternProperties"
                | "additionalProperties"
                | "items"
                | "minItems"
                | "uniqueItems"
                | "pattern"
                | "minLength"
                | "maxLength"
                | "minimum"
                | "maximum",
                _,
            ) => true,
            _ => panic!("{file}: the keyword `{keyword}` is not known here"),
        }
    }
}

fn is_type(name: &str, json: &Value) -> bool {
    match json {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        Value::Number(number) => name == "number" || name == "integer" && !number.is_f64(),
        Value::String(_) => name == "string",
        Value::Array(_) => name == "array",
        Value::Object(_) => name == "object",
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).is_match(text)
}
