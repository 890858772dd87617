//! The list of all codes. A code is a promise: tools match on it, so it keeps its meaning.

/// Every code that a diagnostic can carry, with its meaning in a line; sorted by code.
pub const CODES: &[(&str, &str)] = &[
    ("bad-address", "not an IP address with a port"),
    (
        "bad-condition",
        "a condition does not parse, or compares what cannot be compared",
    ),
    (
        "bad-duration",
        "not a duration such as `500ms`, `2s`, `5m`, `1h` or `1m30s`",
    ),
    (
        "bad-field-path",
        "not a path to a field of an event, such as `.data.id`",
    ),
    ("bad-glob", "not a usable pattern of file names"),
    (
        "bad-key",
        "not an encryption key: 32 bytes in base64, or 64 hexadecimal digits",
    ),
    (
        "bad-name",
        "a component's name has letters that names do not have, or is too long",
    ),
    ("bad-path", "not a usable path of a file or folder"),
    (
        "bad-pattern",
        "a regular expression does not parse or is too large",
    ),
    (
        "bad-plugin",
        "a file is no plugin that this program can run, or imports what a plugin may not have",
    ),
    (
        "bad-plugin-config",
        "a plugin does not take what stands in its `config`",
    ),
    (
        "bad-schema",
        "a JSON schema does not parse or is not a schema",
    ),
    ("bad-share", "not a share such as `5%` or `0.05`"),
    (
        "bad-size",
        "not a size such as `64KiB`, `10MB` or a number of bytes",
    ),
    ("bad-template", "a template of text does not parse"),
    ("bad-url", "not a URL of the kind that the field takes"),
    (
        "bad-variable",
        "a `${...}` is not a reference to a variable or a file",
    ),
    (
        "buffer-needs-path",
        "a buffer on disk has no folder to lie in",
    ),
    ("conflicting-fields", "two fields exclude each other"),
    ("conflicting-limits", "two limits contradict each other"),
    ("cycle", "components feed each other in a circle"),
    ("duplicate-field", "a mapping has the same field twice"),
    ("duplicate-input", "a component reads the same output twice"),
    ("duplicate-name", "two components share one name"),
    (
        "duplicate-path",
        "two components keep what is theirs in one folder",
    ),
    ("empty-value", "a value that must not be empty is"),
    (
        "mask-disabled",
        "a mask is switched off, for some events or for all",
    ),
    ("missing-field", "a field that has no default is not there"),
    (
        "missing-file",
        "a file that the pipeline names is not there or cannot be read",
    ),
    (
        "missing-variable",
        "a variable is not set and has no default",
    ),
    (
        "mixed-partitions",
        "a transform without a buffer reads events that are partitioned together with others",
    ),
    (
        "no-dead-letter",
        "what is refused has nowhere to go (a warning)",
    ),
    (
        "not-built-in",
        "this program was built without what the component needs",
    ),
    (
        "not-durable",
        "a source that cannot deliver again has no buffer on disk behind it (a warning)",
    ),
    (
        "open-api",
        "a sink takes orders over HTTP from everybody (a warning)",
    ),
    ("out-of-range", "a number is outside what the field takes"),
    (
        "plain-secret",
        "a secret is written into the file (a warning)",
    ),
    (
        "syntax",
        "the file is not YAML of the kind a pipeline is written in",
    ),
    (
        "too-complex",
        "the file nests, repeats or expands beyond the limits",
    ),
    ("too-large", "the file is larger than a pipeline may be"),
    ("too-many", "more problems were found than are shown"),
    ("unknown-component", "no component has this type"),
    ("unknown-field", "the component does not have this field"),
    (
        "unknown-input",
        "an input names no source or transform of the pipeline",
    ),
    (
        "unknown-node",
        "a test names a component that the pipeline does not have",
    ),
    ("unknown-output", "the component has no such output"),
    ("unknown-value", "the field does not have this choice"),
    (
        "unmasked-at-rest",
        "a buffer keeps events on disk that were not masked, and they are not encrypted",
    ),
    (
        "unread-output",
        "nothing reads one of the outputs of a component (a warning)",
    ),
    ("unreadable-file", "the pipeline file itself cannot be read"),
    (
        "unsupported-dialect",
        "a warehouse dialect that this program does not write yet",
    ),
    (
        "unsupported-version",
        "the file is of a version this program does not know",
    ),
    (
        "unused-component",
        "nothing reads what a component puts out",
    ),
    ("vrl", "a program in VRL does not compile"),
    (
        "vrl-warning",
        "a program in VRL compiles, and a part of it does nothing (a warning)",
    ),
    (
        "wrong-type",
        "a value is of another kind than the field takes",
    ),
];

/// Whether `code` is one of [`CODES`].
pub(super) fn is_listed(code: &str) -> bool {
    CODES.iter().any(|(listed, _)| *listed == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_kebab_case_sorted_and_explained() {
        for (code, meaning) in CODES {
            assert!(
                code.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
                "{code}"
            );
            assert!(meaning.len() > 10, "{code}");
        }
        assert!(CODES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
