//! Bytes against a type: [`Shape::check`] walks canonical bytes and builds nothing; [`Shape::canonical`] takes what a
//! guest wrote and returns the one normal form; [`Shape::decode`] builds the [`Value`].
//!
//! Recursion is as deep as the type, which is bounded by `limits`, never as deep as the bytes pretend.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::shape::{Field, Shape};
use super::types::KeyType;
use super::{Decimal, Value};
use crate::cbor::{CborError, Head, Problem, Reader};
use crate::hash::Digest;

/// Where and why bytes do not fit a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Pointer into the value, `/order/items/3`.
    pub pointer: String,
    /// Offset of the item in bytes.
    pub offset: usize,
    /// What is wrong.
    pub kind: MismatchKind,
}

/// What can be wrong with bytes of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MismatchKind {
    /// The bytes are not CBOR of the kind that values have.
    Cbor(Problem),
    /// Another type stands here; the word names the expected one.
    Expected(&'static str),
    /// A record lacks this field.
    Missing(String),
    /// A record has a field, or a variant a tag, that the type does not have.
    Unknown(String),
    /// A field, an item of a set or a key of a map stands twice.
    Twice,
    /// The value is right but its bytes are not the canonical ones.
    NotCanonical,
    /// The canonical form is larger than allowed.
    TooLarge,
}

impl Mismatch {
    /// Returns the stable code of this mismatch.
    pub const fn code(&self) -> &'static str {
        match self.kind {
            MismatchKind::Cbor(problem) => CborError { offset: 0, problem }.code(),
            MismatchKind::Expected(_) => "value.type",
            MismatchKind::Missing(_) => "value.field_missing",
            MismatchKind::Unknown(_) => "value.unknown",
            MismatchKind::Twice => "value.twice",
            MismatchKind::NotCanonical => "value.not_canonical",
            MismatchKind::TooLarge => "value.too_large",
        }
    }

    fn at(offset: usize, kind: MismatchKind) -> Self {
        Self { pointer: String::new(), offset, kind }
    }

    fn within(mut self, segment: &str) -> Self {
        let escaped = segment.replace('~', "~0").replace('/', "~1");
        self.pointer.insert_str(0, &format!("/{escaped}"));
        self
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            MismatchKind::Cbor(problem) => write!(f, "{}", CborError { offset: self.offset, problem: *problem })?,
            MismatchKind::Expected(word) => write!(f, "expected {word}")?,
            MismatchKind::Missing(field) => write!(f, "field `{field}` is missing")?,
            MismatchKind::Unknown(name) => write!(f, "`{name}` is not part of the type")?,
            MismatchKind::Twice => write!(f, "the item stands there already")?,
            MismatchKind::NotCanonical => write!(f, "the bytes are not canonical")?,
            MismatchKind::TooLarge => write!(f, "the value is larger than allowed")?,
        }
        if self.pointer.is_empty() { Ok(()) } else { write!(f, " at `{}`", self.pointer) }
    }
}

impl core::error::Error for Mismatch {}

impl From<CborError> for Mismatch {
    fn from(error: CborError) -> Self {
        Self::at(error.offset, MismatchKind::Cbor(error.problem))
    }
}

type Checked<T = ()> = Result<T, Mismatch>;

impl Shape {
    /// Checks that `bytes` are one canonical value of this type.
    ///
    /// # Errors
    /// The first mismatch in the order of the bytes.
    pub fn check(&self, bytes: &[u8]) -> Result<(), Mismatch> {
        let mut reader = Reader::strict(bytes);
        walk(self, &mut reader)?;
        Ok(reader.end()?)
    }

    /// Takes bytes as a guest may write them and returns the canonical ones, the same bytes where they are canonical.
    ///
    /// Accepted besides the canonical form: longer integers and lengths, any order of fields, sets and maps, and an
    /// option's field left out. The canonical form may have at most `bytes_max` bytes: fields that were left out make it
    /// larger than what was given, and nothing is built beyond it.
    ///
    /// # Errors
    /// The first mismatch in the order of the bytes.
    pub fn canonical<'a>(&self, bytes: &'a [u8], bytes_max: u64) -> Result<Cow<'a, [u8]>, Mismatch> {
        let too_large = || Mismatch::at(0, MismatchKind::TooLarge);
        if self.check(bytes).is_ok() {
            return if bytes.len() as u64 > bytes_max { Err(too_large()) } else { Ok(Cow::Borrowed(bytes)) };
        }
        let canonical = self.build(bytes, bytes_max)?.to_cbor();
        if canonical.len() as u64 > bytes_max { Err(too_large()) } else { Ok(Cow::Owned(canonical)) }
    }

    /// Builds the value that canonical bytes hold.
    ///
    /// # Errors
    /// The first mismatch in the order of the bytes.
    pub fn decode(&self, bytes: &[u8]) -> Result<Value, Mismatch> {
        self.check(bytes)?;
        self.build(bytes, bytes.len() as u64)
    }

    fn build(&self, bytes: &[u8], bytes_max: u64) -> Result<Value, Mismatch> {
        let mut builder = Builder { reader: Reader::lenient(bytes), left: bytes_max };
        let value = builder.value(self)?;
        builder.reader.end()?;
        Ok(value)
    }

    /// Finds the part of canonical `bytes` that a dotted path of field names leads to, and its type.
    ///
    /// At a variant the path goes on in the payload; a segment `$value` may say so. None where the path does not exist
    /// in this value.
    pub fn select<'s, 'b>(&'s self, bytes: &'b [u8], path: &str) -> Option<(&'s Self, &'b [u8])> {
        let mut here = (self, bytes);
        for segment in path.split('.') {
            if let (Self::Variant(arms), bytes) = here {
                here = payload(arms, bytes)?;
            }
            if segment != "$value" {
                here = field(here.0, here.1, segment)?;
            }
        }
        Some(here)
    }
}

/// Steps into the payload of a variant.
fn payload<'s, 'b>(arms: &'s [Field], bytes: &'b [u8]) -> Option<(&'s Shape, &'b [u8])> {
    let mut reader = Reader::strict(bytes);
    if reader.map().ok()? != 1 {
        return None;
    }
    let tag = reader.text().ok()?;
    let arm = arms.iter().find(|arm| arm.name == tag)?;
    Some((&arm.shape, reader.rest()))
}

/// Steps into a field of a record.
fn field<'s, 'b>(shape: &'s Shape, bytes: &'b [u8], name: &str) -> Option<(&'s Shape, &'b [u8])> {
    let Shape::Record(fields) = shape else { return None };
    let mut reader = Reader::strict(bytes);
    reader.map().ok()?;
    for field in fields {
        reader.text().ok()?;
        let start = reader.offset();
        walk(&field.shape, &mut reader).ok()?;
        if field.name == name {
            return Some((&field.shape, reader.since(start)));
        }
    }
    None
}

/// Reads one value strictly.
fn walk(shape: &Shape, reader: &mut Reader<'_>) -> Checked {
    let start = reader.offset();
    match shape {
        Shape::Record(fields) => walk_record(fields, reader),
        Shape::Variant(arms) => {
            if let Some(arm) = open_arm(arms, reader)? {
                walk(&arm.shape, reader).map_err(|error| error.within(&arm.name))?;
            }
            Ok(())
        }
        Shape::List(inner) => {
            for index in 0..expect(reader.array(), shape, start)? {
                walk(inner, reader).map_err(|error| error.within(&format!("{index}")))?;
            }
            Ok(())
        }
        Shape::Set(inner) => {
            let mut last: Option<&[u8]> = None;
            for index in 0..expect(reader.array(), shape, start)? {
                let start = reader.offset();
                walk(inner, reader).map_err(|error| error.within(&format!("{index}")))?;
                ascending(&mut last, reader.since(start), start)?;
            }
            Ok(())
        }
        Shape::Map(key, inner) => {
            let mut last: Option<&[u8]> = None;
            for _ in 0..expect(reader.map(), shape, start)? {
                let start = reader.offset();
                let key = key_segment(*key, reader)?;
                ascending(&mut last, reader.since(start), start)?;
                walk(inner, reader).map_err(|error| error.within(&key))?;
            }
            Ok(())
        }
        Shape::Option(inner) => {
            if reader.take_null() {
                return Ok(());
            }
            walk(inner, reader)
        }
        Shape::Bytes => expect(reader.bytes(), shape, start).map(drop),
        Shape::Text => expect(reader.text(), shape, start).map(drop),
        _ => scalar(shape, reader).map(drop),
    }
}

fn walk_record(fields: &[Field], reader: &mut Reader<'_>) -> Checked {
    let start = reader.offset();
    let len = expect(reader.map(), &Shape::Record(Vec::new()), start)?;
    for (index, field) in fields.iter().enumerate() {
        if index >= len {
            return Err(Mismatch::at(start, MismatchKind::Missing(field.name.clone())));
        }
        if !reader.take_exact(&field.key) {
            return Err(wrong_field(fields, field, reader));
        }
        walk(&field.shape, reader).map_err(|error| error.within(&field.name))?;
    }
    if len > fields.len() {
        let offset = reader.offset();
        let name = reader.text()?;
        return Err(Mismatch::at(offset, MismatchKind::Unknown(name.into())));
    }
    Ok(())
}

/// Says what stands where `field` was expected.
fn wrong_field(fields: &[Field], field: &Field, reader: &mut Reader<'_>) -> Mismatch {
    let offset = reader.offset();
    match reader.text() {
        Err(error) => error.into(),
        Ok(name) if name == field.name => Mismatch::at(offset, MismatchKind::NotCanonical),
        Ok(name) if fields.iter().any(|field| field.name == name) => {
            Mismatch::at(offset, MismatchKind::Missing(field.name.clone()))
        }
        Ok(name) => Mismatch::at(offset, MismatchKind::Unknown(name.into())),
    }
}

/// Reads a variant's tag; returns the arm whose payload follows, or none for an arm of the unit.
fn open_arm<'s>(arms: &'s [Field], reader: &mut Reader<'_>) -> Checked<Option<&'s Field>> {
    let (arm, start, bare) = arm(arms, reader)?;
    match (bare, &*arm.shape) {
        (true, Shape::Unit) => Ok(None),
        (true, shape) => Err(Mismatch::at(start, MismatchKind::Expected(shape.word())).within(&arm.name)),
        (false, Shape::Unit) => Err(Mismatch::at(start, MismatchKind::NotCanonical)),
        (false, _) => Ok(Some(arm)),
    }
}

/// Reads a variant's tag; returns its arm, the offset, and whether the tag stands alone.
fn arm<'s>(arms: &'s [Field], reader: &mut Reader<'_>) -> Checked<(&'s Field, usize, bool)> {
    let start = reader.offset();
    let (tag, bare) = match reader.head()? {
        Head::Text(tag) => (tag, true),
        Head::Map(1) => (reader.text()?, false),
        _ => return Err(Mismatch::at(start, MismatchKind::Expected("variant"))),
    };
    let arm = arms.iter().find(|arm| arm.name == tag);
    let arm = arm.ok_or_else(|| Mismatch::at(start, MismatchKind::Unknown(tag.into())))?;
    Ok((arm, start, bare))
}

fn ascending<'b>(last: &mut Option<&'b [u8]>, item: &'b [u8], offset: usize) -> Checked {
    match last.replace(item).map(|last| last.cmp(item)) {
        Some(core::cmp::Ordering::Equal) => Err(Mismatch::at(offset, MismatchKind::Twice)),
        Some(core::cmp::Ordering::Greater) => Err(Mismatch::at(offset, MismatchKind::NotCanonical)),
        Some(core::cmp::Ordering::Less) | None => Ok(()),
    }
}

/// Turns "an item of another type" into "expected so and so".
fn expect<T>(read: Result<T, CborError>, shape: &Shape, start: usize) -> Checked<T> {
    read.map_err(|error| match error.problem {
        Problem::Type if error.offset == start => Mismatch::at(start, MismatchKind::Expected(shape.word())),
        _ => error.into(),
    })
}

/// Reads one value of a type that holds no other, other than bytes and text: those are copied only by [`Builder`].
fn scalar(shape: &Shape, reader: &mut Reader<'_>) -> Checked<Value> {
    let start = reader.offset();
    let expected = || Mismatch::at(start, MismatchKind::Expected(shape.word()));
    Ok(match shape {
        Shape::Bool => match expect(reader.head(), shape, start)? {
            Head::Bool(value) => Value::Bool(value),
            _ => return Err(expected()),
        },
        Shape::Int => Value::Int(expect(reader.int(), shape, start)?),
        Shape::Duration => Value::Duration(expect(reader.int(), shape, start)?),
        Shape::Nat => Value::Nat(expect(reader.uint(), shape, start)?),
        Shape::Time => Value::Time(expect(reader.uint(), shape, start)?),
        Shape::Hash => Value::Hash(Digest::from_bytes(expect(reader.byte_array(), shape, start)?)),
        Shape::Uuid => Value::Uuid(expect(reader.byte_array(), shape, start)?),
        Shape::Dec128 => {
            let (exponent, mantissa) = expect(reader.decimal(), shape, start)?;
            let decimal = Decimal::new(mantissa, exponent);
            Value::Dec128(decimal.map_err(|_| Mismatch::at(start, MismatchKind::Cbor(Problem::Range)))?)
        }
        Shape::Unit if reader.take_null() => Value::Unit,
        _ => return Err(expected()),
    })
}

/// Reads leniently and builds the value, counting what its canonical form takes at least.
struct Builder<'b> {
    reader: Reader<'b>,
    left: u64,
}

impl Builder<'_> {
    /// Counts `bytes` of the canonical form.
    fn spend(&mut self, bytes: usize) -> Checked {
        let left = u64::try_from(bytes).ok().and_then(|bytes| self.left.checked_sub(bytes));
        self.left = left.ok_or_else(|| Mismatch::at(self.reader.offset(), MismatchKind::TooLarge))?;
        Ok(())
    }

    fn value(&mut self, shape: &Shape) -> Checked<Value> {
        let start = self.reader.offset();
        // The value in an option takes no byte more than by itself.
        if !matches!(shape, Shape::Option(_)) || self.reader.peek()? == Head::Null {
            self.spend(1)?;
        }
        Ok(match shape {
            Shape::Bytes => Value::Bytes(expect(self.reader.bytes(), shape, start)?.into()),
            Shape::Text => Value::Text(expect(self.reader.text(), shape, start)?.into()),
            Shape::Record(fields) => self.record(fields)?,
            Shape::Variant(arms) => {
                let (arm, start, bare) = arm(arms, &mut self.reader)?;
                let payload = match (bare, &*arm.shape) {
                    (true, Shape::Unit) => Value::Unit,
                    (true, shape) => {
                        return Err(Mismatch::at(start, MismatchKind::Expected(shape.word())).within(&arm.name));
                    }
                    (false, shape) => self.value(shape).map_err(|error| error.within(&arm.name))?,
                };
                Value::Variant(arm.name.clone(), Box::new(payload))
            }
            Shape::List(inner) => Value::List(self.items(inner, shape)?),
            Shape::Set(inner) => {
                Value::set(self.items(inner, shape)?).map_err(|_| Mismatch::at(start, MismatchKind::Twice))?
            }
            Shape::Map(key, inner) => {
                let key = Shape::from(*key);
                let mut entries = Vec::new();
                for _ in 0..expect(self.reader.map(), shape, start)? {
                    let key = self.value(&key)?;
                    let value = self.value(inner).map_err(|error| error.within(&segment(&key)))?;
                    entries.push((key, value));
                }
                Value::map(entries).map_err(|_| Mismatch::at(start, MismatchKind::Twice))?
            }
            Shape::Option(_) if self.reader.take_null() => Value::Option(None),
            Shape::Option(inner) => Value::Option(Some(Box::new(self.value(inner)?))),
            _ => scalar(shape, &mut self.reader)?,
        })
    }

    fn items(&mut self, inner: &Shape, shape: &Shape) -> Checked<Vec<Value>> {
        let start = self.reader.offset();
        let len = expect(self.reader.array(), shape, start)?;
        (0..len).map(|index| self.value(inner).map_err(|error| error.within(&format!("{index}")))).collect()
    }

    fn record(&mut self, fields: &[Field]) -> Checked<Value> {
        let start = self.reader.offset();
        let mut values = BTreeMap::new();
        for _ in 0..expect(self.reader.map(), &Shape::Record(Vec::new()), start)? {
            let offset = self.reader.offset();
            let name = self.reader.text()?;
            let field = fields.iter().find(|field| field.name == name);
            let field = field.ok_or_else(|| Mismatch::at(offset, MismatchKind::Unknown(name.into())))?;
            let value = self.value(&field.shape).map_err(|error| error.within(name))?;
            if values.insert(field.name.clone(), value).is_some() {
                return Err(Mismatch::at(offset, MismatchKind::Twice).within(name));
            }
        }
        for field in fields {
            self.spend(field.key.len())?;
            if !values.contains_key(&field.name) {
                if !matches!(*field.shape, Shape::Option(_)) {
                    return Err(Mismatch::at(start, MismatchKind::Missing(field.name.clone())));
                }
                self.spend(1)?;
                values.insert(field.name.clone(), Value::Option(None));
            }
        }
        Ok(Value::Record(values))
    }
}

/// Reads a map's key strictly and returns it as a segment of a pointer.
fn key_segment(key: KeyType, reader: &mut Reader<'_>) -> Checked<String> {
    let start = reader.offset();
    let shape = Shape::from(key);
    if key == KeyType::Text {
        Ok(expect(reader.text(), &shape, start)?.into())
    } else {
        Ok(segment(&scalar(&shape, reader)?))
    }
}

/// Returns a map's key as a segment of a pointer.
fn segment(key: &Value) -> String {
    match key {
        Value::Int(key) => format!("{key}"),
        Value::Nat(key) => format!("{key}"),
        Value::Text(key) => key.clone(),
        Value::Hash(key) => format!("{key}"),
        Value::Uuid(key) => key.iter().map(|byte| format!("{byte:02x}")).collect(),
        // No other type keys a map.
        _ => String::new(),
    }
}
