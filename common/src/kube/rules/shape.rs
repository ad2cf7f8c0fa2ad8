//! Shape: what the schema of a RouteRule refuses but a file may say; each is told with what becomes of it.

use std::{collections::BTreeSet, ops::RangeInclusive};

use selvedge_crds::{
    RouteRule,
    action::{Abort, Fault, Redirect, Respond, Rewrite, RuleTimeouts},
    route_rule::RequestRule,
};

use super::Context;
use crate::id::ObjectRef;

/// Priorities that a RouteRule may have.
const PRIORITIES: RangeInclusive<i32> = -1000..=1000;
/// Statuses of answers.
const STATUSES: RangeInclusive<u16> = 200..=599;
/// Statuses of redirects.
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];
/// Statuses of answers that have no body (RFC 9110 §15.3.5, §15.3.6, §15.4.5).
const WITHOUT_BODY: [u16; 3] = [204, 205, 304];
/// Statuses of gRPC beside OK.
const GRPC_STATUSES: RangeInclusive<u8> = 1..=16;

/// What is said where one try may take longer than all of them.
pub(super) const TIMEOUTS: &str = "backend is the time of one try, so it must not be longer than request, the time of \
                                   all tries; it has no effect";

/// Whether something is wrong, with its field and what to do.
type Row = (bool, &'static str, &'static str);

/// Tells what is wrong with the form of a RouteRule.
pub(super) fn check(cx: &mut Context<'_, '_>, object: &ObjectRef, rule: &RouteRule) {
    let spec = &rule.spec;
    let rows = [
        (
            spec.targets.is_empty(),
            "targets",
            "name a Service or a host; without one the rules have no effect",
        ),
        (spec.rules.is_empty(), "rules", "write at least one rule; without one there is no effect"),
        (
            !PRIORITIES.contains(&spec.priority),
            "priority",
            "it is not from -1000 to 1000; the nearer of both counts",
        ),
    ];
    tell(cx, object, "spec", rows);
    for (index, target) in spec.targets.iter().enumerate() {
        if spec.targets[..index].contains(target) {
            let message = "this target is there twice; remove one of them".to_owned();
            cx.warning(object, format!("spec.targets[{index}]"), "DuplicateTarget", message);
        }
    }
    for (index, given) in spec.rules.iter().enumerate() {
        let field = format!("spec.rules[{index}]");
        if given.name.is_some() && name(rule, index) != given.name {
            let message = "another rule has this name, or could be named so by its number; choose another \
                           one; the rule goes by its number";
            cx.error(object, format!("{field}.name"), "DuplicateName", message.to_owned());
        }
        tell(cx, object, &field, forms(given));
        given.rewrite.iter().for_each(|rewrite| tell(cx, object, &field, of_rewrite(rewrite)));
        given.fault.iter().for_each(|fault| tell(cx, object, &field, of_fault(fault)));
        let abort = given.fault.as_ref().and_then(|fault| fault.abort.as_ref());
        abort.iter().for_each(|abort| tell(cx, object, &field, of_abort(abort)));
        given.redirect.iter().for_each(|redirect| tell(cx, object, &field, of_redirect(redirect)));
        given.respond.iter().for_each(|respond| tell(cx, object, &field, of_respond(respond)));
        given.timeouts.iter().for_each(|timeouts| tell(cx, object, &field, of_timeouts(timeouts)));
        if given.mirror.iter().any(|mirror| mirror.percent > 100) {
            let message = "a percent is at most 100; more means all".to_owned();
            cx.error(object, format!("{field}.mirror"), "InvalidRule", message);
        }
    }
}

/// The name of a rule that is its alone: one that an earlier rule has, or that could be the number of another one,
/// does not count.
pub(super) fn name(rule: &RouteRule, index: usize) -> Option<String> {
    let rules = &rule.spec.rules;
    let name = rules.get(index)?.name.as_ref()?;
    let earlier: BTreeSet<_> = rules[..index].iter().filter_map(|rule| rule.name.as_deref()).collect();
    let is_number = name.parse::<usize>().is_ok_and(|number| number != index);
    (!earlier.contains(name.as_str()) && !is_number).then(|| name.clone())
}

/// The priority of a RouteRule, within what priorities may be.
pub(super) fn priority(rule: &RouteRule) -> i32 {
    rule.spec.priority.clamp(*PRIORITIES.start(), *PRIORITIES.end())
}

/// The status of an answer, within what statuses may be.
pub(super) fn status(given: u16, otherwise: u16) -> u16 {
    if STATUSES.contains(&given) { given } else { otherwise }
}

/// The status of a redirect, if it is one.
pub(super) fn redirect_status(given: u16) -> u16 {
    if REDIRECTS.contains(&given) { given } else { 302 }
}

/// The status of gRPC, if it is one for failures.
pub(super) fn grpc_status(given: u8) -> u8 {
    if GRPC_STATUSES.contains(&given) { given } else { 14 }
}

/// Whether answers with this status have a body.
pub(super) fn has_body(status: u16) -> bool {
    !WITHOUT_BODY.contains(&status)
}

fn tell(cx: &mut Context<'_, '_>, object: &ObjectRef, field: &str, rows: impl IntoIterator<Item = Row>) {
    for (_, part, message) in rows.into_iter().filter(|(is_wrong, ..)| *is_wrong) {
        let field = if part.is_empty() { field.to_owned() } else { format!("{field}.{part}") };
        cx.error(object, field, "InvalidRule", message.to_owned());
    }
}

fn forms(given: &RequestRule) -> [Row; 2] {
    let RequestRule { backends, redirect, respond, mirror, retry, rewrite, .. } = given;
    let forms = [!backends.is_empty(), redirect.is_some(), respond.is_some()];
    let answers = redirect.is_some() || respond.is_some();
    let sends = !mirror.is_empty() || retry.is_some() || rewrite.is_some();
    [
        (
            forms.into_iter().filter(|given| *given).count() > 1,
            "",
            "a rule has at most one of backends, redirect and respond; of several redirect counts, then respond",
        ),
        (
            answers && sends,
            "",
            "redirect and respond send nothing to a backend; remove mirror, retry and rewrite, which have no effect",
        ),
    ]
}

fn of_rewrite(given: &Rewrite) -> [Row; 1] {
    let Rewrite { prefix, path, host } = given;
    let is_empty = prefix.is_none() && path.is_none() && host.is_none();
    [(is_empty, "rewrite", "say what is rewritten: prefix, path or host; it has no effect")]
}

fn of_fault(given: &Fault) -> [Row; 2] {
    let Fault { abort, delay } = given;
    let is_empty = abort.is_none() && delay.is_none();
    let percent = delay.as_ref().is_some_and(|delay| delay.percent > 100);
    [
        (is_empty, "fault", "say which fault: abort, delay or both; it has no effect"),
        (percent, "fault.delay.percent", "a percent is at most 100; more means all"),
    ]
}

fn of_abort(given: &Abort) -> [Row; 5] {
    let Abort { percent, status, grpc_status } = given;
    let is_empty = status.is_none() && grpc_status.is_none();
    [
        (*percent > 100, "fault.abort.percent", "a percent is at most 100; more means all"),
        (is_empty, "fault.abort", "give exactly one of status and grpcStatus; status 503 counts"),
        (
            status.is_some() && grpc_status.is_some(),
            "fault.abort",
            "give exactly one of status and grpcStatus; grpcStatus counts",
        ),
        (
            status.is_some_and(|status| !STATUSES.contains(&status)),
            "fault.abort.status",
            "a status is from 200 to 599; 503 is answered",
        ),
        (
            grpc_status.is_some_and(|status| !GRPC_STATUSES.contains(&status)),
            "fault.abort.grpcStatus",
            "a status of gRPC is from 1 to 16; 14 is answered",
        ),
    ]
}

fn of_redirect(given: &Redirect) -> [Row; 3] {
    let Redirect { scheme, host, port, path, prefix, status } = given;
    let is_empty = scheme.is_none() && host.is_none() && port.is_none() && path.is_none() && prefix.is_none();
    [
        (
            is_empty,
            "redirect",
            "say what the redirect changes: scheme, host, port, path or prefix; requests get 503",
        ),
        (*port == Some(0), "redirect.port", "a port is from 1 to 65535; it stays as it is"),
        (
            !REDIRECTS.contains(status),
            "redirect.status",
            "a redirect has status 301, 302, 303, 307 or 308; 302 is answered",
        ),
    ]
}

fn of_respond(given: &Respond) -> [Row; 2] {
    [
        (!STATUSES.contains(&given.status), "respond.status", "a status is from 200 to 599; 500 is answered"),
        (
            !has_body(given.status) && !given.body.is_empty(),
            "respond.body",
            "a response with status 204, 205 or 304 has no body; remove it; it is left out",
        ),
    ]
}

fn of_timeouts(given: &RuleTimeouts) -> [Row; 1] {
    let is_wrong = backend_outlasts(given.request, given.backend);
    [(is_wrong, "timeouts.backend", TIMEOUTS)]
}

/// Whether the time of one try is longer than that of all; 0s is no limit.
pub(super) fn backend_outlasts(
    request: Option<selvedge_crds::Duration>,
    backend: Option<selvedge_crds::Duration>,
) -> bool {
    let (Some(request), Some(backend)) = (request, backend) else { return false };
    !request.get().is_zero() && backend > request
}
