//! HAProxy 2.6 or newer, driven through its runtime API on a unix socket; reloaded only when its structure changes.
