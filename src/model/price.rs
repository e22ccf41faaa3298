//! What tokens cost: integer micro-USD, from a table of public prices with a version.
