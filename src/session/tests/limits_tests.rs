//! Tests of what a client may cost.
