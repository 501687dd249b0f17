//! Scalars as texts: integers, base64, UUIDs, and times as RFC 3339 has them. No floats, no time zones but UTC.
//!
//! Each reader takes exactly what it says and returns none for all else; each printer's text is read back as the same value.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const NS_PER_S: u64 = 1_000_000_000;
const S_PER_DAY: u64 = 86_400;

/// Reads a decimal integer without sign or leading zero.
pub fn nat(text: &str) -> Option<u64> {
    let exact = text == "0" || !text.starts_with('0');
    (exact && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Reads a decimal integer, with `-` in front where it is negative.
pub fn int(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let exact = text == "0" || !digits.starts_with('0');
    (exact && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Reads base64 of the standard alphabet with padding, in its one exact form.
pub fn bytes(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Prints bytes as base64.
pub fn print_bytes(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads 32 bytes from 64 lower-case hexadecimal digits, 16 bytes from 32, and so on.
pub fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut read = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
        return None;
    }
    for (index, byte) in read.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(read)
}

/// Prints bytes as lower-case hexadecimal digits.
pub fn print_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a UUID: lower-case hexadecimal digits in groups of 8, 4, 4, 4 and 12.
pub fn uuid(text: &str) -> Option<[u8; 16]> {
    let groups: Vec<&str> = text.split('-').collect();
    let exact = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]);
    exact.then(|| hex(&groups.concat()))?
}

/// Prints a UUID in its groups.
pub fn print_uuid(uuid: &[u8; 16]) -> String {
    let digits = print_hex(uuid);
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32];
    groups.map(|range| digits.get(range).unwrap_or_default()).join("-")
}

/// Reads `YYYY-MM-DDTHH:MM:SS[.fraction]` with `Z` or an offset as nanoseconds since 1970.
///
/// At most nine digits of a fraction; no leap second; nothing before 1970 and nothing that 64 bits cannot count.
pub fn time(text: &str) -> Option<u64> {
    let (date, rest) = text.split_at_checked(10)?;
    let (clock, rest) = rest.split_at_checked(9)?;
    let mut date = date.split('-');
    let (year, month, day) = (digits(date.next()?, 4)?, digits(date.next()?, 2)?, digits(date.next()?, 2)?);
    let mut clock = clock.strip_prefix('T')?.split(':');
    let (hour, minute, second) = (digits(clock.next()?, 2)?, digits(clock.next()?, 2)?, digits(clock.next()?, 2)?);
    if clock.next().is_some() || date.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|character: char| !character.is_ascii_digit())?;
            let (fraction, zone) = rest.split_at_checked(end)?;
            let exact = (1..=9).contains(&fraction.len());
            (exact.then(|| format!("{fraction:0<9}").parse().ok())??, zone)
        }
        None => (0, rest),
    };
    let day = days(year, month, day)?.checked_mul(i64::try_from(S_PER_DAY).ok()?)?;
    let local = day + i64::try_from(hour * 3_600 + minute * 60 + second).ok()?;
    let seconds = u64::try_from(local - zone_seconds(zone)?).ok()?;
    seconds.checked_mul(NS_PER_S)?.checked_add(fraction)
}

/// Prints a time as RFC 3339 in UTC, with as many digits of a fraction as it needs.
pub fn print_time(ns: u64) -> String {
    let (seconds, fraction) = (ns / NS_PER_S, ns % NS_PER_S);
    let (year, month, day) = date(seconds / S_PER_DAY);
    let of_day = seconds % S_PER_DAY;
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:09}") };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{}Z", fraction.trim_end_matches('0'))
}

/// Reads exactly `len` digits.
fn digits(text: &str, len: usize) -> Option<u64> {
    (text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Reads `Z`, `+HH:MM` or `-HH:MM` as seconds east of Greenwich.
fn zone_seconds(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    (hours < 24 && minutes < 60)
        .then(|| i64::try_from(hours * 3_600 + minutes * 60).ok())?
        .map(|seconds| sign * seconds)
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

const fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + is_leap(year) as u64,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Counts the days from 1970-01-01 to a date of the Gregorian calendar; the day before is -1.
fn days(year: u64, month: u64, day: u64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=days_of_month(year, month)).contains(&day) {
        return None;
    }
    let of_year = (1..month).map(|month| days_of_month(year, month)).sum::<u64>() + day - 1;
    i64::try_from(days_before_year(year) + of_year).ok()?.checked_sub_unsigned(days_before_year(1_970))
}

/// Counts the days from 0000-01-01 to the first day of a year.
const fn days_before_year(year: u64) -> u64 {
    if year == 0 {
        return 0;
    }
    let last = year - 1;
    365 * year + last / 4 - last / 100 + last / 400 + 1
}

/// Returns year, month and day of the day that lies so many days after 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    let mut rest = days + days_before_year(1_970);
    // An estimate that is never too late, and at most one year too early.
    let mut year = (rest * 400 / 146_097).saturating_sub(1);
    while days_before_year(year + 1) <= rest {
        year += 1;
    }
    rest -= days_before_year(year);
    let mut month = 1;
    while rest >= days_of_month(year, month) {
        rest -= days_of_month(year, month);
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_and_printed() {
        let cases = [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.000000001Z", 1),
            ("2000-02-29T23:59:59.5Z", 951_868_799_500_000_000),
            ("2026-11-21T08:40:00Z", 1_795_250_400_000_000_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400_000_000_000),
            ("2554-07-21T23:34:33.709551615Z", u64::MAX),
        ];
        for (text, ns) in cases {
            assert_eq!(time(text), Some(ns), "{text}");
            assert_eq!(print_time(ns), text);
        }
        assert_eq!(time("1970-01-01T02:30:00+02:30"), Some(0));
        assert_eq!(time("1969-12-31T23:00:00-01:00"), Some(0));
        let refused = [
            "1969-12-31T23:59:59Z",
            "2554-07-21T23:34:33.709551616Z",
            "2023-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-00-01T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01T00:00:60Z",
            "2023-01-01 00:00:00Z",
            "2023-01-01T00:00:00",
            "2023-01-01T00:00:00.Z",
            "2023-01-01T00:00:00.0000000001Z",
            "2023-01-01T00:00:00+2:00",
            "2023-1-01T00:00:00Z",
            "",
            "é",
            "2023-01-01T00:00:00é",
        ];
        for text in refused {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn integers_have_one_form() {
        assert_eq!(["0", "7", "18446744073709551615"].map(nat), [Some(0), Some(7), Some(u64::MAX)]);
        assert_eq!(["", "-1", "+1", "01", "1.0", "1e3", "18446744073709551616", " 1"].map(nat), [None; 8]);
        assert_eq!(["0", "-7", "-9223372036854775808"].map(int), [Some(0), Some(-7), Some(i64::MIN)]);
        assert_eq!(["", "-", "-0", "+1", "01", "-01", "9223372036854775808"].map(int), [None; 7]);
    }

    #[test]
    fn base64_and_uuids_have_one_form() {
        assert_eq!(bytes("AQI="), Some(vec![1, 2]));
        assert_eq!(["AQI", "AQJ=", "AQ I=", "_w=="].map(bytes), [None, None, None, None]);
        let text = "00112233-4455-6677-8899-aabbccddeeff";
        assert_eq!(uuid(text).map(|uuid| print_uuid(&uuid)).as_deref(), Some(text));
        for bad in [
            "00112233445566778899aabbccddeeff",
            "00112233-4455-6677-8899-AABBCCDDEEFF",
            "00112233-4455-6677-8899-aabbccddeef",
            "",
        ] {
            assert_eq!(uuid(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_printed_time_is_read_back(ns: u64) {
            prop_assert_eq!(time(&print_time(ns)), Some(ns));
        }
    }
}
