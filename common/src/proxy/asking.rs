//! Asking: finds out what a filter cannot know of itself, and lets it decide.

use super::{exchange::Exchange, passwords, respond::Failure, responder::Responder};
use crate::{
    filter::{Answer, Filter, Flow, Question},
    message::Known,
};

/// Finds out what the filter before `next` asked for and gives what it decides.
///
/// # Errors
/// When the client has gone.
pub async fn ask(
    x: &mut Exchange<'_>,
    next: usize,
    question: Question,
    responder: &mut Responder<'_>,
) -> Result<Flow, Failure> {
    let answer = match question {
        Question::Password(question) => {
            passwords::verify(x, question, responder).await?.map_or(Answer::Busy, Answer::Password)
        }
    };
    let Some(route) = x.route.clone() else { return Err(Failure::NoRoute) };
    let (asked, rest) = route.route.filters.split_at(next);
    // A password is for us: whoever else may have to see it has by now.
    if asked.iter().any(|filter| matches!(filter, Filter::BasicAuth(_))) && !rest.iter().any(Filter::asks) {
        x.head.fields.remove(Known::Authorization);
    }
    Ok(asked.last().map_or(Flow::Next, |filter| filter.answered(&answer)))
}
