//! Tests of relayed logins where TLS ends between.

use super::super::Binding;
use super::world::*;

const OFFER: &[u8] = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";

fn sasl(list: &[u8]) -> Vec<u8> {
    message(b'R', &[&10u32.to_be_bytes(), list])
}

/// SASLInitialResponse
fn chosen(mechanism: &str, first: &str) -> Vec<u8> {
    let length = u32::try_from(first.len()).unwrap().to_be_bytes();
    message(
        b'p',
        &[mechanism.as_bytes(), &[0], &length, first.as_bytes()],
    )
}

fn client(world: &World, binding: Binding) -> Client {
    let mut client = world.client_of(&[("user", "ann"), ("database", "shop")]);
    client.session.binds(binding);
    client
}

#[test]
fn a_client_without_tls_is_not_offered_what_needs_it() {
    let world = World::new();
    let mut plain = client(&world, Binding::Hidden);
    plain.answer(&sasl(OFFER));
    assert_eq!(plain.told, sasl(b"SCRAM-SHA-256\0\0"));
    let first = chosen("SCRAM-SHA-256", "n,,n=,r=abc");
    plain.ask(&first);
    assert_eq!(plain.sent, first);
    // Everything else passes as it is.
    let mut other = client(&world, Binding::Hidden);
    let md5 = message(b'R', &[&5u32.to_be_bytes(), b"salt"]);
    other.answer(&md5);
    assert_eq!(other.told, md5);
}

#[test]
fn what_the_upstream_would_call_an_attack_is_refused() {
    let world = World::new();
    for (mechanism, first, passes) in [
        (
            "SCRAM-SHA-256-PLUS",
            "p=tls-server-end-point,,n=,r=abc",
            false,
        ),
        ("SCRAM-SHA-256", "y,,n=,r=abc", false),
        ("SCRAM-SHA-256", "n,,n=,r=abc", true),
    ] {
        let mut both = client(&world, Binding::Broken);
        both.answer(&sasl(OFFER));
        assert_eq!(both.told, sasl(OFFER));
        let answer = chosen(mechanism, first);
        both.ask(&answer);
        assert_eq!(
            (both.closed, both.sent == answer),
            (!passes, passes),
            "{first}"
        );
        let told = String::from_utf8_lossy(&both.told).into_owned();
        assert_eq!(told.contains("C28000"), !passes, "{told}");
    }
}

#[test]
fn without_an_offer_nothing_is_refused() {
    let world = World::new();
    let mut both = client(&world, Binding::Broken);
    both.answer(&sasl(b"SCRAM-SHA-256\0\0"));
    both.ask(&chosen("SCRAM-SHA-256", "y,,n=,r=abc"));
    assert!(!both.closed);
    // A password that looks like one.
    let mut other = client(&world, Binding::Broken);
    other.answer(&message(b'R', &[&3u32.to_be_bytes()]));
    let password = message(b'p', &[b"p\0\0\0\0\0p=\0"]);
    other.ask(&password);
    assert_eq!(other.sent, password);
}
