//! Names: backends whose endpoints come from DNS are resolved again and again.
