//! Annotations with any values: translated in bounds, and requests through what came of them.

use std::{collections::BTreeSet, fs, path::Path};

use selvedge_common::model::Problem;
use selvedge_ingress::{annotations::Key, globals};
use serde_json::json;

use crate::{
    companions, grammar,
    numbers::Numbers,
    objects,
    scene::{self, Made, Scene, whole},
    stage::{Request, Stage},
};

/// Bytes of a snapshot that has nothing in it of what is tried, at most.
const USUAL_BYTES: usize = 64 << 10;
/// How many bytes of a snapshot, or of what is told, one byte of an annotation may make. An Ingress has two paths in
/// two forms here, and what is told shows one byte by up to ten.
const BYTES_FOR_ONE: usize = 24;

/// Targets of requests.
const TARGETS: [&str; 8] = [
    "/",
    "/a/b?x=1",
    "/ab/%2e%2e/c?x=%0d%0aX-Injected:%201",
    "/a/b%20c%2fd",
    "/AB/x/../y?rd=//x.test",
    "/.well-known/acme-challenge/x",
    "/a/$1${host}?$args",
    "/a//b/?",
];

/// Further fields of requests.
const FIELDS: [&str; 8] = [
    "",
    "X-Want: moved\r\n",
    "X-Want: broken\r\n",
    "X-Want: commands\r\nOrigin: https://x.test\r\n",
    "Origin: https://shop.example\r\nAccess-Control-Request-Method: GET\r\n",
    "Cookie: a=b; INGRESSCOOKIE=x; session=%0d%0a\r\nX-Canary: always\r\n",
    "Authorization: Basic Zm9vOmJhcg==\r\nX-Forwarded-Prefix: /evil\r\n",
    "Referer: http://x.test/\"}\r\nUser-Agent: ${jndi:x} \"\\\r\n",
];

/// Names of fields that ConfigMaps may hold.
const NAMES: [&str; 9] = [
    "X-Who",
    "Host",
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
    "Expect",
    "X-Real-IP",
    "X-Request-ID",
    "X Y",
];

/// What values are made of.
pub struct Corpus {
    keys: Vec<&'static Key>,
    values: Vec<Vec<u8>>,
}

impl Corpus {
    /// The values of the corpus and of all Ingresses of the golden cases, and each of the examples.
    pub fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/values.yaml");
        let values: Vec<String> = serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        assert!(values.len() >= 100, "{} values", values.len());
        let keys = companions::keys();
        let examples = keys.iter().map(|key| key.example.trim_matches('`').to_owned());
        let values = values.into_iter().chain(examples).chain(of_cases());
        let values: BTreeSet<_> = values.map(String::into_bytes).collect();
        Self { keys, values: values.into_iter().collect() }
    }

    /// The values.
    pub fn into_values(self) -> Vec<Vec<u8>> {
        self.values
    }

    fn key(&self, numbers: &mut Numbers) -> &'static Key {
        self.keys[numbers.below(self.keys.len())]
    }

    fn value(&self, numbers: &mut Numbers) -> String {
        let key = self.key(numbers);
        grammar::value(numbers, key, &self.values)
    }

    /// A scene by chance: annotations of both prefixes, global settings, and what annotations name.
    fn scene(&self, numbers: &mut Numbers) -> Scene {
        let first = self.key(numbers);
        let mut scene = companions::scene(first, numbers.below(4) == 0);
        let count = 1 + numbers.below(8);
        for number in 0..count {
            let key = if number == 0 { first } else { self.key(numbers) };
            let names: Vec<_> = key.names().collect();
            let name = whole(names[numbers.below(names.len())], scene.is_ours || numbers.below(3) == 0);
            scene.annotations.retain(|(other, _)| *other != name);
            scene.annotations.push((name, grammar::value(numbers, key, &self.values)));
        }
        if !scene.is_ours && numbers.below(3) == 0 {
            scene.settings.extend(self.settings(numbers));
        }
        if numbers.below(3) == 0 {
            scene.objects.extend(self.objects(numbers));
        }
        scene
    }

    fn settings(&self, numbers: &mut Numbers) -> scene::Pairs {
        let all: Vec<_> = globals::GROUPS.iter().flat_map(|group| group.settings).collect();
        let one = |numbers: &mut Numbers| {
            let setting = all[numbers.below(all.len())];
            let example = setting.example.trim_matches('`');
            let value = match numbers.below(3) {
                0 => example.to_owned(),
                1 => grammar::hostile(numbers, example),
                _ => self.value(numbers),
            };
            (setting.name.to_owned(), value)
        };
        (0..=numbers.below(3)).map(|_| one(numbers)).collect()
    }

    /// What annotations may name, with any content.
    fn objects(&self, numbers: &mut Numbers) -> Vec<serde_json::Value> {
        let names = [0; 2].map(|_| NAMES[numbers.below(NAMES.len())]);
        let mut text = || self.value(numbers);
        let header = |name: String, value: String| vec![(name, value)];
        vec![
            scene::config_map(("default", "shop-headers"), &header(text(), text())),
            scene::config_map(("default", "auth-headers"), &header(names[0].into(), text())),
            scene::config_map(("ingress-nginx", "request-headers"), &header(names[1].into(), text())),
            scene::config_map(("ingress-nginx", "answer-headers"), &header(text(), text())),
            scene::users(&format!("foo:{}\n{}", text(), text())),
            json!({
                "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                "metadata": {"name": "ca", "namespace": "default"},
                "stringData": {"ca.crt": text(), "tls.crt": text(), "tls.key": text()},
            }),
        ]
    }
}

fn of_cases() -> Vec<String> {
    let documents = objects::documents(&crate::corpus());
    let annotations = documents.iter().filter(|document| document["kind"] == "Ingress");
    let annotations = annotations.filter_map(|document| document["metadata"]["annotations"].as_object());
    annotations.flat_map(|map| map.values().filter_map(|value| value.as_str().map(str::to_owned))).collect()
}

/// A scene by chance, and requests to it.
pub fn check(stage: &mut Stage, corpus: &Corpus, numbers: &mut Numbers) {
    let scene = corpus.scene(numbers);
    let made = stage.world.turn_to(&scene);
    look_at(&made, &stage.world.problems(), &scene);
    stage.serve(&made.snapshot);
    for number in 0..3 {
        let request = Request {
            method: ["GET", "GET", "OPTIONS", "POST", "DELETE"][numbers.below(5)],
            target: TARGETS[numbers.below(TARGETS.len())],
            fields: FIELDS[numbers.below(FIELDS.len())],
            over_tls: number == 0 && numbers.below(8) == 0,
        };
        let asked = stage.ask(request);
        // A setting may change what is spoken on the port.
        let speaks_otherwise = scene.settings.iter().any(|(name, _)| name == "use-proxy-protocol");
        assert!(asked.is_ok() || speaks_otherwise, "{asked:?}: {scene:?}");
    }
    assert_eq!(stage.findings(), Ok(()), "{scene:?}");
}

/// Looks at what came of a scene, and at what is told of it: neither is without bounds nor has more lines than one.
pub fn look_at(made: &Made, problems: &[Problem], scene: &Scene) {
    let dump = serde_json::to_string(&*made.snapshot).unwrap();
    let input = bytes(scene);
    let bound = (USUAL_BYTES + BYTES_FOR_ONE * input) * names(scene);
    assert!(dump.len() <= bound, "{} bytes of snapshot of {input}: {scene:?}", dump.len());
    let mut said = 0;
    for line in problems.iter().map(ToString::to_string) {
        let breaks = |letter: char| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}');
        assert!(!line.contains(breaks), "a problem is one line: {line:?}");
        said += line.len();
    }
    assert!(said <= bound, "{said} bytes are told of {input}");
}

/// How many names its host has: each of them has all that the host has.
fn names(scene: &Scene) -> usize {
    let lists = scene.annotations.iter().filter(|(name, _)| name.ends_with("/server-alias"));
    1 + lists.map(|(_, list)| list.split(',').count().min(1000)).sum::<usize>()
}

fn bytes(scene: &Scene) -> usize {
    let pairs = scene.annotations.iter().chain(&scene.settings);
    let objects = scene.objects.iter().map(|object| object.to_string().len());
    pairs.map(|(name, value)| name.len() + value.len()).sum::<usize>() + objects.sum::<usize>()
}
