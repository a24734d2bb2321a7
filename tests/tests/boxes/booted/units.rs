//! Under systemd.
