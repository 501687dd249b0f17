//! What goes into a model: the blob that `input_ref` names.
//!
//! A blob that begins with `{` is the JSON form below; any other one is the text of one user message. Never here: the
//! forms of the providers; see `openai.rs` and `anthropic.rs`. The form is written up in `spec/adapters/llm.md`.

use serde::Deserialize;

use super::error::LlmError;

/// A conversation that a model is to go on with.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    pub(super) system: Option<String>,
    pub(super) messages: Vec<Message>,
    #[serde(default)]
    pub(super) tools: Vec<Tool>,
}

/// One turn.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Message {
    User {
        content: String,
    },
    Assistant {
        #[serde(default)]
        content: String,
        #[serde(default)]
        tool_calls: Vec<ToolCall>,
    },
    Tool {
        tool_call_id: String,
        content: String,
    },
}

/// A call of a tool that the model asked for; `arguments` is the text of a JSON value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolCall {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

/// A tool that the model may ask for; `parameters` is a JSON Schema.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool {
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: String,
    pub(super) parameters: serde_json::Value,
}

impl Input {
    /// Reads a blob, whose tools have to be exactly those that the params name: the gate has judged these names.
    pub(super) fn read(bytes: &[u8], tools: &[String]) -> Result<Self, LlmError> {
        let input = |why: String| LlmError::Input { why };
        let text = std::str::from_utf8(bytes).map_err(|_| input("it is no UTF-8 text".to_owned()))?;
        let read = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| {
                // What the parser found may be a piece of the input; the place is enough.
                input(format!("it is no conversation in JSON (line {}, column {})", error.line(), error.column()))
            })?
        } else {
            Self { system: None, messages: vec![Message::User { content: text.to_owned() }], tools: Vec::new() }
        };
        if read.messages.is_empty() {
            return Err(input("it has no messages".to_owned()));
        }
        let defined = |name: &String| read.tools.iter().filter(|tool| tool.name == *name).count() == 1;
        if !tools.iter().all(defined) || !read.tools.iter().all(|tool| tools.contains(&tool.name)) {
            return Err(input("its tools are not those that the params name".to_owned()));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, tools: &[&str]) -> Result<Input, String> {
        let tools: Vec<String> = tools.iter().map(|name| (*name).to_owned()).collect();
        Input::read(text.as_bytes(), &tools).map_err(|error| error.to_string())
    }

    #[test]
    fn plain_text_is_one_message_of_the_user() {
        for text in ["Say hello.", "[1]", "\"quoted\"", ""] {
            let messages = vec![Message::User { content: text.to_owned() }];
            assert_eq!(read(text, &[]), Ok(Input { system: None, messages, tools: Vec::new() }));
        }
        assert!(Input::read(b"\xff", &[]).is_err());
    }

    #[test]
    fn a_conversation_has_one_form() {
        let whole = r#"{"system": "s", "messages": [
            {"role": "user", "content": "u"},
            {"role": "assistant", "content": "a", "tool_calls": [{"id": "1", "name": "add", "arguments": "{}"}]},
            {"role": "assistant", "tool_calls": []},
            {"role": "tool", "tool_call_id": "1", "content": "3"}],
            "tools": [{"name": "add", "description": "adds", "parameters": {"type": "object"}}]}"#;
        let input = read(whole, &["add"]).unwrap();
        assert_eq!((input.messages.len(), input.tools.len()), (4, 1));
        let bad = [
            ("{", &[][..]),
            ("{}", &[]),
            (r#"{"messages": []}"#, &[]),
            (r#"{"messages": [{"role": "system", "content": "x"}]}"#, &[]),
            (r#"{"messages": [{"role": "user", "content": "x", "name": "y"}]}"#, &[]),
            (r#"{"messages": [{"role": "user", "content": "x"}], "temperature": 2}"#, &[]),
            (r#"{"messages": [{"role": "user", "content": [{"type": "text"}]}]}"#, &[]),
            (r#"{"messages": [{"role": "user", "content": "x"}]} x"#, &[]),
            (r#"{"messages": [{"role": "user", "content": "x"}]}"#, &["add"]),
            (whole, &[]),
            (whole, &["add", "sub"]),
        ];
        for (text, tools) in bad {
            assert!(read(text, tools).is_err(), "{text}");
        }
        let secret = read(r#"{"messages": [{"role": "hunter22", "content": "x"}]}"#, &[]).unwrap_err();
        assert!(!secret.contains("hunter"), "{secret}");
    }
}
