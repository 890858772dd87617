//! The Genesys Cloud platform on loopback, so that everything runs with no account and no network.
