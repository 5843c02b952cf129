//! Kubernetes quantities (`100m`, `8Gi`, `2e3`) as numbers, and numbers as people write them.

/// The value in base units; none where it is no quantity.
pub(crate) fn parse(text: &str) -> Option<f64> {
    let text = text.trim();
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        "Pi" => 1_125_899_906_842_624.0,
        _ => return text.parse().ok(),
    };
    Some(number.parse::<f64>().ok()? * factor)
}

/// A number of that resource for people: `31.2Gi`, `1500m`, `3`.
pub(crate) fn show(resource: &str, value: f64) -> String {
    let bytes = resource == "memory" || resource == "ephemeral-storage" || resource.starts_with("hugepages");
    if !bytes {
        let whole = value.round();
        return if (value - whole).abs() < 1e-6 {
            format!("{whole}")
        } else {
            format!("{:.0}m", value * 1000.0)
        };
    }
    for (unit, size) in [("Gi", 1_073_741_824.0), ("Mi", 1_048_576.0), ("Ki", 1024.0)] {
        if value >= size {
            let text = format!("{:.1}", value / size);
            return format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'));
        }
    }
    format!("{value:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_has_the_same_value_in_any_of_its_forms() {
        assert_eq!(parse("8Gi"), Some(8.0 * 1024.0 * 1024.0 * 1024.0));
        assert_eq!(parse("8388608Ki"), parse("8Gi"));
        assert_eq!(parse("250m"), Some(0.25));
        assert_eq!((parse("1.5"), parse("2e3"), parse("1E")), (Some(1.5), Some(2000.0), Some(1e18)));
        assert_eq!((parse("many"), parse("8Xi"), parse("")), (None, None, None));
    }

    #[test]
    fn a_number_is_shown_with_the_unit_that_fits() {
        assert_eq!(show("memory", 103_079_215_104.0), "96Gi");
        assert_eq!(show("memory", 33_500_000_000.0), "31.2Gi");
        assert_eq!((show("cpu", 0.25), show("cpu", 12.0)), ("250m".to_owned(), "12".to_owned()));
    }
}
