//! Names of figures and header fields that more than one room uses.
