//! "Did you mean": the known name that is nearest to an unknown one.

/// More names than this are not compared, so that many unknown names in a large namespace stay cheap.
const MOST_NAMES: usize = 300;

/// A question in brackets to append to a message, or nothing if no name is near.
pub fn suggest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(wanted, known) {
        Some(name) => format!(" (did you mean {name:?}?)"),
        None => String::new(),
    }
}

/// The known name that is nearest, if one is near.
pub fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<&str> = known.take(MOST_NAMES + 1).collect();
    if known.len() > MOST_NAMES || wanted.is_empty() {
        return None;
    }
    let far = (wanted.chars().count() / 3).clamp(1, 3);
    let lower = wanted.to_lowercase();
    let distances = known.into_iter().filter(|name| !name.is_empty()).map(|name| {
        let distance = strsim::osa_distance(&lower, &name.to_lowercase());
        (distance, name)
    });
    distances.filter(|(distance, _)| *distance <= far).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_near_are_suggested() {
        let table = [
            ("shpo", vec!["shop", "cart"], Some("shop")),
            ("Shop", vec!["shop"], Some("shop")),
            ("shop", vec!["cart"], None),
            ("a", vec!["b", "abc"], Some("b")),
            ("ab", vec!["xyz"], None),
            ("", vec!["a"], None),
            ("webs", vec!["web", "webx"], Some("web")),
        ];
        for (wanted, known, want) in table {
            assert_eq!(nearest(wanted, known.into_iter()), want, "{wanted}");
        }
    }
}
