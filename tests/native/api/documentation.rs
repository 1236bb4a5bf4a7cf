//! The documentation says what the code does.

use stillstore::api::Code;

const API: &str = include_str!("../../../docs/API.md");
const README: &str = include_str!("../../../README.md");
const CONFIG: &str = include_str!("../../../src/config.rs");

#[test]
fn every_code_is_documented_and_nothing_else() {
    let expected: Vec<String> = Code::ALL
        .iter()
        .map(|code| format!("| `{}` | {} | {} | {} |", code.as_str(), code.status(), code.title(), code.remedy()))
        .collect();
    let documented: Vec<&str> = API
        .lines()
        .skip_while(|line| !line.starts_with("| Code |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(documented, expected);
}

#[test]
fn codes_are_errors_and_kebab_case_and_unique() {
    for code in Code::ALL {
        assert!((400..600).contains(&code.status()), "{code:?}");
        assert!(code.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{code:?}");
        assert_eq!(Code::ALL.iter().filter(|other| other.as_str() == code.as_str()).count(), 1, "{code:?}");
    }
}

#[test]
fn every_variable_is_in_the_readme() {
    let variables: Vec<&str> = CONFIG
        .split('"')
        .filter(|text| {
            text.len() > 3 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_' || byte == b'2')
        })
        .filter(|text| text.contains('_'))
        .collect();
    assert!(variables.len() > 12);
    for variable in variables {
        assert!(README.contains(&format!("| `{variable}` |")), "{variable} is not in the README's table");
    }
}
