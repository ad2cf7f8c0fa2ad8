//! Golden cases: what objects translate to. A new case needs a `.yaml` file and no Rust.
//!
//! The first line of a case is a comment with the reason; a line `# flags: …` may set what the program's flags of the
//! same names set. A case is the edge's, or with a line `# program: router` the router's. `UPDATE_GOLDEN=1` writes the
//! results anew; read them before they are committed.

mod print;
mod programs;

use std::{
    fs,
    path::{Path, PathBuf},
};

use programs::Program;
use selvedge_common::{
    kube::{
        objects::{Kind, Object, ObjectEvent},
        translation::{Reconciler, Translate},
    },
    model::Backend,
};
use selvedge_ingress::annotations::{GROUPS, NGINX_PREFIX, PREFIX, Verdict};
use serde_json::Value;

/// A case as its file says it.
struct Case {
    program: Program,
    objects: Vec<Object>,
    unreadable: Vec<String>,
}

#[test]
fn every_case_translates_to_its_written_result_in_every_order_of_arrival() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() >= 95, "only {} cases were found", cases.len());
    for path in cases {
        let text = fs::read_to_string(&path).unwrap();
        let case = read(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let result = case.translate(&path);
        let written = path.with_extension("out.yaml");
        if update {
            fs::write(&written, &result).unwrap();
        }
        if fs::read_to_string(&written).unwrap_or_default() != result {
            wrong.push(format!("{}:\n{result}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "these differ from what is written:\n{}", wrong.join("\n"));
}

#[test]
fn every_result_belongs_to_a_case_and_every_case_says_its_reason_in_few_lines() {
    for path in files() {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        if let Some(case) = name.strip_suffix(".out.yaml") {
            assert!(path.with_file_name(format!("{case}.yaml")).exists(), "{name} belongs to no case");
            continue;
        }
        assert!(text.starts_with("# "), "{name} does not begin with its reason");
        assert!(text.lines().count() <= 60, "{name} is too long");
    }
}

#[test]
fn every_annotation_that_has_an_effect_is_in_a_case_and_those_of_ingress_nginx_are_in_many() {
    let texts: Vec<_> = cases().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let with_nginx = texts.iter().filter(|text| text.contains(NGINX_PREFIX)).count();
    assert!(with_nginx >= 130, "only {with_nginx} cases have annotations of ingress-nginx");
    let is_there = |name: &str| {
        let wholes = [PREFIX, NGINX_PREFIX].map(|prefix| format!("{prefix}{name}:"));
        texts.iter().any(|text| wholes.iter().any(|whole| text.contains(whole)))
    };
    let effective = |verdict| matches!(verdict, Verdict::Honoured | Verdict::Approximated(_));
    let keys = GROUPS.iter().flat_map(|group| group.keys).filter(|key| effective(key.verdict));
    let missing: Vec<_> = keys.filter(|key| !key.names().any(is_there)).map(|key| key.name).collect();
    assert!(missing.is_empty(), "these are in no case: {missing:?}");
}

impl Case {
    fn translate(&self, path: &Path) -> String {
        match &self.program {
            Program::Edge(edge) => self.in_every_order(path, || (**edge).clone(), &edge.settings().backend),
            Program::Router(tier) => self.in_every_order(path, || (**tier).clone(), &tier.settings().backend),
        }
    }

    /// Translates in several orders, at once and one by one, and insists on the same result.
    fn in_every_order<T: Translate>(
        &self,
        path: &Path,
        translation: impl Fn() -> T,
        usual: &Backend,
    ) -> String {
        let forward: Vec<_> = self.objects.iter().cloned().map(ObjectEvent::Applied).collect();
        let backward: Vec<_> = forward.iter().cloned().rev().collect();
        let mut results = Vec::new();
        for events in [&forward, &backward] {
            let mut at_once = Reconciler::new(translation());
            at_once.apply(events.iter().cloned());
            results.push(print::print(&at_once, usual, &self.unreadable));
            let mut one_by_one = Reconciler::new(translation());
            for event in events {
                one_by_one.apply([event.clone()]);
            }
            results.push(print::print(&one_by_one, usual, &self.unreadable));
        }
        for result in &results {
            assert_eq!(result, &results[0], "{} depends on the order of arrival", path.display());
        }
        results.swap_remove(0)
    }
}

fn read(text: &str) -> Result<Case, String> {
    let mut case = Case { program: programs::read(text)?, objects: Vec::new(), unreadable: Vec::new() };
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        let field = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
        let kind = Kind::find(&field("apiVersion"), &field("kind"))
            .ok_or_else(|| format!("unknown kind {} {}", field("apiVersion"), field("kind")))?;
        match Object::from_json(kind, document) {
            Ok(object) => case.objects.push(object),
            Err(error) => case.unreadable.push(format!("{}: {error}", kind.name())),
        }
    }
    Ok(case)
}

fn cases() -> Vec<PathBuf> {
    files()
        .into_iter()
        .filter(|path| !path.to_str().is_some_and(|path| path.ends_with(".out.yaml")))
        .collect()
}

fn files() -> Vec<PathBuf> {
    let list = |folder: PathBuf| {
        let entries = fs::read_dir(folder).expect("the folders of cases can be read");
        entries.map(|entry| entry.expect("the folders of cases can be read").path())
    };
    let areas = list(Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")).filter(|path| path.is_dir());
    let mut files: Vec<_> = areas.flat_map(list).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}
