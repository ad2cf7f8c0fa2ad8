//! The router tier: east-west traffic through the engine of the edge. Not built yet.
