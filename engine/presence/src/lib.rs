//! (room label)
