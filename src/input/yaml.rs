//! Parses YAML text into trees, one for each document. Where YAML 1.1 and 1.2 differ in numbers, it follows kubectl.

use serde_saphyr::{
    DuplicateKeyPolicy, Error, ExternalMessageSource, NonFiniteFloatPolicy, Options,
    granit_parser::ErrorKind as Syntax,
};

use super::tree::Node;

/// Events that aliases may replay. No Kubernetes object needs more, and an alias bomb is refused early.
const COPIES_MAX: usize = 10_000;

fn options() -> Options {
    serde_saphyr::options! {
        // The tree keeps both keys, so that the sentence has the path.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        // JSON has no infinite numbers. As text the value reaches its field, whose sentence names the allowed values.
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        // `off` and `n` are text, so that a sentence can quote them.
        strict_booleans: true,
        // 010 is 8 for kubectl.
        legacy_octal_numbers: true,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: COPIES_MAX },
        with_snippet: false,
    }
}

/// The documents of a text, without empty ones.
///
/// # Errors
/// One sentence with the line: why the text is not YAML.
pub fn documents(text: &str) -> Result<Vec<Node>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_saphyr::from_multiple_with_options(text, options()).map_err(|error| sentence(&error))
}

/// The only document of a text, without duplicate keys; an empty object if the text is empty.
///
/// # Errors
/// One sentence: why the text is not YAML, the duplicate key, or the number of documents if there are several.
pub fn document(text: &str) -> Result<Node, String> {
    let mut documents = documents(text)?;
    let document = match (documents.len(), documents.pop()) {
        (0 | 1, document) => document.unwrap_or_else(|| Node::Map(Vec::new())),
        (several, _) => return Err(format!("the file has {several} documents; it must have one")),
    };
    match document.duplicate_key() {
        Some(path) => Err(format!("{path} is set twice; it must be set once")),
        None => Ok(document),
    }
}

/// Reads bytes as UTF-8 text.
///
/// # Errors
/// One sentence with the line of the first invalid byte.
pub fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        format!("line {line} has the byte 0x{byte:02x}; the text must be UTF-8")
    })
}

fn sentence(error: &Error) -> String {
    let (at, what) = (error.location(), problem(error));
    match at.filter(|at| at.line() > 0) {
        Some(at) => format!("line {}, column {}: {what}", at.line(), at.column()),
        None => what,
    }
}

fn problem(error: &Error) -> String {
    match error {
        Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => problem(error),
        Error::ExternalMessage { source, .. } => match source.as_ref() {
            ExternalMessageSource::Parser(error) => format!("this is not YAML: {}", syntax(error.kind())),
            _ => "this is not YAML".to_owned(),
        },
        // The tree's own sentences.
        Error::Message { msg, .. } => msg.clone(),
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => too_large(),
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "an anchor contains an alias of itself; it must not be recursive".to_owned()
        }
        Error::UnknownAnchor { .. } => {
            "there is no anchor of this name; it must come before its alias".to_owned()
        }
        Error::MergeValueNotMapOrSeqOfMaps { .. } => {
            "the value of << is not an object; it must be an alias of an object, or a list of them".to_owned()
        }
        Error::Eof { .. } => "this is not YAML: the text ends too early".to_owned(),
        _ => "the value does not fit its tag; it must fit, or have no tag".to_owned(),
    }
}

fn too_large() -> String {
    "the text is nested too deeply or has too many values; it must be an object that Kubernetes can store"
        .to_owned()
}

/// The syntax error, in a sentence that needs no knowledge of YAML's grammar.
fn syntax(kind: &Syntax) -> String {
    let words = match kind {
        Syntax::UnclosedQuotedScalar => "a quote is not closed",
        Syntax::UnclosedFlowCollection { open: '[' }
        | Syntax::UnexpectedEofFlowSequence
        | Syntax::ExpectedFlowSequenceSeparator => "a comma or ] is missing",
        Syntax::UnclosedFlowCollection { .. }
        | Syntax::UnexpectedEofFlowMapping
        | Syntax::UnexpectedEofImplicitFlowMapping
        | Syntax::ExpectedFlowMappingSeparator => "a comma or } is missing",
        Syntax::MismatchedFlowCollectionEnd { open, close } => {
            return format!("{open} is closed by {close}");
        }
        Syntax::MisplacedFlowCollectionEnd => "] or } has no opening bracket",
        Syntax::UnexpectedEof | Syntax::UnexpectedEofBlockMapping | Syntax::UnexpectedEofBlockSequence => {
            "the text ends too early"
        }
        Syntax::TabNotAllowed
        | Syntax::TabInBlockIndentation
        | Syntax::TabInIndentation
        | Syntax::TabAtBlockScalarStart
        | Syntax::TabInPlainScalar => "there is a tab; indent with spaces",
        Syntax::SimpleKeyExpected
        | Syntax::InvalidSimpleKey
        | Syntax::ExpectedBlockMappingKey
        | Syntax::MappingKeyNotAllowed
        | Syntax::MappingValueNotAllowed
        | Syntax::InvalidColonPlacement => {
            "a key, followed by a colon and a space, is expected here, indented like the other keys"
        }
        Syntax::InvalidIndentation
        | Syntax::ExpectedBlockSequenceEntry
        | Syntax::BlockSequenceEntryNotAllowed
        | Syntax::InvalidQuotedScalarIndent
        | Syntax::InvalidFlowScalarIndent
        | Syntax::InvalidBlockScalarIndent => "the indentation differs from the adjacent lines",
        Syntax::InvalidTrailingSingleQuotedScalar | Syntax::InvalidTrailingDoubleQuotedScalar => {
            "there is text after the closing quote"
        }
        Syntax::UnknownQuotedScalarEscape
        | Syntax::InvalidQuotedScalarHexEscape
        | Syntax::InvalidUnicodeEscape
        | Syntax::InvalidLowSurrogate
        | Syntax::InvalidLowSurrogateHexEscape
        | Syntax::MissingLowSurrogate
        | Syntax::UnpairedLowSurrogate => "the escape is invalid; write \\\\ for a backslash",
        Syntax::UnexpectedCharacter { character } => return format!("{character:?} is not allowed here"),
        Syntax::RecursionLimitExceeded => "lists or objects are nested too deeply",
        Syntax::UnknownAnchor => "there is no anchor of this name before its alias",
        Syntax::InvalidDocumentEnd => "there is text after the end of the document",
        Syntax::BomInsideDocument => "there is a byte order mark within the text",
        Syntax::ExpectedDocumentStart
        | Syntax::MissingDocumentEndBeforeDirective
        | Syntax::UnsupportedYamlMajorVersion
        | Syntax::DuplicateVersionDirective => {
            "a directive (%) must come once, before the --- of its document"
        }
        _ => "the text can't be understood here",
    };
    words.to_owned()
}
