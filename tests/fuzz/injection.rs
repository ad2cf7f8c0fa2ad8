//! Injection: nothing hostile in an annotation or a setting gets into a head, a line of a log or a path.

use selvedge_ingress::globals;

use crate::{
    annotations, companions,
    grammar::HOSTILE,
    scene::{self, Scene, whole},
    stage::{Request, Stage},
};

/// Requests to what came of a value.
const REQUESTS: [Request<'static>; 3] = [
    Request { method: "GET", target: "/a/b?x=1", fields: "X-Want: moved\r\n", over_tls: false },
    Request {
        method: "GET",
        target: "/",
        fields: "Origin: https://shop.example\r\nAuthorization: Basic Zm9vOmJhcg==\r\n",
        over_tls: false,
    },
    Request {
        method: "OPTIONS",
        target: "/",
        fields: "Origin: https://x.test\r\nAccess-Control-Request-Method: GET\r\n",
        over_tls: false,
    },
];

/// What is written in place of an example: each hostile text behind it, before it or alone, in turn with the number of
/// who is tried, and a long text. Longer runs try all three.
fn values(example: &str, turn: usize) -> Vec<String> {
    let places = |text: &&str| [format!("{example}{text}"), format!("{text}{example}"), (*text).to_owned()];
    let is_whole = std::env::var_os("SELVEDGE_FUZZ_SECONDS").is_some();
    let all = HOSTILE.iter().enumerate().flat_map(|(number, text)| {
        let chosen = move |place: &usize| is_whole || *place == (number + turn) % 3;
        (0..3).filter(chosen).map(move |place| places(text)[place].clone())
    });
    all.chain([format!("{example}{}", "a".repeat(64 << 10))]).collect()
}

/// Tries scenes one by one. What makes nothing else than the one before is not asked again.
fn try_all(stage: &mut Stage, scenes: impl Iterator<Item = Scene>) {
    let mut last = None;
    for scene in scenes {
        let made = stage.world.turn_to(&scene);
        annotations::look_at(&made, &stage.world.problems(), &scene);
        if last.as_ref() == Some(&made) {
            continue;
        }
        stage.serve(&made.snapshot);
        last = Some(made);
        for request in REQUESTS {
            let asked = stage.ask(request);
            let speaks_otherwise = scene.settings.iter().any(|(name, _)| name == "use-proxy-protocol");
            assert!(asked.is_ok() || speaks_otherwise, "{asked:?}: {scene:?}");
        }
        assert_eq!(stage.findings(), Ok(()), "{scene:?}");
    }
}

#[test]
fn nothing_is_injected_by_any_annotation() {
    let mut stage = Stage::start();
    for (turn, key) in companions::keys().into_iter().enumerate() {
        let before = companions::scene(key, key.own);
        let values = values(key.example.trim_matches('`'), turn).into_iter();
        try_all(&mut stage, values.map(|value| companions::with(&before, whole(key.name, key.own), &value)));
    }
    stage.finish();
}

#[test]
fn nothing_is_injected_by_any_setting_of_a_class() {
    let mut stage = Stage::start();
    let settings = globals::GROUPS.iter().flat_map(|group| group.settings);
    for (turn, setting) in settings.enumerate() {
        let values = values(setting.example.trim_matches('`'), turn).into_iter();
        let settings = |value| vec![(setting.name.to_owned(), value)];
        let annotations = vec![scene::open()];
        let scene =
            |value| Scene { annotations: annotations.clone(), settings: settings(value), ..Scene::default() };
        try_all(&mut stage, values.map(scene));
    }
    stage.finish();
}
