//! TLS by rustls, with the one crypto provider of the whole process: ring.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{net::TcpStream, task::spawn_blocking};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::error::{Error, Result};

/// How to open a TLS connection, by what the files say now. A cheap clone.
#[derive(Clone)]
pub(super) struct Tls(Arc<Mutex<Loaded>>);

/// What was read of the files, and what they looked like.
struct Loaded {
    files: TlsFiles,
    looks: Looks,
    connector: TlsConnector,
}

/// When each file was changed last, and its size.
type Looks = Vec<Option<(SystemTime, u64)>>;

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
        // Looked at before they are read: what changes in between is read once more.
        let (files, looks) = (self.clone(), self.looks());
        Ok(Tls(Arc::new(Mutex::new(Loaded { files, looks, connector: self.connector()? }))))
    }

    fn looks(&self) -> Looks {
        let client = self.client.iter().flat_map(|(certificate, key)| [certificate, key]);
        let look = |file: &PathBuf| {
            let metadata = fs::metadata(file).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        self.authority.iter().chain(client).map(look).collect()
    }

    fn connector(&self) -> Result<TlsConnector> {
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
        Ok(Arc::new(config).into())
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
        let tls = self.clone();
        let connector = spawn_blocking(move || tls.connector()).await.map_err(io::Error::other)?;
        connector.connect(name, stream).await
    }

    /// Reads files that have changed since they were read. While they cannot be used (a certificate is renewed before
    /// its key) the old ones stay.
    fn connector(&self) -> TlsConnector {
        let mut loaded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let looks = loaded.files.looks();
        if looks != loaded.looks {
            loaded.looks = looks;
            match loaded.files.connector() {
                Ok(connector) => {
                    tracing::info!("the files for TLS have changed, and were read again");
                    loaded.connector = connector;
                }
                Err(error) => {
                    tracing::warn!(%error, "the files for TLS have changed and cannot be used; the old ones stay");
                }
            }
        }
        loaded.connector.clone()
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
