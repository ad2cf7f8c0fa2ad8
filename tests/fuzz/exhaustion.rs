//! Exhaustion: what multiplies is bounded: names by paths, annotations by paths, entries of lists by what is told.

use selvedge_common::{id::RouteSetId, model::Problem};

use crate::scene::{Made, Scene, World, users, whole};

/// An Ingress with these annotations of ours and so many paths more than usual.
fn translate(annotations: &[(&str, String)], paths: usize) -> (Made, Vec<Problem>) {
    let annotations = annotations.iter().map(|(name, value)| (whole(name, true), value.clone()));
    let scene = Scene { annotations: annotations.collect(), is_ours: true, paths, ..Scene::default() };
    made(&scene)
}

fn made(scene: &Scene) -> (Made, Vec<Problem>) {
    let mut world = World::new();
    (world.turn_to(scene), world.problems())
}

fn reasons(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.reason.as_str()).collect()
}

fn hosts(made: &Made) -> usize {
    made.snapshot.route_sets[&RouteSetId::new("edge")].hosts.len()
}

fn list(count: usize, entry: impl Fn(usize) -> String) -> String {
    (0..count).map(entry).collect::<Vec<_>>().join(",")
}

#[test]
fn names_of_a_host_with_many_paths_are_not_multiplied_without_end() {
    let names = list(300, |number| format!("h{number}.test"));
    let (few, problems) = translate(&[("server-alias", names.clone())], 0);
    assert_eq!((hosts(&few), problems), (301, vec![]));
    let (many, problems) = translate(&[("server-alias", names.clone())], 400);
    assert_eq!(hosts(&many), 1);
    assert_eq!(reasons(&problems), ["TooManyAliases"]);
    let long = ("auth-realm", "x".repeat(120_000));
    let (heavy, problems) = translate(&[("server-alias", names), long], 0);
    assert_eq!((hosts(&heavy), reasons(&problems)), (1, vec!["TooManyAliases"]));
}

#[test]
fn annotations_of_an_ingress_with_many_paths_are_not_multiplied_without_end() {
    let networks = list(10_000, |number| format!("10.{}.{}.0/24", number >> 8, number & 255));
    let (made, problems) = translate(&[("allowlist-source-range", networks)], 1000);
    assert_eq!(reasons(&problems), ["AnnotationsTooLarge"]);
    let dump = serde_json::to_string(&*made.snapshot).unwrap();
    assert!(dump.len() < 2 << 20, "{}", dump.len());
    assert!(dump.contains("nprotected"), "nobody gets past a list that was not read");
}

#[test]
fn thousands_of_wrong_entries_are_told_in_a_few_words() {
    for (name, more) in [("server-alias", 992), ("cors-allow-origin", 9992)] {
        let (_, problems) = translate(&[(name, list(10_000, |number| format!("~{number}")))], 0);
        assert!(problems.len() <= 10, "{name}: {}", problems.len());
        assert!(problems.iter().any(|problem| problem.message.contains(&format!("{more} more"))), "{name}");
    }
}

#[test]
fn users_of_a_long_file_are_told_in_a_few_words() {
    let scene = Scene {
        annotations: vec![
            (whole("auth-type", false), "basic".into()),
            (whole("auth-secret", false), "users".into()),
        ],
        objects: vec![users(&"no hash\n".repeat(10_000))],
        ..Scene::default()
    };
    let (_, problems) = made(&scene);
    assert!(problems.len() <= 10, "{}", problems.len());
}

#[test]
fn names_like_unknown_ones_are_looked_for_a_few_times() {
    let names: Vec<_> = (0..40).map(|number| format!("limit-rpss{number}")).collect();
    let annotations: Vec<_> = names.iter().map(|name| (&**name, String::new())).collect();
    let (_, problems) = translate(&annotations, 0);
    assert_eq!(reasons(&problems), ["UnknownAnnotation"; 40]);
    let with_name = problems.iter().filter(|problem| problem.message.contains("did you mean")).count();
    assert_eq!(with_name, 8);
}

#[test]
fn a_setting_with_more_patterns_than_are_compiled_is_refused() {
    for (count, is_told) in [(10, false), (1001, true)] {
        let value = list(count, |number| format!("~*bot{number}"));
        let settings = vec![("block-user-agents".to_owned(), value)];
        let (_, problems) = made(&Scene { settings, ..Scene::default() });
        assert_eq!(!problems.is_empty(), is_told, "{count}: {problems:?}");
    }
}
