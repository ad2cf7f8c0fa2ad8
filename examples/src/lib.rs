//! Programs that show Selvedge without a cluster: the quickstart and the shop.

pub mod demo;
pub mod services;
pub mod shop;
pub mod smoke;
pub mod tries;
