//! The text form in which Prometheus reads metrics, strictly: what this parser takes, every reader does.
//! (Prometheus: Exposition formats, text-based format; metric and label naming.)

use std::collections::{BTreeMap, BTreeSet};

/// One metric with its samples.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Family {
    /// `gauge`, `counter` or `histogram`.
    pub kind: String,
    /// Name, labels, value.
    pub samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

/// All metrics by name, or a sentence on what is wrong.
pub fn parse(text: &str) -> Result<BTreeMap<String, Family>, String> {
    if !text.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let (mut helped, mut current) = (String::new(), String::new());
    for line in text.lines() {
        let wrong = |why: &str| format!("{why}: {line}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or_else(|| wrong("no help"))?;
            if help.is_empty() || families.contains_key(name) {
                return Err(wrong("help that is empty, or comes twice"));
            }
            name.clone_into(&mut helped);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
            if name != helped || !is_name(name) || families.contains_key(name) {
                return Err(wrong("a type without help, or of no name, or twice"));
            }
            check_kind(name, kind).map_err(|why| wrong(&why))?;
            let kind = kind.to_owned();
            let samples = Vec::new();
            families.insert(name.to_owned(), Family { kind, samples });
            name.clone_into(&mut current);
        } else {
            let family = families
                .get_mut(&current)
                .ok_or_else(|| wrong("no type before"))?;
            let sample = sample(line).map_err(|why| wrong(&why))?;
            let known = if family.kind == "histogram" {
                ["_bucket", "_sum", "_count"]
                    .map(|end| format!("{current}{end}"))
                    .contains(&sample.0)
            } else {
                sample.0 == current
            };
            if !known {
                return Err(wrong("of another metric"));
            }
            family.samples.push(sample);
        }
    }
    families
        .iter()
        .try_for_each(|(name, family)| check(name, family))?;
    Ok(families)
}

fn check_kind(name: &str, kind: &str) -> Result<(), String> {
    match kind {
        "counter" if name.ends_with("_total") => Ok(()),
        "gauge" | "histogram" if !name.ends_with("_total") => Ok(()),
        _ => Err("a type that there is not, or that the name does not fit".to_owned()),
    }
}

fn check(name: &str, family: &Family) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (sample, labels, value) in &family.samples {
        if !seen.insert((sample, labels)) {
            return Err(format!("{sample} comes twice with {labels:?}"));
        }
        if family.kind != "gauge" && *value < 0.0 {
            return Err(format!("{sample} is negative"));
        }
    }
    if family.samples.is_empty() {
        return Err(format!("{name} has no sample"));
    }
    if family.kind == "histogram" {
        check_histogram(name, family)?;
    }
    Ok(())
}

fn check_histogram(name: &str, family: &Family) -> Result<(), String> {
    let buckets = family
        .samples
        .iter()
        .filter(|(sample, ..)| sample.ends_with("_bucket"));
    let (mut bound, mut below) = (f64::NEG_INFINITY, 0.0);
    for (_, labels, value) in buckets {
        let le = labels.get("le").map(String::as_str);
        let next = match le {
            Some("+Inf") => f64::INFINITY,
            Some(le) => le.parse().map_err(|_| format!("{name}: le is {le}"))?,
            None => return Err(format!("{name}: a bucket without le")),
        };
        if next <= bound || *value < below {
            return Err(format!("{name}: buckets are not in order"));
        }
        (bound, below) = (next, *value);
    }
    let of = |end: &str| {
        family
            .samples
            .iter()
            .find(|(sample, ..)| *sample == format!("{name}{end}"))
    };
    let whole = of("_count").is_some_and(|(.., count)| count.to_bits() == below.to_bits());
    if bound.is_finite() || !whole || of("_sum").is_none() {
        return Err(format!("{name}: the last bucket is not all of them"));
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters
        .next()
        .is_some_and(|it| it.is_ascii_alphabetic() || it == '_')
        && characters.all(|it| it.is_ascii_alphanumeric() || it == '_')
}

type Sample = (String, BTreeMap<String, String>, f64);

fn sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name) {
        return Err("no name".to_owned());
    }
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = labels_of(inside, &mut labels)?;
    }
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    let plain = value
        .chars()
        .all(|it| it.is_ascii_digit() || matches!(it, '.' | '-'));
    let value = value.parse().ok().filter(|_| plain).ok_or("no number")?;
    Ok((name.to_owned(), labels, value))
}

/// What is behind the brace that closes.
fn labels_of<'l>(
    mut rest: &'l str,
    labels: &mut BTreeMap<String, String>,
) -> Result<&'l str, String> {
    loop {
        let (label, after) = rest.split_once("=\"").ok_or("no label")?;
        if !is_name(label) {
            return Err("no name of a label".to_owned());
        }
        let (mut value, mut escaped, mut end) = (String::new(), false, None);
        for (at, character) in after.char_indices() {
            match (escaped, character) {
                (true, '\\' | '"') => value.push(character),
                (true, 'n') => value.push('\n'),
                (true, _) => return Err("an escape that there is not".to_owned()),
                (false, '\\') => {}
                (false, '"') => {
                    end = Some(at + 1);
                    break;
                }
                (false, _) => value.push(character),
            }
            escaped = !escaped && character == '\\';
        }
        rest = &after[end.ok_or("a value without an end")?..];
        if labels.insert(label.to_owned(), value).is_some() {
            return Err("a label twice".to_owned());
        }
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok(rest);
        }
        rest = rest.strip_prefix(',').ok_or("no comma")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_right_is_taken() {
        let text = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"q\\\"\\\\\\n\",y=\"\"} 3\n\
                    # HELP h H.\n# TYPE h histogram\nh_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 0.5\nh_count 2\n";
        let families = parse(text).expect("it is right");
        let (_, labels, value) = &families["a_total"].samples[0];
        assert_eq!(
            (labels["x"].as_str(), value.to_bits()),
            ("q\"\\\n", 3f64.to_bits())
        );
        assert_eq!(families["h"].samples.len(), 4);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let head = "# HELP a A.\n# TYPE a gauge\n";
        for bad in [
            "a 1\n",
            "# TYPE a gauge\na 1\n",
            "# HELP a A.\n# TYPE a counter\na 1\n",
            &format!("{head}a 1"),
            &format!("{head}b 1\n"),
            &format!("{head}a 1\na 2\n"),
            &format!("{head}a{{x=\"\n\"}} 2\n"),
            &format!("{head}a{{x=\"\\t\"}} 2\n"),
            &format!("{head}a{{x=\"1\",x=\"2\"}} 2\n"),
            &format!("{head}a x\n"),
            &format!("{head}{head}a 1\n"),
            head,
            "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_sum 1\nh_count 2\n",
            "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
