//! What the simulation found, shrunk.
