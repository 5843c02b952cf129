//! Kubernetes quantities (`100m`, `8Gi`, `2e3`) as numbers, and numbers as people write them.

/// Thousandths of the base unit: a quantity is finer only in ways that no node cares about.
pub(crate) type Amount = i128;

const THOUSAND: Amount = 1000;

/// The amount; none where it is no quantity. What is finer than a thousandth is rounded up, as Kubernetes does.
pub(crate) fn parse(text: &str) -> Option<Amount> {
    let text = text.trim();
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    // As a factor and a divisor to thousandths.
    let (factor, divisor) = match suffix {
        "" => (THOUSAND, 1),
        "n" => (1, 1_000_000),
        "u" => (1, THOUSAND),
        "m" => (1, 1),
        "k" => (THOUSAND.pow(2), 1),
        "M" => (THOUSAND.pow(3), 1),
        "G" => (THOUSAND.pow(4), 1),
        "T" => (THOUSAND.pow(5), 1),
        "P" => (THOUSAND.pow(6), 1),
        "E" => (THOUSAND.pow(7), 1),
        "Ki" => (THOUSAND << 10, 1),
        "Mi" => (THOUSAND << 20, 1),
        "Gi" => (THOUSAND << 30, 1),
        "Ti" => (THOUSAND << 40, 1),
        "Pi" => (THOUSAND << 50, 1),
        "Ei" => (THOUSAND << 60, 1),
        _ => {
            let exponent: i32 = suffix_exponent(suffix)?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 { (THOUSAND, power) } else { (THOUSAND.checked_mul(power)?, 1) }
        }
    };
    scaled(number, factor, divisor)
}

/// `e3` and `E-2`.
fn suffix_exponent(suffix: &str) -> Option<i32> {
    let digits = suffix.strip_prefix(['e', 'E'])?;
    digits.parse().ok().filter(|e: &i32| e.abs() <= 18)
}

fn scaled(number: &str, factor: Amount, divisor: Amount) -> Option<Amount> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let negative = whole.starts_with('-');
    let whole = whole.trim_start_matches(['+', '-']);
    // No node has a part that stands behind nine digits.
    let fraction = fraction.get(..9).unwrap_or(fraction);
    let digits: Amount = format!("{whole}{fraction}").parse().ok()?;
    let shift = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let (top, bottom) = (digits.checked_mul(factor)?, shift.checked_mul(divisor)?);
    let amount = top.div_euclid(bottom) + Amount::from(top.rem_euclid(bottom) > 0);
    Some(if negative { -amount } else { amount })
}

/// An amount of that resource for people: `31.2Gi`, `1500m`, `3`.
pub(crate) fn show(resource: &str, amount: Amount) -> String {
    let bytes = resource == "memory" || resource == "ephemeral-storage" || resource.starts_with("hugepages");
    if !bytes {
        return match (amount / THOUSAND, amount % THOUSAND) {
            (whole, 0) => whole.to_string(),
            _ => format!("{amount}m"),
        };
    }
    for (unit, size) in [("Gi", THOUSAND << 30), ("Mi", THOUSAND << 20), ("Ki", THOUSAND << 10)] {
        if amount >= size {
            let tenths = (amount * 10 + size / 2) / size;
            return match tenths % 10 {
                0 => format!("{}{unit}", tenths / 10),
                rest => format!("{}.{rest}{unit}", tenths / 10),
            };
        }
    }
    (amount / THOUSAND).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_has_the_same_value_in_any_of_its_forms() {
        assert_eq!(parse("8Gi"), Some(8 * 1024 * 1024 * 1024 * 1000));
        assert_eq!(parse("8388608Ki"), parse("8Gi"));
        assert_eq!((parse("250m"), parse("0.25"), parse(".25")), (Some(250), Some(250), Some(250)));
        assert_eq!((parse("1.5"), parse("2e3"), parse("1E")), (Some(1500), Some(2_000_000), parse("1e18")));
        assert_eq!((parse("1536Mi"), parse("100n"), parse("-1")), (parse("1.5Gi"), Some(1), Some(-1000)));
        assert_eq!(parse("33567879168"), parse("32781132Ki"));
        for none in ["many", "8Xi", "", ".", "1.x", "1e99", "99999999999999999999999999999999999999999Ei"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }

    #[test]
    fn a_number_is_shown_with_the_unit_that_fits() {
        assert_eq!(show("memory", 103_079_215_104_000), "96Gi");
        assert_eq!(show("memory", 33_500_000_000_000), "31.2Gi");
        assert_eq!((show("cpu", 250), show("cpu", 12_000)), ("250m".to_owned(), "12".to_owned()));
    }
}
