//! Cases as they are written down, and how a text of one becomes what is sent and expected.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use serde_json::Value;

use crate::backends::Backends;

/// A case before it is known where its backends listen.
pub struct Written {
    /// Its name.
    pub name: String,
    /// What it shows.
    pub shows: String,
    /// Name of its file.
    pub area: String,
    text: String,
}

/// A set of objects, and what was answered where they were in effect.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name.
    pub case: String,
    /// What it shows.
    #[serde(rename = "shows")]
    _shows: String,
    /// The objects were made one after the other, in more than a second each; else in the same second.
    #[serde(default)]
    pub spaced: bool,
    /// The controller could not bring the objects into effect and went on with those before.
    #[serde(default, rename = "refused")]
    _refused: bool,
    /// Settings in the controller's ConfigMap.
    #[serde(default)]
    pub global: BTreeMap<String, String>,
    /// Objects that were in effect before all the others.
    #[serde(default)]
    pub before: Vec<Thing>,
    /// The objects.
    #[serde(default)]
    pub objects: Vec<Thing>,
    /// Requests and answers, in order.
    pub exchanges: Vec<Exchange>,
}

/// An Ingress in short, or any object as it is.
#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields)]
pub struct Thing {
    /// Any object.
    pub object: Option<Value>,
    /// Name of the Ingress.
    #[serde(default)]
    pub name: String,
    /// Its class: `nginx` if it is not said, none if it is empty.
    pub class: Option<String>,
    /// Annotations without the prefix `nginx.ingress.kubernetes.io/`.
    #[serde(default)]
    pub nginx: BTreeMap<String, String>,
    /// Other annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// The default backend.
    pub default: Option<String>,
    /// Hosts by the Secret of their certificate.
    #[serde(default)]
    pub tls: BTreeMap<String, Vec<String>>,
    /// Paths by host, each as `PATH TYPE SERVICE[:PORT]`.
    #[serde(default)]
    pub hosts: BTreeMap<String, Vec<String>>,
    /// What of `spec` cannot be said in short.
    #[serde(default)]
    pub spec: BTreeMap<String, Value>,
}

/// A request, its answer, and what the backends saw of it.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// `METHOD URL`.
    pub ask: Option<String>,
    /// Method and target where they are no URL.
    pub line: Option<String>,
    /// Host for `line`; without it none is sent.
    pub host: Option<String>,
    /// Whether `line` goes over TLS.
    #[serde(default)]
    pub tls: bool,
    /// The very bytes of the request.
    pub raw: Option<String>,
    /// Version, if not 1.1.
    pub version: Option<String>,
    /// Further fields of the request.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Its body.
    pub body: Option<String>,
    /// Name in TLS; the host if it is not said.
    pub sni: Option<String>,
    /// Address of the client, if not 127.0.0.1.
    pub from: Option<std::net::Ipv4Addr>,
    /// Send the cookies that the answer of this exchange had set.
    pub cookie_of: Option<usize>,
    /// How often it is sent, one after the other; `<i>` is the number.
    pub times: Option<usize>,
    /// How often it is sent at the same time.
    pub at_once: Option<usize>,
    /// How long nothing was sent before.
    #[serde(rename = "after_seconds")]
    _after_seconds: Option<u64>,

    /// Status of the answer.
    pub status: Option<u16>,
    /// There was no answer.
    #[serde(default, rename = "silent")]
    _silent: bool,
    /// Secret of the certificate that the client was shown.
    pub certificate: Option<String>,
    /// Fields of the answer.
    #[serde(default)]
    pub answer: Vec<String>,
    /// Its body, where it is neither that of a backend nor a page for people.
    pub text: Option<String>,
    /// Service whose endpoint answered.
    pub by: Option<String>,
    /// What that endpoint saw, if nobody else saw anything.
    #[serde(flatten)]
    pub saw: Saw,
    /// Everything that backends saw, in order, if it is more than one, or none of it was answered.
    pub reached: Option<Vec<Reached>>,

    /// How often which status was answered.
    pub statuses: Option<BTreeMap<u16, usize>>,
    /// How many requests reached which Service.
    #[serde(default)]
    pub services: BTreeMap<String, usize>,
    /// How many requests reached each endpoint, in rising order.
    pub spread: Option<Vec<usize>>,
    /// How far these counts may be off.
    #[serde(default)]
    pub tolerance: Tolerance,
}

/// How far counts may be off.
#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Tolerance {
    /// Those of `statuses`.
    pub statuses: usize,
    /// Those of `services`.
    pub services: usize,
    /// Those of `spread`.
    pub spread: usize,
}

/// A request that a backend saw.
#[derive(Deserialize, Debug)]
pub struct Reached {
    /// The Service.
    pub at: String,
    /// The request.
    #[serde(flatten)]
    pub saw: Saw,
}

/// What differs between the request that a backend saw and what it sees as a rule.
#[derive(Deserialize, Debug, Default, Clone)]
pub struct Saw {
    /// Method and target, if not those that were asked.
    pub becomes: Option<String>,
    /// Fields beside the usual ones, or in place of those of the same name.
    #[serde(default)]
    pub adds: Vec<String>,
    /// Usual fields that are not there.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// All fields, where hardly one is usual.
    pub all: Option<Vec<String>>,
    /// Size of the body, if it is not the one that was sent.
    pub bytes: Option<usize>,
    /// Name in TLS.
    pub server_name: Option<String>,
}

/// The cases of a file.
pub fn read(path: &Path) -> Vec<Written> {
    let text = fs::read_to_string(path).expect("files of answers can be read");
    let cases: Vec<Value> =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let area = path.file_stem().and_then(|stem| stem.to_str()).expect("names of files are text");
    let written = |case: Value| Written {
        name: case["case"].as_str().unwrap_or_default().to_owned(),
        shows: case["shows"].as_str().unwrap_or_default().to_owned(),
        area: area.to_owned(),
        text: case.to_string(),
    };
    cases.into_iter().map(written).collect()
}

impl Written {
    /// The case with the addresses of these backends, and with its long texts.
    ///
    /// # Errors
    /// A field that does not fit.
    pub fn at(&self, backends: &Backends) -> Result<Case, serde_json::Error> {
        serde_json::from_str(&repeated(&backends.placed(&self.text)))
    }
}

/// Replaces each `<x*40>` by the character so many times.
fn repeated(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let run = from.find('>').and_then(|end| {
            let (character, count) = from[1..end].split_once('*')?;
            Some((end, character.repeat(count.parse().ok()?)))
        });
        match run {
            Some((end, run)) => {
                out.push_str(&run);
                rest = &from[end + 1..];
            }
            None => {
                out.push('<');
                rest = &from[1..];
            }
        }
    }
    out + rest
}

impl Exchange {
    /// Method, target, host, and whether it goes over TLS. Nothing is known of raw requests but that they are plain.
    pub fn request(&self) -> (&str, &str, Option<&str>, bool) {
        if let Some(line) = &self.line {
            let (method, target) = line.split_once(' ').expect("a line has method and target");
            return (method, target, self.host.as_deref(), self.tls);
        }
        let Some(ask) = &self.ask else { return ("", "", Some("a.test"), false) };
        let (method, url) = ask.split_once(' ').expect("a request has method and URL");
        let (scheme, rest) = url.split_once("://").expect("a URL has a scheme");
        let path = rest.find('/').expect("a URL has a path");
        (method, &rest[path..], Some(&rest[..path]), scheme == "https")
    }

    /// How it is called in messages.
    pub fn name(&self) -> String {
        match (&self.ask, &self.line, &self.raw) {
            (Some(name), ..) | (_, Some(name), _) => name.chars().take(80).collect(),
            (.., raw) => format!("{:.60?}", raw.as_deref().unwrap_or_default()),
        }
    }
}
