use proptest::prelude::*;

use super::*;

/// Names with all that could end a quoted name, or be something else than it seems.
fn names() -> impl Strategy<Value = String> {
    let hostile = prop::sample::select(vec![
        "\"",
        "'",
        "`",
        "[",
        "]",
        "\\",
        "\\\"",
        "\\`",
        "]]",
        "\"\"",
        "\0",
        "\n",
        "\r",
        "\u{85}",
        "--",
        "/*",
        ";",
        ".",
        " ",
        "$",
        "$do$",
        "${x}",
        "?",
        "@",
        "%s",
        "\u{1f600}",
        "\u{df}",
        "i\u{307}",
        "\u{202e}",
        "N'",
        "U&\"",
        "x",
        "select",
    ]);
    let any = prop_oneof![
        hostile.prop_map(str::to_owned),
        any::<char>().prop_map(String::from)
    ];
    let short = prop::collection::vec(any.clone(), 0..12);
    // About as long as the longest names.
    let long = (any, 20_usize..1030).prop_map(|(text, times)| vec![text; times]);
    prop_oneof![4 => short, 1 => long].prop_map(|parts| parts.concat())
}

/// Reads one quoted identifier or text as a dialect does: what it says, if nothing comes behind it.
fn read(quoted: &str, open: char, close: char, escapes: bool) -> Option<String> {
    let mut letters = quoted.strip_prefix(open)?.chars().peekable();
    let mut name = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            // Google's lexical structure: no line ends within a name, and a few escapes.
            '\n' | '\r' if escapes => return None,
            '\\' if escapes => name.push(match letters.next()? {
                'n' => '\n',
                'r' => '\r',
                same @ ('\\' | '`' | '\'' | '"') => same,
                _ => return None,
            }),
            letter if letter == close && !escapes && letters.peek() == Some(&close) => {
                letters.next();
                name.push(close);
            }
            letter if letter == close => return letters.next().is_none().then_some(name),
            letter => name.push(letter),
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// A name is refused, or it is one identifier that says it.
    #[test]
    fn no_name_leaves_its_quotes(name in names()) {
        for (known, dialect) in Dialect::ALL {
            let quoted = dialect.words().quote(&name);
            let (due, said) = match dialect {
                Dialect::BigQuery => (name.clone(), read(&quoted, '`', '`', true)),
                Dialect::Synapse => (name.clone(), read(&quoted, '[', ']', false)),
                // Reports write names without quotes, which are capitals there.
                Dialect::Snowflake => (name.to_uppercase(), read(&quoted, '"', '"', false)),
                _ => (name.clone(), read(&quoted, '"', '"', false)),
            };
            let taken = dialect.takes(&name);
            prop_assert_eq!(said.as_ref(), Some(&due), "{}: {}", known, quoted);
            let units = due.encode_utf16().count();
            match dialect {
                Dialect::Postgres => prop_assert_eq!(name.len() > 63 && taken.is_ok(), false),
                Dialect::Synapse => prop_assert_eq!(units > 128 && taken.is_ok(), false),
                _ => {}
            }
            prop_assert!(taken.is_err() || !name.contains(['\0', '\n']), "{}", known);
            let said = read(&literal(&name), '\'', '\'', false);
            prop_assert_eq!(said.as_ref(), Some(&name));
        }
    }

    /// SQLite itself reads the name back.
    #[test]
    fn sqlite_reads_the_name_back(name in names()) {
        // Names that begin so are SQLite's own.
        if Dialect::Sqlite.takes(&name).is_err() || name.to_lowercase().starts_with("sqlite_") {
            return Ok(());
        }
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let quoted = Sqlite.quote(&name);
        connection.execute(&format!("CREATE TABLE {quoted} ({quoted} INTEGER)"), []).unwrap();
        let query = "SELECT t.name, c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c";
        let said: Vec<(String, String)> = connection
            .prepare(query)
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        prop_assert_eq!(said, vec![(name.clone(), name)]);
    }
}

#[test]
fn names_that_a_database_would_cut_off_are_refused() {
    for (dialect, longest) in [
        (Dialect::Postgres, 63),
        (Dialect::Redshift, 127),
        (Dialect::Synapse, 128),
        (Dialect::Snowflake, 255),
        (Dialect::BigQuery, 1024),
    ] {
        assert!(dialect.takes(&"n".repeat(longest)).is_ok(), "{dialect:?}");
        let error = dialect.takes(&"n".repeat(longest + 1)).unwrap_err();
        assert!(error.contains(&longest.to_string()), "{error}");
    }
    // In their own units.
    assert!(Dialect::Postgres.takes(&"\u{e9}".repeat(32)).is_err());
    assert!(Dialect::Synapse.takes(&"\u{1f600}".repeat(65)).is_err());
    assert!(
        Dialect::Snowflake.takes(&"\u{df}".repeat(128)).is_err(),
        "capitals are longer"
    );
    assert!(Dialect::BigQuery.takes("a-b").is_err());
    let member = "serviceAccount:loader@p.iam.gserviceaccount.com";
    assert!(Dialect::BigQuery.takes_role(member).is_ok());
    assert!(Dialect::BigQuery.takes_role("group:a\nb").is_err());
    assert!(Dialect::Sqlite.takes("").is_err());
}
