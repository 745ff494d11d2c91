//! Checks of a query before it is parsed: its size, and matching brackets and quotes. For those the parser would only report
//! an invalid query. The parser's trees are recursive, so their depth is limited here.

/// Most bytes of a query.
const BYTES_MAX: usize = 8192;
/// Most operators and opening brackets, which limits the depth of the tree.
const NODES_MAX: usize = 500;

/// Checks the outline of a query. The error completes a sentence that begins with "query".
pub(super) fn check(query: &str) -> Result<(), String> {
    if query.trim().is_empty() {
        return Err("is empty; it must be PromQL".into());
    }
    if query.len() > BYTES_MAX {
        return Err(format!("is {} bytes long; it must be at most {BYTES_MAX}", query.len()));
    }
    let mut open: Vec<(usize, char)> = Vec::new();
    let mut nodes = 0;
    let mut word = String::new();
    let mut chars = query.chars().zip(1..).peekable();
    while let Some((c, at)) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c.to_ascii_lowercase());
            continue;
        }
        nodes += usize::from(matches!(word.as_str(), "or" | "and" | "unless" | "atan2"));
        word.clear();
        match c {
            '#' => while chars.next_if(|(c, _)| *c != '\n').is_some() {},
            '"' | '\'' | '`' => skip_quoted(&mut chars, c, at)?,
            '(' | '[' | '{' => {
                nodes += 1;
                open.push((at, c));
            }
            ')' | ']' | '}' => close(&mut open, c, at)?,
            '+' | '-' | '*' | '/' | '%' | '^' | '<' | '>' | '=' | '!' => nodes += 1,
            _ => {}
        }
    }
    if let Some((at, c)) = open.pop() {
        return Err(format!("has a \"{c}\" at character {at} that is never closed"));
    }
    if nodes > NODES_MAX {
        return Err(format!("has more than {NODES_MAX} operators and brackets, which is the limit"));
    }
    Ok(())
}

fn skip_quoted(
    chars: &mut impl Iterator<Item = (char, usize)>,
    quote: char,
    at: usize,
) -> Result<(), String> {
    while let Some((c, _)) = chars.next() {
        if c == quote {
            return Ok(());
        }
        if c == '\\' && quote != '`' {
            chars.next();
        }
    }
    Err(format!("has a {quote} at character {at} that is never closed"))
}

fn close(open: &mut Vec<(usize, char)>, c: char, at: usize) -> Result<(), String> {
    let opening = match c {
        ')' => '(',
        ']' => '[',
        _ => '{',
    };
    match open.pop() {
        Some((_, found)) if found == opening => Ok(()),
        Some((before, found)) => Err(format!(
            "has a \"{found}\" at character {before} that is closed by \"{c}\" at character {at}"
        )),
        None => Err(format!("has a \"{c}\" at character {at} that closes nothing")),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn quotes_and_comments_hide_brackets() {
        for query in [r#"x{a="(\"["}"#, "x{a=`\\`}", "x # (\n", "x{a='}'}"] {
            assert_eq!(check(query), Ok(()), "{query}");
        }
    }

    #[test]
    fn mismatched_brackets_are_reported_with_their_positions() {
        let error = check("sum(x[5m)]").unwrap_err();
        assert_eq!(error, "has a \"[\" at character 6 that is closed by \")\" at character 9");
    }
}
