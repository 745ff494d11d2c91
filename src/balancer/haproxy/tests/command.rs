//! No value can inject a command, and every answer is understood.

use proptest::prelude::*;

use super::super::{
    command::{AdminState, Answer, Command, FileWord, ServerName, Word},
    keywords::Keywords,
};
use crate::balancer::Pem;

fn name() -> ServerName {
    ServerName {
        backend: Word::new("checkout").unwrap(),
        server: Word::new("checkout-7d9c6b-x2x4z").unwrap(),
    }
}

#[test]
fn commands_follow_the_manual() {
    let keywords = Keywords::of(
        &super::wanted(&serde_json::json!({
            "healthCheck": {"path": "/healthz", "passive": {"consecutiveErrors": 5}}, "slowStart": "10s",
        }))
        .traffic,
    );
    let commands = [
        Command::AddServer {
            name: name(),
            address: "[2001:db8::1]:8080".parse().unwrap(),
            keywords: keywords.with_maxconn(Some(32)),
        },
        Command::EnableHealth(name()),
        Command::SetState(name(), AdminState::Drain),
        Command::SetAddress(name(), "10.0.0.1:8080".parse().unwrap()),
        Command::SetMaxconn(name(), 0),
        Command::SetCookieKey {
            backend: Word::new("checkout").unwrap(),
            key: Word::new("shop:checkout").unwrap(),
        },
        Command::DeleteServer(name()),
        Command::ToWorker(42, Box::new(Command::ShowStat)),
    ];
    insta::assert_snapshot!(commands.map(|command| command.to_string()).join("\n"), @r"
    add server checkout/checkout-7d9c6b-x2x4z 2001:db8::1:8080 check inter 2000ms rise 2 fall 3 observe layer7 error-limit 5 on-error mark-down slowstart 10000ms pool-purge-delay 1s maxconn 32
    enable health checkout/checkout-7d9c6b-x2x4z
    set server checkout/checkout-7d9c6b-x2x4z state drain
    set server checkout/checkout-7d9c6b-x2x4z addr 10.0.0.1 port 8080
    set maxconn server checkout/checkout-7d9c6b-x2x4z 0
    set dynamic-cookie-key backend checkout shop:checkout
    del server checkout/checkout-7d9c6b-x2x4z
    @!42 show stat -1 6 -1
    ");
}

#[test]
fn answers_are_classified() {
    let refused = |words: &str| Answer::Refused(words.to_owned());
    let state = Command::SetState(name(), AdminState::Ready);
    let file = FileWord::new("/run/plimsoll/shop.pem").unwrap();
    for (command, text, expected) in [
        (Command::DeleteServer(name()), "Server deleted.", Answer::Done),
        (Command::DeleteServer(name()), "No such server.", Answer::Done),
        (
            Command::DeleteServer(name()),
            "Server still has connections attached to it, cannot remove it.",
            Answer::Busy,
        ),
        (
            Command::DeleteServer(name()),
            "Only servers in maintenance mode can be deleted.",
            refused("Only servers in maintenance mode can be deleted."),
        ),
        (state.clone(), "", Answer::Done),
        (state, "No such server.", refused("No such server.")),
        (
            Command::CommitCertificate(file.clone()),
            "Committing /run/plimsoll/shop.pem.\nSuccess!",
            Answer::Done,
        ),
        (Command::CommitCertificate(file), "Committing…\nCan't", refused("Committing…")),
        (Command::Reload, "", Answer::Done),
        (Command::Reload, "Success=0\n--\n[ALERT] no", refused("Success=0")),
    ] {
        assert_eq!(command.answered(text), expected, "{command}: {text}");
    }
}

#[test]
fn a_pem_is_blocks_without_blank_lines() {
    let crt = "subject=shop\n\n-----BEGIN CERTIFICATE-----\nMIIB+/=\n\n-----END CERTIFICATE-----\r\n\n";
    let pem = Pem::of(crt, "-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----").unwrap();
    assert_eq!(
        pem.as_str(),
        "-----BEGIN CERTIFICATE-----\nMIIB+/=\n-----END CERTIFICATE-----\n\
         -----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----\n"
    );
    assert_eq!(format!("{pem:?}"), "Pem(126 bytes)", "no key in logs");
    for (text, line) in [
        ("", 0),
        ("no blocks", 1),
        ("-----BEGIN X-----\nabc", 2),
        ("-----BEGIN X-----\nshow info; quit\n-----END X-----", 2),
        ("-----END X-----", 1),
        ("-----BEGIN X-----\n-----BEGIN Y-----", 2),
    ] {
        assert_eq!(Pem::of(text, "").unwrap_err().line, line, "{text:?}");
    }
}

proptest! {
    #[test]
    fn words_contain_only_the_allowed_characters(text in any::<String>()) {
        if let Ok(word) = Word::new(&text) {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
            prop_assert!(word.to_string().bytes().all(fits));
        }
        if let Ok(word) = FileWord::new(&text) {
            prop_assert!(!word.to_string().contains([' ', ';', '<', '\\', '\n', '\r', '\0']));
        }
    }

    #[test]
    fn a_pem_is_a_single_payload(crt in "(-----BEGIN X-----\n)?[ -~\n\r\t]{0,80}(-----END X-----)?") {
        if let Ok(pem) = Pem::of(&crt, "") {
            prop_assert!(!pem.as_str().contains("\n\n") && !pem.as_str().contains([';', '<', '\\', '\r']));
        }
    }
}
