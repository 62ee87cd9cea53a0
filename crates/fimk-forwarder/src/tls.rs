//! Whom we trust, and who we are.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use fimk_core::config::{Address, Tls};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};

use crate::secret;

/// Where distributions keep what they trust: Debian, Fedora, SUSE, Alpine.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A bundle of some hundred certificates has a quarter of a MiB, which is all that `secret` takes of others.
const BUNDLE_BYTES_MAX: u64 = 8 << 20;

/// A connection that has not begun. The files are read each time, so that new certificates count at once.
///
/// # Errors
/// A sentence: a file cannot be read, or is none.
pub fn connection(address: &Address, tls: &Tls) -> Result<ClientConnection, String> {
    let name = tls.name.as_deref().unwrap_or(&address.host);
    let name = ServerName::try_from(name.trim_end_matches('.').to_owned())
        .map_err(|_| format!("{name} is no name that a certificate can have"))?;
    let config = Arc::new(config(tls)?);
    ClientConnection::new(config, name).map_err(|error| why(&error))
}

fn config(tls: &Tls) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| why(&error))?
        .with_root_certificates(roots(tls.ca.as_deref())?);
    match &tls.own {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let chain = certificates(
                certificate,
                &secret::read_public(certificate, secret::BYTES_MAX)?,
            )?;
            let der = PrivateKeyDer::from_pem_slice(&secret::read(key)?)
                .map_err(|_| format!("{} holds no private key in PEM", key.display()))?;
            builder.with_client_auth_cert(chain, der).map_err(|error| {
                format!(
                    "{} and {} do not fit: {}",
                    certificate.display(),
                    key.display(),
                    why(&error)
                )
            })
        }
    }
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let path = match ca {
        Some(ca) => ca.to_owned(),
        None => system()
            .ok_or("the system trusts no certificates: install ca-certificates, or give tls_ca")?,
    };
    // Of a system's many some may be ones that we do not understand.
    let (good, _) = roots.add_parsable_certificates(certificates(
        &path,
        &secret::read_public(&path, BUNDLE_BYTES_MAX)?,
    )?);
    if good == 0 {
        return Err(format!(
            "{} holds no certificate that can be trusted",
            path.display()
        ));
    }
    Ok(roots)
}

fn system() -> Option<PathBuf> {
    SYSTEM.iter().map(PathBuf::from).find(|path| path.exists())
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(format!("{} holds no certificates in PEM", path.display())),
    }
}

/// What TLS says, in words that say what to do.
pub fn why(error: &Error) -> String {
    let certificate = |sentence: &str| format!("its certificate {sentence}");
    match error {
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => certificate("has expired: give it a new one"),
        Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => certificate("is not valid yet: compare the clocks"),
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            certificate("is of an issuer that is not trusted: name the issuer's own in tls_ca")
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => certificate("is for another name: give tls_name, or the name in the address"),
        Error::InvalidCertificate(other) => certificate(&format!("is not accepted ({other:?})")),
        Error::AlertReceived(alert) => {
            format!("it refuses us ({alert:?}): see its log, and tls_certificate")
        }
        Error::InvalidMessage(_) => "it does not speak TLS there: see the port".to_owned(),
        other => other.to_string(),
    }
}
