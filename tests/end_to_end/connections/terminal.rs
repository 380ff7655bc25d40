//! What is asked for in a terminal.
