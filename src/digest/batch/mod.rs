//! The digests of bodies under way, frame by frame, those of many bodies at once.
//!
//! Guarantees: frames of a body are hashed in the order they were given; one is under way at a
//! time, kept until it is hashed and no longer. Digests are those of the body alone, whoever came
//! along with it. One body's rounds hang on each other and leave most of a core idle; those of
//! several bodies do not (`digest/multibuffer`). It starts no threads: it is the runtime's turns
//! that bring frames together.

mod body;
#[cfg(test)]
mod tests;
mod waiting;

pub use body::BodyHasher;
