//! Decimals: at most 34 significant digits and the exponents of IEEE 754 decimal128. No arithmetic, no floats.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

/// A decimal number: `mantissa × 10^exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
// INVARIANT: at most 34 digits; no trailing zero in the mantissa; zero has exponent 0; the exponent lies in range.
pub struct Decimal {
    mantissa: i128,
    exponent: i16,
}

/// Largest count of significant digits.
const DIGITS_MAX: usize = 34;
/// Bounds of the exponent of a mantissa without trailing zeros: those of decimal128, whose largest number is
/// `(10^34 - 1) × 10^6111` and may lose up to 33 zeros to the exponent.
const EXPONENTS: core::ops::RangeInclusive<i64> = -6_176..=6_144;
/// Largest place of the first digit, as a power of ten.
const MAGNITUDE_MAX: i64 = 6_144;

/// Why a number is not a decimal of this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotADecimal {
    /// The text is no decimal number.
    #[error("a decimal is written `-12.5` or `1.25E+3`")]
    Form,
    /// More than 34 significant digits.
    #[error("a decimal has at most {DIGITS_MAX} significant digits")]
    Digits,
    /// The exponent is out of range.
    #[error("a decimal's exponent lies beyond decimal128's")]
    Exponent,
}

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self { mantissa: 0, exponent: 0 };

    /// Makes `mantissa × 10^exponent`; trailing zeros of the mantissa go into the exponent.
    ///
    /// # Errors
    /// [`NotADecimal::Digits`] or [`NotADecimal::Exponent`].
    pub fn new(mut mantissa: i128, mut exponent: i64) -> Result<Self, NotADecimal> {
        if mantissa == 0 {
            return Ok(Self::ZERO);
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            exponent = exponent.saturating_add(1);
        }
        let digits = mantissa.unsigned_abs().to_string().len();
        if digits > DIGITS_MAX {
            return Err(NotADecimal::Digits);
        }
        let first_digit = i64::try_from(digits).unwrap_or(i64::MAX).saturating_add(exponent).saturating_sub(1);
        if !EXPONENTS.contains(&exponent) || first_digit > MAGNITUDE_MAX {
            return Err(NotADecimal::Exponent);
        }
        let exponent = i16::try_from(exponent).map_err(|_| NotADecimal::Exponent)?;
        Ok(Self { mantissa, exponent })
    }

    /// Returns the mantissa, which has no trailing zero.
    pub const fn mantissa(self) -> i128 {
        self.mantissa
    }

    /// Returns the exponent of ten.
    pub fn exponent(self) -> i64 {
        self.exponent.into()
    }
}

impl FromStr for Decimal {
    type Err = NotADecimal;

    fn from_str(text: &str) -> Result<Self, NotADecimal> {
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i64>().map_err(|_| NotADecimal::Form)?),
            None => (text, 0),
        };
        let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digit = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digit(whole) || !digit(fraction) {
            return Err(NotADecimal::Form);
        }
        let fraction = fraction.trim_end_matches('0');
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0');
        let zeros = significant.len() - significant.trim_end_matches('0').len();
        let kept = significant.get(..significant.len() - zeros).unwrap_or_default();
        if kept.len() > DIGITS_MAX {
            return Err(NotADecimal::Digits);
        }
        if kept.is_empty() {
            return Ok(Self::ZERO);
        }
        let mantissa: i128 = kept.parse().map_err(|_| NotADecimal::Form)?;
        let shift = i64::try_from(zeros).ok().zip(i64::try_from(fraction.len()).ok());
        let (zeros, places) = shift.ok_or(NotADecimal::Exponent)?;
        let exponent = exponent.checked_add(zeros - places).ok_or(NotADecimal::Exponent)?;
        Self::new(if negative { -mantissa } else { mantissa }, exponent)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = self.mantissa.unsigned_abs().to_string();
        let exponent = i64::from(self.exponent);
        let point = i64::try_from(digits.len()).unwrap_or(i64::MAX).saturating_add(exponent);
        match usize::try_from(point) {
            _ if (0..=20).contains(&exponent) => {
                let zeros = "0".repeat(usize::try_from(exponent).unwrap_or_default());
                write!(f, "{sign}{digits}{zeros}")
            }
            Ok(point @ 1..) if exponent < 0 => {
                let (whole, fraction) = digits.split_at_checked(point).unwrap_or((&digits, ""));
                write!(f, "{sign}{whole}.{fraction}")
            }
            _ if exponent < 0 && point > -6 => {
                let zeros = "0".repeat(usize::try_from(-point).unwrap_or_default());
                write!(f, "{sign}0.{zeros}{digits}")
            }
            _ => {
                let (first, rest) = digits.split_at_checked(1).unwrap_or((&digits, ""));
                let dot = if rest.is_empty() { "" } else { "." };
                write!(f, "{sign}{first}{dot}{rest}E{:+}", point - 1)
            }
        }
    }
}

impl From<Decimal> for String {
    fn from(decimal: Decimal) -> Self {
        decimal.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_their_normal_forms() {
        let nines = "9".repeat(34);
        let cases = [
            ("0", "0"),
            ("-0.000", "0"),
            ("1.50", "1.5"),
            ("-12", "-12"),
            ("1200", "1200"),
            ("0.001", "0.001"),
            ("1e3", "1000"),
            ("1.5E+30", "1.5E+30"),
            ("12E-20", "1.2E-19"),
            ("0.0000001", "1E-7"),
            (nines.as_str(), nines.as_str()),
            ("9E6144", "9E+6144"),
            ("1E-6176", "1E-6176"),
        ];
        for (text, expected) in cases {
            let decimal: Decimal = text.parse().unwrap();
            assert_eq!(decimal.to_string(), expected, "{text}");
            assert_eq!(decimal.to_string().parse(), Ok(decimal), "{text}");
        }
    }

    #[test]
    fn what_is_refused_and_why() {
        let long = "1".repeat(35);
        let cases = [
            ("", NotADecimal::Form),
            (".5", NotADecimal::Form),
            ("5.", NotADecimal::Form),
            ("+5", NotADecimal::Form),
            ("1e", NotADecimal::Form),
            ("NaN", NotADecimal::Form),
            (long.as_str(), NotADecimal::Digits),
            ("1E6145", NotADecimal::Exponent),
            ("1E-6177", NotADecimal::Exponent),
            ("1E9223372036854775807", NotADecimal::Exponent),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Decimal>(), Err(expected), "{text}");
        }
    }
}
