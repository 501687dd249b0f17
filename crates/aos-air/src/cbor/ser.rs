//! Serde's way into the canonical writer: maps and structs are sorted, floats are refused.
//!
//! Enums take serde's external form, which is AIR's form of a variant: the tag's text, or a one-entry map.

use alloc::vec::Vec;
use core::fmt;

use serde::ser::{self, Serialize};

use super::error::{CborError, Problem};
use super::write;

/// Encodes a plain serde value canonically.
///
/// # Errors
/// [`Problem::Unsupported`] for a float, an integer beyond 64 bits, a map key that stands twice, or an error of the type's own.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CborError> {
    let mut out = Vec::new();
    match value.serialize(Serializer(&mut out)) {
        Ok(()) => Ok(out),
        Err(Unsupported) => Err(CborError { offset: out.len(), problem: Problem::Unsupported }),
    }
}

/// Serde asks for an error type that can be made from any text; the text is of no use to a guest and is dropped.
#[derive(Debug)]
struct Unsupported;

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without a canonical form")
    }
}

impl ser::Error for Unsupported {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl core::error::Error for Unsupported {}

type Done = Result<(), Unsupported>;

struct Serializer<'a>(&'a mut Vec<u8>);

macro_rules! integers {
    ($($method:ident: $type:ty => $write:ident,)*) => {
        $(fn $method(self, value: $type) -> Done {
            write::$write(self.0, value.into());
            Ok(())
        })*
    };
}

impl<'a> ser::Serializer for Serializer<'a> {
    type Ok = ();
    type Error = Unsupported;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Items<'a>;
    type SerializeTupleStruct = Items<'a>;
    type SerializeTupleVariant = Items<'a>;
    type SerializeMap = Entries<'a>;
    type SerializeStruct = Entries<'a>;
    type SerializeStructVariant = Entries<'a>;

    integers! {
        serialize_u8: u8 => uint,
        serialize_u16: u16 => uint,
        serialize_u32: u32 => uint,
        serialize_u64: u64 => uint,
        serialize_i8: i8 => int,
        serialize_i16: i16 => int,
        serialize_i32: i32 => int,
        serialize_i64: i64 => int,
        serialize_bool: bool => bool,
    }

    fn serialize_i128(self, value: i128) -> Done {
        match (u64::try_from(value), i64::try_from(value)) {
            (Ok(value), _) => self.serialize_u64(value),
            (Err(_), Ok(value)) => self.serialize_i64(value),
            (Err(_), Err(_)) => Err(Unsupported),
        }
    }

    fn serialize_u128(self, value: u128) -> Done {
        u64::try_from(value).map_err(|_| Unsupported).and_then(|value| self.serialize_u64(value))
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_f32(self, _: f32) -> Done {
        Err(Unsupported)
    }

    fn serialize_f64(self, _: f64) -> Done {
        Err(Unsupported)
    }

    fn serialize_char(self, value: char) -> Done {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Done {
        write::text(self.0, value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Done {
        write::bytes(self.0, value);
        Ok(())
    }

    fn serialize_none(self) -> Done {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Done {
        write::null(self.0);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Done {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Done {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Done {
        open_variant(self.0, variant);
        value.serialize(Serializer(self.0))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a>, Unsupported> {
        Ok(Items { out: self.0, count: 0, items: Vec::new() })
    }

    fn serialize_tuple(self, len: usize) -> Result<Items<'a>, Unsupported> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Items<'a>, Unsupported> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Items<'a>, Unsupported> {
        open_variant(self.0, variant);
        self.serialize_seq(Some(len))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries<'a>, Unsupported> {
        Ok(Entries { out: self.0, entries: Vec::new(), key: Vec::new() })
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Entries<'a>, Unsupported> {
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Entries<'a>, Unsupported> {
        open_variant(self.0, variant);
        self.serialize_map(Some(len))
    }
}

/// Writes the one-entry map that holds a variant's payload, up to the payload.
fn open_variant(out: &mut Vec<u8>, variant: &str) {
    write::map(out, 1);
    write::text(out, variant);
}

/// Items of an array, held back until their count is known.
struct Items<'a> {
    out: &'a mut Vec<u8>,
    count: usize,
    items: Vec<u8>,
}

impl Items<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.count += 1;
        value.serialize(Serializer(&mut self.items))
    }

    fn close(self) {
        write::array(self.out, self.count);
        self.out.extend_from_slice(&self.items);
    }
}

/// Entries of a map, held back until they can be sorted: encoded key, encoded value.
struct Entries<'a> {
    out: &'a mut Vec<u8>,
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    key: Vec<u8>,
}

impl Entries<'_> {
    fn entry<T: Serialize + ?Sized>(&mut self, key: Vec<u8>, value: &T) -> Done {
        let mut encoded = Vec::new();
        value.serialize(Serializer(&mut encoded))?;
        self.entries.push((key, encoded));
        Ok(())
    }

    fn close(mut self) -> Done {
        self.entries.sort_unstable();
        if self.entries.windows(2).any(|pair| matches!(pair, [(first, _), (second, _)] if first == second)) {
            return Err(Unsupported);
        }
        write::map(self.out, self.entries.len());
        for (key, value) in &self.entries {
            self.out.extend_from_slice(key);
            self.out.extend_from_slice(value);
        }
        Ok(())
    }
}

macro_rules! items {
    ($($trait:ident, $method:ident;)*) => {
        $(impl ser::$trait for Items<'_> {
            type Ok = ();
            type Error = Unsupported;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
                self.item(value)
            }

            fn end(self) -> Done {
                self.close();
                Ok(())
            }
        })*
    };
}

items! {
    SerializeSeq, serialize_element;
    SerializeTuple, serialize_element;
    SerializeTupleStruct, serialize_field;
    SerializeTupleVariant, serialize_field;
}

macro_rules! entries {
    ($($trait:ident;)*) => {
        $(impl ser::$trait for Entries<'_> {
            type Ok = ();
            type Error = Unsupported;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Done {
                let mut encoded = Vec::new();
                write::text(&mut encoded, key);
                self.entry(encoded, value)
            }

            fn end(self) -> Done {
                self.close()
            }
        })*
    };
}

entries! {
    SerializeStruct;
    SerializeStructVariant;
}

impl ser::SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = Unsupported;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Done {
        self.key.clear();
        key.serialize(Serializer(&mut self.key))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        let key = core::mem::take(&mut self.key);
        self.entry(key, value)
    }

    fn end(self) -> Done {
        self.close()
    }
}
