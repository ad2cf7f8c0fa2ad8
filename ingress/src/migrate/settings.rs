//! Settings: what becomes of the keys in the ConfigMap of a running ingress-nginx.

use k8s_openapi::api::core::v1 as core;
use selvedge_common::model::Problem;

use super::{
    report::{Entry, Settings},
    shown,
    verdicts::{Declared, Judged, judge},
};
use crate::globals::{GROUPS, field};

/// What becomes of each key of the ConfigMap. `problems` are its own.
pub(super) fn read(map: &core::ConfigMap, problems: &[&Problem]) -> Settings {
    let text = |text: &Option<String>| shown::plain(text.as_deref().unwrap_or_default());
    let object = format!("ConfigMap {}/{}", text(&map.metadata.namespace), text(&map.metadata.name));
    let entries = map.data.iter().flatten().map(|(key, value)| {
        let Judged { verdict, explanation, moves } = judge(declared(key), &field(key), problems);
        Entry { key: shown::plain(key), value: shown::value(key, value), verdict, explanation, moves }
    });
    let mut entries: Vec<_> = entries.collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.moves));
    Settings { object, entries }
}

fn declared(name: &str) -> Option<Declared> {
    let setting = GROUPS.iter().flat_map(|group| group.settings).find(|setting| setting.name == name)?;
    Some(Declared { doc: setting.doc, verdict: setting.verdict })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use selvedge_common::id::ObjectRef;
    use serde_json::json;

    use super::*;
    use crate::{
        globals::{Globals, Source},
        migrate::report::Move,
    };

    #[test]
    fn every_setting_gets_the_verdict_that_its_problems_tell() {
        let table = [
            ("hsts-max-age", "60", "honoured", Move::Unchanged),
            ("hsts-max-age", "long", "invalid value", Move::ChangeBefore),
            ("use-http2", "true", "default", Move::Unchanged),
            ("use-http2", "false", "approximated", Move::SmallDifferences),
            ("ssl-session-tickets", "true", "no effect here", Move::Unchanged),
            ("http-snippet", "map $a $b {}", "refused", Move::ChangeBefore),
            ("enable-ocsp", "true", "refused", Move::ChangeBefore),
            ("no-such-setting", "1", "unknown", Move::Unchanged),
        ];
        for (name, value, verdict, moves) in table {
            let data = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            let object = ObjectRef::new("ConfigMap", "a", "b");
            let (_, problems) = Globals::read(Source::ConfigMap(&object), &data, true);
            let map = serde_json::from_value(json!({"metadata": {}, "data": data})).unwrap();
            let entry = read(&map, &problems.iter().collect::<Vec<_>>()).entries.remove(0);
            assert_eq!((entry.verdict, entry.moves), (verdict, moves), "{name}: {entry:?}");
            assert!(!entry.explanation.is_empty(), "{name}");
        }
    }
}
