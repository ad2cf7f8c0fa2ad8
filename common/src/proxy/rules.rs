//! Rules: where a route leaves the decision to the rules of another host, such as those of its Service.

use super::exchange::Exchange;

/// Looks for the route that decides instead of the one that was found, if that one leads further; it is looked for
/// once only. Says whether there is another route now, whose filters are to be asked.
pub fn lead_on(x: &mut Exchange<'_>) -> bool {
    let Some(rules) = x.route.as_ref().and_then(|route| route.route.rules.as_ref()) else { return false };
    if x.outer.is_some() {
        return false;
    }
    let live = x.worker().live();
    let host = live.table(&rules.set).and_then(|table| table.entry(&rules.host));
    let Some(found) = host.and_then(|host| host.find(x.head.path(), &x.asked())).cloned() else {
        return false;
    };
    x.lead_on(found);
    true
}
