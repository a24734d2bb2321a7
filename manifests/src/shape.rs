//! The shape of each file: which keys, which types; from it come the reader's checks and the JSON Schema. Pure.
