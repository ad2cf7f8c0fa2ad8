//! Auth request: asks a service about a request over ordinary connections, and remembers answers where that is wanted.

use std::{
    collections::HashMap,
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use aws_lc_rs::digest::{self, SHA256, SHA256_OUTPUT_LEN};
use tokio::time::Instant;

use super::{
    again::Again, attempt::Plan, body::Incoming, exchange::Exchange, forward, loops, picking::Choice,
    respond::Failure, responder::Responder,
};
use crate::{
    filter::{AuthRequest, ServiceAnswer, ServiceQuestion},
    message::{Fields, Known, KnownSet, RequestHead},
    model::{Listener, Retry},
    upstream::Upstream,
};

/// Answers that an engine remembers.
const MOST_KEPT: usize = 10_000;
/// Largest answer that is remembered, in bytes of its fields.
const MOST_KEPT_BYTES: usize = 4 << 10;

/// What tells questions apart whose answers are remembered.
type Key = [u8; SHA256_OUTPUT_LEN];

/// Answers of services that are remembered, for all workers.
#[derive(Default)]
pub struct AuthAnswers(Mutex<HashMap<Key, Held>>);

/// An answer and how long it holds.
#[derive(Clone)]
struct Held {
    answer: ServiceAnswer,
    until: Instant,
}

impl AuthAnswers {
    fn get(&self, key: &Key) -> Option<ServiceAnswer> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).filter(|held| held.until > Instant::now()).map(|held| held.answer.clone())
    }

    fn keep(&self, key: Key, answer: &ServiceAnswer, time: Duration) {
        let bytes: usize = answer.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > MOST_KEPT_BYTES || time.is_zero() {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if kept.len() >= MOST_KEPT {
            kept.retain(|_, held| held.until > now);
        }
        if kept.len() < MOST_KEPT {
            kept.insert(key, Held { answer: answer.clone(), until: now + time });
        }
    }
}

/// Asks the service of a filter about a request; `None` if it cannot be reached or does not answer.
///
/// # Errors
/// When the client has gone.
pub async fn ask(
    x: &Exchange<'_>,
    (filter, listener): (&AuthRequest, &Listener),
    question: ServiceQuestion,
    responder: &mut Responder<'_>,
) -> Result<Option<ServiceAnswer>, Failure> {
    let shared = &x.worker().shared;
    let key = key(filter, &question);
    if let Some(answer) = key.and_then(|key| shared.auth_answers.get(&key)) {
        return Ok(Some(answer));
    }
    let Some(upstream) = shared.registry.get(&filter.service) else { return Ok(None) };
    let mut asked = Exchange::unrecorded(x.client, head(x, filter, &question));
    if let Some(protection) = &listener.loop_protection {
        loops::leave_trace(&mut asked, protection);
    }
    let answer = {
        let sent = send(&mut asked, (filter, listener), &upstream);
        let mut sent = pin!(x.worker().deadlines.within(filter.timeout, sent));
        poll_fn(|cx| match sent.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending => responder.poll_closed(cx).map(|()| Err(Failure::ClientClosed)),
        })
        .await?
    };
    let fields = match answer.unwrap_or(Err(Failure::RequestTimeout)) {
        Ok(fields) => fields,
        Err(failure) => {
            let reason = failure.reason();
            tracing::debug!(service = %filter.service, reason, "a service of authentication did not answer");
            return Ok(None);
        }
    };
    let answer = wanted(filter, asked.status, &fields);
    if let (Some(key), Some(time)) = (key, time(filter, &answer, &fields)) {
        shared.auth_answers.keep(key, &answer, time);
    }
    Ok(Some(answer))
}

/// The head of the question: what the client sent, but for what the filter says otherwise. No body follows.
fn head(x: &Exchange<'_>, filter: &AuthRequest, question: &ServiceQuestion) -> Box<RequestHead> {
    const OURS: KnownSet = KnownSet::HOP_BY_HOP.with(KnownSet::OF_CLIENTS).with(KnownSet::of(&[
        Known::Host,
        Known::ContentLength,
        Known::Expect,
        Known::Proxy,
        Known::Trailer,
    ]));
    let is_said =
        |name: &[u8]| question.fields.iter().any(|(said, _)| said.as_bytes().eq_ignore_ascii_case(name));
    let mut head = x.worker().take_request();
    head.set_method(filter.method.as_deref().unwrap_or("GET").as_bytes());
    let mark = memchr::memchr(b'?', &question.target);
    let (path, query) = question.target.split_at(mark.unwrap_or(question.target.len()));
    head.set_path(path);
    head.set_query(query.get(1..));
    for (name, value) in &question.fields {
        head.fields.push(name.as_bytes(), value);
    }
    for (known, name, value) in x.head.fields.iter_known() {
        if !OURS.contains(known) && !is_said(name) {
            head.fields.push(name, value);
        }
    }
    head
}

/// Sends the question, to another endpoint if one cannot be reached, and gives the fields of the answer.
async fn send(
    asked: &mut Exchange<'_>,
    (filter, listener): (&AuthRequest, &Listener),
    upstream: &Arc<Upstream>,
) -> Result<Fields, Failure> {
    let _admitted = upstream.admit().map_err(|_| Failure::Overload)?;
    let backend = upstream.backend();
    upstream.retries.earn(&backend.retry_allowance);
    let again = Again::new(&Retry::default(), asked.head.method);
    let mut plan = Plan::new(asked, &listener.limits, (false, again));
    (plan.connect_timeout, plan.answer_limit) = (backend.connect_timeout, filter.timeout);
    plan.choice = Choice::new(asked, &backend);
    drop(backend);
    let mut answer = Responder::Fields(Fields::default());
    let mut body = Incoming::Taken(Fields::default());
    forward::attempt(asked, (upstream, &plan), &mut body, &mut answer).await?;
    match answer {
        Responder::Fields(fields) => Ok(fields),
        _ => Err(Failure::UpstreamProtocol),
    }
}

/// What a filter wants to know of an answer.
fn wanted(filter: &AuthRequest, status: u16, fields: &Fields) -> ServiceAnswer {
    let text = |name| std::str::from_utf8(name).ok().filter(|name| filter.wants(name));
    let wanted = fields.iter().filter_map(|(name, value)| {
        Some((text(name)?.to_ascii_lowercase().into_boxed_str(), value.to_vec()))
    });
    ServiceAnswer { status, fields: wanted.collect() }
}

/// The key by which an answer is remembered. Whose answer it is belongs to it: no other service's is taken for it.
fn key(filter: &AuthRequest, question: &ServiceQuestion) -> Option<Key> {
    let (cache, key) = (filter.cache.as_ref()?, question.key.as_ref()?);
    let mut context = digest::Context::new(&SHA256);
    let who = [cache.id.as_bytes(), filter.service.as_str().as_bytes(), filter.target.text().as_bytes()];
    for part in who.into_iter().chain([&key[..]]) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut key = [0; SHA256_OUTPUT_LEN];
    key.copy_from_slice(context.finish().as_ref());
    Some(key)
}

/// How long an answer is remembered: not one that gives somebody a cookie, and none that says that it is for one
/// request (RFC 9111 §5.2.2).
fn time(filter: &AuthRequest, answer: &ServiceAnswer, fields: &Fields) -> Option<Duration> {
    let time = filter.remembered(answer.status)?;
    if answer.all("set-cookie").next().is_some() {
        return None;
    }
    let said = fields.all_by_name("cache-control");
    let words = said.flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let forbids = |word: &[u8]| {
        let name = word.split(|byte| *byte == b'=').next().unwrap_or_default();
        [&b"no-store"[..], b"no-cache", b"private"].iter().any(|word| word.eq_ignore_ascii_case(name))
    };
    words.into_iter().all(|word| !forbids(word)).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{
        AuthCache, CacheTime,
        tests::{auth_request, template},
    };

    fn filter(id: &str, service: &str, target: &str) -> AuthRequest {
        let time = CacheTime { statuses: vec![200], duration: Duration::from_secs(60) };
        AuthRequest {
            service: service.into(),
            target: template(target),
            response_fields: vec!["X-User".into()],
            cache: Some(AuthCache { id: id.into(), key: template("$host"), times: vec![time] }),
            ..auth_request()
        }
    }

    #[test]
    fn no_two_services_share_a_key() {
        let key = |id, service, target, text: &str| {
            let question = ServiceQuestion {
                target: Vec::new(),
                fields: Vec::new(),
                key: Some(text.as_bytes().to_vec()),
            };
            key(&filter(id, service, target), &question).unwrap()
        };
        let one = key("a", "b", "/c", "d");
        assert_eq!(one, key("a", "b", "/c", "d"));
        let others =
            [("ab", "", "/c", "d"), ("a", "x", "/c", "d"), ("a", "b", "/x", "d"), ("a", "b", "/c", "x")];
        for (id, service, target, text) in others {
            assert_ne!(one, key(id, service, target, text), "{id} {service} {target} {text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_remembered_for_their_time_and_not_too_many_nor_large_ones() {
        let answers = AuthAnswers::default();
        let key = |number: usize| {
            let mut key = [0; SHA256_OUTPUT_LEN];
            key[..8].copy_from_slice(&number.to_be_bytes());
            key
        };
        let answer = ServiceAnswer { status: 200, fields: vec![("x-user".into(), b"alice".to_vec())] };
        let large =
            ServiceAnswer { status: 200, fields: vec![("x-user".into(), vec![b'a'; MOST_KEPT_BYTES])] };
        answers.keep(key(0), &large, Duration::from_secs(60));
        answers.keep(key(0), &answer, Duration::ZERO);
        assert_eq!(answers.get(&key(0)), None);
        (0..MOST_KEPT * 2).for_each(|number| answers.keep(key(number), &answer, Duration::from_secs(60)));
        assert_eq!(answers.0.lock().unwrap().len(), MOST_KEPT);
        assert_eq!(answers.get(&key(7)), Some(answer.clone()));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(answers.get(&key(7)), None);
        answers.keep(key(MOST_KEPT), &answer, Duration::from_secs(1));
        assert_eq!(answers.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn what_is_meant_for_one_request_is_not_remembered() {
        let rows = [
            (200, vec![("x-user", "a")], true),
            (200, vec![("Cache-Control", "public, max-age=5")], true),
            (401, vec![], false),
            (200, vec![("Set-Cookie", "a=b")], false),
            (200, vec![("Cache-Control", "max-age=5, No-Store")], false),
            (200, vec![("Cache-Control", "private=\"x\"")], false),
        ];
        let filter = filter("a", "b", "/c");
        for (status, list, wanted) in rows {
            let mut fields = Fields::default();
            list.iter().for_each(|(name, value)| fields.push(name.as_bytes(), value.as_bytes()));
            let answer = super::wanted(&filter, status, &fields);
            assert_eq!(time(&filter, &answer, &fields).is_some(), wanted, "{status} {list:?}");
        }
    }
}
