//! Arithmetic on decimals: the exact result, or none. Nothing is rounded.
//!
//! Mantissas have at most 34 digits and no trailing zero, which is why 128 bits do: what does not fit them has more than
//! 34 digits that count.

use core::cmp::Ordering;

use super::EvalProblem;
use crate::schema::{Decimal, NotADecimal};

type Exact = Result<Decimal, EvalProblem>;

/// Digits that an `i128` holds whatever they are.
const DIGITS_SAFE: i64 = 38;

fn decimal(mantissa: i128, exponent: i64) -> Exact {
    Decimal::new(mantissa, exponent).map_err(|error| match error {
        NotADecimal::Exponent => EvalProblem::Overflow,
        NotADecimal::Digits | NotADecimal::Form => EvalProblem::Inexact,
    })
}

/// Counts the digits of a mantissa; zero has one.
fn digits(mantissa: i128) -> i64 {
    mantissa.unsigned_abs().checked_ilog10().map_or(1, |log| i64::from(log) + 1)
}

/// Multiplies by a power of ten; none where that does not fit.
fn shifted(mantissa: i128, places: i64) -> Option<i128> {
    let power = 10_i128.checked_pow(u32::try_from(places).ok()?)?;
    mantissa.checked_mul(power)
}

/// Returns the sum.
pub(super) fn add(a: Decimal, b: Decimal) -> Exact {
    if a.mantissa() == 0 || b.mantissa() == 0 {
        return Ok(if a.mantissa() == 0 { b } else { a });
    }
    let (high, low) = if a.exponent() >= b.exponent() { (a, b) } else { (b, a) };
    let places = high.exponent() - low.exponent();
    // The lower one ends in a digit that is no zero, so all digits down to it count.
    if digits(high.mantissa()) + places > DIGITS_SAFE {
        return Err(EvalProblem::Inexact);
    }
    let high = shifted(high.mantissa(), places).ok_or(EvalProblem::Inexact)?;
    decimal(high.checked_add(low.mantissa()).ok_or(EvalProblem::Inexact)?, low.exponent())
}

/// Returns the difference.
pub(super) fn sub(a: Decimal, b: Decimal) -> Exact {
    add(a, decimal(-b.mantissa(), b.exponent())?)
}

/// Returns the product.
pub(super) fn mul(a: Decimal, b: Decimal) -> Exact {
    let (mut left, mut right) = (a.mantissa(), b.mantissa());
    let mut exponent = a.exponent() + b.exponent();
    // A two of one and a five of the other make a zero at the end, which goes into the exponent.
    while left != 0 && right != 0 {
        (left, right) = match (left % 2, right % 5, left % 5, right % 2) {
            (0, 0, _, _) => (left / 2, right / 5),
            (_, _, 0, 0) => (left / 5, right / 2),
            _ => break,
        };
        exponent += 1;
    }
    decimal(left.checked_mul(right).ok_or(EvalProblem::Inexact)?, exponent)
}

/// Returns the quotient, where it has finitely many digits.
pub(super) fn div(a: Decimal, b: Decimal) -> Exact {
    if b.mantissa() == 0 {
        return Err(EvalProblem::Division);
    }
    let common = gcd(a.mantissa().unsigned_abs(), b.mantissa().unsigned_abs());
    let common = i128::try_from(common).map_err(|_| EvalProblem::Inexact)?;
    let (mut left, mut right) = (a.mantissa() / common, b.mantissa() / common);
    let mut exponent = a.exponent() - b.exponent();
    // One over two is five tenths, one over five two tenths.
    for (factor, other) in [(2, 5), (5, 2)] {
        while right % factor == 0 {
            right /= factor;
            left = left.checked_mul(other).ok_or(EvalProblem::Inexact)?;
            exponent -= 1;
            // Tenths that cancel a zero.
            if left % 10 == 0 {
                left /= 10;
                exponent += 1;
            }
        }
    }
    if right.unsigned_abs() != 1 {
        return Err(EvalProblem::Inexact);
    }
    decimal(left * right, exponent)
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

/// Compares by amount.
pub(super) fn compare(a: Decimal, b: Decimal) -> Ordering {
    let sign = a.mantissa().signum().cmp(&b.mantissa().signum());
    if sign != Ordering::Equal || a.mantissa() == 0 {
        return sign;
    }
    let first_digit = |value: Decimal| digits(value.mantissa()) + value.exponent();
    let amount = first_digit(a).cmp(&first_digit(b)).then_with(|| {
        // Equally long numbers differ in exponent by less than 34.
        let low = a.exponent().min(b.exponent());
        let aligned = |value: Decimal| shifted(value.mantissa(), value.exponent() - low).map(i128::unsigned_abs);
        aligned(a).cmp(&aligned(b))
    });
    if a.mantissa() < 0 { amount.reverse() } else { amount }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// Whole numbers as digits, the lowest first: as slow and as obvious as on paper.
    type Digits = Vec<u8>;

    fn written(mut mantissa: u128, zeros: i64) -> Digits {
        let mut digits = alloc::vec![0; usize::try_from(zeros).unwrap()];
        while mantissa > 0 {
            digits.push(u8::try_from(mantissa % 10).unwrap());
            mantissa /= 10;
        }
        digits
    }

    /// Adds, or takes the second from the first, which is not less.
    fn combine(a: &Digits, b: &Digits, sign: i8) -> Digits {
        let mut carry = 0_i8;
        let mut result = Vec::new();
        for place in 0..a.len().max(b.len()) + 1 {
            let digit = |of: &Digits| i8::try_from(of.get(place).copied().unwrap_or(0)).unwrap();
            let sum = digit(a) + sign * digit(b) + carry;
            result.push(u8::try_from(sum.rem_euclid(10)).unwrap());
            carry = sum.div_euclid(10);
        }
        assert_eq!(carry, 0);
        result
    }

    fn is_less(a: &Digits, b: &Digits) -> bool {
        let from_the_top =
            |of: &Digits| -> Vec<u8> { (0..200).rev().map(|place| of.get(place).copied().unwrap_or(0)).collect() };
        from_the_top(a) < from_the_top(b)
    }

    /// Makes a decimal of digits, if they are few enough.
    fn made(digits: &Digits, is_negative: bool, exponent: i64) -> Exact {
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        let rest: Vec<u8> = digits[zeros..].iter().rev().copied().skip_while(|digit| *digit == 0).collect();
        if rest.is_empty() {
            return Ok(Decimal::ZERO);
        }
        if rest.len() > 34 {
            return Err(EvalProblem::Inexact);
        }
        let mantissa = rest.iter().fold(0_i128, |sum, digit| sum * 10 + i128::from(*digit));
        decimal(if is_negative { -mantissa } else { mantissa }, exponent + i64::try_from(zeros).unwrap())
    }

    fn slow_add(a: Decimal, b: Decimal) -> Exact {
        let low = a.exponent().min(b.exponent());
        let digits = |of: Decimal| written(of.mantissa().unsigned_abs(), of.exponent() - low);
        let (x, y) = (digits(a), digits(b));
        let (a_negative, b_negative) = (a.mantissa() < 0, b.mantissa() < 0);
        match (a_negative == b_negative, is_less(&x, &y)) {
            (true, _) => made(&combine(&x, &y, 1), a_negative, low),
            (false, false) => made(&combine(&x, &y, -1), a_negative, low),
            (false, true) => made(&combine(&y, &x, -1), b_negative, low),
        }
    }

    fn slow_mul(a: Decimal, b: Decimal) -> Exact {
        let (x, y) = (written(a.mantissa().unsigned_abs(), 0), written(b.mantissa().unsigned_abs(), 0));
        let mut sum = Digits::new();
        for (place, digit) in y.iter().enumerate() {
            for _ in 0..*digit {
                sum = combine(&sum, &[alloc::vec![0; place], x.clone()].concat(), 1);
            }
        }
        made(&sum, (a.mantissa() < 0) != (b.mantissa() < 0), a.exponent() + b.exponent())
    }

    fn slow_div(a: Decimal, b: Decimal) -> Exact {
        let (x, y) = (a.mantissa().unsigned_abs(), b.mantissa().unsigned_abs());
        if y == 0 {
            return Err(EvalProblem::Division);
        }
        let mut digits: Digits = written(x / y, 0);
        let (mut rest, mut exponent) = (x % y, a.exponent() - b.exponent());
        while rest != 0 {
            digits.insert(0, u8::try_from(rest * 10 / y).unwrap());
            rest = rest * 10 % y;
            exponent -= 1;
            if digits.len() > 200 {
                return Err(EvalProblem::Inexact);
            }
        }
        made(&digits, (a.mantissa() < 0) != (b.mantissa() < 0), exponent)
    }

    fn decimals() -> impl Strategy<Value = Decimal> {
        let powers = (0..113_u32, 0..48_u32)
            .prop_map(|(two, five)| 2_i128.pow(two).checked_mul(5_i128.checked_pow(five).unwrap_or(1)).unwrap_or(1));
        let mantissas = prop_oneof![-1_000..1_000_i128, -(10_i128.pow(34)) + 1..10_i128.pow(34), powers];
        (mantissas, -20..20_i64)
            .prop_map(|(mantissa, exponent)| Decimal::new(mantissa, exponent).unwrap_or(Decimal::ZERO))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn arithmetic_is_that_of_paper(a in decimals(), b in decimals()) {
            prop_assert_eq!(add(a, b), slow_add(a, b));
            prop_assert_eq!(sub(a, b), slow_add(a, Decimal::new(-b.mantissa(), b.exponent()).unwrap()));
            prop_assert_eq!(mul(a, b), slow_mul(a, b));
            prop_assert_eq!(div(a, b), slow_div(a, b));
            let difference = slow_add(a, Decimal::new(-b.mantissa(), b.exponent()).unwrap());
            if let Ok(difference) = difference {
                prop_assert_eq!(compare(a, b), difference.mantissa().cmp(&0));
            }
            prop_assert_eq!(compare(a, b), compare(b, a).reverse());
        }
    }
}
