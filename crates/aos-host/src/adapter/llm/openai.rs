//! Chat completions, as OpenAI's API has them and Ollama, vLLM, llama.cpp and many proxies speak them.
//!
//! Only the fields that we use are read; further ones are passed over. Never here: HTTP, keys, prices.
//! Next: `reply.rs`, which the answer is read into.

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::LlmError;
use super::input::{Input, Message, ToolCall};
use super::provider::Usage;
use super::reply::Reply;

/// Writes the request's fields, but for the temperature.
pub(super) fn request(input: &Input, model: &str, max_tokens: u64, max_completion_tokens: bool) -> Value {
    let system = input.system.iter().map(|text| json!({"role": "system", "content": text}));
    let messages: Vec<Value> = system.chain(input.messages.iter().map(message)).collect();
    let limit = if max_completion_tokens { "max_completion_tokens" } else { "max_tokens" };
    let mut request = json!({"model": model, "messages": messages, limit: max_tokens, "stream": false});
    if let (Some(fields), false) = (request.as_object_mut(), input.tools.is_empty()) {
        let tools = input.tools.iter().map(|tool| {
            let function = json!({"name": tool.name, "description": tool.description, "parameters": tool.parameters});
            json!({"type": "function", "function": function})
        });
        fields.insert("tools".to_owned(), tools.collect());
    }
    request
}

fn message(message: &Message) -> Value {
    match message {
        Message::User { content } => json!({"role": "user", "content": content}),
        Message::Tool { tool_call_id, content } => {
            json!({"role": "tool", "tool_call_id": tool_call_id, "content": content})
        }
        Message::Assistant { content, tool_calls } if tool_calls.is_empty() => {
            json!({"role": "assistant", "content": content})
        }
        Message::Assistant { content, tool_calls } => {
            let call = |call: &ToolCall| {
                let function = json!({"name": call.name, "arguments": call.arguments});
                json!({"id": call.id, "type": "function", "function": function})
            };
            let calls: Vec<Value> = tool_calls.iter().map(call).collect();
            json!({"role": "assistant", "content": content, "tool_calls": calls})
        }
    }
}

#[derive(Deserialize)]
struct Completion {
    #[serde(default)]
    id: Option<String>,
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    id: Option<String>,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    arguments: String,
}

#[derive(Deserialize)]
struct Tokens {
    prompt_tokens: u64,
    completion_tokens: u64,
}

/// Reads the body of a success.
pub(super) fn reply(body: &[u8]) -> Result<Reply, LlmError> {
    let malformed = |why| LlmError::Malformed { why };
    let completion: Completion = serde_json::from_slice(body).map_err(|_| malformed("it is no chat completion"))?;
    let choice = completion.choices.into_iter().next().ok_or(malformed("it has no choice"))?;
    let calls = choice.message.tool_calls.unwrap_or_default().into_iter().map(|call| ToolCall {
        id: call.id.unwrap_or_default(),
        name: call.function.name,
        arguments: call.function.arguments,
    });
    let finish_reason = match choice.finish_reason.as_deref() {
        _ if choice.message.refusal.is_some() => "refused",
        Some("content_filter") => "refused",
        Some("function_call") => "tool_calls",
        Some(reason) => reason,
        None => "unknown",
    };
    Ok(Reply {
        finish_reason: finish_reason.to_owned(),
        text: choice.message.content.or(choice.message.refusal).unwrap_or_default(),
        tool_calls: calls.collect(),
        usage: completion
            .usage
            .map(|tokens| Usage { prompt: tokens.prompt_tokens, completion: tokens.completion_tokens }),
        id: completion.id.unwrap_or_default(),
    })
}
