//! Laid out by the first commits.
