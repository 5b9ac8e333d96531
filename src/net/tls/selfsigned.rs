//! A certificate for those who have none: made at the first start, in memory or in two files.
//!
//! * Files that exist are never written over, and one without the other is an error: a key must not be lost because
//!   its certificate was.
//! * The key's file is its owner's alone from the first instant.

use rcgen::{CertificateParams, DnType, KeyPair};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A certificate and its key, as PEM.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Makes one, for this machine's names.
pub(super) fn make() -> Result<Made, String> {
    let failed = |e: rcgen::Error| format!("cannot make a certificate: {e}");
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    if !names.contains(&host)
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
    {
        names.push(host);
    }
    let mut parameters = CertificateParams::new(names).map_err(failed)?;
    parameters
        .distinguished_name
        .push(DnType::CommonName, "larder");
    let now = SystemTime::now();
    // Clocks differ a little.
    parameters.not_before = (now - Duration::from_secs(24 * 3600)).into();
    parameters.not_after = (now + 10 * YEAR).into();
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = parameters.self_signed(&key).map_err(failed)?;
    Ok(Made {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// Makes both files unless both exist; whether it made them.
pub(super) fn make_files(certificate: &Path, key: &Path) -> Result<bool, String> {
    match (certificate.exists(), key.exists()) {
        (true, true) => return Ok(false),
        (false, false) => {}
        (there, _) => {
            let (there, absent) = if there {
                (certificate, key)
            } else {
                (key, certificate)
            };
            return Err(format!(
                "{} exists, but not {}: tls.self_signed makes both or none; remove the one or restore the other",
                there.display(),
                absent.display()
            ));
        }
    }
    let made = make()?;
    write(key, &made.key, 0o600)?;
    write(certificate, &made.certificate, 0o644)?;
    Ok(true)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), String> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|e| format!("cannot write {}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn both_files_or_none() {
        let directory = std::env::temp_dir().join(format!("larder-made-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (certificate, key) = (directory.join("c"), directory.join("k"));
        assert_eq!(make_files(&certificate, &key), Ok(true));
        let mode = std::fs::metadata(&key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let first = std::fs::read(&certificate).unwrap();
        assert_eq!(make_files(&certificate, &key), Ok(false));
        assert_eq!(std::fs::read(&certificate).unwrap(), first);
        std::fs::remove_file(&certificate).unwrap();
        let error = make_files(&certificate, &key).unwrap_err();
        assert!(error.contains("both or none"), "{error}");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
