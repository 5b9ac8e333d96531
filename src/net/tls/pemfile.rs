//! Certificates and keys in PEM files.
//!
//! * Every complaint names the file and says what was expected of it; none shows what is in it.

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What tells whether files have changed: device, inode, size and time of each.
pub(super) type Marks = Vec<Option<(u64, u64, u64, i64, i64)>>;

/// The marks of files now.
pub(super) fn marks<'a>(files: impl Iterator<Item = &'a Path>) -> Marks {
    files
        .map(|file| {
            let meta = std::fs::metadata(file).ok()?;
            Some((
                meta.dev(),
                meta.ino(),
                meta.len(),
                meta.mtime(),
                meta.mtime_nsec(),
            ))
        })
        .collect()
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|e| format!("cannot read {}: {e}", file.display()))
}

/// The certificates of a file, at least one.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!(
            "{} holds no certificate: a PEM file with BEGIN CERTIFICATE is expected",
            file.display()
        )),
        Err(error) => Err(format!("{} is not a PEM file: {error}", file.display())),
    }
}

/// The private key of a file.
pub(super) fn key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = read(file)?;
    // Both kinds of encrypted key say so in capitals.
    if text.windows(9).any(|word| word == b"ENCRYPTED") {
        return Err(format!(
            "the key in {} is encrypted: Larder has nobody to ask for the password; \
             decrypt it (openssl pkey -in FILE -out FILE)",
            file.display()
        ));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        format!(
            "{} holds no private key: a PEM file with BEGIN PRIVATE KEY is expected",
            file.display()
        )
    })
}

/// Certificates as authorities.
pub(super) fn store(
    certificates: &[CertificateDer<'static>],
    file: &Path,
) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store.add(certificate.clone()).map_err(|e| {
            format!(
                "{}: a certificate cannot be used as an authority: {e}",
                file.display()
            )
        })?;
    }
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_name_the_file() {
        let file = std::env::temp_dir().join(format!("larder-pem-{}", std::process::id()));
        let absent = certificates(&file).unwrap_err();
        assert!(absent.contains("cannot read"), "{absent}");
        std::fs::write(&file, "hello").unwrap();
        for error in [certificates(&file).unwrap_err(), key(&file).unwrap_err()] {
            assert!(error.contains(&file.display().to_string()), "{error}");
        }
        std::fs::write(&file, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n").unwrap();
        assert!(key(&file).unwrap_err().contains("openssl pkey"));
        std::fs::remove_file(file).unwrap();
    }
}
