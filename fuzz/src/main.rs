//! One target under libFuzzer: which, `SWARM_FUZZ` says; the rest is libFuzzer's own command line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

fuzz_target!(|bytes: &[u8]| {
    static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();
    let run = TARGET.get_or_init(|| {
        let name = std::env::var("SWARM_FUZZ").unwrap_or_default();
        swarm_fuzz::target(&name).expect("SWARM_FUZZ names a target")
    });
    run(bytes);
});
