//! Messages, as Anthropic's API has them.
//!
//! Only the fields that we use are read; further ones, and blocks of other types, are passed over. Never here: HTTP,
//! keys, prices. Next: `reply.rs`, which the answer is read into.

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::LlmError;
use super::input::{Input, Message, ToolCall};
use super::provider::Usage;
use super::reply::Reply;

/// The version of the API that is spoken.
pub(super) const VERSION: &str = "2023-06-01";

/// Writes the request's fields, but for the temperature.
pub(super) fn request(input: &Input, model: &str, max_tokens: u64) -> Result<Value, LlmError> {
    let mut messages: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in &input.messages {
        let (role, blocks) = blocks(message)?;
        match messages.last_mut() {
            // The results of several tools are one turn of the user.
            Some((last, content)) if *last == role => content.extend(blocks),
            _ => messages.push((role, blocks)),
        }
    }
    let messages: Vec<Value> =
        messages.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect();
    let mut request = json!({"model": model, "messages": messages, "max_tokens": max_tokens});
    if let Some(fields) = request.as_object_mut() {
        if let Some(system) = &input.system {
            fields.insert("system".to_owned(), json!(system));
        }
        if !input.tools.is_empty() {
            let tools = input.tools.iter().map(
                |tool| json!({"name": tool.name, "description": tool.description, "input_schema": tool.parameters}),
            );
            fields.insert("tools".to_owned(), tools.collect());
        }
    }
    Ok(request)
}

fn blocks(message: &Message) -> Result<(&'static str, Vec<Value>), LlmError> {
    let text = |content: &str| json!({"type": "text", "text": content});
    Ok(match message {
        Message::User { content } => ("user", vec![text(content)]),
        Message::Tool { tool_call_id, content } => {
            ("user", vec![json!({"type": "tool_result", "tool_use_id": tool_call_id, "content": content})])
        }
        Message::Assistant { content, tool_calls } => {
            // An empty block of text is refused.
            let mut blocks: Vec<Value> = (!content.is_empty()).then(|| text(content)).into_iter().collect();
            for call in tool_calls {
                let arguments: Value = serde_json::from_str(&call.arguments)
                    .map_err(|_| LlmError::Input { why: "the arguments of a tool call are no JSON".to_owned() })?;
                blocks.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}));
            }
            ("assistant", blocks)
        }
    })
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    id: Option<String>,
    content: Vec<Block>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
        input: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Tokens {
    input_tokens: u64,
    output_tokens: u64,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
}

/// Reads the body of a success. Tokens that were read from a cache are counted as tokens that went in.
pub(super) fn reply(body: &[u8]) -> Result<Reply, LlmError> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| LlmError::Malformed { why: "it is no message" })?;
    let mut reply = Reply {
        text: String::new(),
        tool_calls: Vec::new(),
        finish_reason: match answer.stop_reason.as_deref() {
            Some("end_turn" | "stop_sequence") => "stop",
            Some("max_tokens") => "length",
            Some("tool_use") => "tool_calls",
            Some("refusal") => "refused",
            Some(reason) => reason,
            None => "unknown",
        }
        .to_owned(),
        usage: answer.usage.map(|tokens| {
            let cached = [tokens.cache_creation_input_tokens, tokens.cache_read_input_tokens];
            let prompt = cached.into_iter().flatten().fold(tokens.input_tokens, u64::saturating_add);
            Usage { prompt, completion: tokens.output_tokens }
        }),
        id: answer.id.unwrap_or_default(),
    };
    for block in answer.content {
        match block {
            Block::Text { text } => reply.text.push_str(&text),
            Block::ToolUse { id, name, input } => {
                reply.tool_calls.push(ToolCall { id, name, arguments: input.to_string() });
            }
            Block::Other => {}
        }
    }
    Ok(reply)
}
