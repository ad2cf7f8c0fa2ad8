//! Asking: finds out what a filter cannot know of itself, and lets it decide.

use std::sync::Arc;

use super::{auth_request, exchange::Exchange, headers, passwords, respond::Failure, responder::Responder};
use crate::{
    filter::{Answer, AuthRequest, Filter, Flow, Question, ServiceQuestion},
    message::Known,
    model::Listener,
};

/// Finds out what the filter before `next` asked for and gives what it decides.
///
/// # Errors
/// When the client has gone.
pub async fn ask(
    x: &mut Exchange<'_>,
    (next, listener): (usize, &Listener),
    question: Question,
    responder: &mut Responder<'_>,
) -> Result<Flow, Failure> {
    let Some(route) = x.route.clone() else { return Err(Failure::NoRoute) };
    let (asked, rest) = route.route.filters.split_at(next);
    let Some(filter) = asked.last() else { return Err(Failure::NoRoute) };
    let answer = match (question, filter) {
        (Question::Password(question), _) => {
            passwords::verify(x, question, responder).await?.map_or(Answer::Busy, Answer::Password)
        }
        (Question::Service(question), Filter::AuthRequest(filter)) => {
            service(x, (&**filter, listener), question, responder).await?
        }
        // Nobody else asks a service.
        (Question::Service(_), _) => Answer::Service(None),
    };
    // A password is for us: whoever else may have to see it has by now.
    if asked.iter().any(|filter| matches!(filter, Filter::BasicAuth(_))) && !rest.iter().any(Filter::asks) {
        x.head.fields.remove(Known::Authorization);
    }
    let source = x.source.clone();
    let cx = headers::filter_context(x, source.as_deref().map(|source| &*source.name));
    Ok(filter.answered(&cx, &mut x.head, &answer))
}

/// Asks a service, and notes the cookies that the client gets with the answer of the backend.
async fn service(
    x: &mut Exchange<'_>,
    (filter, listener): (&AuthRequest, &Listener),
    question: ServiceQuestion,
    responder: &mut Responder<'_>,
) -> Result<Answer, Failure> {
    headers::identify_request(x, listener);
    let answer = auth_request::ask(x, (filter, listener), question, responder).await?;
    if let Some(answer) = &answer
        && (200..=299).contains(&answer.status)
    {
        for cookie in answer.all("set-cookie") {
            x.add_to_answer("Set-Cookie", cookie, filter.always_set_cookie);
        }
    }
    Ok(Answer::Service(answer.map(Arc::new)))
}
