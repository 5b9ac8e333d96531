//! What is read in a certificate: its channel binding, its subject's name, its days.
//!
//! * `tls-server-end-point` (RFC 5929) hashes with the hash of the certificate's own signature, but SHA-256 where that
//!   is MD5 or SHA-1. Where there is no such hash (Ed25519) there is no channel binding, as in PostgreSQL.

use ring::digest::{self, SHA256, SHA384, SHA512};
use std::time::Duration;
use x509_cert::Certificate;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, PrintableStringRef, TeletexStringRef};
use x509_cert::der::asn1::{Ia5StringRef, Utf8StringRef};
use x509_cert::der::{Decode, Encode, SliceReader, Tag, Tagged};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// Signature algorithms, by their hash; and hashes, as RSASSA-PSS names them.
const HASHES: [(&str, &digest::Algorithm); 14] = [
    ("1.2.840.113549.1.1.4", &SHA256), // md5WithRSAEncryption
    ("1.2.840.113549.1.1.5", &SHA256), // sha1WithRSAEncryption
    ("1.2.840.10045.4.1", &SHA256),    // ecdsa-with-SHA1
    ("1.2.840.10040.4.3", &SHA256),    // dsa-with-sha1
    ("1.2.840.113549.1.1.11", &SHA256),
    ("1.2.840.113549.1.1.12", &SHA384),
    ("1.2.840.113549.1.1.13", &SHA512),
    ("1.2.840.10045.4.3.2", &SHA256),
    ("1.2.840.10045.4.3.3", &SHA384),
    ("1.2.840.10045.4.3.4", &SHA512),
    ("1.3.14.3.2.26", &SHA256), // SHA-1
    ("2.16.840.1.101.3.4.2.1", &SHA256),
    ("2.16.840.1.101.3.4.2.2", &SHA384),
    ("2.16.840.1.101.3.4.2.3", &SHA512),
];

/// The channel binding data of a server's certificate.
pub fn end_point(der: &[u8]) -> Option<Vec<u8>> {
    let certificate = Certificate::from_der(der).ok()?;
    let signed = &certificate.signature_algorithm;
    let wanted = if signed.oid == PSS {
        let parameters = signed.parameters.as_ref()?.to_der().ok()?;
        pss_hash(&parameters)?
    } else {
        signed.oid
    };
    let wanted = wanted.to_string();
    let (_, hash) = HASHES.iter().find(|(oid, _)| *oid == wanted)?;
    Some(digest::digest(hash, der).as_ref().to_vec())
}

/// `RSASSA-PSS-params`: the hash is its first part, SHA-1 where it is absent.
fn pss_hash(parameters: &[u8]) -> Option<ObjectIdentifier> {
    let sequence = AnyRef::from_der(parameters).ok()?;
    let first = SliceReader::new(sequence.value())
        .ok()
        .and_then(|mut reader| AnyRef::decode(&mut reader).ok())
        .filter(
            |part| matches!(part.tag(), Tag::ContextSpecific { number, .. } if number.value() == 0),
        );
    let Some(first) = first else {
        return ObjectIdentifier::new("1.3.14.3.2.26").ok();
    };
    let algorithm = AnyRef::from_der(first.value()).ok()?;
    let mut reader = SliceReader::new(algorithm.value()).ok()?;
    ObjectIdentifier::decode(&mut reader).ok()
}

/// The common name of the certificate's subject. One with a NUL byte in it is none: it would be cut by others.
pub fn common_name(der: &[u8]) -> Option<String> {
    let certificate = Certificate::from_der(der).ok()?;
    let parts = certificate.tbs_certificate.subject.0;
    let found = parts
        .iter()
        .flat_map(|part| part.0.iter())
        .rfind(|attribute| attribute.oid == COMMON_NAME)?;
    let value = &found.value;
    let text = match value.tag() {
        Tag::Utf8String => Utf8StringRef::try_from(value).ok()?.to_string(),
        Tag::PrintableString => PrintableStringRef::try_from(value).ok()?.to_string(),
        Tag::Ia5String => Ia5StringRef::try_from(value).ok()?.to_string(),
        Tag::TeletexString => TeletexStringRef::try_from(value).ok()?.to_string(),
        _ => return None,
    };
    (!text.contains('\0')).then_some(text)
}

/// Whether the certificate says itself which hosts it is for; its common name then means nothing.
pub(super) fn names_hosts(der: &[u8]) -> bool {
    let Ok(certificate) = Certificate::from_der(der) else {
        return true;
    };
    match certificate.tbs_certificate.get::<SubjectAltName>() {
        Ok(Some((_, names))) => names
            .0
            .iter()
            .any(|name| matches!(name, GeneralName::DnsName(_) | GeneralName::IpAddress(_))),
        Ok(None) => false,
        Err(_) => true,
    }
}

/// Whether the certificate holds at this time since 1970.
pub(super) fn is_valid_at(der: &[u8], now: Duration) -> bool {
    Certificate::from_der(der).is_ok_and(|certificate| {
        let days = certificate.tbs_certificate.validity;
        days.not_before.to_unix_duration() <= now && now <= days.not_after.to_unix_duration()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    fn made(name: Option<&str>, hosts: &[&str], key: &KeyPair) -> Vec<u8> {
        let hosts: Vec<String> = hosts.iter().map(|h| h.to_string()).collect();
        let mut parameters = CertificateParams::new(hosts).unwrap();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = name {
            parameters.distinguished_name.push(DnType::CommonName, name);
        }
        parameters.self_signed(key).unwrap().der().to_vec()
    }

    #[test]
    fn the_hash_is_the_signatures() {
        let p256 = made(None, &["a"], &KeyPair::generate().unwrap());
        let expected = digest::digest(&SHA256, &p256).as_ref().to_vec();
        assert_eq!(end_point(&p256), Some(expected));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let p384 = made(None, &["a"], &key);
        assert_eq!(end_point(&p384).unwrap().len(), 48);
        let ed25519 = made(None, &["a"], &KeyPair::generate_for(&PKCS_ED25519).unwrap());
        assert_eq!(end_point(&ed25519), None);
        assert_eq!(end_point(b"no certificate"), None);
    }

    #[test]
    fn the_hash_of_pss_is_in_its_parameters() {
        // SEQUENCE { [0] { SEQUENCE { sha384, NULL } } }
        let sha384 = [
            0x30, 0x11, 0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03,
            0x04, 0x02, 0x02, 0x05, 0x00,
        ];
        let found = pss_hash(&sha384).unwrap();
        assert_eq!(found.to_string(), "2.16.840.1.101.3.4.2.2");
        assert_eq!(pss_hash(&[0x30, 0]).unwrap().to_string(), "1.3.14.3.2.26");
        assert_eq!(pss_hash(&[0x30]), None);
    }

    #[test]
    fn subjects_are_read() {
        let key = KeyPair::generate().unwrap();
        assert_eq!(
            common_name(&made(Some("ann"), &["a"], &key)).as_deref(),
            Some("ann")
        );
        assert_eq!(common_name(&made(None, &["a"], &key)), None);
        assert_eq!(common_name(&made(Some("a\0b"), &["a"], &key)), None);
        assert!(names_hosts(&made(Some("ann"), &["127.0.0.1"], &key)));
        assert!(!names_hosts(&made(Some("ann"), &[], &key)));
    }
}
