//! Certificates for TLS in tests, from an authority of their own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::watchdog::Watchdog;

/// An authority, a certificate for servers on `127.0.0.1` and `localhost`, and one for clients: PEM files in a
/// temporary folder, gone when the last clone is dropped.
///
/// For [`TestServerBuilder::tls`](super::TestServerBuilder::tls) and its like; servers that are to trust each other
/// take clones of one value.
#[derive(Clone, Debug)]
pub struct TestCertificates {
    folder: Arc<Watchdog>,
}

impl TestCertificates {
    /// Makes them.
    ///
    /// # Errors
    ///
    /// When the folder or the files cannot be written.
    pub fn new() -> io::Result<TestCertificates> {
        Self::ending(4_000)
    }

    /// As [`new`](Self::new), but the server's certificate has expired long ago.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn expired() -> io::Result<TestCertificates> {
        Self::ending(2_001)
    }

    fn ending(year: i32) -> io::Result<TestCertificates> {
        let certificates = TestCertificates { folder: Arc::new(Watchdog::start()?) };
        certificates.make(year).map_err(io::Error::other)??;
        Ok(certificates)
    }

    fn make(&self, year: i32) -> Result<io::Result<()>, rcgen::Error> {
        let named = |name: &str, hosts: Vec<String>| {
            let mut params = CertificateParams::new(hosts)?;
            params.distinguished_name.push(DnType::CommonName, name);
            Ok::<_, rcgen::Error>(params)
        };
        let mut authority = named("russet test authority", Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate()?;
        let root = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);

        let mut server = named("server", vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        server.not_after = date_time_ymd(year, 1, 1);
        let mut files = vec![("authority.pem", root.pem())];
        for (params, certificate, key) in [
            (server, "server.pem", "server.key"),
            (named("client", Vec::new())?, "client.pem", "client.key"),
        ] {
            let pair = KeyPair::generate()?;
            files.push((certificate, params.signed_by(&pair, &issuer)?.pem()));
            files.push((key, pair.serialize_pem()));
        }
        Ok(files.into_iter().try_for_each(|(name, text)| fs::write(self.file(name), text)))
    }

    /// The authority's certificate, for who is to trust the others.
    pub fn authority(&self) -> PathBuf {
        self.file("authority.pem")
    }

    /// The certificate of servers, and its key.
    pub fn server(&self) -> (PathBuf, PathBuf) {
        (self.file("server.pem"), self.file("server.key"))
    }

    /// The certificate of clients, and its key.
    pub fn client(&self) -> (PathBuf, PathBuf) {
        (self.file("client.pem"), self.file("client.key"))
    }

    fn file(&self, name: &str) -> PathBuf {
        let folder: &Path = self.folder.folder();
        folder.join(name)
    }
}
