//! For any file and any input, `plimsoll decide` answers each line or reports an error in one sentence.
//!
//! The first NUL separates the spec from the lines. An input without a NUL is used as a spec, and as lines for a fixed service.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use plimsoll::{cli::decide::{run, service}};
use plimsoll_api::Validated;

static SERVICE: LazyLock<Option<Validated>> =
    LazyLock::new(|| service(include_bytes!("../../examples/http-service.yaml")).ok());

fuzz_target!(|input: &[u8]| {
    let cut = input.iter().position(|byte| *byte == 0);
    let (spec, lines) = cut.map_or((input, input), |cut| (&input[..cut], &input[cut + 1..]));
    match service(spec) {
        Ok(spec) => answer(&spec, lines),
        Err(invalid) => is_short(&invalid.to_string()),
    }
    if let (None, Some(service)) = (cut, SERVICE.as_ref()) {
        answer(service, lines);
    }
});

fn answer(spec: &Validated, lines: &[u8]) {
    let mut output = Vec::new();
    run(spec, lines, &mut output).expect("memory can be written to");
    let blank = |line: &&[u8]| line.iter().all(u8::is_ascii_whitespace);
    let asked = lines.split(|byte| *byte == b'\n').filter(|line| !blank(line)).count();
    assert_eq!(output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count(), asked);
}

fn is_short(sentence: &str) {
    assert!(!sentence.is_empty() && sentence.len() <= 1000 && !sentence.contains('\n'), "{sentence}");
}
