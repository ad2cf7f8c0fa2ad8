//! Types of the custom resources of group `selvedge.dev`, and the definitions that are made of them.

#![allow(clippy::duplicated_attributes, reason = "columns of a kind have types and paths alike")]

pub mod action;
pub mod balance;
pub mod compression;
pub mod connection;
pub mod definition;
pub mod duration;
pub mod edge_parameters;
pub mod health;
mod limits;
pub mod load;
pub mod reference;
pub mod request_match;
pub mod retry;
pub mod route_grant;
pub mod route_rule;
pub mod status;
pub mod traffic_policy;

pub use definition::all;
pub use duration::Duration;
pub use edge_parameters::{EdgeParameters, EdgeParametersSpec};
pub use route_grant::{RouteGrant, RouteGrantSpec};
pub use route_rule::{RouteRule, RouteRuleSpec};
pub use status::{ControllerStatus, Status};
pub use traffic_policy::{TrafficPolicy, TrafficPolicySpec};
