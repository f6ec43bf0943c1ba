//! The whole loop on real directories, with outlets that keep what they were shown.
