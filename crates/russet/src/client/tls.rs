//! TLS by rustls, with the one crypto provider of the whole process: ring.

use std::{io, path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::error::{Error, Result};

/// How to open a TLS connection. A cheap clone.
#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

/// The files that say whom to trust and who we are.
#[derive(Clone, Debug, Default)]
pub(super) struct TlsFiles {
    pub(super) authority: Option<PathBuf>,
    /// Our certificate, and its key.
    pub(super) client: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    pub(super) fn is_empty(&self) -> bool {
        self.authority.is_none() && self.client.is_none()
    }

    /// Reads the files; without an authority the system's are trusted.
    ///
    /// # Errors
    /// `Invalid` for a file that cannot be read or used, and when the process has chosen another crypto provider.
    pub(super) fn load(&self) -> Result<Tls> {
        let config = ClientConfig::builder_with_provider(provider()?)
            .with_safe_default_protocol_versions()
            .map_err(|cause| refuse("the protocol versions cannot be used", &cause))?
            .with_root_certificates(self.roots()?);
        let config = match &self.client {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|cause| refuse(&format!("the key {}", key.display()), &cause))?;
                config
                    .with_client_auth_cert(chain, key)
                    .map_err(|cause| refuse("the client certificate and its key", &cause))?
            }
        };
        Ok(Tls(Arc::new(config).into()))
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        match &self.authority {
            Some(file) => {
                for certificate in certificates(file)? {
                    let added = roots.add(certificate);
                    added.map_err(|cause| refuse(&file.display().to_string(), &cause))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err(Error::invalid(
                "TLS: the system has no certificate authorities; name one with ca_file",
            ));
        }
        Ok(roots)
    }
}

impl Tls {
    /// Shakes hands, and checks that the certificate is one for this host.
    pub(super) async fn wrap(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|cause| io::Error::new(io::ErrorKind::InvalidInput, cause))?;
        self.0.connect(name, stream).await
    }
}

/// The provider of the process: ring, put there when there is none yet.
fn provider() -> Result<Arc<CryptoProvider>> {
    let ring = ring::default_provider();
    if CryptoProvider::get_default().is_none() {
        // Lost against another thread, it is looked at all the same.
        let _ = ring.clone().install_default();
    }
    // Providers have no names; that of their key loader is the nearest.
    let name = |provider: &CryptoProvider| format!("the provider {:?}", provider.key_provider);
    match CryptoProvider::get_default() {
        Some(there) if name(there) == name(&ring) => Ok(there.clone()),
        there => Err(Error::invalid(format_args!(
            "TLS: russet uses {} of rustls, and this process has installed {}",
            name(&ring),
            there.map_or_else(|| "none".to_owned(), |there| name(there))
        ))),
    }
}

fn certificates(file: &PathBuf) -> Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>();
    let found = read().map_err(|cause| refuse(&file.display().to_string(), &cause))?;
    if found.is_empty() {
        return Err(Error::invalid(format_args!("TLS: no certificate in {}", file.display())));
    }
    Ok(found)
}

fn refuse(what: &str, cause: &dyn std::error::Error) -> Error {
    Error::invalid(format_args!("TLS: {what}: {cause}"))
}
