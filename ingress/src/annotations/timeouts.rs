//! Annotation group: how long requests may take.

use std::time::Duration;

use super::{
    Effect,
    form::Time,
    given::Given,
    key::{key, own},
};
use crate::translate::RouteDraft;

super::group! {
    /// Timeouts
    Timeouts {
        /// Longest wait for the backend's response head once the request is sent, all tries together.
        request: Duration = own("request-timeout").default("`60s`").example("`30s`");
        /// Longest silence of the backend within its response body.
        backend_idle: Duration = own("backend-idle-timeout").default("`60s`").example("`5m`");
        /// Longest time to open a connection to an endpoint.
        connect: Time = key("proxy-connect-timeout").default("`5`").example("`10`").limits("Longer than 0.");
        /// Longest wait for the head of one try's answer, and longest silence within its body.
        read: Time = key("proxy-read-timeout").default("`60`").example("`300`").limits("Longer than 0.");
        /// Longest time in which the endpoint takes nothing of the request.
        send: Time = key("proxy-send-timeout").default("`60`").example("`300`")
            .approximated("the time that flags give each write holds, which is 60s by default and begins anew with each piece that is taken");
    }
}

impl Timeouts {
    fn of(time: Option<Time>) -> Option<Duration> {
        time.map(|time| time.0).filter(|time| !time.is_zero())
    }
}

impl Effect for Timeouts {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        let read = Self::of(self.read);
        route.request_timeout = self.request;
        route.try_timeout = read;
        route.backend_idle_timeout = self.backend_idle.or(read);
        route.upstream.connect_timeout = Self::of(self.connect);
    }

    fn judge(&self, given: &mut Given<'_>) {
        for (key, time) in [("proxy-connect-timeout", self.connect), ("proxy-read-timeout", self.read)] {
            if time.is_some_and(|time| time.0.is_zero()) {
                given.tell(
                    key,
                    "InvalidAnnotation",
                    "a time of 0 would fail every request; it has no effect".into(),
                );
            }
        }
    }
}
