//! Silence: no annotation is ignored without a word, be its name or its value right or wrong.

use std::time::Duration;

use selvedge_common::model::Problem;
use selvedge_ingress::annotations::{
    FORMER, Form, Key, NGINX_PREFIX, PREFIX,
    form::{Count, Size, Time},
};

use crate::{
    companions::{self, keys},
    scene::{NAME, Scene, World, whole},
};

/// Values that say what counts without them where that is no declared default.
const AS_WITHOUT: &[(&str, &str)] = &[
    // It is the default in classes of ingress-nginx alone.
    ("nginx.ingress.kubernetes.io/ssl-redirect", "true"),
    // Nothing is cut off in classes of ours.
    ("selvedge.dev/preserve-trailing-slash", "true"),
    // It is the path of the Ingress, which is `/` here.
    ("selvedge.dev/session-cookie-path", "/"),
    ("nginx.ingress.kubernetes.io/session-cookie-path", "/"),
];

/// Whether an annotation with this value changes what becomes of its Ingress, or its owner is told of it.
///
/// # Errors
/// It is ignored in silence.
fn check(world: &mut World, key: &Key, (name, value): (&str, &str), is_ours: bool) -> Result<(), String> {
    let before = companions::scene(key, is_ours);
    let without = world.turn_to(&before);
    let with = world.turn_to(&companions::with(&before, whole(name, is_ours), value));
    let whole = whole(name, is_ours);
    if with != without || tells(&world.problems(), &whole) || says_what_counts(key, &whole, value) {
        return Ok(());
    }
    Err(format!("{whole} with {value:?} changes nothing, and nobody is told"))
}

/// Whether some problem is about this annotation.
fn tells(problems: &[Problem], whole: &str) -> bool {
    let field = format!("metadata.annotations[{whole}]");
    problems.iter().any(|problem| problem.field == field && &*problem.object.name == NAME)
}

/// Whether a value says what counts without it.
fn says_what_counts(key: &Key, whole: &str, value: &str) -> bool {
    let default = key.default.trim_matches('`');
    let listed = AS_WITHOUT.iter().filter(|(name, _)| *name == whole).map(|(_, value)| *value);
    listed.chain((!default.is_empty()).then_some(default)).any(|usual| is_same(usual, value))
}

fn is_same(usual: &str, value: &str) -> bool {
    let (usual, value) = (usual.trim(), value.trim());
    let same =
        |read: &fn(&str) -> Option<u128>| read(usual).is_some_and(|wanted| read(value) == Some(wanted));
    usual == value || READS.iter().any(same)
}

/// Ways in which two texts may be the same.
const READS: [fn(&str) -> Option<u128>; 5] = [
    |text| bool::parse(text).map(u128::from),
    |text| Count::parse(text).map(|count| count.0.into()),
    |text| Size::parse(text).map(|size| size.0.into()),
    |text| Time::parse(text).map(|time| time.0.as_nanos()),
    |text| Duration::parse(text).map(|time| time.as_nanos()),
];

#[test]
fn no_annotation_is_ignored_in_silence() {
    let (mut world, mut silent) = (World::new(), Vec::new());
    let keys = keys();
    assert!(keys.iter().filter(|key| !key.own).count() >= 136);
    for key in &keys {
        for name in key.names() {
            for is_ours in [true, false].into_iter().filter(|ours| *ours || !key.own) {
                let value = key.example.trim_matches('`');
                silent.extend(check(&mut world, key, (name, value), is_ours).err());
            }
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn no_wrong_value_is_ignored_in_silence() {
    let (mut world, mut silent) = (World::new(), Vec::new());
    for key in keys() {
        for value in
            ["", " ", "x", "-1", "\u{1}", "a b c", "$no_such_thing", "99999999999999999999", "\u{e9}"]
        {
            silent.extend(check(&mut world, key, (key.name, value), key.own).err());
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
}

/// Names that are none: each declared one with a letter too few or too many or in capitals, and some of nothing.
fn imagined() -> Vec<String> {
    let known: Vec<_> = keys().into_iter().flat_map(Key::names).collect();
    let mut names: Vec<String> =
        ["", "x", "no-such-thing", "a/b", "\u{e9}", "a b"].map(str::to_owned).to_vec();
    for name in &known {
        let (first, last) = (&name[1..], &name[..name.len() - 1]);
        names.extend([first.to_owned(), last.to_owned(), format!("{name}s"), name.to_ascii_uppercase()]);
    }
    names.retain(|name| !known.contains(&name.as_str()));
    names.extend(FORMER.iter().map(|former| former.name.replace('*', "-zone")));
    names
}

#[test]
fn no_name_that_is_none_is_ignored_in_silence() {
    let names = imagined();
    assert!(names.len() > 4 * 136, "{}", names.len());
    for prefix in [PREFIX, NGINX_PREFIX] {
        for is_ours in [true, false] {
            let annotations = names.iter().map(|name| (format!("{prefix}{name}"), "true".to_owned()));
            let annotations: Vec<_> = annotations.collect();
            let scene = Scene { annotations: annotations.clone(), is_ours, ..Scene::default() };
            let mut world = World::new();
            world.turn_to(&scene);
            let problems = world.problems();
            for (whole, _) in &annotations {
                assert!(tells(&problems, whole), "nobody is told of {whole:?}");
            }
        }
    }
}

#[test]
fn annotations_of_ingress_nginx_in_a_class_of_ours_are_told() {
    let of_nginx = keys().into_iter().filter(|key| !key.own);
    let annotations: Vec<_> =
        of_nginx.map(|key| (whole(key.name, false), key.example.trim_matches('`').to_owned())).collect();
    let scene = Scene { annotations: annotations.clone(), is_ours: true, ..Scene::default() };
    let mut world = World::new();
    world.turn_to(&scene);
    let problems = world.problems();
    for (whole, _) in annotations {
        assert!(tells(&problems, &whole), "nobody is told of {whole}");
    }
}
