//! Ten tasks of one repository at once. A program of its own: the whole engine is listed before and after, so nothing
//! else may happen there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod ten;
