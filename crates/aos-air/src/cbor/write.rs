//! The canonical writer: appends single items, always in their shortest form.
//!
//! A caller that writes a map writes its keys in bytewise order of their encoded form; [`super::check`] tells if not.

use alloc::vec::Vec;

const UINT: u8 = 0;
const NINT: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

/// Appends a head: major type and argument in its shortest form.
fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    match argument {
        0..=23 => out.push(major | argument.to_be_bytes()[7]),
        24..=0xff => out.extend_from_slice(&[major | 24, argument.to_be_bytes()[7]]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&argument.to_be_bytes()[6..]);
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&argument.to_be_bytes()[4..]);
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&argument.to_be_bytes());
        }
    }
}

/// Appends an unsigned integer.
pub fn uint(out: &mut Vec<u8>, value: u64) {
    head(out, UINT, value);
}

/// Appends a signed integer.
pub fn int(out: &mut Vec<u8>, value: i64) {
    if value < 0 { head(out, NINT, !value.cast_unsigned()) } else { head(out, UINT, value.cast_unsigned()) }
}

/// Appends a byte string.
pub fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    head(out, BYTES, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a text.
pub fn text(out: &mut Vec<u8>, value: &str) {
    head(out, TEXT, value.len() as u64);
    out.extend_from_slice(value.as_bytes());
}

/// Appends the head of an array of `len` items, which follow.
pub fn array(out: &mut Vec<u8>, len: usize) {
    head(out, ARRAY, len as u64);
}

/// Appends the head of a map of `len` entries, which follow: key, value, in order.
pub fn map(out: &mut Vec<u8>, len: usize) {
    head(out, MAP, len as u64);
}

/// Appends a bool.
pub fn bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xf5 } else { 0xf4 });
}

/// Appends null.
pub fn null(out: &mut Vec<u8>) {
    out.push(0xf6);
}

/// Appends a byte string, or null where there is none.
pub fn bytes_or_null(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => bytes(out, value),
        None => null(out),
    }
}

/// Appends a text, or null.
pub fn text_or_null(out: &mut Vec<u8>, value: Option<&str>) {
    match value {
        Some(value) => text(out, value),
        None => null(out),
    }
}

/// Appends a decimal fraction: tag 4 around exponent and mantissa, the mantissa a bignum (tag 2 or 3) beyond 64 bits.
///
/// The caller has removed the trailing zeros of the mantissa.
pub fn decimal(out: &mut Vec<u8>, exponent: i64, mantissa: i128) {
    head(out, TAG, 4);
    array(out, 2);
    int(out, exponent);
    let (major, tag, magnitude) =
        if mantissa < 0 { (NINT, 3, !mantissa.cast_unsigned()) } else { (UINT, 2, mantissa.cast_unsigned()) };
    if let Ok(small) = u64::try_from(magnitude) {
        head(out, major, small);
    } else {
        let magnitude = magnitude.to_be_bytes();
        let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
        head(out, TAG, tag);
        bytes(out, magnitude.get(zeros..).unwrap_or_default());
    }
}
