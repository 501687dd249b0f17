//! The event file of a demo: a JSON list of what happens to its world, in order.
//!
//! `{"event", "value", "key"?, "id"?}` is an event, its value in either lens; `{"wait": "quiet"}` lets everything come back
//! that is outside; `{"approve": grant}` lets what waits for approval under a grant go. An event that does not fit its
//! schema is a finding with its place, and then nothing is sent.

use aos_air::def::Kind;
use aos_air::diag::Findings;
use aos_air::schema::Shape;
use aos_air::text::{At, Document, Rule, Source, suggest};
use aos_air::validate::{Checked, Manifest, Schema};
use aos_kernel::input::{Actor, Body, Event, Input};

/// Something that is done to a world.
pub enum Act {
    /// An event is sent.
    Send(Input),
    /// What is outside comes back first.
    Wait,
    /// What waits under a grant is approved.
    Approve(String),
}

/// Reads an event file. Each event gets an id, its own or its number in the file, so that a second run changes nothing.
pub fn read(source: &Source, manifest: &Checked<Manifest>) -> Result<Vec<Act>, Findings> {
    let document = Document::parse(source)?;
    let mut acts = document.read(|at| at.list(|at| act(at, manifest)))?;
    let sent = acts.iter_mut().filter_map(|act| if let Act::Send(input) = act { Some(input) } else { None });
    for (input, number) in sent.zip(1_u64..) {
        input.id.get_or_insert_with(|| number.to_string().into_bytes());
    }
    Ok(acts)
}

fn act(at: &At<'_>, manifest: &Checked<Manifest>) -> Option<Act> {
    let mut object = at.object()?;
    let act = match (object.optional("wait"), object.optional("approve")) {
        (Some(wait), None) => wait.word(&[("quiet", ())]).map(|()| Act::Wait),
        (None, Some(grant)) => grant.identifier().map(Act::Approve),
        _ => return input(at, manifest).map(Act::Send),
    };
    object.finish();
    act
}

fn input(at: &At<'_>, manifest: &Checked<Manifest>) -> Option<Input> {
    let mut object = at.object()?;
    let schema = object.required("event").and_then(|at| schema(&at, manifest));
    let value = object.required("value");
    let key = object.optional("key");
    let id = object.optional("id").map(|at| at.words());
    object.finish();
    let schema = schema?;
    let value = value?.value(&schema.shape)?.to_cbor();
    let key = match key {
        None => None,
        Some(at) => Some(at.value(&key_shape(&at, schema, manifest)?)?.to_cbor()),
    };
    let id = match id {
        None => None,
        Some(id) => Some(id?.into_bytes()),
    };
    let event = Event { schema: schema.name.to_string(), value, key };
    Some(Input { actor: Actor::Host, id, body: Body::Event(event) })
}

fn schema<'a>(at: &At<'_>, manifest: &'a Checked<Manifest>) -> Option<&'a Schema> {
    let name = at.name()?;
    manifest.schema(&name).or_else(|| {
        let listed = manifest.definition().lists.get(&Kind::Schema).into_iter().flatten();
        let help = suggest(name.as_str(), listed.map(|listed| listed.name.as_str()));
        at.refuse_with(Rule::SchemaMissing, format!("there is no schema `{name}` in the manifest"), help)
    })
}

/// The type of the keys of the first keyed reducer that takes these events.
fn key_shape(at: &At<'_>, schema: &Schema, manifest: &Checked<Manifest>) -> Option<Shape> {
    let routes = manifest.routes().iter().filter(|route| route.event == schema.name);
    let key = routes.filter_map(|route| manifest.reducer(&route.reducer)).find_map(|reducer| reducer.key);
    let none = || at.refuse(Rule::RouteKey, format!("no reducer that takes `{}` has keys", schema.name));
    key.map(Shape::from).or_else(none)
}
