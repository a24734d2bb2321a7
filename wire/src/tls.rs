//! TLS for the client: rustls with ring; roots are the system's, or webpki's where the system has none, and a `ca` file beside them. Touches files, once.

use crate::{http::HttpError, line::Socket, pinned::Pinned};
use rustls::{ClientConfig, RootCertStore, client::WebPkiServerVerifier, crypto::ring};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use std::{io, path::Path, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Reads the roots. Costs a megabyte or so while it runs: nothing calls it before the first https connection.
pub fn connector(ca: Option<&Path>) -> Result<TlsConnector, HttpError> {
    let certificates = ca.map(read).transpose()?.unwrap_or_default();
    let unusable = |why: String| HttpError::Ca {
        file: ca.map(Into::into).unwrap_or_default(),
        why,
    };
    let mut roots = system_roots();
    for certificate in &certificates {
        roots
            .add(certificate.clone())
            .map_err(|error| unusable(error.to_string()))?;
    }
    let provider = Arc::new(ring::default_provider());
    let webpki = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone())
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| HttpError::Tls {
            host: String::new(),
            source,
        })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned {
            webpki,
            certificates,
        }))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let unusable = |why: String| HttpError::Ca {
        file: file.into(),
        why,
    };
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(error.to_string()))?;
    if certificates.is_empty() {
        Err(unusable("no certificate in it".into()))
    } else {
        Ok(certificates)
    }
}

/// The handshake. What TLS itself refuses is told apart from a broken connection.
pub async fn connect(
    connector: &TlsConnector,
    host: &str,
    stream: TcpStream,
) -> Result<TlsStream<Socket>, HttpError> {
    let unreachable = |source| HttpError::Connect {
        to: host.into(),
        source,
    };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| unreachable(io::Error::other(error)))?;
    let socket = Socket::Watched(stream);
    connector.connect(name, socket).await.map_err(|error| {
        let refused = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            .cloned();
        match refused {
            Some(source) => HttpError::Tls {
                host: host.into(),
                source,
            },
            None => unreachable(error),
        }
    })
}
