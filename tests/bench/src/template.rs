//! Templates of configuration files: `@name@` stands for a value.

/// Fills a template. A sign that belongs to no name, as in an address of mail or YAML's `@type`, stays.
///
/// # Errors
/// If a name has no value.
pub fn fill(template: &str, values: &[(&str, String)]) -> anyhow::Result<String> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('@') {
        filled.push_str(before);
        let name = after.split_once('@').filter(|(name, _)| is_name(name));
        let Some((name, after)) = name else {
            filled.push('@');
            rest = after;
            continue;
        };
        let value = values.iter().find(|(known, _)| *known == name);
        let (_, value) =
            value.ok_or_else(|| anyhow::anyhow!("a template names @{name}@, which has no value"))?;
        filled.push_str(value);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_and_other_signs_stay() {
        let values = [("port", "80".to_owned()), ("host", "bench.test".to_owned())];
        let text = fill("\"@type\": a\n@host@:@port@ b@c.test", &values).unwrap();
        assert_eq!(text, "\"@type\": a\nbench.test:80 b@c.test");
    }

    #[test]
    fn a_name_without_a_value_is_told() {
        let error = fill("listen @port@", &[]).unwrap_err();
        assert_eq!(error.to_string(), "a template names @port@, which has no value");
    }
}
