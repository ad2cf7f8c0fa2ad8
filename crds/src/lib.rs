//! Types of the custom resources of group `selvedge.dev`. None is defined yet.
