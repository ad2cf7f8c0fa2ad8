//! Documents of manifest files to events of objects, as an API server would send them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    sync::Arc,
};

use serde_json::Value;

use super::{
    near,
    objects::{Kind, Object, ObjectEvent, ObjectKey},
    schema,
};
use crate::model::Severity;
use crate::source::file::{Document, FileChange, FileContent, Make};

/// Something in a manifest file that has no effect, or another one than its owner may expect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ManifestProblem {
    /// The file, spelled as the user gave it or its folder.
    pub file: Arc<Path>,
    /// First line of the document or the line of the error, counted from 1; 0 if it is about the whole file.
    pub line: u32,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in a sentence for people.
    pub message: String,
}

/// What a document of a manifest file says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// An object, with the fields that its kind does not have.
    Object(Object, Box<[String]>),
    /// An object of a kind that is not read.
    PassedOver(Kind),
    /// An object of another kind, which is no matter of ours.
    Other,
    /// Nothing that can be used: which object, if it says that, and why.
    Wrong(Option<ObjectKey>, String),
}

/// What is in all manifest files.
#[derive(Debug, Default)]
pub struct Manifests {
    /// Kinds of which objects were passed over.
    passed_over: BTreeSet<Kind>,
    files: BTreeMap<Arc<Path>, BTreeSet<ObjectKey>>,
    /// Where each object is said, in order of files; the first one counts.
    places: BTreeMap<ObjectKey, Places>,
    /// Objects with more than one place.
    repeated: BTreeSet<ObjectKey>,
    /// What is wrong within each file; files without problems are not in it.
    wrong: BTreeMap<Arc<Path>, Vec<ManifestProblem>>,
    problems: BTreeSet<ManifestProblem>,
}

#[derive(Clone, Debug)]
struct Place {
    line: u32,
    object: Object,
}

/// Where one object is said, in order of files; nearly always in one.
#[derive(Debug, Default)]
struct Places(Box<[(Arc<Path>, Place)]>);

/// What a change of files comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ManifestChange {
    /// Changes of objects, sorted by their keys.
    pub events: Vec<ObjectEvent>,
    /// Problems that are new, sorted by file and line.
    pub problems: Vec<ManifestProblem>,
    /// Kinds that are not read and of which there are objects now for the first time.
    pub passed_over: Vec<Kind>,
}

/// One object of a file and the fields that its kind does not have, or why there is none.
type Read = Result<Option<(Object, Vec<String>)>, (Option<ObjectKey>, String)>;

impl Said {
    /// Reads documents; objects of other kinds than these are passed over.
    pub fn reader(kinds: &'static [Kind]) -> Make<Self> {
        Arc::new(|value| Self::read(value, kinds))
    }

    fn read(value: Value, kinds: &[Kind]) -> Self {
        if let Some(kind) = kind_of(&value).filter(|kind| !kinds.contains(kind)) {
            return Self::PassedOver(kind);
        }
        match read_object(value) {
            Ok(Some((object, unknown))) => Self::Object(object, unknown.into()),
            Ok(None) => Self::Other,
            Err((key, message)) => Self::Wrong(key, message),
        }
    }
}

impl Manifests {
    /// Takes new contents of files.
    ///
    /// A file that turns invalid keeps its objects as they last were; so does an object that turns invalid.
    /// If two files hold the same object, the file that sorts first counts.
    pub fn apply(&mut self, changes: Vec<FileChange<Said>>) -> ManifestChange {
        let mut touched = BTreeMap::new();
        let known = self.passed_over.clone();
        for change in changes {
            let FileChange { file, content } = change;
            match content {
                FileContent::Gone => {
                    let old = self.files.remove(&file).unwrap_or_default();
                    self.wrong.remove(&file);
                    self.replace(&file, old, BTreeMap::new(), &mut touched);
                }
                FileContent::Documents(documents) => self.read(&file, documents, Vec::new(), &mut touched),
                FileContent::Invalid { documents, errors } => {
                    let problems = errors.into_iter().map(|error| ManifestProblem {
                        file: file.clone(),
                        line: error.line,
                        severity: Severity::Error,
                        message: error.message,
                    });
                    let problems = problems.collect();
                    match self.files.get(&file) {
                        Some(keys) if !keys.is_empty() => drop(self.wrong.insert(file, problems)),
                        _ => self.read(&file, documents, problems, &mut touched),
                    }
                }
            }
        }
        let events = self.events(touched);
        let problems = self.collect_problems();
        let new = problems.difference(&self.problems).cloned().collect();
        self.problems = problems;
        let passed_over = self.passed_over.difference(&known).copied().collect();
        ManifestChange { events, problems: new, passed_over }
    }

    /// Where the object of this key is said, by file and first line; `None` if there is none.
    pub fn place(&self, key: &ObjectKey) -> Option<(&Arc<Path>, u32)> {
        let (file, place) = self.places.get(key)?.0.first()?;
        Some((file, place.line))
    }

    /// Every problem that there is now, sorted by file and line.
    pub fn problems(&self) -> impl Iterator<Item = &ManifestProblem> {
        self.problems.iter()
    }

    fn read(
        &mut self,
        file: &Arc<Path>,
        documents: Vec<Document<Said>>,
        mut problems: Vec<ManifestProblem>,
        touched: &mut BTreeMap<ObjectKey, Option<Object>>,
    ) {
        let mut new = BTreeMap::<ObjectKey, Place>::new();
        let old = self.files.remove(file).unwrap_or_default();
        let mut problem = |line, severity, message| {
            problems.push(ManifestProblem { file: file.clone(), line, severity, message });
        };
        for Document { line, value, .. } in documents {
            match value {
                Said::PassedOver(kind) => drop(self.passed_over.insert(kind)),
                Said::Other => {
                    tracing::debug!(file = %file.display(), line, "ignoring an object of another kind")
                }
                Said::Object(object, unknown) => match new.get(&object.key()) {
                    Some(first) => {
                        let message = format!("{} is said twice; line {} counts", object.key(), first.line);
                        problem(line, Severity::Error, message);
                    }
                    None => {
                        let key = object.key();
                        for field in unknown {
                            problem(line, Severity::Warning, unknown_field(&key, &field));
                        }
                        new.insert(key, Place { line, object });
                    }
                },
                Said::Wrong(key, message) => {
                    let kept = key.filter(|key| !new.contains_key(key));
                    let place = kept.and_then(|key| Some((self.places.get(&key)?.get(file)?.clone(), key)));
                    if let Some((place, key)) = place {
                        new.insert(key, place);
                    }
                    problem(line, Severity::Error, message);
                }
            }
        }
        self.files.insert(file.clone(), new.keys().cloned().collect());
        match problems.is_empty() {
            true => drop(self.wrong.remove(file)),
            false => drop(self.wrong.insert(file.clone(), problems)),
        }
        self.replace(file, old, new, touched);
    }

    /// Puts the objects of a file in the place of its old ones.
    fn replace(
        &mut self,
        file: &Arc<Path>,
        old: BTreeSet<ObjectKey>,
        mut new: BTreeMap<ObjectKey, Place>,
        touched: &mut BTreeMap<ObjectKey, Option<Object>>,
    ) {
        let keys: BTreeSet<_> = old.into_iter().chain(new.keys().cloned()).collect();
        for key in keys {
            touched.entry(key.clone()).or_insert_with_key(|key| self.counting(key).cloned());
            let places = self.places.entry(key.clone()).or_default();
            places.set(file, new.remove(&key));
            match places.0.len() {
                0 => drop((self.places.remove(&key), self.repeated.remove(&key))),
                1 => drop(self.repeated.remove(&key)),
                _ => drop(self.repeated.insert(key)),
            }
        }
    }

    /// The object of this key that counts.
    fn counting(&self, key: &ObjectKey) -> Option<&Object> {
        Some(&self.places.get(key)?.0.first()?.1.object)
    }

    fn events(&self, touched: BTreeMap<ObjectKey, Option<Object>>) -> Vec<ObjectEvent> {
        let events = touched.into_iter().filter_map(|(key, before)| match self.counting(&key) {
            Some(now) if before.as_ref().is_none_or(|before| !before.is_same(now) && before != now) => {
                Some(ObjectEvent::Applied(now.clone()))
            }
            None if before.is_some() => Some(ObjectEvent::Deleted(key)),
            _ => None,
        });
        events.collect()
    }

    fn collect_problems(&self) -> BTreeSet<ManifestProblem> {
        let places = self.repeated.iter().filter_map(|key| Some((key, self.places.get(key)?)));
        let repeated = places.flat_map(|(key, places)| {
            let mut places = places.0.iter();
            let first = places.next();
            places.filter_map(move |(file, place)| {
                let (counts, at) = first?;
                let message = format!("{key} is also in {}:{}, which counts", counts.display(), at.line);
                let (file, line, severity) = (file.clone(), place.line, Severity::Error);
                Some(ManifestProblem { file, line, severity, message })
            })
        });
        self.wrong.values().flatten().cloned().chain(repeated).collect()
    }
}

impl Places {
    fn get(&self, file: &Arc<Path>) -> Option<&Place> {
        self.0.iter().find(|(known, _)| known == file).map(|(_, place)| place)
    }

    fn set(&mut self, file: &Arc<Path>, place: Option<Place>) {
        let mut all = std::mem::take(&mut self.0).into_vec();
        all.retain(|(known, _)| known != file);
        if let Some(place) = place {
            let at = all.partition_point(|(known, _)| known < file);
            all.insert(at, (file.clone(), place));
        }
        self.0 = all.into();
    }
}

impl fmt::Display for ManifestProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.message),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.message),
        }
    }
}

/// The kind of an object, if it is one that any of our programs reads.
fn kind_of(value: &Value) -> Option<Kind> {
    let text = |field| value.get(field).and_then(Value::as_str);
    Kind::find(text("apiVersion")?, text("kind")?)
}

/// Reads an object as an API server would complete it: namespace `default`, `stringData` merged.
fn read_object(mut value: Value) -> Read {
    let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
    if !value.is_object() {
        return Err((None, "not a Kubernetes object; one has apiVersion, kind and metadata".into()));
    }
    let Some(name) = text(&value, "kind") else {
        return Err((None, "no kind; a Kubernetes object says what it is".into()));
    };
    let version = text(&value, "apiVersion").unwrap_or_default();
    let Some(kind) = Kind::find(&version, &name) else {
        return near_miss(&version, &name).map_or(Ok(None), |message| Err((None, message)));
    };
    let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) else {
        return Err((None, format!("{name} without metadata; add metadata.name")));
    };
    for field in ["name", "namespace"] {
        if metadata.get(field).is_some_and(|value| !value.is_string() && !value.is_null()) {
            return Err((None, format!("{name}: metadata.{field} is not text; quote it")));
        }
    }
    let object_name = metadata.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if object_name.is_empty() {
        return Err((None, format!("{name} without a name; add metadata.name")));
    }
    if !kind.is_namespaced() {
        metadata.remove("namespace");
    } else if metadata.get("namespace").and_then(Value::as_str).unwrap_or_default().is_empty() {
        metadata.insert("namespace".into(), "default".into());
    }
    let namespace = metadata.get("namespace").and_then(Value::as_str).unwrap_or_default();
    let key = ObjectKey::new(kind, namespace, &object_name);
    let mut unknown = Vec::new();
    let read = Object::from_json_noting(kind, value, &mut unknown);
    // Kinds of ours do not look at these, which were looked at above.
    unknown.retain(|field| !matches!(field.as_str(), "apiVersion" | "kind"));
    match read {
        Ok(Object::Secret(mut secret)) => {
            let secret_now = Arc::make_mut(&mut secret);
            let text = secret_now.string_data.take().unwrap_or_default();
            let bytes = text.into_iter().map(|(key, text)| (key, k8s_openapi::ByteString(text.into_bytes())));
            secret_now.data.get_or_insert_default().extend(bytes);
            Ok(Some((Object::Secret(secret), unknown)))
        }
        Ok(object) => Ok(Some((object, unknown))),
        Err(error) => {
            let message = format!("{key}: {error}");
            Err((Some(key), message))
        }
    }
}

/// What to say of a field that the kind does not have.
fn unknown_field(key: &ObjectKey, field: &str) -> String {
    let hint = match schema::suggest(key.kind, field) {
        hint if hint.is_empty() => "; is it misspelt?".to_owned(),
        hint => hint,
    };
    format!("{key}: {field} is no field of kind {} and has no effect{hint}", key.kind.name())
}

/// What to say of an object that is nearly one of ours; `None` for one that is none of our business.
fn near_miss(version: &str, name: &str) -> Option<String> {
    let group = |version: &str| version.rsplit_once('/').map_or(String::new(), |(group, _)| group.to_owned());
    let known = || Kind::ALL.iter().filter(|kind| group(&kind.api_version()) == group(version));
    let same = Kind::ALL.iter().find(|kind| kind.name().eq_ignore_ascii_case(name));
    let near = || near::nearest(name, known().map(|kind| kind.name()));
    let kind = same.or_else(|| near().and_then(|near| known().find(|kind| kind.name() == near)))?;
    let wanted = kind.api_version();
    let is_ours = group(version) == group(&wanted) || version == "extensions/v1beta1";
    let says = if version.is_empty() { "no apiVersion".into() } else { format!("apiVersion {version}") };
    is_ours.then(|| {
        format!("{name} with {says} is not read; write apiVersion: {wanted} and kind: {}", kind.name())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::LineError;

    fn documents(file: &str, values: &[Value]) -> FileContent<Said> {
        documents_of(Kind::ALL, file, values)
    }

    fn documents_of(kinds: &[Kind], file: &str, values: &[Value]) -> FileContent<Said> {
        let file: Arc<Path> = Path::new(file).into();
        let documents = (1..).zip(values);
        FileContent::Documents(
            documents
                .map(|(line, value)| Document {
                    file: file.clone(),
                    line,
                    value: Said::read(value.clone(), kinds),
                })
                .collect(),
        )
    }

    fn apply(
        manifests: &mut Manifests,
        file: &str,
        content: FileContent<Said>,
    ) -> (Vec<String>, Vec<String>) {
        let change = manifests.apply(vec![FileChange { file: Path::new(file).into(), content }]);
        let events = change.events.iter().map(|event| match event {
            ObjectEvent::Applied(object) => {
                let version = match object {
                    Object::Ingress(ingress) => ingress.metadata.annotations.get("v"),
                    _ => None,
                };
                format!("+ {} {}", object.key(), version.unwrap_or_default())
            }
            ObjectEvent::Deleted(key) => format!("- {key}"),
        });
        (events.collect(), change.problems.iter().map(ToString::to_string).collect())
    }

    fn ingress(name: &str, version: &str) -> Value {
        serde_json::json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": name, "annotations": {"v": version}}})
    }

    fn nothing() -> Vec<String> {
        Vec::new()
    }

    #[test]
    fn only_what_differs_is_an_event() {
        let mut manifests = Manifests::default();
        let file = documents("a", &[ingress("x", "1"), ingress("y", "1")]);
        let wanted = ["+ Ingress default/x 1", "+ Ingress default/y 1"];
        assert_eq!(apply(&mut manifests, "a", file).0, wanted);
        let file = documents("a", &[ingress("x", "1"), ingress("y", "2"), ingress("z", "1")]);
        assert_eq!(apply(&mut manifests, "a", file).0, ["+ Ingress default/y 2", "+ Ingress default/z 1"]);
        let file = documents("a", &[ingress("z", "1")]);
        assert_eq!(apply(&mut manifests, "a", file).0, ["- Ingress default/x", "- Ingress default/y"]);
        assert_eq!(apply(&mut manifests, "a", FileContent::Gone).0, ["- Ingress default/z"]);
    }

    #[test]
    fn what_does_not_fit_in_a_secret_is_not_quoted() {
        let key = "-----BEGIN PRIVATE KEY-----\nc2VsdmVkZ2U";
        let rows = [
            ("stringData", serde_json::json!(key)),
            ("stringData", serde_json::json!([key])),
            ("stringData", serde_json::json!({"tls.key": [key]})),
            ("data", serde_json::json!(key)),
            ("data", serde_json::json!({"tls.key": key})),
        ];
        for (field, value) in rows {
            let secret = serde_json::json!({"apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": "x"}, field: value});
            let (events, problems) = apply(&mut Manifests::default(), "a", documents("a", &[secret]));
            assert_eq!((events, problems.len()), (nothing(), 1), "{field} {value}");
            assert!(problems[0].contains("Secret default/x") && problems[0].contains(field), "{problems:?}");
            assert!(!problems[0].contains("BEGIN") && !problems[0].contains("c2Vs"), "{problems:?}");
        }
    }

    #[test]
    fn of_two_files_with_one_object_the_first_counts() {
        let mut manifests = Manifests::default();
        apply(&mut manifests, "b", documents("b", &[ingress("x", "b")]));
        let (events, problems) = apply(&mut manifests, "a", documents("a", &[ingress("x", "a")]));
        assert_eq!(events, ["+ Ingress default/x a"]);
        assert_eq!(problems, ["b:1: Ingress default/x is also in a:1, which counts"]);
        assert_eq!(apply(&mut manifests, "b", documents("b", &[ingress("x", "b2")])), (nothing(), nothing()));
        assert_eq!(apply(&mut manifests, "a", FileContent::Gone).0, ["+ Ingress default/x b2"]);
        assert_eq!(manifests.problems().count(), 0);
        assert_eq!(apply(&mut manifests, "b", FileContent::Gone).0, ["- Ingress default/x"]);
    }

    #[test]
    fn within_a_file_the_first_of_two_counts() {
        let mut manifests = Manifests::default();
        let file = documents("a", &[ingress("x", "1"), ingress("x", "2")]);
        let (events, problems) = apply(&mut manifests, "a", file);
        assert_eq!(events, ["+ Ingress default/x 1"]);
        assert_eq!(problems, ["a:2: Ingress default/x is said twice; line 1 counts"]);
    }

    #[test]
    fn an_object_that_moves_to_another_file_in_one_batch_is_no_event() {
        let mut manifests = Manifests::default();
        apply(&mut manifests, "a", documents("a", &[ingress("x", "1")]));
        let change = manifests.apply(vec![
            FileChange { file: Path::new("a").into(), content: FileContent::Gone },
            FileChange { file: Path::new("b").into(), content: documents("b", &[ingress("x", "1")]) },
        ]);
        assert_eq!(change, ManifestChange::default());
    }

    #[test]
    fn a_file_that_turns_invalid_keeps_its_objects() {
        let mut manifests = Manifests::default();
        let invalid = |values: &[Value]| {
            let FileContent::Documents(documents) = documents("a", values) else { unreachable!() };
            let errors = vec![LineError { line: 7, message: "odd".into() }];
            FileContent::Invalid { documents, errors }
        };
        let (events, problems) = apply(&mut manifests, "a", invalid(&[ingress("x", "1")]));
        assert_eq!((events, problems), (vec!["+ Ingress default/x 1".into()], vec!["a:7: odd".into()]));
        assert_eq!(apply(&mut manifests, "a", invalid(&[ingress("y", "1")])), (nothing(), nothing()));
        let file = documents("a", &[ingress("y", "1")]);
        assert_eq!(apply(&mut manifests, "a", file).0, ["- Ingress default/x", "+ Ingress default/y 1"]);
        assert_eq!(manifests.problems().count(), 0);
    }

    #[test]
    fn an_object_that_turns_invalid_stays_as_it_was_beside_its_neighbours() {
        let mut manifests = Manifests::default();
        apply(&mut manifests, "a", documents("a", &[ingress("x", "1"), ingress("y", "1")]));
        let mut wrong = ingress("x", "2");
        wrong["spec"] = serde_json::json!({"rules": [{"host": 5}]});
        let (events, problems) = apply(&mut manifests, "a", documents("a", &[wrong, ingress("y", "2")]));
        assert_eq!(events, ["+ Ingress default/y 2"]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("a:1: Ingress default/x: spec.rules[0].host: "), "{problems:?}");
    }

    #[test]
    fn what_is_nearly_ours_is_told_and_what_is_not_is_ignored() {
        let cases = [
            ("apps/v1", "Deployment", false),
            ("serving.knative.dev/v1", "Service", false),
            ("extensions/v1beta1", "Ingress", true),
            ("networking.k8s.io/v1beta1", "Ingress", true),
            ("networking.k8s.io/v1", "ingress", true),
            ("discovery.k8s.io/v1beta1", "EndpointSlice", true),
            ("", "Service", true),
            ("v2", "Secret", true),
            ("networking.k8s.io/v1", "Ingres", true),
            ("v1", "Services", true),
            ("v1", "ServiceAccount", false),
            ("v1", "Endpoints", false),
            ("networking.k8s.io/v1", "NetworkPolicy", false),
            ("example.org/v1", "Ingres", false),
        ];
        for (version, kind, told) in cases {
            let mut manifests = Manifests::default();
            let value = serde_json::json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}});
            let (events, problems) = apply(&mut manifests, "a", documents("a", &[value]));
            assert_eq!((events, problems.len()), (nothing(), usize::from(told)), "{version} {kind}");
        }
    }

    #[test]
    fn what_is_no_object_is_told() {
        for value in [
            serde_json::json!("text"),
            serde_json::json!({"metadata": {"name": "x"}}),
            serde_json::json!({"apiVersion": "v1", "kind": "Service"}),
            serde_json::json!({"apiVersion": "v1", "kind": "Service", "metadata": {"generateName": "x"}}),
            serde_json::json!({"apiVersion": "v1", "kind": "Service", "metadata": []}),
        ] {
            let mut manifests = Manifests::default();
            let (events, problems) = apply(&mut manifests, "a", documents("a", std::slice::from_ref(&value)));
            assert_eq!((events, problems.len()), (nothing(), 1), "{value}");
        }
    }

    #[test]
    fn names_that_yaml_does_not_read_as_text_are_told() {
        for (field, value) in [("name", serde_json::json!(false)), ("namespace", serde_json::json!(5))] {
            let mut object = ingress("x", "1");
            object["metadata"][field] = value;
            let (events, problems) = apply(&mut Manifests::default(), "a", documents("a", &[object]));
            let wanted = format!("a:1: Ingress: metadata.{field} is not text; quote it");
            assert_eq!((events, problems), (nothing(), vec![wanted]));
        }
    }

    #[test]
    fn fields_that_do_not_exist_are_warnings_and_the_object_counts() {
        let mut object = ingress("x", "1");
        object["spec"] =
            serde_json::json!({"ingressClassNam": "x", "rules": [{"http": {"pathss": [], "paths": []}}]});
        let mut manifests = Manifests::default();
        let (events, problems) = apply(&mut manifests, "a", documents("a", &[object]));
        assert_eq!(events, ["+ Ingress default/x 1"]);
        for (problem, field) in problems.iter().zip(["spec.ingressClassNam", "spec.rules[0].http.pathss"]) {
            assert!(
                problem.starts_with(&format!("a:1: Ingress default/x: {field} is no field")),
                "{problem}"
            );
        }
        assert_eq!(problems.len(), 2);
        assert!(manifests.problems().all(|problem| problem.severity == Severity::Warning));
        apply(&mut manifests, "a", documents("a", &[ingress("x", "1")]));
        assert_eq!(manifests.problems().count(), 0);
    }

    #[test]
    fn fields_of_our_own_kinds_are_told_with_what_may_be_meant() {
        let rule = serde_json::json!({
            "apiVersion": "selvedge.dev/v1alpha1", "kind": "RouteRule", "metadata": {"name": "x"},
            "spec": {"targets": [{"service": "a"}], "rules": [{"retrys": {}, "matches": [{"other": 1}]}]},
        });
        let mut manifests = Manifests::default();
        let (events, problems) = apply(&mut manifests, "a", documents("a", &[rule]));
        assert_eq!(events, ["+ RouteRule default/x "]);
        let key = ObjectKey::new(Kind::RouteRule, "default", "x");
        assert_eq!(manifests.place(&key), Some((&Path::new("a").into(), 1)));
        let no_field = |field: &str, hint: &str| {
            format!("a:1: RouteRule default/x: {field} is no field of kind RouteRule and has no effect{hint}")
        };
        let wanted = [
            no_field("spec.rules[0].matches[0].other", "; is it misspelt?"),
            no_field("spec.rules[0].retrys", " (did you mean \"retry\"?)"),
        ];
        assert_eq!(problems, wanted);
        let without_spec = serde_json::json!({
            "apiVersion": "selvedge.dev/v1alpha1", "kind": "RouteRule", "metadata": {"name": "y"},
        });
        let (_, problems) = apply(&mut manifests, "b", documents("b", &[without_spec]));
        assert_eq!(problems, ["b:1: RouteRule default/y: the object: missing field `spec`"]);
    }

    #[test]
    fn objects_are_completed_as_an_api_server_would() {
        let mut manifests = Manifests::default();
        let class = serde_json::json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": "x", "namespace": "odd"}});
        let secret = serde_json::json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"},
            "data": {"a": "AQ==", "b": "AQ=="}, "stringData": {"b": "text"}});
        let change = manifests.apply(vec![FileChange {
            file: Path::new("a").into(),
            content: documents("a", &[class, secret]),
        }]);
        let [ObjectEvent::Applied(class), ObjectEvent::Applied(Object::Secret(secret))] = &change.events[..]
        else {
            panic!("{change:?}")
        };
        assert_eq!(class.key(), ObjectKey::new(Kind::IngressClass, "", "x"));
        let data: Vec<_> = secret.data.iter().flatten().map(|(key, value)| (&**key, &*value.0)).collect();
        assert_eq!(data, [("a", &[1u8][..]), ("b", b"text")]);
        assert_eq!(secret.metadata.namespace.as_deref(), Some("default"));
    }

    #[test]
    fn kinds_of_other_programs_are_passed_over_and_told_once() {
        let mut manifests = Manifests::default();
        let mut change = |values: &[Value]| {
            let content = documents_of(&[Kind::Service], "a", values);
            manifests.apply(vec![FileChange { file: Path::new("a").into(), content }])
        };
        let passed_over = vec![Kind::Ingress];
        let told = change(&[ingress("x", "1")]);
        assert_eq!(told, ManifestChange { passed_over, ..ManifestChange::default() });
        assert_eq!(change(&[ingress("y", "1")]), ManifestChange::default());
    }
}
